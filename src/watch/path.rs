//! The way from a path as typed to the file it means, through every symbolic link.
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as Linux follows (`man 7 path_resolution`).
const LINKS: usize = 40;

/// Every name on the way whose replacement would make the path mean another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trail {
    /// Directories, themselves without symbolic links, each with the one name in it that matters: each link passed,
    /// then the file; where something is missing, the first missing name in the nearest directory that exists.
    pub(super) hops: Vec<Hop>,
    /// The file, without symbolic links; `None` when the way ends before it.
    pub(super) file: Option<PathBuf>,
}

/// One name in one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// The directory, without symbolic links.
    pub(super) folder: PathBuf,
    /// The name in it.
    pub(super) name: OsString,
}

impl Trail {
    /// Follows `path`, which must be absolute. Never fails: what cannot be followed ends the trail.
    pub(super) fn follow(path: &Path) -> Trail {
        let mut trail = Trail { hops: Vec::new(), file: None };
        let mut folder = PathBuf::from("/");
        let mut rest = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                folder.pop();
                continue;
            }
            let here = folder.join(&name);
            let Ok(metadata) = fs::symlink_metadata(&here) else {
                trail.hops.push(Hop { folder, name });
                return trail;
            };
            if metadata.is_symlink() {
                links += 1;
                trail.hops.push(Hop { folder: folder.clone(), name });
                let Ok(target) = fs::read_link(&here) else { return trail };
                if links > LINKS {
                    return trail;
                }
                if target.is_absolute() {
                    folder = PathBuf::from("/");
                }
                let mut target = names(&target);
                target.append(&mut rest);
                rest = target;
            } else if rest.is_empty() {
                trail.hops.push(Hop { folder, name });
                trail.file = Some(here);
                return trail;
            } else if metadata.is_dir() {
                folder = here;
            } else {
                trail.hops.push(Hop { folder, name });
                return trail;
            }
        }
        trail.file = Some(folder);
        trail
    }
}

/// The components of a path that are not its root.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Whether an error means that there is nothing there, rather than that it cannot be had.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Folder {
        _temporary: tempfile::TempDir,
        path: PathBuf,
    }

    fn folder() -> Folder {
        let temporary = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(temporary.path()).unwrap();
        Folder { _temporary: temporary, path }
    }

    fn hop(folder: &Path, name: &str) -> Hop {
        Hop { folder: folder.to_owned(), name: name.into() }
    }

    #[test]
    fn a_plain_file_is_one_hop() {
        let folder = folder();
        let at = &folder.path;
        fs::write(at.join("crontab"), "").unwrap();
        let trail = Trail::follow(&at.join("crontab"));
        assert_eq!(trail.hops, [hop(at, "crontab")]);
        assert_eq!(trail.file, Some(at.join("crontab")));
    }

    #[test]
    fn a_config_map_is_three_hops() {
        let folder = folder();
        let at = &folder.path;
        fs::create_dir(at.join("..2026_1")).unwrap();
        fs::write(at.join("..2026_1/crontab"), "").unwrap();
        symlink("..2026_1", at.join("..data")).unwrap();
        symlink("..data/crontab", at.join("crontab")).unwrap();
        let trail = Trail::follow(&at.join("crontab"));
        let dated = at.join("..2026_1");
        assert_eq!(trail.hops, [hop(at, "crontab"), hop(at, "..data"), hop(&dated, "crontab")]);
        assert_eq!(trail.file, Some(dated.join("crontab")));
    }

    #[test]
    fn an_absolute_link_starts_at_the_root() {
        let folder = folder();
        let at = &folder.path;
        fs::create_dir(at.join("real")).unwrap();
        fs::write(at.join("real/crontab"), "").unwrap();
        symlink(at.join("real"), at.join("link")).unwrap();
        let trail = Trail::follow(&at.join("link/crontab"));
        assert_eq!(trail.hops, [hop(at, "link"), hop(&at.join("real"), "crontab")]);
    }

    #[test]
    fn a_link_upwards_is_followed_from_where_it_really_lies() {
        let folder = folder();
        let at = &folder.path;
        fs::create_dir_all(at.join("a/b")).unwrap();
        fs::write(at.join("a/crontab"), "").unwrap();
        symlink("a/b", at.join("short")).unwrap();
        let trail = Trail::follow(&at.join("short/../crontab"));
        assert_eq!(trail.file, Some(at.join("a/crontab")));
    }

    #[test]
    fn a_missing_directory_ends_at_the_nearest_that_exists() {
        let folder = folder();
        let at = &folder.path;
        let trail = Trail::follow(&at.join("not/yet/crontab"));
        assert_eq!(trail.hops, [hop(at, "not")]);
        assert_eq!(trail.file, None);
    }

    #[test]
    fn a_dangling_link_waits_for_its_target() {
        let folder = folder();
        let at = &folder.path;
        symlink("target", at.join("crontab")).unwrap();
        let trail = Trail::follow(&at.join("crontab"));
        assert_eq!(trail.hops, [hop(at, "crontab"), hop(at, "target")]);
    }

    #[test]
    fn a_file_where_a_directory_should_be_is_waited_for() {
        let folder = folder();
        let at = &folder.path;
        fs::write(at.join("file"), "").unwrap();
        let trail = Trail::follow(&at.join("file/crontab"));
        assert_eq!(trail.hops, [hop(at, "file")]);
        assert_eq!(trail.file, None);
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = folder();
        let at = &folder.path;
        symlink("b", at.join("a")).unwrap();
        symlink("a", at.join("b")).unwrap();
        let trail = Trail::follow(&at.join("a"));
        assert_eq!(trail.file, None);
        assert_eq!(trail.hops.len(), LINKS + 1);
    }

    #[test]
    fn the_root_is_found_without_a_hop() {
        let trail = Trail::follow(Path::new("/.."));
        assert_eq!(trail.file, Some(PathBuf::from("/")));
        assert!(trail.hops.is_empty());
    }

    #[test]
    fn not_found_is_absence_and_denied_is_not() {
        assert!(is_absence(&ErrorKind::NotFound.into()));
        assert!(is_absence(&ErrorKind::NotADirectory.into()));
        assert!(!is_absence(&ErrorKind::PermissionDenied.into()));
    }
}
