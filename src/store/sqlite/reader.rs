//! A file that is only read, beside the daemon whose it is or without one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;
use super::error::SqlResult as _;
use super::schema::{self, Found};
use super::{BUSY, Open, Sqlite, VERSION, place};

/// What a reader is told who comes before any daemon.
const NOTHING: &str = "nothing was kept there yet; --store or --state-dir name another place";

impl Sqlite {
    /// Opens the file to be read alone: nothing is made, nothing is changed.
    ///
    /// # Errors
    /// There is none, it is another program's, or one that this version does not read.
    pub(super) fn open_to_read(&self, path: &Path) -> Result<Open, StoreError> {
        if !path.exists() {
            return Err(StoreError::Down(NOTHING.to_owned()));
        }
        let real = place::find(path, false).map_err(|error| StoreError::Down(error.to_string()))?;
        let path = &*real.path;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).told()?;
        connection.busy_timeout(BUSY).told()?;
        let mut found = schema::inspect(&connection);
        if matches!(found, Err(StoreError::Down(_))) && !place::with_end(path, "-wal").exists() {
            // Where nothing can be made beside it, nobody else can write it either.
            connection = place::open_immutable(path).told()?;
            found = schema::inspect(&connection);
        }
        match found? {
            Found::Version(VERSION) => {}
            Found::Version(older) => {
                return Err(StoreError::Refused(format!(
                    "its schema has version {older}: the daemon makes it version {VERSION} when it starts"
                )));
            }
            Found::Empty => {
                return Err(StoreError::Down(NOTHING.to_owned()));
            }
        }
        place::set_up(&connection).told()?;
        self.kept_namespace(&connection)?;
        Ok(Open { connection, identity: place::identity(path) })
    }
}
