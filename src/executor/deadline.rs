//! What is to happen later: one timer for all of it.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::event::RunId;
use crate::job::JobKey;

/// The longest that the timer measures at once; it would panic beyond two years.
const LONGEST: Duration = Duration::from_secs(200 * 24 * 60 * 60);

/// What is to happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deadline {
    /// A start that was put off may be judged.
    Start(RunId),
    /// A run has waited for as long as it may.
    Grace(JobKey, RunId),
    /// An attempt has taken as long as it may.
    TimeOut(RunId),
    /// The next attempt of a run is due.
    Retry(RunId),
    /// The end of a run should have been told by now.
    Untold(RunId, u32),
    /// The processes that are being ended are to be looked for.
    Look,
    /// Starts that are noted before they are made should have got on by now.
    Notes,
}

/// A deadline that is set; give it back to [`Deadlines::cancel`].
#[derive(Debug)]
pub(super) struct Set(Key);

/// The deadlines that are set.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: DelayQueue<(Deadline, Instant)>,
}

impl Deadlines {
    /// Has `deadline` happen after `delay`, to the millisecond, never early.
    pub(super) fn set(&mut self, deadline: Deadline, delay: Duration) -> Set {
        let now = Instant::now();
        let at = now.checked_add(delay).unwrap_or(now + LONGEST);
        Set(self.queue.insert((deadline, at), delay.min(LONGEST)))
    }

    /// Has it not happen.
    pub(super) fn cancel(&mut self, Set(key): Set) {
        self.queue.try_remove(&key);
        // A burst's memory is not kept for the next one.
        if self.queue.is_empty() && self.queue.capacity() > 256 {
            self.queue.compact();
        }
    }

    /// What happens next, once it does; none while nothing is set. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Deadline> {
        loop {
            let (deadline, at) =
                poll_fn(|context| self.queue.poll_expired(context)).await?.into_inner();
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(deadline);
            }
            self.queue.insert((deadline, at), left.min(LONGEST));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;

    #[tokio::test]
    async fn deadlines_happen_in_order_and_cancelled_ones_do_not() {
        let id = |number| RunId::new(Timestamp::UNIX_EPOCH, number);
        let mut deadlines = Deadlines::default();
        assert!(deadlines.next().await.is_none());
        deadlines.set(Deadline::Retry(id(2)), Duration::from_millis(30));
        let gone = deadlines.set(Deadline::Retry(id(3)), Duration::from_millis(20));
        deadlines.set(Deadline::Retry(id(1)), Duration::from_millis(10));
        deadlines.set(Deadline::Retry(id(4)), Duration::MAX);
        deadlines.cancel(gone);
        for number in [1, 2] {
            let next = deadlines.next().await;
            assert!(matches!(next, Some(Deadline::Retry(run)) if run == id(number)), "{next:?}");
        }
        assert!(!deadlines.queue.is_empty());
    }
}
