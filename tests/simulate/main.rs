//! The scheduler's own thread on a clock that moves when it is told to.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "the modules of a test are its own")]

mod ahead;
mod catch_up;
mod harness;
mod late;
mod resume;
mod step;
mod walk;

use cronkeep::event::Event;
use cronkeep::scheduler::Fault;
use harness::Simulation;

#[test]
fn it_sleeps_exactly_until_the_next_due() {
    let mut simulation = Simulation::new("30 2 * * * a\n", "UTC", "2026-01-01T00:00:00Z");
    assert_eq!(simulation.clock.wait_until_asleep(), Some("2026-01-01T02:30:00Z".parse().unwrap()));
    simulation.pass("2026-01-01T02:30:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 02:30"]);
    assert_eq!(simulation.clock.wait_until_asleep(), Some("2026-01-02T02:30:00Z".parse().unwrap()));
}

#[test]
fn a_year_of_days_fires_once_each_day_through_both_changes_of_the_clock() {
    let mut simulation = Simulation::new("30 2 * * * a\n", "Europe/Berlin", "2026-01-01T00:00:00Z");
    simulation.pass("2026-12-31T22:59:00Z");
    let fired = simulation.fired();
    assert_eq!(fired.len(), 365);
    assert!(fired.contains(&"a 03-29 03:00".to_owned()), "made up for after the gap");
    assert_eq!(fired.iter().filter(|fire| fire.starts_with("a 10-25")).count(), 1);
}

#[test]
fn an_edit_is_in_force_at_once_and_leaves_other_jobs_their_place() {
    let mut simulation =
        Simulation::new("@every 1h a\n0 12 * * * old\n", "UTC", "2026-01-01T00:30:00Z");
    simulation.pass("2026-01-01T01:00:00Z");
    simulation.edit("@every 1h a\n5 1 * * * new\n");
    simulation.pass("2026-01-01T13:00:00Z");
    let fired = simulation.fired();
    assert_eq!(fired[..3], ["new 01-01 01:05", "a 01-01 01:30", "a 01-01 02:30"]);
    assert!(!fired.iter().any(|fire| fire.starts_with("old")));
}

#[test]
fn an_empty_set_of_jobs_waits_for_an_edit() {
    let mut simulation = Simulation::new("", "UTC", "2026-01-01T00:00:00Z");
    assert_eq!(simulation.clock.wait_until_asleep(), None);
    simulation.edit("* * * * * a\n");
    simulation.pass("2026-01-01T00:01:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 00:01"]);
}

#[test]
fn a_panic_loses_and_doubles_nothing() {
    let text = "* * * * * a\n* * * * * b\n";
    let fault = Some(Fault::PanicAfter(3));
    let mut simulation = Simulation::with_fault(text, "UTC", "2026-01-01T00:00:00Z", fault);
    simulation.pass("2026-01-01T00:03:00Z");
    assert_eq!(
        simulation.fired(),
        [
            "a 01-01 00:01",
            "b 01-01 00:01",
            "a 01-01 00:02",
            "b 01-01 00:02",
            "a 01-01 00:03",
            "b 01-01 00:03"
        ]
    );
    let restarts = simulation.events();
    let restarts =
        restarts.iter().filter(|event| matches!(***event, Event::SchedulerRestarted { .. }));
    assert_eq!(restarts.count(), 1);
}
