//! How long it takes to learn when a schedule is due next, and a year of it.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]

use std::str::FromStr as _;

use cronkeep::crontab::{Compat, FieldCount, expression};
use cronkeep::schedule::{Schedule, Zone};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::Timestamp;

mod sample;

fn main() {
    divan::main();
}

/// Frequent, everyday, rare and impossible schedules.
const TEXTS: [&str; 8] = [
    "* * * * *",
    "*/5 * * * *",
    "0 3 * * *",
    "30 9 * * MON-FRI",
    "5,20,35,50 8-18 1-15 */2 *",
    "0 0 1 1 *",
    "0 0 29 2 *",
    "0 0 30 2 *",
];

const FROM: &str = "2026-07-15T12:34:56Z";

fn from() -> Timestamp {
    FROM.parse().unwrap()
}

fn schedule(text: &str) -> Schedule {
    expression::parse(text.as_bytes(), FieldCount::Auto, Compat::Cronkeep).unwrap().when.resolve(0)
}

fn next_in(bencher: Bencher, zone: &str, text: &str) {
    let (zone, schedule, from) = (Zone::named(zone).unwrap(), schedule(text), from());
    bencher.bench(|| black_box(&schedule).next_after(&zone, from, black_box(from)));
}

#[divan::bench(args = TEXTS)]
fn next_utc_cronkeep(bencher: Bencher, text: &str) {
    next_in(bencher, "UTC", text);
}

#[divan::bench(args = TEXTS)]
fn next_utc_cron_crate(bencher: Bencher, text: &str) {
    let schedule = cron::Schedule::from_str(&format!("0 {text}")).unwrap();
    let from =
        chrono::DateTime::from_timestamp_nanos(i64::try_from(from().as_nanosecond()).unwrap());
    bencher.bench(|| black_box(&schedule).after(black_box(&from)).next());
}

#[divan::bench(args = TEXTS)]
fn next_utc_croner_crate(bencher: Bencher, text: &str) {
    next_by_croner(bencher, "UTC", text);
}

#[divan::bench(args = TEXTS)]
fn next_berlin_cronkeep(bencher: Bencher, text: &str) {
    next_in(bencher, "Europe/Berlin", text);
}

#[divan::bench(args = TEXTS)]
fn next_berlin_croner_crate(bencher: Bencher, text: &str) {
    next_by_croner(bencher, "Europe/Berlin", text);
}

fn next_by_croner(bencher: Bencher, zone: &str, text: &str) {
    let cron = croner::Cron::from_str(text).unwrap();
    let from = from().in_tz(zone).unwrap();
    bencher.bench(|| black_box(&cron).find_next_occurrence(black_box(&from), false).ok());
}

/// A year of 10 000 once-a-day entries: 3.65 million fires.
#[divan::bench(args = ["UTC", "Europe/Berlin"], sample_count = 10, sample_size = 1)]
fn preview_a_year(bencher: Bencher, zone: &str) {
    let (_, crontab) = sample::read(sample::daily(10_000));
    let schedules: Vec<Schedule> = crontab.entries().map(|entry| entry.when.resolve(0)).collect();
    let zone = Zone::named(zone).unwrap();
    let from: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let until: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    bencher.counter(ItemsCount::new(3_650_000_usize)).bench(|| {
        let fires = |schedule: &Schedule| {
            let fires = schedule.fires(&zone, from, from);
            fires.take_while(|due| due.at < until).map(black_box).count()
        };
        let count: usize = schedules.iter().map(fires).sum();
        // A schedule that is due at the very beginning has one fire less.
        assert!((3_649_000..=3_650_000).contains(&count), "{count} fires");
    });
}
