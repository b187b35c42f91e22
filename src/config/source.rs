//! Which crontabs there are to read, and by which rules.

use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Host;
use crate::args::{CronDNamesArg, FormatArg, ReadingArgs};
use crate::crontab::{Compat, Dialect, Format, Origin};
use crate::watch::{self, Names, Shape, Surveyed, Trouble, Trust};

/// The crontab of the system.
pub const DEFAULT_CRONTAB: &str = "/etc/crontab";

/// The directory of the system's further crontabs.
pub const CRON_D: &str = "/etc/cron.d";

/// Where crond keeps the tables of users: a file below is a user's table by its name.
pub const SPOOLS: [&str; 2] = ["/var/spool/cron/crontabs", "/var/spool/cron"];

/// What only Debian and its relatives have; their cron reads no file in /etc/cron.d with a dot in its name.
const DEBIAN: &str = "/etc/debian_version";

/// A crontab to read, with the rules it is read by.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// As given; `-` is standard input for the commands that allow it.
    pub path: PathBuf,
    /// Format, user and limits.
    pub dialect: Dialect,
    /// Whether it was itself named on the command line: its owner and mode are not judged.
    pub named: bool,
    /// Whose files are taken there.
    pub trust: Trust,
}

/// A place of crontabs, with the rules those found there are read by.
#[derive(Debug, Clone)]
pub struct PlaceSpec {
    /// Where, and which files there are taken.
    pub place: watch::Place,
    /// Whether it was named on the command line.
    pub named: bool,
    rules: Rules,
}

/// How crontabs are read, wherever they are.
#[derive(Debug, Clone)]
struct Rules {
    format: FormatArg,
    compat: Compat,
    /// Whose a table is that belongs to nobody by its path.
    user: String,
    /// Whose a table in a spool is, if not the user's whose name it has.
    spool_user: Option<String>,
    strict: bool,
}

impl PlaceSpec {
    /// The rules by which a file at this place is read; `file` is the place's own path, or one in it.
    #[must_use]
    pub fn dialect(&self, file: &Path) -> Dialect {
        self.rules.dialect(file)
    }
}

/// What the daemon's options say of sources, beside how they are read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Strictness {
    pub(super) permissive: bool,
    pub(super) strict: bool,
    pub(super) cron_d_names: Option<CronDNamesArg>,
}

/// The places that `paths` name, or the default ones where there are none.
pub(super) fn places(
    paths: &[PathBuf],
    reading: &ReadingArgs,
    host: &Host,
    strictness: Strictness,
) -> Vec<PlaceSpec> {
    let rules = Rules { strict: strictness.strict, ..Rules::new(reading, host) };
    let named = !paths.is_empty();
    let with_rules = |mut place: watch::Place| {
        let mut rules = rules.clone();
        if place.names == Names::Users {
            // --user is for the one table that somebody names: in a spool each belongs to the user it is named after.
            rules.spool_user = None;
        }
        if strictness.permissive && place.trust != Trust::Named {
            place.trust = Trust::Any;
        }
        PlaceSpec { place, named, rules }
    };
    if named {
        let place = |path: &PathBuf| with_rules(named_place(path, &rules, strictness.cron_d_names));
        return paths.iter().map(place).collect();
    }
    let default = |path: &str, shape, names, trust| {
        with_rules(watch::Place { path: path.into(), shape, names, trust, expected: false })
    };
    let of_packages = cron_d_names(strictness.cron_d_names);
    let mut places = vec![
        default(DEFAULT_CRONTAB, Shape::File, Names::Cronie, Trust::System),
        default(CRON_D, Shape::Folder, of_packages, Trust::System),
    ];
    let spools = SPOOLS.map(|spool| default(spool, Shape::Folder, Names::Users, Trust::Spool));
    places.extend(spools);
    places
}

/// What was named: one of the default directories by its own rules, anything else whatever it is.
fn named_place(path: &Path, rules: &Rules, names: Option<CronDNamesArg>) -> watch::Place {
    let place = watch::Place::from(path.to_owned());
    let is = |folder: &str| path.components().eq(Path::new(folder).components());
    let of_users = rules.dialect(&path.join("x")).origin == Origin::Spool;
    if SPOOLS.iter().any(|spool| is(spool)) && of_users {
        let (names, trust) = (Names::Users, Trust::Spool);
        return watch::Place { shape: Shape::Folder, names, trust, ..place };
    }
    if is(CRON_D) {
        let (names, trust) = (cron_d_names(names), Trust::System);
        return watch::Place { shape: Shape::Folder, names, trust, ..place };
    }
    place
}

/// Whose rule for names holds in /etc/cron.d (reference row 69).
fn cron_d_names(asked: Option<CronDNamesArg>) -> Names {
    let by_host = || {
        let is_debian = Path::new(DEBIAN).exists();
        if is_debian { CronDNamesArg::Debian } else { CronDNamesArg::Cronie }
    };
    match asked.unwrap_or_else(by_host) {
        CronDNamesArg::Debian => Names::Debian,
        CronDNamesArg::Cronie => Names::Cronie,
    }
}

/// Leaves each place in once, however often and by whatever path it was named; says so where one was named again.
pub(super) fn drop_repeated(places: &mut Vec<PlaceSpec>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    places.retain(|spec| {
        let path = &spec.place.path;
        let place = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let new = seen.insert(place.unwrap_or_else(|_| path.clone()));
        if !new {
            warnings.push(format!("{} is named twice; it is read once", path.display()));
        }
        new
    });
    warnings
}

/// The crontabs that `paths` name (of a directory, those in it), or those at the daemon's default places where there
/// are none; where there are none either, /etc/crontab.
///
/// A directory that cannot be had is given as it is, for the caller to find that out; a spool that is closed to us, or
/// a default one that does not exist, is passed over.
#[must_use]
pub fn sources(paths: &[PathBuf], reading: &ReadingArgs, host: &Host) -> Vec<SourceSpec> {
    let mut sources = Vec::new();
    for spec in places(paths, reading, host, Strictness::default()) {
        let PlaceSpec { place, named, .. } = &spec;
        // What was found in a named directory is judged as by the daemon.
        let (found, named) = match watch::survey(place) {
            Ok(found) => {
                let is_itself = |file: &Surveyed| file.path == place.path;
                let named = *named && found.iter().any(is_itself);
                (found, named)
            }
            Err(Trouble::Missing) if !named => continue,
            Err(_) if !named && host.uid != 0 => continue,
            Err(_) => (vec![Surveyed { path: place.path.clone(), trust: place.trust }], *named),
        };
        for Surveyed { path, trust } in found {
            if spec.named || place.shape == Shape::Folder || path.exists() {
                let dialect = spec.dialect(&path);
                sources.push(SourceSpec { path, dialect, named, trust });
            }
        }
    }
    if sources.is_empty() && paths.is_empty() {
        let path = PathBuf::from(DEFAULT_CRONTAB);
        let dialect = dialect(&path, reading, host);
        sources.push(SourceSpec { path, dialect, named: false, trust: Trust::System });
    }
    sources
}

/// The rules by which the crontab at `path` is read: format `auto` is judged on the path as given.
#[must_use]
pub fn dialect(path: &Path, reading: &ReadingArgs, host: &Host) -> Dialect {
    Rules::new(reading, host).dialect(path)
}

impl Rules {
    fn new(reading: &ReadingArgs, host: &Host) -> Self {
        Rules {
            format: reading.format,
            compat: reading.compat.map_or(Compat::Cronkeep, Compat::from),
            user: reading.user.clone().unwrap_or_else(|| host.user.clone()),
            spool_user: reading.user.clone(),
            strict: false,
        }
    }

    fn dialect(&self, path: &Path) -> Dialect {
        let format = match self.format {
            FormatArg::System => Format::System,
            FormatArg::Auto if is_below(path, "/etc") => Format::System,
            FormatArg::User | FormatArg::Auto => Format::User,
        };
        let mut dialect = match (format, spool_user(path)) {
            (Format::System, _) => Dialect::system(),
            (Format::User, Some(user)) => {
                Dialect::spool(self.spool_user.as_deref().unwrap_or(&user))
            }
            (Format::User, None) => Dialect::user(&self.user),
        };
        dialect.compat = self.compat;
        dialect.strict = self.strict;
        dialect
    }
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
