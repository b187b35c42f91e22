//! Pauses that are signed, and pauses that are not.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::open::Access;
use cronkeep::store::redis::Redis as Scripts;
use cronkeep::store::seal::Seal;
use cronkeep::store::sqlite::Sqlite;
use cronkeep::store::{Address, Beat, Claim, Lease, Store, Verdict, Write};

use super::embedded::Folder;
use super::harness::{block_on, key, mark, write};
use super::redis::{Redis, Reply};
use super::server::{Server, server, started, with};

fn seal(end: &str) -> Seal {
    Seal::new(format!("the key of {end} tests").as_bytes(), "default").unwrap()
}

fn beat() -> Beat {
    let lease = Lease { replica: "web-1.k7".into(), fencing: 0 };
    Beat { lease, expiry: Duration::from_secs(60), alone: true, ..Beat::default() }
}

/// Which of the first three jobs are paused, by all that is asked.
async fn paused(store: &dyn Store) -> Vec<u32> {
    let loaded = store.load().await.unwrap();
    let told = store.beat(beat()).await.unwrap().paused;
    let is_paused = |number: &u32| {
        let is_loaded = loaded.jobs.get(&key(*number)).is_some_and(|job| job.paused);
        assert_eq!(is_loaded, told.contains(&key(*number)), "{number}");
        is_loaded
    };
    (1..=3).filter(is_paused).collect()
}

/// `open` gives the store with this key, and tells what it has to say.
async fn only_signed_pauses_are_taken(open: &dyn Fn(Option<Seal>) -> Arc<dyn Store>) {
    let ours = open(Some(seal("our")));
    write(&*ours, [Write::Pause(key(1))]).await;
    let keyless = open(None);
    write(&*keyless, [Write::Pause(key(2))]).await;
    let theirs = open(Some(seal("their")));
    write(&*theirs, [Write::Pause(key(3))]).await;
    assert_eq!(paused(&*ours).await, [1]);
    assert_eq!(paused(&*theirs).await, [3]);
    assert_eq!(paused(&*keyless).await, [1, 2, 3], "who has no key judges nothing");
    // Somebody who has the key says it again.
    write(&*ours, [Write::Pause(key(2))]).await;
    assert_eq!(paused(&*open(Some(seal("our")))).await, [1, 2]);
    assert_eq!(paused(&*keyless).await, [1, 2, 3]);
    write(&*keyless, [Write::Resume(key(1)), Write::Resume(key(3))]).await;
    assert_eq!(paused(&*open(Some(seal("our")))).await, [2]);
    write(&*ours, [Write::Resume(key(2))]).await;
    assert_eq!(paused(&*keyless).await, [] as [u32; 0]);
}

#[test]
fn of_a_file_only_signed_pauses_are_taken_where_there_is_a_key() {
    let folder = Folder::new();
    let open = |seal| {
        let opening = folder.opening(Address::Sqlite(folder.path()), Access::Owned);
        Arc::new(Sqlite::new(opening).sealed(seal)) as Arc<dyn Store>
    };
    block_on(only_signed_pauses_are_taken(&open));
    let told = folder.told();
    assert!(told.iter().all(|text| text.contains("not signed with our key")), "{told:?}");
    // Ours of two jobs, theirs of two, and ours of one after it was opened anew.
    assert_eq!(told.len(), 3, "{told:?}");
}

#[test]
fn of_a_redis_only_signed_pauses_are_taken_where_there_is_a_key() {
    with(server(), async |server| {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let open = |seal| {
            let told = Arc::clone(&told);
            let tell = Arc::new(move |text| told.lock().unwrap().push(text));
            Arc::new(server.store("default").sealed(seal, tell)) as Arc<dyn Store>
        };
        only_signed_pauses_are_taken(&open).await;
        assert_eq!(told.lock().unwrap().len(), 3, "{told:?}");
        let left = server.redis.command(["SCARD", "{cronkeep:default}:paused"]);
        assert_eq!(left, Reply::Number(0));
    });
}

/// A replica that knows that the first two jobs are paused, at a time that stands for the server's clock.
async fn knowing(server: &Server, time: &Arc<AtomicI64>) -> Scripts {
    let store = server.store("default").with_time(Arc::clone(time));
    write(&store, [Write::Pause(key(1)), Write::Pause(key(2))]).await;
    assert_eq!(store.pause_again().await.unwrap(), None, "it knows of no data yet");
    assert_eq!(store.beat(beat()).await.unwrap().paused.len(), 2);
    store
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(1_000_000))
}

#[test]
fn what_was_paused_and_resumed_since_the_last_answer_is_put_again_so_after_a_loss() {
    with(server(), async |server| {
        let store = knowing(&server, &clock()).await;
        // The one is lost with the data, the other finds none.
        write(&store, [Write::Pause(key(3))]).await;
        server.redis.flush();
        write(&store, [Write::Resume(key(1))]).await;
        assert_eq!(store.pause_again().await.unwrap(), Some(2));
        assert_eq!(paused(&store).await, [2, 3]);
        // Where nothing was lost, whoever resumed a job is right.
        write(&server.store("default"), [Write::Resume(key(2))]).await;
        assert_eq!(store.pause_again().await.unwrap(), None);
        assert_eq!(paused(&store).await, [3]);
    });
}

#[test]
fn a_loss_is_told_of_until_its_answer_has_been_heard() {
    with(server(), async |server| {
        let store = knowing(&server, &clock()).await;
        server.redis.flush();
        assert_eq!(store.pause_again().await.unwrap(), Some(2));
        // As if that answer had come too late: no lease was asked for.
        assert_eq!(store.pause_again().await.unwrap(), Some(2));
        store.beat(beat()).await.unwrap();
        assert_eq!(store.pause_again().await.unwrap(), None);
    });
}

#[test]
fn pauses_of_old_are_not_put_into_a_store_that_others_have_lived_with_since() {
    with(server(), async |server| {
        let time = clock();
        for (later, is_put) in [(5_999, true), (6_000, false)] {
            server.redis.flush();
            let old = knowing(&server, &time).await;
            server.redis.flush();
            let new = server.store("default").with_time(Arc::clone(&time));
            let lease = Lease { replica: "web-2.k8".into(), fencing: 0 };
            new.beat(Beat { lease, ..beat() }).await.unwrap();
            time.fetch_add(later, Ordering::SeqCst);
            assert_eq!(old.pause_again().await.unwrap(), is_put.then_some(2), "{later}");
            assert_eq!(paused(&new).await.is_empty(), !is_put, "{later}");
        }
    });
}

#[test]
fn a_server_that_has_just_returned_with_its_data_has_no_pauses_put_again() {
    with(started(Redis::setup().durable()), async |mut server| {
        let store = knowing(&server, &clock()).await;
        write(&server.store("default"), [Write::Resume(key(1))]).await;
        server.redis.restart();
        let mut answer = store.pause_again().await;
        while answer.is_err() {
            // The connection broke; the next one is made.
            tokio::task::yield_now().await;
            answer = store.pause_again().await;
        }
        assert_eq!(answer.unwrap(), None);
        assert_eq!(paused(&store).await, [2]);
    });
}

#[test]
fn a_claim_is_refused_for_a_pause_only_where_that_is_signed() {
    with(server(), async |server| {
        let open = |seal| server.store("default").sealed(seal, Arc::new(drop));
        let (ours, keyless) = (open(Some(seal("our"))), open(None));
        write(&ours, [Write::Pause(key(1))]).await;
        write(&keyless, [Write::Pause(key(2))]).await;
        let lease = ours.beat(beat()).await.unwrap().lease;
        let claims = |at| {
            let claim = |number| Claim {
                key: key(number),
                mark: mark(at),
                trigger: Trigger::Schedule,
                grace: Duration::from_secs(60),
                instances: None,
            };
            [1, 2, 3].map(claim).to_vec()
        };
        let (paused, granted) = (Verdict::Paused, Verdict::Granted);
        assert_eq!(
            ours.claim(lease.clone(), claims(60)).await.unwrap(),
            [paused.clone(), granted.clone(), granted.clone()]
        );
        assert_eq!(
            keyless.claim(lease, claims(120)).await.unwrap(),
            [paused.clone(), paused, granted]
        );
    });
}
