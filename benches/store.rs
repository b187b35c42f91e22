//! How fast a store in a file takes what a busy daemon has to keep, and finds it again.
//!
//! The page is asked of as many runs as `CRONKEEP_BENCH_RUNS` says, 1 000 000 if it says nothing.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up cannot go on")]

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::event::{RunId, Trigger};
use cronkeep::job::{JobId, JobKey};
use cronkeep::schedule::Due;
use cronkeep::store::open::{Access, Opening};
use cronkeep::store::record::{Output, OutputLine, RecordedOutcome};
use cronkeep::store::sqlite::{Bounds, Sqlite};
use cronkeep::store::{Address, Lease, Mark, Query, RunRecord, Start, Store, Write};
use divan::Bencher;
use divan::counter::ItemsCount;
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn main() {
    divan::main();
}

/// Jobs among which runs are spread.
const JOBS: u32 = 1_000;

fn store(folder: &Path, runs: u32) -> Sqlite {
    let opening = Opening {
        address: Address::Sqlite(folder.join("cronkeep.db")),
        namespace: "default".to_owned(),
        access: Access::Owned,
        clock: Arc::new(SystemClock),
        tell: Arc::new(|text| panic!("{text}")),
    };
    let age = Duration::from_secs(u64::from(u32::MAX));
    Sqlite::with_bounds(opening, Bounds { runs, age, forgotten: 2 * age, ..Bounds::default() })
}

fn done<T>(reply: cronkeep::store::Reply<'_, T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(reply).unwrap()
}

fn key(number: u32) -> JobKey {
    JobKey { id: JobId::of_mark(&(number % JOBS).to_be_bytes()), occurrence: 1 }
}

fn record(number: u32) -> RunRecord {
    let at = Timestamp::from_millisecond(1_800_000_000_000 + i64::from(number) * 20).unwrap();
    let outcome = if number.is_multiple_of(50) {
        RecordedOutcome::Failed
    } else {
        RecordedOutcome::Succeeded
    };
    RunRecord {
        run: RunId::new(at, u128::from(number) * 0x9e37_79b9_7f4a_7c15_f39c_c061),
        attempt: 1,
        key: key(number),
        name: format!("job-{}", number % JOBS),
        due: Due { at, civil: TimeZone::UTC.to_datetime(at) },
        range: None,
        trigger: Trigger::Schedule,
        queued: Some(at),
        started: Some(at),
        ended: Some(at),
        outcome: Some(outcome),
        exit: Some(0),
        signal: None,
        reason: None,
        user_cpu: Duration::from_micros(800),
        system_cpu: Duration::from_micros(400),
        max_rss_kib: Some(3_000),
        replica: "host-1".to_owned(),
        worker: None,
        output_bytes: 0,
        process: None,
    }
}

fn write(number: u32) -> Write {
    Write::Run(Arc::new(record(number)))
}

fn start(number: u32) -> Start {
    let RunRecord { run, key, name, due, .. } = record(number);
    let (mark, trigger) = (Mark::of(due, 0), Trigger::Schedule);
    Start { run, attempt: 1, key, name, mark, trigger, queued: due.at }
}

/// The record of a run that goes on, with its process.
fn begun(number: u32) -> Write {
    let record = RunRecord { ended: None, outcome: None, exit: None, ..record(number) };
    Write::Run(Arc::new(RunRecord { process: Some((4_711, 17)), ..record }))
}

/// Three lines that a run printed.
fn output(number: u32) -> Write {
    let line = |part: u32| OutputLine {
        is_error: false,
        detached: false,
        bytes: format!("part {part} of {number} is done").into_bytes(),
    };
    let output = Output { head: (0..3).map(line).collect(), ..Output::default() };
    Write::Output(record(number).run, output)
}

/// A thousand starts in one transaction, in the way of a burst.
#[divan::bench(max_time = 3)]
fn start_1000(bencher: Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 100_000);
    let mut number = 0;
    bencher
        .counter(ItemsCount::new(1_000_u32))
        .with_inputs(|| {
            number += 1_000;
            (number..number + 1_000).map(start).collect::<Vec<_>>()
        })
        .bench_local_values(|starts| done(store.start(Lease::default(), starts)));
}

/// A thousand ends of runs, in batches as the daemon writes them, at the bound of what is kept.
#[divan::bench(max_time = 3)]
fn record_1000(bencher: Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 20_000);
    for first in (0..20_000).step_by(1_000) {
        done(store.write((first..first + 1_000).map(write).collect()));
    }
    let mut number = 20_000;
    bencher
        .counter(ItemsCount::new(1_000_u32))
        .with_inputs(|| {
            number += 1_000;
            [number..number + 500, number + 500..number + 1_000]
                .map(|half| half.map(write).collect())
        })
        .bench_local_values(|halves: [Vec<Write>; 2]| {
            for half in halves {
                done(store.write(half));
            }
        });
}

/// The lives of a thousand runs that print something, from the start to the end, in batches as the daemon writes them, at the
/// bound of what is kept.
#[divan::bench(max_time = 3)]
fn live_1000(bencher: Bencher) {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 20_000);
    for first in (0..20_000).step_by(1_000) {
        done(store.write((first..first + 1_000).map(write).collect()));
    }
    let mut number = 20_000;
    bencher
        .counter(ItemsCount::new(1_000_u32))
        .with_inputs(|| {
            number += 1_000;
            [number..number + 500, number + 500..number + 1_000].map(|half| {
                let starts: Vec<Start> = half.clone().map(start).collect();
                let begun = half.clone().map(begun).collect::<Vec<Write>>();
                let ended = half.flat_map(|number| [write(number), output(number)]);
                (starts, begun, ended.collect::<Vec<Write>>())
            })
        })
        .bench_local_values(|halves| {
            for (starts, begun, ended) in halves {
                done(store.start(Lease::default(), starts));
                done(store.write(begun));
                done(store.write(ended));
            }
        });
}

/// A store with many runs, made once, in the place of the one that was left by the bench before.
static LARGE: LazyLock<(Sqlite, u32)> = LazyLock::new(|| {
    let runs = std::env::var("CRONKEEP_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok());
    let runs = runs.unwrap_or(1_000_000);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-store");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let store = store(&folder, u32::MAX);
    for first in (0..runs).step_by(10_000) {
        done(store.write((first..first + 10_000).map(write).collect()));
    }
    (store, runs)
});

fn page(bencher: Bencher, query: &Query) {
    let (store, _) = &*LARGE;
    bencher.bench_local(|| {
        let page = done(store.runs(query.clone()));
        assert!(!page.runs.is_empty());
        page
    });
}

fn fifty() -> Query {
    Query {
        job: None,
        outcomes: Vec::new(),
        since: None,
        until: None,
        id_end: None,
        limit: 50,
        cursor: None,
    }
}

/// The newest 50 of all.
#[divan::bench(max_time = 2)]
fn page_of_50(bencher: Bencher) {
    page(bencher, &fifty());
}

/// 50 from the middle of all.
#[divan::bench(max_time = 2)]
fn page_in_the_middle(bencher: Bencher) {
    let cursor = Some(format!("{}-1", record(LARGE.1 / 2).run));
    page(bencher, &Query { cursor, ..fifty() });
}

/// The newest 50 of one job.
#[divan::bench(max_time = 2)]
fn page_of_a_job(bencher: Bencher) {
    page(bencher, &Query { job: Some(key(7)), ..fifty() });
}

/// The newest 50 that failed or were lost.
#[divan::bench(max_time = 2)]
fn page_of_failures(bencher: Bencher) {
    let outcomes = vec![RecordedOutcome::Failed, RecordedOutcome::Lost];
    page(bencher, &Query { outcomes, ..fifty() });
}

/// The run whose id ends in six letters.
#[divan::bench(max_time = 2)]
fn by_the_end_of_an_id(bencher: Bencher) {
    let id_end = Some(record(LARGE.1 / 3).run.short());
    page(bencher, &Query { id_end, ..fifty() });
}
