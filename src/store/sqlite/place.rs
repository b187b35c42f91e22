//! The file: made so that nobody else reads it, put aside when it is broken.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access, geteuid};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;
use super::error::SqlResult as _;
use crate::unix::lock::{Holder, Lock, LockError};

/// How long another process may have a file locked that is beside the daemon's.
pub(super) const BUSY: Duration = Duration::from_secs(2);

/// What every connection to a store is told: a small cache, no temporary files, nothing in the schema is trusted.
const EACH: &str = "PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; \
    PRAGMA cell_size_check = ON;";

/// What SQLite keeps beside a database, by the ends of the names.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// Why there is no file that can be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlaceError {
    /// And there will be none: no permission, a file system that is only read.
    #[error("{0}")]
    Unwritable(io::Error),
    /// For now.
    #[error("{0}")]
    Io(io::Error),
}

impl From<io::Error> for PlaceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory => PlaceError::Unwritable(error),
            _ => PlaceError::Io(error),
        }
    }
}

/// A database, and how its name leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Real {
    /// The file itself, through no symbolic link if its directory exists: what is opened, locked and put aside is the same.
    pub(super) path: PathBuf,
    /// Whether the name is a symbolic link.
    is_link: bool,
}

/// Finds the file that a name leads to; `owned` if it is to be written.
///
/// # Errors
/// The name is a link that leads nowhere, or one that is not taken: it is somebody else's, or leads to what is.
pub(super) fn find(path: &Path, owned: bool) -> io::Result<Real> {
    let is_ours = |uid: u32| uid == 0 || uid == geteuid().as_raw();
    let found = match fs::symlink_metadata(path) {
        Ok(found) => Some(found),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let Some(link) = found.filter(fs::Metadata::is_symlink) else {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok();
        let real = folder.and_then(|folder| Some(folder.join(path.file_name()?)));
        return Ok(Real { path: real.unwrap_or_else(|| path.to_owned()), is_link: false });
    };
    let target = match fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(io::Error::other("it is a symbolic link that leads nowhere"));
        }
        target => target?,
    };
    if owned {
        let uids = [link.uid(), fs::metadata(&target)?.uid()];
        if let Some(uid) = uids.into_iter().find(|uid| !is_ours(*uid)) {
            let text =
                format!("it is a symbolic link, and it or what it leads to belongs to uid {uid}");
            return Err(io::Error::other(text));
        }
    }
    Ok(Real { path: target, is_link: true })
}

/// The database that a symbolic link leads to; none where the name is no link that is taken.
#[must_use]
pub fn target(path: &Path) -> Option<PathBuf> {
    find(path, true).ok().filter(|real| real.is_link).map(|real| real.path)
}

/// Locks an embedded store for a daemon's life: by a file beside it, since what SQLite has open must not be opened by
/// others. A symbolic link and what it leads to have one lock.
///
/// # Errors
/// Another process has it; the file cannot be made.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    Lock::of_name(&with_end(&find(path, true)?.path, ".lock"), 0o600)
}

/// The lock of a store that could not be locked before it is opened, since its directory was missing.
#[derive(Debug, Default)]
pub(super) struct Late(Mutex<Option<Lock>>);

impl Late {
    /// Locks it, if that has not been done; where there are no locks (NFS) it is nobody's to guard.
    ///
    /// # Errors
    /// Another process has it.
    pub(super) fn take(&self, path: &Path) -> Result<(), StoreError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_none() {
            match lock(path) {
                Ok(lock) => *taken = Some(lock),
                Err(LockError::Held(holder)) => {
                    let who = holder.map(|Holder { pid, .. }| format!(", pid {pid},"));
                    let who = who.unwrap_or_default();
                    return Err(StoreError::Down(format!("another daemon{who} has it")));
                }
                Err(LockError::Io(_)) => {}
            }
        }
        Ok(())
    }
}

/// Makes the file if it is missing, for its owner alone, and, if it is the one in the state directory, the directories above
/// it. What was there before keeps its mode, but for our own in the state directory.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn make(path: &Path, is_default: bool) -> Result<PathBuf, PlaceError> {
    let Real { path, is_link } = find(path, true)?;
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {
            let is_ours = is_default && !is_link && metadata.uid() == geteuid().as_raw();
            if metadata.mode() & 0o077 != 0 && is_ours {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            }
            access(&path, AccessFlags::W_OK).map_err(io::Error::from)?;
            return Ok(path);
        }
        Ok(_) => return Err(PlaceError::Io(io::Error::other("it is not a file"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(parent) = path.parent().filter(|_| is_default) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    // Through no link that somebody has put there since.
    match File::options().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => {}
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(find(&path, true)?.path)
}

/// The mode of a file that others than its owner may read; none where nobody may.
pub(super) fn open_to_others(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & 0o044 != 0).then_some(mode)
}

/// What tells a file from another one of the same name.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// So many files that were found broken are kept beside one; of more, the oldest go.
const ASIDE: usize = 10;

/// Renames a database and what is beside it; the new name. The oldest go of too many that were renamed before.
///
/// # Errors
/// The database cannot be renamed.
pub(super) fn put_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let time = now.strftime("%Y%m%dT%H%M%SZ");
    let mut aside = with_end(path, &format!(".corrupt-{time}"));
    let mut number = 1;
    while fs::symlink_metadata(&aside).is_ok() {
        number += 1;
        aside = with_end(path, &format!(".corrupt-{time}-{number}"));
    }
    // The database last: a kill in between leaves it where it is looked for, with less beside it.
    for end in BESIDE.iter().rev() {
        match fs::rename(with_end(path, end), with_end(&aside, end)) {
            Err(error) if end.is_empty() => return Err(error),
            // The others may be missing.
            _ => {}
        }
    }
    remove_oldest(path);
    Ok(aside)
}

/// Removes those that were put aside first, where there are too many; what cannot be removed stays.
fn remove_oldest(path: &Path) {
    let start = with_end(path, ".corrupt-");
    let (Some(folder), Some(start)) = (path.parent(), start.file_name()) else { return };
    let Ok(all) = fs::read_dir(folder) else { return };
    let mut ends: Vec<(String, u32)> = all
        .flatten()
        .filter_map(|file| {
            let name = file.file_name();
            let end = name.as_encoded_bytes().strip_prefix(start.as_encoded_bytes())?;
            let end = str::from_utf8(end).ok()?;
            let (time, number) = end.split_once('-').unwrap_or((end, "1"));
            // What is beside a database goes with it.
            Some((time.to_owned(), number.parse().ok()?))
        })
        .collect();
    ends.sort_unstable();
    for (time, number) in ends.iter().take(ends.len().saturating_sub(ASIDE)) {
        let number = if *number == 1 { String::new() } else { format!("-{number}") };
        let old = with_end(path, &format!(".corrupt-{time}{number}"));
        for end in BESIDE {
            let _ = fs::remove_file(with_end(&old, end));
        }
    }
}

/// Opens a database beside the daemon's, which is made if it is missing, for its owner alone; without a path it is in memory.
/// Another process may have it locked for so long.
///
/// # Errors
/// It cannot be opened or written.
pub(super) fn open_own(
    path: Option<&Path>,
    setup: &str,
    wait: Duration,
) -> Result<Connection, StoreError> {
    let connection = match path {
        None => Connection::open_in_memory(),
        Some(path) => {
            let made = make(path, true);
            made.map_err(|error| StoreError::Down(format!("{}: {error}", path.display())))?;
            Connection::open(path)
        }
    };
    let connection = connection.told()?;
    connection.busy_timeout(wait).told()?;
    connection.execute_batch(setup).told()?;
    Ok(connection)
}

/// Sets up a connection to a store.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    // A statement that was prepared stays so: SQLite would prepare one with `LIMIT ?` again whenever a value is bound, which
    // takes longer than to carry it out.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(EACH)
}

/// Opens a file that nobody changes.
pub(super) fn open_immutable(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
            uri.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags)
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn of_many_broken_files_the_last_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut kept = Vec::new();
        for second in [0, 1, 2, 2, 3, 3, 3, 4, 5, 6, 7, 8, 9] {
            fs::write(&path, "broken").unwrap();
            fs::write(with_end(&path, "-wal"), "broken, too").unwrap();
            kept.push(put_aside(&path, at(second)).unwrap());
        }
        let mut kept = kept.split_off(kept.len() - ASIDE);
        kept.extend(kept.clone().iter().map(|aside| with_end(aside, "-wal")));
        kept.sort();
        let all = fs::read_dir(folder.path()).unwrap();
        let mut all: Vec<PathBuf> = all.map(|file| file.unwrap().path()).collect();
        all.sort();
        assert_eq!(all, kept);
    }

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound() {
        let connection = Connection::open_in_memory().unwrap();
        set_up(&connection).unwrap();
        connection
            .execute_batch("CREATE TABLE t (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID")
            .unwrap();
        let sql = "SELECT a FROM t WHERE (a, b) > (?1, ?2) ORDER BY a, b LIMIT ?3";
        for limit in [1, 64, 1] {
            let mut statement = connection.prepare_cached(sql).unwrap();
            assert!(!statement.exists((0, 0, limit)).unwrap());
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        }
    }
}
