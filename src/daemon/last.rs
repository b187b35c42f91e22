//! How the jobs ended last that have not run since the daemon started: as the store has kept it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::event::Ended;
use crate::job::{JobKey, JobTable};
use crate::store::record::RecordedOutcome;
use crate::store::{Handle, Query, RunRecord};

/// How long a listing may wait for the store, page by page.
const PATIENCE: Duration = Duration::from_millis(500);
/// Runs of a page.
const PAGE: usize = 1_000;
/// Pages that are looked through at most.
const PAGES: usize = 10;

/// What counts as the end of a run.
const ENDS: [RecordedOutcome; 6] = [
    RecordedOutcome::Succeeded,
    RecordedOutcome::Failed,
    RecordedOutcome::Killed,
    RecordedOutcome::TimedOut,
    RecordedOutcome::CouldNotStart,
    RecordedOutcome::Lost,
];

/// The last recorded end of each job of `table` that is not in `known`, among the last 10 000 runs; of a single job however
/// long ago. Without an answer of the store: none.
pub(super) async fn recorded(
    store: &Handle,
    table: &JobTable,
    known: &HashMap<JobKey, Ended>,
) -> HashMap<JobKey, RunRecord> {
    let keys = table.jobs().iter().map(|job| job.key);
    let mut sought: HashSet<JobKey> = keys.filter(|key| !known.contains_key(key)).collect();
    let mut found = HashMap::new();
    let one = sought.iter().next().copied().filter(|_| table.len() == 1);
    let mut query = Query {
        job: one,
        outcomes: ENDS.to_vec(),
        since: None,
        until: None,
        id_end: None,
        limit: if one.is_some() { 1 } else { PAGE },
        cursor: None,
    };
    for _ in 0..PAGES {
        if sought.is_empty() {
            break;
        }
        let Ok(page) = store.runs(query.clone(), PATIENCE).await else { break };
        for record in page.runs {
            if sought.remove(&record.key) {
                found.insert(record.key, record);
            }
        }
        query.cursor = page.cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    found
}
