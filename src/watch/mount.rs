//! What a path is mounted on: single-file bind mounts, and file systems that others write to.
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use nix::sys::statfs::statfs;

/// The mount points of a mountinfo text: the fifth field of each line (`man 5 proc_pid_mountinfo`).
///
/// A file among them means: somebody mounted that one file, and a replacement of it on the other side stays invisible
/// here.
pub fn mount_points(mountinfo: &[u8]) -> impl Iterator<Item = PathBuf> + use<'_> {
    mountinfo
        .split(|&byte| byte == b'\n')
        .filter_map(|line| line.split(|&byte| byte == b' ').nth(4))
        .map(|field| PathBuf::from(OsString::from_vec(unescaped(field))))
}

/// `field` with `\040` and the like turned back into bytes.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        if let (b'\\', Some(byte)) = (first, octal(after)) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// The byte that three octal digits at the head of `text` stand for.
fn octal(text: &[u8]) -> Option<u8> {
    let digits = text.get(..3)?;
    digits.iter().try_fold(0u8, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

/// The kind of file system `path` is on, if it is one that others may write to without our kernel seeing it.
pub(super) fn remote_file_system(path: &Path) -> Option<&'static str> {
    // The type's own type differs between platforms; the magic numbers have 32 bits everywhere.
    let kind = i128::from(statfs(path).ok()?.filesystem_type().0) & 0xffff_ffff;
    let magic = u32::try_from(kind).ok()?;
    name_of(magic)
}

/// Names from `linux/magic.h` and the file systems' sources.
fn name_of(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "nfs",
        0x0000_517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x00c3_6400 => "ceph",
        0x5346_414f => "afs",
        0x0bd0_0bd0 => "lustre",
        0x786f_4256 => "vboxsf",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid shared:5 - proc proc rw
40 22 254:0 /home/me/crontab /etc/crontab rw,relatime - ext4 /dev/vda rw
41 22 254:0 /x /srv/my\\040cron\\134tab rw,relatime master:1 - ext4 /dev/vda rw
";

    fn is_mount_point(mountinfo: &[u8], path: &Path) -> bool {
        mount_points(mountinfo).any(|point| point == path)
    }

    #[test]
    fn a_mounted_file_is_a_mount_point() {
        assert!(is_mount_point(MOUNTINFO, Path::new("/etc/crontab")));
    }

    #[test]
    fn the_root_of_the_mount_is_not_its_point() {
        assert!(!is_mount_point(MOUNTINFO, Path::new("/home/me/crontab")));
    }

    #[test]
    fn a_file_below_a_mount_is_not_a_mount_point() {
        assert!(!is_mount_point(MOUNTINFO, Path::new("/proc/crontab")));
        assert!(!is_mount_point(MOUNTINFO, Path::new("/etc/cron")));
    }

    #[test]
    fn octal_escapes_are_read() {
        assert!(is_mount_point(MOUNTINFO, Path::new("/srv/my cron\\tab")));
    }

    #[test]
    fn escapes_that_are_none_stay_as_they_are() {
        assert_eq!(unescaped(b"a\\"), b"a\\");
        assert_eq!(unescaped(b"a\\04"), b"a\\04");
        assert_eq!(unescaped(b"a\\777"), b"a\\777");
        assert_eq!(unescaped(b"a\\089"), b"a\\089");
        assert_eq!(unescaped(b"\\011\\012"), b"\t\n");
    }

    #[test]
    fn short_and_empty_lines_are_passed_over() {
        assert!(!is_mount_point(b"\n1 2 3\n\n", Path::new("/")));
        assert!(is_mount_point(b"1 2 3 4 /", Path::new("/")));
    }

    #[test]
    fn proc_is_not_remote() {
        assert_eq!(remote_file_system(Path::new("/proc")), None);
        assert_eq!(name_of(0x6969), Some("nfs"));
    }
}
