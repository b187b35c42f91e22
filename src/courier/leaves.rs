//! Which orders workers may carry out: decided when one of them asks, or reports that it starts one; kept in a file.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::report::Ours;
use crate::clock::Clock;
use crate::event::{Bus, Event, RunId};
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
    /// When this life began.
    began: Timestamp,
    file: Arc<Mutex<File>>,
    /// The orders that were withdrawn.
    withdrawn: Mutex<HashMap<String, Withdrawn>>,
}

/// That an order was withdrawn.
#[derive(Clone, Copy)]
struct Withdrawn {
    /// When it expires.
    expires: Timestamp,
    /// How its run has ended here, as far as is known.
    ours: Option<Ours>,
}

/// The file, and what is known of it.
#[derive(Default)]
struct File {
    /// Opened when something is to be kept, or was.
    dispatched: Option<Dispatched>,
    /// Nothing is known of orders that were made before then: what is kept is no older.
    since: Option<Timestamp>,
    /// Whether memory stands in for it in this life.
    is_memory: bool,
}

impl Leaves {
    /// What is kept in the file at `path`.
    pub(super) fn new(path: PathBuf, bus: Bus, clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        Leaves { path, bus, clock, began, file: Arc::default(), withdrawn: Mutex::default() }
    }

    /// Reads what an earlier life has withdrawn.
    pub(super) async fn load(&self) {
        if !self.path.exists() {
            return;
        }
        let Some(ids) = self.on_file(|file| file.withdrawn()).await else { return };
        // Until when is in the file; these are forgotten when they end, or at the next start.
        let withdrawn = Withdrawn { expires: Timestamp::MAX, ours: None };
        self.withdrawn().extend(ids.into_iter().map(|id| (id, withdrawn)));
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
        let made = report.subject.run.parse::<RunId>().map(|run| run.at()).ok();
        let leave = self.on_file_since(move |file, since| {
            let (id, worker) = (&*id, &*worker);
            if !is_start && since.is_some() && made < since && !file.is_known(id)? {
                return Ok(None);
            }
            file.ask(Asking { id, worker, expires, restarts, is_start }, now).map(Some)
        });
        match leave.await?? {
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

    /// How the run of an order that was withdrawn has ended here.
    pub(super) fn ours(&self, order: &str) -> Option<Ours> {
        self.withdrawn().get(order).and_then(|withdrawn| withdrawn.ours)
    }

    /// Whether an order was withdrawn, as far as is known.
    pub(super) async fn is_withdrawn(&self, order: &str) -> bool {
        let id = order.to_owned();
        self.withdrawn().contains_key(order)
            || self.on_file(move |file| file.is_withdrawn(&id)).await.unwrap_or(false)
    }

    /// From now on no worker may carry out an order, or go on with it.
    pub(super) fn note(&self, order: &str, expires: Timestamp, ours: Option<Ours>) {
        let mut withdrawn = self.withdrawn();
        if withdrawn.len() % OFTEN == OFTEN - 1 {
            let now = self.clock.now();
            withdrawn.retain(|_, withdrawn| now.duration_since(withdrawn.expires) < REMEMBERED);
        }
        withdrawn.insert(order.to_owned(), Withdrawn { expires, ours });
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
        mut ask: impl FnMut(&mut Dispatched) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        self.on_file_since(move |file, _| ask(file)).await
    }

    /// The same, for what has to know since when the file knows of all orders; always, if that is none.
    async fn on_file_since<T: Send + 'static>(
        &self,
        mut ask: impl FnMut(&mut Dispatched, Option<Timestamp>) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Option<T> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let (began, now) = (self.began, self.clock.now());
        let asked = spawn_blocking(move || {
            // Every change is one statement or one transaction: nothing is left half done.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let mut notices = Vec::new();
            let mut told = file.ask(&path, began, &mut ask, &mut notices);
            if let Err(StoreError::Corrupt(_)) = told {
                told = file
                    .renew(&path, now, &mut notices)
                    .and_then(|()| file.ask(&path, began, &mut ask, &mut notices));
            }
            (told, notices)
        });
        let (told, mut notices) = asked.await.ok()?;
        if let Err(error) = &told {
            notices.push(format!(
                "{error}: workers that ask which orders they may start are not answered"
            ));
        }
        for notice in notices {
            let text = format!("{}: {notice}", self.path.display());
            self.bus.publish(Event::Notice { file: None, text, warning: true });
        }
        told.ok()
    }

    fn withdrawn(&self) -> MutexGuard<'_, HashMap<String, Withdrawn>> {
        // Nothing is left half done by a panic: there is none.
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// Asks the file, which is opened where it is not.
    fn ask<T>(
        &mut self,
        path: &Path,
        began: Timestamp,
        ask: &mut impl FnMut(&mut Dispatched, Option<Timestamp>) -> Result<T, StoreError>,
        notices: &mut Vec<String>,
    ) -> Result<T, StoreError> {
        let mut dispatched = match self.dispatched.take() {
            Some(dispatched) => dispatched,
            None => self.open(path, began, notices)?,
        };
        let told = ask(&mut dispatched, self.since);
        // One that fails is opened anew at the next question.
        if told.is_ok() || self.is_memory {
            self.dispatched = Some(dispatched);
        }
        told
    }

    /// Opens the file. Memory stands in for one that is missing and cannot be made: there is nothing to be forgotten but what an
    /// earlier life had in memory. What is there and does not open may say that an order was started: then nothing is said.
    fn open(
        &mut self,
        path: &Path,
        began: Timestamp,
        notices: &mut Vec<String>,
    ) -> Result<Dispatched, StoreError> {
        let is_missing = fs::symlink_metadata(path).is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        });
        if is_missing && self.since.is_none() && Dispatched::has_aside(path) {
            // The life that has put it aside was killed before it had made another.
            self.since = Some(began);
        }
        match Dispatched::open(Some(path)) {
            Err(error) if is_missing => {
                notices.push(format!(
                    "{error}: which orders workers have started, and which are withdrawn, is forgotten at the end"
                ));
                self.is_memory = true;
                self.since = Some(began);
                Dispatched::open(None)
            }
            opened => {
                let dispatched = opened?;
                match self.since {
                    // So that the next life knows it, too.
                    Some(since) => dispatched.begin(since)?,
                    None => self.since = dispatched.since()?,
                }
                Ok(dispatched)
            }
        }
    }

    /// Puts a corrupt file aside.
    fn renew(
        &mut self,
        path: &Path,
        now: Timestamp,
        notices: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        self.dispatched = None;
        let aside = Dispatched::put_aside(path, now)?;
        self.since = Some(now);
        notices.push(format!(
            "it is corrupt and now called {}: workers are not told to start orders from before that came to them again",
            aside.display()
        ));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::clock::SystemClock;
    use crate::message::order;

    fn leaves(path: &Path) -> Leaves {
        Leaves::new(path.to_owned(), Bus::builder().build(), Arc::new(SystemClock))
    }

    /// A report of a run that was made so long ago.
    fn report(worker: &str, ago: SignedDuration, news: News) -> Report {
        let order = order::tests::order();
        let mut subject = order.subject;
        subject.run = RunId::new(SystemClock.now() - ago, 7).to_string();
        let (version, worker) = (order::VERSION, worker.to_owned());
        Report { version, order: order.id, worker, sequence: 0, subject, answer_to: None, news }
    }

    fn asked(worker: &str, ago: SignedDuration) -> Report {
        report(worker, ago, News::Asked { expires: SystemClock.now(), restarts: 0 })
    }

    fn started(worker: &str) -> Report {
        let now = SystemClock.now();
        report(worker, SignedDuration::ZERO, News::Started { at: now, expires: now })
    }

    const AGO: SignedDuration = SignedDuration::from_secs(60);
    const LATER: SignedDuration = SignedDuration::from_secs(-60);

    #[tokio::test]
    async fn a_file_that_cannot_be_used_answers_nothing_until_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(leaves(&path).judge(&started("one")).await, Some(Word::Start));
        // Not even its owner opens a folder for a file.
        let hidden = folder.path().join("hidden");
        fs::rename(&path, &hidden).unwrap();
        fs::create_dir(&path).unwrap();
        let leaves = leaves(&path);
        assert_eq!(leaves.judge(&asked("two", LATER)).await, None);
        fs::remove_dir(&path).unwrap();
        fs::rename(&hidden, &path).unwrap();
        assert_eq!(leaves.judge(&asked("two", LATER)).await, Some(Word::Taken));
    }

    #[tokio::test]
    async fn a_corrupt_file_is_put_aside_and_of_what_is_older_nothing_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "no database at all, but something else".repeat(100)).unwrap();
        let leaves = leaves(&path);
        assert_eq!(leaves.judge(&asked("one", AGO)).await, None);
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        // Nor does the next life, which finds a good file.
        drop(leaves);
        let next = self::leaves(&path);
        assert_eq!(next.judge(&asked("one", AGO)).await, None);
        assert_eq!(next.judge(&asked("one", LATER)).await, Some(Word::Start));
        drop(next);
        // One that was killed before it had made another leaves the corrupt one alone.
        for name in ["orders.db", "orders.db-wal", "orders.db-shm"] {
            let _ = fs::remove_file(folder.path().join(name));
        }
        let third = self::leaves(&path);
        assert_eq!(third.judge(&asked("one", AGO)).await, None);
        assert_eq!(third.judge(&asked("one", LATER)).await, Some(Word::Start));
        let names = fs::read_dir(folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(names.into_iter().any(|name| name.starts_with("orders.db.corrupt-")));
    }

    #[tokio::test]
    async fn memory_stands_in_for_a_file_that_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let leaves = leaves(&folder.path().join("file").join(FILE));
        assert_eq!(leaves.judge(&asked("one", AGO)).await, None);
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        assert_eq!(leaves.judge(&started("one")).await, Some(Word::Start));
        assert_eq!(leaves.judge(&asked("two", LATER)).await, Some(Word::Taken));
    }
}
