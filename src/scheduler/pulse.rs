//! How others see that the scheduler lives: it acknowledges a ping with its next turn, and says what it sleeps for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::clock::Waker;

/// The instant of a scheduler that sleeps for nothing.
const NOTHING: i64 = i64::MAX;

/// Shared by a scheduler and those who ask whether it lives; clones are the same pulse.
///
/// It costs nothing while nobody asks: there is no beat of its own.
#[derive(Clone)]
pub struct Pulse(Arc<Shared>);

struct Shared {
    /// How many pings were sent.
    asked: AtomicU64,
    /// The last of them that a turn has seen.
    answered: AtomicU64,
    /// The instant that the scheduler sleeps for, in seconds since the epoch.
    next: AtomicI64,
    turned: Notify,
}

impl Default for Pulse {
    fn default() -> Self {
        Pulse(Arc::new(Shared {
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            next: AtomicI64::new(NOTHING),
            turned: Notify::new(),
        }))
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("next", &self.next()).finish_non_exhaustive()
    }
}

impl Pulse {
    /// Wakes the scheduler, and returns when a turn that began after this call has done its work: at once as a rule,
    /// never if the thread hangs. Whoever asks decides how long to wait.
    pub async fn ping(&self, waker: &Waker) {
        let ping = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        waker.wake();
        loop {
            let turned = self.0.turned.notified();
            if self.0.answered.load(Ordering::SeqCst) >= ping {
                return;
            }
            turned.await;
        }
    }

    /// The instant that the scheduler sleeps for; it lies in the past only while that instant is being handled, or if
    /// it never was.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        let next = self.0.next.load(Ordering::Relaxed);
        (next != NOTHING).then(|| Timestamp::from_second(next).unwrap_or(Timestamp::MAX))
    }

    /// The pings that a turn which begins now will have seen.
    pub(super) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// A turn has done its work, and sleeps for `next` from now on.
    pub(super) fn turned(&self, asked: u64, next: Option<Timestamp>) {
        self.0.next.store(next.map_or(NOTHING, Timestamp::as_second), Ordering::Relaxed);
        if self.0.answered.swap(asked, Ordering::SeqCst) != asked {
            self.0.turned.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[tokio::test]
    async fn a_ping_is_answered_by_the_turn_that_follows_it() {
        let mut alarm = SystemClock.alarm().unwrap();
        let (pulse, waker) = (Pulse::default(), alarm.waker());
        let turns = pulse.clone();
        let thread = std::thread::spawn(move || {
            for _ in 0..2 {
                alarm.wait_until(None);
                turns.turned(turns.asked(), Some(Timestamp::UNIX_EPOCH));
            }
        });
        pulse.ping(&waker).await;
        assert_eq!(pulse.next(), Some(Timestamp::UNIX_EPOCH));
        pulse.ping(&waker).await;
        thread.join().unwrap();
    }

    #[tokio::test]
    async fn a_turn_that_began_before_the_ping_does_not_answer_it() {
        let alarm = SystemClock.alarm().unwrap();
        let (pulse, waker) = (Pulse::default(), alarm.waker());
        let before = pulse.asked();
        let ping = pulse.ping(&waker);
        tokio::pin!(ping);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut ping).await.is_err());
        pulse.turned(before, None);
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut ping).await.is_err());
        pulse.turned(pulse.asked(), None);
        ping.await;
        assert_eq!(pulse.next(), None);
    }
}
