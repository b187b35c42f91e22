//! The scheduler wakes up late: the daemon was stopped, or the host was suspended.

use crate::harness::Simulation;

#[test]
fn a_stop_of_four_minutes_loses_no_minute() {
    let mut simulation = Simulation::new("* * * * * a\n", "UTC", "2026-01-01T00:00:30Z");
    simulation.sleep_through("2026-01-01T00:04:40Z");
    assert_eq!(
        simulation.fired(),
        ["a 01-01 00:01", "a 01-01 00:02", "a 01-01 00:03", "a 01-01 00:04"]
    );
}

#[test]
fn a_stop_of_two_hours_makes_up_for_fixed_minutes_and_runs_wildcards_of_the_minute_of_waking() {
    let text = "*/10 * * * * wild\n0 1 * * * fixed\n30 1 * * * later\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.sleep_through("2026-01-01T02:00:20Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 01:00", "later 01-01 01:30", "wild 01-01 02:00"]);
    assert_eq!(simulation.missed(), ["wild 11 00:10:00 01:50:00: woken too late"]);
}

#[test]
fn a_stop_of_a_day_starts_the_minute_of_waking_only() {
    let text = "0 * * * * wild\n0 5 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:30:00Z");
    simulation.sleep_through("2026-01-02T05:00:01Z");
    assert_eq!(simulation.fired(), ["wild 01-02 05:00", "fixed 01-02 05:00"]);
    let late = "woken more than three hours late";
    assert_eq!(
        simulation.missed(),
        [
            format!("wild 28 01:00:00 04:00:00: {late}"),
            format!("fixed 1 05:00:00 05:00:00: {late}")
        ]
    );
}

#[test]
fn a_long_stop_with_nothing_due_in_it_is_not_late() {
    let mut simulation = Simulation::new("30 9 * * * a\n", "UTC", "2026-01-01T00:30:00Z");
    simulation.sleep_through("2026-01-01T09:32:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 09:30"]);
}

#[test]
fn of_entries_with_seconds_what_is_within_the_grace_starts_in_order() {
    let text = "# cronkeep: grace=5s\n* * * * * * a\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:00:00Z");
    simulation.sleep_through("2026-01-01T00:02:00Z");
    let fired = simulation.fired();
    assert_eq!(fired.len(), 6, "{fired:?}");
    assert_eq!(simulation.missed(), ["a 114 00:00:01 00:01:54: woken too late"]);
}

#[test]
fn a_stop_over_the_end_of_a_gap_makes_up_for_what_the_gap_skipped_once() {
    let text = "30 2 * * * skipped\n*/10 2 * * * wild\n";
    let mut simulation = Simulation::new(text, "America/New_York", "2025-03-09T06:50:00Z");
    simulation.sleep_through("2025-03-09T07:40:00Z");
    assert_eq!(simulation.fired(), ["skipped 03-09 03:00"]);
    simulation.pass("2025-03-09T12:00:00Z");
    assert!(simulation.fired().is_empty());
}
