//! A schedule in English.
use jiff::Timestamp;

use super::{Schedule, Zone};

/// Says in words when a schedule is due: `at 02:30 on the 1st and on every Monday`.
#[must_use]
pub fn describe(schedule: &Schedule) -> String {
    let _ = schedule;
    todo!()
}

/// What the zone's daylight saving does to a schedule in the year after `from`, one sentence each.
#[must_use]
pub fn remarks(schedule: &Schedule, zone: &Zone, from: Timestamp) -> Vec<String> {
    let _ = (schedule, zone, from);
    todo!()
}
