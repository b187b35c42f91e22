//! What is kept of a job.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::RunRecord;
use crate::event::Trigger;
use crate::job::JobKey;
use crate::schedule::Due;

/// A watermark: the last due of a job that was dealt with.
///
/// Ordered by generation, instant, civil time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// How often the clock was set back so far that instants come again.
    pub generation: u64,
    /// The instant of the due.
    pub at: Timestamp,
    /// The wall-clock time that it stands for.
    pub civil: DateTime,
}

impl Mark {
    /// The watermark that a due leaves behind.
    #[must_use]
    pub fn of(due: Due, generation: u64) -> Self {
        Mark { generation, at: due.at, civil: due.civil }
    }

    /// The due that left it.
    #[must_use]
    pub fn due(self) -> Due {
        Due { at: self.at, civil: self.civil }
    }
}

/// A due that the watermark has passed and that is still to be dealt with: it waits for another run, for its turn to be
/// caught up, for its jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// The due.
    pub due: Due,
    /// Why it fires.
    pub trigger: Trigger,
}

/// What is kept of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobState {
    /// When it was first loaded, or last got another schedule.
    pub since: Option<Timestamp>,
    /// The last due that was dealt with.
    pub mark: Option<Mark>,
    /// By instant.
    pub owed: Vec<Owed>,
    /// Whether it is paused.
    pub paused: bool,
}

/// What a store has kept of earlier lives.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// By job, also of those that no crontab has any more.
    pub jobs: HashMap<JobKey, JobState>,
    /// The runs that were started and whose end was not recorded, by start.
    pub open: Vec<RunRecord>,
}
