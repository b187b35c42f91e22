use super::*;
use crate::crontab::{Dialect, Options, Source, parse};
use crate::schedule::Zone;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The jobs of a crontab of root's, loaded at `now` in `zone`.
fn table(text: &str, zone: &str, previous: &JobTable, now: Timestamp) -> Arc<JobTable> {
    let source = Source {
        name: "test".into(),
        bytes: text.as_bytes().to_vec(),
        dialect: Dialect::user("root"),
    };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let zone = Zone::named(zone).unwrap();
    let (table, _, _) =
        JobTable::build(&[(&source, &crontab)], &zone, &Options::default(), previous, now);
    Arc::new(table)
}

fn agenda(text: &str, now: &str) -> Agenda {
    let mut agenda = Agenda::default();
    agenda.swap(table(text, "UTC", &JobTable::default(), at(now)), at(now), at(now));
    agenda
}

/// What the scheduler takes when it looks at `now`.
fn harvest(agenda: &mut Agenda, now: &str, shift: Shift) -> Harvest {
    let now = at(now);
    let passed_over = match shift {
        Shift::Medium | Shift::Jump | Shift::Behind => Some(before_minute_of(now)),
        _ => None,
    };
    if matches!(shift, Shift::Back | Shift::JumpBack) {
        agenda.restart(now, shift);
    }
    let mut harvest = Harvest::default();
    let look = Look { now, shift, by: SignedDuration::ZERO, stepped: false, passed_over };
    agenda.harvest(&look, &mut harvest);
    harvest
}

/// What fires, as `command@HH:MM` of the civil time.
fn fires(agenda: &mut Agenda, now: &str, shift: Shift) -> Vec<String> {
    let harvest = harvest(agenda, now, shift);
    let words = |fire: &Fire| {
        format!("{}@{}", fire.job.action.command(), fire.due.civil.strftime("%H:%M:%S"))
    };
    harvest.fires.iter().map(words).collect()
}

/// row 118: entries of one instant start in the order of their lines.
#[test]
fn what_is_due_fires_in_the_order_of_instants_then_of_lines() {
    let mut agenda = agenda("2 * * * * late\n1 * * * * b\n1 * * * * a\n", "2026-01-01T00:00:00Z");
    assert_eq!(agenda.next(), Some(at("2026-01-01T00:01:00Z")));
    let fired = fires(&mut agenda, "2026-01-01T00:02:00Z", Shift::Small);
    assert_eq!(fired, ["b@00:01:00", "a@00:01:00", "late@00:02:00"]);
    assert_eq!(agenda.next(), Some(at("2026-01-01T01:01:00Z")));
}

#[test]
fn nothing_due_before_the_load_fires() {
    let mut agenda = agenda("0 10 * * * a\n", "2026-01-01T10:00:20Z");
    assert!(fires(&mut agenda, "2026-01-01T10:00:30Z", Shift::Small).is_empty());
    assert_eq!(agenda.next(), Some(at("2026-01-02T10:00:00Z")));
}

#[test]
fn an_edit_keeps_the_next_due_of_what_it_leaves_alone() {
    let mut agenda = agenda("@every 10s a\n*/5 * * * * b\n", "2026-01-01T00:00:03Z");
    let before = agenda.table().clone();
    let text = "# moved\n@every 10s a\n*/5 * * * * c\n";
    agenda.swap(
        table(text, "UTC", &before, at("2026-01-01T00:00:09Z")),
        at("2026-01-01T00:00:08Z"),
        at("2026-01-01T00:00:09Z"),
    );
    assert_eq!(agenda.next(), Some(at("2026-01-01T00:00:13Z")));
}

#[test]
fn a_job_that_is_enabled_again_does_not_fire_for_the_past() {
    let mut agenda = agenda("# cronkeep: enabled=no\n* * * * * a\n", "2026-01-01T00:00:00Z");
    assert_eq!(agenda.next(), None);
    let before = agenda.table().clone();
    let now = at("2026-01-01T05:00:30Z");
    agenda.swap(table("* * * * * a\n", "UTC", &before, now), now, now);
    assert_eq!(agenda.next(), Some(at("2026-01-01T05:01:00Z")));
}

#[test]
fn twenty_minutes_late_wildcards_run_once_and_fixed_entries_for_each_minute() {
    let mut agenda = agenda("* * * * * wild\n5,10 0 * * * fixed\n", "2026-01-01T00:00:00Z");
    let harvest = harvest(&mut agenda, "2026-01-01T00:20:00Z", Shift::Medium);
    let fired: Vec<_> = harvest
        .fires
        .iter()
        .map(|fire| format!("{} {}", fire.job.action.command(), fire.due.at))
        .collect();
    assert_eq!(
        fired,
        ["fixed 2026-01-01T00:05:00Z", "fixed 2026-01-01T00:10:00Z", "wild 2026-01-01T00:20:00Z"]
    );
    let [missed] = &harvest.missed[..] else { panic!("{:?}", harvest.missed) };
    assert_eq!(
        (missed.first.at, missed.last.at, missed.count),
        (at("2026-01-01T00:01:00Z"), at("2026-01-01T00:19:00Z"), 19)
    );
}

#[test]
fn after_a_jump_only_the_new_minute_counts() {
    let mut agenda = agenda("0 * * * * wild\n0 1,5 * * * fixed\n", "2026-01-01T00:30:00Z");
    let fired = fires(&mut agenda, "2026-01-01T05:00:10Z", Shift::Jump);
    assert_eq!(fired, ["wild@05:00:00", "fixed@05:00:00"]);
}

#[test]
fn after_a_step_back_wildcards_follow_the_clock_and_fixed_entries_wait() {
    let mut agenda = agenda("*/10 * * * * wild\n30 2 * * * fixed\n", "2026-01-01T02:25:00Z");
    let fired = fires(&mut agenda, "2026-01-01T02:35:00Z", Shift::Small);
    assert_eq!(fired, ["wild@02:30:00", "fixed@02:30:00"]);
    assert!(fires(&mut agenda, "2026-01-01T02:05:00Z", Shift::Back).is_empty());
    assert_eq!(agenda.next(), Some(at("2026-01-01T02:10:00Z")));
    let fired = fires(&mut agenda, "2026-01-01T02:30:00Z", Shift::Small);
    assert_eq!(fired, ["wild@02:10:00", "wild@02:20:00", "wild@02:30:00"]);
}

#[test]
fn after_a_jump_back_everything_runs_again() {
    let mut agenda = agenda("30 2 * * * fixed\n", "2026-01-01T02:00:00Z");
    fires(&mut agenda, "2026-01-01T02:30:00Z", Shift::Small);
    fires(&mut agenda, "2025-12-31T22:00:00Z", Shift::JumpBack);
    assert_eq!(agenda.next(), Some(at("2026-01-01T02:30:00Z")));
}

#[test]
fn of_seconds_that_passed_those_within_the_grace_start() {
    let mut agenda = agenda("*/10 * * * * * tick\n", "2026-01-01T00:00:00Z");
    let harvest = harvest(&mut agenda, "2026-01-01T00:03:00Z", Shift::Small);
    assert_eq!(harvest.fires.len(), 7);
    assert_eq!(harvest.missed[0].count, 11);
}

#[test]
fn minutes_that_a_gap_skipped_are_made_up_for_at_its_end() {
    let mut agenda = Agenda::default();
    let start = at("2026-03-29T00:30:00Z");
    let text = "0,30 2 * * * fixed\n*/30 * * * * wild\n";
    agenda.swap(table(text, "Europe/Berlin", &JobTable::default(), start), start, start);
    let fired = fires(&mut agenda, "2026-03-29T01:00:00Z", Shift::Small);
    assert_eq!(fired, ["fixed@02:00:00", "fixed@02:30:00", "wild@03:00:00"]);
}

#[test]
fn a_job_that_is_parked_never_fires_again() {
    let mut agenda = agenda("* * * * * a\n* * * * * b\n", "2026-01-01T00:00:00Z");
    agenda.suspect = Some(Arc::clone(&agenda.table().jobs()[0]));
    assert_eq!(agenda.park_suspect().unwrap().action.command().as_bytes(), b"a");
    let fired = fires(&mut agenda, "2026-01-01T00:02:00Z", Shift::Small);
    assert_eq!(fired, ["b@00:01:00", "b@00:02:00"]);
}

#[test]
fn while_a_step_is_not_judged_only_entries_with_seconds_fire() {
    let text = "* * * * * minute\n*/20 * * * * * second\n@every 30s every\n";
    let mut agenda = agenda(text, "2026-01-01T00:00:00Z");
    let fired = fires(&mut agenda, "2026-01-01T00:01:00Z", Shift::Waiting);
    let expected = ["second@00:00:20", "every@00:00:30", "second@00:00:40"];
    assert_eq!(fired, [&expected[..], &["second@00:01:00", "every@00:01:00"]].concat());
    assert_eq!(fires(&mut agenda, "2026-01-01T00:01:00Z", Shift::Small), ["minute@00:01:00"]);
}

#[test]
fn what_medium_drops_of_a_wildcard_is_caught_up_and_what_it_makes_up_for_is_not() {
    let text = "CRONKEEP_CATCH_UP=latest\n*/5 * * * * wild\n5,10 0 * * * fixed\n";
    let mut agenda = agenda(text, "2026-01-01T00:00:00Z");
    let harvest = harvest(&mut agenda, "2026-01-01T00:21:00Z", Shift::Medium);
    let fired: Vec<_> = harvest
        .fires
        .iter()
        .map(|fire| {
            let at = fire.due.civil.strftime("%H:%M");
            format!("{} {at} {}", fire.job.action.command(), fire.trigger)
        })
        .collect();
    assert_eq!(fired, ["wild 00:20 catch-up", "fixed 00:05 schedule", "fixed 00:10 schedule"]);
    assert_eq!(harvest.missed.len(), 1);
    assert_eq!(harvest.missed[0].count, 3);
}

#[test]
fn a_date_that_passed_is_caught_up_once_and_never_again() {
    let mut agenda = agenda("@at 2026-01-01T00:10:00Z once\n", "2026-01-01T00:00:00Z");
    let harvest = harvest(&mut agenda, "2026-01-01T06:00:00Z", Shift::Jump);
    assert_eq!(harvest.fires.len(), 1);
    assert_eq!(harvest.fires[0].trigger, Trigger::CatchUp);
    assert!(fires(&mut agenda, "2025-12-31T00:00:00Z", Shift::JumpBack).is_empty());
    assert_eq!(agenda.next(), None);
}

#[test]
fn an_interval_goes_on_in_its_phase_when_the_clock_is_set_back_before_its_first_load() {
    let mut agenda = agenda("@every 10s every\n", "2026-01-01T00:00:03Z");
    for (now, next) in [
        ("2025-12-31T00:00:00Z", "2025-12-31T00:00:03Z"),
        ("2025-12-31T00:00:13Z", "2025-12-31T00:00:23Z"),
    ] {
        fires(&mut agenda, now, Shift::JumpBack);
        assert_eq!(agenda.next(), Some(at(next)));
    }
    assert_eq!(fires(&mut agenda, "2025-12-31T00:00:23Z", Shift::Small), ["every@00:00:23"]);
    assert_eq!(agenda.next(), Some(at("2025-12-31T00:00:33Z")));
}
