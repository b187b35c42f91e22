//! What lies beside a crontab and says in which container it is, and what it said there.

use std::ffi::OsString;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use nix::unistd::{getegid, geteuid};

use super::folder::{Folder, New, draft_of};
use super::site::{Site, device_of, name_for};
use crate::store::recovery::{Access, Content, Instance, Kinship, Marker};
use crate::watch::MOST_BYTES;

/// The most that a marker may hold: two texts, each byte as up to six.
const MOST: u64 = 12 * MOST_BYTES;

/// Where the marker of a crontab lies.
#[derive(Debug)]
pub(super) struct Spot {
    folder: Folder,
    name: OsString,
}

impl Spot {
    /// Beside the crontab, or, where that is not ours to write to, in the state directory, if that is on the same device.
    pub(super) fn of(site: &Site, path: &Path, state_dir: &Path) -> Option<Self> {
        if site.check_folder().is_ok() && site.folder.may_write() {
            let folder = Folder::open(path.parent().unwrap_or(Path::new("."))).ok()?;
            return Some(Spot { folder, name: site.beside("") });
        }
        // A volume that containers share tells none of them.
        if site.device().is_none() || site.device() != device_of(state_dir) {
            return None;
        }
        let path = std::path::absolute(path).ok()?;
        Some(Spot { folder: Folder::open(state_dir).ok()?, name: name_for(&path) })
    }

    /// What the marker says; none where there is none that was made here: one that was copied tells of another container.
    pub(super) fn read(&self) -> Option<Kinship> {
        self.marker().map(|marker| marker.kinship)
    }

    /// What the marker says, made if there is none: what comes while the daemon runs is nothing that the image brought along.
    pub(super) fn read_or_make(&self) -> Option<Kinship> {
        self.read().or_else(|| {
            let first = Content::default();
            let kinship = Kinship { instance: new_instance(), first, common: None };
            self.write(&kinship).ok().map(|()| kinship)
        })
    }

    /// The marker.
    pub(super) fn marker(&self) -> Option<Marker> {
        let file = self.folder.file(&self.name).ok()??;
        let found = file.metadata().ok()?;
        if found.mode() & 0o022 != 0 || found.uid() != 0 && found.uid() != geteuid().as_raw() {
            return None;
        }
        let (inode, born) = made(&file).ok()?;
        let bytes = self.folder.read(&self.name, MOST).ok()??;
        let marker: Marker = serde_json::from_slice(&bytes).ok()?;
        marker.is_of(inode, born).then_some(marker)
    }

    /// Puts a marker in the place of the one that is there, in one step.
    pub(super) fn write(&self, kinship: &Kinship) -> io::Result<()> {
        self.write_before(kinship, None)
    }

    /// Puts a marker there that says what the snapshot says, which is about to be written into the crontab.
    pub(super) fn write_before(&self, kinship: &Kinship, next: Option<&Content>) -> io::Result<()> {
        let access = Access { mode: 0o600, uid: geteuid().as_raw(), gid: getegid().as_raw() };
        let draft = draft_of(&self.name);
        self.folder.replace(&self.name, New { draft: &draft, access }, |file| {
            let (inode, born) = made(file)?;
            let (kinship, next) = (kinship.clone(), next.cloned());
            Ok(serde_json::to_vec(&Marker { kinship, inode, born, next })?)
        })
    }
}

/// Inode and, where the file system keeps it, the time of birth in nanoseconds since 1970.
fn made(file: &File) -> io::Result<(u64, Option<i64>)> {
    let found = file.metadata()?;
    let born = found.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok((found.ino(), born.and_then(|since| i64::try_from(since.as_nanos()).ok())))
}

/// The name of a container that has none yet.
pub(super) fn new_instance() -> Instance {
    // Seeded by the system, and another one each time.
    let [one, other] = [0_u8, 1].map(|salt| RandomState::new().hash_one(salt));
    Instance(format!("{one:016x}{other:016x}"))
}
