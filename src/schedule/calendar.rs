//! Minutes, hours, months as bit masks, and the next minute that matches.
use jiff::civil::DateTime;

use super::days::Days;

/// Five calendar fields as bit masks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Calendar {
    /// Bit n: minute n, 0-59.
    pub minutes: u64,
    /// Bit n: hour n, 0-23.
    pub hours: u32,
    /// Bit n: month n, 1-12.
    pub months: u16,
    /// The two day fields.
    pub days: Days,
    /// The minute field begins with `*` (cronie's MIN_STAR).
    pub minute_star: bool,
    /// The hour field begins with `*` (cronie's HR_STAR).
    pub hour_star: bool,
}

impl Calendar {
    /// The first matching minute strictly after `after`, or `None` if there is none.
    #[must_use]
    pub fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let _ = after;
        todo!()
    }

    /// The last matching minute strictly before `before`.
    #[must_use]
    pub fn prev_before(&self, before: DateTime) -> Option<DateTime> {
        let _ = before;
        todo!()
    }
}
