//! When to look without having been told: always now and then, often where nobody tells.
use std::time::Duration;

/// How often the files are looked at beside inotify: three times a minute, the only wake-ups of an idle daemon.
pub(super) const SLOW: Duration = Duration::from_secs(20);
/// How often they are looked at where inotify does not suffice.
pub(super) const FAST: Duration = Duration::from_secs(1);

/// The two paces. Times are monotonic, since any one origin.
#[derive(Debug)]
pub(super) struct Poll {
    slow: Duration,
    next: Duration,
    next_slow: Duration,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Compare the stamps.
    Stamps,
    /// Try to arm, then compare the stamps.
    Arm,
}

impl Poll {
    /// Starts at `now`, with `slow` between two slow turns.
    pub(super) fn new(slow: Duration, now: Duration) -> Self {
        Poll { slow, next: now + slow, next_slow: now + slow }
    }

    /// When the next turn is due.
    pub(super) fn deadline(&self) -> Duration {
        self.next
    }

    /// Sets the pace from `now` on.
    pub(super) fn pace(&mut self, fast: bool, now: Duration) {
        self.next = if fast { self.next_slow.min(now + FAST) } else { self.next_slow };
    }

    /// The turn that is due at `now`, if any; the owner answers it with [`pace`](Self::pace).
    pub(super) fn turn(&mut self, now: Duration) -> Option<Turn> {
        if now < self.next {
            return None;
        }
        if now < self.next_slow {
            return Some(Turn::Stamps);
        }
        self.next_slow = now + self.slow;
        Some(Turn::Arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn beside_inotify_there_are_three_turns_a_minute() {
        let mut poll = Poll::new(SLOW, seconds(0));
        let turns: Vec<_> = (1..=60)
            .filter(|&second| {
                let turn = poll.turn(seconds(second));
                if turn.is_some() {
                    poll.pace(false, seconds(second));
                }
                turn == Some(Turn::Arm)
            })
            .collect();
        assert_eq!(turns, [20, 40, 60]);
    }

    #[test]
    fn without_inotify_there_is_a_turn_each_second_and_arming_stays_slow() {
        let mut poll = Poll::new(SLOW, seconds(0));
        poll.pace(true, seconds(0));
        let turns: Vec<_> = (1..=40)
            .map(|second| {
                let turn = poll.turn(seconds(second)).unwrap();
                poll.pace(true, seconds(second));
                turn
            })
            .collect();
        for (second, turn) in (1..).zip(turns) {
            assert_eq!(turn == Turn::Arm, second % 20 == 0, "at {second} s");
        }
    }

    #[test]
    fn a_recovery_goes_back_to_the_slow_pace() {
        let mut poll = Poll::new(SLOW, seconds(0));
        poll.pace(true, seconds(0));
        assert_eq!(poll.deadline(), seconds(1));
        poll.pace(false, seconds(1));
        assert_eq!(poll.deadline(), seconds(20));
    }
}
