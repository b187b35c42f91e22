//! Which orders workers may carry out: decided when one of them asks, or reports that it starts one; kept in a file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::event::{Bus, Event};
use crate::message::Report;
use crate::message::answer::Word;
use crate::message::report::News;
use crate::store::StoreError;
use crate::store::sqlite::{Asking, Dispatched, Leave, REMEMBERED};

/// The file in the state directory.
pub(super) const FILE: &str = "orders.db";

/// So many orders are withdrawn between two looks for those to be forgotten.
const OFTEN: usize = 1_024;

/// What workers may do.
pub(super) struct Leaves {
    path: PathBuf,
    bus: Bus,
    clock: Arc<dyn Clock>,
    /// Opened when something is to be kept, or was.
    file: Arc<Mutex<Option<Dispatched>>>,
    /// The orders that were withdrawn, and when they expire.
    withdrawn: Mutex<HashMap<String, Timestamp>>,
}

impl Leaves {
    /// What is kept in the file at `path`.
    pub(super) fn new(path: PathBuf, bus: Bus, clock: Arc<dyn Clock>) -> Self {
        Leaves { path, bus, clock, file: Arc::default(), withdrawn: Mutex::default() }
    }

    /// Reads what an earlier life has withdrawn.
    pub(super) async fn load(&self) {
        if !self.path.exists() {
            return;
        }
        let Some(ids) = self.on_file(|file| file.withdrawn()).await else { return };
        // Until when is in the file; these are forgotten when they end, or at the next start.
        self.withdrawn().extend(ids.into_iter().map(|id| (id, Timestamp::MAX)));
    }

    /// What is to be said to whoever has made a report; none if nothing is, or nothing is known.
    pub(super) async fn judge(&self, report: &Report) -> Option<Word> {
        if matches!(report.news, News::Ended(_) | News::Returned) {
            return None;
        }
        if self.withdrawn().contains_key(&report.order) {
            return Some(Word::Withdrawn);
        }
        let (expires, restarts, is_start) = match report.news {
            News::Asked { expires, restarts } => (expires, restarts, false),
            News::Started { expires, .. } => (expires, 0, true),
            _ => return None,
        };
        let (id, worker) = (report.order.clone(), report.worker.clone());
        let now = self.clock.now();
        let leave = self.on_file(move |file| {
            let (id, worker) = (&*id, &*worker);
            file.ask(Asking { id, worker, expires, restarts, is_start }, now)
        });
        match leave.await? {
            Leave::Given => Some(Word::Start),
            Leave::Taken => Some(Word::Taken),
            Leave::Withdrawn => Some(Word::Withdrawn),
        }
    }

    /// A worker has reported the end of an order; whether that is its end.
    pub(super) async fn end(&self, order: &str, worker: &str) -> bool {
        let (id, worker) = (order.to_owned(), worker.to_owned());
        let is_its = self.on_file(move |file| file.end(&id, &worker)).await.unwrap_or(true);
        if is_its {
            self.forget(order);
        }
        is_its
    }

    /// Whether an order was withdrawn, as far as is known.
    pub(super) async fn is_withdrawn(&self, order: &str) -> bool {
        let id = order.to_owned();
        self.withdrawn().contains_key(order)
            || self.on_file(move |file| file.is_withdrawn(&id)).await.unwrap_or(false)
    }

    /// From now on no worker may carry out an order, or go on with it.
    pub(super) fn note(&self, order: &str, expires: Timestamp) {
        let mut withdrawn = self.withdrawn();
        if withdrawn.len() % OFTEN == OFTEN - 1 {
            let now = self.clock.now();
            withdrawn.retain(|_, expires| now.duration_since(*expires) < REMEMBERED);
        }
        withdrawn.insert(order.to_owned(), expires);
    }

    /// Nobody has it, or it has ended.
    pub(super) fn forget(&self, order: &str) {
        self.withdrawn().remove(order);
    }

    /// Keeps it over a restart that an order is withdrawn.
    pub(super) async fn withdraw(&self, order: String, expires: Timestamp) {
        let now = self.clock.now();
        self.on_file(move |file| file.withdraw(&order, expires, now)).await;
    }

    /// Has the file used on a thread that may wait for its disk; nothing if it cannot be.
    async fn on_file<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Dispatched) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let asked = spawn_blocking(move || {
            // Every change is one statement or one transaction: nothing is left half done.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let (mut opened, mut told) = (Ok(()), None);
            if file.is_none() {
                match Dispatched::open(Some(&path)) {
                    Ok(dispatched) => *file = Some(dispatched),
                    Err(error) => {
                        // Better for this life than not at all.
                        *file = Dispatched::open(None).ok();
                        opened = Err(error);
                    }
                }
            }
            if let Some(file) = file.as_mut() {
                told = Some(ask(file));
            }
            (opened, told)
        });
        let (opened, told) = asked.await.ok()?;
        let told = told.transpose();
        for error in [opened.err(), told.as_ref().err().cloned()].into_iter().flatten() {
            let text = format!(
                "{}: {error}: which orders workers have started, and which are withdrawn, may be forgotten",
                self.path.display()
            );
            self.bus.publish(Event::Notice { file: None, text, warning: true });
        }
        told.ok()?
    }

    fn withdrawn(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        // Nothing is left half done by a panic: there is none.
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
