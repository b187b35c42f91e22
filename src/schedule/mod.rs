//! When a job is due: calendars, intervals, dates, and what a time zone does to them.
//!
//! Receives masks and numbers that [`crontab`](crate::crontab) has read; hands on instants. Layer 1: pure,
//! no clock, no I/O, no text. The wall clock is [`jiff::civil::DateTime`], an instant is
//! [`jiff::Timestamp`]; only [`zone`] turns one into the other.

pub mod calendar;
pub mod days;
pub mod describe;
pub mod extended;
pub mod interval;
pub mod set;
pub mod spelling;
pub mod zone;

pub use calendar::Calendar;
pub use days::{Days, SpecialDays};
pub use extended::{Extended, ExtendedFields, Years};
pub use interval::{After, At, Ending, Every};
pub use set::{FieldSet, FieldSets};
pub use zone::{Fires, UnknownZone, Zone};

use jiff::Timestamp;
use jiff::civil::DateTime;

/// When a job is due.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// Five fields: matches minutes of the wall clock.
    Calendar(Calendar),
    /// Six or seven fields: matches seconds of the wall clock, optionally in some years only.
    Extended(Box<Extended>),
    /// `@every 90s`: a fixed distance of elapsed time, from an anchor.
    Every(Every),
    /// `@at 2026-12-01T10:00:00`: once.
    At(At),
    /// `@reboot`: once per start of the container or boot of the host; never due by the clock.
    Reboot,
    /// `@after NAME`: when another job's run has ended; never due by the clock.
    After(After),
}

/// One instant at which a schedule is due.
///
/// Two dues of one job are the same fire exactly when they are equal: minutes that a daylight
/// saving gap skipped are made up for at one instant, but stand for different civil times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Due {
    /// The instant at which the job starts.
    pub at: Timestamp,
    /// The wall-clock time that it stands for, in the job's zone; inside a gap that was skipped, the skipped
    /// time. Minutes for five fields, seconds otherwise.
    pub civil: DateTime,
}

/// A place on the time line of a schedule; dues strictly after it are still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// Everything due at or before this instant lies behind.
    Instant(Timestamp),
    /// This due and everything before it lies behind; a further due at the same instant does not.
    Due(Due),
}

impl From<Timestamp> for Cursor {
    fn from(at: Timestamp) -> Self {
        Cursor::Instant(at)
    }
}

impl From<Due> for Cursor {
    fn from(due: Due) -> Self {
        Cursor::Due(due)
    }
}
