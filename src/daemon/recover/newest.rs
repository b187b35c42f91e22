//! The newest version of a signed snapshot that was seen here: an older one may have been put back by somebody who has no
//! key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::deposit::{self, BadDeposit};

/// Where the newest version is kept.
#[derive(Debug, Clone)]
pub(super) struct Newest(PathBuf);

impl Newest {
    /// In the state directory, for a namespace.
    pub(super) fn new(state_dir: &Path, namespace: &str) -> Self {
        Newest(deposit::newest(state_dir, namespace))
    }

    /// Takes note of a version.
    ///
    /// # Errors
    /// A newer one was seen before.
    pub(super) fn check(&self, version: u64) -> Result<(), BadDeposit> {
        if version > deposit::check_newest(self.0.clone(), version)? {
            self.note(version);
        }
        Ok(())
    }

    /// Takes note of a version that was put here.
    pub(super) fn note(&self, version: u64) {
        // Where nothing can be kept, nothing can be compared with.
        let _ = self.write(version);
    }

    fn write(&self, version: u64) -> io::Result<()> {
        let mut new = self.0.clone().into_os_string();
        new.push(".new");
        fs::write(&new, format!("{version}\n"))?;
        fs::rename(new, &self.0)
    }
}
