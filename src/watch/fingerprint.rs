//! What tells one state of a file from another: its stamp, and the hash of its content.

use nix::sys::stat::FileStat;

use crate::crontab::Seeded;

/// What `stat` says of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The device the file is on.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Bytes.
    pub size: u64,
    /// When the content last changed, as told: nanoseconds since 1970, wall clock. May be set back at will.
    pub mtime_ns: i128,
    /// When content or inode last changed: nanoseconds since 1970, wall clock. Set by the kernel alone.
    pub ctime_ns: i128,
}

impl Stamp {
    /// The stamp of the file that `stat` describes.
    pub(super) fn of(stat: &FileStat) -> Self {
        Stamp {
            dev: stat.st_dev,
            ino: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether the file has been left alone since `before`, so that one read tells what two would: a later write leaves
    /// another stamp. Nanoseconds since 1970, wall clock.
    pub(super) fn is_older(&self, before: i128) -> bool {
        !self.is_coarse() && self.ctime_ns < before
    }

    /// Whether the file system seems to count whole seconds only, so that two writes may leave the same stamp.
    pub(super) fn is_coarse(&self) -> bool {
        self.ctime_ns % NANOSECONDS == 0
    }
}

const NANOSECONDS: i128 = 1_000_000_000;

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i128 {
    i128::from(seconds) * NANOSECONDS + i128::from(nanoseconds)
}

/// One state of a file, as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The stamp at the moment of reading; `size` is the number of bytes read.
    pub stamp: Stamp,
    /// A hash of the content, comparable within one build of the program.
    pub hash: u64,
}

/// A hash of a content, comparable within one build of the program.
///
/// A fast one, for a crontab may be large: it tells an edit from none, and whoever makes one gains nothing from hiding it.
#[must_use]
pub fn content_hash(bytes: &[u8]) -> u64 {
    Seeded::FIXED.hash_long(bytes)
}

impl Fingerprint {
    /// The fingerprint of `bytes`, read from a file with `stamp`.
    pub(super) fn of(stamp: Stamp, bytes: &[u8]) -> Self {
        let hash = content_hash(bytes);
        Fingerprint { stamp: Stamp { size: bytes.len() as u64, ..stamp }, hash }
    }

    /// Whether the text is the same, whatever became of the file around it.
    #[must_use]
    pub fn same_content(&self, other: &Fingerprint) -> bool {
        self.hash == other.hash && self.stamp.size == other.stamp.size
    }

    /// Whether the file held no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stamp.size == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5 };

    #[test]
    fn the_same_bytes_are_the_same_content_in_another_inode() {
        let one = Fingerprint::of(STAMP, b"abc");
        let other = Fingerprint::of(Stamp { ino: 9, mtime_ns: -7, ..STAMP }, b"abc");
        assert!(one.same_content(&other));
        assert_ne!(one, other);
    }

    #[test]
    fn other_bytes_of_the_same_length_are_other_content() {
        assert!(!Fingerprint::of(STAMP, b"abc").same_content(&Fingerprint::of(STAMP, b"abd")));
    }

    #[test]
    fn the_size_is_what_was_read_not_what_stat_said() {
        assert_eq!(Fingerprint::of(STAMP, b"").stamp.size, 0);
        assert!(Fingerprint::of(STAMP, b"").is_empty());
    }

    #[test]
    fn whole_seconds_are_coarse() {
        assert!(Stamp { ctime_ns: 3 * NANOSECONDS, ..STAMP }.is_coarse());
        assert!(!Stamp { ctime_ns: 3 * NANOSECONDS + 1, ..STAMP }.is_coarse());
    }

    #[test]
    fn times_before_1970_count_backwards() {
        assert_eq!(nanoseconds(-1, 250_000_000), -750_000_000);
    }
}
