//! The tables, their version, and how older ones become those of today.

use rusqlite::{Connection, TransactionBehavior};

use super::super::StoreError;
use super::error::SqlResult;

/// What marks a database as ours: `Crkp`, in `PRAGMA application_id`.
pub(super) const APPLICATION: u32 = 0x4372_6b70;

/// The tables of version 1. Times are microseconds since 1970; civil times count as if they were UTC. `job` and
/// `occurrence` are a job's key: the sixteen digits of its id as a signed number, and the number behind `#`.
pub const VERSION_1: &str = "\
CREATE TABLE meta (
    name TEXT NOT NULL PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    bytes BLOB
) STRICT;
CREATE TABLE jobs (
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    since INTEGER,
    generation INTEGER,
    marked_at INTEGER,
    marked_civil INTEGER,
    paused INTEGER NOT NULL DEFAULT 0,
    touched INTEGER NOT NULL,
    PRIMARY KEY (job, occurrence)
) STRICT, WITHOUT ROWID;
CREATE TABLE owed (
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    civil INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    PRIMARY KEY (job, occurrence, at, civil)
) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
    run TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    job INTEGER NOT NULL,
    occurrence INTEGER NOT NULL,
    name TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    due_civil INTEGER NOT NULL,
    last_at INTEGER,
    last_civil INTEGER,
    count INTEGER,
    trigger TEXT NOT NULL,
    queued INTEGER,
    started INTEGER,
    ended INTEGER,
    outcome TEXT,
    exit INTEGER,
    signal INTEGER,
    reason TEXT,
    user_cpu INTEGER NOT NULL,
    system_cpu INTEGER NOT NULL,
    max_rss_kib INTEGER NOT NULL,
    replica TEXT NOT NULL,
    output_bytes INTEGER NOT NULL,
    pid INTEGER,
    pid_start INTEGER,
    PRIMARY KEY (run, attempt)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_job ON runs (job, occurrence, outcome, run, attempt);
CREATE INDEX runs_by_outcome ON runs (outcome, run, attempt);
CREATE TABLE outputs (
    run TEXT NOT NULL PRIMARY KEY,
    packed BLOB NOT NULL
) STRICT;
INSERT INTO meta VALUES ('runs', 0), ('output_bytes', 0);
";

/// What version 2 adds: the outbox, and the ids of messages that were confirmed lately.
pub const VERSION_2: &str = "\
CREATE TABLE outbox (
    place INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    job INTEGER,
    occurrence INTEGER,
    run TEXT,
    expires INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE confirmed (
    place INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES ('messages', 0), ('message_bytes', 0);
";

/// What version 3 adds: which worker has carried a run out.
pub const VERSION_3: &str = "\
ALTER TABLE runs ADD COLUMN worker TEXT;
";

/// What makes each version of the one before it; the first makes version 1 of an empty database.
const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3];

/// The version of the tables that this program makes. That of the keys in Redis is another: there a record is JSON.
pub const VERSION: u32 = 3;

/// What a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever put into it.
    Empty,
    /// Ours, of this version.
    Version(u32),
}

/// What a database is, before anything is done to it.
///
/// # Errors
/// It is another program's; its version is newer; it cannot be read.
pub(super) fn inspect(connection: &Connection) -> Result<Found, StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").told()?;
    let version = u32::try_from(pragma("user_version").told()?).unwrap_or(u32::MAX);
    let tables = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .told()?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Found::Empty);
    }
    if application != i64::from(APPLICATION) {
        return Err(StoreError::Refused(
            "it is another program's database: name another file".into(),
        ));
    }
    if version > VERSION {
        return Err(StoreError::Newer { found: version, known: VERSION });
    }
    Ok(Found::Version(version))
}

/// Makes the tables, or those of today of older ones, in one transaction.
///
/// # Errors
/// As [`inspect`]; it cannot be written.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    migrate_by(connection, MIGRATIONS)
}

fn migrate_by(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if inspect(connection)? == Found::Version(known) {
        return Ok(());
    }
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).told()?;
    // Another process may have been faster.
    let from = match inspect(&transaction)? {
        Found::Empty => 0,
        Found::Version(version) => version as usize,
    };
    for step in migrations.iter().skip(from) {
        transaction.execute_batch(step).told()?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION).told()?;
    transaction.pragma_update(None, "user_version", known).told()?;
    transaction.commit().told()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn every_version_has_what_makes_it() {
        assert_eq!(MIGRATIONS.len(), VERSION as usize);
    }

    #[test]
    fn an_empty_database_gets_the_tables_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(inspect(&connection), Ok(Found::Empty));
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(inspect(&connection), Ok(Found::Version(VERSION)));
    }

    #[test]
    fn an_older_one_is_migrated_step_by_step() {
        let mut connection = Connection::open_in_memory().unwrap();
        let first = "CREATE TABLE a (x); INSERT INTO a VALUES (7);";
        migrate_by(&mut connection, &[first]).unwrap();
        // The version that is known is one that the steps of a test go beyond.
        let second = "ALTER TABLE a ADD COLUMN y DEFAULT 8;";
        migrate_by(&mut connection, &[first, second]).unwrap();
        let row = connection.query_row("SELECT x, y FROM a", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        });
        assert_eq!((row.unwrap(), version(&connection)), ((7, 8), 2));
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_by(&mut connection, &["CREATE TABLE a (x);"]).unwrap();
        let broken = "CREATE TABLE b (x); ALTER TABLE missing ADD COLUMN y;";
        assert!(migrate_by(&mut connection, &["", broken]).is_err());
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }

    #[test]
    fn a_newer_one_is_refused_and_told_by_its_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert_eq!(error, StoreError::Newer { found: VERSION + 1, known: VERSION });
        assert_eq!(version(&connection), i64::from(VERSION) + 1);
    }

    #[test]
    fn the_database_of_another_program_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x);").unwrap();
        assert!(matches!(migrate(&mut connection), Err(StoreError::Refused(_))));
        let mut marked = Connection::open_in_memory().unwrap();
        marked.pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(migrate(&mut marked), Err(StoreError::Refused(_))));
    }
}
