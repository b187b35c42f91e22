//! A directory that was opened: files in it are read and replaced by it, and never through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{
    AccessFlags, Gid, Uid, UnlinkatFlags, faccessat, fchown, fsync, geteuid, unlinkat,
};

use super::fault::step;
use crate::store::recovery::Access;

/// Never through a link, never waiting for the other end of a pipe, never open in a child.
const GENTLY: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

/// What a file ends in while it is written.
const NEW: &str = ".new";

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// What a file's replacement is to be like.
#[derive(Debug, Clone, Copy)]
pub(super) struct New<'a> {
    /// The name under which it is written before it takes the place of the other.
    pub(super) draft: &'a OsStr,
    /// Owner and mode.
    pub(super) access: Access,
}

impl Folder {
    /// Opens the directory at `path`, through whatever links lead there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = if path == Path::new("") { Path::new(".") } else { path };
        let flags = OFlag::O_DIRECTORY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(Folder(open(path, flags, Mode::empty())?))
    }

    /// What it is itself.
    pub(super) fn stat(&self) -> io::Result<FileStat> {
        Ok(fstat(&self.0)?)
    }

    /// What the file of this name is, a link if it is one; none where there is nothing.
    pub(super) fn stat_of(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// What the file of this name is, behind whatever links; none where there is nothing.
    pub(super) fn stat_behind(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match fstatat(&self.0, name, AtFlags::empty()) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether it is on a file system that nobody can write to.
    pub(super) fn is_read_only(&self) -> bool {
        fstatvfs(&self.0).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
    }

    /// Whether files can be made in it.
    pub(super) fn may_write(&self) -> bool {
        let how = AccessFlags::W_OK | AccessFlags::X_OK;
        // As root, access(2) still knows a file system that is mounted read-only.
        faccessat(&self.0, ".", how, AtFlags::AT_EACCESS).is_ok()
    }

    /// Opens the file of this name to be read; none where there is nothing.
    ///
    /// # Errors
    /// It is a link, or no regular file.
    pub(super) fn file(&self, name: &OsStr) -> io::Result<Option<File>> {
        let file = match openat(&self.0, name, OFlag::O_RDONLY | GENTLY, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(not_regular()) }
    }

    /// The content of the file of this name; none where there is nothing.
    ///
    /// # Errors
    /// It is a link, no regular file, or holds more than `most` bytes.
    pub(super) fn read(&self, name: &OsStr, most: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.file(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(Some(bytes))
    }

    /// Makes what `fill` gives the content of the file of this name, in one step.
    ///
    /// Ended at any moment, by whatever, it leaves the old file or the new one; when it returns, the new one outlives a
    /// failure of the power. `fill` is given the new file while it is empty.
    ///
    /// # Errors
    /// The old file stays. `EBUSY`: it is a mount of its own, which cannot be replaced.
    pub(super) fn replace(
        &self,
        name: &OsStr,
        new: New<'_>,
        fill: impl FnOnce(&File) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        self.replace_when(name, new, fill, || Ok(()))
    }

    /// As [`replace`](Self::replace); does something when the new file is there under its draft's name, which outlives a
    /// failure of the power by then.
    ///
    /// # Errors
    /// As [`replace`](Self::replace), and what that says.
    pub(super) fn replace_after(
        &self,
        name: &OsStr,
        new: New<'_>,
        fill: impl FnOnce(&File) -> io::Result<Vec<u8>>,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        self.replace_when(name, new, fill, || self.sync().and_then(|()| ready()))
    }

    fn replace_when(
        &self,
        name: &OsStr,
        new: New<'_>,
        fill: impl FnOnce(&File) -> io::Result<Vec<u8>>,
        ready: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        step();
        let draft = self.draft(new.draft)?;
        let outcome = write(&draft, new.access, fill).and_then(|()| {
            ready()?;
            step();
            Ok(renameat(&self.0, new.draft, &self.0, name)?)
        });
        if outcome.is_err() {
            let _ = unlinkat(&self.0, new.draft, UnlinkatFlags::NoRemoveDir);
        }
        outcome?;
        step();
        self.sync()
    }

    /// Makes `bytes` the content of the file of this name, which stays the file that it is.
    ///
    /// Ended in the middle it leaves a beginning of the new content, and something of the old one after it.
    ///
    /// # Errors
    /// It could not be written, not in full perhaps.
    pub(super) fn overwrite(&self, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlag::O_WRONLY | GENTLY;
        let mut file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(not_regular());
        }
        step();
        let middle = bytes.len() / 2;
        file.write_all(&bytes[..middle])?;
        step();
        file.write_all(&bytes[middle..])?;
        file.set_len(bytes.len() as u64)?;
        step();
        file.sync_all()
    }

    /// Removes the file of this name, if there is one.
    pub(super) fn remove(&self, name: &OsStr) -> io::Result<()> {
        match unlinkat(&self.0, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A new file of this name that no other process writes to as long as it is locked.
    fn draft(&self, name: &OsStr) -> io::Result<Flock<File>> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | GENTLY;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = match openat(&self.0, name, flags, mode) {
            Err(Errno::EEXIST) => {
                self.clear(name)?;
                openat(&self.0, name, flags, mode)?
            }
            outcome => outcome?,
        };
        let draft = lock(File::from(file))?;
        // Who took it for a leaving may have removed it before it was locked.
        let (named, ours) = (self.stat_of(name)?, fstat(&*draft)?);
        let is_named = |named: FileStat| (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino);
        if named.is_some_and(is_named) { Ok(draft) } else { Err(busy()) }
    }

    /// Removes what a process that was killed has left; what another is writing stays.
    pub(super) fn clear(&self, name: &OsStr) -> io::Result<()> {
        let is_file = |stat: FileStat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
        // Anything else was put there by somebody else, and is not opened.
        let _left = match self.stat_of(name)? {
            Some(stat) if is_file(stat) => self.file(name)?.map(lock).transpose()?,
            _ => None,
        };
        self.remove(name)
    }

    /// Makes the change of names last.
    fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }
}

/// The name of a draft of the file of this name.
pub(super) fn draft_of(name: &OsStr) -> OsString {
    let mut draft = name.to_owned();
    draft.push(NEW);
    draft
}

fn write(
    mut file: &File,
    access: Access,
    content: impl FnOnce(&File) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let bytes = content(file)?;
    step();
    file.write_all(&bytes)?;
    let us = geteuid();
    let found = fstat(file)?;
    if (found.st_uid, found.st_gid) != (access.uid, access.gid) {
        let owner = (us.as_raw() != access.uid).then(|| Uid::from_raw(access.uid));
        fchown(file, owner, Some(Gid::from_raw(access.gid)))?;
    }
    // After the owner: a change of that clears bits.
    fchmod(file, Mode::from_bits_truncate(access.mode & 0o7777))?;
    step();
    file.sync_all()
}

fn lock(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        Errno::EAGAIN => busy(),
        errno => errno.into(),
    })
}

fn busy() -> io::Error {
    io::Error::other("another process is writing it")
}

fn not_regular() -> io::Error {
    io::Error::other("it is no regular file")
}
