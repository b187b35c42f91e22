//! Room on the disk: some is kept in the file and its log, so that what matters can be written when the disk is full.
//!
//! The file grows ahead of what is put into it: some of its pages are always free, and stand on the disk already. So does the
//! beginning of the log of changes, which is used again and again. When the disk is full the file does not grow any
//! more; where its free pages are used up, the oldest output goes for what is new, then the oldest runs.

use std::fs::File;
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;
use rusqlite::Connection;

use super::super::StoreError;
use super::error::SqlResult as _;
use super::place::with_end;
use super::run::Tally;
use super::trim;

/// Pages by which the file grows at once, at least and at most; half of them are to be free.
const LEAST: i64 = 64;
const MOST: i64 = 1_024;
/// As many pages as a file may have.
const ALL: i64 = 0xffff_fffe;
/// Bytes that the log of changes has on the disk from the beginning.
const LOG: i64 = 1 << 20;
/// Bytes on the disk: with less it is full, with as many as these there is room again.
const SHORT: u64 = 256 << 10;
const ENOUGH: u64 = 1 << 20;
/// Outputs, or runs, that are removed at once to make room.
const ROOM: usize = 32;

/// How much room there is.
#[derive(Debug, Default)]
pub(super) struct Space {
    is_short: bool,
    /// Whether what a kill may have left of growing was removed.
    is_tidy: bool,
    /// Pages of the file when it was looked at last.
    pages: i64,
    /// Outputs that were not kept.
    lost: u64,
}

impl Space {
    /// What is wrong as long as there is no room.
    pub(super) fn trouble(&self) -> Option<StoreError> {
        let text = "no space left on its disk: what is oldest makes room for what is new";
        self.is_short.then(|| StoreError::Full(text.to_owned()))
    }

    /// Begins with a file that was opened.
    pub(super) fn begin(&mut self, connection: &Connection, path: &Path) {
        self.pages = 0;
        // Where the file system knows no such thing, the log grows as it did ever.
        let log = File::options().write(true).open(with_end(path, "-wal"));
        let _ = log.map(|log| fallocate(log, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, LOG));
        if self.is_short {
            let _ = limit(connection, true);
        }
    }

    /// Looks how much room is left after something was written, and has the file grow ahead; what is to be told.
    pub(super) fn look(&mut self, connection: &mut Connection, path: &Path) -> Option<String> {
        let left = left(path);
        if left.is_some_and(|left| left < SHORT) {
            self.shorten(connection);
            return None;
        }
        if self.is_short && left.is_none_or(|left| left < ENOUGH) {
            return None;
        }
        let was_short = std::mem::take(&mut self.is_short);
        if was_short {
            // Whatever goes wrong here will go wrong with the next write, and be told then.
            let _ = limit(connection, false);
        }
        match self.grow(connection) {
            Err(StoreError::Full(_)) => self.shorten(connection),
            _ if was_short && self.lost > 0 => {
                let lost = std::mem::take(&mut self.lost);
                return Some(format!(
                    "what {lost} runs printed was not kept while there was no space left"
                ));
            }
            _ => {}
        }
        None
    }

    fn shorten(&mut self, connection: &Connection) {
        if !std::mem::replace(&mut self.is_short, true) {
            let _ = limit(connection, true);
        }
    }

    /// Has some pages free, and on the disk.
    fn grow(&mut self, connection: &mut Connection) -> Result<(), StoreError> {
        let free = number(connection, "freelist_count")?;
        let pages = number(connection, "page_count")?;
        let step = (pages / 8).clamp(LEAST, MOST);
        let give_back = "DELETE FROM meta WHERE name = 'room'";
        if free >= step / 2 {
            if !std::mem::replace(&mut self.is_tidy, true) {
                connection.execute(give_back, []).told()?;
            }
            if pages > std::mem::replace(&mut self.pages, pages) {
                checkpoint(connection)?;
            }
            return Ok(());
        }
        // Written in full: of pages that are merely counted the disk knows nothing.
        let bytes = step * number(connection, "page_size")?;
        let take = "INSERT OR REPLACE INTO meta VALUES ('room', zeroblob(?1))";
        connection.execute(take, [bytes]).told()?;
        checkpoint(connection)?;
        connection.execute(give_back, []).told()?;
        self.is_tidy = true;
        self.pages = number(connection, "page_count")?;
        Ok(())
    }

    /// Makes room for something that found none; false if there is nothing left that could go.
    pub(super) fn make_room(&mut self, connection: &mut Connection) -> Result<bool, StoreError> {
        let was_short = std::mem::replace(&mut self.is_short, true);
        // The log begins anew where all of it is in the file.
        limit(connection, true)?;
        if !was_short {
            return Ok(true);
        }
        match remove(connection) {
            // With the log begun anew there may be room all the same.
            Err(StoreError::Full(_)) => Ok(true),
            removed => Ok(removed? > 0),
        }
    }

    /// Takes note of an output that there was no room for.
    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }
}

/// Removes what is oldest, and not needed by the schedule; how much.
fn remove(connection: &mut Connection) -> Result<usize, StoreError> {
    let transaction = connection.transaction().told()?;
    let before = Tally::read(&transaction)?;
    let mut tally = before;
    let removed = trim::remove_oldest(&transaction, ROOM, &mut tally)?;
    tally.write(&transaction, before)?;
    transaction.commit().told()?;
    Ok(removed)
}

/// Has the file stay as large as it is, or lets it grow again.
fn limit(connection: &Connection, is_short: bool) -> Result<(), StoreError> {
    if is_short {
        checkpoint(connection)?;
    }
    let most = if is_short { number(connection, "page_count")? } else { ALL };
    connection.pragma_update(None, "max_page_count", most).told()
}

/// Moves what is in the log of changes to the file, as far as nobody reads it.
fn checkpoint(connection: &Connection) -> Result<(), StoreError> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).told()
}

fn number(connection: &Connection, pragma: &str) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, pragma, |row| row.get(0)).told()
}

/// Bytes that are left on the disk of a file; none where that cannot be told.
fn left(path: &Path) -> Option<u64> {
    let found = statvfs(path).ok().filter(|found| found.blocks() > 0)?;
    Some(found.blocks_available() * found.fragment_size())
}
