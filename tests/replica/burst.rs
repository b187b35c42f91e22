//! A replica that dies amid a burst: what it had recorded and not made yet is lost, and that is little.

use jiff::Timestamp;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Ran, assert_once, expect_alive};
use crate::harness::Running;
use crate::redis::{Redis, Reply};

/// Jobs that are due at once.
const MANY: usize = 200;
/// Starts of a burst that were seen when the replica is killed.
const SEEN: usize = 20;
/// What one kill may cost: on a machine with time to spare a dozen, starts that are recorded together and those that are being
/// made; more where a start takes longer than others wait for it.
const LOST: usize = MANY / 5;

/// A replica, and who it is to its jobs.
struct Named {
    who: String,
    running: Running,
}

/// Starts a replica; it knows of so many, itself included.
fn join(cluster: &Cluster, who: &str, others: &[Named]) -> Named {
    let running = cluster.replica(who).start();
    for replica in others.iter().map(|other| &other.running).chain([&running]) {
        expect_alive(replica, others.len() + 1);
    }
    Named { who: who.to_owned(), running }
}

/// How many instants were claimed, or started and not ended.
fn undecided(redis: &Redis) -> usize {
    let Reply::List(lists) = redis.command(["HVALS", "{cronkeep:test}:fires"]) else { return 0 };
    lists.len()
}

fn of(ran: &[Ran], at: Timestamp) -> usize {
    ran.iter().filter(|ran| ran.at == at).count()
}

#[test]
fn a_kill_amid_a_burst_loses_no_more_than_was_being_made() {
    // It measures: what it waits for is not there within a minute on every machine.
    let Ok(kills) = std::env::var("CRONKEEP_TEST_KILLS") else {
        println!("skipped: CRONKEEP_TEST_KILLS says how often, as `make soak` does");
        return;
    };
    let kills: usize = kills.parse().unwrap();
    let Some(redis) = Redis::start() else { return };
    let crontab: Vec<String> =
        (0..MANY).map(|n| format!("*/20 * * * * * {{write}}; : {n}\n")).collect();
    let cluster = Cluster::new(redis, &crontab.concat());
    let mut replicas = vec![join(&cluster, "first", &[])];
    let mut lost = Vec::new();
    for round in 0..kills {
        replicas.push(join(&cluster, &format!("n{round}"), &replicas));
        let begun = Timestamp::now();
        let ran = cluster.wait_for("a burst", |ran| {
            ran.last().is_some_and(|last| last.at > begun && of(ran, last.at) >= SEEN)
        });
        let Ran { who, at, .. } = ran.last().unwrap().clone();
        let owner = replicas.iter().position(|replica| replica.who == who).unwrap();
        let owner = replicas.remove(owner);
        owner.running.signal(Signal::SIGKILL);
        drop(owner.running);
        let ran = cluster.wait_for("the rest", |_| undecided(&cluster.redis) == 0);
        lost.push(MANY - of(&ran, at));
    }
    println!("lost at each kill: {lost:?}");
    assert_once(&cluster.ran());
    assert!(lost.iter().all(|lost| *lost <= LOST), "{lost:?}");
}
