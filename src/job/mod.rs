//! Jobs: entries made runnable, with a stable identity.
//!
//! Receives [`Crontab`](crate::crontab::Crontab)s, hands on a [`JobTable`] and what changed. Layer 3: pure.

pub mod action;
mod build;
pub mod canonical;
pub mod id;
mod identity;
pub mod jitter;
pub mod policy;
mod relation;
pub mod table;

pub use action::Action;
pub use build::Roster;
pub use canonical::Canonical;
pub use id::{JobId, JobKey};
pub use identity::Ids;
pub use policy::Policy;
pub use table::{Diff, JobTable, Lookup};

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::crontab::{Flags, Origin, Settings, Text};
use crate::schedule::{Cursor, Due, Schedule, Zone};

/// An entry that is scheduled.
///
/// There may be 100 000: what neighbours have in common is shared, what few have is boxed.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its identity inside: id and occurrence.
    pub key: JobKey,
    /// Where it stands in [`Terms::file`], from 1.
    pub line: u32,
    /// When it is due; shared by jobs with the same schedule text.
    pub timing: Arc<Timing>,
    /// What a run does.
    pub action: Action,
    /// What it has in common with its neighbours.
    pub terms: Arc<Terms>,
    /// What people call it, if anything.
    pub naming: Option<Box<Naming>>,
    /// When it was first loaded: nothing due at or before it starts, and `@every` counts from it.
    pub since: Timestamp,
    /// Marks on its line.
    pub flags: Flags,
}

/// A schedule and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// When the job is due.
    pub schedule: Schedule,
    /// The schedule as typed, one blank between tokens.
    pub text: Text,
}

/// What a job has in common with others.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The crontab's path, or `-`.
    pub file: Arc<str>,
    /// How far the crontab's author is trusted.
    pub origin: Origin,
    /// Whom it runs as.
    pub user: Text,
    /// The zone of its wall clock.
    pub zone: Zone,
    /// The settings for its environment.
    pub settings: Arc<Settings>,
    /// Every option, resolved.
    pub policy: Arc<Policy>,
}

/// What people call a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// The name that a directive gives it; unique among its user's jobs.
    pub name: Option<Arc<str>>,
    /// The plain comment directly above its line.
    pub description: Option<Text>,
}

impl Job {
    /// A job of which no more than this is known, since no crontab has it: it is never due.
    #[must_use]
    pub fn remembered(key: JobKey, label: &str, zone: &Zone) -> Self {
        let mut job = Job {
            key,
            line: 0,
            timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "".into() }),
            action: Action::Shell { command: "".into(), stdin: None },
            terms: Arc::new(Terms {
                file: "-".into(),
                origin: Origin::System,
                user: "".into(),
                zone: zone.clone(),
                settings: Arc::new(Settings::default()),
                policy: Arc::new(Policy::default()),
            }),
            naming: None,
            since: Timestamp::UNIX_EPOCH,
            flags: Flags::default(),
        };
        if job.label() != label {
            job.naming = Some(Box::new(Naming { name: Some(label.into()), description: None }));
        }
        job
    }

    /// The first due strictly after `cursor`, within `from` (inclusive) and `until` (exclusive); none if the
    /// job is not enabled.
    #[must_use]
    pub fn next_after(&self, cursor: impl Into<Cursor>) -> Option<Due> {
        let policy = self.policy();
        if !policy.enabled {
            return None;
        }
        let mut cursor = cursor.into();
        let mut passed = match cursor {
            Cursor::Instant(at) | Cursor::Due(Due { at, .. }) => at,
        };
        if let Some(from) = policy.from.filter(|from| passed < *from) {
            passed = just_before(from);
            cursor = Cursor::Instant(passed);
        }
        self.schedule()
            .next_after(self.zone(), self.anchor_before(passed), cursor)
            .filter(|due| policy.until.is_none_or(|until| due.at < until))
    }

    /// The dues strictly after `cursor`, in order, within `from` and `until`; none if the job is not enabled.
    pub fn fires(&self, cursor: impl Into<Cursor>) -> impl Iterator<Item = Due> {
        std::iter::successors(self.next_after(cursor), |&due| self.next_after(due))
    }

    /// The last due strictly before `before`, within `from` and `until`; none if the job is not enabled.
    #[must_use]
    pub fn prev_before(&self, before: Timestamp) -> Option<Due> {
        let policy = self.policy();
        if !policy.enabled {
            return None;
        }
        let before = policy.until.map_or(before, |until| before.min(until));
        self.schedule()
            .prev_before(self.zone(), self.since, before)
            .filter(|due| policy.from.is_none_or(|from| due.at >= from))
    }

    /// Where `@every` counts from: the first load, or, should the clock have been set back before it, an earlier instant of
    /// the same phase.
    fn anchor_before(&self, at: Timestamp) -> Timestamp {
        let Schedule::Every(every) = self.schedule() else { return self.since };
        if at >= self.since {
            return self.since;
        }
        let period = i64::try_from(every.seconds).unwrap_or(i64::MAX).max(1);
        let ahead = self.since.as_second().saturating_sub(at.as_second());
        let periods = ahead.div_euclid(period) + 1;
        let back = SignedDuration::from_secs(periods.saturating_mul(period));
        self.since.checked_sub(back).unwrap_or(self.since)
    }

    /// What people call it: its name, or the sixteen digits of its id (and `#2` where they are not enough).
    #[must_use]
    pub fn label(&self) -> String {
        self.name().map_or_else(|| self.key.digits(), ToString::to_string)
    }

    /// When it is due.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.timing.schedule
    }

    /// The schedule as typed, one blank between tokens.
    #[must_use]
    pub fn schedule_text(&self) -> &Text {
        &self.timing.text
    }

    /// Whether cron's rules for wildcard entries hold for it when the clock moves.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.schedule().is_wildcard()
    }

    /// The name that a directive gives it.
    #[must_use]
    pub fn name(&self) -> Option<&Arc<str>> {
        self.naming.as_ref()?.name.as_ref()
    }

    /// The plain comment directly above its line.
    #[must_use]
    pub fn description(&self) -> Option<&Text> {
        self.naming.as_ref()?.description.as_ref()
    }

    /// The crontab's path, or `-`.
    #[must_use]
    pub fn file(&self) -> &Arc<str> {
        &self.terms.file
    }

    /// Whom it runs as.
    #[must_use]
    pub fn user(&self) -> &Text {
        &self.terms.user
    }

    /// The zone of its wall clock.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.terms.zone
    }

    /// The settings for its environment.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.terms.settings
    }

    /// Every option, resolved.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.terms.policy
    }
}

/// The last instant before `at`.
fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests;
