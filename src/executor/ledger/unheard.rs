//! Starts of which the store was asked, and whose answer nobody heard.
//!
//! It may have recorded them: then they are ours alone, or by now those of whoever took them for lost. Only it knows.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Fire, Run};
use crate::executor::ticket::Ticket;

/// A start that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ticket: Arc<Ticket>,
    /// When an answer was missed first, wall clock; none if none was.
    pub(super) since: Option<Timestamp>,
    /// Whether it is not made any more, whatever the answer: it was too late before there was one.
    pub(super) is_given_up: bool,
}

impl Asked {
    /// Whether an answer was missed, and it is later by now than the job's grace allows.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        self.since.is_some() && is_late(self.ticket.run(), self.since, now)
    }
}

/// The starts whose answer was missed, by their tickets' numbers.
#[derive(Debug, Default)]
pub(super) struct Unheard(HashMap<u64, (Timestamp, bool)>);

impl Unheard {
    /// Keeps what is known of a start until it is asked for again.
    pub(super) fn keep(&mut self, asked: Asked) {
        if let Some(since) = asked.since {
            self.0.insert(asked.ticket.number, (since, asked.is_given_up));
        }
    }

    /// What is known of a start that was asked for.
    pub(super) fn take(&mut self, ticket: &Arc<Ticket>) -> Asked {
        let (since, is_given_up) = self
            .0
            .remove(&ticket.number)
            .map_or((None, false), |(since, is_given_up)| (Some(since), is_given_up));
        Asked { ticket: Arc::clone(ticket), since, is_given_up }
    }

    /// Whether an answer was missed for it.
    pub(super) fn has(&self, ticket: &Ticket) -> bool {
        self.0.contains_key(&ticket.number)
    }
}

/// Whether the job's grace has passed since a start was due, or was asked for first, if that was later: it may have been put
/// off before.
pub(super) fn is_late(run: &Run, since: Option<Timestamp>, now: Timestamp) -> bool {
    let Fire { job, due, .. } = &run.fire;
    let grace = SignedDuration::try_from(job.policy().grace).unwrap_or(SignedDuration::MAX);
    let from = due.at.max(run.id.at()).max(since.unwrap_or(Timestamp::MIN));
    from.saturating_add(grace).is_ok_and(|until| until < now)
}
