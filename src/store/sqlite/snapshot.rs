//! The snapshot: one row, of which the version outlives what is kept in it.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::{Forgotten, Put, PutSnapshot, StoreError, Versioned};
use super::error::SqlResult as _;

/// The last version that there was, 0 if none, and what is kept.
fn read(connection: &Connection) -> Result<(u64, Option<Vec<u8>>), StoreError> {
    let row = connection
        .query_row("SELECT version, bytes FROM snapshot", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?))
        })
        .optional()
        .told()?;
    Ok(row.map_or((0, None), |(version, bytes)| (u64::try_from(version).unwrap_or(0), bytes)))
}

pub(super) fn get(connection: &Connection) -> Result<Option<Versioned>, StoreError> {
    let (version, bytes) = read(connection)?;
    Ok(bytes.map(|bytes| Versioned { version, bytes }))
}

/// The last version that there was, 0 if none.
pub(super) fn version(connection: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT version FROM snapshot";
    let version: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional().told()?;
    Ok(version.map_or(0, |version| u64::try_from(version).unwrap_or(0)))
}

pub(super) fn put(connection: &Connection, put: &PutSnapshot) -> Result<Put, StoreError> {
    let (version, kept) = read(connection)?;
    let kept = kept.map(|bytes| Versioned { version, bytes });
    if kept.as_ref().map_or(0, |kept| kept.version) != put.expected {
        return Ok(Put::Conflict(kept));
    }
    let sql = "INSERT OR REPLACE INTO snapshot VALUES (1, ?1, ?2)";
    let version = version.max(put.after) + 1;
    connection.execute(sql, params![super::value::number(version), put.bytes]).told()?;
    Ok(Put::Done(version))
}

pub(super) fn forget(connection: &Connection) -> Result<Forgotten, StoreError> {
    connection.execute("UPDATE snapshot SET bytes = NULL", []).told()?;
    Ok(Forgotten::default())
}
