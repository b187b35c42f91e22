//! Runs as they are recorded, and how they are found.

use std::collections::BTreeSet;
use std::time::Duration;

use cronkeep::event::{RunId, Trigger};
use cronkeep::store::record::{OutputLine, RecordedOutcome};
use cronkeep::store::{Output, Query, RunRecord, Store, StoreError, Write};
use jiff::{SignedDuration, Timestamp};

use super::harness::{Place, all, at, due, key, record, run_id, write, write_runs};

/// A run that ended.
fn ended(number: u32, second: i64, outcome: RecordedOutcome) -> RunRecord {
    RunRecord { ended: Some(at(second + 5)), outcome: Some(outcome), ..record(number, second) }
}

/// The ids of the runs of all pages, each with `query.limit` at most.
async fn paged(store: &dyn Store, mut query: Query) -> Vec<RunId> {
    let mut found = Vec::new();
    loop {
        let page = store.runs(query.clone()).await.unwrap();
        assert!(page.runs.len() <= query.limit);
        found.extend(page.runs.iter().map(|record| record.run));
        assert!(found.len() <= 10_000, "pages without end");
        match page.cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return found,
        }
    }
}

pub(crate) async fn every_field_reads_back(place: &dyn Place) {
    let store = place.open();
    let micros = SignedDuration::from_micros(123_457);
    let full = RunRecord {
        attempt: 3,
        worker: Some("far-1".to_owned()),
        trigger: Trigger::CatchUp,
        queued: Some(at(1) + micros),
        started: Some(at(2) + micros),
        ended: Some(at(3) + micros),
        outcome: Some(RecordedOutcome::Killed),
        exit: Some(255),
        signal: Some(9),
        reason: Some("out of memory\n\u{1b}[31m\u{fffd}".to_owned()),
        user_cpu: Duration::from_micros(1_234_567),
        system_cpu: Duration::from_micros(7),
        max_rss_kib: Some(1 << 40),
        replica: "host-1/ab".to_owned(),
        output_bytes: 1 << 50,
        name: "a name, é".to_owned(),
        ..record(3, 0)
    };
    let range = RunRecord {
        attempt: 0,
        range: Some((due(600), 11)),
        queued: None,
        started: None,
        outcome: Some(RecordedOutcome::Missed),
        reason: Some("down".to_owned()),
        ..record(2, 60)
    };
    let alive = RunRecord { process: Some((4_321, u64::MAX >> 1)), ..record(5, 120) };
    let kept = [alive, range, full];
    write_runs(&*store, kept.clone()).await;
    assert_eq!(place.open().runs(all(9)).await.unwrap().runs, kept);
}

pub(crate) async fn a_later_record_replaces_the_earlier_one_of_the_attempt(place: &dyn Place) {
    let store = place.open();
    let second = RunRecord { attempt: 2, ..record(1, 0) };
    write_runs(&*store, [record(1, 0), second.clone()]).await;
    let first = RunRecord { exit: Some(0), ..ended(1, 0, RecordedOutcome::Succeeded) };
    write_runs(&*store, [first.clone()]).await;
    assert_eq!(place.open().runs(all(9)).await.unwrap().runs, [second, first.clone()]);
    let outcome = Some(RecordedOutcome::Lost);
    let lost = RunRecord { outcome, exit: None, ..first };
    write_runs(&*store, [lost.clone()]).await;
    assert_eq!(store.runs(all(9)).await.unwrap().runs[1], lost);
}

pub(crate) async fn a_run_that_ended_is_not_opened_again(place: &dyn Place) {
    let store = place.open();
    let end = ended(1, 0, RecordedOutcome::Failed);
    write_runs(&*store, [record(1, 0), end.clone(), record(1, 0)]).await;
    write_runs(&*store, [RunRecord { process: Some((7, 7)), ..record(1, 0) }]).await;
    assert_eq!(place.open().runs(all(9)).await.unwrap().runs, [end]);
    assert!(store.load().await.unwrap().open.is_empty());
}

pub(crate) async fn runs_without_an_end_are_loaded(place: &dyn Place) {
    let store = place.open();
    let open = [record(1, 0), RunRecord { process: Some((7, 8)), ..record(2, 30) }, record(1, 60)];
    write_runs(&*store, open.clone()).await;
    write_runs(&*store, (3..50).map(|n| ended(n, 10, RecordedOutcome::Succeeded))).await;
    assert_eq!(place.open().load().await.unwrap().open, open);
    write_runs(&*store, [ended(1, 0, RecordedOutcome::Lost)]).await;
    assert_eq!(store.load().await.unwrap().open, open[1..]);
}

pub(crate) async fn pages_hold_each_run_once_newest_first(place: &dyn Place) {
    let store = place.open();
    assert_eq!(store.runs(all(5)).await.unwrap().cursor, None);
    // Several arrive in one millisecond, and some were tried twice.
    let records = (0..60).flat_map(|n| {
        let first = ended(n, i64::from(n / 4), RecordedOutcome::Failed);
        let again = RunRecord { attempt: 2, ..first.clone() };
        if n % 7 == 0 { vec![first, again] } else { vec![first] }
    });
    let mut records: Vec<RunRecord> = records.collect();
    write_runs(&*store, records.clone()).await;
    records.sort_by_key(|record| (record.run, record.attempt));
    records.reverse();
    let expected: Vec<RunId> = records.iter().map(|record| record.run).collect();
    assert_eq!(store.runs(all(100)).await.unwrap().runs, records);
    for limit in [1, 3, records.len()] {
        assert_eq!(paged(&*store, all(limit)).await, expected, "{limit} a page");
    }
    // What arrives meanwhile does not move the pages.
    let page = store.runs(all(10)).await.unwrap();
    write_runs(&*store, [ended(99, 500, RecordedOutcome::Failed)]).await;
    let next = store.runs(Query { cursor: page.cursor, ..all(10) }).await.unwrap();
    assert_eq!(next.runs, records[10..20]);
}

pub(crate) async fn runs_are_found_by_job_outcome_time_and_end_of_id(place: &dyn Place) {
    let store = place.open();
    let outcome = |n: u32| RecordedOutcome::ALL[n as usize % RecordedOutcome::ALL.len()];
    let mut records: Vec<RunRecord> = (0..200)
        .map(|n| RunRecord { key: key(n % 3), ..ended(n, i64::from(n), outcome(n)) })
        .collect();
    records.push(RunRecord { key: key(1), ..record(777, 1_000) });
    write_runs(&*store, records.clone()).await;
    records.reverse();
    let check = async |query: Query, accepts: &dyn Fn(&RunRecord) -> bool| {
        let expected: Vec<RunId> =
            records.iter().filter(|record| accepts(record)).map(|record| record.run).collect();
        assert!(!expected.is_empty(), "{query:?}");
        for limit in [2, 7, 500] {
            let found = paged(&*store, Query { limit, ..query.clone() }).await;
            assert_eq!(found, expected, "{query:?}");
        }
    };
    let some = BTreeSet::from(["lost", "killed", "missed"]);
    let outcomes: Vec<_> = some.iter().filter_map(|name| RecordedOutcome::of_name(name)).collect();
    let is_some = |record: &RunRecord| record.outcome.is_some_and(|o| some.contains(o.name()));
    let within = |record: &RunRecord| (at(50)..at(120)).contains(&record.queued.unwrap());
    let (since, until) = (Some(at(50)), Some(at(120)));
    let job = Some(key(1));
    check(Query { job, ..all(0) }, &|record| record.key == key(1)).await;
    check(Query { outcomes: outcomes.clone(), ..all(0) }, &is_some).await;
    check(Query { since, ..all(0) }, &|record| record.queued >= since).await;
    check(Query { until, ..all(0) }, &|record| record.queued < until).await;
    check(Query { since, until, ..all(0) }, &within).await;
    let both = |record: &RunRecord| record.key == key(1) && is_some(record) && within(record);
    check(Query { job, outcomes, since, until, ..all(0) }, &both).await;
    for number in [0, 17, 199] {
        let run = records[number].run;
        let text = run.to_string();
        for length in [26, 6, 8, 13] {
            let id_end = Some(text[26 - length..].to_owned());
            check(Query { id_end, ..all(0) }, &|record| record.run == run).await;
        }
        let last = text[25..].to_owned();
        let ends = |record: &RunRecord| record.run.to_string().ends_with(&last);
        check(Query { id_end: Some(last.clone()), ..all(0) }, &ends).await;
    }
    for nothing in ["U", "no id", "é", &"0".repeat(27), "ZZZZZZZZZZ"] {
        let query = Query { id_end: Some(nothing.to_owned()), ..all(9) };
        assert_eq!(store.runs(query).await.unwrap().runs, [], "{nothing}");
    }
    let unknown = Query { job: Some(key(77)), ..all(9) };
    assert_eq!(store.runs(unknown).await.unwrap().runs, []);
    let never = Query { since: Some(Timestamp::MAX), until: Some(Timestamp::MIN), ..all(9) };
    assert_eq!(store.runs(never).await.unwrap().runs, []);
}

pub(crate) async fn what_was_not_started_is_found_by_its_instants(place: &dyn Place) {
    let store = place.open();
    let range = |n: u32, arrived: i64, [first, last]: [i64; 2], outcome| RunRecord {
        attempt: 0,
        due: due(first),
        range: (last > first).then(|| (due(last), 2)),
        started: None,
        ..ended(n, arrived, outcome)
    };
    // What was missed is recorded when the daemon is there again; a run is caught up then.
    let records = [
        range(1, 900, [100, 300], RecordedOutcome::Missed),
        range(2, 901, [400, 400], RecordedOutcome::Skipped),
        RunRecord { due: due(100), ..ended(3, 902, RecordedOutcome::Failed) },
        range(4, 350, [350, 350], RecordedOutcome::Missed),
        ended(5, 250, RecordedOutcome::Lost),
        record(6, 903),
    ];
    write_runs(&*store, records.clone()).await;
    let missed = vec![RecordedOutcome::Missed];
    for (since, until, expected) in [
        (None, Some(100), &[][..]),
        (None, Some(101), &[1]),
        (None, Some(400), &[1, 4, 5]),
        (None, Some(401), &[2, 1, 4, 5]),
        (Some(300), None, &[6, 3, 2, 1, 4]),
        (Some(301), None, &[6, 3, 2, 4]),
        (Some(401), None, &[6, 3]),
        (Some(150), Some(200), &[1]),
        (Some(301), Some(350), &[]),
    ] {
        let query = Query { since: since.map(at), until: until.map(at), ..all(0) };
        for (outcomes, job) in
            [(vec![], None), (missed.clone(), None), (missed.clone(), Some(key(1)))]
        {
            let fits = |n: &&u32| {
                let record = &records[**n as usize - 1];
                (outcomes.is_empty() || record.outcome == Some(RecordedOutcome::Missed))
                    && job.is_none_or(|job| record.key == job)
            };
            let expected: Vec<RunId> =
                expected.iter().filter(fits).map(|n| records[*n as usize - 1].run).collect();
            for limit in [1, 9] {
                let query = Query { limit, job, outcomes: outcomes.clone(), ..query.clone() };
                let found = paged(&*store, query.clone()).await;
                assert_eq!(found, expected, "{query:?}");
            }
        }
    }
}

pub(crate) async fn a_cursor_of_somebody_else_is_refused(place: &dyn Place) {
    let store = place.open();
    write_runs(&*store, [record(1, 0)]).await;
    for cursor in ["", "x", "-1", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "é", "' OR 1=1 --"] {
        let answer = store.runs(Query { cursor: Some(cursor.to_owned()), ..all(9) }).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{cursor:?}: {answer:?}");
    }
}

pub(crate) async fn output_reads_back_and_is_replaced(place: &dyn Place) {
    let store = place.open();
    let line = |bytes: &[u8]| OutputLine { is_error: true, detached: false, bytes: bytes.to_vec() };
    let output = Output {
        head: vec![line(b"first"), line(b""), line(b"\x00\xff\n\x1b")],
        left_out: 12_345,
        tail: vec![OutputLine { is_error: false, detached: true, bytes: vec![b'x'; 40_000] }],
    };
    let run = run_id(0, 1);
    write_runs(&*store, [record(1, 0)]).await;
    assert_eq!(store.output(run).await.unwrap(), None);
    write(&*store, [Write::Output(run, Output::default())]).await;
    write(&*store, [Write::Output(run, output.clone())]).await;
    assert_eq!(place.open().output(run).await.unwrap(), Some(output));
    assert_eq!(store.output(run_id(0, 2)).await.unwrap(), None);
}
