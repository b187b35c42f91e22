//! How the daemon was started: by whom it is waited for, and where its pid is told.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::sink::syslog::Syslog;
use crate::unix::background::Pending;
use crate::unix::lock::{Lock, LockError};

/// The file that cronie and Debian's cron keep their pid in, and a lock on.
pub const PID_FILE: &str = "/run/crond.pid";

/// How the daemon was started, beside what it runs by; without anything: in the foreground, as `cronkeep`.
#[derive(Debug, Default)]
pub struct Launch {
    /// Somebody who waits to be told that it is up.
    pub pending: Option<Pending>,
    /// Where the output of jobs goes instead of standard output.
    pub output: Option<Arc<Syslog>>,
    /// The file that cron's callers expect the pid in.
    pub pid_file: Option<PathBuf>,
    /// What its caller should know.
    pub warnings: Vec<String>,
}

/// The pid in a file; the file goes with this.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    _lock: Lock,
}

impl PidFile {
    /// Writes our pid to `path` and locks it, as cronie does: a stale file is no hindrance, a live crond is.
    ///
    /// Where it cannot be written there is none, and a warning instead.
    ///
    /// # Errors
    /// A crond that lives has it, this one or another program.
    pub(super) fn write(path: &Path, warnings: &mut Vec<String>) -> anyhow::Result<Option<Self>> {
        match PidFile::try_write(path) {
            Ok(file) => Ok(Some(file)),
            Err(held @ LockError::Held(_)) if is_of_crond(path) => {
                Err(held).with_context(|| format!("can't lock {}", path.display()))
            }
            Err(error) => {
                warnings.push(format!("no pid file: {}: {error}", path.display()));
                Ok(None)
            }
        }
    }

    fn try_write(path: &Path) -> Result<Self, LockError> {
        let lock = Lock::of_name(path, 0o644)?;
        lock.file().set_len(0)?;
        let mut file = lock.file();
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(PidFile { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A file that stays is stale, and harmless.
        let _ = fs::remove_file(&self.path);
    }
}

/// Fails where another crond that lives holds its pid file: two would run the system's jobs twice.
///
/// # Errors
/// One does.
pub(super) fn refuse_other_crond(path: &Path) -> anyhow::Result<()> {
    // One that is not there, or not ours to read, is nobody's that matters here.
    let Ok(file) = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path) else {
        return Ok(());
    };
    match Lock::of(file) {
        Err(held @ LockError::Held(_)) if is_of_crond(path) => {
            Err(held).with_context(|| format!("can't lock {}", path.display()))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether a pid file that is locked is that of a crond which lives.
///
/// Everybody may read it, and so lock it; but only its owner writes there, and names a process of its own.
fn is_of_crond(path: &Path) -> bool {
    let named = || -> io::Result<(u32, String)> {
        let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
        let owner = file.metadata()?.uid();
        let mut text = String::new();
        file.take(32).read_to_string(&mut text)?;
        Ok((owner, text))
    };
    let Ok((owner, text)) = named() else { return true };
    // One that has just been started has yet to write.
    let Ok(pid) = text.trim().parse::<u32>() else { return true };
    match fs::metadata(format!("/proc/{pid}")) {
        Ok(process) => process.uid() == owner,
        Err(_) => !Path::new("/proc/self").exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 105.
    #[test]
    fn a_stale_pid_file_is_taken_over_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crond.pid");
        fs::write(&path, "1\n99999999\n").unwrap();
        let mut warnings = Vec::new();
        refuse_other_crond(&path).unwrap();
        let first = PidFile::write(&path, &mut warnings).unwrap().unwrap();
        let pid = std::process::id();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
        let error = format!("{:#}", PidFile::write(&path, &mut warnings).unwrap_err());
        assert!(
            error.starts_with(&format!("can't lock {}: otherpid may be {pid}", path.display())),
            "{error}"
        );
        assert!(refuse_other_crond(&path).is_err());
        drop(first);
        assert!(!path.exists() && warnings.is_empty());
    }

    #[test]
    fn a_stale_pid_file_that_just_anybody_has_locked_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crond.pid");
        fs::write(&path, "99999999\n").unwrap();
        let _anybody = Lock::of(File::open(&path).unwrap()).unwrap();
        let mut warnings = Vec::new();
        refuse_other_crond(&path).unwrap();
        assert!(PidFile::write(&path, &mut warnings).unwrap().is_none());
        assert!(warnings[0].contains("otherpid may be"), "{warnings:?}");
    }

    /// Row 106.
    #[test]
    fn where_it_cannot_be_written_there_is_a_warning() {
        let mut warnings = Vec::new();
        let file = PidFile::write(Path::new("/nonexistent/crond.pid"), &mut warnings).unwrap();
        assert!(file.is_none());
        assert!(warnings[0].contains("/nonexistent/crond.pid"), "{warnings:?}");
    }
}
