//! A crontab and the directory it is in: whether it may be written, and writing it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag};
use nix::unistd::{User, getegid, geteuid};
use serde::{Deserialize, Serialize};

use super::folder::{Folder, New, draft_of};
use crate::store::recovery::{Access, Content};
use crate::watch::{MOST_BYTES, Trust};

/// The mode of a crontab that has none yet.
const MODE: u32 = 0o600;
/// The most that lies beside a crontab while it is written in place: two texts, each byte as up to six.
const MOST_PENDING: u64 = 12 * MOST_BYTES;
/// Bits that a crontab never gets from a snapshot: others' right to write, set-user and the like, execution.
const NEVER: u32 = 0o7133;

/// A crontab by the directory it is in.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) folder: Folder,
    pub(super) name: OsString,
    /// Whose files are taken there.
    trust: Trust,
}

/// What is being written into a file in place.
#[derive(Serialize, Deserialize)]
struct Pending {
    old: Content,
    new: Content,
}

/// Why a crontab is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotWritten {
    /// Others may have a hand in it; how.
    #[error("{0}")]
    Refused(String),
    /// The system's reason.
    #[error("{}", reason(.0))]
    Io(#[from] io::Error),
}

impl Site {
    /// The crontab at `path`, which need not exist.
    ///
    /// # Errors
    /// Its directory cannot be opened.
    pub(super) fn open(path: &Path, trust: Trust) -> io::Result<Self> {
        let name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        let folder = Folder::open(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Site { folder, name, trust })
    }

    /// The name of a file that belongs to the crontab: `.crontab.cronkeep`, and what `suffix` says.
    pub(super) fn beside(&self, suffix: &str) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".cronkeep");
        name.push(suffix);
        name
    }

    /// Whether the directory is root's or ours alone, so that nobody else can play with the names in it.
    ///
    /// # Errors
    /// It is not, or cannot be judged.
    pub(super) fn check_folder(&self) -> Result<(), NotWritten> {
        let stat = self.folder.stat()?;
        let mode = stat.st_mode & 0o7777;
        if !is_ours(stat.st_uid) {
            return Err(NotWritten::Refused(format!(
                "its directory belongs to uid {}",
                stat.st_uid
            )));
        }
        // Debian's spool: its group may add tables, and none but root replaces what is there.
        let is_spool = self.trust == Trust::Spool && mode & 0o1002 == 0o1000;
        if mode & 0o022 != 0 && !is_spool {
            let text =
                format!("others than its owner may write to its directory (mode {mode:04o})");
            return Err(NotWritten::Refused(text));
        }
        Ok(())
    }

    /// Whether the file may be replaced; its owner and mode, none where there is none.
    ///
    /// # Errors
    /// It may not, or cannot be judged.
    fn check_file(&self) -> Result<Option<Access>, NotWritten> {
        let Some(stat) = self.folder.stat_of(&self.name)? else { return Ok(None) };
        let mode = stat.st_mode & 0o7777;
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFREG => {}
            SFlag::S_IFLNK => return Err(NotWritten::Refused("it is a symbolic link".to_owned())),
            _ => return Err(NotWritten::Refused("it is no regular file".to_owned())),
        }
        if !is_ours(stat.st_uid) && Some(stat.st_uid) != self.user() {
            return Err(NotWritten::Refused(format!("it belongs to uid {}", stat.st_uid)));
        }
        if mode & 0o022 != 0 {
            let text = format!("others than its owner may write to it (mode {mode:04o})");
            return Err(NotWritten::Refused(text));
        }
        Ok(Some(access_of(&stat)))
    }

    /// Whether the crontab may be written; `is_fixed` if it is a mount of its own or cannot be written to.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn check(&self, is_fixed: bool) -> Result<(), NotWritten> {
        if is_fixed && self.folder.is_read_only() {
            return Err(io::Error::from(Errno::EROFS).into());
        }
        self.check_folder()?;
        self.check_file().map(drop)
    }

    /// Makes `text` the crontab; owner and mode stay, or are, where there is none, as far as they are harmless, those of `wanted`.
    ///
    /// Ended at any moment it leaves the old text or the new one; of a file on a mount of its own perhaps a part of the new
    /// one, which [`finish`](Self::finish) completes.
    ///
    /// `about` is told that the text is there as a draft, which is to take the place of the old one, and that it does not.
    ///
    /// # Errors
    /// The old text stays: also where it is not `old`, since somebody has edited it meanwhile.
    pub(super) fn write(
        &self,
        text: &[u8],
        old: Option<&[u8]>,
        wanted: Option<Access>,
        about: impl Fn(bool) -> io::Result<()>,
    ) -> Result<(), NotWritten> {
        self.check_folder()?;
        let found = self.check_file()?;
        let access = found.unwrap_or_else(|| self.harmless(wanted));
        let draft = self.draft();
        let new = New { draft: &draft, access };
        let ready = || {
            about(true)?;
            if self.folder.read(&self.name, MOST_BYTES)?.as_deref() == old {
                return Ok(());
            }
            Err(io::Error::other("it was edited meanwhile"))
        };
        match self.folder.replace_after(&self.name, new, |_| Ok(text.to_vec()), ready) {
            Ok(()) => Ok(()),
            Err(error) => {
                about(false)?;
                if is_busy(&error) { Ok(self.write_in_place(text)?) } else { Err(error.into()) }
            }
        }
    }

    /// The name of the crontab's draft; not that of the marker's.
    fn draft(&self) -> OsString {
        self.beside(".draft")
    }

    /// Whether a draft of the crontab was left there, and so has not taken its place.
    pub(super) fn has_draft(&self) -> bool {
        matches!(self.folder.stat_of(&self.draft()), Ok(Some(_)))
    }

    /// Removes a draft that was left there.
    pub(super) fn clear_draft(&self) -> io::Result<()> {
        self.folder.clear(&self.draft())
    }

    /// Writes into the file that is there; what lies beside it meanwhile tells both texts, should that be cut off.
    fn write_in_place(&self, text: &[u8]) -> io::Result<()> {
        let old = self.folder.read(&self.name, MOST_BYTES)?.unwrap_or_default();
        let texts = Pending { old: old.into(), new: text.into() };
        let bytes = serde_json::to_vec(&texts)?;
        let pending = self.beside(".pending");
        let draft = draft_of(&pending);
        let access = Access { mode: MODE, uid: geteuid().as_raw(), gid: getegid().as_raw() };
        self.folder.replace(&pending, New { draft: &draft, access }, |_| Ok(bytes))?;
        self.folder.overwrite(&self.name, text)?;
        self.folder.remove(&pending)
    }

    /// Completes what was cut off; whether there was something.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) fn finish(&self) -> Result<bool, NotWritten> {
        let pending = self.beside(".pending");
        if self.folder.stat_of(&pending)?.is_none() {
            return Ok(false);
        }
        self.check_folder()?;
        self.check_file()?;
        let bytes = self.folder.read(&pending, MOST_PENDING)?.unwrap_or_default();
        let found = self.folder.read(&self.name, MOST_BYTES)?;
        let texts = serde_json::from_slice::<Pending>(&bytes).ok();
        // Where somebody wrote something else since, that holds.
        let cut = texts.zip(found).filter(|(texts, found)| texts.is_cut(found));
        if let Some((texts, _)) = &cut {
            self.folder.overwrite(&self.name, &texts.new.0)?;
        }
        self.folder.remove(&pending)?;
        Ok(cut.is_some())
    }

    /// Owner and mode for a file that is to be made anew: what a store says is not to be trusted.
    fn harmless(&self, wanted: Option<Access>) -> Access {
        let (us, our_group) = (geteuid().as_raw(), getegid().as_raw());
        let Some(wanted) = wanted else { return Access { mode: MODE, uid: us, gid: our_group } };
        let is_possible = us == 0 && (wanted.uid == 0 || Some(wanted.uid) == self.user());
        let (uid, gid) = if is_possible { (wanted.uid, wanted.gid) } else { (us, our_group) };
        // Another group gets no more than everybody had.
        let group = if gid == wanted.gid { 0o070 } else { wanted.mode << 3 & 0o070 };
        let mode = wanted.mode & (0o7707 | group) & !NEVER | MODE & 0o400;
        Access { mode, uid, gid }
    }

    /// The number of the user that a table in a spool is named after.
    fn user(&self) -> Option<u32> {
        let name = (self.trust == Trust::Spool).then(|| self.name.to_str()).flatten()?;
        Some(User::from_name(name).ok()??.uid.as_raw())
    }

    /// Owner and mode of the file, behind a link those of what it leads to, as a link itself lets everybody do everything;
    /// none where there is none.
    pub(super) fn access(&self) -> Option<Access> {
        let stat = self.folder.stat_behind(&self.name).ok()??;
        Some(access_of(&stat))
    }

    /// The device that the crontab is on, or would be.
    pub(super) fn device(&self) -> Option<u64> {
        let stat = match self.folder.stat_of(&self.name) {
            Ok(Some(stat)) => stat,
            _ => self.folder.stat().ok()?,
        };
        Some(stat.st_dev)
    }
}

/// Whether the file at `path` is a mount of its own, or nobody can write to it: then it is somebody else's to change.
pub(super) fn is_fixed(path: &Path, mounts: &[PathBuf]) -> bool {
    let real = fs::canonicalize(path);
    let real = real.as_deref().unwrap_or(path);
    let folder = real.parent().map(Folder::open);
    mounts.iter().any(|mount| mount == real)
        || folder.is_some_and(|folder| folder.is_ok_and(|folder| folder.is_read_only()))
}

/// The system's words, in lowercase and without a number.
fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// The device of a directory, if there is one.
pub(super) fn device_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.dev())
}

fn access_of(stat: &FileStat) -> Access {
    Access { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
}

fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::EBUSY as i32)
}

impl Pending {
    /// Whether the file holds a beginning of the new text and the rest of the old one.
    fn is_cut(&self, found: &[u8]) -> bool {
        let (old, new) = (&*self.old, &*self.new);
        let same = found.iter().zip(new).take_while(|(one, other)| one == other).count();
        found != old && found != new && found[same..] == old[same.min(old.len())..]
    }
}

/// The name of a crontab's file in a folder that is not its own: each path has another.
pub(super) fn name_for(path: &Path) -> OsString {
    use sha2::{Digest as _, Sha256};
    use std::os::unix::ffi::OsStrExt as _;
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let (half, _) = digest.split_at(16);
    let number = half.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    OsString::from(format!(".crontab-{number:032x}.cronkeep"))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn site(trust: Trust) -> (tempfile::TempDir, Site) {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::open(&folder.path().join("tab"), trust).unwrap();
        (folder, site)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_crontab_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let (folder, site) = site(Trust::Named);
        let path = folder.path().join("tab");
        fs::write(&path, "old").unwrap();
        set_mode(&path, 0o640);
        site.write(b"new", Some(b"old"), None, |_| Ok(())).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_its_group_may_write_to_is_ours_only_as_a_sticky_spool() {
        for (trust, mode, ours) in [
            (Trust::Named, 0o755, true),
            (Trust::Named, 0o775, false),
            (Trust::Named, 0o1777, false),
            (Trust::System, 0o1775, false),
            (Trust::Spool, 0o1730, true),
            (Trust::Spool, 0o730, false),
            (Trust::Spool, 0o1732, false),
        ] {
            let (folder, site) = site(trust);
            set_mode(folder.path(), mode);
            assert_eq!(site.check_folder().is_ok(), ours, "{trust:?} {mode:o}");
        }
    }

    #[test]
    fn what_a_snapshot_says_of_owner_and_mode_is_taken_as_far_as_it_is_harmless() {
        let (_folder, site) = site(Trust::Named);
        let us = geteuid().as_raw();
        let wanted = Access { mode: 0o6777, uid: 4711, gid: 4711 };
        let access = site.harmless(Some(wanted));
        assert_eq!((access.mode, access.uid), (0o644, us));
        assert_eq!(site.harmless(None).mode, 0o600);
        let group = |gid| site.harmless(Some(Access { mode: 0o640, uid: us, gid })).mode;
        let is_kept = if us == 0 { 0o640 } else { 0o600 };
        assert_eq!((group(getegid().as_raw()), group(4711)), (0o640, is_kept));
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_another_is_writing_stays() {
        let (folder, site) = site(Trust::Named);
        let draft = folder.path().join(".tab.cronkeep.draft");
        let write = |text: &[u8], old: Option<&[u8]>| site.write(text, old, None, |_| Ok(()));
        fs::write(&draft, "half").unwrap();
        write(b"one", None).unwrap();
        fs::write(&draft, "half").unwrap();
        let busy = nix::fcntl::Flock::lock(
            fs::File::open(&draft).unwrap(),
            nix::fcntl::FlockArg::LockExclusiveNonblock,
        )
        .unwrap();
        let error = write(b"two", Some(b"one")).unwrap_err();
        assert_eq!(error.to_string(), "another process is writing it");
        assert_eq!(fs::read(&draft).unwrap(), b"half");
        drop(busy);
        assert_eq!(fs::read(folder.path().join("tab")).unwrap(), b"one");
    }

    #[test]
    fn what_somebody_has_edited_meanwhile_is_not_written_over() {
        let (folder, site) = site(Trust::Named);
        let path = folder.path().join("tab");
        fs::write(&path, "edited").unwrap();
        let told = std::cell::RefCell::new(Vec::new());
        let about = |is_next| {
            told.borrow_mut().push(is_next);
            Ok(())
        };
        let error = site.write(b"new", Some(b"old"), None, about).unwrap_err();
        assert_eq!(error.to_string(), "it was edited meanwhile");
        assert_eq!((fs::read(&path).unwrap(), site.has_draft()), (b"edited".to_vec(), false));
        assert_eq!(*told.borrow(), [true, false]);
    }

    #[test]
    fn a_write_in_place_that_was_cut_off_is_told_from_an_edit() {
        let cut = |old: &str, new: &str, found: &str| {
            Pending { old: old.into(), new: new.into() }.is_cut(found.as_bytes())
        };
        assert!(cut("", "new", "ne"));
        assert!(cut("older", "new", "neder"));
        assert!(cut("older", "new", "newer"));
        for found in ["older", "new", "edited", "", "nothing"] {
            assert!(!cut("older", "new", found), "{found}");
        }
    }

    #[test]
    fn a_write_in_place_is_completed_once() {
        let (folder, site) = site(Trust::Named);
        let path = folder.path().join("tab");
        fs::write(&path, "ne").unwrap();
        let pending = folder.path().join(".tab.cronkeep.pending");
        fs::write(&pending, r#"{"old":"","new":"new"}"#).unwrap();
        assert!(site.finish().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!pending.exists() && !site.finish().unwrap());
        // Somebody was faster.
        fs::write(&pending, r#"{"old":"","new":"new"}"#).unwrap();
        fs::write(&path, "edited").unwrap();
        assert!(!site.finish().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"edited");
    }
}
