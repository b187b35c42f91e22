//! An instant is announced shortly before it, and nothing else comes of that.

use cronkeep::scheduler::LEAD;
use jiff::Timestamp;

use crate::harness::Simulation;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_first_job_of_an_instant_is_announced_once_and_starts_at_the_instant() {
    let text = "30 0 * * * a\n30 0 * * * b\n31 0 * * * c\n";
    let mut simulation = Simulation::announcing(text, "UTC", "2026-01-01T00:00:00Z");
    let due = at("2026-01-01T00:30:00Z");
    assert_eq!(simulation.pass_to_next(), due - LEAD);
    assert_eq!(simulation.announced(), ["a"]);
    assert!(simulation.fired().is_empty(), "nothing starts early");
    assert_eq!(simulation.pass_to_next(), due);
    assert_eq!(simulation.fired(), ["a 01-01 00:30", "b 01-01 00:30"]);
    assert!(simulation.announced().is_empty());
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:31:00Z") - LEAD);
    assert_eq!(simulation.announced(), ["c"]);
}

#[test]
fn between_instants_there_is_no_other_wake_up() {
    let mut simulation = Simulation::announcing("0 12 * * * a\n", "UTC", "2026-01-01T13:00:00Z");
    let noon = at("2026-01-02T12:00:00Z");
    assert_eq!(simulation.pass_to_next(), noon - LEAD);
    assert_eq!(simulation.pass_to_next(), noon);
    assert_eq!(simulation.pass_to_next(), at("2026-01-03T12:00:00Z") - LEAD);
}

#[test]
fn what_was_announced_and_is_removed_does_not_start() {
    let mut simulation = Simulation::announcing("30 0 * * * a\n", "UTC", "2026-01-01T00:00:00Z");
    simulation.pass_to_next();
    assert_eq!(simulation.announced(), ["a"]);
    simulation.edit("40 0 * * * b\n");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:40:00Z") - LEAD);
    assert!(simulation.fired().is_empty());
    assert_eq!(simulation.announced(), ["b"]);
}

#[test]
fn a_clock_that_is_set_back_after_the_announcement_puts_the_start_off() {
    let mut simulation = Simulation::announcing("* * * * * a\n", "UTC", "2026-01-01T00:29:30Z");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:30:00Z") - LEAD);
    assert_eq!(simulation.announced(), ["a"]);
    simulation.step("2026-01-01T00:29:00Z");
    assert!(simulation.fired().is_empty());
    simulation.pass("2026-01-01T00:29:59Z");
    assert!(simulation.fired().is_empty());
    simulation.pass("2026-01-01T00:30:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 00:30"]);
}

#[test]
fn an_instant_that_is_that_near_already_is_not_announced() {
    let text = "* * * * * * a\n";
    let mut simulation = Simulation::announcing(text, "UTC", "2026-01-01T00:00:00.995Z");
    assert_eq!(simulation.pass_to_next(), at("2026-01-01T00:00:01Z"));
    assert!(simulation.announced().is_empty());
    assert_eq!(simulation.fired().len(), 1);
}
