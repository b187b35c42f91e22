//! The file: made so that nobody else reads it, put aside when it is broken.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::unistd::{AccessFlags, access, geteuid};

use crate::unix::lock::{Lock, LockError};

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

/// Locks an embedded store for a daemon's life: by a file beside it, since what SQLite has open must not be opened by others.
///
/// # Errors
/// Another process has it; the file cannot be made.
pub fn lock(path: &Path) -> Result<Lock, LockError> {
    Lock::of_name(&with_end(path, ".lock"), 0o600)
}

/// Makes the file if it is missing, for its owner alone, and with `folder` the directories above it.
///
/// # Errors
/// It cannot be made or written.
pub(super) fn make(path: &Path, folder: bool) -> Result<(), PlaceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let euid = geteuid().as_raw();
            if metadata.mode() & 0o077 != 0 && metadata.uid() == euid {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            }
            return access(path, AccessFlags::W_OK).map_err(|errno| io::Error::from(errno).into());
        }
        Ok(_) => return Err(PlaceError::Io(io::Error::other("it is not a file"))),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(parent) = path.parent().filter(|_| folder) {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    match File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What tells a file from another one of the same name.
pub(super) fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Renames a database and what is beside it; the new name.
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
    Ok(aside)
}

pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
