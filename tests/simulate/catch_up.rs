//! Instants that cron's rules drop follow `catch-up`; those that the rules make up for are not caught up again.

use crate::harness::Simulation;

#[test]
fn latest_starts_one_of_the_dropped_instants_and_lists_the_others() {
    let text = "# cronkeep: catch-up=latest\n*/10 * * * * wild\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.sleep_through("2026-01-01T02:05:00Z");
    assert_eq!(simulation.fired_for(), ["wild 01-01 02:00:00 catch-up"]);
    assert_eq!(simulation.missed(), ["wild 11 00:10:00 01:50:00: woken too late"]);
    simulation.pass("2026-01-01T02:10:00Z");
    assert_eq!(simulation.fired_for(), ["wild 01-01 02:10:00 schedule"]);
}

#[test]
fn all_starts_every_dropped_instant_within_window_and_maximum_in_order() {
    let text = "# cronkeep: catch-up=all catch-up-max=3 catch-up-window=4h\n0 * * * * wild\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.sleep_through("2026-01-01T06:30:00Z");
    assert_eq!(
        simulation.fired_for(),
        [
            "wild 01-01 04:00:00 catch-up",
            "wild 01-01 05:00:00 catch-up",
            "wild 01-01 06:00:00 catch-up"
        ]
    );
    let late = "woken more than three hours late";
    assert_eq!(simulation.missed(), [format!("wild 3 01:00:00 03:00:00: {late}")]);
}

#[test]
fn what_the_rules_make_up_for_is_not_caught_up_again() {
    let text = "# cronkeep: catch-up=all\n0,30 1 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.step("2026-01-01T02:05:00Z");
    simulation.pass("2026-01-01T02:10:00Z");
    assert_eq!(
        simulation.fired_for(),
        ["fixed 01-01 01:00:00 schedule", "fixed 01-01 01:30:00 schedule"]
    );
    assert!(simulation.missed().is_empty());
}

#[test]
fn a_step_over_three_hours_is_caught_up_for_fixed_entries_too() {
    let text = "# cronkeep: catch-up=latest\n0 1 * * * fixed\n0 2 * * * plain\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.step("2026-01-01T06:05:00Z");
    simulation.pass("2026-01-01T06:10:00Z");
    assert_eq!(simulation.fired_for(), ["fixed 01-01 01:00:00 catch-up"]);
    let ahead = "the clock was set ahead by more than three hours";
    assert_eq!(simulation.missed(), [format!("plain 1 02:00:00 02:00:00: {ahead}")]);
}

#[test]
fn a_date_that_passed_unseen_is_caught_up_unless_told_otherwise() {
    let text = "@at 2026-01-01T01:00:00Z once\n# cronkeep: catch-up=none\n@at 2026-01-01T01:00:00Z never\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:05:00Z");
    simulation.sleep_through("2026-01-01T05:00:00Z");
    assert_eq!(simulation.fired_for(), ["once 01-01 01:00:00 catch-up"]);
    assert_eq!(
        simulation.missed(),
        ["never 1 01:00:00 01:00:00: woken more than three hours late"]
    );
    assert_eq!(simulation.clock.wait_until_asleep(), None);
}

#[test]
fn entries_with_seconds_catch_up_what_is_older_than_the_grace() {
    let text = "# cronkeep: grace=2s catch-up=all catch-up-max=2\n*/10 * * * * * a\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:00:05Z");
    simulation.sleep_through("2026-01-01T00:01:00Z");
    assert_eq!(
        simulation.fired_for(),
        ["a 01-01 00:00:40 catch-up", "a 01-01 00:00:50 catch-up", "a 01-01 00:01:00 schedule"]
    );
    assert_eq!(simulation.missed(), ["a 3 00:00:10 00:00:30: woken too late"]);
}
