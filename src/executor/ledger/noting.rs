//! Starts that are noted by who makes them, where nobody else has a say in them.

use std::sync::Arc;
use std::time::Duration;

use super::{Ledger, start};
use crate::event::Run;
use crate::executor::Core;
use crate::executor::carriage::is_for_worker;
use crate::executor::deadline::Deadline;
use crate::executor::ticket::{Note, Ticket};

/// How often it is looked whether notes get on. One that does not within two looks is not waited for.
const LOOK: Duration = Duration::from_millis(125);

impl Ledger {
    /// How a start may be noted; none: it is to be asked for. Where replicas share the starts it always is.
    fn note(&mut self, run: &Run) -> Option<Note> {
        if self.told.is_some() || self.asking || !self.waiting.is_empty() || !self.store.may_note()
        {
            return None;
        }
        if self.hangs && self.store.notes_under_way().1 > 0 {
            return None;
        }
        self.hangs = false;
        let replica = self.conditions.borrow().lease.replica.clone();
        Some(Note { store: self.store.clone(), start: start(run), replica })
    }
}

impl Core {
    /// Has a start made, once it is recorded where there is something to record it in.
    pub(in crate::executor) fn submit(&mut self, ticket: Arc<Ticket>) {
        // Only who makes a process notes its start.
        let is_carried = self.courier.as_ref().is_some_and(|courier| ticket.is_carried(&**courier));
        let has_process = !is_carried && !is_for_worker(&ticket.run().fire.job);
        let Some(ledger) = &mut self.ledger else { return self.make(ticket) };
        let Some(note) = ledger.note(ticket.run()).filter(|_| has_process) else {
            return ledger.waiting.push(ticket);
        };
        ticket.have_noted(note);
        ledger.noting.insert(ticket.number);
        if ledger.look.is_none() {
            ledger.seen = ledger.store.notes_under_way().0;
            ledger.look = Some(self.deadlines.set(Deadline::Notes, LOOK));
        }
        self.make(ticket);
    }

    /// A start could not be noted.
    pub(in crate::executor) fn unnoted(&mut self, number: u64) {
        self.made(number);
        let Some(ticket) = self.starts.ticket(number) else { return };
        if let Some(ledger) = &mut self.ledger {
            ledger.waiting.push(ticket);
        }
        self.record(false);
    }

    /// Looks whether notes get on. Where they do not, their starts are made without, and recorded when that can be.
    pub(in crate::executor) fn look_at_notes(&mut self) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.look = None;
        if ledger.noting.is_empty() {
            return;
        }
        let (begun, under_way) = ledger.store.notes_under_way();
        if under_way == 0 || begun != ledger.seen {
            ledger.seen = begun;
            ledger.look = Some(self.deadlines.set(Deadline::Notes, LOOK));
            return;
        }
        ledger.hangs = true;
        let numbers = std::mem::take(&mut ledger.noting);
        for number in numbers {
            let Some(ticket) = self.starts.ticket(number) else { continue };
            match ticket.give_up_note() {
                Some(true) => self.start_unrecorded(std::slice::from_ref(&ticket)),
                // The thread that takes it does not note it any more.
                Some(false) => {
                    if let Some(ledger) = &self.ledger {
                        ledger.note_start(ticket.run());
                    }
                }
                None => {}
            }
        }
    }
}
