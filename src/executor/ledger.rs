//! What the executor owes to the store: a start is recorded before it is made, and what waits is noted as owed.
//!
//! Starts that are released while the store is being asked are gathered and asked for together.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Core;
use super::start::Report;
use super::ticket::Ticket;
use crate::event::Run;
use crate::store::{Handle, Lease, Mark, Owed, Permission, Standing, Start, StoreError, Write};

/// So many starts are asked for at once though further fires wait to be answered.
const BURST: usize = 256;

/// Why what the store has not permitted does not start.
const TAKEN: &str = "another replica has started it";
const FENCED: &str = "this replica's lease has ended";

/// Where starts are recorded.
#[derive(Debug)]
pub struct Ledger {
    pub(super) store: Handle,
    standing: watch::Receiver<Standing>,
    conditions: watch::Receiver<Conditions>,
    /// Released, and not asked for yet.
    waiting: Vec<Arc<Ticket>>,
    /// Whether the store is being asked.
    asking: bool,
}

/// On which conditions starts are recorded; they may change at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// As whom.
    pub lease: Lease,
    /// How long the store may take to answer.
    pub within: Duration,
    /// What becomes of a start of which the store has not heard by then.
    pub when_down: WhenDown,
}

/// What becomes of starts while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenDown {
    /// They are made, and recorded later: nobody else would make them.
    Run,
    /// They are not made, and told as missed: somebody else may have made them.
    Hold,
}

impl Ledger {
    /// Records starts in `store`, on these conditions.
    #[must_use]
    pub fn new(store: Handle, conditions: watch::Receiver<Conditions>) -> Self {
        let standing = store.standing();
        Ledger { store, standing, conditions, waiting: Vec::new(), asking: false }
    }

    /// Whether it is known that there will be no answer, and nobody insists on one.
    fn is_pointless(&self) -> bool {
        self.conditions.borrow().when_down == WhenDown::Run
            && matches!(*self.standing.borrow(), Standing::Down { .. })
    }

    /// Has it recorded later that a run starts.
    fn note_start(&self, run: &Run) {
        let key = run.fire.job.key;
        if run.fire.trigger.is_of_schedule() {
            self.store.write(Write::Mark(key, mark(run)));
        }
        self.store.write(Write::Settle(key, run.fire.due));
    }

    /// Has it recorded that a run is still to start, and passed by its job's watermark.
    fn note_owed(&self, run: &Run) {
        let (key, due) = (run.fire.job.key, run.fire.due);
        // In this order: between the two it is known twice rather than not at all.
        self.store.write(Write::Owe(key, Owed { due, trigger: run.fire.trigger }));
        if run.fire.trigger.is_of_schedule() {
            self.store.write(Write::Mark(key, mark(run)));
        }
    }
}

impl Core {
    /// Has a start made, once it is recorded where there is something to record it in.
    pub(super) fn submit(&mut self, ticket: Arc<Ticket>) {
        match &mut self.ledger {
            Some(ledger) => ledger.waiting.push(ticket),
            None => self.starts.submit(ticket),
        }
    }

    /// Asks the store for what was released; `more` says whether more is about to be. To be called after
    /// [`pump`](Core::pump).
    pub(super) fn record(&mut self, more: bool) {
        let Some(ledger) = &mut self.ledger else { return };
        let count = ledger.waiting.len();
        if count == 0 || ledger.asking || (more && count < BURST) {
            return;
        }
        let tickets = std::mem::take(&mut ledger.waiting);
        if ledger.is_pointless() {
            return self.start_unrecorded(&tickets);
        }
        let starts = tickets.iter().map(|ticket| start(ticket.run())).collect();
        let Conditions { lease, within, .. } = ledger.conditions.borrow().clone();
        let answer = ledger.store.start_runs(lease, starts, within);
        ledger.asking = true;
        let reports = self.starts.reports();
        tokio::spawn(async move {
            // Without an executor nothing is started.
            let _ = reports.send(Report::Recorded(tickets, answer.await));
        });
    }

    /// Takes the store's answer.
    pub(super) fn recorded(
        &mut self,
        tickets: &[Arc<Ticket>],
        answer: Result<Vec<Permission>, StoreError>,
    ) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.asking = false;
        let when_down = ledger.conditions.borrow().when_down;
        let answer = answer.and_then(|permissions| {
            let is_whole = permissions.len() == tickets.len();
            is_whole.then_some(permissions).ok_or_else(|| {
                StoreError::Corrupt("it has not answered for every start".to_owned())
            })
        });
        match (answer, when_down) {
            (Ok(permissions), _) => {
                for (ticket, permission) in tickets.iter().zip(permissions) {
                    match permission {
                        Permission::Granted => self.starts.submit(Arc::clone(ticket)),
                        Permission::Taken => self.refuse(ticket, TAKEN),
                        Permission::Fenced => self.refuse(ticket, FENCED),
                    }
                }
            }
            (Err(_), WhenDown::Run) => self.start_unrecorded(tickets),
            (Err(error), WhenDown::Hold) => {
                let reason = format!("the store is away: {error}");
                for ticket in tickets {
                    self.refuse(ticket, &reason);
                }
            }
        }
        // What was gathered meanwhile.
        self.record(false);
    }

    /// Makes starts of which the store will hear later.
    fn start_unrecorded(&mut self, tickets: &[Arc<Ticket>]) {
        for ticket in tickets {
            if let Some(ledger) = &self.ledger {
                ledger.note_start(ticket.run());
            }
            self.starts.submit(Arc::clone(ticket));
        }
    }

    /// Does not make a start.
    fn refuse(&mut self, ticket: &Ticket, reason: &str) {
        // It may have been ended meanwhile.
        if !self.starts.withdraw(ticket) {
            return;
        }
        let run = ticket.run();
        if run.attempt > 1 {
            // The run has been: it is its further attempt that is not made.
            return self.not_started(Arc::clone(run), reason.to_owned());
        }
        self.lives.remove(&run.id);
        self.admission.leave(run.fire.job.key, run.id, false);
        self.miss(run, reason);
    }

    /// A run has to wait before it may start.
    pub(super) fn owe(&self, run: &Run) {
        if let Some(ledger) = &self.ledger {
            ledger.note_owed(run);
        }
    }

    /// A start comes in a moment.
    pub(super) fn warm(&self) {
        if let Some(ledger) = &self.ledger {
            ledger.store.warm();
        }
    }
}

fn mark(run: &Run) -> Mark {
    Mark::of(run.fire.due, run.fire.generation)
}

fn start(run: &Run) -> Start {
    let job = &run.fire.job;
    Start {
        run: run.id,
        attempt: run.attempt,
        key: job.key,
        name: job.label(),
        mark: mark(run),
        trigger: run.fire.trigger,
        queued: run.id.at(),
    }
}
