//! How long it takes to read a crontab, and parts of it.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]

use std::fmt::Write as _;

use cronkeep::crontab::field::{self, FieldKind};
use cronkeep::crontab::{Compat, Crontab, FieldCount, expression, parse};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

mod sample;

fn main() {
    divan::main();
}

/// A whole file, entry by entry.
#[divan::bench(args = [10_000, 100_000], max_time = 3)]
fn crontab(bencher: Bencher, entries: usize) {
    let source = sample::source(sample::daily(entries));
    bencher.counter(ItemsCount::new(entries)).bench(|| -> Crontab { parse(black_box(&source)) });
}

/// A file in which every entry has a setting and a directive of its own above it.
#[divan::bench(args = [10_000], max_time = 3)]
fn crontab_with_settings_and_directives(bencher: Bencher, entries: usize) {
    let mut text = String::new();
    for (index, line) in sample::daily(entries).lines().enumerate() {
        writeln!(text, "MAILTO=team{index}@example.com").unwrap();
        writeln!(text, "# cronkeep: name=task-{index} timeout=5m grace=90s\n{line}").unwrap();
    }
    let source = sample::source(text);
    bencher.counter(ItemsCount::new(entries)).bench(|| parse(black_box(&source)));
}

/// A line of options, with the entry that it belongs to.
#[divan::bench]
fn directive(bencher: Bencher) {
    let text =
        "# cronkeep: name=nightly timeout=30m grace=90s tz=Europe/Berlin\n0 3 * * * backup\n";
    let source = sample::source(text.into());
    bencher.bench(|| parse(black_box(&source)));
}

#[divan::bench(args = ["*", "*/5", "0", "5,20,35,50", "1-10,20-40/3"])]
fn field_minute(text: &str) -> bool {
    field::parse(FieldKind::Minute, black_box(text.as_bytes())).is_ok()
}

#[divan::bench(args = ["mon-fri", "1-5"])]
fn field_day_of_week(text: &str) -> bool {
    field::parse(FieldKind::DayOfWeek, black_box(text.as_bytes())).is_ok()
}

/// Schedules alone, ours beside two crates.
mod expression_of {
    use super::{Bencher, Compat, FieldCount, black_box, expression};
    use std::str::FromStr as _;

    const TEXTS: [&str; 4] =
        ["* * * * *", "30 9 * * MON-FRI", "5,20,35,50 8-18 1-15 */2 *", "0 0 29 2 *"];

    #[divan::bench(args = TEXTS)]
    fn cronkeep(text: &str) -> bool {
        expression::parse(black_box(text.as_bytes()), FieldCount::Auto, Compat::Cronkeep).is_ok()
    }

    #[divan::bench(args = TEXTS)]
    fn cron_crate(bencher: Bencher, text: &str) {
        let text = format!("0 {text}");
        bencher.bench(|| cron::Schedule::from_str(black_box(&text)).is_ok());
    }

    #[divan::bench(args = TEXTS)]
    fn croner_crate(text: &str) -> bool {
        croner::Cron::from_str(black_box(text)).is_ok()
    }
}
