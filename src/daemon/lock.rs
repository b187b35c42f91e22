//! One daemon for each spool.

use std::fmt;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::background::{PID_FILE, refuse_other_crond};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, SPOOLS, StoreChoice};
use crate::event::Event;
use crate::sink::trace::trace;
use crate::store::{Address, sqlite};
use crate::unix::lock::{Holder, Lock, LockError};

/// How long a daemon that is about to end may keep an embedded store: one that was killed is gone within milliseconds.
const PATIENCE: Patience =
    Patience { told: Duration::from_secs(1), longest: Duration::from_secs(3) };

/// How often it is tried meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a lock is waited for; elapsed time.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until it is told.
    told: Duration,
    /// In all.
    longest: Duration,
}

/// Another daemon has an embedded store.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    holder: Option<Holder>,
}

/// The locks on the spool directories that are read, none for named files, and on an embedded store.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<Lock>,
    /// The directories that did not exist yet.
    missing: Vec<PathBuf>,
    /// Whether the embedded store is locked.
    has_store: bool,
}

impl Held {
    fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }
}

impl fmt::Display for Held {
    /// Who has it, and which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            Some(Holder { pid, .. }) => {
                write!(f, "another daemon, pid {pid}, has the store {}", self.path())
            }
            None => write!(
                f,
                "another daemon, outside this container perhaps, has the store {}",
                self.path()
            ),
        }
    }
}

impl Locks {
    /// Locks every spool directory that there is, if the default sources are run, and an embedded store.
    ///
    /// A store that is held is waited for, for a while. Named files may run beside another daemon: where that one has the
    /// store that nobody named, nor the directory that it is in, state is kept in memory.
    ///
    /// # Errors
    /// Another daemon has one, or another crond runs the system's crontabs: the error says which.
    pub(super) fn take(config: &mut Config) -> anyhow::Result<Self> {
        let is_default = config.sources.iter().any(|source| !source.named);
        let directories: &[&str] = if is_default { &SPOOLS } else { &[] };
        if is_default && nix::unistd::geteuid().is_root() {
            refuse_other_crond(Path::new(PID_FILE))?;
        }
        let mut locks = Locks::of(directories.iter().map(PathBuf::from).collect())?;
        if let Address::Sqlite(path) = &mut config.store.address
            && let Some(target) = sqlite::target(path)
        {
            // The one that is locked, wherever the link leads later.
            *path = target;
        }
        if let Address::Sqlite(path) = &config.store.address {
            let choice = config.store.choice;
            let is_named = choice == StoreChoice::Store;
            let tell = |text: String| {
                trace(&Event::Notice { file: None, text, warning: true }, &config.zone);
            };
            match locks.take_store(path, is_named, PATIENCE, tell) {
                Ok(()) => {}
                Err(held) if !is_default && choice == StoreChoice::Nobody => {
                    config.warnings.push(format!(
                        "{held}: nothing is kept, and what is started from now on may be started again by the next \
                         daemon; --state-dir or --store names another"
                    ));
                    config.store.forgone = Some(format!("{held}: nothing is kept"));
                    config.store.address = Address::Memory;
                }
                Err(Held { path, holder }) => {
                    let who = match holder {
                        Some(Holder { pid, .. }) => format!("the daemon with pid {pid}"),
                        None => "another daemon, outside this container perhaps,".to_owned(),
                    };
                    let path = path.display();
                    anyhow::bail!(
                        "{who} has the store {path}: --state-dir or --store names another"
                    );
                }
            }
        }
        Ok(locks)
    }

    /// Whether the embedded store is locked: if not, it is to be when it is opened.
    pub(super) fn has_store(&self) -> bool {
        self.has_store
    }

    /// Locks an embedded store: two daemons would start everything twice, and take each other's word for their own.
    /// The directory of one that nobody named is made. Where there is none, nothing is locked yet.
    ///
    /// # Errors
    /// Another daemon has it, and still has after that time.
    #[expect(clippy::disallowed_methods, reason = "nobody tells when a lock is let go of")]
    fn take_store(
        &mut self,
        path: &Path,
        is_named: bool,
        Patience { told, longest }: Patience,
        tell: impl FnOnce(String),
    ) -> Result<(), Held> {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if let (Some(folder), false) = (folder, is_named) {
            // Where it cannot be made, there will be no such store.
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        }
        let begun = SystemClock.monotonic();
        let mut tell = Some(tell);
        loop {
            let holder = match sqlite::lock(path) {
                Ok(lock) => {
                    self.held.push(lock);
                    self.has_store = true;
                    return Ok(());
                }
                Err(LockError::Io(_)) => return Ok(()),
                Err(LockError::Held(holder)) => holder,
            };
            let held = Held { path: path.to_owned(), holder };
            let waited = SystemClock.monotonic().saturating_sub(begun);
            if waited >= longest {
                return Err(held);
            }
            if waited >= told
                && let Some(tell) = tell.take()
            {
                tell(format!("{held}: it is waited for, {} s at most", longest.as_secs()));
            }
            thread::sleep(PAUSE);
        }
    }

    fn of(directories: Vec<PathBuf>) -> anyhow::Result<Self> {
        let mut locks = Locks { missing: directories, ..Locks::default() };
        locks.take_more()?;
        Ok(locks)
    }

    /// Locks the directories that have appeared since.
    ///
    /// # Errors
    /// Another daemon has one.
    pub(super) fn take_more(&mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for directory in std::mem::take(&mut self.missing) {
            match Lock::of_directory(&directory) {
                Ok(lock) => self.held.push(lock),
                Err(held @ LockError::Held(_)) => {
                    let held =
                        Err(held).with_context(|| format!("can't lock {}", directory.display()));
                    outcome = outcome.and(held);
                }
                Err(LockError::Io(error)) if error.kind() == ErrorKind::NotFound => {
                    self.missing.push(directory);
                }
                // A directory that cannot be read has no jobs for us; one without locks (NFS) is nobody's to guard.
                Err(LockError::Io(_)) => {}
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;
    use crate::config::Host;

    /// Row 105.
    #[test]
    fn a_directory_that_appears_is_locked_then() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        let mut first = Locks::of(vec![spool.clone()]).unwrap();
        let mut second = Locks::of(vec![spool.clone()]).unwrap();
        std::fs::create_dir(&spool).unwrap();
        first.take_more().unwrap();
        let error = format!("{:#}", second.take_more().unwrap_err());
        assert!(error.starts_with("can't lock ") && error.contains("otherpid may be"), "{error}");
        first.take_more().unwrap();
        assert_eq!(first.held.len(), 1);
    }

    const AT_ONCE: Patience = Patience { told: Duration::ZERO, longest: Duration::ZERO };

    /// Takes a store whose directory is made, at once or not at all.
    fn take(locks: &mut Locks, path: &Path) -> Result<(), Held> {
        locks.take_store(path, false, AT_ONCE, |text| panic!("{text}"))
    }

    /// What the daemon runs by that is told these words, as a user whose state is below `home`.
    fn config(words: &[&str], home: &Path) -> Config {
        let words = ["cronkeep"].iter().chain(words);
        let cli = Cli::try_parse_from(words).unwrap();
        let home = Some(home.to_owned());
        let host = Host { uid: 1000, state_home: home, ..Host::of_process() };
        Config::new(&cli.daemon, &host).unwrap()
    }

    #[test]
    fn a_store_that_is_about_to_be_let_go_of_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cronkeep.db");
        let (mut first, mut second) = (Locks::default(), Locks::default());
        take(&mut first, &path).unwrap();
        let mut told = String::new();
        let patience = Patience { told: Duration::ZERO, longest: Duration::from_secs(60) };
        let tell = |text: String| {
            drop(first);
            told = text;
        };
        second.take_store(&path, false, patience, tell).unwrap();
        let expected = format!(
            "another daemon, pid {}, has the store {}: it is waited for, 60 s at most",
            std::process::id(),
            path.display()
        );
        assert_eq!(told, expected);
        assert!(second.has_store());
    }

    #[test]
    fn a_store_that_is_free_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&["x.crontab"], folder.path());
        let locks = Locks::take(&mut config).unwrap();
        assert!(locks.has_store() && config.warnings.is_empty());
        assert_eq!(config.store.forgone, None);
    }

    #[test]
    fn beside_the_daemon_that_has_the_store_named_files_keep_nothing_and_say_so() {
        let folder = tempfile::tempdir().unwrap();
        let first = Locks::take(&mut config(&["x.crontab"], folder.path())).unwrap();
        let mut second = config(&["y.crontab"], folder.path());
        let locks = Locks::take(&mut second).unwrap();
        assert!(first.has_store() && !locks.has_store());
        assert_eq!(second.store.address, Address::Memory);
        let path = folder.path().join("cronkeep/cronkeep.db");
        let pid = std::process::id();
        let has =
            format!("another daemon, pid {pid}, has the store {}: nothing is kept", path.display());
        assert_eq!(second.store.forgone.as_ref(), Some(&has));
        assert!(second.warnings.len() == 1 && second.warnings[0].starts_with(&has));
    }

    #[test]
    fn a_state_directory_that_was_named_is_not_gone_without() {
        let folder = tempfile::tempdir().unwrap();
        let state = format!("--state-dir={}", folder.path().join("st").display());
        let first = Locks::take(&mut config(&[&state, "x.crontab"], folder.path())).unwrap();
        assert!(first.has_store(), "the directory is made");
        let mut second = config(&[&state, "x.crontab"], folder.path());
        let error = Locks::take(&mut second).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(error.starts_with(&format!("the daemon with pid {pid} has the store ")), "{error}");
    }

    #[test]
    fn the_directory_of_a_store_that_was_named_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("--store=sqlite:{}", folder.path().join("volume/x.db").display());
        let locks = Locks::take(&mut config(&[&store, "x.crontab"], folder.path())).unwrap();
        assert!(!locks.has_store());
        assert!(!folder.path().join("volume").exists());
    }

    #[test]
    fn a_link_and_what_it_leads_to_have_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.db"), folder.path().join("link.db"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut first = Locks::of(Vec::new()).unwrap();
        take(&mut first, &link).unwrap();
        assert!(take(&mut Locks::default(), &path).is_err());
        drop(first);
        let mut first = Locks::of(Vec::new()).unwrap();
        take(&mut first, &path).unwrap();
        assert!(take(&mut Locks::default(), &link).is_err());
        assert!(!folder.path().join("link.db.lock").exists());
    }

    /// Row 105, for a store.
    #[test]
    fn the_second_daemon_on_a_store_learns_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/cronkeep.db");
        let mut first = Locks::default();
        take(&mut first, &path).unwrap();
        assert_eq!(first.held.len(), 1);
        let error = take(&mut Locks::default(), &path).unwrap_err().to_string();
        let pid = std::process::id();
        let expected = format!("another daemon, pid {pid}, has the store {}", path.display());
        assert_eq!(error, expected);
        drop(first);
        take(&mut Locks::default(), &path).unwrap();
    }

    #[test]
    fn one_that_is_held_does_not_keep_others_from_being_locked() {
        let folder = tempfile::tempdir().unwrap();
        let [held, free, later] = ["held", "free", "later"].map(|name| folder.path().join(name));
        let mut locks = Locks::of(vec![held.clone(), free.clone(), later.clone()]).unwrap();
        for name in [&held, &free] {
            std::fs::create_dir(name).unwrap();
        }
        let _other = Locks::of(vec![held]).unwrap();
        assert!(locks.take_more().is_err());
        assert!(Locks::of(vec![free]).is_err());
        assert_eq!(locks.missing, [later]);
    }
}
