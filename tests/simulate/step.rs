//! The wall clock is set while the scheduler sleeps.

use cronkeep::event::Event;

use crate::harness::Simulation;

#[test]
fn row_78_three_minutes_ahead_every_missed_minute_runs_in_order() {
    let mut simulation =
        Simulation::new("* * * * * a\n*/2 * * * * b\n", "UTC", "2026-01-01T00:00:10Z");
    simulation.step("2026-01-01T00:03:30Z");
    simulation.pass("2026-01-01T00:04:30Z");
    assert_eq!(
        simulation.fired(),
        [
            "a 01-01 00:01",
            "a 01-01 00:02",
            "b 01-01 00:02",
            "a 01-01 00:03",
            "a 01-01 00:04",
            "b 01-01 00:04"
        ]
    );
    assert!(simulation.missed().is_empty());
}

#[test]
fn row_79_twenty_minutes_ahead_wildcards_run_once_and_each_fixed_minute_once() {
    let text = "*/5 * * * * wild\n10,15 0 * * * fixed\n* * * * * each\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:02:00Z");
    simulation.step("2026-01-01T00:22:00Z");
    // cron looks at the end of the minute in which the clock was set.
    assert!(simulation.fired().is_empty());
    simulation.pass("2026-01-01T00:23:00Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 00:10", "fixed 01-01 00:15", "each 01-01 00:23"]);
    let events = simulation.events();
    let told = |event: &Event| matches!(event, Event::ClockStepped { by } if by.as_secs() == 1200);
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1);
    let missed = events.iter().filter_map(|event| match &**event {
        Event::RunMissed { job, count, .. } => Some((job.action.command().to_string(), *count)),
        _ => None,
    });
    assert_eq!(missed.collect::<Vec<_>>(), [("each".to_owned(), 20), ("wild".to_owned(), 4)]);
    simulation.pass("2026-01-01T00:25:00Z");
    assert_eq!(simulation.fired(), ["each 01-01 00:24", "wild 01-01 00:25", "each 01-01 00:25"]);
}

#[test]
fn row_80_four_hours_ahead_only_the_new_minute_runs() {
    let text = "*/5 * * * * wild\n10 0 * * * fixed\n3 4 * * * new\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:02:10Z");
    simulation.step("2026-01-01T04:02:10Z");
    simulation.pass("2026-01-01T04:04:00Z");
    assert_eq!(simulation.fired(), ["new 01-01 04:03"]);
    let ahead = "the clock was set ahead by more than three hours";
    assert_eq!(
        simulation.missed(),
        [
            format!("wild 48 00:05:00 04:00:00: {ahead}"),
            format!("fixed 1 00:10:00 00:10:00: {ahead}")
        ]
    );
}

#[test]
fn row_81_half_an_hour_back_repeats_wildcards_but_not_fixed_minutes() {
    let text = "*/10 * * * * wild\n55 1 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T01:50:30Z");
    simulation.pass("2026-01-01T02:00:30Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 01:55", "wild 01-01 02:00"]);
    simulation.step("2026-01-01T01:31:00Z");
    simulation.pass("2026-01-01T02:10:00Z");
    assert_eq!(
        simulation.fired(),
        ["wild 01-01 01:40", "wild 01-01 01:50", "wild 01-01 02:00", "wild 01-01 02:10"]
    );
}

#[test]
fn row_82_four_hours_back_everything_runs_again() {
    let text = "0 * * * * wild\n30 2 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T02:10:30Z");
    simulation.pass("2026-01-01T03:00:30Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 02:30", "wild 01-01 03:00"]);
    simulation.step("2025-12-31T23:00:30Z");
    simulation.pass("2026-01-01T02:30:00Z");
    assert_eq!(
        simulation.fired(),
        ["wild 01-01 00:00", "wild 01-01 01:00", "wild 01-01 02:00", "fixed 01-01 02:30"]
    );
}

#[test]
fn an_edit_while_the_clock_is_behind_repeats_nothing() {
    let mut simulation = Simulation::new("* * * * * a\n", "UTC", "2026-01-01T02:00:30Z");
    simulation.step("2026-01-01T01:30:30Z");
    simulation.pass("2026-01-01T01:32:20Z");
    assert_eq!(simulation.fired(), ["a 01-01 01:31", "a 01-01 01:32"]);
    simulation.edit("* * * * * a\n* * * * * b\n");
    simulation.pass("2026-01-01T01:33:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 01:33", "b 01-01 01:33"]);
}

#[test]
fn an_entry_that_is_edited_while_the_clock_is_behind_follows_the_clock_as_its_kind_does() {
    let text = "*/30 * * * * wild\n0 5 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T02:30:30Z");
    simulation.step("2026-01-01T02:00:30Z");
    simulation.pass("2026-01-01T02:02:00Z");
    let window = "# cronkeep: until=2027-01-01T00:00:00Z\n";
    simulation.edit(&format!("{window}*/30 * * * * wild\n{window}0 5 * * * fixed\n"));
    simulation.pass("2026-01-01T05:00:00Z");
    let wild = ["02:30", "03:00", "03:30", "04:00", "04:30", "05:00"];
    let mut expected: Vec<_> = wild.iter().map(|at| format!("wild 01-01 {at}")).collect();
    expected.push("fixed 01-01 05:00".to_owned());
    assert_eq!(simulation.fired(), expected);
}

#[test]
fn a_job_that_is_enabled_again_or_whose_window_opens_runs_from_then_on() {
    let text = "# cronkeep: enabled=no\n*/10 * * * * a\n# cronkeep: from=2026-01-01T00:20:00Z until=2026-01-01T00:40:00Z\n*/10 * * * * b\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.pass("2026-01-01T00:25:00Z");
    assert_eq!(simulation.fired(), ["b 01-01 00:20"]);
    simulation.edit(&text.replace("enabled=no", "enabled=yes"));
    simulation.pass("2026-01-01T00:50:00Z");
    assert_eq!(
        simulation.fired(),
        ["a 01-01 00:30", "b 01-01 00:30", "a 01-01 00:40", "a 01-01 00:50"]
    );
}

#[test]
fn a_step_back_by_a_minute_is_waited_out() {
    let mut simulation = Simulation::new("* * * * * a\n", "UTC", "2026-01-01T02:00:30Z");
    simulation.pass("2026-01-01T02:01:20Z");
    simulation.step("2026-01-01T02:00:20Z");
    simulation.pass("2026-01-01T02:03:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 02:01", "a 01-01 02:02", "a 01-01 02:03"]);
}

#[test]
fn an_entry_with_seconds_does_not_wait_for_the_end_of_the_minute() {
    let mut simulation = Simulation::new("*/20 * * * * * a\n", "UTC", "2026-01-01T00:00:05Z");
    simulation.step("2026-01-01T00:00:45Z");
    assert_eq!(simulation.fired_for(), ["a 01-01 00:00:20 schedule", "a 01-01 00:00:40 schedule"]);
}
