//! A replica that dies amid a burst: what it had recorded and not made yet is lost, and that is little; all else is decided.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::signal::Signal;

use crate::cluster::{Cluster, Ran, assert_once, expect_alive};
use crate::harness::Running;
use crate::redis::{Redis, Reply};

/// Jobs that are due at once.
const MANY: usize = 200;
/// Starts of a burst that were seen when the replica is killed.
const SEEN: usize = 20;
/// Kills in one run; `CRONKEEP_TEST_KILLS` says otherwise.
const KILLS: usize = 2;
/// How long it may take until others have dealt with what a replica has left: it counts as alive for six seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// What one kill may cost: on a machine with time to spare a dozen, starts that are recorded together and those that are being
/// made; more where a start takes longer than others wait for it.
const LOST: usize = MANY / 2;

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

fn texts(reply: Reply) -> Vec<String> {
    let Reply::List(replies) = reply else { return Vec::new() };
    let text = |reply| match reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    replies.into_iter().map(text).collect()
}

/// What is claimed of this instant, or started and not ended, as the store has it.
fn undecided(redis: &Redis, at: Timestamp) -> Vec<String> {
    let lists = texts(redis.command(["HVALS", "{cronkeep:test}:fires"]));
    let is_of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            // A claim: its second word is the generation, its third the instant.
            ["c" | "f" | "p" | "l", _, instant, ..] => {
                instant.parse().is_ok_and(|of: Timestamp| of == at)
            }
            ["s", run, attempt, ..] => {
                let run = format!("{run} {attempt}");
                let record = texts(redis.command(["HMGET", "{cronkeep:test}:records", &run]));
                record[0].contains(&format!("\"{at}\""))
            }
            _ => panic!("{line:?}"),
        }
    };
    lists
        .iter()
        .flat_map(|list| list.lines())
        .filter(|line| is_of(line))
        .map(str::to_owned)
        .collect()
}

/// Waits until nothing of an instant is undecided.
fn expect_decided(redis: &Redis, at: Timestamp) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = undecided(redis, at);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "nobody decides: {left:#?}");
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn of(ran: &[Ran], at: Timestamp) -> usize {
    ran.iter().filter(|ran| ran.at == at).count()
}

#[test]
fn a_kill_amid_a_burst_loses_no_more_than_was_being_made() {
    let kills = std::env::var("CRONKEEP_TEST_KILLS");
    let kills = kills.map_or(KILLS, |text| text.parse().unwrap());
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
        expect_decided(&cluster.redis, at);
        lost.push(MANY - of(&cluster.ran(), at));
    }
    println!("lost at each kill: {lost:?}");
    assert_once(&cluster.ran());
    assert!(lost.iter().all(|lost| *lost <= LOST), "{lost:?}");
}
