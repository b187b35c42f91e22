//! Which crontabs there are to read, and by which rules.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Host;
use crate::args::{FormatArg, ReadingArgs};
use crate::crontab::{Compat, Dialect, Format};

/// The crontab of the system, run when none is named.
pub const DEFAULT_CRONTAB: &str = "/etc/crontab";

/// Where crond keeps the tables of users: a file below is a user's table by its name.
pub const SPOOLS: [&str; 2] = ["/var/spool/cron/crontabs", "/var/spool/cron"];

/// What the program is told by its surroundings rather than by its arguments.

/// A crontab to read, with the rules it is read by.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// As given; `-` is standard input for the commands that allow it.
    pub path: PathBuf,
    /// Format, user and limits.
    pub dialect: Dialect,
    /// Whether it was named on the command line: its owner and mode are not judged.
    pub named: bool,
}

/// Leaves each file in once, however often and by whatever path it was named; says so where one was named again.
pub(super) fn drop_repeated(sources: &mut Vec<SourceSpec>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    sources.retain(|source| {
        let path = &source.path;
        let place = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let new = seen.insert(place.unwrap_or_else(|_| path.clone()));
        if !new {
            warnings.push(format!("{} is named twice; it is read once", path.display()));
        }
        new
    });
    warnings
}

/// The crontabs that `paths` name, or the daemon's default where there are none.
#[must_use]
pub fn sources(paths: &[PathBuf], reading: &ReadingArgs, host: &Host) -> Vec<SourceSpec> {
    let default = [PathBuf::from(DEFAULT_CRONTAB)];
    let named = !paths.is_empty();
    let paths = if named { paths } else { &default };
    paths
        .iter()
        .map(|path| SourceSpec { path: path.clone(), dialect: dialect(path, reading, host), named })
        .collect()
}

/// The rules by which the crontab at `path` is read: format `auto` is judged on the path as given.
#[must_use]
pub fn dialect(path: &Path, reading: &ReadingArgs, host: &Host) -> Dialect {
    let owner = || reading.user.as_deref().unwrap_or(&host.user);
    let table_of = || spool_user(path);
    let format = match reading.format {
        FormatArg::System => Format::System,
        FormatArg::Auto if is_below(path, "/etc") => Format::System,
        FormatArg::User | FormatArg::Auto => Format::User,
    };
    let mut dialect = match (format, table_of()) {
        (Format::System, _) => Dialect::system(),
        (Format::User, Some(user)) => Dialect::spool(reading.user.as_deref().unwrap_or(&user)),
        (Format::User, None) => Dialect::user(owner()),
    };
    dialect.compat = reading.compat.map_or(Compat::Cronkeep, Compat::from);
    dialect
}

/// Whose table a file directly in a spool directory is.
fn spool_user(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let name = path.file_name()?.to_str()?;
    SPOOLS.iter().any(|spool| folder == Path::new(spool)).then(|| name.to_owned())
}

/// Whether a path as given, without looking at the disk, lies below `folder`.
fn is_below(path: &Path, folder: &str) -> bool {
    path.starts_with(folder) && !path.components().any(|part| part == Component::ParentDir)
}
