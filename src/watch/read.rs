//! Reading a file without ever being held up by it.
use std::fs::{self, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::fingerprint::{Fingerprint, Stamp};
use super::notice::Trouble;
use super::path::is_absence;

/// The most a file may hold, in bytes: 64 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// What was found at a path.
pub(super) type Look = Result<Text, Trouble>;

/// The content of a file.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) fingerprint: Fingerprint,
}

/// Reads the whole file at `path`.
///
/// What is not a regular file is not even opened, so that no pipe, terminal or tape notices.
pub(super) fn look(path: &Path) -> Look {
    admit(&fs::metadata(path).map_err(|error| trouble(&error))?)?;
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|error| trouble(&error))?;
    let metadata = file.metadata().map_err(|error| trouble(&error))?;
    admit(&metadata)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    file.by_ref().take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| trouble(&error))?;
    let read = bytes.len() as u64;
    if read > MOST_BYTES {
        return Err(Trouble::TooLarge(read));
    }
    let fingerprint = Fingerprint::of(Stamp::of(&metadata), &bytes);
    Ok(Text { bytes, fingerprint })
}

/// The stamp of the file at `path`, if `stat` gives one.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().as_ref().map(Stamp::of)
}

fn admit(metadata: &Metadata) -> Result<(), Trouble> {
    if !metadata.is_file() {
        return Err(Trouble::NotRegular(kind(metadata.file_type())));
    }
    if metadata.len() > MOST_BYTES {
        return Err(Trouble::TooLarge(metadata.len()));
    }
    Ok(())
}

fn kind(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn trouble(error: &io::Error) -> Trouble {
    if is_absence(error) { Trouble::Missing } else { Trouble::Unreadable(reason(error)) }
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
    use nix::sys::stat::Mode;

    #[test]
    fn a_file_is_read_with_its_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, "* * * * * true\n").unwrap();
        let text = look(&path).unwrap();
        assert_eq!(text.bytes, b"* * * * * true\n");
        assert_eq!(Some(text.fingerprint.stamp), stamp(&path));
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
