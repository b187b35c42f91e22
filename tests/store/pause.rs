//! Pauses that are signed, and pauses that are not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::open::Access;
use cronkeep::store::seal::Seal;
use cronkeep::store::sqlite::Sqlite;
use cronkeep::store::{Address, Beat, Claim, Lease, Store, Verdict, Write};

use super::embedded::Folder;
use super::harness::{block_on, key, mark, write};
use super::redis::Reply;
use super::server::{server, with};

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
