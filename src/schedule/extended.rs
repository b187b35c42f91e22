//! Seconds and years: the cron crate on wall clock, with our day rule as a filter.
use jiff::civil::DateTime;

/// Six or seven fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extended {}

impl Extended {
    /// The first matching second strictly after `after`.
    #[must_use]
    pub fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let _ = after;
        todo!()
    }
}
