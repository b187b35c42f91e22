//! Calendars against a walk along every minute, and against the cron and croner crates.

use cronkeep::crontab::{Compat, FieldCount, expression};
use cronkeep::schedule::{Calendar, Schedule};
use jiff::ToSpan as _;
use jiff::civil::{DateTime, date};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// A runner that draws the same cases each time.
fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        max_global_rejects: 100_000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

fn calendar(text: &str) -> Calendar {
    let read = expression::parse(text.as_bytes(), FieldCount::Five, Compat::Cronkeep);
    match read.unwrap_or_else(|mistake| panic!("{text}: {}", mistake.message)).when.resolve(0) {
        Schedule::Calendar(calendar) => calendar,
        other => panic!("{other:?}"),
    }
}

/// One item of a field, between `low` and `high`.
fn item(low: u8, high: u8) -> impl Strategy<Value = String> {
    let value = low..=high;
    prop_oneof![
        4 => value.clone().prop_map(|value| value.to_string()),
        2 => (value.clone(), value.clone()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        2 => (value.clone(), value, 1u8..9)
            .prop_map(|(a, b, step)| format!("{}-{}/{step}", a.min(b), a.max(b))),
        1 => (2..=high).prop_map(|step| format!("*/{step}")),
    ]
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => prop::collection::vec(item(low, high), 1..4).prop_map(|items| items.join(",")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
        .prop_map(|(m, h, dom, mon, dow)| format!("{m} {h} {dom} {mon} {dow}"))
}

fn moment() -> impl Strategy<Value = DateTime> {
    (0i64..60 * 366 * 1440).prop_map(|minute| date(1990, 1, 1).at(0, 0, 0, 0) + minute.minutes())
}

/// The rule itself, one field after the other, from the text.
fn matches(text: &str, at: DateTime) -> bool {
    let fields: Vec<&str> = text.split(' ').collect();
    let has = |index: usize, low: i32, high: i32, value: i8| {
        fields[index].split(',').any(|item| {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let number = |text: &str| text.parse::<i32>().expect("a number");
            let (from, to) = match range.split_once('-') {
                _ if range == "*" => (low, high),
                Some((from, to)) => (number(from), number(to)),
                None => (number(range), number(range)),
            };
            let value = i32::from(value);
            (from..=to).contains(&value) && (value - from) % number(step) == 0
        })
    };
    let weekday = at.date().weekday().to_sunday_zero_offset();
    let of_month = has(2, 1, 31, at.day());
    let of_week = has(4, 0, 7, weekday) || weekday == 0 && has(4, 0, 7, 7);
    let star = fields[2].starts_with('*') || fields[4].starts_with('*');
    let day = if star { of_month && of_week } else { of_month || of_week };
    has(0, 0, 59, at.minute()) && has(1, 0, 23, at.hour()) && has(3, 1, 12, at.month()) && day
}

#[test]
fn the_next_minute_is_the_first_that_matches() {
    const STEPS: i64 = 3000;
    let check = |(text, from): (String, DateTime)| {
        let calendar = calendar(&text);
        let found = calendar.next_after(from);
        let walked = (1..=STEPS).map(|step| from + step.minutes()).find(|at| matches(&text, *at));
        match walked {
            Some(walked) => prop_assert_eq!(found, Some(walked), "{}", text),
            None => prop_assert!(
                found.is_none_or(|at| at > from + STEPS.minutes() && matches(&text, at)),
                "{text}: {found:?}"
            ),
        }
        Ok(())
    };
    runner(60).run(&(expression(), moment()), check).unwrap();
}

#[test]
fn next_and_previous_are_each_others_inverse() {
    let check = |(text, from): (String, DateTime)| {
        let calendar = calendar(&text);
        let Some(first) = calendar.next_after(from) else { return Ok(()) };
        prop_assert!(calendar.matches(first) && matches(&text, first));
        prop_assert_eq!(calendar.prev_before(first + 1.second()), Some(first));
        if let Some(second) = calendar.next_after(first) {
            prop_assert_eq!(calendar.prev_before(second), Some(first));
        }
        if let Some(before) = calendar.prev_before(from) {
            prop_assert!(before < from && matches(&text, before));
            prop_assert_eq!(calendar.next_after(before - 1.second()), Some(before));
        }
        Ok(())
    };
    runner(4000).run(&(expression(), moment()), check).unwrap();
}

#[test]
fn what_never_matches_is_known_without_a_walk() {
    let from = date(2026, 1, 1).at(0, 0, 0, 0);
    for text in ["0 0 30 2 *", "* * 31 2,4,6,9,11 */2", "0 0 30,31 2 *"] {
        let calendar = calendar(text);
        for _ in 0..200 {
            assert_eq!(calendar.next_after(from), None, "{text}");
            assert_eq!(calendar.prev_before(from), None, "{text}");
        }
    }
}

/// The weekday field in the numbers of the cron crate, where Sunday is 1.
fn shifted(field: &str) -> String {
    if field == "*" {
        return field.to_owned();
    }
    let mask = calendar(&format!("0 0 * * {field}")).days.dow;
    let days: Vec<String> =
        (0..7).filter(|day| mask & 1 << day != 0).map(|day| (day + 1).to_string()).collect();
    days.join(",")
}

#[test]
fn where_both_day_fields_must_match_the_cron_crate_agrees() {
    use chrono::{Datelike as _, Timelike as _};
    let check = |(text, from): (String, DateTime)| {
        let fields: Vec<&str> = text.split(' ').collect();
        prop_assume!(fields[2].starts_with('*') || fields[4].starts_with('*'));
        let lists = calendar(&text);
        let list = |mask: u64, end: u32| {
            let values: Vec<String> =
                (0..end).filter(|bit| mask & 1 << bit != 0).map(|bit| bit.to_string()).collect();
            values.join(",")
        };
        let translated = format!(
            "0 {} {} {} {} {}",
            list(lists.minutes, 60),
            list(lists.hours.into(), 24),
            list(lists.days.dom.into(), 32),
            list(lists.months.into(), 13),
            shifted(fields[4])
        );
        let theirs: cron::Schedule = translated.parse().expect("the cron crate reads it");
        let utc = chrono::NaiveDate::from_ymd_opt(
            from.year().into(),
            u32::try_from(from.month()).unwrap(),
            u32::try_from(from.day()).unwrap(),
        )
        .unwrap()
        .and_hms_opt(u32::try_from(from.hour()).unwrap(), u32::try_from(from.minute()).unwrap(), 0)
        .unwrap()
        .and_utc();
        let found: Vec<String> =
            std::iter::successors(lists.next_after(from), |&at| lists.next_after(at))
                .take(5)
                .map(|at| at.to_string())
                .collect();
        let expected: Vec<String> = theirs
            .after(&utc)
            .take(found.len())
            .map(|at| {
                let date = at.date_naive();
                format!("{}T{:02}:{:02}:00", date, at.hour(), at.minute())
            })
            .collect();
        prop_assume!(expected.len() == found.len() && from.year() < 2050);
        prop_assert_eq!(found, expected, "{} as {} from {}", text, translated, utc.year());
        Ok(())
    };
    runner(400).run(&(expression(), moment()), check).unwrap();
}

#[test]
fn where_either_day_field_suffices_croner_agrees() {
    let check = |(text, from): (String, DateTime)| {
        let fields: Vec<&str> = text.split(' ').collect();
        // croner takes a step behind * for a restriction, where cron sees the star bit.
        prop_assume!(!fields[2].starts_with('*') && !fields[4].starts_with('*'));
        let ours = calendar(&text);
        let theirs: croner::Cron = text.parse().expect("croner reads it");
        let zoned = from.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let Some(found) = ours.next_after(from) else { return Ok(()) };
        let expected = theirs.find_next_occurrence(&zoned, false).expect("croner finds it");
        prop_assert_eq!(found, expected.datetime(), "{}", text);
        Ok(())
    };
    runner(600).run(&(expression(), moment()), check).unwrap();
}
