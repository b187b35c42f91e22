//! What the suite needs of a kind of store, and values to keep.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::event::{RunId, Trigger};
use cronkeep::job::{JobId, JobKey};
use cronkeep::schedule::Due;
use cronkeep::store::{
    Beat, Claim, JobState, Lease, Mark, Permission, Query, RunRecord, Start, Store, Verdict, Write,
};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A store of some kind, empty at first.
pub(crate) trait Place {
    /// Opens it, inside a runtime. Opened again it has what was kept, whoever else has it open still.
    fn open(&self) -> Arc<dyn Store>;
}

/// Runs a test against a place, if there is one.
pub(crate) fn run<P: Place>(place: Option<P>, test: impl AsyncFnOnce(&dyn Place)) {
    let Some(place) = place else { return };
    block_on(test(&place));
}

/// Runs a test inside a runtime.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs");
    });
}

/// The instant that times of tests count from, in seconds.
const EPOCH: i64 = 1_800_000_000;

/// An instant so many seconds after that of all tests.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(EPOCH + second).unwrap()
}

/// A job's key, another one for each number.
pub(crate) fn key(number: u32) -> JobKey {
    let id = JobId::of_mark(&(number / 2).to_be_bytes());
    JobKey { id, occurrence: number % 2 + 1 }
}

/// The due at an instant of UTC.
pub(crate) fn due(second: i64) -> Due {
    let at = at(second);
    Due { at, civil: TimeZone::UTC.to_datetime(at) }
}

/// The watermark of that due in the first generation.
pub(crate) fn mark(second: i64) -> Mark {
    Mark::of(due(second), 0)
}

/// The id of a run that arrived at an instant, another one for each number.
pub(crate) fn run_id(second: i64, number: u32) -> RunId {
    RunId::new(at(second), u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c061))
}

/// A run that is started.
pub(crate) fn a_start(number: u32, second: i64) -> Start {
    Start {
        run: run_id(second, number),
        attempt: 1,
        key: key(number),
        name: format!("job {number}"),
        mark: mark(second),
        trigger: Trigger::Schedule,
        queued: at(second),
    }
}

/// A run of the job of that number that has started and not ended.
pub(crate) fn record(number: u32, second: i64) -> RunRecord {
    RunRecord {
        run: run_id(second, number),
        attempt: 1,
        key: key(number),
        name: format!("job {number}"),
        due: due(second),
        range: None,
        trigger: Trigger::Schedule,
        queued: Some(at(second)),
        started: Some(at(second)),
        ended: None,
        outcome: None,
        exit: None,
        signal: None,
        reason: None,
        user_cpu: Duration::ZERO,
        system_cpu: Duration::ZERO,
        max_rss_kib: None,
        replica: "here".to_owned(),
        worker: None,
        output_bytes: 0,
        process: None,
    }
}

/// Begins to use a store as a daemon does: with a lease of its own.
pub(crate) async fn lease(store: &dyn Store) -> Lease {
    let beat = Beat {
        lease: Lease { replica: "here".to_owned(), fencing: 0 },
        host: "host".to_owned(),
        jobs_hash: "hash".to_owned(),
        jobs: 1,
        zone: "UTC".to_owned(),
        expiry: Duration::from_secs(60),
        // Nobody waits for others that there are not.
        alone: true,
        leaving: false,
    };
    store.beat(beat).await.unwrap().lease
}

/// Claims fires and starts them, as a daemon does.
pub(crate) async fn start(store: &dyn Store, lease: &Lease, starts: Vec<Start>) {
    let claims = starts.iter().map(|start| Claim {
        key: start.key,
        mark: start.mark,
        trigger: start.trigger,
        grace: Duration::from_secs(60),
        instances: None,
    });
    let verdicts = store.claim(lease.clone(), claims.collect()).await.unwrap();
    assert_eq!(verdicts, vec![Verdict::Granted; starts.len()]);
    let count = starts.len();
    let permissions = store.start(lease.clone(), starts).await.unwrap();
    assert_eq!(permissions, vec![Permission::Granted; count]);
}

/// Has something kept.
pub(crate) async fn write(store: &dyn Store, writes: impl IntoIterator<Item = Write>) {
    store.write(writes.into_iter().collect()).await.unwrap();
}

/// Has records kept.
pub(crate) async fn write_runs(store: &dyn Store, records: impl IntoIterator<Item = RunRecord>) {
    write(store, records.into_iter().map(|record| Write::Run(Arc::new(record)))).await;
}

/// What is kept of a job.
pub(crate) async fn state(store: &dyn Store, key: JobKey) -> JobState {
    store.load().await.unwrap().jobs.remove(&key).unwrap_or_default()
}

/// All runs, at most so many.
pub(crate) fn all(limit: usize) -> Query {
    Query {
        job: None,
        outcomes: Vec::new(),
        since: None,
        until: None,
        id_end: None,
        limit,
        cursor: None,
    }
}
