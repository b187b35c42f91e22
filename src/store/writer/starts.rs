//! Starts that somebody asks for: noted where that is enough, recorded before the answer where it is not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::notes::of_start;
use super::{Call, Dues, Question, Writer};
use crate::store::{Lease, Permission, RunRecord, Standing, Start, Store, StoreError};

/// So many starts are noted before the store is asked for something else: what they lead to is kept by that as a rule, and the
/// daemon's end cuts off those that have not come so far.
const AHEAD: usize = 1_024;

/// Starts that are about to be made.
pub(in crate::store) struct Starting {
    pub(in crate::store) lease: Lease,
    pub(in crate::store) starts: Vec<Start>,
    /// Who waits for the answer.
    pub(in crate::store) reply: oneshot::Sender<Result<Vec<Permission>, StoreError>>,
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

impl Writer {
    /// Grants starts that can be noted, which then are; gives back what cannot.
    pub(super) fn note(&mut self, starting: Starting) -> Option<Starting> {
        let is_well = matches!(*self.standing.borrow(), Standing::Up);
        let moves = self.notes.moves.load(Ordering::Acquire);
        if self.ahead >= AHEAD {
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
        self.ahead += starts.len();
        let granted = vec![Permission::Granted; starts.len()];
        for (number, start) in (first..).zip(starts) {
            let mark = start.is_due().then_some(start.mark);
            let record = RunRecord::starting(start, lease.replica.clone());
            self.push(of_start(Arc::new(record), mark));
            self.noted.push_back((self.queue.now(), number));
        }
        // Whoever has lost interest need not be told.
        let _ = reply.send(Ok(granted));
        None
    }
}
