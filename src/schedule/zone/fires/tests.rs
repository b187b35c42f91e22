use jiff::civil::date;

use super::*;
use crate::schedule::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
use crate::schedule::{Calendar, Days, Extended, ExtendedFields};

const EVERY_HOUR: u32 = 0x00ff_ffff;

fn days() -> Days {
    let (dom, dow) = (ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK);
    Days { dom, dow, dom_star: true, dow_star: true, special: None }
}

fn calendar(minutes: u64, hours: u32, wildcard: bool) -> Schedule {
    let (months, days, minute_star) = (0x1ffe, days(), false);
    Schedule::Calendar(Calendar { minutes, hours, months, days, minute_star, hour_star: wildcard })
}

fn extended(seconds: u64, minutes: u64, hours: u32, wildcard: bool) -> Schedule {
    let (months, years, days) = (0x1ffe, None, days());
    let fields = ExtendedFields { seconds, minutes, hours, months, days, years, wildcard };
    Schedule::Extended(Box::new(Extended::new(fields)))
}

fn zone(name: &str) -> Zone {
    Zone::named(name).unwrap()
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Dues as `instant civil`, from `from` up to `to`.
fn dues(schedule: &Schedule, zone: &Zone, from: &str, to: &str) -> Vec<String> {
    let (from, to) = (instant(from), instant(to));
    schedule
        .fires(zone, from, from)
        .take_while(|due| due.at < to)
        .map(|due| format!("{} {}", due.at, due.civil))
        .collect()
}

#[test]
fn a_gap_is_made_up_for_at_its_end_in_order() {
    let every_ten = calendar(1 << 0 | 1 << 20 | 1 << 40, 1 << 2 | 1 << 3, false);
    assert_eq!(
        dues(&every_ten, &zone("Europe/Berlin"), "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"),
        [
            "2026-03-29T01:00:00Z 2026-03-29T02:00:00",
            "2026-03-29T01:00:00Z 2026-03-29T02:20:00",
            "2026-03-29T01:00:00Z 2026-03-29T02:40:00",
            "2026-03-29T01:00:00Z 2026-03-29T03:00:00",
            "2026-03-29T01:20:00Z 2026-03-29T03:20:00",
        ]
    );
}

#[test]
fn a_wildcard_entry_loses_the_gap_and_repeats_the_fold() {
    let half_past = calendar(1 << 30, EVERY_HOUR, true);
    let berlin = zone("Europe/Berlin");
    assert_eq!(
        dues(&half_past, &berlin, "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"),
        ["2026-03-29T00:30:00Z 2026-03-29T01:30:00", "2026-03-29T01:30:00Z 2026-03-29T03:30:00"]
    );
    assert_eq!(
        dues(&half_past, &berlin, "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"),
        ["2026-10-25T00:30:00Z 2026-10-25T02:30:00", "2026-10-25T01:30:00Z 2026-10-25T02:30:00"]
    );
}

#[test]
fn a_fixed_entry_runs_once_in_a_fold() {
    let half_past = calendar(1 << 30, EVERY_HOUR, false);
    assert_eq!(
        dues(&half_past, &zone("Europe/Berlin"), "2026-10-25T00:00:00Z", "2026-10-25T03:00:00Z"),
        ["2026-10-25T00:30:00Z 2026-10-25T02:30:00", "2026-10-25T02:30:00Z 2026-10-25T03:30:00"]
    );
}

#[test]
fn seconds_follow_the_same_rules() {
    let berlin = zone("Europe/Berlin");
    let fixed = extended(1 << 15, 1 << 30, 1 << 2, false);
    assert_eq!(
        dues(&fixed, &berlin, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        ["2026-03-29T01:00:00Z 2026-03-29T02:30:15"]
    );
    assert_eq!(
        dues(&fixed, &berlin, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ["2026-10-25T00:30:15Z 2026-10-25T02:30:15"]
    );
    let wildcard = extended(1 << 15, 1 << 30, 1 << 2, true);
    assert!(dues(&wildcard, &berlin, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z").is_empty());
    assert_eq!(dues(&wildcard, &berlin, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z").len(), 2);
}

#[test]
fn a_gap_of_a_day_is_jumped_over() {
    let noon = calendar(1, 1 << 12, false);
    assert_eq!(
        dues(&noon, &zone("Pacific/Apia"), "2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"),
        ["2011-12-29T22:00:00Z 2011-12-29T12:00:00", "2011-12-30T22:00:00Z 2011-12-31T12:00:00"]
    );
}

#[test]
fn a_small_gap_is_made_up_for_by_wildcard_entries_too() {
    // A zone of 3 minutes of daylight saving, by its POSIX rules.
    let odd = zone("AAA0BBB-0:03,M3.5.0/2,M10.5.0/3");
    let every_minute = calendar((1 << 60) - 1, EVERY_HOUR, true);
    assert_eq!(
        dues(&every_minute, &odd, "2026-03-29T01:58:00Z", "2026-03-29T02:02:00Z"),
        [
            "2026-03-29T01:59:00Z 2026-03-29T01:59:00",
            "2026-03-29T02:00:00Z 2026-03-29T02:00:00",
            "2026-03-29T02:00:00Z 2026-03-29T02:01:00",
            "2026-03-29T02:00:00Z 2026-03-29T02:02:00",
            "2026-03-29T02:00:00Z 2026-03-29T02:03:00",
            "2026-03-29T02:01:00Z 2026-03-29T02:04:00",
        ]
    );
}

#[test]
fn an_offset_with_seconds_keeps_minutes_whole() {
    // Until 1972 Monrovia was 44 minutes 30 seconds behind.
    let every_minute = calendar((1 << 60) - 1, EVERY_HOUR, true);
    assert_eq!(
        dues(
            &every_minute,
            &zone("Africa/Monrovia"),
            "1972-01-07T00:43:00Z",
            "1972-01-07T00:46:00Z"
        ),
        [
            "1972-01-07T00:43:30Z 1972-01-06T23:59:00",
            "1972-01-07T00:44:30Z 1972-01-07T00:44:00",
            "1972-01-07T00:45:00Z 1972-01-07T00:45:00",
        ]
    );
}

#[test]
fn a_due_as_cursor_goes_on_inside_one_instant() {
    let berlin = zone("Europe/Berlin");
    let schedule = calendar(1 << 0 | 1 << 20 | 1 << 40, 1 << 2, false);
    let from = instant("2026-03-28T12:00:00Z");
    let all: Vec<Due> = schedule.fires(&berlin, from, from).take(6).collect();
    for pair in all.windows(2) {
        assert_eq!(schedule.next_after(&berlin, from, pair[0]), Some(pair[1]));
    }
    assert_eq!(all[0].at, all[2].at);
    assert_eq!(schedule.next_after(&berlin, from, all[0].at), Some(all[3]));
}

#[test]
fn the_previous_due_is_the_one_before_the_next() {
    let from = instant("2025-12-31T12:00:00Z");
    for name in ["Europe/Berlin", "Australia/Lord_Howe", "UTC", "Africa/Casablanca"] {
        let zone = zone(name);
        for schedule in [
            calendar(1 << 30, 1 << 2, false),
            calendar(1 << 15 | 1 << 45, EVERY_HOUR, true),
            calendar(1, EVERY_HOUR, false),
            extended(1 << 5 | 1 << 50, 1 << 30, 0b1100, true),
        ] {
            let all: Vec<Due> = schedule.fires(&zone, from, from).take(8000).collect();
            for pair in all.windows(2).filter(|pair| pair[0].at < pair[1].at) {
                let found = schedule.prev_before(&zone, from, pair[1].at);
                assert_eq!(found, Some(pair[0]), "{name} before {}", pair[1].at);
            }
        }
    }
}

#[test]
fn every_counts_from_its_anchor() {
    let every = Schedule::Every(Every { seconds: 90 });
    let (utc, anchor) = (Zone::utc(), instant("2026-01-01T00:00:10.5Z"));
    let next = |text| every.next_after(&utc, anchor, instant(text)).unwrap().at.to_string();
    assert_eq!(next("2025-06-01T00:00:00Z"), "2026-01-01T00:01:40Z");
    assert_eq!(next("2026-01-01T00:01:39.9Z"), "2026-01-01T00:01:40Z");
    assert_eq!(next("2026-01-01T00:01:40Z"), "2026-01-01T00:03:10Z");
    let before = |text| every.prev_before(&utc, anchor, instant(text)).map(|due| due.at);
    assert_eq!(before("2026-01-01T00:01:40Z"), None);
    assert_eq!(before("2026-01-01T00:01:40.1Z"), Some(instant("2026-01-01T00:01:40Z")));
}

#[test]
fn at_is_due_once_at_the_end_of_a_gap_and_the_first_time_of_a_fold() {
    let berlin = zone("Europe/Berlin");
    let from = instant("2026-01-01T00:00:00Z");
    let due = |civil: DateTime| {
        let schedule = Schedule::At(At::Civil(civil));
        let all: Vec<Due> = schedule.fires(&berlin, from, from).collect();
        assert_eq!(all.len(), 1);
        assert_eq!(schedule.prev_before(&berlin, from, all[0].at), None);
        all[0].at.to_string()
    };
    assert_eq!(due(date(2026, 3, 29).at(2, 30, 0, 0)), "2026-03-29T01:00:00Z");
    assert_eq!(due(date(2026, 10, 25).at(2, 30, 0, 0)), "2026-10-25T00:30:00Z");
    assert_eq!(due(date(2026, 7, 1).at(10, 0, 0, 0)), "2026-07-01T08:00:00Z");
}

#[test]
fn a_wildcard_entry_that_only_falls_into_gaps_is_never_due() {
    // Every last Sunday of March at 02:30 is in Berlin's gap.
    let mut days = days();
    days.dow = 1;
    days.dom = 0xfe00_0000;
    days.dow_star = true;
    let calendar = Calendar {
        minutes: 1 << 30,
        hours: 1 << 2,
        months: 1 << 3,
        days,
        minute_star: true,
        hour_star: false,
    };
    let from = instant("2026-01-01T00:00:00Z");
    let schedule = Schedule::Calendar(calendar);
    assert_eq!(schedule.next_after(&zone("Europe/Berlin"), from, from), None);
    assert!(schedule.next_after(&Zone::utc(), from, from).is_some());
}

#[test]
fn seconds_of_a_civil_time_come_back() {
    for seconds in (-62_135_596_800..253_402_300_800).step_by(86_400 * 97 + 12_345) {
        let civil = civil_of(seconds).unwrap();
        assert_eq!(seconds_of(civil), seconds, "{civil}");
    }
}

#[test]
fn the_ends_of_time_do_not_panic() {
    for zone in [Zone::utc(), zone("Europe/Berlin"), zone("Pacific/Apia")] {
        for schedule in [calendar(1, 1, false), extended(1, 1, 1, true)] {
            for at in [Timestamp::MIN, Timestamp::MAX] {
                let _ = schedule.next_after(&zone, at, at);
                let _ = schedule.prev_before(&zone, at, at);
                let due = Due { at, civil: DateTime::MAX };
                let _ = schedule.next_after(&zone, at, due);
            }
        }
    }
}

#[test]
fn zones_are_named_exactly() {
    for name in
        ["Europe/Berlin", ":Europe/Berlin", "UTC", "US/Eastern", "CET-1CEST,M3.5.0,M10.5.0/3"]
    {
        assert_eq!(zone(name).name(), name);
    }
    let similar = |name: &str| Zone::named(name).unwrap_err().similar;
    assert_eq!(similar("Europe/Berln").as_deref(), Some("Europe/Berlin"));
    assert_eq!(similar("europe/berlin").as_deref(), Some("Europe/Berlin"));
    assert_eq!(similar("Berlin").as_deref(), Some("Europe/Berlin"));
    assert_eq!(similar("Nowhere/At_All"), None);
    assert_eq!(similar(""), None);
    assert_eq!(Zone::named("x/y").unwrap_err().to_string(), "unknown time zone \"x/y\"");
}
