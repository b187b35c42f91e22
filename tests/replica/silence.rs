//! A Redis that is killed, paused, emptied.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, EACH_SECOND, assert_once, assert_whole, missing, notices, status};
use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::{Redis, Reply};

fn wait(span: Duration) {
    let until = Instant::now() + span;
    while Instant::now() < until {
        std::thread::park_timeout(until - Instant::now());
    }
}

#[test]
fn a_lone_replica_goes_on_while_redis_is_away() {
    let Some(redis) = Redis::start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND);
    let replicas = cluster.start(&["a"]);
    cluster.wait_for_more(9);
    cluster.redis.kill();
    cluster.wait_for_more(5);
    cluster.redis.restart();
    let ran = cluster.wait_for_more(12);
    assert_once(&ran);
    assert_whole(&ran);
    drop(replicas);
}

#[test]
fn replicas_hold_while_redis_is_away_and_start_what_is_in_time_when_it_returns() {
    let Some(redis) = Redis::setup().durable().start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND);
    let mut replicas = cluster.start(&["a", "b", "c"]);
    cluster.wait_for_more(3);
    let killed = Instant::now();
    cluster.redis.kill();
    wait(Duration::from_secs(2));
    let before = cluster.ran().len();
    wait(Duration::from_secs(4));
    assert_eq!(cluster.ran().len(), before, "{:#?}", cluster.ran());
    for replica in &replicas {
        let status = status(replica);
        // One each second, and those that had waited since it joined.
        let held = status["held"].as_u64().unwrap();
        let most = killed.elapsed().as_secs() + 8;
        assert!((3..=most).contains(&held), "{status:#}");
        let health = status["health"].to_string();
        assert!(health.contains("fires are held: the store is away"), "{health}");
        assert_eq!(status["health"]["degraded"], true, "{status:#}");
    }
    cluster.redis.restart();
    let ran = cluster.wait_for("what was held", |ran| ran.len() > before + 20);
    assert_once(&ran);
    assert_whole(&ran);
    for replica in &mut replicas {
        assert_eq!(status(replica)["held"], 0);
        let events = replica.seen();
        let told = |text: &str| {
            let says =
                |event: &&Value| event["message"].as_str().is_some_and(|it| it.contains(text));
            events.iter().filter(says).count()
        };
        assert_eq!(told("the schedule goes on"), 0, "{events:#?}");
        let all = |name| events.iter().filter(move |event| event["event"] == name);
        // The connection that had rested is not found dead later on; that a busy machine does not answer in time is no such thing.
        let is_slow =
            |event: &&Value| event["reason"].as_str().is_some_and(|it| it.contains("answer"));
        for name in ["store.down", "scheduler.paused"] {
            let later = all(name).skip(1).filter(|event| !is_slow(event)).count();
            assert!(all(name).count() > 0 && later == 0, "{name}: {events:#?}");
        }
        let (paused, resumed) = (all("scheduler.paused").count(), all("scheduler.resumed").count());
        assert!((1..=paused).contains(&resumed), "{events:#?}");
        let paused = all("scheduler.paused").next().unwrap();
        assert!(paused["reason"].as_str().unwrap().contains("other replicas may live"), "{paused}");
    }
}

#[test]
fn a_redis_that_lost_everything_has_nothing_started_twice() {
    let Some(redis) = Redis::start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND);
    let _replicas = cluster.start(&["a", "b", "c"]);
    cluster.wait_for_more(3);
    cluster.redis.restart();
    cluster.wait_for_more(15);
    cluster.redis.flush();
    let ran = cluster.wait_for_more(15);
    assert_once(&ran);
}

/// Pauses a job, or resumes it.
fn switch(replica: &Running, word: &str, job: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    let output = command.args([word, job, "--control"]).arg(replica.socket()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Waits until a replica has told that the store lost its data, and what came of it: one of these.
fn expect_loss(replica: &mut Running, outcomes: &[&str]) {
    let fits = |text: &str| {
        let came = text.strip_prefix("the store has lost its data: ");
        came.is_some_and(|came| outcomes.iter().any(|outcome| came.starts_with(outcome)))
    };
    replica.expect_where("crontab.notice", |event| event["message"].as_str().is_some_and(fits));
}

#[test]
fn a_redis_that_lost_everything_has_its_pauses_again() {
    let Some(redis) = Redis::start() else { return };
    let both = format!("{EACH_SECOND}* * * * * * echo >> {{folder}}/others\n");
    let cluster = Cluster::new(redis, &both);
    let mut replica = cluster.replica("a").start();
    let job = cluster.wait_for_more(2)[0].job.clone();
    switch(&replica, "pause", &job);
    let others = || std::fs::read_to_string(cluster.path("others")).unwrap_or_default().len();
    let wait_for_others = |count| {
        let deadline = Instant::now() + 3 * PATIENCE;
        let goal = others() + count;
        while others() < goal {
            assert!(Instant::now() < deadline, "nothing is started any more");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    };
    // The store has told that it is paused by then.
    wait_for_others(5);
    let before = cluster.ran();
    cluster.redis.flush();
    expect_loss(&mut replica, &["1 job is paused again"]);
    wait_for_others(5);
    assert_eq!(cluster.ran(), before);
    assert_eq!(cluster.redis.command(["HLEN", "{cronkeep:test}:since"]), Reply::Number(2));
    replica.stop();
    // A server that has its data, or has lost it before, is believed where somebody resumes a job.
    let mut replica = cluster.replica("b").start();
    wait_for_others(3);
    assert_eq!(cluster.ran(), before, "the next life knows it, too");
    switch(&replica, "resume", &job);
    cluster.wait_for_more(4);
    cluster.redis.flush();
    expect_loss(&mut replica, &["no job was paused"]);
    cluster.wait_for_more(2);
}

#[test]
fn a_job_that_is_resumed_just_after_redis_lost_everything_runs() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let mut replica = cluster.replica("a").start();
    let job = cluster.wait_for_more(2)[0].job.clone();
    switch(&replica, "pause", &job);
    let paused = ["SCARD", "{cronkeep:test}:paused"];
    let deadline = Instant::now() + PATIENCE;
    while cluster.redis.command(paused) != Reply::Number(1) {
        assert!(Instant::now() < deadline, "it is not paused");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // An answer has told of it.
    wait(Duration::from_secs(3));
    cluster.redis.flush();
    switch(&replica, "resume", &job);
    // It is paused again where the loss is noticed before the resume has come, which then ends it.
    expect_loss(&mut replica, &["no job was paused", "1 job is paused again"]);
    let deadline = Instant::now() + PATIENCE;
    while cluster.redis.command(paused) != Reply::Number(0) {
        assert!(Instant::now() < deadline, "it is paused");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    cluster.wait_for_more(2);
}

#[test]
fn a_paused_redis_holds_and_nothing_is_started_twice() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let _replicas = cluster.start(&["a", "b"]);
    cluster.wait_for_more(3);
    cluster.redis.pause();
    wait(Duration::from_secs(9));
    cluster.redis.resume();
    let ran = cluster.wait_for_more(20);
    assert_once(&ran);
    assert_whole(&ran);
}

/// Waits until a daemon has told of a missed instant for this reason.
fn expect_missed(replica: &mut Running, reason: &str) {
    replica.expect_where("run.missed", |event| {
        event["message"].as_str().is_some_and(|text| text.contains(reason))
            || event["reason"].as_str().is_some_and(|text| text.contains(reason))
    });
}

#[test]
fn hold_lists_what_was_held_for_too_long() {
    let Some(redis) = Redis::start() else { return };
    let crontab = "# cronkeep: grace=2s\n* * * * * * {write}\n";
    let mut cluster = Cluster::new(redis, crontab).args(&["--when-store-down", "hold"]);
    let mut replicas = cluster.start(&["a"]);
    cluster.wait_for_more(3);
    cluster.redis.kill();
    let deadline = Instant::now() + crate::harness::PATIENCE;
    while !notices(&mut replicas[0]).iter().any(|text| text.contains("held for longer")) {
        assert!(Instant::now() < deadline, "{:#?}", notices(&mut replicas[0]));
        std::thread::park_timeout(Duration::from_millis(50));
    }
    cluster.redis.restart();
    expect_missed(&mut replicas[0], "held while the store was away");
    let ran = cluster.wait_for_more(2);
    assert_once(&ran);
    assert!(!missing(&ran).is_empty());
}

#[test]
fn run_goes_on_with_each_replica_while_redis_is_away() {
    let Some(redis) = Redis::start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND).args(&["--when-store-down", "run"]);
    let _replicas = cluster.start(&["a", "b"]);
    assert_once(&cluster.wait_for_more(3));
    cluster.redis.kill();
    cluster.wait_for("instants that both started", |ran| {
        crate::cluster::instants(ran).values().filter(|count| **count == 2).count() >= 2
    });
}

#[test]
fn a_replica_that_never_reached_redis_runs_after_thirty_seconds() {
    let Some(redis) = Redis::start() else { return };
    let mut cluster = Cluster::new(redis, EACH_SECOND);
    cluster.redis.kill();
    let mut replica = cluster.replica("a").start();
    let begun = Instant::now();
    let ran = cluster.wait_for("a start", |ran| !ran.is_empty());
    assert!(begun.elapsed() > Duration::from_secs(20), "{ran:#?}");
    let ran = cluster.wait_for_more(30);
    assert_once(&ran);
    assert_whole(&ran);
    assert!(notices(&mut replica).iter().any(|text| text.contains("has not answered since")));
}

#[test]
fn a_host_that_is_not_known_is_named_as_the_reason_why_fires_wait() {
    let crond = Crond::new().crontab("* * * * * * true\n").arg("--namespace=test");
    let mut replica = crond.arg("--store=redis://no-such-host.invalid/0").start();
    let paused = replica.expect("scheduler.paused");
    let reason = paused["reason"].as_str().unwrap();
    assert!(reason.contains("no-such-host.invalid") && reason.contains("30 s"), "{reason}");
    let health = status(&replica)["health"].to_string();
    assert!(health.contains("held: the store has not answered since the start"), "{health}");
}

#[test]
fn instants_that_come_again_after_the_clock_was_set_back_are_claimed_in_a_new_generation() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let first = cluster.replica("a").start();
    let ran = cluster.wait_for_more(2);
    drop(first.stop());
    // As if the clock had been an hour ahead.
    let job = ran[0].job.trim_start_matches("crondServiceTask-").to_owned();
    let ahead = jiff::Timestamp::now().as_second() + 3_600;
    let at = jiff::Timestamp::from_second(ahead).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let text = at.strftime("%Y-%m-%dT%H:%M:%S.000000000");
    let mark = format!("0000000000 {text}Z {text}");
    for key in ["{cronkeep:test}:watermarks", "{cronkeep:test}:claims"] {
        cluster.redis.command(["HSET", key, &job, &mark]);
    }
    let mut second = cluster.replica("b").start();
    let ran =
        cluster.wait_for("starts", |ran| ran.iter().filter(|ran| ran.who == "b").count() >= 3);
    assert_once(&ran);
    let told = notices(&mut second);
    assert!(told.iter().any(|text| text.contains("ahead of the clock")), "{told:#?}");
    let generation = cluster.redis.command(["HGET", "{cronkeep:test}:state", "generation"]);
    assert_eq!(generation, Reply::Bytes(b"1".to_vec()));
    // The next life goes on from there.
    drop(second.stop());
    let mut third = cluster.replica("c").start();
    let ran =
        cluster.wait_for("starts", |ran| ran.iter().filter(|ran| ran.who == "c").count() >= 3);
    assert_once(&ran);
    let told = notices(&mut third);
    assert!(!told.iter().any(|text| text.contains("ahead of the clock")), "{told:#?}");
}
