//! A directory that was opened: its files are listed, judged and opened by it, never by a path.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

/// Never waits for the other end of a pipe, never takes a terminal, never stays open in a child.
const GENTLY: OFlag = OFlag::O_NONBLOCK.union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: OsString,
    /// Whether it is a directory; `false` also where the listing does not say.
    pub(super) is_folder: bool,
    /// Whether it is a symbolic link; `true` also where the listing does not say.
    pub(super) may_be_link: bool,
}

impl Folder {
    /// Opens the directory at `path`, through whatever links lead there.
    pub(super) fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder(open(path, GENTLY | OFlag::O_DIRECTORY, Mode::empty())?))
    }

    /// Whether everybody may put files into it.
    pub(super) fn is_shared(&self) -> bool {
        fstat(&self.0).is_ok_and(|found| found.st_mode & 0o002 != 0)
    }

    /// What is in it, by name.
    pub(super) fn items(&self) -> io::Result<Vec<Item>> {
        // Another descriptor: two that share a position would disturb each other.
        let again = openat(&self.0, ".", GENTLY | OFlag::O_DIRECTORY, Mode::empty())?;
        let mut items = Vec::new();
        for entry in Dir::from_fd(again)?.iter() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let kind = entry.file_type();
                items.push(Item {
                    name: name.to_owned(),
                    is_folder: kind == Some(Type::Directory),
                    may_be_link: matches!(kind, None | Some(Type::Symlink)),
                });
            }
        }
        items.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(items)
    }

    /// What the file of this name is; of a link's end where it is followed.
    pub(super) fn stat(&self, name: &OsStr, follow: bool) -> io::Result<FileStat> {
        let flags = if follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW };
        Ok(fstatat(&self.0, name, flags)?)
    }

    /// Opens the file of this name to be read; a symbolic link is an error (`ELOOP`) unless it is followed.
    pub(super) fn file(&self, name: &OsStr, follow: bool) -> io::Result<File> {
        let link = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        Ok(File::from(openat(&self.0, name, GENTLY | link, Mode::empty())?))
    }
}

/// Opens the file at `path` to be read.
pub(super) fn file(path: &Path) -> io::Result<File> {
    Ok(File::from(open(path, GENTLY, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_directory_lists_its_files_by_name_each_time() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), "").unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        symlink("b", folder.path().join("c")).unwrap();
        let open = Folder::open(folder.path()).unwrap();
        for _ in 0..2 {
            let items = open.items().unwrap();
            let names: Vec<_> = items.iter().map(|item| item.name.to_str().unwrap()).collect();
            assert_eq!(names, ["a", "b", "c"]);
            assert!(items[0].is_folder && items[2].may_be_link && !items[1].is_folder);
        }
    }

    #[test]
    fn a_link_is_followed_where_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        symlink("file", folder.path().join("link")).unwrap();
        let open = Folder::open(folder.path()).unwrap();
        assert!(open.file(OsStr::new("link"), true).is_ok());
        let error = open.file(OsStr::new("link"), false).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP));
    }

    #[test]
    fn a_file_is_no_directory() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(Folder::open(&folder.path().join("file")).is_err());
    }
}
