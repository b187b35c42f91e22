//! `@every`, `@at`, `@after`: schedules that are not a calendar.
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;

/// `@every DURATION`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Every {
    /// Whole seconds, at least 1.
    pub seconds: u64,
}

/// `@at TIME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// A time with an offset.
    Instant(Timestamp),
    /// A time without offset: of the entry's zone.
    Civil(DateTime),
}

/// `@after NAME[:success|:failure|:any]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct After {
    /// The other job's name, of the same user.
    pub name: Arc<str>,
    /// How the other job's run must have ended.
    pub ending: Ending,
}

/// How a run ended, as far as `@after` cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ending {
    /// It succeeded.
    #[default]
    Success,
    /// It did not succeed.
    Failure,
    /// It ended.
    Any,
}
