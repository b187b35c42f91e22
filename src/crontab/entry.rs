//! A line that runs a command.
use std::ops::Range;
use std::sync::Arc;

use crate::schedule::Zone;

use super::{Options, Settings, Text, When};

/// One parsed line with its settings, options and position.
#[derive(Debug, Clone)]
pub struct Entry {
    /// From 1.
    pub line: u32,
    /// Where the schedule stands, in bytes of the file.
    pub schedule_span: Range<usize>,
    /// Where the command stands, in bytes of the file.
    pub command_span: Range<usize>,
    /// The time fields or `@` word as typed, one blank between the tokens.
    pub schedule_text: Text,
    /// When it is due.
    pub when: When,
    /// What stands before the schedule or the command.
    pub flags: Flags,
    /// Whom it runs as.
    pub user: Text,
    /// The rest of the line, `%` and `\` untouched, trailing blanks kept.
    pub command: Text,
    /// The settings above it that reach the job's environment, in cronie's order.
    pub settings: Arc<Settings>,
    /// What directives and `CRONKEEP_` settings say; shared by entries that say the same.
    pub options: Arc<Options>,
    /// The zone of `CRON_TZ`, `CRONKEEP_TZ` or `tz=`, if one is in force.
    pub zone: Option<Zone>,
    /// `RANDOM_DELAY` above it: the upper bound in minutes, 0 if none.
    pub random_delay: u16,
    /// The plain comment directly above it.
    pub description: Option<Text>,
}

/// Marks on an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags {
    /// Leading `-`, or `-q`: starts and ends are not logged (cronie's DONT_LOG).
    pub dont_log: bool,
    /// `-n`: mail and report output only when the run fails (cronie's MAIL_WHEN_ERR).
    pub mail_when_err: bool,
    /// `-s`: no second run while one is alive (OpenBSD's SINGLE_JOB).
    pub single_job: bool,
}
