//! When children were started, as the system tells it of a process.
//!
//! It names a process for ever, and is recorded of each run. Asking costs a tenth of what else the executor does about a run
//! amid a burst. But a process is made between two readings of the clock by which the system tells it, and those mostly lie
//! in one of its ticks, which are long.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::unix::{Pid, process};

/// The clock is read a bit later than the system reads it for a process, and rounded in another way.
const MARGIN: Duration = Duration::from_micros(1);

/// So often what the system says must agree with the clock before it is not asked any more.
const TRUSTED: u32 = 16;

/// It did not: another clock, or another system's.
const DISTRUSTED: u32 = u32::MAX;

/// Tells when children were started, and how far the clock can be trusted with that.
#[derive(Debug, Default)]
pub(super) struct Births(AtomicU32);

impl Births {
    /// When a child was started that was made between two readings of the monotonic clock ([`process::since`]); none: it
    /// is not known, and whoever needs it is to ask.
    pub(super) fn of(&self, child: Pid, before: Duration, after: Duration) -> Option<u64> {
        self.judge(before, after, || process::since(child))
    }

    fn judge(
        &self,
        before: Duration,
        after: Duration,
        ask: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let agreed = self.0.load(Ordering::Relaxed);
        if agreed == DISTRUSTED {
            return None;
        }
        let first = process::tick_of(before.saturating_sub(MARGIN));
        let last = process::tick_of(after + MARGIN);
        if agreed >= TRUSTED {
            return first.filter(|_| first == last);
        }
        let told = ask()?;
        if first.is_none_or(|first| told < first) || last.is_none_or(|last| told > last) {
            self.0.store(DISTRUSTED, Ordering::Relaxed);
        } else {
            // Of what another thread has found out meanwhile, distrust stays.
            let (was, is) = (Ordering::Relaxed, Ordering::Relaxed);
            let _ = self.0.compare_exchange(agreed, agreed + 1, was, is);
        }
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    const SECOND: Duration = Duration::from_secs(1);
    /// In the midst of a tick of any length there is.
    const EARLY: Duration = Duration::from_micros(1_000_300);
    const LATE: Duration = Duration::from_micros(1_000_600);

    /// So far that it is not asked any more.
    fn trusting() -> Births {
        let births = Births::default();
        for _ in 0..TRUSTED {
            assert_eq!(
                births.judge(EARLY, LATE, || process::tick_of(EARLY)),
                process::tick_of(EARLY)
            );
        }
        births
    }

    fn nobody() -> Option<u64> {
        panic!("it was asked")
    }

    #[test]
    fn within_a_tick_the_system_is_not_asked_once_it_has_agreed_often_enough() {
        assert_eq!(trusting().judge(EARLY, LATE, nobody), process::tick_of(EARLY));
    }

    #[test]
    fn where_a_tick_has_passed_meanwhile_it_is_not_known() {
        let births = trusting();
        assert_eq!(births.judge(SECOND, 3 * SECOND, nobody), None);
        // Right at its edge it may be either.
        assert_eq!(births.judge(SECOND, LATE, nobody), None);
    }

    #[test]
    fn where_the_system_goes_by_another_clock_nothing_is_known_without_it() {
        for told in [7, u64::MAX] {
            let births = Births::default();
            assert_eq!(births.judge(EARLY, LATE, || Some(told)), Some(told));
            for _ in 0..2 * TRUSTED {
                assert_eq!(births.judge(EARLY, LATE, nobody), None);
            }
        }
    }

    #[test]
    fn of_a_process_that_has_ended_nothing_is_known() {
        let births = Births::default();
        assert_eq!(births.judge(EARLY, LATE, || None), None);
        assert_eq!(births.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no executor reaps here")]
    fn the_clock_and_the_system_agree_about_every_child() {
        let births = Births::default();
        for _ in 0..50 {
            let before = SystemClock.monotonic();
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            let after = SystemClock.monotonic();
            let pid = Pid::from_raw(child.id().try_into().unwrap());
            let (known, told) = (births.of(pid, before, after), process::since(pid));
            assert!(known.is_none() || known == told, "{known:?} {told:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(births.0.load(Ordering::Relaxed), TRUSTED);
    }
}
