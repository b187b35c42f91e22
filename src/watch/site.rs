//! A place and the files that were found there.
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Edit;
use super::fingerprint::Fingerprint;
use super::folder::{Folder, Item};
use super::name::{Meaning, Names, Passed};
use super::notice::{Notice, Trouble};
use super::path::{Trail, is_absence};
use super::place::{Place, Shape};
use super::read::{self, At, Failure, Look, is_folder, reason};
use super::source::{Source, Verdict};
use super::trust::{Guard, Refusal, Trust, number_of};

/// How many files of one directory are told of one by one, of those that are skipped or gone in one step.
const TOLD: usize = 20;

/// A place and what is known of it.
#[derive(Debug)]
pub(super) struct Site {
    /// Its place in the list that was given.
    index: usize,
    place: Place,
    typed: Arc<Path>,
    /// As it is opened.
    pub(super) absolute: PathBuf,
    /// The number that the process runs as.
    us: u32,
    /// Whether a directory was found there, or is to be.
    pub(super) is_folder: bool,
    /// Whether everybody may put files into the directory that was found there.
    shared: bool,
    /// By name; a file that stands for itself has the empty one.
    pub(super) files: BTreeMap<OsString, Source>,
    /// The names of which it was told that they are none of a crontab.
    passed: HashSet<OsString>,
    /// Why the directory cannot be had.
    trouble: Option<Trouble>,
    /// Crontabs handed on of a shape that the place has no longer.
    stranded: Vec<Arc<Path>>,
}

/// How a site is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// Every file, rather than those whose stamp changed.
    pub(super) thorough: bool,
    /// A file that was left alone since is read once; nanoseconds since 1970, wall clock.
    pub(super) before: Option<i128>,
    /// The hash of a text that was just put into a file as a whole: a file that holds it is read once, too.
    pub(super) written: Option<u64>,
}

/// A file that was looked at for the first time of two.
#[derive(Debug)]
pub(super) struct Suspect {
    name: OsString,
    first: First,
}

#[derive(Debug)]
enum First {
    /// It need not be looked at again.
    Settled(Look),
    /// What must be found equal.
    Summary(Result<Fingerprint, Failure>),
}

/// What two looks at the files of a site came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    looks: Vec<(OsString, Look)>,
    restless: Vec<OsString>,
}

impl Found {
    /// Whether every file was found equal twice.
    pub(super) fn is_settled(&self) -> bool {
        self.restless.is_empty()
    }
}

impl Site {
    /// A place of which nothing is known yet.
    pub(super) fn new(index: usize, place: Place, absolute: PathBuf, us: u32) -> Self {
        let is_folder = place.shape == Shape::Folder;
        let typed: Arc<Path> = place.path.as_path().into();
        let mut site = Site {
            index,
            place,
            typed,
            absolute,
            us,
            is_folder,
            shared: false,
            files: BTreeMap::new(),
            passed: HashSet::new(),
            trouble: None,
            stranded: Vec::new(),
        };
        site.stand();
        site
    }

    /// Makes a place that is no directory a file that stands for itself.
    fn stand(&mut self) {
        if !self.is_folder {
            let quiet = !self.place.expected;
            let source = Source::alone(self.index, Arc::clone(&self.typed), quiet);
            self.files.insert(OsString::new(), source);
        }
    }

    /// Finds out whether there is a directory, where there may be either.
    pub(super) fn take_shape(&mut self) {
        if self.place.shape != Shape::Either {
            return;
        }
        let Ok(metadata) = fs::metadata(&self.absolute) else { return };
        // A crontab in whose stead there is suddenly a directory has disappeared, and keeps its last version.
        let keeps = !self.is_folder && self.files.values().any(Source::is_accepted);
        if metadata.is_dir() != self.is_folder && !keeps {
            self.is_folder = metadata.is_dir();
            let files = mem::take(&mut self.files).into_values();
            let accepted = files.filter(Source::is_accepted).map(|source| source.typed);
            self.stranded.extend(accepted);
            self.passed.clear();
            self.trouble = None;
            self.stand();
        }
    }

    /// Every way to its files that leads through a symbolic link, besides that to the place itself.
    pub(super) fn links(&self) -> Vec<Trail> {
        let follows = self.is_folder && self.place.trust.follows();
        let items = follows.then(|| Folder::open(&self.absolute).and_then(|it| it.items()).ok());
        let items = items.flatten().unwrap_or_default().into_iter();
        items
            .filter(|item| item.may_be_link && self.place.names.takes(&item.name))
            .map(|item| Trail::follow(&self.absolute.join(item.name)))
            .collect()
    }

    /// The rule for the names in it.
    pub(super) fn names(&self) -> Names {
        self.place.names
    }

    /// Whether a file of it waits for its user to be made.
    pub(super) fn has_orphan(&self) -> bool {
        self.place.names == Names::Users && self.files.values().any(Source::is_orphan)
    }

    /// The next time at which an empty or missing file starts to count as such.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.files.values().filter_map(Source::deadline).min()
    }

    /// Whether anything may have changed, by the stamps.
    pub(super) fn is_stale(&mut self) -> bool {
        self.take_shape();
        if !self.stranded.is_empty() {
            return true;
        }
        if !self.is_folder {
            let stamp = At::Path(&self.absolute).stamp();
            return self.files.values().any(|source| source.is_stale(stamp));
        }
        let follow = self.place.trust.follows();
        let Ok((folder, items)) = self.list() else {
            return self.files.values().any(|source| source.is_stale(None));
        };
        let mut known = 0;
        for item in items {
            match (self.place.names.meaning(&item.name), self.files.get(&item.name)) {
                (Meaning::Crontab, Some(source)) => {
                    known += usize::from(source.deadline().is_none());
                    if source.is_stale(At::In(&folder, &item.name, follow).stamp()) {
                        return true;
                    }
                }
                (Meaning::Crontab, None) if is_file(&folder, &item, follow) => return true,
                (Meaning::Passed(_), _) if !self.passed.contains(&item.name) => return true,
                _ => {}
            }
        }
        known < self.files.values().filter(|source| source.deadline().is_none()).count()
    }

    fn list(&self) -> std::io::Result<(Folder, Vec<Item>)> {
        let folder = Folder::open(&self.absolute)?;
        let items = folder.items()?;
        Ok((folder, items))
    }

    /// Looks for the first time at what may have changed.
    pub(super) fn scan(&mut self, scan: Scan, notices: &mut Vec<Notice>) -> Vec<Suspect> {
        self.take_shape();
        if self.is_folder {
            return self.scan_folder(scan, notices);
        }
        let at = At::Path(&self.absolute);
        let mut suspects = Vec::new();
        for (name, source) in &self.files {
            if scan.thorough || source.deadline().is_some() || source.is_stale(at.stamp()) {
                let look = self.guard(name).and_then(|guard| read::look(at, &guard));
                suspects.push(Suspect::new(name.clone(), look, scan));
            }
        }
        suspects
    }

    fn scan_folder(&mut self, scan: Scan, notices: &mut Vec<Notice>) -> Vec<Suspect> {
        let (folder, items) = match self.list() {
            Ok(list) => list,
            Err(error) => return self.miss(&error, scan, notices),
        };
        if let Some(trouble) = self.trouble.take()
            && (self.place.expected || trouble != Trouble::Missing)
        {
            let path = Arc::clone(&self.typed);
            notices.push(Notice::Restored { place: self.index, path, refused: false });
        }
        self.tell_passed(&folder, &items, notices);
        self.shared = folder.is_shared();
        let follow = self.place.trust.follows();
        let mut suspects = Vec::new();
        let mut here = HashSet::with_capacity(self.files.len());
        for Item { name, .. } in
            items.into_iter().filter(|it| !it.is_folder && self.place.names.takes(&it.name))
        {
            let at = At::In(&folder, &name, follow);
            let known = self.files.get(&name);
            let is_suspect = match known {
                Some(source) => {
                    scan.thorough || source.deadline().is_some() || source.is_stale(at.stamp())
                }
                None => true,
            };
            if is_suspect {
                let look = self.guard(&name).and_then(|guard| read::look(at, &guard));
                let no_file = |failure: &Failure| {
                    failure.trouble == Trouble::NotRegular("a directory")
                        || failure.trouble == Trouble::Missing
                };
                if known.is_none() && look.as_ref().is_err_and(no_file) {
                    continue;
                }
                suspects.push(Suspect::new(name.clone(), look, scan));
            }
            here.insert(name);
        }
        let missing = self.files.keys().filter(|name| !here.contains(*name));
        suspects.extend(missing.map(|name| Suspect::missing(name.clone())));
        suspects
    }

    /// The directory cannot be had: its files are missing, or, if it is there, out of reach.
    fn miss(
        &mut self,
        error: &std::io::Error,
        scan: Scan,
        notices: &mut Vec<Notice>,
    ) -> Vec<Suspect> {
        let trouble =
            if is_absence(error) { Trouble::Missing } else { Trouble::Unreadable(reason(error)) };
        let is_missing = trouble == Trouble::Missing;
        let news = !is_missing || self.place.expected && self.files.is_empty();
        if self.trouble.as_ref() != Some(&trouble) && news {
            notices.push(Notice::Degraded {
                place: self.index,
                path: Arc::clone(&self.typed),
                trouble: trouble.clone(),
                kept: self.files.values().any(Source::is_accepted),
            });
        }
        self.trouble = Some(trouble);
        if !is_missing {
            return Vec::new();
        }
        let due = |source: &&Source| {
            scan.thorough || source.is_stale(None) || source.deadline().is_some()
        };
        let files = self.files.iter().filter(|(_, source)| due(source));
        files.map(|(name, _)| Suspect::missing(name.clone())).collect()
    }

    /// Whether a link that is followed leads nowhere, and nothing of it holds.
    fn is_dangling(&self, folder: &Folder, item: &Item) -> bool {
        item.may_be_link
            && self.place.trust.follows()
            && !self.files.contains_key(&item.name)
            && folder.stat(&item.name, true).is_err_and(|error| is_absence(&error))
    }

    /// Tells of the names that are none of a crontab, once for as long as they are there.
    fn tell_passed(&mut self, folder: &Folder, items: &[Item], notices: &mut Vec<Notice>) {
        let before = mem::take(&mut self.passed);
        let mut more = 0;
        let mut told = 0;
        for item in items.iter().filter(|item| !item.is_folder) {
            let why = match self.place.names.meaning(&item.name) {
                Meaning::Passed(why) => why,
                Meaning::Crontab if self.is_dangling(folder, item) => Passed::Dangling,
                _ => continue,
            };
            if !before.contains(&item.name) {
                if told < TOLD {
                    told += 1;
                    let path = self.typed.join(&item.name).into();
                    notices.push(Notice::Passed { place: self.index, path, why });
                } else {
                    more += 1;
                }
            }
            self.passed.insert(item.name.clone());
        }
        if more > 0 {
            let path = Arc::clone(&self.typed);
            notices.push(Notice::PassedMore { place: self.index, path, files: more });
        }
    }

    /// Looks for the second time, at those that need it.
    pub(super) fn confirm(&self, suspects: Vec<Suspect>) -> Found {
        let mut found = Found::default();
        let mut folder = None;
        for Suspect { name, first } in suspects {
            let look = match first {
                First::Settled(look) => {
                    found.looks.push((name, look));
                    continue;
                }
                First::Summary(before) => {
                    let look = self.look(&name, &mut folder);
                    (summary(&look) == before).then_some(look)
                }
            };
            match look {
                Some(look) => found.looks.push((name, look)),
                None => found.restless.push(name),
            }
        }
        found
    }

    fn look(&self, name: &OsStr, folder: &mut Option<Folder>) -> Look {
        let guard = self.guard(name)?;
        if !self.is_folder {
            return read::look(At::Path(&self.absolute), &guard);
        }
        if folder.is_none() {
            *folder = Folder::open(&self.absolute).ok();
        }
        match folder {
            Some(folder) => read::look(At::In(folder, name, self.place.trust.follows()), &guard),
            None => Err(Trouble::Missing.into()),
        }
    }

    /// The rule for the file of this name.
    fn guard(&self, name: &OsStr) -> Result<Guard, Failure> {
        let guard = guard(self.place.trust, self.place.names, name, self.us)?;
        Ok(Guard { shared: self.is_folder && self.shared, ..guard })
    }

    /// What was found in files of which nothing is in force.
    pub(super) fn appeared<'a>(
        &'a self,
        found: &'a Found,
    ) -> impl Iterator<Item = Fingerprint> + use<'a> {
        let is_new = |name| !self.files.get(name).is_some_and(Source::is_accepted);
        let looks = found.looks.iter().filter(move |(name, _)| is_new(name));
        looks.filter_map(|(_, look)| Some(look.as_ref().ok()?.fingerprint))
    }

    /// Judges what two looks came to; gives what is to be handed on. `new` is what [`appeared`](Self::appeared) anywhere.
    pub(super) fn judge(
        &mut self,
        found: Found,
        new: &[Fingerprint],
        first: bool,
        now: Duration,
        notices: &mut Vec<Notice>,
    ) -> Vec<Edit> {
        let place = self.index;
        let gone = |path| Edit { place, path, text: None };
        let mut edits: Vec<Edit> = mem::take(&mut self.stranded).into_iter().map(gone).collect();
        let mut lost = Vec::new();
        for name in found.restless {
            if let Some(source) = self.files.get_mut(&name) {
                source.degrade(Trouble::Unsettled, notices);
            }
        }
        // What is missing last, and at once where its text came under another name: it was renamed.
        let is_missing =
            |look: &Look| look.as_ref().is_err_and(|it| it.trouble == Trouble::Missing);
        let (missing, here): (Vec<_>, Vec<_>) =
            found.looks.into_iter().partition(|(_, look)| is_missing(look));
        for (name, look) in here.into_iter().chain(missing) {
            let source = self
                .files
                .entry(name.clone())
                .or_insert_with(|| Source::of_folder(place, self.typed.join(&name).into()));
            let path = Arc::clone(&source.typed);
            let verdict = if is_missing(&look) && source.is_one_of(new) {
                Verdict::Gone(true)
            } else {
                source.judge(look, first, now, notices)
            };
            match verdict {
                Verdict::Same => {}
                Verdict::Changed(text) => {
                    edits.push(Edit { place, path, text: Some(text.into()) });
                }
                Verdict::Withdrawn => edits.push(gone(path)),
                Verdict::Gone(handed_on) => {
                    let told = self.files.remove(&name).is_some_and(|source| source.is_troubled());
                    if handed_on {
                        lost.push(Arc::clone(&path));
                    }
                    // What was said of it holds no longer, either.
                    if handed_on || told {
                        edits.push(gone(path));
                    }
                }
            }
        }
        self.tell_gone(lost, notices);
        edits
    }

    fn tell_gone(&self, lost: Vec<Arc<Path>>, notices: &mut Vec<Notice>) {
        let (place, files) = (self.index, lost.len());
        let path = Arc::clone(&self.typed);
        if files > 0 && self.trouble == Some(Trouble::Missing) {
            notices.push(Notice::FolderGone { place, path, files });
        } else if files > TOLD {
            notices.push(Notice::GoneMore { place, path, files });
        } else {
            notices.extend(lost.into_iter().map(|path| Notice::Gone { place, path }));
        }
    }
}

impl Suspect {
    fn new(name: OsString, mut look: Look, scan: Scan) -> Self {
        let is_settled = match &mut look {
            Ok(text) => text.is_enough(scan.before, scan.written),
            Err(failure) => scan.before.is_some() && failure.trouble == Trouble::Missing,
        };
        let first = if is_settled { First::Settled(look) } else { First::Summary(summary(&look)) };
        Suspect { name, first }
    }

    fn missing(name: OsString) -> Self {
        Suspect { name, first: First::Summary(Err(Trouble::Missing.into())) }
    }

    /// Whether it must be looked at again.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.first, First::Summary(_))
    }
}

/// The rule for a file of this name.
pub(super) fn guard(trust: Trust, names: Names, name: &OsStr, us: u32) -> Result<Guard, Failure> {
    let mut guard = Guard { trust, us, user: None, shared: false };
    if names == Names::Users {
        let shown = || name.to_string_lossy().into_owned();
        let orphan = || Trouble::Refused(Refusal::Orphan(shown()));
        let number = number_of(name.to_str().ok_or_else(orphan)?).map_err(|error| {
            Trouble::Unreadable(format!("its user cannot be looked up: {}", error.desc()))
        })?;
        guard.user = Some((shown(), number.ok_or_else(orphan)?));
    }
    Ok(guard)
}

fn is_file(folder: &Folder, item: &Item, follow: bool) -> bool {
    !item.is_folder && folder.stat(&item.name, follow).is_ok_and(|stat| !is_folder(&stat))
}

/// What of a look must be equal twice.
fn summary(look: &Look) -> Result<Fingerprint, Failure> {
    match look {
        Ok(text) => Ok(text.fingerprint),
        Err(failure) => Err(failure.clone()),
    }
}
