//! Replicas that die or are stopped between a claim and its start.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::cluster::{Cluster, EACH_SECOND, assert_once, assert_whole, suspend};
use crate::redis::{Redis, Reply};

/// The claims that are recorded and not started.
fn claimed(redis: &Redis) -> usize {
    let Reply::List(fields) = redis.command(["HVALS", "{cronkeep:test}:fires"]) else { return 0 };
    let text = |reply: &Reply| match reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    fields
        .iter()
        .map(|field| text(field).lines().filter(|line| line.starts_with("c ")).count())
        .sum()
}

fn wait_for_claim(redis: &Redis) {
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while claimed(redis) == 0 {
        assert!(std::time::Instant::now() < deadline, "nothing is claimed");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn what_a_killed_replica_has_claimed_is_started_by_another() {
    let Some(redis) = Redis::start() else { return };
    // What is granted is kept for a while: long enough to be killed in.
    let cluster = Cluster::new(redis, EACH_SECOND).fault("replica-linger-600");
    let owner = cluster.replica("a").start();
    cluster.wait_for_more(2);
    let mut other = cluster.replica("b").start();
    crate::cluster::expect_alive(&other, 2);
    // Until it is the one that claims.
    let before = cluster.ran().len();
    wait_for_claim(&cluster.redis);
    owner.signal(Signal::SIGKILL);
    drop(owner);
    let ran = cluster.wait_for("a start by the other", |ran| {
        ran.len() > before + 10 && ran.last().is_some_and(|ran| ran.who == "b")
    });
    assert_once(&ran);
    assert_whole(&ran);
    drop(other.seen());
}

#[test]
fn a_replica_that_was_stopped_starts_nothing_that_others_took_over() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND).fault("replica-linger-600");
    let replicas = cluster.start(&["a", "b"]);
    cluster.wait_for_more(2);
    for replica in &replicas {
        wait_for_claim(&cluster.redis);
        suspend(replica, Duration::from_secs(9));
        cluster.wait_for_more(4);
    }
    let ran = cluster.wait_for_more(8);
    assert_once(&ran);
    assert_whole(&ran);
}

#[test]
fn without_the_second_comparison_a_stopped_replica_starts_twice() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND).fault("replica-linger-600,careless-starts-1");
    let replicas = cluster.start(&["a", "b"]);
    cluster.wait_for_more(2);
    for _ in 0..5 {
        for replica in &replicas {
            wait_for_claim(&cluster.redis);
            suspend(replica, Duration::from_secs(9));
            cluster.wait_for_more(4);
            if crate::cluster::instants(&cluster.ran()).values().any(|count| *count > 1) {
                return;
            }
        }
    }
    panic!("nothing was started twice: {:#?}", cluster.ran());
}
