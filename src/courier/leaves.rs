//! Which orders workers may carry out: decided when one of them asks, or reports that it starts one; kept in a file.

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use self::file::{Fact, File};
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

/// So many orders are remembered that were started again.
const REPLACED: usize = 4_096;

/// What workers may do.
pub(super) struct Leaves {
    path: PathBuf,
    bus: Bus,
    clock: Arc<dyn Clock>,
    /// When this life began.
    began: Timestamp,
    file: Arc<tokio::sync::Mutex<File>>,
    /// The orders that were withdrawn.
    withdrawn: Mutex<HashMap<String, Withdrawn>>,
    /// The orders that may be started again, with the worker that may: the one before may have lost no more than its
    /// connection.
    replaced: Mutex<HashMap<String, Successor>>,
}

/// The worker that may start an order again.
struct Successor {
    worker: String,
    /// Whether it has: until then the one before goes on.
    has_started: bool,
}

/// That an order was withdrawn.
#[derive(Clone, Copy)]
struct Withdrawn {
    /// When it expires.
    expires: Timestamp,
    /// How its run has ended here, as far as is known.
    ours: Option<Ours>,
    /// Whether the file has it, or will have it as soon as it can be used.
    is_handed_on: bool,
}

/// How soon it is looked again whether the file can be used, when the daemon ends.
const AGAIN: Duration = Duration::from_millis(50);

impl Leaves {
    /// What is kept in the file at `path`.
    pub(super) fn new(path: PathBuf, bus: Bus, clock: Arc<dyn Clock>) -> Self {
        let began = clock.now();
        let (withdrawn, replaced) = (Mutex::default(), Mutex::default());
        Leaves { path, bus, clock, began, file: Arc::default(), withdrawn, replaced }
    }

    /// Reads what an earlier life has withdrawn.
    pub(super) async fn load(&self) {
        if !self.path.exists() {
            return;
        }
        let Some(ids) = self.on_file(None, |file, _| file.withdrawn()).await else { return };
        // Until when is in the file; these are forgotten when they end, or at the next start.
        let withdrawn = Withdrawn { expires: Timestamp::MAX, ours: None, is_handed_on: true };
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
            _ => {
                let replaced = self.replaced();
                let successor = replaced.get(&report.order)?;
                let is_taken = successor.has_started && successor.worker != report.worker;
                return is_taken.then_some(Word::Taken);
            }
        };
        let (id, worker) = (report.order.clone(), report.worker.clone());
        let now = self.clock.now();
        let made = report.subject.run.parse::<RunId>().map(|run| run.at()).ok();
        let started =
            is_start.then(|| Fact::Started { id: id.clone(), worker: worker.clone(), expires });
        let leave = self.on_file(started, move |file, since| {
            let (id, worker) = (&*id, &*worker);
            if !is_start && since.is_some() && made < since && !file.is_known(id)? {
                return Ok(None);
            }
            file.ask(Asking { id, worker, expires, restarts, is_start }, now).map(Some)
        });
        match leave.await?? {
            Leave::Given => {
                if is_start && let Some(successor) = self.replaced().get_mut(&report.order) {
                    successor.has_started |= successor.worker == report.worker;
                }
                Some(Word::Start)
            }
            Leave::Again => {
                let mut replaced = self.replaced();
                if replaced.len() >= REPLACED {
                    replaced.clear();
                }
                let worker = report.worker.clone();
                replaced.insert(report.order.clone(), Successor { worker, has_started: is_start });
                Some(Word::Start)
            }
            Leave::Taken => Some(Word::Taken),
            Leave::Withdrawn => Some(Word::Withdrawn),
        }
    }

    /// A worker has reported the end of an order; whether that is its end.
    pub(super) async fn end(&self, order: &str, worker: &str) -> bool {
        let (id, worker) = (order.to_owned(), worker.to_owned());
        let ended = Fact::Ended { id: id.clone(), worker: worker.clone() };
        let is_its = self.on_file(Some(ended), move |file, _| file.end(&id, &worker)).await;
        let is_its = is_its.unwrap_or(true);
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
            || self.on_file(None, move |file, _| file.is_withdrawn(&id)).await.unwrap_or(false)
    }

    /// From now on no worker may carry out an order, or go on with it.
    pub(super) fn note(&self, order: &str, expires: Timestamp, ours: Option<Ours>) {
        let mut withdrawn = self.withdrawn();
        if withdrawn.len() % OFTEN == OFTEN - 1 {
            let now = self.clock.now();
            withdrawn.retain(|_, withdrawn| now.duration_since(withdrawn.expires) < REMEMBERED);
        }
        withdrawn.insert(order.to_owned(), Withdrawn { expires, ours, is_handed_on: false });
    }

    /// Nobody has it, or it has ended.
    pub(super) fn forget(&self, order: &str) {
        self.withdrawn().remove(order);
    }

    /// Keeps it over a restart that an order is withdrawn.
    pub(super) async fn withdraw(&self, order: String, expires: Timestamp) {
        let now = self.clock.now();
        let (fact, id) = (Fact::Withdrawn { id: order.clone(), expires }, order.clone());
        self.on_file(Some(fact), move |file, _| file.withdraw(&id, expires, now)).await;
        if let Some(withdrawn) = self.withdrawn().get_mut(&order) {
            withdrawn.is_handed_on = true;
        }
    }

    /// Waits until the file has everything that it is to have: as long as another process has it locked.
    pub(super) async fn settled(&self) {
        loop {
            let has_all = self.file.lock().await.has_all()
                || self.on_file(None, |_, _| Ok(())).await.is_some();
            if has_all && self.withdrawn().values().all(|withdrawn| withdrawn.is_handed_on) {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    /// Has the file used on a thread that may wait for its disk, by one at a time; nothing if it cannot be. What is asked is told
    /// since when the file knows of all orders; always, if that is none. A `fact` is what it would keep: where it cannot, that
    /// is kept as soon as it can be.
    async fn on_file<T: Send + 'static>(
        &self,
        fact: Option<Fact>,
        mut ask: impl FnMut(&mut Dispatched, Option<Timestamp>) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Option<T> {
        let (path, began, now) = (self.path.clone(), self.began, self.clock.now());
        let mut file = Arc::clone(&self.file).lock_owned().await;
        let asked = spawn_blocking(move || {
            // Every change is one statement or one transaction: nothing is left half done.
            let mut notices = Vec::new();
            let told = file.ask(&path, (began, now), fact, &mut ask, &mut notices);
            (told.ok(), notices)
        });
        let (told, notices) = asked.await.ok()?;
        for notice in notices {
            let text = format!("{}: {notice}", self.path.display());
            self.bus.publish(Event::Notice { file: None, text, warning: true });
        }
        told
    }

    fn replaced(&self) -> MutexGuard<'_, HashMap<String, Successor>> {
        // Nothing is left half done by a panic: there is none.
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdrawn(&self) -> MutexGuard<'_, HashMap<String, Withdrawn>> {
        // Nothing is left half done by a panic: there is none.
        self.withdrawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::SignedDuration;
    use rusqlite::Connection;

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

    /// Locks a database as another process may.
    fn lock(path: &Path) -> Connection {
        let other = Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    #[tokio::test]
    async fn what_is_reported_while_the_file_is_locked_is_kept_once_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let leaves = leaves(&path);
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        let other = lock(&path);
        assert_eq!(leaves.judge(&started("one")).await, None);
        drop(other);
        assert_eq!(leaves.judge(&asked("two", LATER)).await, Some(Word::Taken));
        let other = lock(&path);
        let id = started("one").order;
        leaves.withdraw(id.clone(), SystemClock.now()).await;
        drop(other);
        assert!(leaves.is_withdrawn(&id).await);
    }

    #[tokio::test]
    async fn the_end_waits_for_a_locked_file_to_have_what_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let leaves = Arc::new(leaves(&path));
        leaves.settled().await;
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        let (other, now) = (lock(&path), SystemClock.now());
        leaves.note("first", now, None);
        leaves.withdraw("first".to_owned(), now).await;
        // Whoever withdraws this one has yet to hear whether it was sent at all.
        leaves.note("second", now, None);
        let settling = tokio::spawn({
            let leaves = Arc::clone(&leaves);
            async move { leaves.settled().await }
        });
        drop(other);
        while !leaves.file.lock().await.has_all() {
            sleep(AGAIN).await;
        }
        assert!(!settling.is_finished());
        leaves.withdraw("second".to_owned(), now).await;
        settling.await.unwrap();
        leaves.note("third", now, None);
        leaves.forget("third");
        leaves.settled().await;
        let mut kept = Dispatched::open(Some(&path)).unwrap().withdrawn().unwrap();
        kept.sort();
        assert_eq!(kept, ["first", "second"]);
    }

    #[tokio::test]
    async fn a_file_that_stays_locked_is_waited_for_once_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut bus = Bus::builder();
        let mut events = bus.subscribe();
        let leaves = Leaves::new(path.clone(), bus.build(), Arc::new(SystemClock));
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        let other = lock(&path);
        let begun = SystemClock.monotonic();
        for _ in 0..30 {
            assert_eq!(leaves.judge(&asked("one", LATER)).await, None);
        }
        // Each time it would be a minute.
        let took = SystemClock.monotonic().saturating_sub(begun);
        assert!(took < std::time::Duration::from_secs(30), "{took:?}");
        drop(other);
        assert_eq!(leaves.judge(&asked("one", LATER)).await, Some(Word::Start));
        let mut told = Vec::new();
        while let Ok(event) = events.try_recv() {
            told.push(event);
        }
        assert_eq!(told.len(), 1, "{told:?}");
    }

    #[tokio::test]
    async fn the_worker_that_had_an_order_before_another_one_is_told_so_when_it_is_heard_again() {
        let folder = tempfile::tempdir().unwrap();
        let leaves = leaves(&folder.path().join(FILE));
        assert_eq!(leaves.judge(&started("one")).await, Some(Word::Start));
        let news = News::Asked { expires: SystemClock.now(), restarts: 1 };
        assert_eq!(leaves.judge(&report("one", LATER, News::Running)).await, None);
        assert_eq!(leaves.judge(&report("two", LATER, news)).await, Some(Word::Start));
        // It may never start it.
        assert_eq!(leaves.judge(&report("one", LATER, News::Running)).await, None);
        assert_eq!(leaves.judge(&started("two")).await, Some(Word::Start));
        assert_eq!(leaves.judge(&report("one", LATER, News::Running)).await, Some(Word::Taken));
        assert_eq!(leaves.judge(&report("two", LATER, News::Running)).await, None);
    }
}
