//! Starts that the store has recorded, and whose answer nobody heard.

use std::process::Command;
use std::time::{Duration, Instant};

use cronkeep::store::RunRecord;
use cronkeep::store::record::RecordedOutcome;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::cluster::{Cluster, EACH_SECOND, assert_once, assert_whole, missing};
use crate::harness::{PATIENCE, Running};
use crate::outcome::records;
use crate::redis::{Redis, Reply};

/// What is granted is handed on after this: Redis is stopped in it.
const LINGER: &str = "replica-linger-600";
/// An owner that is alone would make what is claimed without the store, and who is started then does not know of it.
const HOLD: [&str; 2] = ["--when-store-down", "hold"];
/// When the start was asked for since, and the answer not waited for any longer; it is asked for again half a second later.
const GIVEN_UP: Duration = Duration::from_millis(1_300);

fn wait(span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        std::thread::park_timeout(until - Instant::now());
    }
}

/// The lines of what is claimed and what is going, with this letter.
fn fires(redis: &Redis, letter: &str) -> Vec<String> {
    let Reply::List(fields) = redis.command(["HVALS", "{cronkeep:test}:fires"]) else {
        return Vec::new();
    };
    let text = |field| match field {
        Reply::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    let lines = fields.into_iter().map(text).collect::<String>();
    lines.lines().filter(|line| line.starts_with(letter)).map(str::to_owned).collect()
}

/// Waits until there is one; whether there was in time.
fn sees_one(redis: &Redis, letter: &str, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while fires(redis, letter).is_empty() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    true
}

/// Has Redis record a start of `owner`, which is stopped before it hears of it.
fn lose_answer(cluster: &Cluster, owner: &Running) {
    for _ in 0..10 {
        assert!(sees_one(&cluster.redis, "c ", PATIENCE), "nothing is claimed");
        cluster.redis.pause();
        wait(GIVEN_UP);
        owner.signal(Signal::SIGSTOP);
        cluster.redis.resume();
        if sees_one(&cluster.redis, "s ", Duration::from_secs(2)) {
            return;
        }
        // On a busy machine it had not come so far.
        owner.signal(Signal::SIGCONT);
        cluster.wait_for_more(2);
    }
    panic!("no start is recorded without its answer");
}

#[test]
fn a_start_that_redis_recorded_and_did_not_answer_is_made_once_it_is_back() {
    let Some(redis) = Redis::setup().durable().start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND).fault(LINGER).args(&HOLD);
    let replica = cluster.replica("a").start();
    cluster.wait_for_more(2);
    lose_answer(&cluster, &replica);
    // It forgets who lives, and no lease of before is worth anything.
    cluster.redis.restart();
    replica.signal(Signal::SIGCONT);
    let ran = cluster.wait_for_more(14);
    assert_once(&ran);
    assert_whole(&ran);
}

#[test]
fn a_start_that_redis_recorded_and_did_not_answer_stays_lost_once_another_has_told_it() {
    let Some(redis) = Redis::setup().durable().start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND).fault(LINGER).args(&HOLD);
    let owner = cluster.replica("a").start();
    cluster.wait_for_more(2);
    lose_answer(&cluster, &owner);
    let mut other = cluster.replica("b").start();
    other.expect("run.lost");
    owner.signal(Signal::SIGCONT);
    let last = cluster.wait_for_more(8).iter().map(|ran| ran.at).max();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut ran = cluster.ran();
        assert_once(&ran);
        ran.retain(|ran| Some(ran.at) <= last);
        let records = records(&cluster.redis.url(), "test");
        let outcomes = |at| {
            let of_it = records.iter().filter(move |record| record.due.at == at);
            of_it.map(|record| record.outcome).collect::<Vec<_>>()
        };
        let told: Vec<_> = missing(&ran).into_iter().map(outcomes).collect();
        if told.iter().all(|outcomes| *outcomes == [Some(RecordedOutcome::Lost)]) {
            return;
        }
        // What is started in this moment is neither yet.
        assert!(Instant::now() < deadline, "neither started nor lost: {told:?}");
        wait(Duration::from_millis(100));
    }
}

/// What a client prints that asks this daemon.
fn ask(daemon: &Running, words: &[&str]) -> String {
    let mut client = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    let output = client.args(words).env("CRONKEEP_CONTROL", daemon.socket()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The run that is about to be started, once there is one.
fn starting(daemon: &Running) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status: Value = serde_json::from_str(&ask(daemon, &["status", "--json"])).unwrap();
        if let Some(run) = status["waiting"][0]["run"].as_str() {
            return run.to_owned();
        }
        assert!(Instant::now() < deadline, "nothing is about to be started: {status}");
        wait(Duration::from_millis(20));
    }
}

#[test]
fn a_start_that_was_never_asked_for_and_was_stopped_meanwhile_is_told_and_not_made() {
    let Some(redis) = Redis::setup().durable().start() else { return };
    let mut cluster = Cluster::new(redis, "*/20 * * * * * {write}\n");
    cluster = cluster.fault("replica-linger-3000").args(&HOLD);
    let mut replica = cluster.replica("a").start();
    assert!(sees_one(&cluster.redis, "c ", 3 * PATIENCE), "nothing is claimed");
    cluster.redis.kill();
    let killed = Instant::now();
    let run = starting(&replica);
    ask(&replica, &["stop", &run]);
    // Until its lease has ended: the next one is not heeded at once.
    wait(Duration::from_secs(7).saturating_sub(killed.elapsed()));
    cluster.redis.restart();
    let ended = "it was ended before its start";
    replica.expect_where("run.skipped", |event| event["reason"] == ended);
    let told = |records: &[RunRecord]| {
        let is_it = |record: &&RunRecord| record.run.to_string() == run;
        records.iter().find(is_it).map(|record| record.due.at)
    };
    let deadline = Instant::now() + PATIENCE;
    let at = loop {
        if let Some(at) = told(&records(&cluster.redis.url(), "test")) {
            break at;
        }
        assert!(Instant::now() < deadline, "it is not recorded");
        wait(Duration::from_millis(20));
    };
    // Were it started, then before the next.
    let ran = cluster.wait_for("the next instant", |ran| ran.iter().any(|ran| ran.at > at));
    assert!(ran.iter().all(|ran| ran.at != at), "{ran:?}");
    let records = records(&cluster.redis.url(), "test").into_iter();
    let of_it: Vec<_> = records.filter(|record| record.due.at == at).collect();
    assert_eq!(of_it.len(), 1, "{of_it:?}");
    assert_eq!(of_it[0].outcome, Some(RecordedOutcome::Skipped));
    assert_eq!(of_it[0].reason.as_deref(), Some(ended));
}
