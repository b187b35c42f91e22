//! An instant is announced shortly before it, and nothing else comes of that.

use cronkeep::scheduler::LEADS;
use jiff::{SignedDuration, Timestamp};

use crate::harness::Simulation;

/// The first announcement before an instant, and the last.
const FIRST: SignedDuration = LEADS[0];
const LAST: SignedDuration = LEADS[LEADS.len() - 1];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_first_job_of_an_instant_is_announced_twice_and_starts_at_the_instant() {
    let text = "30 0 * * * a\n30 0 * * * b\n31 0 * * * c\n";
    let mut simulation = Simulation::announcing(text, "UTC", "2026-01-01T00:00:00Z");
    let due = at("2026-01-01T00:30:00Z");
    for lead in LEADS {
        assert_eq!(simulation.pass_to_next(), due - lead);
        assert_eq!(simulation.announced(), ["a"]);
        assert!(simulation.fired().is_empty(), "nothing starts early");
    }
    assert_eq!(simulation.pass_to_next(), due);
    assert_eq!(simulation.fired(), ["a 01-01 00:30", "b 01-01 00:30"]);
    assert!(simulation.announced().is_empty());
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:31:00Z") - FIRST);
    assert_eq!(simulation.announced(), ["c"]);
}

#[test]
fn between_instants_there_is_no_other_wake_up() {
    let mut simulation = Simulation::announcing("0 12 * * * a\n", "UTC", "2026-01-01T13:00:00Z");
    let noon = at("2026-01-02T12:00:00Z");
    assert_eq!(simulation.pass_to_next(), noon - FIRST);
    assert_eq!(simulation.pass_to_next(), noon - LAST);
    assert_eq!(simulation.pass_to_next(), noon);
    assert_eq!(simulation.pass_to_next(), at("2026-01-03T12:00:00Z") - FIRST);
}

#[test]
fn what_was_announced_and_is_removed_does_not_start() {
    let mut simulation = Simulation::announcing("30 0 * * * a\n", "UTC", "2026-01-01T00:00:00Z");
    simulation.pass_to_next();
    assert_eq!(simulation.announced(), ["a"]);
    simulation.edit("40 0 * * * b\n");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:40:00Z") - FIRST);
    assert!(simulation.fired().is_empty());
    assert_eq!(simulation.announced(), ["b"]);
}

#[test]
fn a_clock_that_is_set_back_after_the_announcement_puts_the_start_off() {
    let mut simulation = Simulation::announcing("* * * * * a\n", "UTC", "2026-01-01T00:29:30Z");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:30:00Z") - FIRST);
    assert_eq!(simulation.announced(), ["a"]);
    simulation.step("2026-01-01T00:29:00Z");
    assert!(simulation.fired().is_empty());
    simulation.pass("2026-01-01T00:29:59Z");
    assert!(simulation.fired().is_empty());
    simulation.pass("2026-01-01T00:30:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 00:30"]);
}

#[test]
fn a_clock_that_is_set_back_between_the_announcements_begins_them_anew() {
    let mut simulation = Simulation::announcing("* * * * * a\n", "UTC", "2026-01-01T00:29:30Z");
    let due = at("2026-01-01T00:30:00Z");
    assert_eq!(simulation.pass_to_next(), due - FIRST);
    simulation.step("2026-01-01T00:29:58Z");
    assert_eq!(simulation.announced(), ["a"]);
    for lead in LEADS {
        assert_eq!(simulation.pass_to_next(), due - lead);
        assert_eq!(simulation.announced(), ["a"]);
    }
    assert_eq!(simulation.pass_to_next(), due);
    assert_eq!(simulation.fired(), ["a 01-01 00:30"]);
}

#[test]
fn an_instant_that_is_near_already_is_announced_once() {
    let text = "* * * * * * a\n";
    let mut simulation = Simulation::announcing(text, "UTC", "2026-01-01T00:00:00.995Z");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:00:01Z") - LAST);
    assert_eq!(simulation.announced(), ["a"]);
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:00:01Z"));
    assert!(simulation.announced().is_empty());
    assert_eq!(simulation.fired().len(), 1);
}

#[test]
fn an_instant_that_is_too_near_is_not_announced() {
    let text = "* * * * * * a\n";
    let mut simulation = Simulation::announcing(text, "UTC", "2026-01-01T00:00:00.9996Z");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:00:01Z"));
    assert!(simulation.announced().is_empty());
    assert_eq!(simulation.fired().len(), 1);
}
