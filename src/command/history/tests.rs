use std::time::Duration;

use super::*;
use crate::event::{RunId, Trigger};
use crate::job::{JobId, JobKey};
use crate::schedule::Due;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn due(second: i64) -> Due {
    Due { at: at(second), civil: TimeZone::UTC.to_datetime(at(second)) }
}

fn record(name: &str, outcome: Option<RecordedOutcome>) -> RunRecord {
    RunRecord {
        run: RunId::new(at(0), 31),
        attempt: 1,
        key: JobKey { id: JobId([0x12; 8]), occurrence: 1 },
        name: name.to_owned(),
        due: due(0),
        range: None,
        trigger: Trigger::Schedule,
        queued: Some(at(0)),
        started: Some(at(0)),
        ended: Some(at(75)),
        outcome,
        exit: None,
        signal: None,
        reason: None,
        user_cpu: Duration::from_millis(1_500),
        system_cpu: Duration::ZERO,
        max_rss_kib: Some(900),
        replica: "host".to_owned(),
        worker: None,
        output_bytes: 12,
        process: None,
    }
}

fn failed() -> RunRecord {
    RunRecord {
        exit: Some(127),
        reason: Some("failed with exit code 127, command not found".to_owned()),
        attempt: 2,
        ..record("backup", Some(RecordedOutcome::Failed))
    }
}

fn missed() -> RunRecord {
    RunRecord {
        attempt: 0,
        range: Some((due(120), 3)),
        started: None,
        ended: Some(at(200)),
        reason: Some("woken too \u{1b}late".to_owned()),
        ..record("1212121212121212", Some(RecordedOutcome::Missed))
    }
}

#[test]
fn runs_and_ranges_are_shown_in_columns() {
    let alive = RunRecord { ended: None, ..record("backup", None) };
    let mut out = Vec::new();
    table(&[alive, failed(), missed()], &TimeZone::UTC).write(&mut out, false, None).unwrap();
    let expected = "\
WHEN                 JOB               RUN       HOW             TOOK    WHY
2027-01-15 08:00:00  backup            00000Z    running
2027-01-15 08:00:00  backup            00000Z/2  exit 127        1m 15s  command not found
2027-01-15 08:00:00  1212121212121212            missed 3 times          the last at 2027-01-15 08:02:00; woken too ^[late
";
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
}

#[test]
fn a_range_has_its_count_its_first_and_its_last_instant() {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let object = RunObject::recorded(&missed(), zone.rules());
    assert_eq!(object.count, Some(3));
    assert_eq!(object.first.as_deref(), Some("2027-01-15T09:00:00+01:00"));
    assert_eq!(object.last.as_deref(), Some("2027-01-15T09:02:00+01:00"));
    assert_eq!((object.name, object.started, object.attempt), (None, None, 0));
}

#[test]
fn a_run_has_no_count_and_every_stable_field() {
    let object = RunObject::recorded(&failed(), &TimeZone::UTC);
    let value = serde_json::to_value(&object).unwrap();
    for field in [
        "run",
        "key",
        "name",
        "scheduled",
        "trigger",
        "attempt",
        "queued",
        "started",
        "ended",
        "outcome",
        "exit",
        "signal",
        "reason",
        "user_cpu_ms",
        "system_cpu_ms",
        "max_rss_kib",
        "replica",
        "output_bytes",
    ] {
        assert!(value.get(field).is_some(), "{field}");
    }
    assert!(value.get("count").is_none());
    assert_eq!(value["user_cpu_ms"], 1_500);
    assert_eq!(value["duration_ms"], 75_000);
    assert_eq!(value["name"], "backup");
}

#[test]
fn only_what_the_other_columns_do_not_tell_is_the_reason() {
    let of = |outcome, reason: &str| {
        let run = RunRecord { reason: Some(reason.to_owned()), ..record("x", Some(outcome)) };
        why(&run, &TimeZone::UTC)
    };
    assert_eq!(of(RecordedOutcome::Succeeded, "succeeded"), "");
    assert_eq!(of(RecordedOutcome::Failed, "failed with exit code 3"), "");
    assert_eq!(of(RecordedOutcome::Killed, "killed by SIGKILL, out of memory"), "out of memory");
    assert_eq!(of(RecordedOutcome::CouldNotStart, "could not start: no shell"), "no shell");
    assert_eq!(
        of(RecordedOutcome::Lost, "the daemon died while it ran"),
        "the daemon died while it ran"
    );
}

#[test]
fn a_run_that_was_caught_up_says_for_which_instant() {
    let late = |run: RunRecord| {
        why(&RunRecord { due: due(-3_600), trigger: Trigger::CatchUp, ..run }, &TimeZone::UTC)
    };
    let done = record("x", Some(RecordedOutcome::Succeeded));
    assert_eq!(late(done), "catch-up of 2027-01-15 07:00:00");
    assert_eq!(late(failed()), "catch-up of 2027-01-15 07:00:00; command not found");
    // Of what did not start, the instant stands in front.
    assert_eq!(late(missed()), "the last at 2027-01-15 08:02:00; woken too ^[late");
}

#[test]
fn one_instant_is_not_counted() {
    let one = RunRecord { range: Some((due(0), 1)), ..missed() };
    let mut out = Vec::new();
    table(&[one], &TimeZone::UTC).write(&mut out, false, None).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(!text.contains("times") && !text.contains("the last"), "{text}");
}
