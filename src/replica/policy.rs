//! What becomes of fires while the store is silent. Pure.

use std::time::Duration;

use crate::store::WhenDown;

/// How long a process that never reached the store holds its fires.
pub(super) const FIRST_CONTACT: Duration = Duration::from_secs(30);

/// What is done with what is due while the store is silent (`--when-store-down`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Silence {
    /// It is started if no other replica was alive when the store answered last, or if the store has not answered this
    /// process for 30 s from its start; else it is held.
    Auto,
    /// It is started.
    Run,
    /// It is held, within its grace.
    Hold,
}

/// What is known of the store and of other replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// Whether the store has ever answered this process.
    pub(super) has_answered: bool,
    /// Whether no other replica was alive then, for sure, and this one has not been stopped since.
    pub(super) alone: bool,
    /// How long this process has lived.
    pub(super) age: Duration,
}

impl Silence {
    /// What is to be done now, should the store be silent.
    pub(super) fn now(self, known: Known) -> WhenDown {
        let runs = match self {
            Silence::Run => true,
            Silence::Hold => false,
            Silence::Auto if known.has_answered => known.alone,
            Silence::Auto => known.age >= FIRST_CONTACT,
        };
        if runs { WhenDown::Run } else { WhenDown::Hold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(has_answered: bool, alone: bool, seconds: u64) -> Known {
        Known { has_answered, alone, age: Duration::from_secs(seconds) }
    }

    #[test]
    fn auto_runs_what_is_due_if_nobody_else_was_alive() {
        assert_eq!(Silence::Auto.now(known(true, true, 3)), WhenDown::Run);
        assert_eq!(Silence::Auto.now(known(true, false, 3_000)), WhenDown::Hold);
    }

    #[test]
    fn auto_holds_for_thirty_seconds_if_the_store_never_answered() {
        assert_eq!(Silence::Auto.now(known(false, false, 29)), WhenDown::Hold);
        assert_eq!(Silence::Auto.now(known(false, false, 30)), WhenDown::Run);
    }

    #[test]
    fn run_and_hold_ask_for_nothing() {
        for (has_answered, alone, age) in [(false, false, 0), (true, false, 99), (true, true, 99)] {
            let known = known(has_answered, alone, age);
            assert_eq!(Silence::Run.now(known), WhenDown::Run);
            assert_eq!(Silence::Hold.now(known), WhenDown::Hold);
        }
    }
}
