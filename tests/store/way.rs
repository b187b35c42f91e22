//! The ways to a Redis: what a URL may say leads where it says, and a burst goes there and back once.
#![expect(clippy::disallowed_methods, reason = "a test waits for its sentinel as any parent does")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cronkeep::store::redis::Redis as Scripts;
use cronkeep::store::{Claim, Permission, Store as _, StoreError, Verdict, Write};
use tempfile::TempDir;

use super::harness::{a_start, block_on, key, lease, mark, write};
use super::redis::{Redis, Reply};

/// How long a failover may take, or an answer on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says which databases hold something.
fn databases(redis: &Redis) -> Vec<String> {
    let Reply::Bytes(text) = redis.command(["INFO", "keyspace"]) else { panic!("no text") };
    let text = String::from_utf8(text).unwrap();
    text.lines().filter_map(|line| Some(line.split_once(":keys=")?.0.to_owned())).collect()
}

#[test]
fn a_url_leads_to_its_database_over_a_port_or_a_socket_with_its_password() {
    let Some(redis) = Redis::setup().password("pass/word").start() else { return };
    let socket = redis.socket().display().to_string();
    let urls = [
        (format!("redis://:pass%2Fword@127.0.0.1:{}/5", redis.port()), "db5"),
        (format!("redis://default:pass%2Fword@localhost:{}/6", redis.port()), "db6"),
        (format!("unix://{socket}?db=7&pass=pass%2Fword"), "db7"),
        (format!("unix://{socket}?pass=pass%2Fword"), "db0"),
    ];
    block_on(async {
        for (url, _) in &urls {
            write(&Scripts::new(url, "default"), [Write::Mark(key(1), mark(0))]).await;
        }
    });
    let mut expected = urls.map(|(_, database)| database);
    expected.sort_unstable();
    assert_eq!(databases(&redis), expected);
}

/// Each script is one command of the server's, whatever calls are within.
fn scripts(redis: &Redis) -> i64 {
    let Reply::Bytes(text) = redis.command(["INFO", "commandstats"]) else { panic!("no text") };
    let text = String::from_utf8(text).unwrap();
    let calls = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let count: i64 = rest.split(',').next()?.parse().ok()?;
        ["eval", "evalsha", "fcall"].contains(&name).then_some(count)
    };
    text.lines().filter_map(calls).sum()
}

/// A claim of what [`a_start`] starts.
fn a_claim(number: u32) -> Claim {
    let start = a_start(number, 60);
    let (key, trigger) = (start.key, start.trigger);
    Claim { key, mark: mark(60), trigger, grace: Duration::from_secs(60), instances: None }
}

#[test]
fn a_burst_is_claimed_in_one_round_trip_and_started_in_another() {
    let Some(redis) = Redis::start() else { return };
    block_on(async {
        let store = Scripts::new(&redis.url(), "default").with_patience(PATIENCE);
        let lease = lease(&store).await;
        let starts: Vec<_> = (0..1_000).map(|number| a_start(number, 60)).collect();
        // The first time the server is told what the scripts are.
        for number in [2_000, 2_001] {
            assert_eq!(
                store.claim(lease.clone(), vec![a_claim(number)]).await.unwrap(),
                [Verdict::Granted]
            );
            let granted = store.start(lease.clone(), vec![a_start(number, 60)]).await.unwrap();
            assert_eq!(granted, [Permission::Granted]);
        }
        let before = scripts(&redis);
        let verdicts = store.claim(lease.clone(), (0..1_000).map(a_claim).collect()).await.unwrap();
        assert_eq!(verdicts, vec![Verdict::Granted; 1_000]);
        assert_eq!(scripts(&redis), before + 1);
        let granted = store.start(lease, starts).await.unwrap();
        assert_eq!(granted, vec![Permission::Granted; 1_000]);
        assert_eq!(scripts(&redis), before + 2);
    });
}

/// A way to a server that keeps every answer back until so many scripts were asked for, or is cut by one that is loaded.
struct Held {
    port: u16,
    /// How many scripts are to be asked for before anything is answered.
    until: Arc<AtomicUsize>,
    /// How many were.
    asked: Arc<AtomicUsize>,
    /// Whether a connection ends as soon as a script is to be loaded over it.
    cuts: Arc<AtomicBool>,
}

impl Held {
    fn before(redis: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), redis.port());
        let (until, asked, cuts) = (Arc::default(), Arc::default(), Arc::default());
        let held = Held { port, until, asked, cuts };
        let (until, asked) = (Arc::clone(&held.until), Arc::clone(&held.asked));
        let cuts = Arc::clone(&held.cuts);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)));
                let Ok(server) = server else { return };
                let (from, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (counted, cuts) = (Arc::clone(&asked), Arc::clone(&cuts));
                let end = client.try_clone().unwrap();
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    carry(from, server, |bytes| {
                        count(bytes, &mut seen, &counted);
                        let loads = String::from_utf8_lossy(bytes).contains("\r\nLOAD\r\n");
                        if cuts.load(Ordering::SeqCst) && loads {
                            let _ = end.shutdown(Shutdown::Both);
                        }
                    });
                });
                let (until, asked) = (Arc::clone(&until), Arc::clone(&asked));
                std::thread::spawn(move || {
                    carry(back, client, |_| {
                        while asked.load(Ordering::SeqCst) < until.load(Ordering::SeqCst) {
                            std::thread::park_timeout(Duration::from_millis(1));
                        }
                    });
                });
            }
        });
        held
    }

    /// From now on nothing is answered before so many scripts were asked for.
    fn hold(&self, until: usize) {
        self.asked.store(0, Ordering::SeqCst);
        self.until.store(until, Ordering::SeqCst);
    }
}

/// Scripts in what a client sends: nothing else says the word. What was `seen` and may be its beginning is kept for the next.
fn count(bytes: &[u8], seen: &mut Vec<u8>, asked: &AtomicUsize) {
    const WORD: &str = "EVALSHA";
    seen.extend_from_slice(bytes);
    asked.fetch_add(String::from_utf8_lossy(seen).matches(WORD).count(), Ordering::SeqCst);
    seen.drain(..seen.len().saturating_sub(WORD.len() - 1));
}

fn carry(mut from: TcpStream, mut to: TcpStream, mut meanwhile: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 8 << 20];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        meanwhile(&buffer[..size]);
        if to.write_all(&buffer[..size]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn a_burst_of_five_thousand_goes_there_and_back_once() {
    let Some(redis) = Redis::start() else { return };
    let held = Held::before(&redis);
    block_on(async {
        let url = format!("redis://127.0.0.1:{}", held.port);
        let store = Scripts::new(&url, "default").with_patience(PATIENCE);
        let lease = lease(&store).await;
        let claims: Vec<Claim> = (0..5_000).map(a_claim).collect();
        let starts: Vec<_> = (0..5_000).map(|number| a_start(number, 60)).collect();
        for number in [6_000, 6_001] {
            store.claim(lease.clone(), vec![a_claim(number)]).await.unwrap();
            store.start(lease.clone(), vec![a_start(number, 60)]).await.unwrap();
        }
        // What is asked one after the other is never answered.
        held.hold(3);
        let verdicts = store.claim(lease.clone(), claims).await.unwrap();
        assert_eq!(verdicts, vec![Verdict::Granted; 5_000]);
        held.hold(3);
        let granted = store.start(lease, starts).await.unwrap();
        assert_eq!(granted, vec![Permission::Granted; 5_000]);
        held.hold(0);
        assert_eq!(store.load().await.unwrap().open.len(), 5_002);
    });
}

#[test]
fn a_burst_is_claimed_by_a_server_that_has_forgotten_the_scripts() {
    let Some(redis) = Redis::start() else { return };
    block_on(async {
        let store = Scripts::new(&redis.url(), "default").with_patience(PATIENCE);
        let lease = lease(&store).await;
        for round in 0..2_u32 {
            redis.command(["SCRIPT", "FLUSH"]);
            let numbers = round * 4_100..(round + 1) * 4_100;
            let claims: Vec<Claim> = numbers.clone().map(a_claim).collect();
            let verdicts = store.claim(lease.clone(), claims).await.unwrap();
            assert_eq!(verdicts, vec![Verdict::Granted; 4_100]);
            let starts: Vec<_> = numbers.map(|number| a_start(number, 60)).collect();
            redis.command(["SCRIPT", "FLUSH"]);
            let granted = store.start(lease.clone(), starts).await.unwrap();
            assert_eq!(granted, vec![Permission::Granted; 4_100]);
        }
    });
}

#[test]
fn a_server_that_lacks_the_script_and_has_an_older_schema_is_asked_a_third_time() {
    let Some(redis) = Redis::start() else { return };
    block_on(async {
        let store = Scripts::new(&redis.url(), "default").with_patience(PATIENCE);
        let lease = lease(&store).await;
        redis.set("{cronkeep:default}:version", "1");
        let verdicts = store.claim(lease, vec![a_claim(1)]).await.unwrap();
        assert_eq!(verdicts, [Verdict::Granted]);
        assert_eq!(redis.get("{cronkeep:default}:version"), Some(b"2".to_vec()));
    });
}

#[test]
fn a_connection_that_broke_while_a_script_was_loaded_is_made_anew() {
    let Some(redis) = Redis::start() else { return };
    let held = Held::before(&redis);
    block_on(async {
        let url = format!("redis://127.0.0.1:{}", held.port);
        let store = Scripts::new(&url, "default").with_patience(PATIENCE);
        let lease = lease(&store).await;
        held.cuts.store(true, Ordering::SeqCst);
        let answer = store.claim(lease.clone(), vec![a_claim(1)]).await;
        assert!(matches!(answer, Err(StoreError::Down(_))), "{answer:?}");
        held.cuts.store(false, Ordering::SeqCst);
        assert_eq!(store.claim(lease, vec![a_claim(1)]).await, Ok(vec![Verdict::Granted]));
    });
}

/// A sentinel of its own for a master; ended when dropped.
struct Sentinel {
    child: Child,
    folder: TempDir,
    port: u16,
}

impl Sentinel {
    fn start(master: &Redis, name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        // One that was free may be taken until the sentinel has it: it then ends, and the test says so.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile {}\n\
             sentinel monitor {name} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 5000\n",
            folder.path().display(),
            folder.path().join("log").display(),
            master.port(),
        );
        fs::write(&path, text).unwrap();
        let child = Command::new("redis-server")
            .arg(&path)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Sentinel { child, folder, port }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log says this.
    fn expect(&self, what: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(what) {
            assert!(Instant::now() < deadline, "{what}: {}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_sentinel_that_is_named_as_a_server_is_told_as_what_it_is() {
    let Some(master) = Redis::start() else { return };
    let sentinel = Sentinel::start(&master, "here");
    sentinel.expect("+monitor");
    let url = format!("redis://127.0.0.1:{}", sentinel.port);
    block_on(async {
        let answer = Scripts::new(&url, "default").load().await;
        let Err(StoreError::Refused(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("it is a sentinel") && text.contains("redis+sentinel://"), "{text}");
    });
}

#[test]
fn a_sentinel_leads_to_the_master_and_to_the_next_one_after_a_failover() {
    let Some(mut master) = Redis::start() else { return };
    let Some(replica) = Redis::setup().replica_of(&master).start() else { return };
    let sentinel = Sentinel::start(&master, "ours");
    sentinel.expect("+slave slave");
    block_on(async {
        let nobody = format!("redis+sentinel://127.0.0.1:{}/theirs/2", sentinel.port);
        let answer = Scripts::new(&nobody, "default").load().await;
        assert!(matches!(answer, Err(StoreError::Down(_) | StoreError::Refused(_))), "{answer:?}");
        // The first of the sentinels is not there.
        let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/ours/2", sentinel.port);
        let store = Scripts::new(&url, "default");
        write(&store, [Write::Mark(key(1), mark(0))]).await;
        assert_eq!(databases(&master), ["db2"]);
        let deadline = Instant::now() + PATIENCE;
        while databases(&replica) != ["db2"] {
            assert!(Instant::now() < deadline, "it is not replicated");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        master.kill();
        sentinel.expect("+switch-master ours");
        // A call may still meet the connection that broke.
        let mut answer = store.load().await;
        while let Err(StoreError::Down(_)) = answer {
            assert!(Instant::now() < deadline + PATIENCE, "{answer:?}: {}", sentinel.log());
            answer = store.load().await;
        }
        assert_eq!(answer.unwrap().jobs[&key(1)].mark, Some(mark(0)));
        write(&store, [Write::Mark(key(1), mark(60))]).await;
        assert_eq!(store.load().await.unwrap().jobs[&key(1)].mark, Some(mark(60)));
    });
}
