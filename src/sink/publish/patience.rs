//! When what was not confirmed is sent again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::broker::Delivery;

/// How soon something is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At first, after a failure that may pass by itself; doubled each time.
    pub soon: Duration,
    /// At most, after such a failure.
    pub late: Duration,
    /// At first, after a refusal: somebody has to change something. Doubled each time.
    pub refused: Duration,
    /// At most, after a refusal.
    pub refused_late: Duration,
    /// How long what waits at the end of the daemon may take.
    pub last: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            soon: Duration::from_millis(200),
            late: Duration::from_secs(30),
            refused: Duration::from_secs(5),
            refused_late: Duration::from_secs(300),
            last: Duration::from_millis(400),
        }
    }
}

/// Failures in a row, and how long to wait after the last of them.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    failures: u32,
    refusals: u32,
    random: RandomState,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Self {
        Pace { patience, failures: 0, refusals: 0, random: RandomState::new() }
    }

    /// Something was confirmed.
    pub(super) fn confirmed(&mut self) {
        (self.failures, self.refusals) = (0, 0);
    }

    /// How long to wait after this failure.
    pub(super) fn failed(&mut self, delivery: &Delivery) -> Duration {
        let Patience { soon, late, refused, refused_late, .. } = self.patience;
        if delivery.is_refusal() {
            self.refusals = self.refusals.saturating_add(1);
            return grown(refused, refused_late, self.refusals);
        }
        self.failures = self.failures.saturating_add(1);
        // Those who lost one broker do not all come back at one moment.
        let draw = u32::try_from(self.random.hash_one(self.failures) & 0xffff).unwrap_or(0);
        let whole = grown(soon, late, self.failures);
        whole.mul_f64(f64::from(draw) / f64::from(0xffff)).max(soon / 4)
    }

    /// Whether the last failures were refusals, this one being the first.
    pub(super) fn is_first_refusal(&self) -> bool {
        self.refusals == 1
    }
}

/// `first`, doubled for each time after it, at most `last`.
fn grown(first: Duration, last: Duration, times: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> Delivery {
        Delivery::Away { reason: "gone".into() }
    }

    #[test]
    fn failures_are_tried_again_ever_later_and_begin_anew_after_a_confirm() {
        let mut pace = Pace::new(Patience::default());
        for most in [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
            let delay = pace.failed(&away());
            let most = Duration::from_millis(most);
            assert!(delay >= Duration::from_millis(50) && delay <= most, "{delay:?} of {most:?}");
        }
        pace.confirmed();
        assert!(pace.failed(&away()) <= Duration::from_millis(200));
    }

    #[test]
    fn refusals_are_tried_again_slowly() {
        let mut pace = Pace::new(Patience::default());
        let refusal = Delivery::NoExchange { text: "none".into() };
        let delays: Vec<_> = (0..8).map(|_| pace.failed(&refusal).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn delays_differ_from_one_daemon_to_the_next() {
        let delay = || {
            let mut pace = Pace::new(Patience::default());
            (0..6).map(|_| pace.failed(&away())).sum::<Duration>()
        };
        let delays: std::collections::BTreeSet<_> = (0..20).map(|_| delay()).collect();
        assert!(delays.len() > 10, "{delays:?}");
    }
}
