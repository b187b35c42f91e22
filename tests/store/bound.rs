//! What is kept is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::store::open::Access;
use cronkeep::store::record::{OutputLine, RecordedOutcome};
use cronkeep::store::sqlite::{Bounds, Sqlite};
use cronkeep::store::{Address, Output, Query, RunRecord, Store, Write};
use jiff::Timestamp;

use super::embedded::Folder;
use super::harness::{all, at, block_on, key, mark, record, state, write, write_runs};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn with(bounds: Bounds, test: impl AsyncFnOnce(&Folder, Arc<dyn Store>)) {
    let folder = Folder::new();
    let opening = folder.opening(Address::Sqlite(folder.path()), Access::Owned);
    let store = Arc::new(Sqlite::with_bounds(opening, bounds));
    block_on(test(&folder, store));
}

fn ended(number: u32, job: u32) -> RunRecord {
    let outcome = Some(RecordedOutcome::Succeeded);
    RunRecord { key: key(job), outcome, ..record(number, i64::from(number)) }
}

/// How many runs each job has, by job.
async fn counted(store: &dyn Store) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut query = all(1_000);
    loop {
        let page = store.runs(query.clone()).await.unwrap();
        for record in page.runs {
            *counts.entry(record.key.to_string()).or_default() += 1;
        }
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return counts,
        }
    }
}

#[test]
fn runs_are_bounded_in_number_and_each_job_keeps_its_last() {
    let bounds = Bounds { runs: 200, each: 5, ..Bounds::default() };
    with(bounds, async |_, store| {
        // A job that runs rarely, then one that runs all the time.
        write_runs(&*store, (0..10).map(|n| ended(n, 1))).await;
        for first in (100..5_000).step_by(100) {
            write_runs(&*store, (first..first + 100).map(|n| ended(n, 2))).await;
            let count: usize = counted(&*store).await.values().sum();
            assert!(count <= 300, "{count}");
        }
        let counts = counted(&*store).await;
        assert_eq!(counts[&key(1).to_string()], 5);
        assert!((150..=200).contains(&counts[&key(2).to_string()]), "{counts:?}");
        let newest = store.runs(Query { job: Some(key(1)), ..all(1) }).await.unwrap().runs;
        assert_eq!(newest, [ended(9, 1)]);
    });
}

#[test]
fn runs_of_too_many_jobs_are_bounded_all_the_same() {
    let bounds = Bounds { runs: 100, each: 5, ..Bounds::default() };
    with(bounds, async |_, store| {
        for first in (0..2_000).step_by(50) {
            write_runs(&*store, (first..first + 50).map(|n| ended(n, n))).await;
        }
        let count: usize = counted(&*store).await.values().sum();
        assert!((100..=250).contains(&count), "{count}");
    });
}

#[test]
fn old_runs_go_but_for_the_last_of_each_job_and_those_that_go_on() {
    with(Bounds { age: DAY, each: 1, ..Bounds::default() }, async |folder, store| {
        write_runs(&*store, [record(0, 0), ended(1, 1), ended(2, 1), ended(3, 2)]).await;
        folder.clock.advance(2 * DAY);
        write(&*store, [Write::Run(Arc::new(ended(200_000, 3)))]).await;
        let kept = store.runs(all(9)).await.unwrap().runs;
        assert_eq!(kept, [ended(200_000, 3), ended(3, 2), ended(2, 1), record(0, 0)]);
        // What nobody speaks of any more goes in the end.
        folder.clock.advance(500 * DAY);
        write(&*store, [Write::Run(Arc::new(ended(43_300_000, 3)))]).await;
        assert_eq!(store.runs(all(9)).await.unwrap().runs, [ended(43_300_000, 3)]);
    });
}

#[test]
fn jobs_that_nothing_is_heard_of_are_forgotten() {
    with(Bounds::default(), async |folder, store| {
        write(&*store, (0..100).map(|n| Write::Mark(key(n), mark(60)))).await;
        for step in 0..50 {
            folder.clock.advance(10 * DAY);
            write_runs(&*store, [ended(864_000 * (step + 1), 7)]).await;
            if step == 29 {
                write(&*store, [Write::Mark(key(7), mark(3_600))]).await;
            }
        }
        for number in 0..20 {
            write_runs(&*store, [ended(43_200_001 + number, 7)]).await;
        }
        let jobs = store.load().await.unwrap().jobs;
        assert_eq!(jobs.len(), 1);
        assert_eq!(state(&*store, key(7)).await.mark, Some(mark(3_600)));
    });
}

#[test]
fn a_job_that_somebody_has_stays_paused_however_long_nothing_happens_to_it() {
    with(Bounds::default(), async |folder, store| {
        write(&*store, [Write::Pause(key(1)), Write::Pause(key(2))]).await;
        for time in 0_u32..60 {
            folder.clock.advance(10 * DAY);
            write(&*store, [Write::Since(vec![key(1)], at(-5))]).await;
            write_runs(&*store, [ended(864_000 * time, 7)]).await;
        }
        let jobs = store.load().await.unwrap().jobs;
        assert_eq!(jobs.len(), 1);
        assert!(jobs[&key(1)].paused);
    });
}

#[test]
fn nothing_is_forgotten_of_jobs_whose_daemon_was_away_for_long_and_comes_back() {
    let folder = Folder::new();
    let open = || folder.store(Access::Owned);
    block_on(async {
        write(&*open(), [Write::Since(vec![key(1), key(2)], at(0)), Write::Pause(key(1))]).await;
        folder.clock.advance(800 * DAY);
        let store = open();
        // It records what it does before it says which jobs it has.
        for number in 0..5 {
            write(&*store, [Write::Mark(key(9), mark(60 + i64::from(number)))]).await;
            write_runs(&*store, [ended(69_200_000 + number, 9)]).await;
        }
        assert!(state(&*store, key(1)).await.paused);
        write(&*store, [Write::Since(vec![key(1)], at(0))]).await;
        folder.clock.advance(2 * DAY);
        write_runs(&*store, [ended(69_300_000, 9)]).await;
        let jobs = store.load().await.unwrap().jobs;
        assert!(jobs[&key(1)].paused);
        assert!(!jobs.contains_key(&key(2)), "nobody has it after all");
    });
}

#[test]
fn of_too_many_jobs_none_goes_whose_daemon_was_away_for_a_month() {
    let folder = Folder::new();
    let bounds = Bounds { jobs: 5, ..Bounds::default() };
    let opening = || folder.opening(Address::Sqlite(folder.path()), Access::Owned);
    let open = || Sqlite::with_bounds(opening(), bounds);
    block_on(async {
        let store = open();
        write(&store, (0..10).map(|number| Write::Pause(key(number)))).await;
        // Who says again that he has a job need not have it written.
        folder.clock.advance(10 * DAY);
        write(&store, [Write::Since((0..10).map(key).collect(), at(-5))]).await;
        folder.clock.advance(9 * DAY);
        write(&store, [Write::Mark(key(90), mark(60))]).await;
        drop(store);
        folder.clock.advance(55 * DAY);
        let store = open();
        for number in 0..20 {
            write_runs(&store, [ended(6_400_000 + number, 90)]).await;
        }
        let jobs = store.load().await.unwrap().jobs;
        assert!((0..10).all(|number| jobs[&key(number)].paused));
    });
}

#[test]
fn nothing_is_forgotten_of_jobs_that_somebody_has_whose_clock_was_wrong() {
    with(Bounds::default(), async |folder, store| {
        let ours: Vec<_> = (0..10).map(key).collect();
        write(&*store, [Write::Since(ours.clone(), at(0)), Write::Pause(key(1))]).await;
        // Once it is at the beginning of 1970, and once the machine slept for years.
        let past = Duration::try_from(at(0).duration_since(Timestamp::UNIX_EPOCH)).unwrap();
        for leap in [None, Some(2_000 * DAY)] {
            match leap {
                None => folder.clock.step(Timestamp::UNIX_EPOCH),
                Some(leap) => folder.clock.advance(leap),
            }
            if leap.is_none() {
                write(&*store, [Write::Since(ours.clone(), at(0))]).await;
                folder.clock.advance(past + DAY);
            }
            for number in 0..20 {
                write_runs(&*store, [ended(number, 90)]).await;
            }
            // A day later at most it says again which jobs it has.
            folder.clock.advance(DAY);
            write(&*store, [Write::Since(ours.clone(), at(0))]).await;
            folder.clock.advance(2 * DAY);
            for number in 20..40 {
                write_runs(&*store, [ended(number, 90)]).await;
            }
            let jobs = store.load().await.unwrap().jobs;
            assert!(ours.iter().all(|key| jobs[key].since == Some(at(0))), "{leap:?}");
            assert!(jobs[&key(1)].paused);
        }
    });
}

#[test]
fn a_daemon_that_comes_back_says_which_jobs_it_has_before_one_is_forgotten() {
    let folder = Folder::new();
    let open = || folder.store(Access::Owned);
    block_on(async {
        let store = open();
        write(&*store, [Write::Since(vec![key(1), key(2)], at(0)), Write::Pause(key(1))]).await;
        // It wrote in 1970 what it has, and ended before its clock was right; another job is not its own.
        folder.clock.step(Timestamp::UNIX_EPOCH);
        write(&*store, [Write::Since(vec![key(1)], at(0))]).await;
        drop(store);
        folder.clock.step(at(0) + Duration::from_secs(60));
        let store = open();
        for number in 0..20 {
            write_runs(&*store, [ended(number, 90)]).await;
        }
        write(&*store, [Write::Since(vec![key(1)], at(0))]).await;
        folder.clock.advance(DAY);
        write_runs(&*store, [ended(90_000, 90)]).await;
        assert!(state(&*store, key(1)).await.paused);
    });
}

#[test]
fn of_too_many_jobs_those_go_that_nobody_has_had_for_the_longest() {
    with(Bounds { jobs: 50, ..Bounds::default() }, async |folder, store| {
        for time in 0_u32..36 {
            if time % 3 == 0 {
                let first = 1_000 * (time / 3 + 1);
                write(&*store, (first..first + 40).map(|number| Write::Pause(key(number)))).await;
            }
            write(&*store, [Write::Since((0..60).map(key).collect(), at(-5))]).await;
            for number in 0..20 {
                write_runs(&*store, [ended(864_000 * time + number, 0)]).await;
            }
            folder.clock.advance(10 * DAY);
        }
        let jobs = store.load().await.unwrap().jobs;
        assert!((0..60).all(|number| jobs.contains_key(&key(number))), "those are somebody's");
        assert!((100..=60 + 4 * 40).contains(&jobs.len()), "{}", jobs.len());
    });
}

#[test]
fn output_is_bounded_in_bytes_and_goes_with_its_run() {
    // Noise, which is as large packed.
    let noise = |seed: u32| -> Vec<u8> {
        (0..1_000_u32)
            .map(|n| (n ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(n % 31).to_le_bytes()[1])
            .collect()
    };
    let output = |seed| {
        let line = OutputLine { is_error: false, detached: false, bytes: noise(seed) };
        Output { head: vec![line], ..Output::default() }
    };
    let bounds = Bounds { output_bytes: 20_000, runs: 50, each: 0, ..Bounds::default() };
    with(bounds, async |folder, store| {
        let has = async |number: u32| store.output(ended(number, 1).run).await.unwrap().is_some();
        for number in 0..40 {
            write_runs(&*store, [ended(number, 1)]).await;
            write(&*store, [Write::Output(ended(number, 1).run, output(number))]).await;
        }
        assert!(!has(0).await && !has(15).await && has(39).await && has(25).await);
        write_runs(&*store, (100..200).map(|n| ended(n, 1))).await;
        write_runs(&*store, (200..300).map(|n| ended(n, 1))).await;
        assert!(!has(39).await, "it went with its run");
        drop(store.load().await);
        let database = rusqlite::Connection::open(folder.path()).unwrap();
        let sql = "SELECT (SELECT count(*) FROM runs) = (SELECT value FROM meta WHERE name = 'runs') \
                   AND (SELECT coalesce(sum(length(packed)), 0) FROM outputs) \
                   = (SELECT value FROM meta WHERE name = 'output_bytes')";
        assert!(database.query_row(sql, [], |row| row.get::<_, bool>(0)).unwrap(), "counted well");
    });
}
