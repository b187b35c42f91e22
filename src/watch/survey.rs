//! A single look at a place, for those who do not watch it.
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::folder::Folder;
use super::notice::Trouble;
use super::place::{Names, Place, Shape, Trust};
use super::read::{self, At, Text, is_folder};
use super::site::guard;
use super::trust::Guard;

/// A file that was found at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its path: of the place as typed, with the file's name added where it is in a directory.
    pub path: PathBuf,
    /// Whose files are taken there.
    pub trust: Trust,
}

/// The files at a place: itself, or those of the directory that are crontabs by their names, in the order of these.
///
/// # Errors
/// The directory cannot be had; why.
pub fn survey(place: &Place) -> Result<Vec<Surveyed>, Trouble> {
    let trust = place.trust;
    let is_folder_here = match place.shape {
        Shape::File => false,
        Shape::Folder => true,
        Shape::Either => fs::metadata(&place.path).is_ok_and(|found| found.is_dir()),
    };
    if !is_folder_here {
        return Ok(vec![Surveyed { path: place.path.clone(), trust }]);
    }
    let list = || {
        let folder = Folder::open(&place.path)?;
        let items = folder.items()?;
        Ok((folder, items))
    };
    let (folder, items) = list().map_err(|error| read::trouble(&error).trouble)?;
    let is_file = |name: &std::ffi::OsStr| {
        folder.stat(name, trust.follows()).is_ok_and(|stat| !is_folder(&stat))
    };
    let items = items.into_iter().filter(|item| !item.is_folder && place.names.takes(&item.name));
    Ok(items
        .filter(|item| is_file(&item.name))
        .map(|item| Surveyed { path: place.path.join(item.name), trust })
        .collect())
}

/// Reads the file that a [`survey`] found, by the rules of its place; with [`Trust::Named`] it was found in a directory.
///
/// # Errors
/// It cannot be had, or is not taken.
pub fn read_once(file: &Surveyed) -> Result<Vec<u8>, Trouble> {
    let us = geteuid().as_raw();
    let look = if file.trust == Trust::Spool {
        let Some(name) = file.path.file_name() else { return Err(Trouble::Missing) };
        let folder =
            Folder::open(folder_of(&file.path)).map_err(|error| read::trouble(&error).trouble)?;
        guard(file.trust, Names::Users, name, us)
            .and_then(|guard| read::look(At::In(&folder, name, false), &guard))
    } else {
        let shared = file.trust == Trust::Named && is_in_shared_folder(&file.path);
        guard(file.trust, Names::Cronie, file.path.as_os_str(), us)
            .map(|guard| Guard { shared, ..guard })
            .and_then(|guard| read::look(At::Path(&file.path), &guard))
    };
    look.map(|Text { bytes, .. }| bytes).map_err(|failure| failure.trouble)
}

/// The directory that a file is in, by its path.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Whether everybody may put files into the directory that a file is in.
fn is_in_shared_folder(file: &Path) -> bool {
    Folder::open(folder_of(file)).is_ok_and(|folder| folder.is_shared())
}
