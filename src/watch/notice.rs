//! What the room has to say besides changed text.
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::name::Passed;
use super::trust::{Refusal, Remark};

/// Something an administrator should know. Each is told once, when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A file cannot be had; what was last read of it stays in force.
    Degraded {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
        /// What is the matter.
        trouble: Trouble,
        /// Whether there is a last version that stays in force.
        kept: bool,
    },
    /// A file that was [`Degraded`](Notice::Degraded) can be had again.
    Restored {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
        /// Whether it had been refused, rather than not to be had.
        refused: bool,
    },
    /// A file of a directory is gone for good, and its jobs with it.
    Gone {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
    },
    /// Many files of a directory are gone for good, and their jobs with them.
    GoneMore {
        /// Its place in the list that was given.
        place: usize,
        /// The path of the directory as typed.
        path: Arc<Path>,
        /// How many.
        files: usize,
    },
    /// A whole directory is gone, and the jobs of its files with it.
    FolderGone {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
        /// How many files it had.
        files: usize,
    },
    /// A file of a directory is no crontab by its name.
    Passed {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
        /// Why.
        why: Passed,
    },
    /// So many more files of a directory are no crontabs by their names.
    PassedMore {
        /// Its place in the list that was given.
        place: usize,
        /// The path of the directory as typed.
        path: Arc<Path>,
        /// How many.
        files: usize,
    },
    /// A file is taken as it is, but its owner should know.
    Remark {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
        /// What.
        remark: Remark,
    },
    /// A file is a mount point of its own: a replacement outside cannot be seen in here.
    FileMount {
        /// Its place in the list that was given.
        place: usize,
        /// The path as typed.
        path: Arc<Path>,
    },
    /// Edits are found by looking every second.
    Polling(Cause),
    /// Edits are announced by inotify again; ends [`Polling`](Notice::Polling).
    Announced,
}

/// Why a file cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Nothing is there.
    Missing,
    /// The system refused to give it, with its reason in lowercase.
    Unreadable(String),
    /// It is not a regular file but the thing named.
    NotRegular(&'static str),
    /// It has more than [`MOST_BYTES`](crate::watch::MOST_BYTES); how many.
    TooLarge(u64),
    /// It did not hold still for 5 s.
    Unsettled,
    /// It is not taken from its owner, or with its mode or links.
    Refused(Refusal),
}

/// Why inotify does not suffice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There is no inotify to be had, or not enough of it, with the reason in lowercase.
    Unavailable(String),
    /// A path lies on a file system of this kind, which others can write to unseen.
    Remote(&'static str),
}

impl Notice {
    /// Whether it tells of something wrong, rather than of its end.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Notice::Restored { .. }
            | Notice::Announced
            | Notice::Gone { .. }
            | Notice::GoneMore { .. }
            | Notice::PassedMore { .. } => false,
            Notice::Passed { why, .. } => matches!(why, Passed::Character | Passed::Dangling),
            Notice::Remark { remark, .. } => remark.is_warning(),
            _ => true,
        }
    }
}

impl Notice {
    /// The file that it is about, as typed; none where it is about all of them.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Notice::Degraded { path, .. }
            | Notice::Restored { path, .. }
            | Notice::Gone { path, .. }
            | Notice::GoneMore { path, .. }
            | Notice::FolderGone { path, .. }
            | Notice::Passed { path, .. }
            | Notice::PassedMore { path, .. }
            | Notice::Remark { path, .. }
            | Notice::FileMount { path, .. } => Some(path),
            Notice::Polling(_) | Notice::Announced => None,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Degraded { path, trouble, kept, .. } => {
                let rest = match trouble {
                    _ if *kept => "its last version stays in force",
                    Trouble::Refused(_) => "no job of it runs",
                    _ => "waiting for it",
                };
                write!(f, "{} {trouble}: {rest}", path.display())
            }
            Notice::Restored { path, refused, .. } => {
                let what = if *refused { "accepted now" } else { "back" };
                write!(f, "{} is {what}", path.display())
            }
            Notice::Gone { path, .. } => write!(f, "{} is gone: its jobs with it", path.display()),
            Notice::GoneMore { path, files, .. } => {
                write!(f, "{}: {files} crontabs are gone, their jobs with them", path.display())
            }
            Notice::FolderGone { path, files, .. } => {
                let crontabs = if *files == 1 { "crontab" } else { "crontabs" };
                write!(f, "{} is gone: the jobs of {files} {crontabs} with it", path.display())
            }
            Notice::Passed { path, why, .. } => write!(f, "{} is skipped: {why}", path.display()),
            Notice::PassedMore { path, files, .. } => {
                write!(f, "{}: {files} more files are skipped for their names", path.display())
            }
            Notice::Remark { path, remark, .. } => write!(f, "{} {remark}", path.display()),
            Notice::FileMount { path, .. } => write!(
                f,
                "{} is mounted as a single file: if it is replaced outside (as editors do), the change stays \
                 invisible here until a restart; mount its directory instead",
                path.display()
            ),
            Notice::Polling(cause) => write!(f, "{cause}: looking for edits every second"),
            Notice::Announced => f.write_str("inotify works again: edits are announced"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Missing => f.write_str("is missing"),
            Trouble::Unreadable(reason) => write!(f, "cannot be read ({reason})"),
            Trouble::NotRegular(kind) => write!(f, "is {kind}, not a regular file"),
            Trouble::TooLarge(size) => write!(f, "is too large ({size} bytes, 64 MiB at most)"),
            Trouble::Unsettled => f.write_str("keeps changing"),
            Trouble::Refused(refusal) => write!(f, "is refused: {refusal}"),
        }
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Passed::Hidden => "its name begins with a dot",
            Passed::Backup => "its name is that of a backup",
            Passed::Dangling => "it is a symbolic link that leads nowhere",
            Passed::Character => {
                "Debian's rule allows only letters, digits, - and _ in its name (rename it, or use \
                 --cron-d-names cronie)"
            }
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Unavailable(reason) => write!(f, "inotify is not available ({reason})"),
            Cause::Remote(kind) => write!(f, "inotify does not see all writes on {kind}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degraded(trouble: Trouble, kept: bool) -> String {
        let path = Path::new("/etc/crontab").into();
        Notice::Degraded { place: 0, path, trouble, kept }.to_string()
    }

    #[test]
    fn a_notice_names_the_path_and_what_follows() {
        assert_eq!(
            degraded(Trouble::Missing, true),
            "/etc/crontab is missing: its last version stays in force"
        );
        assert_eq!(degraded(Trouble::Missing, false), "/etc/crontab is missing: waiting for it");
        assert_eq!(
            degraded(Trouble::NotRegular("a named pipe"), true),
            "/etc/crontab is a named pipe, not a regular file: its last version stays in force"
        );
        assert_eq!(
            degraded(Trouble::Unreadable("permission denied".into()), false),
            "/etc/crontab cannot be read (permission denied): waiting for it"
        );
    }

    #[test]
    fn a_mounted_file_comes_with_the_remedy() {
        let notice = Notice::FileMount { place: 0, path: Path::new("/etc/crontab").into() };
        assert!(notice.to_string().ends_with("; mount its directory instead"), "{notice}");
    }

    #[test]
    fn good_news_is_no_warning() {
        let path = Arc::from(Path::new("/etc/crontab"));
        assert!(
            !Notice::Restored { place: 0, path: Arc::clone(&path), refused: false }.is_warning()
        );
        assert!(!Notice::Announced.is_warning());
        assert!(Notice::FileMount { place: 0, path }.is_warning());
    }

    #[test]
    fn polling_says_why() {
        assert_eq!(
            Notice::Polling(Cause::Remote("nfs")).to_string(),
            "inotify does not see all writes on nfs: looking for edits every second"
        );
    }
}
