//! Values as they stand in columns, and back; what makes no sense is none.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::types::ValueRef;

use crate::event::Trigger;
use crate::job::{JobId, JobKey};
use crate::schedule::Due;

/// Microseconds since 1970.
pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// Microseconds since 1970 as if a civil time were one of UTC; the ends of time where it cannot be.
pub(super) fn micros_of_civil(civil: DateTime) -> i64 {
    TimeZone::UTC.to_timestamp(civil).map_or_else(
        |_| if civil.year() > 0 { Timestamp::MAX } else { Timestamp::MIN }.as_microsecond(),
        Timestamp::as_microsecond,
    )
}

pub(super) fn civil(micros: i64) -> Option<DateTime> {
    instant(micros).map(|at| TimeZone::UTC.to_datetime(at))
}

/// A number that fits; the largest that does where it does not.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn key_of(id: Option<i64>, occurrence: Option<i64>) -> Option<JobKey> {
    let id = JobId(id?.cast_unsigned().to_be_bytes());
    let occurrence = u32::try_from(occurrence?).ok().filter(|occurrence| *occurrence > 0)?;
    Some(JobKey { id, occurrence })
}

pub(super) fn due_of(at: Option<i64>, civil_time: Option<i64>) -> Option<Due> {
    Some(Due { at: instant(at?)?, civil: civil(civil_time?)? })
}

pub(super) fn trigger_of(value: ValueRef<'_>) -> Option<Trigger> {
    Trigger::of_name(value.as_str().ok()?)
}
