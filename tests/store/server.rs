//! The store on a Redis server of the test's own.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use cronkeep::job::JobId;
use cronkeep::store::record::{Output, OutputLine, RecordedOutcome};
use cronkeep::store::redis::{Bounds, Redis as Scripts};
use cronkeep::store::{Done, PutSnapshot, RunRecord, Store, StoreError, Which, Write};

use super::harness::{Place, a_start, all, at, key, lease, mark, record, write, write_runs};
use super::outbox::{everyones, message, post};
use super::redis::{Redis, Reply, Setup};

/// A server, for one namespace.
pub(crate) struct Server {
    pub(crate) redis: Redis,
}

impl Place for Server {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store("default"))
    }
}

impl Server {
    pub(crate) fn store(&self, namespace: &str) -> Scripts {
        Scripts::new(&self.redis.unix_url(), namespace)
    }
}

/// A server, if there is one to be had.
pub(crate) fn server() -> Option<Server> {
    started(Redis::setup())
}

pub(crate) fn started(setup: Setup) -> Option<Server> {
    setup.start().map(|redis| Server { redis })
}

/// Runs a test against a server.
pub(crate) fn with(server: Option<Server>, test: impl AsyncFnOnce(Server)) {
    let Some(server) = server else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test(server)).await.expect("the test hangs");
    });
}

#[test]
fn a_connection_that_broke_while_it_rested_is_made_anew() {
    with(server(), async |mut server| {
        let store = server.store("default");
        write(&store, [Write::Mark(key(1), mark(0))]).await;
        server.redis.restart();
        // Longer than a connection may rest unasked.
        tokio::time::sleep(Duration::from_millis(3_100)).await;
        store.write(vec![Write::Mark(key(1), mark(60))]).await.unwrap();
    });
}

#[test]
fn a_question_over_a_connection_that_broke_is_put_again() {
    with(server(), async |mut server| {
        let store = server.store("default");
        store.load().await.unwrap();
        server.redis.restart();
        store.load().await.unwrap();
    });
}

#[test]
fn namespaces_share_nothing() {
    with(server(), async |server| {
        let (one, other) = (server.store("one"), server.store("other"));
        write(&one, [Write::Mark(key(1), mark(0))]).await;
        let put = PutSnapshot {
            after: 0,
            expected: 0,
            bytes: b"x".to_vec(),
            seed_rows: Some("[]".into()),
        };
        one.put_snapshot(put).await.unwrap();
        assert!(other.load().await.unwrap().jobs.is_empty());
        assert_eq!(other.snapshot().await.unwrap(), None);
        assert_eq!(other.seed_rows().await.unwrap(), None);
        assert_eq!(one.seed_rows().await.unwrap(), Some(b"[]".to_vec()));
    });
}

#[test]
fn the_services_rows_are_put_with_the_snapshot_or_not_at_all() {
    with(server(), async |server| {
        let store = server.store("default");
        let put = |expected, rows: &str| PutSnapshot {
            after: 0,
            expected,
            bytes: b"x".to_vec(),
            seed_rows: Some(rows.to_owned()),
        };
        store.put_snapshot(put(0, "[1]")).await.unwrap();
        store.put_snapshot(put(0, "[2]")).await.unwrap();
        assert_eq!(server.redis.get("crond-service-cronjob-cache"), Some(b"[1]".to_vec()));
        store.put_snapshot(put(1, "[3]")).await.unwrap();
        assert_eq!(server.redis.get("crond-service-cronjob-cache"), Some(b"[3]".to_vec()));
        store.put_snapshot(PutSnapshot { seed_rows: None, ..put(2, "") }).await.unwrap();
        assert_eq!(store.seed_rows().await.unwrap(), Some(b"[3]".to_vec()));
    });
}

#[test]
fn a_store_goes_on_where_its_server_comes_back() {
    with(started(Redis::setup().durable()), async |mut server| {
        let store = Scripts::new(&server.redis.url(), "default");
        write(&store, [Write::Mark(key(1), mark(0))]).await;
        let lease = lease(&store).await;
        server.redis.kill();
        for _ in 0..2 {
            let answer = store.write(vec![Write::Pause(key(1))]).await;
            assert!(matches!(answer, Err(StoreError::Down(_))), "{answer:?}");
        }
        server.redis.restart();
        // A call may still meet the connection that broke.
        let _ = store.load().await;
        assert_eq!(store.load().await.unwrap().jobs[&key(1)].mark, Some(mark(0)));
        // The lease was one of the server's life before.
        let answer = store.start(lease.clone(), vec![a_start(1, 60)]).await;
        let answer = match answer {
            Err(StoreError::Down(_)) => store.start(lease, vec![a_start(1, 60)]).await,
            answer => answer,
        };
        assert_eq!(answer, Ok(vec![cronkeep::store::Permission::Fenced]));
    });
}

#[test]
fn a_server_that_is_silent_is_down_within_seconds() {
    with(server(), async |server| {
        let store = server.store("default");
        let lease = lease(&store).await;
        server.redis.pause();
        let answer = store.start(lease, vec![a_start(1, 60)]).await;
        server.redis.resume();
        assert_eq!(answer, Err(StoreError::Down("it does not answer".to_owned())));
        store.load().await.unwrap();
    });
}

#[test]
fn a_server_that_is_asked_for_tls_and_speaks_none_is_told_as_such() {
    with(started(Redis::setup()), async |server| {
        let url = format!("rediss://127.0.0.1:{}/0", server.redis.port());
        let answer = Scripts::new(&url, "default").load().await;
        let Err(StoreError::Down(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("where no TLS is spoken, redis://"), "{text}");
    });
}

#[test]
fn what_is_no_redis_without_tls_is_told_as_such() {
    with(started(Redis::setup().tls()), async |server| {
        let url = format!("redis://127.0.0.1:{}/0", server.redis.port());
        let answer = Scripts::new(&url, "default").load().await;
        let Err(StoreError::Down(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("where TLS is spoken, rediss:// is the address"), "{text}");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}/0", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = stream.read(&mut [0; 512]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            }
        });
        let answer = Scripts::new(&url, "default").load().await;
        let Err(StoreError::Refused(text)) = answer else { panic!("{answer:?}") };
        assert!(text.starts_with("no Redis answers there: "), "{text}");
    });
}

#[test]
fn tls_is_spoken_with_an_authority_of_its_own_or_unlooked() {
    with(started(Redis::setup().tls().password("se/cr@t")), async |server| {
        let port = server.redis.port();
        let authority = server.redis.authority();
        let good = [
            format!("rediss://:se%2Fcr%40t@127.0.0.1:{port}/0?ca={}", authority.display()),
            format!("rediss://default:se%2Fcr%40t@localhost:{port}/3#insecure"),
        ];
        for url in good {
            Scripts::new(&url, "default").load().await.unwrap();
        }
        let url = format!("rediss://:se%2Fcr%40t@127.0.0.1:{port}/0");
        let answer = Scripts::new(&url, "default").load().await;
        let Err(StoreError::Down(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("certificate") && !text.contains("cr@t"), "{text}");
    });
}

#[test]
fn what_grows_is_bounded() {
    with(server(), async |server| {
        let age = Duration::from_secs(1 << 30);
        let bounds = Bounds { runs: 10, age, output: 5_000, ..Bounds::default() };
        let store = server.store("default").with_bounds(bounds);
        // What does not compress.
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        };
        for number in 0..30 {
            let ended = RunRecord {
                outcome: Some(RecordedOutcome::Succeeded),
                ended: Some(at(0)),
                ..record(number, i64::from(number))
            };
            let bytes = (0..1_000).map(|_| noise()).collect();
            let line = OutputLine { is_error: false, detached: false, bytes };
            let output = Output { head: vec![line], ..Output::default() };
            let run = ended.run;
            write(&store, [Write::Run(Arc::new(ended)), Write::Output(run, output)]).await;
        }
        let runs = store.runs(all(100)).await.unwrap().runs;
        assert_eq!(runs.len(), 10);
        assert_eq!(runs[0].key, key(29));
        let outputs = server.redis.keys().iter().filter(|key| key.contains("output:")).count();
        assert!((1..=4).contains(&outputs), "{outputs}");
        assert!(store.output(runs[0].run).await.unwrap().is_some(), "the newest is kept");
        let of_jobs = server.redis.keys().iter().filter(|key| key.contains(":runs:")).count();
        assert_eq!(of_jobs, 10, "an index goes with its last run");
    });
}

#[test]
fn what_is_old_goes_and_output_expires() {
    with(server(), async |server| {
        let now = jiff::Timestamp::from_second(1_900_000_000).unwrap();
        let bounds = Bounds { age: Duration::from_secs(1_000_000), ..Bounds::default() };
        let time = AtomicI64::new(now.as_millisecond());
        let store = server.store("default").with_bounds(bounds).with_time(Arc::new(time));
        let new = RunRecord { run: cronkeep::event::RunId::new(now, 1), ..record(1, 0) };
        let ended = RunRecord { outcome: Some(RecordedOutcome::Succeeded), ..record(2, 0) };
        write_runs(&store, [ended, new.clone()]).await;
        write(&store, [Write::Output(new.run, Output::default())]).await;
        assert_eq!(store.runs(all(9)).await.unwrap().runs, std::slice::from_ref(&new));
        let expiry =
            server.redis.command(["TTL", &format!("{{cronkeep:default}}:output:{}", new.run)]);
        let Reply::Number(expiry @ 900_000..=1_000_000) = expiry else { panic!("{expiry:?}") };
        assert!(expiry > 0);
    });
}

#[test]
fn a_run_that_goes_on_is_kept_while_others_come_and_go() {
    with(server(), async |server| {
        let store = server.store("default").with_bounds(Bounds { runs: 10, ..Bounds::default() });
        let ended = |number: u32| RunRecord {
            outcome: Some(RecordedOutcome::Succeeded),
            ..record(number, i64::from(number))
        };
        write_runs(&store, [record(0, 0)]).await;
        write_runs(&store, (1..100).map(ended)).await;
        let kept = async || store.runs(all(100)).await.unwrap().runs;
        assert_eq!(kept().await.last(), Some(&record(0, 0)), "it may be lost yet");
        assert_eq!(kept().await.len(), 11, "beside it as many as else");
        write_runs(&store, [ended(0), ended(100)]).await;
        assert_eq!(kept().await.last(), Some(&ended(91)), "now it is as all others");
        // Of what nobody ends there is a bound, too.
        write_runs(&store, (200..300).map(|n| record(n, i64::from(n)))).await;
        write_runs(&store, [ended(300)]).await;
        assert!((10..=20).contains(&kept().await.len()), "{}", kept().await.len());
    });
}

#[test]
fn two_replicas_with_the_same_fires_have_each_once() {
    with(server(), async |server| {
        use cronkeep::store::{Beat, Claim, Lease, Verdict};
        let stores = [server.store("x"), server.store("x")];
        let claims: Vec<Claim> = (0..500)
            .map(|number| {
                let start = a_start(number, 60);
                let grace = Duration::from_secs(60);
                Claim {
                    key: start.key,
                    mark: start.mark,
                    trigger: start.trigger,
                    grace,
                    instances: None,
                }
            })
            .collect();
        let time = Arc::new(std::sync::atomic::AtomicI64::new(at(60).as_millisecond()));
        let stores = stores.map(|store| store.with_time(Arc::clone(&time)));
        let mut leases = Vec::new();
        for (store, name) in stores.iter().zip(["a", "b"]) {
            let lease = Lease { replica: name.into(), fencing: 0 };
            let expiry = Duration::from_secs(6);
            let beat = Beat { lease, expiry, alone: true, ..Beat::default() };
            leases.push(store.beat(beat).await.unwrap().lease);
        }
        time.fetch_add(5_999, std::sync::atomic::Ordering::SeqCst);
        for (store, lease) in stores.iter().zip(&leases) {
            let expiry = Duration::from_secs(6);
            store.beat(Beat { lease: lease.clone(), expiry, ..Beat::default() }).await.unwrap();
        }
        time.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let (one, other) = tokio::join!(
            stores[0].claim(leases[0].clone(), claims.clone()),
            stores[1].claim(leases[1].clone(), claims.clone())
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        for (one, other) in one.iter().zip(&other) {
            let granted =
                [one, other].iter().filter(|verdict| ***verdict == Verdict::Granted).count();
            assert_eq!(granted, 1, "{one:?} {other:?}");
        }
        let starts = (0..500).map(|number| a_start(number, 60)).collect();
        let winner = usize::from(one[0] != Verdict::Granted);
        start_again(&stores[winner], &leases[winner], starts).await;
    });
}

/// Starts what was claimed, and once more, as after an answer that was lost.
async fn start_again(
    store: &Scripts,
    lease: &cronkeep::store::Lease,
    starts: Vec<cronkeep::store::Start>,
) {
    use cronkeep::store::Permission;
    for _ in 0..2 {
        let answer = store.start(lease.clone(), starts.clone()).await.unwrap();
        assert_eq!(answer, vec![Permission::Granted; starts.len()]);
    }
    let open = store.load().await.unwrap().open;
    assert_eq!(open.len(), starts.len());
}

#[test]
fn bodies_are_those_of_the_service_in_its_namespace() {
    with(server(), async |server| {
        let job = JobId::of_mark(b"x");
        let id = job.to_string();
        let body = b"\x00\xff a body\n";
        let set = |key: &str, value: &[u8]| {
            server.redis.command([b"HSET", key.as_bytes(), id.as_bytes(), value]);
        };
        set("crond_service_schedule", body);
        set("shop:crond_service_schedule", b"");
        let body_of = async |namespace: &str, job| server.store(namespace).seed_body(job).await;
        assert_eq!(body_of("default", job).await, Ok(Some(body.to_vec())));
        assert_eq!(body_of("shop", job).await, Ok(Some(Vec::new())), "an empty one is one");
        assert_eq!(body_of("other", job).await, Ok(None));
        assert_eq!(body_of("default", JobId::of_mark(b"y")).await, Ok(None));
        server.redis.set("other:crond_service_schedule", "text");
        assert!(matches!(body_of("other", job).await, Err(StoreError::Corrupt(_))));
    });
}

#[test]
fn what_a_replica_with_a_lease_has_posted_stays_its_own() {
    with(server(), async |server| {
        let time = Arc::new(std::sync::atomic::AtomicI64::new(at(60).as_millisecond()));
        let store = server.store("default").with_time(Arc::clone(&time));
        // As it is called in its lease: "here", for a minute.
        lease(&store).await;
        post(&store, "here", vec![message(1, 5)]).await;
        let adopt = async || store.adopt("me".to_owned(), vec!["me".to_owned()]).await.unwrap();
        assert_eq!(adopt().await, 0, "though whoever asks does not know of it yet");
        time.fetch_add(60_000, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(adopt().await, 1);
    });
}

#[test]
fn confirmed_ids_are_known_for_an_hour_and_bounded_in_number() {
    with(server(), async |server| {
        let time = Arc::new(std::sync::atomic::AtomicI64::new(at(0).as_millisecond()));
        let store = server.store("default").with_time(Arc::clone(&time));
        let confirm = async |ids: Vec<String>| {
            store.unpost(Done { confirmed: ids, ..Done::default() }).await.unwrap();
        };
        let known = || {
            let key = "{cronkeep:default}:outbox:confirmed";
            let Reply::Number(count) = server.redis.command(["ZCARD", key]) else {
                panic!("{key}")
            };
            count
        };
        confirm((0..15_000).map(|number| number.to_string()).collect()).await;
        time.fetch_add(3_599_000, std::sync::atomic::Ordering::SeqCst);
        confirm((15_000..30_000).map(|number| number.to_string()).collect()).await;
        assert_eq!(known(), 20_000);
        time.fetch_add(1_000, std::sync::atomic::Ordering::SeqCst);
        confirm(Vec::new()).await;
        assert_eq!(known(), 15_000);
    });
}

#[test]
fn rows_that_make_no_sense_hide_no_others() {
    with(server(), async |server| {
        let store = server.store("default");
        post(&store, "me", vec![message(1, 5), message(2, 5)]).await;
        let key = |name: &str| format!("{{cronkeep:default}}:{name}");
        server.redis.command(["HSET", &key("outbox"), "x", "y"]);
        server.redis.command(["HSET", &key("outbox"), "z", "7 me no-job no-run soon many"]);
        server.redis.command(["ZADD", &key("outbox:order"), "7", "z"]);
        server.redis.command(["ZADD", &key("outbox:order"), "8", "nothing"]);
        let which = Which::After { owner: "me".to_owned(), order: 0, limit: 9 };
        let found = store.waiting(which).await.unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[2].id.as_str(), found[2].order, found[2].bytes.len()), ("z", 7, 0));
        // One whose header says nothing of its place, and one that is no text.
        server.redis.command(["HSET", &key("outbox"), "odd", "o odd - - 1 1"]);
        server.redis.command([b"HSET", key("outbox").as_bytes(), b"\xff", b"\xfe"]);
        for (score, id) in [("9", b"odd".as_slice()), ("10", b"\xff".as_slice())] {
            server.redis.command([b"HSET", key("outbox:bytes").as_bytes(), id, b"body"]);
            let order = key("outbox:order");
            server.redis.command([b"ZADD", order.as_bytes(), score.as_bytes(), id]);
        }
        let (found, _) = everyones(&store).await;
        let orders: Vec<u64> = found.iter().map(|one| one.waiting.order).collect();
        assert_eq!(orders, [1, 2, 9, 10], "{found:?}");
        assert_eq!(found[2].owner, "odd");
        store.adopt("you".to_owned(), Vec::new()).await.unwrap();
        let dropped = ["x", "z", "nothing"].map(str::to_owned).into();
        store.unpost(Done { dropped, owner: "you".to_owned(), ..Done::default() }).await.unwrap();
        assert_eq!(store.waiting(Which::Ids(vec![message(1, 5).id])).await.unwrap().len(), 1);
    });
}
