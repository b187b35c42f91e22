//! Locks between processes, and who holds one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

use super::process::exists;

/// The file that is locked in the stead of a directory that others may open.
const IN_FOLDER: &str = ".cronkeep.lock";

/// How often it is tried again to take the lock of a process that is dead, and the pause before.
const WAITS: usize = 100;
const WAIT: Duration = Duration::from_millis(20);

/// How often in a row it is tried again to take a lock that nobody seems to have.
const UNKNOWN: usize = 3;

/// How often a file is opened anew that was removed before it could be locked.
const TRIES: usize = 16;

/// A lock of flock(2) on a file or directory; it ends with this value, or with the process however that ends.
///
/// Not inherited by programs that are executed.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

/// Why a lock is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("otherpid may be {}: Resource temporarily unavailable", holder_text(.0.as_ref()))]
    Held(Option<Holder>),
    /// It cannot be opened or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id in our namespace.
    pub pid: i32,
    /// Its program's name, at most 15 bytes; empty if it cannot be read.
    pub name: String,
}

fn holder_text(holder: Option<&Holder>) -> String {
    match holder {
        Some(Holder { pid, name }) if name.is_empty() => pid.to_string(),
        Some(Holder { pid, name }) => format!("{pid} ({name})"),
        None => "unknown (a process outside this container?)".into(),
    }
}

impl Lock {
    /// Locks a directory, at once or not at all.
    ///
    /// Whoever may open a file may lock it: where others than its owner may read the directory, a file in it is locked
    /// that they may not open, and that stays.
    ///
    /// # Errors
    /// Another process holds it; it is no directory that may be read, or, where others may, written to.
    pub fn of_directory(path: &Path) -> Result<Self, LockError> {
        let flags = libc::O_DIRECTORY | libc::O_NONBLOCK;
        let directory = File::options().read(true).custom_flags(flags).open(path)?;
        if directory.metadata()?.mode() & 0o044 == 0 {
            return Lock::of(directory);
        }
        match Lock::of_name(&path.join(IN_FOLDER), 0o600) {
            // Nothing can be put into it, so it is all there is to lock.
            Err(LockError::Io(error)) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                Lock::of(directory)
            }
            outcome => outcome,
        }
    }

    /// Locks the file of this name, at once or not at all; made with `mode` if it is missing.
    ///
    /// # Errors
    /// Another process holds it; it cannot be opened to be written, or is a symbolic link.
    pub fn of_name(path: &Path, mode: u32) -> Result<Self, LockError> {
        for _ in 0..TRIES {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false).mode(mode);
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let lock = Lock::of(options.custom_flags(flags).open(path)?)?;
            // Who held it may have removed it since it was opened: then the name is free for others.
            let locked = lock.file.metadata()?;
            let is_named =
                |named: fs::Metadata| (named.dev(), named.ino()) == (locked.dev(), locked.ino());
            if fs::symlink_metadata(path).is_ok_and(is_named) {
                return Ok(lock);
            }
        }
        Err(io::Error::other("it is removed again and again").into())
    }

    /// Locks an open file, at once or not at all.
    ///
    /// # Errors
    /// Another process holds it.
    pub fn of(file: File) -> Result<Self, LockError> {
        Lock::after(file, holder)
    }

    /// Locks an open file; `holder` tells who has it locked.
    #[expect(clippy::disallowed_methods, reason = "nobody tells when a lock is let go of")]
    fn after(
        mut file: File,
        mut holder: impl FnMut(&File) -> io::Result<Option<Holder>>,
    ) -> Result<Self, LockError> {
        let mut unknown = 0;
        for _ in 0..WAITS {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Lock { file }),
                Err((busy, Errno::EAGAIN)) => file = busy,
                Err((_, errno)) => return Err(LockError::Io(errno.into())),
            }
            match holder(&file)? {
                Some(holder) if lives(Pid::from_raw(holder.pid)) => break,
                // Whoever locked it is dead, and a child that it had just made has not become another program yet.
                Some(_) => {}
                // It may have been let go of just now.
                None if unknown < UNKNOWN => unknown += 1,
                None => break,
            }
            thread::sleep(WAIT);
        }
        Err(LockError::Held(holder(&file)?))
    }

    /// The file that is locked.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Who holds a lock on `file`, as `/proc/locks` tells it; none without `/proc` or if it is in another namespace.
fn holder(file: &File) -> io::Result<Option<Holder>> {
    let inode = file.metadata()?.ino();
    let table = fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(pid) = pid_of(&table, inode) else { return Ok(None) };
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Ok(Some(Holder { pid, name: name.trim_end().to_owned() }))
}

/// Whether the process is there, and no zombie: one of those holds nothing any more.
fn lives(pid: Pid) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which may hold anything.
    let name = stat.iter().rposition(|&byte| byte == b')').unwrap_or(0);
    exists(pid) && !matches!(stat.get(name + 2), Some(b'Z' | b'X'))
}

/// The process in the text of `/proc/locks` that has an inode locked.
///
/// Devices are not compared: on an overlay the table has the number of a lower one.
fn pid_of(table: &str, inode: u64) -> Option<i32> {
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:12345 0 EOF; one that waits has an arrow behind the number.
    table.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        if words.next()? != "FLOCK" {
            return None;
        }
        let pid: i32 = words.nth(2)?.parse().ok()?;
        let number: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (number == inode && pid > 0).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_holder_is_found_by_inode_and_one_that_waits_is_none() {
        let table = "1: POSIX  ADVISORY  WRITE 10 08:01:7 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 20 08:01:7 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 30 08:01:8 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 08:01:9 0 EOF\n";
        assert_eq!(pid_of(table, 7), Some(20));
        assert_eq!(pid_of(table, 8), None);
        assert_eq!(pid_of(table, 9), None);
        assert_eq!(pid_of("", 7), None);
    }

    /// Row 105.
    #[test]
    fn the_second_one_learns_who_has_it_and_gets_it_when_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::of_directory(folder.path()).unwrap();
        let error = Lock::of_directory(folder.path()).unwrap_err();
        let text = error.to_string();
        let LockError::Held(Some(holder)) = error else { panic!("{error}") };
        assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
        assert!(
            text.contains(&holder.pid.to_string()) && text.ends_with("temporarily unavailable")
        );
        drop(first);
        assert!(Lock::of_directory(folder.path()).is_ok());
    }

    #[test]
    fn a_lock_that_is_let_go_of_while_it_is_asked_who_has_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut first = Some(Lock::of_name(&path, 0o600).unwrap());
        let asked = |_: &File| {
            first.take();
            Ok(None)
        };
        assert!(Lock::after(File::open(&path).unwrap(), asked).is_ok());
        // One outside this container is never known.
        let _held = Lock::of_name(&path, 0o600).unwrap();
        let outcome = Lock::after(File::open(&path).unwrap(), |_| Ok(None));
        assert!(matches!(outcome, Err(LockError::Held(None))));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test waits for its own child")]
    fn a_zombie_holds_nothing() {
        use nix::sys::wait::{Id, WaitPidFlag, waitid};
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        assert!(exists(pid) && !lives(pid));
        child.wait().unwrap();
        assert!(!lives(pid) && lives(Pid::this()));
    }

    #[test]
    fn who_may_merely_read_a_directory_does_not_lock_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let anybody = Lock::of(File::open(folder.path()).unwrap()).unwrap();
        let first = Lock::of_directory(folder.path()).unwrap();
        assert!(matches!(Lock::of_directory(folder.path()), Err(LockError::Held(Some(_)))));
        assert_eq!(first.file().metadata().unwrap().mode() & 0o777, 0o600, "others cannot open it");
        drop((anybody, first));
        assert!(Lock::of_directory(folder.path()).is_ok());
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::of_name(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Lock::of_name(&path, 0o600).unwrap();
        assert!(matches!(Lock::of_name(&path, 0o600), Err(LockError::Held(_))));
        drop((first, second));
        std::os::unix::fs::symlink("elsewhere", folder.path().join("link")).unwrap();
        assert!(matches!(Lock::of_name(&folder.path().join("link"), 0o600), Err(LockError::Io(_))));
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Lock::of_directory(file.path()), Err(LockError::Io(_))));
    }
}
