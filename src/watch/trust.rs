//! Whose files are taken: owner, mode and links, as the opened file itself has them.
use std::fmt;

use nix::sys::stat::FileStat;
use nix::unistd::User;

/// Whose files are taken at a place (reference rows 61-67 and 117).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Whatever its owner, unless everybody may write to it: somebody named it. In a directory that everybody may write
    /// to, root's and ours.
    Named,
    /// Root's and ours, that nobody else may write to. Symbolic links are followed.
    System,
    /// Those of the user that the file is named after, and root's; with one name, and no symbolic link.
    Spool,
    /// All.
    Any,
}

impl Trust {
    /// Whether a symbolic link in a directory of such files is followed.
    pub(super) fn follows(self) -> bool {
        self != Trust::Spool
    }
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to the user of this number.
    Owner {
        /// The number.
        uid: u32,
        /// Whose it would have to be.
        wanted: String,
    },
    /// Others than its owner may write to it; its mode.
    Writable(u32),
    /// It has more than one name.
    Links,
    /// It is a symbolic link.
    Symlink,
    /// It belongs to the user of this number, and anybody might have put it into its directory.
    Planted(u32),
    /// There is no user of its name.
    Orphan(String),
}

/// What is said of a file that is taken all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remark {
    /// It belongs to the user of this number, neither root nor us.
    pub foreign: Option<u32>,
    /// Its group may write to it.
    pub group: bool,
    /// It may be executed, which no crontab needs.
    pub executable: bool,
}

/// The rule for one file.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pub(super) trust: Trust,
    /// The number that the process runs as.
    pub(super) us: u32,
    /// In a spool: the file's user by name and number.
    pub(super) user: Option<(String, u32)>,
    /// Whether everybody may write to the directory that the file was found in.
    pub(super) shared: bool,
}

impl Guard {
    /// Judges what fstat(2) says of the opened file.
    pub(super) fn judge(&self, file: &FileStat) -> Result<Remark, Refusal> {
        let mode = file.st_mode & 0o7777;
        let uid = file.st_uid;
        let is_trusted = uid == 0 || uid == self.us;
        let executable = mode & 0o111 != 0;
        match self.trust {
            Trust::Any => Ok(Remark::default()),
            Trust::Named if mode & 0o002 != 0 => Err(Refusal::Writable(mode)),
            Trust::Named if self.shared && !is_trusted => Err(Refusal::Planted(uid)),
            Trust::Named => Ok(Remark {
                foreign: (!is_trusted).then_some(uid),
                group: mode & 0o020 != 0,
                executable: false,
            }),
            Trust::System if !is_trusted => Err(Refusal::Owner { uid, wanted: "root".to_owned() }),
            Trust::Spool if !is_trusted && self.user.as_ref().is_none_or(|user| user.1 != uid) => {
                let wanted = self.user.as_ref().map_or("root", |(name, _)| name).to_owned();
                Err(Refusal::Owner { uid, wanted })
            }
            Trust::Spool if file.st_nlink > 1 => Err(Refusal::Links),
            Trust::System | Trust::Spool if mode & 0o022 != 0 => Err(Refusal::Writable(mode)),
            Trust::System | Trust::Spool => Ok(Remark { executable, ..Remark::default() }),
        }
    }
}

/// The number of the user called `name`; one that the user database does not know may be named by number.
///
/// # Errors
/// The user database cannot be asked; why.
pub(super) fn number_of(name: &str) -> Result<Option<u32>, nix::Error> {
    if name == "root" {
        return Ok(Some(0));
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(Some(user.uid.as_raw())),
        // An image without a user database knows nobody.
        Ok(None) | Err(nix::Error::ENOENT) => Ok(name.parse().ok()),
        Err(error) => Err(error),
    }
}

impl Refusal {
    /// Whether only time will tell: nothing about the file itself has to change.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Refusal::Orphan(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Owner { uid, wanted } => {
                write!(f, "it belongs to uid {uid}, not to {wanted} (chown {wanted})")
            }
            Refusal::Writable(mode) => {
                write!(f, "others than its owner may write to it (mode {mode:04o}; chmod go-w)")
            }
            Refusal::Links => f.write_str("it has more than one hard link"),
            Refusal::Symlink => f.write_str("it is a symbolic link"),
            Refusal::Planted(uid) => write!(
                f,
                "it belongs to uid {uid}, and everybody may put files into its directory \
                 (chmod o-w the directory, or chown root the file)"
            ),
            Refusal::Orphan(name) => write!(f, "ORPHAN, there is no user {name}"),
        }
    }
}

impl Remark {
    /// Whether there is nothing to say.
    pub(super) fn is_empty(&self) -> bool {
        *self == Remark::default()
    }

    /// Whether somebody should look at it.
    pub(super) fn is_warning(&self) -> bool {
        self.foreign.is_some() || self.group
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.foreign, self.group) {
            (Some(uid), true) => write!(f, "belongs to uid {uid}, and its group may write to it")?,
            (Some(uid), false) => write!(f, "belongs to uid {uid}")?,
            (None, true) => f.write_str("may be written by its group")?,
            (None, false) => return f.write_str("is executable, which no crontab needs to be"),
        }
        f.write_str(": whoever can write to it can run commands here")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(uid: u32, mode: u32, links: u8) -> FileStat {
        let mut stat = nix::sys::stat::stat("/").unwrap();
        (stat.st_uid, stat.st_mode, stat.st_nlink) = (uid, 0o100_000 | mode, links.into());
        stat
    }

    fn judge(trust: Trust, uid: u32, mode: u32, links: u8) -> Result<Remark, Refusal> {
        let user = (trust == Trust::Spool).then(|| ("alice".to_owned(), 1000));
        Guard { trust, us: 0, user, shared: false }.judge(&file(uid, mode, links))
    }

    #[test]
    fn row_61_a_system_table_may_be_written_by_its_owner_alone() {
        for mode in [0o644, 0o600, 0o444] {
            assert_eq!(judge(Trust::System, 0, mode, 1), Ok(Remark::default()));
        }
        for mode in [0o664, 0o646] {
            assert_eq!(judge(Trust::System, 0, mode, 1), Err(Refusal::Writable(mode)));
        }
    }

    #[test]
    fn row_62_an_executable_table_is_taken_with_a_word() {
        assert!(judge(Trust::System, 0, 0o755, 1).unwrap().executable);
    }

    #[test]
    fn row_63_a_system_table_is_roots_or_ours() {
        assert!(matches!(judge(Trust::System, 1000, 0o644, 1), Err(Refusal::Owner { .. })));
        let ours = Guard { trust: Trust::System, us: 1000, user: None, shared: false };
        assert!(ours.judge(&file(1000, 0o644, 1)).is_ok());
        assert!(judge(Trust::Any, 1000, 0o666, 2).is_ok());
    }

    #[test]
    fn row_64_two_names_are_one_too_many_in_a_spool() {
        assert!(judge(Trust::System, 0, 0o644, 2).is_ok());
        assert_eq!(judge(Trust::Spool, 1000, 0o600, 2), Err(Refusal::Links));
    }

    #[test]
    fn row_67_a_spool_table_is_its_users_or_roots() {
        assert!(judge(Trust::Spool, 1000, 0o644, 1).is_ok());
        assert!(judge(Trust::Spool, 0, 0o600, 1).is_ok());
        assert_eq!(judge(Trust::Spool, 1000, 0o620, 1), Err(Refusal::Writable(0o620)));
        let Err(refusal) = judge(Trust::Spool, 1001, 0o600, 1) else { panic!("taken") };
        assert_eq!(refusal.to_string(), "it belongs to uid 1001, not to alice (chown alice)");
    }

    #[test]
    fn what_was_named_is_taken_with_a_warning_unless_anybody_may_write_to_it() {
        let remark = judge(Trust::Named, 1000, 0o664, 2).unwrap();
        assert!(remark.is_warning());
        assert!(remark.to_string().starts_with("belongs to uid 1000, and its group"), "{remark}");
        assert_eq!(judge(Trust::Named, 0, 0o666, 1), Err(Refusal::Writable(0o666)));
    }

    #[test]
    fn where_everybody_may_put_files_only_roots_and_ours_are_taken() {
        let guard = Guard { trust: Trust::Named, us: 1000, user: None, shared: true };
        assert!(guard.judge(&file(0, 0o644, 1)).is_ok());
        assert!(guard.judge(&file(1000, 0o644, 1)).is_ok());
        assert_eq!(guard.judge(&file(1001, 0o644, 1)), Err(Refusal::Planted(1001)));
    }

    #[test]
    fn users_have_numbers_and_a_number_is_a_user() {
        assert_eq!(number_of("root"), Ok(Some(0)));
        assert_eq!(number_of("4711"), Ok(Some(4711)));
        assert_eq!(number_of("no-such-user"), Ok(None));
    }
}
