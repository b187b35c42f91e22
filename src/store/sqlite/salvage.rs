//! What can still be read of a broken database.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::super::StoreError;
use super::error::SqlResult as _;
use super::schema::{Found, VERSION, inspect};
use super::{Open, Sqlite, place};

/// What the schedule depends on, in the order of its weight, and what was promised; of runs those without an end.
const TABLES: [(&str, &str); 7] = [
    ("meta", "WHERE name = 'namespace'"),
    ("snapshot", ""),
    ("jobs", ""),
    ("owed", ""),
    ("outbox", ""),
    ("confirmed", ""),
    ("runs", "WHERE outcome IS NULL"),
];

impl Sqlite {
    /// Puts a broken file aside, and takes over what can still be read of it.
    pub(super) fn begin_anew(&self, path: &Path, reason: &str) -> Result<Open, StoreError> {
        let fails = |error: &dyn std::fmt::Display| {
            StoreError::Corrupt(format!("{reason}; it cannot be put aside: {error}"))
        };
        let aside = place::put_aside(path, self.clock.now()).map_err(|error| fails(&error))?;
        place::make(path, false).map_err(|error| fails(&error))?;
        let mut open = self.open_file(path)?;
        let rows = salvage(&aside, &mut open.connection)?;
        self.kept_namespace(&open.connection)?;
        (self.tell)(format!(
            "{} is broken ({reason}): it is put aside as {}, and a new one begun with {rows} rows that could be read \
             of it; history is not taken over",
            path.display(),
            aside.display()
        ));
        Ok(open)
    }
}

/// Copies what the schedule depends on from a broken database to a new one, as far as it can be read; how many rows.
///
/// # Errors
/// The new one cannot be written.
fn salvage(broken: &Path, into: &mut Connection) -> Result<usize, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(broken) = Connection::open_with_flags(broken, flags) else { return Ok(0) };
    // An older one lacks tables, which are passed over.
    if !matches!(inspect(&broken), Ok(Found::Version(1..=VERSION))) {
        return Ok(0);
    }
    let transaction = into.transaction().told()?;
    let mut rows = 0;
    for (table, condition) in TABLES {
        rows += copy(&broken, &transaction, table, condition)?;
    }
    let counts = "UPDATE meta SET value = (SELECT count(*) FROM runs) WHERE name = 'runs'; \
        UPDATE meta SET value = (SELECT count(*) FROM outbox) WHERE name = 'messages'; \
        UPDATE meta SET value = (SELECT ifnull(sum(length(bytes)), 0) FROM outbox) WHERE name = 'message_bytes';";
    transaction.execute_batch(counts).told()?;
    transaction.commit().told()?;
    Ok(rows)
}

/// Copies the rows of a table up to the first that cannot be read.
fn copy(
    broken: &Connection,
    into: &Connection,
    table: &str,
    condition: &str,
) -> Result<usize, StoreError> {
    let Ok(mut statement) = broken.prepare(&format!("SELECT * FROM {table} {condition}")) else {
        return Ok(0);
    };
    let columns = statement.column_count();
    let marks = vec!["?"; columns].join(", ");
    // An older one lacks columns, which have a default.
    let names = statement.column_names().collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})");
    let mut insert = into.prepare(&insert).told()?;
    let Ok(mut rows) = statement.query([]) else { return Ok(0) };
    let mut copied = 0;
    while let Ok(Some(row)) = rows.next() {
        let values = (0..columns).map(|column| row.get::<_, Value>(column));
        let Ok(values) = values.collect::<Result<Vec<_>, _>>() else { break };
        match insert.execute(params_from_iter(values)).told() {
            Ok(_) => copied += 1,
            // A value that does not belong there.
            Err(StoreError::Refused(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::super::schema::{APPLICATION, VERSION_1, VERSION_2, migrate};
    use super::*;

    #[test]
    fn rows_of_an_older_version_are_copied_though_they_lack_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        old.execute_batch(VERSION_2).unwrap();
        let row = "INSERT INTO runs (run, attempt, job, occurrence, name, due_at, due_civil, trigger, user_cpu, \
            system_cpu, max_rss_kib, replica, output_bytes) \
            VALUES ('01MCC5TEK0F6WQYJKW2QSSSG31', 1, 7, 1, 'job', 0, 0, 'schedule', 0, 0, 0, 'here', 0)";
        old.execute_batch(row).unwrap();
        old.pragma_update(None, "application_id", APPLICATION).unwrap();
        old.pragma_update(None, "user_version", 2).unwrap();
        drop(old);
        let mut new = Connection::open_in_memory().unwrap();
        migrate(&mut new).unwrap();
        assert_eq!(salvage(&path, &mut new), Ok(1));
        let sql = "SELECT count(*) FROM runs WHERE worker IS NULL";
        assert_eq!(new.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }
}
