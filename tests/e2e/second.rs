//! A daemon on the store of another one that lives, is about to end, or was just killed; and a store that is not there yet.

use std::collections::HashSet;
use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::told;
use crate::harness::Crond;
use crate::world::{IMAGE, World};

/// A job that tells each instant for which it runs.
const EACH_SECOND: &str = "* * * * * * echo $CRONKEEP_SCHEDULED_AT >> {dir}/ticks\n";

fn is_about(event: &Value, words: &str) -> bool {
    event["message"].as_str().is_some_and(|text| text.contains(words))
}

#[test]
fn a_daemon_that_starts_before_the_one_that_was_killed_is_gone_starts_nothing_again() {
    let crond = Crond::new().crontab(EACH_SECOND).start();
    crond.expect_file("ticks", |text| text.lines().count() >= 2);
    let mut next = Crond::on(crond.keep_folder()).spawn();
    // It lives on for more than a second: the lock is held by no dead process.
    next.expect_where("crontab.notice", |event| is_about(event, "it is waited for, 3 s at most"));
    let before = crond.expect_file("ticks", |_| true).lines().count();
    drop(crond.again(Signal::SIGKILL));
    next.expect("crontab.loaded");
    let ticks = next.expect_file("ticks", |text| text.lines().count() >= before + 3);
    let mut instants = HashSet::new();
    assert!(ticks.lines().all(|instant| instants.insert(instant)), "{ticks}");
    let health = told(&next, &["health"]);
    assert!(!health.contains("nothing is kept"), "{health}");
    next.stop();
}

#[test]
fn a_daemon_beside_another_in_a_state_directory_that_was_named_says_who_has_it_and_ends() {
    let crond = Crond::new().crontab(IMAGE).start();
    let state = format!("--state-dir={}", crond.path("state").display());
    let (status, events) = Crond::on(crond.keep_folder()).arg(state).spawn().wait();
    assert_eq!(status.code(), Some(1));
    let has = format!("the daemon with pid {} has the store ", crond.pid());
    let says = |event: &Value| event["raw"].as_str().is_some_and(|text| text.contains(&has));
    assert!(events.iter().any(says), "{events:#?}");
    crond.stop();
}

#[test]
fn a_daemon_beside_another_in_a_state_directory_of_the_environment_goes_on_in_memory() {
    let crond = Crond::new().crontab(IMAGE).start();
    // As an image has it: nobody has named it to this one.
    let socket = crond.path("other.sock");
    let next = Crond::on(crond.keep_folder()).env("CRONKEEP_CONTROL", &socket).start();
    let has = format!("another daemon, pid {}, has the store ", crond.pid());
    let health = told(&next, &["health"]);
    assert!(health.starts_with("degraded: ") && health.contains(&has), "{health}");
    assert!(health.contains("nothing is kept"), "{health}");
    next.stop();
    crond.stop();
}

#[test]
fn a_named_store_whose_directory_is_missing_is_away_until_it_appears_and_locked_then() {
    let world = World::new(IMAGE).with("--store=sqlite:{dir}/volume/x.db");
    let mut crond = world.crond().spawn();
    crond.expect("store.down");
    assert!(!world.path("volume").exists(), "it may be a volume that is not mounted yet");
    fs::create_dir(world.path("volume")).unwrap();
    crond.expect("store.up");
    assert!(world.path("volume/x.db").exists() && world.path("volume/x.db.lock").exists());
    let (status, _) = world.crond().spawn().wait();
    assert_eq!(status.code(), Some(1), "it is locked");
    crond.stop();
}
