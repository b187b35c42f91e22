//! A daemon with a schedule of its own on a Redis: what its earlier life has left there is given back to it.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::client::told;
use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::{Redis, Reply};

const JOBS: &str = "\
# cronkeep: name=queue overlap=queue grace=1h
0 0 1 1 * exec sleep 1000
# cronkeep: name=other
0 0 1 1 * exec sleep 1000
";

fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline);
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
}

fn started(crond: Crond, redis: &Redis) -> Running {
    let store = format!("--store={}", redis.url());
    let crond = crond.args([store.as_str(), "--namespace=default", "--local"]).start();
    crond.wait_for_socket();
    crond
}

/// What the values of a hash say, one after the other.
fn values(redis: &Redis, key: &str) -> String {
    let key = format!("{{cronkeep:default}}:{key}");
    let Reply::List(values) = redis.command(["HVALS", &key]) else { panic!("no list") };
    let text = |value| match value {
        Reply::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    values.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

fn owed(redis: &Redis) -> Reply {
    redis.command(["HLEN", "{cronkeep:default}:owed"])
}

/// Runs a job until the process has been recorded.
fn run(crond: &mut Running, redis: &Redis, job: &str) -> (Pid, String) {
    told(crond, &["run", job]);
    process(crond, redis)
}

/// The process of the next run that starts, and its id.
fn process(crond: &mut Running, redis: &Redis) -> (Pid, String) {
    let event = crond.expect("run.started");
    let (pid, run) = (event["pid"].as_i64().unwrap(), event["run"].as_str().unwrap().to_owned());
    let pid_is_kept = format!("\"pid\":{pid},");
    until(|| values(redis, "records").contains(&pid_is_kept));
    (Pid::from_raw(i32::try_from(pid).unwrap()), run)
}

#[test]
fn what_was_owed_and_what_was_cut_off_is_given_back_after_a_kill() {
    let Some(redis) = Redis::start() else { return };
    let mut crond = started(Crond::new().crontab(JOBS), &redis);
    let (alive, first) = run(&mut crond, &redis, "queue");
    let (dead, lost) = run(&mut crond, &redis, "other");
    told(&crond, &["run", "queue"]);
    until(|| owed(&redis) == Reply::Number(1));
    let next = crond.again(Signal::SIGKILL);
    kill(dead, Signal::SIGKILL).unwrap();
    until(|| {
        cronkeep::unix::process::since(cronkeep::unix::Pid::from_raw(dead.as_raw())).is_none()
    });
    let mut crond = started(next, &redis);
    until(|| {
        let records = values(&redis, "records");
        let is_it =
            |record: &&str| record.contains(&lost) && record.contains(r#""outcome":"lost""#);
        records.lines().any(|record| is_it(&record))
    });
    let status =
        || -> Value { serde_json::from_str(&told(&crond, &["status", "--json"])).unwrap() };
    until(|| status()["waiting"].as_array().is_some_and(|all| all.len() == 1));
    assert_eq!(status()["active"][0]["run"], first.as_str());
    kill(alive, Signal::SIGKILL).unwrap();
    let ended = crond.expect("run.lost");
    assert_eq!(ended["run"], first.as_str());
    let (pid, _) = process(&mut crond, &redis);
    until(|| owed(&redis) == Reply::Number(0));
    kill(pid, Signal::SIGKILL).unwrap();
    crond.expect("run.ended");
    crond.stop();
}
