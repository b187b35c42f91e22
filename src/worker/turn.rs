//! Turns: of the orders of one run that are here, one is carried out, and the next waits until it is known that it was not.
//!
//! A sender replaces an order that came back with another one. The worker that has the first may still be asking him what to do
//! with it when the second comes.

use std::collections::{HashMap, VecDeque};

use tokio::sync::{oneshot, watch};

use crate::event::RunId;

/// The orders of each run.
#[derive(Default)]
pub(super) struct Turns(HashMap<RunId, Line>);

/// The orders of one run.
struct Line {
    /// The one whose turn it is.
    first: String,
    /// Whether it has begun to be carried out.
    has_begun: watch::Sender<bool>,
    /// Those that come after it.
    waiting: VecDeque<(String, oneshot::Sender<()>)>,
}

/// The turn of an order.
pub(super) struct Turn {
    comes: Option<oneshot::Receiver<()>>,
    has_begun: watch::Sender<bool>,
}

impl Turns {
    /// An order of a run has come.
    pub(super) fn take(&mut self, run: RunId, order: &str) -> Turn {
        let Some(line) = self.0.get_mut(&run) else {
            let has_begun = watch::Sender::new(false);
            let turn = Turn { comes: None, has_begun: has_begun.clone() };
            let (first, waiting) = (order.to_owned(), VecDeque::new());
            self.0.insert(run, Line { first, has_begun, waiting });
            return turn;
        };
        let (turn, comes) = oneshot::channel();
        line.waiting.push_back((order.to_owned(), turn));
        Turn { comes: Some(comes), has_begun: line.has_begun.clone() }
    }

    /// The order of a run whose turn it is.
    pub(super) fn first(&self, run: RunId) -> Option<&str> {
        self.0.get(&run).map(|line| &*line.first)
    }

    /// An order needs no more attention: it is the turn of the next one.
    pub(super) fn leave(&mut self, run: RunId, order: &str) {
        let Some(line) = self.0.get_mut(&run) else { return };
        if line.first != order {
            line.waiting.retain(|(waiting, _)| waiting != order);
            return;
        }
        match line.waiting.pop_front() {
            None => drop(self.0.remove(&run)),
            Some((next, turn)) => {
                line.first = next;
                line.has_begun.send_replace(false);
                // Without one who attends it, it leaves next.
                let _ = turn.send(());
            }
        }
    }
}

impl Turn {
    /// The turn of an order that is of no run.
    pub(super) fn of_nothing() -> Self {
        Turn { comes: None, has_begun: watch::Sender::new(false) }
    }

    /// Waits until it is its turn; false if an earlier one is being carried out.
    pub(super) async fn comes(&mut self) -> bool {
        let Some(mut comes) = self.comes.take() else { return true };
        let mut has_begun = self.has_begun.subscribe();
        tokio::select! {
            biased;
            came = &mut comes => came.is_ok(),
            // It cannot be gone: we have it, too.
            _ = has_begun.wait_for(|has_begun| *has_begun) => false,
        }
    }

    /// It is being carried out from now on.
    pub(super) fn begin(&self) {
        self.has_begun.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use jiff::Timestamp;

    use super::*;

    /// What is known by now.
    fn poll(turn: &mut Turn) -> Poll<bool> {
        let comes = std::pin::pin!(turn.comes());
        comes.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn run(number: u128) -> RunId {
        RunId::new(Timestamp::UNIX_EPOCH, number)
    }

    #[tokio::test]
    async fn the_next_order_of_a_run_waits_until_the_one_before_it_has_left() {
        let mut turns = Turns::default();
        let mut one = turns.take(run(1), "one");
        let mut two = turns.take(run(1), "two");
        let mut three = turns.take(run(1), "three");
        assert_eq!(poll(&mut one), Poll::Ready(true));
        assert_eq!(poll(&mut turns.take(run(2), "other")), Poll::Ready(true));
        assert_eq!(turns.first(run(1)), Some("one"));
        turns.leave(run(1), "one");
        assert!(two.comes().await);
        assert_eq!(turns.first(run(1)), Some("two"));
        two.begin();
        assert!(!three.comes().await, "the one before it is being carried out");
        turns.leave(run(1), "three");
        turns.leave(run(1), "two");
        assert_eq!(turns.first(run(1)), None);
        assert_eq!(poll(&mut turns.take(run(1), "four")), Poll::Ready(true));
    }

    #[tokio::test]
    async fn one_that_leaves_before_its_turn_holds_nobody_up() {
        let mut turns = Turns::default();
        let one = turns.take(run(1), "one");
        drop(turns.take(run(1), "two"));
        let mut three = turns.take(run(1), "three");
        turns.leave(run(1), "two");
        one.begin();
        turns.leave(run(1), "one");
        assert!(three.comes().await, "what has begun has ended");
        assert_eq!(turns.first(run(1)), Some("three"));
    }
}
