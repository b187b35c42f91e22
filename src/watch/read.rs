//! Reading a file without ever being held up by it.
use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat, stat};

use super::fingerprint::{Fingerprint, Stamp};
use super::folder::{self, Folder};
use super::notice::Trouble;
use super::path::is_absence;
use super::trust::{Guard, Refusal, Remark};

/// The most a file may hold, in bytes: 64 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// What was found at a path.
pub(super) type Look = Result<Text, Failure>;

/// The content of a file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
    pub(super) remark: Remark,
    /// Whether the file was the same before and after it was read.
    pub(super) is_whole: bool,
    /// Whether a write of this very moment may leave the same stamp, so that the file is to be looked at again.
    pub(super) is_passing: bool,
}

impl Text {
    /// Whether one look tells what two would: the file was left alone since `before`, in nanoseconds since 1970, or holds
    /// the text with the hash `written`, which was just put there as a whole.
    pub(super) fn is_enough(&mut self, before: Option<i128>, written: Option<u64>) -> bool {
        let is_old = before.is_some_and(|before| self.fingerprint.stamp.is_older(before));
        self.is_passing = !is_old && written == Some(self.fingerprint.hash);
        self.is_whole && (is_old || self.is_passing)
    }
}

/// Why there is no content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) trouble: Trouble,
    /// The file as it was when it was refused; none where it must be looked at again in any case.
    pub(super) stamp: Option<Stamp>,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Failure { trouble, stamp: None }
    }
}

/// A file by the way it is opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum At<'a> {
    /// By its path, through links.
    Path(&'a Path),
    /// By its name in a directory, through links where they are followed.
    In(&'a Folder, &'a OsStr, bool),
}

impl At<'_> {
    fn stat(self) -> io::Result<FileStat> {
        match self {
            At::Path(path) => Ok(stat(path)?),
            At::In(folder, name, follow) => folder.stat(name, follow),
        }
    }

    fn open(self) -> io::Result<std::fs::File> {
        match self {
            At::Path(path) => folder::file(path),
            At::In(folder, name, follow) => folder.file(name, follow),
        }
    }

    /// The stamp of the file, if it can be had.
    pub(super) fn stamp(self) -> Option<Stamp> {
        self.stat().ok().as_ref().map(Stamp::of)
    }
}

/// Reads the whole file, if `guard` takes it as it is once it is open.
///
/// What is not a regular file is not even opened, so that no pipe, terminal or tape notices; should it become one in
/// between, opening it does not wait.
pub(super) fn look(at: At<'_>, guard: &Guard) -> Look {
    admit(&at.stat().map_err(|error| trouble(&error))?)?;
    let mut file = at.open().map_err(|error| trouble(&error))?;
    let opened = fstat(&file).map_err(|error| trouble(&error.into()))?;
    admit(&opened)?;
    let stamp = Stamp::of(&opened);
    let remark = guard.judge(&opened).map_err(|refusal| refused(refusal, stamp))?;
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or(0) + 1);
    file.by_ref().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| trouble(&error))?;
    let read = bytes.len() as u64;
    if read > MOST_BYTES {
        return Err(Trouble::TooLarge(read).into());
    }
    let fingerprint = Fingerprint::of(stamp, &bytes);
    let is_whole = read == stamp.size && fstat(&file).is_ok_and(|now| Stamp::of(&now) == stamp);
    Ok(Text { bytes, fingerprint, remark, is_whole, is_passing: false })
}

fn refused(refusal: Refusal, stamp: Stamp) -> Failure {
    Failure { trouble: Trouble::Refused(refusal), stamp: Some(stamp) }
}

fn admit(file: &FileStat) -> Result<(), Failure> {
    let size = u64::try_from(file.st_size).unwrap_or(0);
    let kind = match SFlag::from_bits_truncate(file.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG if size > MOST_BYTES => return Err(Trouble::TooLarge(size).into()),
        SFlag::S_IFREG => return Ok(()),
        SFlag::S_IFLNK => return Err(refused(Refusal::Symlink, Stamp::of(file))),
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFIFO => "a named pipe",
        SFlag::S_IFSOCK => "a socket",
        _ => "a device",
    };
    Err(Trouble::NotRegular(kind).into())
}

/// Whether it is a directory.
pub(super) fn is_folder(file: &FileStat) -> bool {
    file.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

/// What an error of the system means for a file.
pub(super) fn trouble(error: &io::Error) -> Failure {
    if is_absence(error) { Trouble::Missing } else { Trouble::Unreadable(reason(error)) }.into()
}

/// The system's words for an error, in lowercase and without its number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use super::super::trust::Trust;

    fn look(path: &Path) -> Result<Text, Trouble> {
        let guard = Guard { trust: Trust::Any, us: 0, user: None, shared: false };
        super::look(At::Path(path), &guard).map_err(|failure| failure.trouble)
    }
    use nix::sys::stat::Mode;

    #[test]
    fn a_file_is_read_with_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, "* * * * * true\n").unwrap();
        let text = look(&path).unwrap();
        assert_eq!(text.bytes, b"* * * * * true\n");
        assert_eq!(Some(text.fingerprint.stamp), At::Path(&path).stamp());
    }

    #[test]
    fn a_text_that_was_just_put_there_as_a_whole_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, "* * * * * true\n").unwrap();
        let mut text = look(&path).unwrap();
        let (hash, changed) = (text.fingerprint.hash, text.fingerprint.stamp.ctime_ns);
        assert!(!text.is_enough(Some(changed), None));
        assert!(!text.is_enough(Some(changed), Some(hash ^ 1)));
        assert!(text.is_enough(Some(changed), Some(hash)) && text.is_passing);
        text.is_whole = false;
        assert!(!text.is_enough(Some(changed), Some(hash)));
    }

    #[test]
    fn a_pipe_without_a_writer_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        assert_eq!(look(&path).unwrap_err(), Trouble::NotRegular("a named pipe"));
    }

    #[test]
    fn directories_and_devices_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(look(folder.path()).unwrap_err(), Trouble::NotRegular("a directory"));
        assert_eq!(look(Path::new("/dev/zero")).unwrap_err(), Trouble::NotRegular("a device"));
    }

    #[test]
    fn a_file_of_more_than_64_mib_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::File::create(&path).unwrap().set_len(MOST_BYTES + 1).unwrap();
        assert_eq!(look(&path).unwrap_err(), Trouble::TooLarge(MOST_BYTES + 1));
    }

    #[test]
    fn nothing_there_is_missing_and_a_circle_of_links_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        assert_eq!(look(&path).unwrap_err(), Trouble::Missing);
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(matches!(look(&path).unwrap_err(), Trouble::Unreadable(_)));
    }

    #[test]
    fn reasons_are_lowercase_and_without_a_number() {
        assert_eq!(reason(&io::Error::from_raw_os_error(13)), "permission denied");
    }
}
