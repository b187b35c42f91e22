//! Whether another attempt follows, and after how long. Pure.

use std::time::Duration;

use crate::event::{Cause, Outcome};
use crate::job::Policy;

/// The longest delay between two attempts, whatever the back-off makes of it.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// From the end of this attempt, counted from 1, to the next one; none: it was the last.
///
/// An attempt follows one that failed, timed out, was killed by somebody else or could not start, as long as
/// `retries` allows; not one whose end was asked for.
#[must_use]
pub fn after(
    policy: &Policy,
    attempt: u32,
    outcome: &Outcome,
    cause: Option<Cause>,
) -> Option<Duration> {
    let asked = matches!(
        cause,
        Some(Cause::Stopped | Cause::Replaced | Cause::Shutdown | Cause::Discarded)
    );
    let again = !outcome.is_success() && !asked && attempt <= policy.retries;
    again.then(|| delay(policy, attempt))
}

/// `retry-delay`, multiplied by `retry-backoff` for each attempt after the first; at most [`LONGEST`].
#[must_use]
pub fn delay(policy: &Policy, attempt: u32) -> Duration {
    let grown = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = policy.retry_delay.as_secs_f64() * policy.retry_backoff.powi(grown);
    // Zero times infinity is no number: no delay grows to no delay.
    if policy.retry_delay.is_zero() {
        return Duration::ZERO;
    }
    Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(retries: u32, delay: Duration, backoff: f64) -> Policy {
        Policy { retries, retry_delay: delay, retry_backoff: backoff, ..Policy::default() }
    }

    fn failed() -> Outcome {
        Outcome::Failed { exit: 1 }
    }

    #[test]
    fn each_delay_is_the_one_before_times_the_factor() {
        let policy = policy(9, Duration::from_secs(5), 2.0);
        let delays: Vec<_> = (1..=4).map(|attempt| delay(&policy, attempt).as_secs()).collect();
        assert_eq!(delays, [5, 10, 20, 40]);
    }

    #[test]
    fn as_many_attempts_follow_the_first_as_there_are_retries() {
        let policy = policy(2, Duration::from_secs(1), 1.0);
        let follows: Vec<_> =
            (1..=4).map(|attempt| after(&policy, attempt, &failed(), None).is_some()).collect();
        assert_eq!(follows, [true, true, false, false]);
        assert_eq!(after(&Policy::default(), 1, &failed(), None), None);
    }

    #[test]
    fn only_an_end_that_nobody_asked_for_is_tried_again() {
        let policy = policy(1, Duration::from_secs(1), 1.0);
        let again = |outcome: &Outcome, cause| after(&policy, 1, outcome, cause).is_some();
        let timed_out = Outcome::TimedOut { exit: Some(0), signal: None };
        let killed = Outcome::Killed { signal: 9 };
        let not_started = Outcome::CouldNotStart { reason: "x".into() };
        for outcome in [&failed(), &timed_out, &killed, &not_started] {
            assert!(again(outcome, None), "{outcome}");
            for cause in [Cause::Stopped, Cause::Replaced, Cause::Shutdown, Cause::Discarded] {
                assert!(!again(outcome, Some(cause)), "{outcome}, {cause}");
            }
            assert!(again(outcome, Some(Cause::OutOfMemory)));
        }
        assert!(!again(&Outcome::Succeeded { exit: 0 }, None));
    }

    proptest! {
        #[test]
        fn a_delay_never_shrinks_and_never_passes_the_longest(
            seconds in 0_u64..1_000_000_000, backoff in 1.0_f64..1e300, attempt in 1_u32..u32::MAX,
        ) {
            let policy = policy(u32::MAX, Duration::from_secs(seconds), backoff);
            let (this, next) = (delay(&policy, attempt), delay(&policy, attempt + 1));
            prop_assert!(this <= next && next <= LONGEST, "{this:?} {next:?}");
        }
    }
}
