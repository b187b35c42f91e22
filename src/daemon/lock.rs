//! One daemon for each spool.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::background::{PID_FILE, refuse_other_crond};
use crate::config::{Config, SPOOLS};
use crate::store::{Address, sqlite};
use crate::unix::lock::{Holder, Lock, LockError};

/// The locks on the spool directories that are read, none for named files, and on an embedded store.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: Vec<Lock>,
    /// The directories that did not exist yet.
    missing: Vec<PathBuf>,
}

impl Locks {
    /// Locks every spool directory that there is, if the default sources are run, and an embedded store.
    ///
    /// Named files may run beside another daemon: where that one has the store that nobody named, state is kept in memory.
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
            match locks.take_store(path) {
                Err(held) if !is_default && !config.store.named => {
                    config
                        .warnings
                        .push(format!("{held:#}; without it state ends with this daemon"));
                    config.store.address = Address::Memory;
                }
                taken => taken?,
            }
        }
        Ok(locks)
    }

    /// Locks an embedded store: two daemons would start everything twice, and take each other's word for their own.
    fn take_store(&mut self, path: &Path) -> anyhow::Result<()> {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        if let Some(folder) = folder {
            // Where it cannot be made, there will be no such store.
            let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        }
        match sqlite::lock(path) {
            Ok(lock) => self.held.push(lock),
            Err(LockError::Held(holder)) => {
                let who = match holder {
                    Some(Holder { pid, .. }) => format!("the daemon with pid {pid}"),
                    None => "another daemon, outside this container perhaps,".to_owned(),
                };
                anyhow::bail!(
                    "{who} has the store {}: --state-dir or --store names another",
                    path.display()
                );
            }
            Err(LockError::Io(_)) => {}
        }
        Ok(())
    }

    fn of(directories: Vec<PathBuf>) -> anyhow::Result<Self> {
        let mut locks = Locks { held: Vec::new(), missing: directories };
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
    use super::*;

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

    #[test]
    fn a_link_and_what_it_leads_to_have_one_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.db"), folder.path().join("link.db"));
        std::fs::write(&path, "").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut first = Locks::of(Vec::new()).unwrap();
        first.take_store(&link).unwrap();
        assert!(Locks::of(Vec::new()).unwrap().take_store(&path).is_err());
        drop(first);
        let mut first = Locks::of(Vec::new()).unwrap();
        first.take_store(&path).unwrap();
        assert!(Locks::of(Vec::new()).unwrap().take_store(&link).is_err());
        assert!(!folder.path().join("link.db.lock").exists());
    }

    /// Row 105, for a store.
    #[test]
    fn the_second_daemon_on_a_store_learns_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/cronkeep.db");
        let locks = || Locks::of(Vec::new()).unwrap();
        let mut first = locks();
        first.take_store(&path).unwrap();
        assert_eq!(first.held.len(), 1);
        let error = format!("{:#}", locks().take_store(&path).unwrap_err());
        let pid = std::process::id();
        let expected = format!("the daemon with pid {pid} has the store {}: ", path.display());
        assert!(error.starts_with(&expected), "{error}");
        drop(first);
        locks().take_store(&path).unwrap();
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
