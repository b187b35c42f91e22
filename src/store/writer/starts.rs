//! Starts that somebody asks for: noted where that is enough, recorded before the answer where it is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::notes::of_start;
use super::{Call, Dues, Next, Question, Writer};
use crate::store::{Lease, Permission, RunRecord, Standing, Start, Store, StoreError};

/// So few writes are not worth waiting for the ends of their runs.
const FEW: usize = 128;
/// So many are written though the ends are not known.
const MANY: usize = 24 << 10;
/// So many starts are noted before the store is asked for something else: what they lead to is kept by that as a rule, and the
/// daemon's end cuts off those that have not come so far.
const AHEAD: usize = 1_024;
/// For so long the ends are waited for, or twice as long at most.
const IDLE: Duration = Duration::from_secs(1);

/// Starts that are about to be made.
pub(in crate::store) struct Starting {
    pub(in crate::store) lease: Lease,
    pub(in crate::store) starts: Vec<Start>,
    /// Who waits for the answer.
    pub(in crate::store) reply: oneshot::Sender<Result<Vec<Permission>, StoreError>>,
}

/// Until when starts that were noted wait for the ends of their runs, and those before which point do.
#[derive(Debug, Default)]
pub(super) struct Idling {
    until: Option<Instant>,
    point: u64,
    /// Starts that were noted since the store was asked for something else.
    ahead: usize,
}

impl Starting {
    /// What is started, and the question whether it may be.
    pub(super) fn ask(self) -> (Dues, Question) {
        let Starting { lease, starts, reply } = self;
        let dues = starts.iter().map(|start| (start.key, start.mark.due())).collect();
        let call = move |store: Arc<dyn Store>| -> Call {
            Box::pin(async move {
                let answer = store.start(lease, starts).await;
                let error = answer.as_ref().err().cloned();
                // Whoever has lost interest need not be told.
                let _ = reply.send(answer);
                error
            })
        };
        (dues, Box::new(call))
    }
}

impl Idling {
    /// When it is looked next what waits.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The store is asked for something else.
    pub(super) fn follow(&mut self) {
        self.ahead = 0;
    }
}

impl Writer {
    /// Grants starts that can be noted, which then are; gives back what cannot.
    pub(super) fn note(&mut self, starting: Starting) -> Option<Starting> {
        let is_well = matches!(*self.standing.borrow(), Standing::Up);
        let moves = self.notes.moves.load(Ordering::Acquire);
        if self.idling.ahead >= AHEAD {
            return Some(starting);
        }
        let Some(logbook) =
            self.notes.logbook.get().filter(|_| is_well && moves == 0 && !self.held)
        else {
            return Some(starting);
        };
        let Some(first) = logbook.note_all(&starting.starts, &starting.lease.replica) else {
            return Some(starting);
        };
        let Starting { lease, starts, reply } = starting;
        self.idling.ahead += starts.len();
        let granted = vec![Permission::Granted; starts.len()];
        for (number, start) in (first..).zip(starts) {
            let mark = start.is_due().then_some(start.mark);
            let record = RunRecord::starting(start, lease.replica.clone());
            for write in of_start(Box::new(record), mark) {
                self.queue.push_idle(write);
            }
            self.noted.push_back((self.queue.now(), number));
        }
        if self.next == Next::Whenever {
            self.next = Next::Gathered(Instant::now() + super::GATHER);
        }
        if self.queue.idle() > MANY {
            self.rouse(self.queue.now());
        }
        // Whoever has lost interest need not be told.
        let _ = reply.send(Ok(granted));
        None
    }

    /// Has what idles written in its turn, if it was pushed before that point.
    pub(super) fn rouse(&mut self, point: u64) {
        self.queue.rouse(point);
        if !self.queue.is_empty() && matches!(self.next, Next::Whenever | Next::Gathered(_)) {
            self.next = Next::Now;
        }
    }

    /// What was gathered is about to be written, with starts whose ends are not worth waiting for.
    pub(super) fn gathered(&mut self) {
        self.next = Next::Now;
        if self.queue.idle() <= FEW {
            self.idling.until = None;
            self.rouse(self.queue.now());
        } else if self.idling.until.is_none() {
            self.idling.until = Some(Instant::now() + IDLE);
            self.idling.point = self.queue.now();
        }
    }

    /// The ends of runs were waited for long enough.
    pub(super) fn idled(&mut self) {
        self.rouse(self.idling.point);
        self.idling.until = (self.queue.idle() > 0).then(|| Instant::now() + IDLE);
        self.idling.point = self.queue.now();
    }
}
