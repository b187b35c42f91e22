//! How often is tried, and how much at once. Pure.

use std::time::Duration;

use crate::store::Room;

/// How much waits, and how much is under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How much may wait, over all replicas of the namespace.
    pub room: Room,
    /// Bytes of the largest message, as it is kept.
    pub largest: u64,
    /// Messages that are sent and not answered yet.
    pub flying: usize,
    /// Their bytes, unless a single one has more.
    pub flying_bytes: u64,
    /// Bytes of messages that wait in memory; the others are read from the store when their turn comes.
    pub memory: u64,
}

impl Default for Bounds {
    /// 10 000 messages of 64 MiB, none above 16 MiB; 1 024 of 8 MiB at once; 8 MiB in memory.
    fn default() -> Self {
        Bounds {
            room: Room::default(),
            largest: 16 << 20,
            flying: 1_024,
            flying_bytes: 8 << 20,
            memory: 8 << 20,
        }
    }
}

/// After how long something is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest first delay after a failure: the broker away, no confirm, a nack.
    pub first: Duration,
    /// What it grows to, doubled each time.
    pub longest: Duration,
    /// The longest first delay after a refusal: nobody takes it as things stand.
    pub first_refused: Duration,
    /// What that grows to.
    pub longest_refused: Duration,
    /// How long the store may take to answer, from its turn; it counts anew with whatever comes of what is before it.
    pub store: Duration,
}

impl Default for Pace {
    /// 0.2 s to 30 s; after a refusal 5 s to 5 min; 5 s for the store.
    fn default() -> Self {
        Pace {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            first_refused: Duration::from_secs(5),
            longest_refused: Duration::from_secs(5 * 60),
            store: Duration::from_secs(5),
        }
    }
}

impl Pace {
    /// From the `failures`-th failure in a row, counted from 1, to the next try.
    ///
    /// With full jitter: anything up to the bound, so that what failed together is not sent together again; after a refusal
    /// at least half of it. `dice` is any number.
    #[must_use]
    pub fn delay(&self, is_refusal: bool, failures: u32, dice: u64) -> Duration {
        let (first, longest) = if is_refusal {
            (self.first_refused, self.longest_refused)
        } else {
            (self.first, self.longest)
        };
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = first.saturating_mul(doubled).min(longest);
        let least = if is_refusal { bound / 2 } else { Duration::ZERO };
        let span = u64::try_from(bound.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(dice % span.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delays_stay_below_a_bound_that_doubles(failures in 1_u32..200, dice: u64) {
            let pace = Pace::default();
            let bound = |first: u64, longest: u64| {
                let grown = u128::from(first) << failures.min(20);
                Duration::from_millis(u64::try_from(grown / 2).unwrap().min(longest))
            };
            let delay = pace.delay(false, failures, dice);
            prop_assert!(delay <= bound(200, 30_000));
            let slow = pace.delay(true, failures, dice);
            prop_assert!(slow <= bound(5_000, 300_000) && slow >= bound(5_000, 300_000) / 2);
        }
    }

    #[test]
    fn the_whole_span_is_used() {
        let pace = Pace::default();
        assert_eq!(pace.delay(false, 1, 0), Duration::ZERO);
        assert_eq!(pace.delay(false, 1, 200_000), Duration::from_millis(200));
        assert_eq!(pace.delay(true, 1, 0), Duration::from_millis(2_500));
        assert_eq!(pace.delay(true, 50, 150_000_000), Duration::from_secs(300));
    }
}
