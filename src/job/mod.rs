//! Jobs: entries made runnable, with a stable identity.
//!
//! Receives [`Crontab`](crate::crontab::Crontab)s, hands on a [`JobTable`] and what changed. Layer 3: pure.

pub mod action;
pub mod canonical;
pub mod id;
pub mod policy;
pub mod table;

pub use action::Action;
pub use id::{JobId, JobKey};
pub use policy::Policy;
pub use table::{Diff, JobTable};

use std::sync::Arc;

use jiff::Timestamp;

use crate::crontab::{Flags, Settings, Text};
use crate::schedule::{Cursor, Due, Schedule, Zone};

/// An entry that is scheduled.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its identity inside: id and occurrence.
    pub key: JobKey,
    /// The name that a directive gives it.
    pub name: Option<Arc<str>>,
    /// Whom it runs as.
    pub user: Text,
    /// When it is due; shared by jobs with equal schedules.
    pub schedule: Arc<Schedule>,
    /// The schedule as typed, one blank between tokens.
    pub schedule_text: Text,
    /// The zone of its wall clock.
    pub zone: Zone,
    /// What a run does.
    pub action: Action,
    /// Marks on its line.
    pub flags: Flags,
    /// The settings for its environment.
    pub settings: Arc<Settings>,
    /// Every option, resolved; shared by jobs with equal policies.
    pub policy: Arc<Policy>,
    /// Where it stands.
    pub origin: Origin,
    /// The plain comment directly above its line.
    pub description: Option<Text>,
    /// When it was first loaded: nothing due at or before it starts, and `@every` counts from it.
    pub since: Timestamp,
}

/// Where a job stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The crontab's path, or `-`.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl Job {
    /// The first due strictly after `cursor`, within `from` and `until`; none if the job is not enabled.
    #[must_use]
    pub fn next_after(&self, cursor: Cursor) -> Option<Due> {
        let _ = cursor;
        todo!()
    }

    /// What people call it: its name, or the sixteen digits of its id.
    #[must_use]
    pub fn label(&self) -> String {
        todo!()
    }
}
