//! Starts of which the store was asked, and whose answer nobody heard.
//!
//! It may have recorded them: then they are ours alone, or by now those of whoever took them for lost. Only it knows.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{AGAIN, HELD, is_claimed};
use crate::event::{Fire, Run};
use crate::executor::Core;
use crate::executor::start::Report;
use crate::executor::ticket::Ticket;
use crate::store::WhenDown;

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
    pub(super) fn keep(&mut self, asked: &Asked) {
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

impl Core {
    /// Whether it is to be known whose a start is that was ended, before that is told: other replicas share it, and the store
    /// has not answered for it. What another one has told of it by then is not written over, and none starts what was told.
    ///
    /// Where we end nobody waits for that: it is forgotten, and told by who finds it.
    pub(in crate::executor) fn is_undecided(&mut self, ticket: &Arc<Ticket>) -> bool {
        let ledger = self.ledger.as_ref().filter(|ledger| ledger.told.is_some());
        let Some(ledger) = ledger.filter(|_| is_claimed(ticket.run())) else { return false };
        let is_unheard = ledger.unheard.has(ticket);
        let mut unasked = ledger.waiting.iter().chain(&ledger.aside);
        let is_asked = ledger.asked.contains(&ticket.number)
            || (!self.stopping && unasked.any(|other| other.number == ticket.number));
        if is_unheard && self.stopping {
            self.leave_unheard(ticket);
        }
        is_unheard || is_asked
    }

    /// Forgets a start that was asked for without an answer, and says nothing of it.
    fn leave_unheard(&mut self, ticket: &Arc<Ticket>) {
        if self.starts.withdraw(ticket) {
            self.forget(ticket.run());
        }
    }

    /// Makes a start that may be made, or tells that it was ended before that was known.
    pub(super) fn make_unless_ended(&mut self, ticket: &Arc<Ticket>) {
        if ticket.is_cancelled() {
            self.end_unmade(ticket.number);
        } else {
            self.make(Arc::clone(ticket));
        }
    }

    /// Reports that a start was ended before there was a child.
    pub(in crate::executor) fn end_unmade(&self, number: u64) {
        self.starts.fail(number, "it was ended before its start".into(), false);
    }

    /// Which of the starts that were asked for are kept until the store answers. Those that no other replica would make are
    /// made; so are all where that is how it is to be, but not what others may have taken over since it was asked for.
    pub(super) fn hold(&mut self, asked: Vec<Asked>, when_down: WhenDown) -> Vec<Asked> {
        let is_shared = self.ledger.as_ref().is_some_and(|ledger| ledger.told.is_some());
        let mut held = Vec::new();
        for asked in asked {
            let ticket = &asked.ticket;
            let is_free = when_down == WhenDown::Run && asked.since.is_none();
            if is_free || !is_claimed(ticket.run()) {
                self.start_unrecorded(std::slice::from_ref(ticket));
            } else if !is_shared && asked.is_late(self.clock.now()) {
                self.refuse(ticket, HELD);
            } else {
                held.push(asked);
            }
        }
        let waiting = self.ledger.as_mut().filter(|_| is_shared && when_down == WhenDown::Hold);
        if let Some(ledger) = waiting {
            // It does not answer for those either.
            let (claimed, others): (Vec<_>, Vec<_>) = std::mem::take(&mut ledger.waiting)
                .into_iter()
                .partition(|ticket| is_claimed(ticket.run()));
            ledger.waiting = others;
            for ticket in claimed {
                let asked = ledger.unheard.take(&ticket);
                if asked.since.is_some() { held.push(asked) } else { ledger.aside.push(ticket) }
            }
        }
        held
    }

    /// Has starts asked for again in a while. Those that are too late by now are given up, and it is asked what became of them.
    pub(super) fn ask_later(&mut self, held: Vec<Asked>) {
        let now = self.clock.now();
        let is_shared = self.ledger.as_ref().is_some_and(|ledger| ledger.told.is_some());
        let mut again = Vec::new();
        for mut asked in held {
            asked.since.get_or_insert(now);
            if self.stopping && asked.ticket.is_cancelled() {
                self.leave_unheard(&asked.ticket);
                continue;
            }
            if is_shared && asked.is_late(now) && self.starts.withdraw(&asked.ticket) {
                asked.is_given_up = true;
                self.forget(asked.ticket.run());
            }
            again.push(Arc::clone(&asked.ticket));
            if let Some(ledger) = &mut self.ledger {
                ledger.unheard.keep(&asked);
            }
        }
        if again.is_empty() && self.ledger.as_ref().is_none_or(|ledger| ledger.aside.is_empty()) {
            return;
        }
        let reports = self.starts.reports();
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            // Without an executor nothing is started.
            let _ = reports.send(Report::Held(again));
        });
    }

    /// Asks again for starts that were held.
    pub(in crate::executor) fn ask_again(&mut self, mut held: Vec<Arc<Ticket>>) {
        let mut late = Vec::new();
        let now = self.clock.now();
        if let Some(ledger) = &mut self.ledger {
            held.append(&mut ledger.aside);
            for ticket in held {
                // Nobody has asked for it yet, and it is not ours to judge what others have made of it.
                let is_late = ledger.told.is_some()
                    && !ledger.unheard.has(&ticket)
                    && is_late(ticket.run(), None, now);
                if is_late { late.push(ticket) } else { ledger.waiting.push(ticket) }
            }
        }
        for ticket in late {
            self.give_back(&ticket);
        }
        self.record(false);
    }
}

/// Whether the job's grace has passed since a start was due, or was asked for first, if that was later: it may have been put
/// off before.
fn is_late(run: &Run, since: Option<Timestamp>, now: Timestamp) -> bool {
    let Fire { job, due, .. } = &run.fire;
    let grace = SignedDuration::try_from(job.policy().grace).unwrap_or(SignedDuration::MAX);
    let from = due.at.max(run.id.at()).max(since.unwrap_or(Timestamp::MIN));
    from.saturating_add(grace).is_ok_and(|until| until < now)
}
