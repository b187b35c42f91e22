//! What the executor owes to the store: a start is recorded before it is made, and what waits is noted as owed.
//!
//! Starts that are released while the store is being asked are gathered and asked for together.

mod noting;
mod unheard;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use unheard::{Asked, Unheard};

use super::Core;
use super::deadline::Set;
use super::life::Phase;
use super::start::Report;
use super::ticket::Ticket;
use crate::event::{Fire, Run, Settlement, Started};
use crate::store::{
    Conditions, Handle, Mark, Owed, Permission, RunRecord, Standing, Start, StoreError, WhenDown,
    Write,
};
use crate::unix::{Pid, process};

/// So many starts are asked for at once though further fires wait to be answered.
const BURST: usize = 256;

/// So many starts are asked for at once where replicas share them, while not many more than half as many that were permitted
/// are still to be made: what is recorded and not made is lost if the daemon is killed, and no other may make it.
const CHUNK: usize = 8;

/// Starts that take longer hang, and hold up nobody else's. Much longer than any takes on a machine that is busy.
const HANGS: Duration = Duration::from_millis(200);

/// How soon a store that has not answered is asked again for a start that is not made without it.
const AGAIN: Duration = Duration::from_millis(500);

/// Why what the store has not permitted does not start.
const TAKEN: &str = "another replica has started it";
const FENCED: &str = "this replica's lease has ended";
const HELD: &str = "held while the store was away";

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
    /// The tickets of starts that were permitted and are being made, where replicas share them.
    making: Vec<u64>,
    /// Whether those are being waited for.
    pausing: bool,
    /// The tickets of those that it is being asked for, where replicas share them.
    asked: Vec<u64>,
    /// Starts that were asked for without an answer.
    unheard: Unheard,
    /// Starts that were to be asked for when the store did not answer for others.
    aside: Vec<Arc<Ticket>>,
    /// The tickets of starts that are noted before they are made.
    noting: HashSet<u64>,
    /// When it is looked next whether notes get on, and how many were begun when it was last.
    look: Option<Set>,
    seen: u64,
    /// Whether they did not: none is begun as long as one waits.
    hangs: bool,
    /// Who learns what became of fires, where replicas share them.
    told: Option<mpsc::UnboundedSender<Settlement>>,
}

impl Ledger {
    /// Records starts in `store`, on these conditions.
    #[must_use]
    pub fn new(store: Handle, conditions: watch::Receiver<Conditions>) -> Self {
        let standing = store.standing();
        Ledger {
            store,
            standing,
            conditions,
            waiting: Vec::new(),
            asking: false,
            making: Vec::new(),
            pausing: false,
            noting: HashSet::new(),
            look: None,
            seen: 0,
            hangs: false,
            asked: Vec::new(),
            unheard: Unheard::default(),
            aside: Vec::new(),
            told: None,
        }
    }

    /// Fires were claimed, and are shared with other replicas: what became of each is told there. What is not permitted is
    /// given back, and what waits stays claimed instead of being owed.
    #[must_use]
    pub fn with_claims(mut self, told: mpsc::UnboundedSender<Settlement>) -> Self {
        self.told = Some(told);
        self
    }

    /// What becomes of starts now, should the store not answer.
    fn when_down(&self, monotonic: Duration) -> WhenDown {
        self.conditions.borrow().when_down(monotonic)
    }

    /// Tells what became of a fire, if anybody wants to know.
    fn tell(&self, what: impl FnOnce() -> Settlement, fire: &Fire) {
        if let Some(told) = self.told.as_ref().filter(|_| fire.trigger.is_of_schedule()) {
            // Without a gate nobody wants to know.
            let _ = told.send(what());
        }
    }

    /// Whether it is known that there will be no answer, and nobody insists on one.
    fn is_pointless(&self, monotonic: Duration) -> bool {
        self.when_down(monotonic) == WhenDown::Run
            && matches!(*self.standing.borrow(), Standing::Down { .. })
    }

    /// Has it recorded later that a run starts.
    fn note_start(&self, run: &Run) {
        let key = run.fire.job.key;
        if run.fire.trigger.is_of_schedule() {
            self.store.write(Write::Mark(key, mark(run)));
            if self.told.is_some() {
                // A later mark takes the place of that one, and this claim would stay.
                self.store.write(Write::Release(key, mark(run)));
            }
        }
        self.store.write(Write::Settle(key, run.fire.due));
    }

    /// Has it recorded that a run which another replica has left goes on here.
    pub(super) fn note_adopted(&self, record: &RunRecord, process: (Pid, u64)) {
        if self.told.is_none() {
            return;
        }
        let replica = self.conditions.borrow().lease.replica.clone();
        let process = Some((process.0.as_raw(), process.1));
        let record = RunRecord { replica, process, ..record.clone() };
        self.store.write(Write::Run(Arc::new(record)));
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
    /// Asks the store for what was released; `more` says whether more is about to be. To be called after
    /// [`pump`](Core::pump).
    pub(super) fn record(&mut self, more: bool) {
        let Some(ledger) = &mut self.ledger else { return };
        let count = ledger.waiting.len();
        let is_shared = ledger.told.is_some();
        let most = if is_shared { CHUNK } else { BURST };
        if count == 0 || ledger.asking || (more && count < most) {
            return;
        }
        if ledger.is_pointless(self.clock.monotonic()) {
            let tickets = std::mem::take(&mut ledger.waiting);
            let asked = tickets.iter().map(|ticket| ledger.unheard.take(ticket)).collect();
            let held = self.hold(asked, WhenDown::Run);
            return self.ask_later(held);
        }
        if ledger.making.len() > CHUNK / 2 {
            return self.pause();
        }
        let size = if is_shared { count.min(CHUNK) } else { count };
        let later = ledger.waiting.split_off(size);
        let tickets = std::mem::replace(&mut ledger.waiting, later);
        let starts = tickets.iter().map(|ticket| start(ticket.run())).collect();
        let Conditions { lease, within, .. } = ledger.conditions.borrow().clone();
        let answer = ledger.store.start_runs(lease, starts, within);
        ledger.asking = true;
        if is_shared {
            ledger.asked = tickets.iter().map(|ticket| ticket.number).collect();
        }
        let reports = self.starts.reports();
        tokio::spawn(async move {
            // Without an executor nothing is started.
            let _ = reports.send(Report::Recorded(tickets, answer.await));
        });
    }

    /// Waits for starts that are being made, but not for ever.
    fn pause(&mut self) {
        let Some(ledger) = self.ledger.as_mut().filter(|ledger| !ledger.pausing) else { return };
        let Some(&last) = ledger.making.iter().max() else { return };
        ledger.pausing = true;
        let reports = self.starts.reports();
        tokio::spawn(async move {
            tokio::time::sleep(HANGS).await;
            // Without an executor nothing is started.
            let _ = reports.send(Report::Hanging(last));
        });
    }

    /// Waits no longer for starts up to this ticket.
    pub(super) fn wait_no_longer(&mut self, last: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.pausing = false;
            ledger.making.retain(|number| *number > last);
        }
        self.record(false);
    }

    /// A start was made, or has failed.
    pub(super) fn made(&mut self, number: u64) {
        if let Some(ledger) = &mut self.ledger {
            ledger.making.retain(|making| *making != number);
            if ledger.noting.remove(&number)
                && ledger.noting.is_empty()
                && let Some(look) = ledger.look.take()
            {
                self.deadlines.cancel(look);
            }
        }
    }

    /// Takes the store's answer.
    pub(super) fn recorded(
        &mut self,
        tickets: &[Arc<Ticket>],
        answer: Result<Vec<Permission>, StoreError>,
    ) {
        let Some(ledger) = &mut self.ledger else { return };
        ledger.asking = false;
        ledger.asked.clear();
        let asked: Vec<Asked> = tickets.iter().map(|ticket| ledger.unheard.take(ticket)).collect();
        let when_down = ledger.when_down(self.clock.monotonic());
        let is_shared = ledger.told.is_some();
        let answer = answer.and_then(|permissions| {
            let is_whole = permissions.len() == tickets.len();
            is_whole.then_some(permissions).ok_or_else(|| {
                StoreError::Corrupt("it has not answered for every start".to_owned())
            })
        });
        let mut held = Vec::new();
        match answer {
            Ok(permissions) => {
                for (asked, permission) in asked.into_iter().zip(permissions) {
                    let ticket = &asked.ticket;
                    let reason = match permission {
                        Permission::Granted if asked.is_given_up => {
                            self.miss(ticket.run(), HELD);
                            continue;
                        }
                        // Nobody else has it, or had it meanwhile.
                        Permission::Granted
                            if is_shared
                                && !ticket.is_cancelled()
                                && asked.is_late(self.clock.now())
                                && self.starts.withdraw(ticket) =>
                        {
                            self.forget(ticket.run());
                            self.miss(ticket.run(), HELD);
                            continue;
                        }
                        Permission::Granted => {
                            if let Some(ledger) = self.ledger.as_mut().filter(|_| is_shared) {
                                ledger.making.push(ticket.number);
                            }
                            self.tell_started(ticket.run());
                            self.make_unless_ended(ticket);
                            continue;
                        }
                        Permission::Taken => TAKEN,
                        Permission::Fenced => FENCED,
                    };
                    if !is_shared {
                        self.refuse(ticket, reason);
                    } else if !is_claimed(ticket.run()) {
                        self.start_unrecorded(std::slice::from_ref(ticket));
                    } else if asked.since.is_some() && permission == Permission::Fenced {
                        // It may have been recorded, and then nobody but us starts it: the next lease tells.
                        held.push(asked);
                    } else if asked.is_given_up {
                        self.tell_returned(ticket);
                    } else {
                        self.give_back(ticket);
                    }
                }
            }
            Err(_) => held = self.hold(asked, when_down),
        }
        self.ask_later(held);
        // What was gathered meanwhile.
        self.record(false);
    }

    /// Makes starts of which the store will hear later.
    fn start_unrecorded(&mut self, tickets: &[Arc<Ticket>]) {
        for ticket in tickets {
            if let Some(ledger) = &self.ledger {
                ledger.note_start(ticket.run());
            }
            self.tell_started(ticket.run());
            self.make_unless_ended(ticket);
        }
    }

    /// Does not make a start that another replica may make, and has it claimed anew.
    fn give_back(&mut self, ticket: &Ticket) {
        // It may have been ended meanwhile.
        if !self.starts.withdraw(ticket) {
            return;
        }
        self.forget(ticket.run());
        self.tell_returned(ticket);
    }

    /// Tells that a fire is to be claimed anew: to be started, or, if it was ended, to be told by whoever has it then.
    fn tell_returned(&self, ticket: &Ticket) {
        let run = ticket.run();
        let what = || {
            if ticket.is_cancelled() {
                Settlement::Ended(run.fire.clone(), run.id)
            } else {
                Settlement::Returned(run.fire.clone())
            }
        };
        if let Some(ledger) = &self.ledger {
            ledger.tell(what, &run.fire);
        }
    }

    /// Tells that a run starts.
    pub(super) fn tell_started(&self, run: &Run) {
        if let Some(ledger) = self.ledger.as_ref().filter(|_| run.attempt == 1) {
            ledger.tell(|| Settlement::Started(run.fire.clone()), &run.fire);
        }
    }

    /// Tells that nothing comes of a fire.
    pub(super) fn tell_passed(&self, fire: &Fire) {
        if let Some(ledger) = &self.ledger {
            ledger.tell(|| Settlement::Passed(fire.clone()), fire);
        }
    }

    /// Whether what waits when the daemon ends is left to other replicas.
    pub(super) fn leaves_to_others(&self, fire: &Fire) -> bool {
        let is_shared = self.ledger.as_ref().is_some_and(|ledger| ledger.told.is_some());
        is_shared && fire.trigger.is_of_schedule()
    }

    /// Has it recorded once more which runs are going: the store may have lost it, or taken us for dead.
    pub(super) fn record_alive(&mut self) {
        let Some(ledger) = &self.ledger else { return };
        let replica = ledger.conditions.borrow().lease.replica.clone();
        for life in self.lives.values() {
            if let Phase::Running(started) = &life.phase {
                let mut record = match self.survivors.get(&started.run.id) {
                    Some(record) => record.clone(),
                    None => running(started),
                };
                record.replica.clone_from(&replica);
                ledger.store.write(Write::Run(Arc::new(record)));
            }
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
        self.forget(run);
        self.miss(run, reason);
    }

    /// Forgets a run that does not start.
    fn forget(&mut self, run: &Run) {
        self.lives.remove(&run.id);
        self.admission.leave(run.fire.job.key, run.id, false);
        self.unbound(run.id);
        self.waits.remove(&run.id);
    }

    /// A run has to wait before it may start.
    pub(super) fn owe(&self, run: &Run) {
        if let Some(ledger) = &self.ledger
            && ledger.told.is_none()
        {
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

/// Whether a replica claims what it was before it starts it.
fn is_claimed(run: &Run) -> bool {
    run.attempt == 1 && run.fire.trigger.is_of_schedule()
}

/// A run that is going, as it is recorded.
fn running(started: &Started) -> RunRecord {
    let run = &started.run;
    let mut record = RunRecord::going(run);
    record.started = Some(started.at);
    let since = |pid| started.since.or_else(|| process::since(Pid::from_raw(pid)));
    record.process = started.pid.and_then(|pid| Some((pid, since(pid)?)));
    record
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
