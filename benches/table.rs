//! How long it takes to make jobs of entries, anew and after an edit.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]

use cronkeep::crontab::Options;
use cronkeep::job::{Diff, JobTable};
use cronkeep::schedule::Zone;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use jiff::Timestamp;

mod sample;

fn main() {
    divan::main();
}

fn build(
    read: &(cronkeep::crontab::Source, cronkeep::crontab::Crontab),
    before: &JobTable,
) -> (JobTable, Diff) {
    let (source, crontab) = read;
    let now = Timestamp::UNIX_EPOCH;
    let (table, diff, faults) =
        JobTable::build(&[(source, crontab)], &Zone::utc(), &Options::default(), before, now);
    assert!(faults.is_empty());
    (table, diff)
}

/// The first load.
#[divan::bench(args = [10_000, 100_000], max_time = 3)]
fn fresh(bencher: Bencher, entries: usize) {
    let read = sample::read(sample::daily(entries));
    bencher
        .counter(ItemsCount::new(entries))
        .bench(|| build(black_box(&read), &JobTable::default()));
}

/// A load after one line in the middle became another.
#[divan::bench(args = [10_000, 100_000], max_time = 3)]
fn one_line_changed(bencher: Bencher, entries: usize) {
    let text = sample::daily(entries);
    let edited = text.replace(&format!("--id={:06}", entries / 2), "--id=other");
    let (before, _) = build(&sample::read(text), &JobTable::default());
    let read = sample::read(edited);
    bencher.counter(ItemsCount::new(entries)).bench(|| {
        let (table, diff) = build(black_box(&read), &before);
        assert_eq!((diff.added.len(), diff.removed.len()), (1, 1));
        table
    });
}
