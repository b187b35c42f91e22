//! Hearing of edits through inotify.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{
    Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
};
use tokio::sync::Notify;

use super::debounce::Touch;
use super::name::Names;
use super::path::{Trail, is_absence};
use super::read::reason;

/// What was heard since it was last asked for. However much happened, it stays this small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// What it means for the debounce, if anything was heard.
    pub(super) touch: Option<Touch>,
    /// Whether one of our names now means another file or none: what is watched must be armed anew.
    pub(super) moved: bool,
}

/// Which paths are ours, spelled as the events spell them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ours {
    /// Names that lead to a crontab, and their directories.
    paths: HashSet<PathBuf>,
    /// Directories of which every file with a fitting name is ours, with the rules for the names.
    folders: HashMap<PathBuf, Vec<Names>>,
}

impl Ours {
    fn has(&self, path: &Path) -> bool {
        self.paths.contains(path) || self.is_in_folder(path)
    }

    fn is_in_folder(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.folders.get(folder).is_some_and(|rules| rules.iter().any(|rule| rule.takes(name)))
    }
}

/// Where notify's thread leaves what it heard, and wakes the actor for what is ours.
#[derive(Debug, Default)]
pub(super) struct Signal {
    pub(super) wake: Notify,
    ears: Mutex<Ears>,
}

#[derive(Debug, Default)]
struct Ears {
    /// The paths that are ours, spelled as the events spell them.
    ours: Ours,
    /// Those of them that were written to and not closed yet.
    open: HashSet<PathBuf>,
    /// One of our paths changed.
    edited: bool,
    /// Events were lost, so that anything may have changed.
    lost: bool,
    moved: bool,
}

impl Signal {
    /// What was heard since the last call.
    pub(super) fn take(&self) -> Heard {
        let mut ears = self.ears();
        let touch = match (mem::take(&mut ears.edited), mem::take(&mut ears.lost)) {
            (true, _) if ears.open.is_empty() => Some(Touch::Edit),
            (true, _) => Some(Touch::Writing),
            (false, true) => Some(Touch::Noise),
            (false, false) => None,
        };
        Heard { touch, moved: mem::take(&mut ears.moved) }
    }

    /// From now on these paths are ours.
    fn listen_for(&self, ours: Ours) {
        let mut ears = self.ears();
        ears.open.clear();
        ears.ours = ours;
    }

    /// Takes note of one event; runs on notify's thread.
    fn hear(&self, event: &notify::Result<Event>) {
        let event = match event {
            Ok(event) if !event.need_rescan() => event,
            _ => {
                let mut ears = self.ears();
                ears.lost = true;
                ears.moved = true;
                drop(ears);
                self.wake.notify_one();
                return;
            }
        };
        let closed = event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.kind.is_access() && !closed {
            return;
        }
        let mut ears = self.ears();
        let Ears { ours, open, edited, moved, .. } = &mut *ears;
        let mut any = false;
        for path in event.paths.iter().filter(|path| ours.has(path)) {
            any = true;
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    if !open.contains(path) {
                        open.insert(path.clone());
                    }
                }
                EventKind::Modify(ModifyKind::Metadata(_)) => {}
                EventKind::Access(_) => {
                    open.remove(path);
                }
                _ => {
                    open.remove(path);
                    // A directory's own watch tells of its files, whichever they are.
                    *moved |= ours.paths.contains(path);
                }
            }
        }
        *edited |= any;
        drop(ears);
        if any {
            self.wake.notify_one();
        }
    }

    fn ears(&self) -> MutexGuard<'_, Ears> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be watched: each inode once, under one spelling.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Device and inode, and the path it is watched by. inotify keeps one watch per inode; two paths for it would
    /// take each other's events, and each other's watch when one of them goes.
    watches: BTreeMap<(u64, u64), PathBuf>,
    ours: Ours,
}

impl Plan {
    /// What must be watched so that nothing on these trails changes unheard.
    pub(super) fn of(trails: &[Trail]) -> Plan {
        let mut plan = Plan::default();
        plan.add(trails);
        plan
    }

    /// Adds what must be watched for these trails, too.
    pub(super) fn add(&mut self, trails: &[Trail]) {
        for trail in trails {
            for hop in &trail.hops {
                if let Some(folder) = self.watch(&hop.folder) {
                    self.ours.paths.insert(folder.join(&hop.name));
                    self.ours.paths.insert(folder);
                }
            }
            if let Some(file) = trail.file.as_deref().and_then(|file| self.watch(file)) {
                self.ours.paths.insert(file);
            }
        }
    }

    /// Adds a directory, without links in its path, whose files are crontabs if `names` takes them.
    pub(super) fn take_folder(&mut self, folder: &Path, names: Names) {
        if let Some(folder) = self.watch(folder) {
            self.ours.folders.entry(folder).or_default().push(names);
        }
    }

    /// Adds `path`; gives the spelling its inode is watched by, unless it is gone already.
    fn watch(&mut self, path: &Path) -> Option<PathBuf> {
        let metadata = fs::metadata(path).ok()?;
        let inode = (metadata.dev(), metadata.ino());
        Some(self.watches.entry(inode).or_insert_with(|| path.to_owned()).clone())
    }

    /// Every path that is watched.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.watches.values().map(PathBuf::as_path)
    }
}

/// The watches that are armed.
#[derive(Debug)]
pub(super) struct Arms {
    signal: Arc<Signal>,
    watcher: Option<RecommendedWatcher>,
    plan: Plan,
    /// Whether all of the plan is armed.
    complete: bool,
}

impl Arms {
    /// Nothing armed yet; events will go to `signal`.
    pub(super) fn new(signal: Arc<Signal>) -> Self {
        Arms { signal, watcher: None, plan: Plan::default(), complete: false }
    }

    /// Whether exactly `plan` is armed.
    pub(super) fn hold(&self, plan: &Plan) -> bool {
        self.complete && self.plan == *plan
    }

    /// Arms `plan` in place of whatever was armed. What has disappeared meanwhile is passed over: the next plan
    /// will know. On an error as much as possible is armed all the same.
    ///
    /// # Errors
    /// Why inotify cannot do it, in lowercase.
    pub(super) fn arm(&mut self, plan: Plan) -> Result<(), String> {
        self.complete = false;
        if self.watcher.as_mut().is_some_and(|watcher| !is_alive(watcher)) {
            mem::forget(self.watcher.take());
        }
        if self.watcher.is_none() {
            self.plan = Plan::default();
            self.watcher = Some(open(&self.signal)?);
        }
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        self.signal.listen_for(plan.ours.clone());
        for path in self.plan.paths() {
            // Its inode may be gone, and the watch with it.
            let _ = watcher.unwatch(path);
        }
        let mut outcome = Ok(());
        for path in plan.paths() {
            if let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive)
                && outcome.is_ok()
            {
                outcome = match error.kind {
                    ErrorKind::PathNotFound => Ok(()),
                    ErrorKind::Io(ref error) if is_absence(error) => Ok(()),
                    // A file that may not be read is reported as such; its directory tells of its changes.
                    ErrorKind::Io(ref error) if is_denied(error) && !path.is_dir() => Ok(()),
                    _ => Err(words(&error)),
                };
            }
        }
        self.plan = plan;
        self.complete = outcome.is_ok();
        outcome
    }
}

impl Drop for Arms {
    fn drop(&mut self) {
        // notify's own drop panics if its thread is gone.
        if self.watcher.as_mut().is_some_and(|watcher| !is_alive(watcher)) {
            mem::forget(self.watcher.take());
        }
    }
}

/// A watcher whose thread runs.
fn open(signal: &Arc<Signal>) -> Result<RecommendedWatcher, String> {
    let signal = Arc::clone(signal);
    let mut watcher = RecommendedWatcher::new(move |event| signal.hear(&event), Config::default())
        .map_err(|error| words(&error))?;
    if is_alive(&mut watcher) {
        return Ok(watcher);
    }
    mem::forget(watcher);
    Err("its thread could not be started".to_owned())
}

/// Whether the watcher's thread answers. Its other calls panic if it does not, and notify starts it unchecked.
fn is_alive(watcher: &mut RecommendedWatcher) -> bool {
    watcher.configure(Config::default()).is_ok()
}

fn is_denied(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied
}

fn words(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::MaxFilesWatch => "no watches left, see fs.inotify.max_user_watches".to_owned(),
        ErrorKind::Io(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => {
            "too many open files, see fs.inotify.max_user_instances".to_owned()
        }
        ErrorKind::Io(error) => reason(error),
        _ => error.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, MetadataKind, RemoveKind, RenameMode};

    const OURS: &str = "/etc/crontab";

    fn signal() -> Signal {
        let signal = Signal::default();
        let paths = [OURS, "/etc"].map(PathBuf::from).into();
        let folders = [("/etc/cron.d".into(), vec![Names::Cronie])].into();
        signal.listen_for(Ours { paths, folders });
        signal
    }

    fn hear(signal: &Signal, kind: EventKind, path: &str) {
        signal.hear(&Ok(Event::new(kind).add_path(path.into())));
    }

    const DATA: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSE: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const OPEN: EventKind = EventKind::Access(AccessKind::Open(AccessMode::Any));
    const RENAME: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

    #[test]
    fn reading_our_own_file_is_not_heard() {
        let signal = signal();
        hear(&signal, OPEN, OURS);
        hear(&signal, EventKind::Access(AccessKind::Read), OURS);
        assert_eq!(signal.take(), Heard::default());
    }

    #[test]
    fn other_paths_are_not_heard() {
        let signal = signal();
        for kind in [DATA, CLOSE, RENAME, EventKind::Create(CreateKind::File)] {
            hear(&signal, kind, "/etc/passwd");
        }
        assert_eq!(signal.take(), Heard::default());
    }

    #[test]
    fn a_write_is_heard_and_a_close_ends_it() {
        let signal = signal();
        hear(&signal, DATA, OURS);
        hear(&signal, DATA, OURS);
        assert_eq!(signal.take(), Heard { touch: Some(Touch::Writing), moved: false });
        assert_eq!(signal.take(), Heard::default());
        hear(&signal, CLOSE, OURS);
        assert_eq!(signal.take(), Heard { touch: Some(Touch::Edit), moved: false });
    }

    #[test]
    fn a_removal_or_a_rename_means_arming_anew() {
        for kind in
            [RENAME, EventKind::Remove(RemoveKind::File), EventKind::Create(CreateKind::Any)]
        {
            let signal = signal();
            hear(&signal, DATA, OURS);
            hear(&signal, kind, OURS);
            assert_eq!(signal.take(), Heard { touch: Some(Touch::Edit), moved: true });
        }
    }

    #[test]
    fn a_change_of_mode_is_an_edit_to_be_looked_at() {
        let signal = signal();
        hear(&signal, EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), OURS);
        assert_eq!(signal.take(), Heard { touch: Some(Touch::Edit), moved: false });
    }

    #[test]
    fn lost_events_are_noise_and_mean_arming_anew() {
        let noise = Heard { touch: Some(Touch::Noise), moved: true };
        let signal = signal();
        signal.hear(&Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)));
        assert_eq!(signal.take(), noise);
        signal.hear(&Err(notify::Error::generic("lost")));
        assert_eq!(signal.take(), noise);
    }

    #[test]
    fn a_file_of_a_directory_is_heard_by_its_name() {
        let signal = signal();
        for name in [".hidden", "job~", "..data", "x/y"] {
            hear(&signal, EventKind::Create(CreateKind::File), &format!("/etc/cron.d/{name}"));
        }
        assert_eq!(signal.take(), Heard::default());
        hear(&signal, EventKind::Create(CreateKind::File), "/etc/cron.d/job");
        assert_eq!(signal.take(), Heard { touch: Some(Touch::Edit), moved: false });
    }

    #[test]
    fn one_inode_is_watched_once_and_both_its_names_are_ours() {
        let folder = tempfile::tempdir().unwrap();
        let at = fs::canonicalize(folder.path()).unwrap();
        fs::write(at.join("one"), "").unwrap();
        fs::hard_link(at.join("one"), at.join("other")).unwrap();
        let trails = [Trail::follow(&at.join("one")), Trail::follow(&at.join("other"))];
        let plan = Plan::of(&trails);
        assert_eq!(plan.paths().count(), 2, "the directory and the file");
        assert!(
            plan.ours.paths.contains(&at.join("one"))
                && plan.ours.paths.contains(&at.join("other"))
        );
    }

    #[test]
    fn an_armed_plan_is_held_until_another_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        let before = Plan::of(&[Trail::follow(&path)]);
        let mut arms = Arms::new(Arc::default());
        assert!(!arms.hold(&before));
        arms.arm(Plan::of(&[Trail::follow(&path)])).unwrap();
        assert!(arms.hold(&before));
        fs::write(&path, "").unwrap();
        assert!(!arms.hold(&Plan::of(&[Trail::follow(&path)])));
    }

    #[test]
    fn limits_are_named() {
        let error = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(words(&error).contains("fs.inotify.max_user_watches"));
        let error = notify::Error::io(std::io::Error::from_raw_os_error(nix::libc::EMFILE));
        assert!(words(&error).contains("fs.inotify.max_user_instances"));
    }
}
