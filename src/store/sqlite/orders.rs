//! Which orders a worker has taken: what is kept so that none is carried out twice.
//!
//! A file of its own in the state directory, by SQLite: workers of one host that share the directory share what they
//! remember. An order is forgotten some time after it has expired, since from then on it is refused for that.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use super::super::StoreError;
use super::error::SqlResult as _;
use super::place;

/// How long an order is remembered after it has expired: clocks differ, and are set.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// So many orders are taken between two looks for those to be forgotten.
const OFTEN: u32 = 1_000;

/// What each connection is told: a kill of the process loses nothing, a power cut the last moments at most.
const SETUP: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -256;
    PRAGMA trusted_schema = OFF;
    CREATE TABLE IF NOT EXISTS orders_1 (
        id TEXT PRIMARY KEY NOT NULL, until INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX IF NOT EXISTS orders_1_until ON orders_1 (until);";

/// Which question the order was taken for.
const HAS_TAKER: &str = "SELECT taker FROM orders_1";

/// The orders that were taken.
#[derive(Debug)]
pub struct Orders {
    connection: Connection,
    /// How many were taken since it was last looked which to forget.
    taken: u32,
}

/// What is known of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing was; from now on it counts as taken.
    New,
    /// It was taken before, and not given back.
    Taken,
    /// It was carried out, and its end reported.
    Ended,
}

impl Orders {
    /// Opens the file, which is made if it is missing, for its owner alone; without a path all is kept in memory.
    ///
    /// # Errors
    /// It cannot be opened or written.
    pub fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let connection = place::open_own(path, SETUP, place::BUSY)?;
        // A file of an earlier program has no such column; another worker may add it at the same time.
        if connection.prepare(HAS_TAKER).is_err() {
            let added = connection.execute_batch("ALTER TABLE orders_1 ADD COLUMN taker INTEGER");
            added.or_else(|_| connection.prepare(HAS_TAKER).map(drop)).told()?;
        }
        Ok(Orders { connection, taken: 0 })
    }

    /// Takes an order that holds until `expires`, unless it was taken before, by whoever uses the same file. Whoever asks again
    /// with the same number is told again that it is new: what failed may have been kept all the same.
    ///
    /// # Errors
    /// The file cannot be used: nothing is known.
    pub fn take(
        &mut self,
        id: &str,
        taker: i64,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        self.forget(now)?;
        let until = expires.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX).as_second();
        // Two processes must not both find nothing.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).told()?;
        let kept: Option<(bool, Option<i64>)> = transaction
            .prepare_cached("SELECT ended, taker FROM orders_1 WHERE id = ?1")
            .and_then(|mut select| {
                select.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
            })
            .told()?;
        let known = match kept {
            Some((true, _)) => Known::Ended,
            Some((false, has)) if has == Some(taker) => Known::New,
            Some((false, _)) => Known::Taken,
            None => {
                transaction
                    .prepare_cached("INSERT INTO orders_1 (id, until, taker) VALUES (?1, ?2, ?3)")
                    .and_then(|mut insert| insert.execute(params![id, until, taker]))
                    .told()?;
                Known::New
            }
        };
        transaction.commit().told()?;
        Ok(known)
    }

    /// An order was carried out, and its end reported.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn end(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("UPDATE orders_1 SET ended = 1 WHERE id = ?1", id)
    }

    /// An order was not started and is given back: it may be taken again.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn give_back(&mut self, id: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM orders_1 WHERE id = ?1 AND ended = 0", id)
    }

    fn execute(&mut self, statement: &str, id: &str) -> Result<(), StoreError> {
        let mut prepared = self.connection.prepare_cached(statement).told()?;
        prepared.execute([id]).told()?;
        Ok(())
    }

    /// Forgets what has expired long ago, once in a while.
    fn forget(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if !self.taken.is_multiple_of(OFTEN) {
            self.taken += 1;
            return Ok(());
        }
        self.taken = 1;
        let mut delete =
            self.connection.prepare_cached("DELETE FROM orders_1 WHERE until < ?1").told()?;
        delete.execute([now.as_second()]).told()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Asks for an order, as each delivery does for itself.
    fn take(orders: &mut Orders, id: &str, now: i64) -> Result<Known, StoreError> {
        let taker = i64::from_ne_bytes(std::hash::RandomState::new().hash_one(now).to_ne_bytes());
        orders.take(id, taker, at(100), at(now))
    }

    #[test]
    fn what_was_kept_though_the_answer_failed_is_new_to_whoever_asks_again_and_to_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.db");
        let (mut one, mut other) =
            (Orders::open(Some(&path)).unwrap(), Orders::open(Some(&path)).unwrap());
        for known in [Known::New, Known::New] {
            assert_eq!(one.take("a", 7, at(100), at(1)), Ok(known));
        }
        assert_eq!(one.take("a", 8, at(100), at(1)), Ok(Known::Taken), "delivered again");
        assert_eq!(other.take("a", 9, at(100), at(1)), Ok(Known::Taken));
        one.end("a").unwrap();
        assert_eq!(one.take("a", 7, at(100), at(1)), Ok(Known::Ended));
    }

    #[test]
    fn a_file_that_an_earlier_program_has_made_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.db");
        let earlier = Connection::open(&path).unwrap();
        let made = "CREATE TABLE orders_1 (
                id TEXT PRIMARY KEY NOT NULL, until INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0
            ) WITHOUT ROWID, STRICT;";
        earlier.execute_batch(made).unwrap();
        let insert = "INSERT INTO orders_1 (id, until) VALUES (?1, 9999)";
        earlier.execute(insert, ["a"]).unwrap();
        let mut orders = Orders::open(Some(&path)).unwrap();
        assert_eq!(take(&mut orders, "a", 1), Ok(Known::Taken));
        assert_eq!(take(&mut orders, "b", 1), Ok(Known::New));
        // It may still be at work beside this one.
        earlier.execute(insert, ["c"]).unwrap();
        assert_eq!(take(&mut orders, "c", 1), Ok(Known::Taken));
        drop(Orders::open(Some(&path)).unwrap());
    }

    #[test]
    fn an_order_is_taken_once_and_known_from_then_on() {
        let mut orders = Orders::open(None).unwrap();
        assert_eq!(take(&mut orders, "a", 1), Ok(Known::New));
        assert_eq!(take(&mut orders, "a", 1), Ok(Known::Taken));
        assert_eq!(take(&mut orders, "b", 1), Ok(Known::New));
        orders.end("a").unwrap();
        assert_eq!(take(&mut orders, "a", 1), Ok(Known::Ended));
        assert_eq!(take(&mut orders, "b", 1), Ok(Known::Taken));
    }

    #[test]
    fn an_order_that_was_given_back_can_be_taken_and_one_that_ended_cannot() {
        let mut orders = Orders::open(None).unwrap();
        for id in ["a", "b"] {
            take(&mut orders, id, 1).unwrap();
        }
        orders.end("b").unwrap();
        for (id, known) in [("a", Known::New), ("b", Known::Ended)] {
            orders.give_back(id).unwrap();
            assert_eq!(take(&mut orders, id, 1), Ok(known));
        }
    }

    #[test]
    fn what_was_taken_outlives_the_process_and_holds_for_those_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/worker.db");
        let mut one = Orders::open(Some(&path)).unwrap();
        let mut other = Orders::open(Some(&path)).unwrap();
        assert_eq!(take(&mut one, "a", 1), Ok(Known::New));
        assert_eq!(take(&mut other, "a", 1), Ok(Known::Taken));
        drop((one, other));
        let mut later = Orders::open(Some(&path)).unwrap();
        assert_eq!(take(&mut later, "a", 1), Ok(Known::Taken));
        for (place, mode) in [(path.parent().unwrap(), 0o700), (path.as_path(), 0o600)] {
            assert_eq!(place.metadata().unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn an_order_is_forgotten_an_hour_after_it_has_expired_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.db");
        let taken = |now| take(&mut Orders::open(Some(&path)).unwrap(), "a", now).unwrap();
        assert_eq!(taken(1), Known::New);
        assert_eq!(taken(100 + 3600), Known::Taken);
        assert_eq!(taken(100 + 3601), Known::New);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let told = Orders::open(Some(&path.join("below"))).unwrap_err();
        assert!(told.to_string().contains("below"), "{told}");
    }
}
