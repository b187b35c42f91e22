//! What is to be started, what is being started, and who is there to do it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::executor::ticket::Ticket;
use crate::job::Job;
use crate::unix::Account;

/// Starts that are made side by side as long as none hangs.
const ABREAST: usize = 2;

/// Starts of one user's that are made side by side, however many of his hang: he may be the reason.
const OF_ONE: usize = 16;

/// Starts of all users but the daemon's own that are.
const OF_OTHERS: usize = 56;

/// So many starts keep the threads that make them busy for some milliseconds.
pub(super) const FEW: usize = 16;

/// What the threads share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// What is to be started, in that order.
    pub(super) queue: VecDeque<Arc<Ticket>>,
    /// What is to be made ready, and whether that is being done.
    pub(super) rehearsal: Option<Arc<Job>>,
    pub(super) rehearses: bool,
    /// What is being started.
    pub(super) active: Vec<Active>,
    /// How many starts have ended, well or not.
    pub(super) ended: u64,
    pub(super) threads: usize,
    /// How many of them wait.
    pub(super) idle: usize,
    /// What `ended` was when few tickets were waited for, and it stayed the same.
    pub(super) waited_at: Option<u64>,
    /// Of those that are idle, how many look whether the starts under way get on.
    pub(super) watchers: usize,
    /// Whether they are to end.
    pub(super) closed: bool,
}

/// What a thread is to do.
pub(super) enum Task {
    Start(Arc<Ticket>),
    Rehearse(Arc<Job>),
}

/// A start that is being made.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) ticket: Arc<Ticket>,
    /// Whether it was found to hang, and so does not count among those that are made side by side.
    pub(super) hangs: bool,
}

impl State {
    /// Where in the queue the next ticket stands that may be taken: the first of those whose users have not too many starts
    /// under way.
    pub(super) fn next_place(&self, own: &Account) -> Option<usize> {
        if self.active.len() < OF_ONE {
            return (!self.queue.is_empty()).then_some(0);
        }
        let mut busy: HashMap<&[u8], usize> = HashMap::new();
        let tickets = self.active.iter().map(|active| &active.ticket);
        for ticket in tickets.filter(|ticket| !own.is(ticket.user())) {
            *busy.entry(ticket.user()).or_default() += 1;
        }
        let is_full = busy.values().sum::<usize>() >= OF_OTHERS;
        self.queue.iter().position(|ticket| {
            let user = ticket.user();
            let has_room = || !is_full && busy.get(user).is_none_or(|&count| count < OF_ONE);
            own.is(user) || has_room()
        })
    }

    /// Whether as many starts get on side by side as may.
    pub(super) fn is_busy(&self) -> bool {
        self.active.iter().filter(|active| !active.hangs).count() >= ABREAST
    }

    /// Whether more than a few tickets wait, and the starts before them get on.
    pub(super) fn has_many(&self) -> bool {
        self.queue.len() > FEW && self.waited_at != Some(self.ended)
    }

    /// Whether somebody idle is to come to a ticket that waits. Not where those that make starts will, and somebody sees to it
    /// that they do: to be woken in vain costs as much as a good part of a start.
    pub(super) fn needs_another(&self) -> bool {
        !self.is_busy() || self.watchers == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With so many starts under way, of which some hang.
    fn at_work(active: usize, hanging: usize) -> State {
        let active = (0..active).map(|number| Active {
            ticket: Arc::new(Ticket::of_nothing()),
            hangs: number < hanging,
        });
        State { active: active.collect(), ..State::default() }
    }

    #[test]
    fn nobody_is_woken_for_a_ticket_that_those_at_work_come_to() {
        let state = State { watchers: 1, ..at_work(ABREAST, 0) };
        assert!(!state.needs_another());
    }

    #[test]
    fn somebody_is_woken_where_fewer_are_at_work_than_may_be_or_where_they_hang() {
        for (active, hanging) in [(0, 0), (ABREAST - 1, 0), (ABREAST, 1), (5, 4)] {
            let state = State { watchers: 1, ..at_work(active, hanging) };
            assert!(state.needs_another(), "{active} active, {hanging} hanging");
        }
    }

    #[test]
    fn somebody_is_woken_where_nobody_would_see_that_those_at_work_hang() {
        assert!(at_work(ABREAST, 0).needs_another());
    }
}
