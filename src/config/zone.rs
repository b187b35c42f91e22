//! The zone of entries that name none.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::Host;
use crate::exit::UsageError;
use crate::schedule::{UnknownZone, Zone};

/// The default zone, and what its owner should know about how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundZone {
    /// The zone.
    pub zone: Zone,
    /// In words, where the zone is a guess.
    pub warning: Option<String>,
}

/// Why there is no default zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The name is no zone.
    #[error(
        "{origin}: {unknown}{}; write an IANA name such as Europe/Berlin, or a POSIX string such as CET-1",
        similar(unknown)
    )]
    Unknown {
        /// The option or variable that named it.
        origin: &'static str,
        /// The name.
        unknown: UnknownZone,
    },
    /// The variable `TZ` names a file that holds no zone.
    #[error("TZ: {} is no time zone file: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// In words.
        reason: String,
    },
}

fn similar(unknown: &UnknownZone) -> String {
    unknown.similar.as_ref().map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

impl From<ZoneError> for UsageError {
    fn from(error: ZoneError) -> Self {
        UsageError(error.to_string())
    }
}

/// The zone of entries that name none: `--tz` or `CRONKEEP_TZ`, then `TZ`, then /etc/localtime.
///
/// A machine without /etc/localtime, or with one that cannot be read, is in UTC, with a warning.
///
/// # Errors
/// The option or `TZ` names something that is no zone: running at other times than were asked for is worse than not
/// running.
pub fn default_zone(option: Option<&str>, host: &Host) -> Result<FoundZone, ZoneError> {
    if let Some(name) = option {
        let zone = named("--tz", name)?;
        return Ok(FoundZone { zone, warning: None });
    }
    if let Some(value) = &host.tz {
        let zone = from_variable(&value.to_string_lossy())?;
        return Ok(FoundZone { zone, warning: None });
    }
    Ok(from_localtime(&host.localtime))
}

fn named(origin: &'static str, name: &str) -> Result<Zone, ZoneError> {
    Zone::named(name).map_err(|unknown| ZoneError::Unknown { origin, unknown })
}

/// `TZ` as tzset(3) reads it: empty is UTC, a leading colon is skipped, a path names a file.
fn from_variable(value: &str) -> Result<Zone, ZoneError> {
    let name = value.strip_prefix(':').unwrap_or(value);
    if name.is_empty() {
        return Ok(Zone::utc());
    }
    if !name.starts_with('/') {
        return named("TZ", name);
    }
    let path = Path::new(name);
    if let Some(zone) = zone_of_path(path) {
        return Ok(zone);
    }
    from_file(path).map_err(|reason| ZoneError::File { path: path.to_owned(), reason })
}

fn from_localtime(path: &Path) -> FoundZone {
    // Only the link's text is needed: an image without tzdata has a link that leads nowhere.
    let linked = fs::read_link(path).ok().and_then(|target| zone_of_path(&target));
    if let Some(zone) = linked {
        return FoundZone { zone, warning: None };
    }
    match from_file(path) {
        Ok(zone) => FoundZone { zone, warning: None },
        Err(reason) => FoundZone {
            zone: Zone::utc(),
            warning: Some(format!(
                "no local time zone, using UTC: {}: {reason}; set TZ or --tz",
                path.display()
            )),
        },
    }
}

/// The zone that a path into a zoneinfo tree names: `/usr/share/zoneinfo/Europe/Berlin`.
fn zone_of_path(path: &Path) -> Option<Zone> {
    let (_, name) = path.to_str()?.rsplit_once("zoneinfo/")?;
    let name = name.strip_prefix("posix/").unwrap_or(name);
    Zone::named(name).ok()
}

fn from_file(path: &Path) -> Result<Zone, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let name = path.display().to_string();
    let rules = TimeZone::tzif(&name, &bytes).map_err(|error| error.to_string())?;
    Ok(Zone::from_rules(&name, rules))
}
