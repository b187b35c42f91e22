//! The set of jobs in force, and what an edit changed.
use std::sync::Arc;

use jiff::Timestamp;

use super::Job;
use crate::crontab::{Crontab, Fault};
use crate::schedule::Zone;

/// The set of jobs in force; immutable, swapped as a whole.
#[derive(Debug, Clone, Default)]
pub struct JobTable {
    /// In file order.
    pub jobs: Vec<Arc<Job>>,
}

/// What became of each job between two tables.
#[derive(Debug, Clone, Default)]
pub struct Diff {
    /// New keys.
    pub added: Vec<Arc<Job>>,
    /// Same key, but another setting, stdin, option or zone: as it is now.
    pub changed: Vec<Arc<Job>>,
    /// Keys that are gone.
    pub removed: Vec<Arc<Job>>,
    /// How many jobs stayed as they were.
    pub unchanged: usize,
}

impl JobTable {
    /// Makes the jobs of `crontabs` (name and content, in order) runnable. Jobs unchanged from `previous` keep their
    /// place in time; new ones, and those with another schedule or zone, start at `now`.
    #[must_use]
    pub fn build(
        crontabs: &[(Arc<str>, Crontab)],
        default_zone: &Zone,
        previous: &JobTable,
        now: Timestamp,
    ) -> (JobTable, Diff, Vec<(Arc<str>, Fault)>) {
        let _ = (crontabs, default_zone, previous, now);
        todo!()
    }
}
