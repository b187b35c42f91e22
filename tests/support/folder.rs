//! Folders that others write to while they are removed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

/// Removes a folder and all in it; again where somebody put something into it meanwhile, such as what a daemon notes of a
/// crontab beside it.
pub(crate) fn remove(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = fs::remove_dir_all(path) {
        let is_busy = error.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < deadline;
        assert!(is_busy, "{}: {error}", path.display());
    }
}
