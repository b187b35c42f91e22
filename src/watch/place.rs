//! Where crontabs are, as the configuration says.
use std::path::PathBuf;

pub use super::name::Names;
pub use super::trust::Trust;

/// A file, or a directory of files, that is watched.
#[derive(Debug, Clone)]
pub struct Place {
    /// As typed: what it and its files are reported by.
    pub path: PathBuf,
    /// What is to be there.
    pub shape: Shape,
    /// Which of a directory's files are crontabs.
    pub names: Names,
    /// Whose files are taken.
    pub trust: Trust,
    /// Whether somebody counts on it: its absence is worth a word.
    pub expected: bool,
}

/// What is to be at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One crontab. When it disappears its last version stays in force.
    File,
    /// A directory of crontabs. A file that disappears takes its jobs with it.
    Folder,
    /// Whichever is found there.
    Either,
}

impl From<PathBuf> for Place {
    /// What was named on a command line: a file, or a directory.
    fn from(path: PathBuf) -> Self {
        Place {
            path,
            shape: Shape::Either,
            names: Names::Cronie,
            trust: Trust::Named,
            expected: true,
        }
    }
}
