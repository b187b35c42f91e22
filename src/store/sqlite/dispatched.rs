//! What has become of orders that were sent to workers: kept so that each is started by one worker alone, however often it is
//! delivered, and by none once it was withdrawn.
//!
//! A file of its own in the state directory, by SQLite. An order is forgotten some time after it has expired, since workers
//! refuse it for that from then on.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::super::StoreError;
use super::error::SqlResult as _;
use super::orders::REMEMBERED;
use super::place;

/// So many orders are started or withdrawn between two looks for those to be forgotten.
const OFTEN: u32 = 1_000;

/// What each connection is told: a kill of the process loses nothing, a power cut the last moments at most.
const SETUP: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -256;
    PRAGMA trusted_schema = OFF;
    CREATE TABLE IF NOT EXISTS dispatched_1 (
        id TEXT PRIMARY KEY NOT NULL, until INTEGER NOT NULL, worker TEXT, starts INTEGER NOT NULL DEFAULT 0,
        ended INTEGER NOT NULL DEFAULT 0, withdrawn INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX IF NOT EXISTS dispatched_1_until ON dispatched_1 (until);
    CREATE TABLE IF NOT EXISTS dispatched_since_1 (
        one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1), at INTEGER NOT NULL
    ) STRICT;";

/// The orders that workers have started, or that were withdrawn.
#[derive(Debug)]
pub struct Dispatched {
    connection: Connection,
    /// How many were asked for since it was last looked which to forget.
    asked: u32,
}

/// Whether a worker may carry an order out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// It may: no other has started it.
    Given,
    /// It may, though another one has started it, which may be alive still.
    Again,
    /// Another worker has started it.
    Taken,
    /// It is to be carried out by nobody.
    Withdrawn,
}

/// The worker that has started an order, how often one has; whether it has ended, and is withdrawn.
type Row = (Option<String>, u32, bool, bool);

/// Who asks for an order, and how.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The order's id.
    pub id: &'a str,
    /// The worker's name.
    pub worker: &'a str,
    /// When the order expires.
    pub expires: Timestamp,
    /// How often a worker may start it after another one has died with it, as far as the broker knows.
    pub restarts: u32,
    /// Whether the worker starts it; else it only asks.
    pub is_start: bool,
}

impl Dispatched {
    /// Opens the file, which is made if it is missing, for its owner alone; without a path all is kept in memory.
    ///
    /// # Errors
    /// It cannot be opened or written.
    pub fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        Dispatched::open_within(path, place::BUSY)
    }

    /// The same; another process may have the file locked for so long, now and whenever it is used.
    ///
    /// # Errors
    /// As [`open`](Dispatched::open).
    pub fn open_within(path: Option<&Path>, wait: Duration) -> Result<Self, StoreError> {
        let connection = place::open_own(path, SETUP, wait)?;
        Ok(Dispatched { connection, asked: 0 })
    }

    /// From now on another process may have the file locked for so long.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn wait(&self, wait: Duration) -> Result<(), StoreError> {
        self.connection.busy_timeout(wait).told()
    }

    /// Renames a corrupt file, so that another can be made; its new name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn put_aside(path: &Path, now: Timestamp) -> Result<PathBuf, StoreError> {
        let aside = place::find(path, true).and_then(|real| place::put_aside(&real.path, now));
        aside.map_err(|error| StoreError::Down(error.to_string()))
    }

    /// Whether a corrupt file that was at this path has been put aside, and is there still.
    #[must_use]
    pub fn has_aside(path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let start = [name.as_encoded_bytes(), b".corrupt-"].concat();
        let is_aside = |entry: DirEntry| entry.file_name().as_encoded_bytes().starts_with(&start);
        std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_aside))
    }

    /// Keeps it that nothing is known of orders that were made before `at`, to the microsecond.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn begin(&self, at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO dispatched_since_1 VALUES (1, ?1) \
                   ON CONFLICT (one) DO UPDATE SET at = max(at, ?1)";
        self.connection.execute(sql, [at.as_microsecond()]).told().map(drop)
    }

    /// Since when the file knows of all orders; always, if that is none.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn since(&self) -> Result<Option<Timestamp>, StoreError> {
        let at: Option<i64> = self
            .connection
            .query_row("SELECT at FROM dispatched_since_1", [], |row| row.get(0))
            .optional()
            .told()?;
        // What makes no sense is never: nothing is known.
        Ok(at.map(|at| Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)))
    }

    /// Whether anything is kept of an order.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn is_known(&self, id: &str) -> Result<bool, StoreError> {
        self.connection
            .prepare_cached("SELECT 1 FROM dispatched_1 WHERE id = ?1")
            .and_then(|mut select| select.exists([id]))
            .told()
    }

    /// Whether a worker may carry an order out; if it does, it is the one that has started it.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn ask(&mut self, asking: Asking<'_>, now: Timestamp) -> Result<Leave, StoreError> {
        self.forget(now)?;
        let Asking { id, worker, expires, restarts, is_start } = asking;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).told()?;
        let row: Option<Row> = transaction
            .prepare_cached(
                "SELECT worker, starts, ended, withdrawn FROM dispatched_1 WHERE id = ?1",
            )
            .and_then(|mut select| {
                let row = |row: &rusqlite::Row<'_>| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                };
                select.query_row([id], row).optional()
            })
            .told()?;
        let (leave, is_news) = match row {
            Some((_, _, _, true)) => (Leave::Withdrawn, false),
            Some((Some(has), ..)) if has == worker => (Leave::Given, false),
            Some((Some(_), starts, false, _)) if !is_start && starts <= restarts => {
                (Leave::Again, true)
            }
            Some((Some(_), ..)) => (Leave::Taken, false),
            Some((None, ..)) | None => (Leave::Given, is_start),
        };
        if is_news {
            transaction
                .prepare_cached(
                    "INSERT INTO dispatched_1 (id, until, worker, starts) VALUES (?1, ?2, ?3, 1)
                     ON CONFLICT (id) DO UPDATE SET worker = ?3, starts = starts + 1",
                )
                .and_then(|mut insert| insert.execute(params![id, until(expires), worker]))
                .told()?;
        }
        transaction.commit().told()?;
        Ok(leave)
    }

    /// A worker has reported the end of an order; whether it is the one that has started it, or nobody has.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn end(&mut self, id: &str, worker: &str) -> Result<bool, StoreError> {
        let ended = self
            .connection
            .prepare_cached("UPDATE dispatched_1 SET ended = 1 WHERE id = ?1 AND worker = ?2")
            .and_then(|mut update| update.execute([id, worker]))
            .told()?;
        Ok(ended > 0 || self.worker(id)?.is_none())
    }

    /// Nobody is to carry an order out, or to go on with it.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn withdraw(
        &mut self,
        id: &str,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.forget(now)?;
        self.connection
            .prepare_cached(
                "INSERT INTO dispatched_1 (id, until, withdrawn) VALUES (?1, ?2, 1)
                 ON CONFLICT (id) DO UPDATE SET withdrawn = 1",
            )
            .and_then(|mut insert| insert.execute(params![id, until(expires)]))
            .told()?;
        Ok(())
    }

    /// The orders that were withdrawn and may be carried out still, as far as is known.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn withdrawn(&self) -> Result<Vec<String>, StoreError> {
        let mut select = self
            .connection
            .prepare("SELECT id FROM dispatched_1 WHERE withdrawn = 1 AND ended = 0")
            .told()?;
        let ids = select.query_map([], |row| row.get(0)).told()?;
        ids.collect::<Result<_, _>>().told()
    }

    /// Whether an order was withdrawn.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn is_withdrawn(&self, id: &str) -> Result<bool, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT withdrawn FROM dispatched_1 WHERE id = ?1")
            .and_then(|mut select| select.query_row([id], |row| row.get(0)).optional())
            .told()?;
        Ok(found.unwrap_or(false))
    }

    /// The worker that has started an order, if one has.
    fn worker(&self, id: &str) -> Result<Option<String>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT worker FROM dispatched_1 WHERE id = ?1")
            .and_then(|mut select| select.query_row([id], |row| row.get(0)).optional())
            .told()?;
        Ok(found.flatten())
    }

    /// Forgets what has expired long ago, once in a while.
    fn forget(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if !self.asked.is_multiple_of(OFTEN) {
            self.asked += 1;
            return Ok(());
        }
        self.asked = 1;
        let mut delete =
            self.connection.prepare_cached("DELETE FROM dispatched_1 WHERE until < ?1").told()?;
        delete.execute([now.as_second()]).told()?;
        Ok(())
    }
}

/// Until when an order is remembered.
fn until(expires: Timestamp) -> i64 {
    expires.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX).as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ask(orders: &mut Dispatched, worker: &str, restarts: u32, is_start: bool) -> Leave {
        let asking = Asking { id: "a", worker, expires: at(100), restarts, is_start };
        orders.ask(asking, at(1)).unwrap()
    }

    #[test]
    fn one_worker_starts_an_order_and_no_other() {
        let mut orders = Dispatched::open(None).unwrap();
        for worker in ["one", "two"] {
            assert_eq!(
                ask(&mut orders, worker, 0, false),
                Leave::Given,
                "who asks has not started"
            );
        }
        for (worker, leave) in [("one", Leave::Given), ("two", Leave::Taken)] {
            assert_eq!(ask(&mut orders, worker, 0, true), leave);
            assert_eq!(ask(&mut orders, worker, 0, true), leave, "told again");
            assert_eq!(ask(&mut orders, worker, 0, false), leave);
        }
        assert_eq!(orders.end("a", "two"), Ok(false));
        assert_eq!(orders.end("a", "one"), Ok(true));
        assert_eq!(orders.end("never started", "two"), Ok(true));
        assert_eq!(ask(&mut orders, "two", 9, false), Leave::Taken, "it was carried out");
    }

    #[test]
    fn an_order_is_started_again_as_often_as_its_job_allows() {
        let mut orders = Dispatched::open(None).unwrap();
        assert_eq!(ask(&mut orders, "one", 1, true), Leave::Given);
        assert_eq!(ask(&mut orders, "two", 1, true), Leave::Taken, "it has to ask");
        assert_eq!(ask(&mut orders, "two", 1, false), Leave::Again);
        assert_eq!(ask(&mut orders, "two", 1, true), Leave::Given);
        assert_eq!(ask(&mut orders, "one", 1, true), Leave::Taken, "it is another's now");
        assert_eq!(ask(&mut orders, "three", 1, false), Leave::Taken);
        assert_eq!(orders.end("a", "one"), Ok(false));
    }

    #[test]
    fn what_is_withdrawn_is_started_by_nobody_even_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/orders.db");
        let mut orders = Dispatched::open(Some(&path)).unwrap();
        orders.withdraw("a", at(100), at(1)).unwrap();
        assert_eq!(ask(&mut orders, "one", 9, false), Leave::Withdrawn);
        drop(orders);
        let mut orders = Dispatched::open(Some(&path)).unwrap();
        assert_eq!(ask(&mut orders, "one", 0, true), Leave::Withdrawn);
        assert_eq!(orders.withdrawn(), Ok(vec!["a".to_owned()]));
        let later = Asking { id: "b", worker: "one", expires: at(9), restarts: 0, is_start: true };
        let mut orders = Dispatched::open(Some(&path)).unwrap();
        orders.ask(later, at(100 + 3600)).unwrap();
        assert_eq!(orders.withdrawn().unwrap().len(), 1);
        let mut orders = Dispatched::open(Some(&path)).unwrap();
        orders.ask(later, at(100 + 3601)).unwrap();
        assert_eq!(orders.withdrawn(), Ok(Vec::new()), "it has expired");
    }

    #[test]
    fn since_when_it_knows_of_all_orders_is_kept_and_never_earlier_than_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.db");
        let orders = Dispatched::open(Some(&path)).unwrap();
        assert_eq!(orders.since(), Ok(None));
        orders.begin(at(7)).unwrap();
        orders.begin(at(5)).unwrap();
        drop(orders);
        assert_eq!(Dispatched::open(Some(&path)).unwrap().since(), Ok(Some(at(7))));
        assert!(!Dispatched::has_aside(&path));
        Dispatched::put_aside(&path, at(9)).unwrap();
        assert!(Dispatched::has_aside(&path));
    }

    #[test]
    fn what_was_started_may_be_withdrawn_until_it_has_ended() {
        let mut orders = Dispatched::open(None).unwrap();
        assert_eq!(ask(&mut orders, "one", 0, true), Leave::Given);
        orders.withdraw("a", at(100), at(1)).unwrap();
        assert_eq!(ask(&mut orders, "one", 0, true), Leave::Withdrawn);
        assert_eq!(orders.end("a", "one"), Ok(true));
        assert_eq!(orders.withdrawn(), Ok(Vec::new()));
    }
}
