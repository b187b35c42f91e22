//! The crontabs of this container as a recovery finds them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::marker::Spot;
use super::site::{NotWritten, Site, is_fixed};
use crate::config::{Config, PlaceSpec};
use crate::crontab::Dialect;
use crate::daemon::reading::{Ahead, Defaults};
use crate::daemon::standing::Key;
use crate::store::recovery::decide::Standing;
use crate::store::recovery::{Access, Content, Decision, FileSnapshot, Finding, Kinship, Marker};
use crate::watch::{self, Shape, Surveyed, Trouble, mount_points};

/// A crontab as a recovery finds it.
#[derive(Debug)]
pub(super) struct Found {
    /// Its place and its path as typed.
    pub(super) key: Key,
    /// Its path from the root, by which a snapshot knows it.
    pub(super) path: String,
    /// What it says; none: it is missing.
    pub(super) text: Option<Vec<u8>>,
    /// What the marker beside it says, if there is one.
    pub(super) kinship: Option<Kinship>,
    /// Whether the marker tells of a recovery that was cut off.
    pub(super) is_cut: bool,
    /// Whether it had not heard of a snapshot before that.
    is_new: bool,
    file: Surveyed,
    standing: Standing,
    is_fixed: bool,
    access: Option<Access>,
    dialect: Dialect,
}

/// A crontab that may be there.
struct Candidate {
    file: Surveyed,
    standing: Standing,
}

/// Where the crontabs are, and where their markers may be.
#[derive(Debug, Clone)]
pub(super) struct Ground {
    pub(super) places: Arc<[PlaceSpec]>,
    pub(super) state_dir: PathBuf,
    /// What holds for entries that say nothing of it.
    defaults: Arc<Defaults>,
}

/// What is to be told of a crontab.
pub(super) type Told = (Key, String);

impl Ground {
    pub(super) fn new(config: &Config) -> Self {
        let places = config.sources.clone().into();
        let defaults = Arc::new(Defaults::of(config));
        Ground { places, state_dir: config.state_dir.clone(), defaults }
    }

    /// Begins to read the text of a crontab, which is about to be written; none if it is small.
    pub(super) fn read_ahead(&self, key: &Key, text: &[u8]) -> Option<Ahead> {
        let defaults = Defaults::clone(&self.defaults);
        Ahead::of_written(&self.places, defaults, (key.clone(), text.to_vec()))
    }

    /// Looks at the crontabs, and at those that a snapshot has in their directories: `stored`, by their paths.
    ///
    /// One that is refused or unreadable is left alone: the watch tells of it.
    pub(super) fn find(&self, stored: &[&str], told: &mut Vec<Told>) -> Vec<Found> {
        let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let mounts: Vec<PathBuf> = mount_points(&mountinfo).collect();
        let mut all = Vec::new();
        for (index, spec) in self.places.iter().enumerate() {
            for candidate in candidates(spec, stored) {
                let key: Key = (index, Arc::from(candidate.file.path.as_path()));
                if let Ok(found) = self.look(key, candidate, &mounts, told) {
                    all.push(found);
                }
            }
        }
        all
    }

    /// The rules by which a crontab is read.
    pub(super) fn dialect(&self, key: &Key) -> Dialect {
        self.places.get(key.0).map_or_else(Dialect::system, |it| it.dialect(&key.1))
    }

    fn look(
        &self,
        key: Key,
        Candidate { file, standing }: Candidate,
        mounts: &[PathBuf],
        told: &mut Vec<Told>,
    ) -> Result<Found, Trouble> {
        let absolute = std::path::absolute(&file.path).map_err(|_| Trouble::Missing)?;
        let site = Site::open(&file.path, file.trust).ok();
        match site.as_ref().map_or(Ok(false), Site::finish) {
            Ok(false) => {}
            Ok(true) => told.push((key.clone(), "its recovery was cut off: completed".to_owned())),
            Err(error) => {
                let text = format!("its recovery was cut off, and cannot be completed: {error}");
                told.push((key.clone(), text));
            }
        }
        let text = match watch::read_once(&file) {
            Ok(text) => Some(text),
            Err(Trouble::Missing) => None,
            Err(trouble) => return Err(trouble),
        };
        let spot = site.as_ref().and_then(|site| Spot::of(site, &file.path, &self.state_dir));
        let (mut kinship, next) = match site.as_ref().zip(spot) {
            Some((site, spot)) => settle(site, &spot),
            None => (None, None),
        };
        let (is_cut, is_new) =
            (next.is_some(), kinship.as_ref().is_none_or(|it| it.common.is_none()));
        if let (Some(kinship), Some(next)) = (&mut kinship, next) {
            kinship.common = Some(next);
        }
        let dialect = self.places.get(key.0).map_or_else(Dialect::system, |it| it.dialect(&key.1));
        Ok(Found {
            path: absolute.to_string_lossy().into_owned(),
            kinship,
            is_cut,
            is_new,
            access: site.and_then(|site| site.access()),
            is_fixed: is_fixed(&absolute, mounts),
            key,
            text,
            file,
            standing,
            dialect,
        })
    }

    /// The marker of a crontab; none where it can have none.
    pub(super) fn spot(&self, key: &Key) -> Option<Spot> {
        let trust = self.places.get(key.0)?.place.trust;
        let site = Site::open(&key.1, trust).ok()?;
        Spot::of(&site, &key.1, &self.state_dir)
    }

    /// Whether a crontab is, or would be, at one of our places: `path` as a snapshot knows it.
    pub(super) fn names(&self, path: &str) -> bool {
        let path = Path::new(path);
        self.places.iter().any(|spec| {
            let place = std::path::absolute(&spec.place.path);
            place.is_ok_and(|place| path == place || path.parent() == Some(&place))
        })
    }

    /// Owner and mode of a crontab that is there.
    pub(super) fn access(&self, key: &Key) -> Option<Access> {
        let trust = self.places.get(key.0)?.place.trust;
        Site::open(&key.1, trust).ok()?.access()
    }

    /// Does what was decided, of what the snapshot said: what that was is noted before it is part of the crontab.
    pub(super) fn write(
        &self,
        found: &Found,
        decision: &Decision,
        stored: Option<&FileSnapshot>,
    ) -> Result<(), NotWritten> {
        let Some(text) = &decision.text else { return Ok(()) };
        let site = Site::open(&found.file.path, found.file.trust)?;
        site.check(found.is_fixed)?;
        let spot = Spot::of(&site, &found.file.path, &self.state_dir);
        let wanted = decision.snapshot.as_ref().and_then(|snapshot| snapshot.access);
        let common = found.kinship.as_ref().and_then(|kinship| kinship.common.clone());
        let kinship = Kinship { common, ..decision.kinship.clone() };
        let next = stored.map(|stored| stored.text.clone().unwrap_or_default());
        let about = |is_next| match &spot {
            Some(spot) => spot.write_before(&kinship, next.as_ref().filter(|_| is_next)),
            None => Ok(()),
        };
        site.write(text, found.text.as_deref(), wanted, about)
    }
}

impl Found {
    /// As the rules for recoveries want it.
    pub(super) fn finding(&self) -> Finding<'_> {
        Finding {
            path: &self.path,
            file: self.text.as_deref(),
            standing: self.standing,
            fixed: self.is_fixed,
            kinship: self.kinship.as_ref(),
            cut: self.is_cut && self.is_new,
            access: self.access,
            dialect: &self.dialect,
        }
    }
}

/// What a marker says, and, where a recovery was cut off, what the snapshot said that is in the file since. A draft that was
/// left is removed.
fn settle(site: &Site, spot: &Spot) -> (Option<Kinship>, Option<Content>) {
    let Some(Marker { kinship, mut next, .. }) = spot.marker() else { return (None, None) };
    if next.is_some() && site.has_draft() {
        next = None;
        if spot.write(&kinship).is_err() {
            // As long as the marker says so, the draft tells that it is not.
            return (Some(kinship), None);
        }
    }
    // It is in nobody's way.
    let _ = site.check_folder().is_ok() && site.clear_draft().is_ok();
    (Some(kinship), next)
}

/// The files at a place, and those that were there when the snapshot was put.
fn candidates(spec: &PlaceSpec, stored: &[&str]) -> Vec<Candidate> {
    let place = &spec.place;
    let Ok(absolute) = std::path::absolute(&place.path) else { return Vec::new() };
    let name_of = |path: &&str| -> Option<OsString> {
        let path = Path::new(*path);
        let name = path.file_name().filter(|name| place.names.takes(name))?;
        // The path as it is written, too: a snapshot may say anything.
        (absolute.join(name).as_os_str() == path.as_os_str()).then(|| name.to_owned())
    };
    let below: BTreeSet<OsString> = stored.iter().filter_map(name_of).collect();
    let is_folder = match place.shape {
        Shape::File => false,
        Shape::Folder => true,
        // Where nothing is, what was there says what it was.
        Shape::Either => match fs::metadata(&place.path) {
            Ok(found) => found.is_dir(),
            Err(_) => !below.is_empty(),
        },
    };
    let trust = place.trust;
    if !is_folder {
        let file = Surveyed { path: place.path.clone(), trust };
        return vec![Candidate { file, standing: Standing::Named }];
    }
    let here = watch::survey(place).unwrap_or_default();
    let names: BTreeSet<OsString> =
        here.iter().filter_map(|file| Some(file.path.file_name()?.to_owned())).collect();
    let gone = below.difference(&names);
    let gone = gone.map(|name| Surveyed { path: place.path.join(name), trust });
    let member = |file| Candidate { file, standing: Standing::Member };
    here.into_iter().chain(gone).map(member).collect()
}
