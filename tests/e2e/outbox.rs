//! `cronkeep outbox`: what waits, and what is dropped of it.

use std::process::Output;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{client_at, objects, refused, told};
use crate::harness::{Crond, PATIENCE, Running};
use crate::publish::{entry, last_run, run, with_broker};
use crate::redis::Redis;

/// A broker that is away.
const NOBODY: &str = "amqp://127.0.0.1:1";

/// What `outbox --json` tells, once so much waits.
fn waiting(crond: &Running, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let letters = objects(&told(crond, &["outbox", "--json"]));
        if letters.len() == count {
            return letters;
        }
        assert!(Instant::now() < deadline, "{letters:?}");
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
}

fn me() -> String {
    nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name
}

#[test]
fn what_waits_is_listed_without_its_body_and_dropped_by_its_id_or_its_job() {
    let text = entry("one", "cronkeep publish x key.one '{\"password\": 1}'")
        + &entry("two", "cronkeep publish '' two body");
    let mut crond = with_broker(NOBODY, &text);
    assert_eq!(told(&crond, &["outbox"]), "no messages\n");
    for job in ["one", "two", "two"] {
        assert_eq!(run(&crond, job), 1);
    }
    let letters = waiting(&crond, 3);
    let one = &letters[0];
    assert_eq!((&one["job"], &one["exchange"]), (&"one".into(), &"x".into()), "{one}");
    assert_eq!((&one["routing_key"], &one["tries"]), (&"key.one".into(), &0.into()), "{one}");
    assert_eq!(one["run"], last_run(&crond, "one")["run"]);
    assert!(one["bytes"].as_u64().unwrap() > 0 && !one.to_string().contains("password"), "{one}");
    let table = told(&crond, &["outbox"]);
    assert!(table.lines().next().unwrap().starts_with("ID "), "{table}");
    assert!(table.contains("x key.one") && table.contains("'' two"), "{table}");
    assert_eq!(told(&crond, &["outbox", "--job", "two"]).lines().count(), 3);
    let id = one["id"].as_str().unwrap();
    assert_eq!(told(&crond, &["outbox", "drop", id]), "1 message dropped\n");
    let event = crond.expect("message.dropped");
    assert_eq!(event["reason"], format!("dropped by {}", me()), "{event}");
    assert_eq!(event["message"], id);
    waiting(&crond, 2);
    let unknown = refused(&crond, &["outbox", "drop", id], 1);
    assert!(unknown.contains("no message") && unknown.contains("cronkeep outbox"), "{unknown}");
    refused(&crond, &["outbox", "drop"], 2);
    refused(&crond, &["outbox", "--all"], 2);
    let none = told(&crond, &["outbox", "drop", "--all", "--job", "one"]);
    assert_eq!(none, "0 messages dropped\n");
    let json = told(&crond, &["outbox", "drop", "--all", "--json"]);
    assert_eq!(objects(&json)[0]["dropped"].as_array().unwrap().len(), 2, "{json}");
    assert_eq!(told(&crond, &["outbox"]), "no messages\n");
    // Nothing of it is there after a kill either.
    let crond = crond.again(Signal::SIGKILL).env("CRONKEEP_AMQP", NOBODY).start();
    crond.wait_for_socket();
    assert_eq!(told(&crond, &["outbox"]), "no messages\n");
}

#[test]
fn a_further_attempt_does_not_publish_what_was_dropped() {
    let text = entry("job", "cronkeep publish '' q x")
        .replace("name=job", "name=job retries=1000 retry-delay=1s");
    let mut crond = with_broker(NOBODY, &text);
    told(&crond, &["run", "job"]);
    crond.expect("run.ended");
    waiting(&crond, 1);
    told(&crond, &["outbox", "drop", "--all"]);
    let last = crond.expect_where("run.ended", |end| end["retry_ms"].is_null());
    assert_eq!(last["reason"], "somebody dropped the message", "{last}");
    waiting(&crond, 0);
}

#[test]
fn a_run_that_waits_for_a_worker_ends_when_its_order_is_dropped() {
    let text =
        "# cronkeep: name=job executor=worker:batch retries=3 retry-delay=0s\n0 0 1 1 * true\n";
    let crond = Crond::new().env("CRONKEEP_AMQP", NOBODY).crontab(text);
    let crond = crond.args(["--worker-key", "none"]).start();
    crond.wait_for_socket();
    told(&crond, &["run", "job"]);
    let letters = waiting(&crond, 1);
    assert_eq!((&letters[0]["routing_key"], &letters[0]["tries"]), (&"batch".into(), &0.into()));
    told(&crond, &["outbox", "drop", letters[0]["id"].as_str().unwrap()]);
    let end = last_run(&crond, "job");
    assert_eq!((&end["outcome"], &end["attempt"]), (&"could not start".into(), &1.into()), "{end}");
    let reason = end["reason"].as_str().unwrap();
    assert!(reason.contains(&format!("its order was dropped by {}", me())), "{reason}");
    let status: Value = serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap();
    assert_eq!(status["waiting"], Value::Array(Vec::new()), "no further attempt: {status}");
    waiting(&crond, 0);
}

#[test]
fn a_daemon_without_a_broker_lists_and_drops_what_an_earlier_life_has_left() {
    let crond = with_broker(NOBODY, &entry("job", "cronkeep publish '' q x"));
    assert_eq!(run(&crond, "job"), 1);
    let id = waiting(&crond, 1)[0]["id"].clone();
    let mut crond = crond.again(Signal::SIGTERM).spawn();
    crond.expect_where("crontab.notice", |told| told.to_string().contains("nobody sends them"));
    crond.wait_for_socket();
    assert_eq!(waiting(&crond, 1)[0]["id"], id);
    assert!(told(&crond, &["health"]).contains("nobody sends them"));
    assert_eq!(told(&crond, &["outbox", "drop", "--all"]), "1 message dropped\n");
    assert!(!told(&crond, &["health"]).contains("nobody sends them"));
    assert_eq!(told(&crond, &["outbox"]), "no messages\n");
}

/// What `outbox` says with these words in the folder of a daemon that has ended, by its store.
fn without_daemon(crond: &Crond, store: &[&str], words: &[&str]) -> Output {
    let mut command = client_at(&crond.folder().join("run/control.sock"), &["outbox"]);
    command.args(words).args(store).env("CRONKEEP_STATE_DIR", crond.folder().join("state"));
    command.output().unwrap()
}

/// Lists what has been left behind by a daemon that this is about to replace, and by it again.
fn expect_listed(crond: Running, store: &[&str], id: &str) -> Crond {
    let crond = crond.again(Signal::SIGTERM);
    let output = without_daemon(&crond, store, &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no daemon listens") && told.contains("until one runs"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let letters = objects(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(letters.len(), 1, "{letters:?}");
    let letter = &letters[0];
    assert_eq!((&letter["id"], &letter["job"]), (&id.into(), &"job".into()), "{letter}");
    assert_eq!((&letter["exchange"], &letter["tries"]), (&"x".into(), &0.into()), "{letter}");
    assert!(letter["replica"].as_str().unwrap().starts_with(&hostname()), "{letter}");
    assert!(!letter.to_string().contains("password"), "{letter}");
    let table = without_daemon(&crond, store, &["list", "--job", "job"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains(id) && table.contains("x key"), "{table}");
    let none = without_daemon(&crond, store, &["--job", "other"]);
    assert_eq!(none.stdout, b"no messages\n");
    let unknown = without_daemon(&crond, store, &["list", "nothing"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no message \"nothing\" waits"));
    let drop = without_daemon(&crond, store, &["drop", id]);
    assert_eq!(drop.status.code(), Some(1));
    let told = String::from_utf8(drop.stderr).unwrap();
    assert!(told.contains("no daemon listens") && told.contains("without --amqp"), "{told}");
    crond
}

fn hostname() -> String {
    cronkeep::unix::identity::hostname()
}

#[test]
fn what_waits_is_listed_without_a_daemon_and_dropped_by_one_alone() {
    let text = entry("job", "cronkeep publish x key '{\"password\": 1}'");
    let crond = with_broker(NOBODY, &text);
    assert_eq!(run(&crond, "job"), 1);
    let letter = waiting(&crond, 1).remove(0);
    assert_eq!(letter["replica"], hostname());
    let id = letter["id"].as_str().unwrap();
    let crond = expect_listed(crond, &[], id);
    // What the remedy says.
    let crond = crond.start();
    crond.wait_for_socket();
    assert_eq!(told(&crond, &["outbox", "drop", id]), "1 message dropped\n");
    let crond = crond.again(Signal::SIGTERM);
    assert_eq!(without_daemon(&crond, &[], &[]).stdout, b"no messages\n");
}

#[test]
fn what_waits_in_a_redis_is_listed_without_a_daemon() {
    let Some(redis) = Redis::start() else { return };
    let url = redis.url();
    let store = ["--store", &*url, "--namespace", "shop"];
    let text = entry("job", "cronkeep publish x key '{\"password\": 1}'");
    let crond = Crond::new().env("CRONKEEP_AMQP", NOBODY).crontab(&text).args(store).start();
    crond.wait_for_socket();
    assert_eq!(run(&crond, "job"), 1);
    let letter = waiting(&crond, 1).remove(0);
    expect_listed(crond, &store, letter["id"].as_str().unwrap());
}

#[test]
fn without_a_daemon_and_without_a_store_both_are_said_to_be_missing() {
    let crond = Crond::new();
    let output = without_daemon(&crond, &[], &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("no daemon listens") && told.contains("nothing was kept"), "{told}");
}
