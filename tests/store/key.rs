//! Every key, as it is written: the formats of `docs/store.md`, byte by byte.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::record::{OutputLine, RecordedOutcome};
use cronkeep::store::{
    Beat, Claim, Done, Lease, Output, Owed, PutSnapshot, Room, RunRecord, Store, Waiting, Which,
    Write,
};

use super::harness::{a_start, at, due, key, mark, record, write};
use super::redis::{Redis, Reply};
use super::server::{server, with};

/// What the keys hold, in words.
fn dump(redis: &Redis) -> String {
    let text = |reply: &Reply| match reply {
        Reply::Bytes(bytes) => bytes.escape_ascii().to_string(),
        Reply::Status(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    let mut all = String::new();
    for key in redis.keys() {
        let kind = text(&redis.command(["TYPE", &key]));
        let command: &[&str] = match kind.as_str() {
            "string" => &["GET"],
            "hash" => &["HGETALL"],
            "set" => &["SMEMBERS"],
            "zset" => &["ZRANGE"],
            other => panic!("{key} is a {other}"),
        };
        let mut words = vec![command[0], &key];
        if kind == "zset" {
            words.extend(["0", "-1", "WITHSCORES"]);
        }
        let _ = writeln!(all, "{key} ({kind})");
        let values = match redis.command(&words) {
            Reply::List(values) => values.iter().map(text).collect(),
            one => vec![text(&one)],
        };
        let mut lines: Vec<String> = match kind.as_str() {
            "hash" => values.chunks(2).map(|pair| format!("{} = {}", pair[0], pair[1])).collect(),
            // Where the score says nothing it is 0.
            "zset" if values.iter().skip(1).step_by(2).all(|score| score == "0") => {
                values.into_iter().step_by(2).collect()
            }
            "zset" => values.chunks(2).map(|pair| format!("{} = {}", pair[0], pair[1])).collect(),
            _ => values,
        };
        lines.sort();
        for line in lines {
            let _ = writeln!(all, "    {line}");
        }
    }
    all
}

#[test]
fn keys_are_written_as_documented() {
    with(server(), async |server| {
        let time = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(at(60).as_millisecond()));
        let store = server.store("shop").with_time(time);
        let beat = Beat {
            lease: Lease { replica: "web-1.k7".into(), fencing: 0 },
            host: "web-1".into(),
            jobs_hash: "abc".into(),
            jobs: 3,
            zone: "Europe/Berlin".into(),
            expiry: Duration::from_secs(6),
            alone: true,
            leaving: false,
        };
        let lease = store.beat(beat).await.unwrap().lease;
        let claim = |number: u32| Claim {
            key: key(number),
            mark: mark(60),
            trigger: Trigger::Schedule,
            grace: Duration::from_secs(60),
            instances: None,
        };
        store.claim(lease.clone(), vec![claim(1), claim(2)]).await.unwrap();
        store.start(lease, vec![a_start(1, 60)]).await.unwrap();
        let ended = RunRecord {
            ended: Some(at(2)),
            outcome: Some(RecordedOutcome::Failed),
            exit: Some(3),
            user_cpu: Duration::from_millis(5),
            output_bytes: 2,
            ..record(4, 0)
        };
        let line = OutputLine { is_error: false, detached: false, bytes: b"hi".to_vec() };
        let output = Output { head: vec![line], ..Output::default() };
        let range = RunRecord {
            attempt: 0,
            range: Some((due(240), 4)),
            queued: None,
            started: None,
            outcome: Some(RecordedOutcome::Missed),
            reason: Some("down".into()),
            ..record(6, 60)
        };
        let owed = Owed { due: due(120), trigger: Trigger::CatchUp };
        let run = ended.run;
        write(
            &store,
            [
                Write::Since(vec![key(1)], at(-5)),
                Write::Pause(key(3)),
                Write::Owe(key(4), owed),
                Write::Mark(key(4), mark(180)),
                Write::Run(Arc::new(ended)),
                Write::Output(run, output),
                Write::Run(Arc::new(range)),
            ],
        )
        .await;
        let rows = Some("[]".to_owned());
        let put =
            PutSnapshot { after: 0, expected: 0, bytes: b"snapshot".to_vec(), seed_rows: rows };
        store.put_snapshot(put).await.unwrap();
        let message = |number: u32| Waiting {
            id: format!("{}:{number}", key(number)),
            order: 0,
            job: Some(key(number)),
            run: Some(run),
            expires: at(3_600),
            bytes: b"a message".to_vec(),
        };
        let other = Waiting { job: None, run: None, ..message(3) };
        let messages = vec![message(1), message(2), other];
        store.post("web-1.k7".to_owned(), messages, Room::default()).await.unwrap();
        let done = Done { confirmed: vec![message(2).id], ..Done::default() };
        store.unpost(done).await.unwrap();
        let day = 86_400;
        for (key, least, most) in [("outbox", 7 * day, 8 * day), ("outbox:confirmed", 3_500, 3_601)]
        {
            let expiry = server.redis.command(["TTL", &format!("{{cronkeep:shop}}:{key}")]);
            let Reply::Number(expiry) = expiry else { panic!("{expiry:?}") };
            assert!((least..most).contains(&expiry), "{key} is gone after {expiry} s");
        }
        let incarnation = server.redis.command(["HGET", "{cronkeep:shop}:state", "incarnation"]);
        let Reply::Bytes(incarnation) = incarnation else { panic!("{incarnation:?}") };
        let incarnation = String::from_utf8(incarnation).unwrap();
        let dump = dump(&server.redis).replace(&incarnation, "RUN_ID");
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/store/redis-2.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(golden, &dump).unwrap();
        }
        let expected = std::fs::read_to_string(golden).unwrap_or_default();
        assert!(dump == expected, "other than {golden}:\n{dump}");
    });
}

/// Writes what a golden file says, as somebody's data.
fn fill(redis: &Redis, golden: &str) {
    let mut key_of = ("", "");
    for line in golden.lines() {
        let Some(value) = line.strip_prefix("    ") else {
            let (key, kind) = line.split_once(" (").unwrap();
            key_of = (key, kind.trim_end_matches(')'));
            continue;
        };
        let (key, kind) = key_of;
        let value = value.replace("\\\"", "\"").replace("\\n", "\n");
        let pair = value.split_once(" = ");
        match (kind, pair) {
            ("hash", Some((field, value))) => redis.command(["HSET", key, field, value]),
            ("set", _) => redis.command(["SADD", key, &value]),
            ("zset", Some((member, score))) => redis.command(["ZADD", key, score, member]),
            ("zset", _) => redis.command(["ZADD", key, "0", &value]),
            _ if key.contains(":output:") => continue,
            _ => redis.command(["SET", key, &value]),
        };
    }
}

#[test]
fn what_an_earlier_program_has_written_is_read() {
    for version in 1..=2 {
        let golden = format!("{}/tests/store/redis-{version}.txt", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(golden).unwrap();
        with(server(), async |server| {
            fill(&server.redis, &golden);
            let store = server.store("shop");
            read_all(&store).await;
            let which = Which::After { owner: "web-1.k7".to_owned(), order: 0, limit: 9 };
            let waiting = store.waiting(which).await.unwrap();
            let expected: &[(u64, u32)] =
                if golden.contains(":outbox") { &[(1, 1), (3, 3)] } else { &[] };
            let of = |number| format!("{}:{number}", key(number));
            let expected: Vec<_> =
                expected.iter().map(|(order, number)| (*order, of(*number))).collect();
            let found: Vec<_> = waiting.iter().map(|one| (one.order, one.id.clone())).collect();
            assert_eq!(found, expected);
            assert!(
                waiting.iter().all(|one| one.bytes == b"a message" && one.expires == at(3_600))
            );
        });
    }
}

async fn read_all(store: &dyn Store) {
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(60)));
    assert_eq!(loaded.jobs[&key(1)].since, Some(at(-5)));
    assert!(loaded.jobs[&key(3)].paused);
    assert_eq!(loaded.jobs[&key(4)].owed.len(), 1);
    assert_eq!(loaded.open.len(), 1);
    assert_eq!(store.runs(super::harness::all(9)).await.unwrap().runs.len(), 3);
    assert_eq!(store.snapshot().await.unwrap().unwrap().bytes, b"snapshot");
    assert_eq!(store.seed_rows().await.unwrap(), Some(b"[]".to_vec()));
}
