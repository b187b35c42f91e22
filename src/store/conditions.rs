//! On which conditions starts are recorded.

use std::time::Duration;

use super::Lease;

/// On which conditions starts are recorded; they may change at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// As whom.
    pub lease: Lease,
    /// How long the store may take to answer.
    pub within: Duration,
    /// What becomes of a start of which the store has not heard by then.
    pub when_down: WhenDown,
    /// Until when that holds, on the monotonic clock; afterwards [`WhenDown::Hold`]. None: for ever.
    pub until: Option<Duration>,
}

/// What becomes of starts while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenDown {
    /// They are made, and recorded later: nobody else would make them.
    Run,
    /// They are not made, and told as missed if that lasts: somebody else may have made them.
    Hold,
}

impl Conditions {
    /// What becomes of starts at this time, should the store not answer.
    #[must_use]
    pub fn when_down(&self, monotonic: Duration) -> WhenDown {
        match self.until {
            Some(until) if monotonic > until => WhenDown::Hold,
            _ => self.when_down,
        }
    }
}
