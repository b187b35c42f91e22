//! How long to wait before the next try.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The bound of the first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The bound of every wait.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that grow to half a minute, with full jitter: each is anything up to its bound, and the bound doubles.
#[derive(Debug)]
pub(super) struct Backoff {
    bound: Duration,
    random: RandomState,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Backoff { bound: FIRST, random: RandomState::new() }
    }

    /// Begins again with short waits.
    pub(super) fn reset(&mut self) {
        self.bound = FIRST;
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound;
        self.bound = (bound * 2).min(LONGEST);
        self.random = RandomState::new();
        // A share of the bound, in 65536ths.
        let share = u32::from(u16::try_from(self.random.hash_one(0) >> 48).unwrap_or(u16::MAX));
        bound * share / (1 << 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_bound_that_doubles_to_half_a_minute() {
        let mut backoff = Backoff::new();
        let mut bound = FIRST;
        for _ in 0..20 {
            assert!(backoff.next() < bound);
            bound = (bound * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.next() < FIRST);
    }

    #[test]
    fn waits_are_spread() {
        let waits: Vec<_> = (0..40).map(|_| Backoff::new().next()).collect();
        let is_low = |wait: &&Duration| **wait < FIRST / 2;
        let low = waits.iter().filter(is_low).count();
        // Forty fair coins on one side: once in 10^11 runs.
        assert!(0 < low && low < 40, "{waits:?}");
    }
}
