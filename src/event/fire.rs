//! The decision that a job is due.

use std::fmt;
use std::sync::Arc;

use super::RunId;
use crate::job::Job;
use crate::schedule::Due;

/// Why a fire is skipped where the job has as many runs as it may (`max-instances`).
pub const MAX_INSTANCES: &str = "max instances";

/// The decision that a job is due at a scheduled instant; at most one run comes of it.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The job as it stood when it became due.
    pub job: Arc<Job>,
    /// The scheduled instant.
    pub due: Due,
    /// Why it happened.
    pub trigger: Trigger,
    /// How often the clock had been set back so far that instants come again: with the due, what tells fires of a job apart.
    pub generation: u64,
}

/// What became of a fire that was handed on.
#[derive(Debug, Clone)]
pub enum Settlement {
    /// It is being started.
    Started(Fire),
    /// It was skipped or missed: nothing more comes of it.
    Passed(Fire),
    /// It was not started, for the store did not permit it: another replica may have, or is to.
    Returned(Fire),
    /// As [`Returned`](Settlement::Returned), and its run was ended meanwhile: nobody is to start it, and nothing was told of
    /// it yet.
    Ended(Fire, RunId),
}

/// Why a fire happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// The schedule matched the clock.
    Schedule,
    /// The container or the host has started.
    Reboot,
    /// The instant passed while nothing could start it, and `catch-up` has it started later.
    CatchUp,
    /// Somebody asked for it.
    Manual,
    /// The run of the job that it waits for has ended.
    After,
}

impl Trigger {
    /// All of them.
    pub const ALL: [Trigger; 5] =
        [Trigger::Schedule, Trigger::Reboot, Trigger::CatchUp, Trigger::Manual, Trigger::After];

    /// The trigger with this stable name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trigger| trigger.name() == name)
    }

    /// Whether an instant of the job's schedule caused it: starting it moves the job's watermark.
    #[must_use]
    pub fn is_of_schedule(self) -> bool {
        matches!(self, Trigger::Schedule | Trigger::CatchUp)
    }

    /// The trigger's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Trigger::Schedule => "schedule",
            Trigger::Reboot => "reboot",
            Trigger::CatchUp => "catch-up",
            Trigger::Manual => "manual",
            Trigger::After => "after",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
