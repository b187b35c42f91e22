//! Wall clock and instant: daylight saving gaps and folds as cronie treats them.
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Cursor, Due, Schedule};

/// A time zone with the name it was asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// The name is neither an IANA zone nor a POSIX TZ string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {name:?}")]
pub struct UnknownZone {
    /// The name as given.
    pub name: String,
    /// The most similar IANA name, if one is similar.
    pub similar: Option<String>,
}

impl Zone {
    /// Universal time.
    #[must_use]
    pub fn utc() -> Self {
        Zone { name: "UTC".into(), rules: TimeZone::UTC }
    }

    /// Looks a name up in the built-in database, or reads it as a POSIX TZ string.
    ///
    /// # Errors
    /// The name is neither.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let _ = name;
        todo!()
    }

    /// Wraps rules that came from elsewhere, such as the bytes of /etc/localtime.
    #[must_use]
    pub fn from_rules(name: &str, rules: TimeZone) -> Self {
        Zone { name: name.into(), rules }
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules, for printing instants.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

/// The dues of one schedule in one zone, in order, from a cursor on.
#[derive(Debug, Clone)]
pub struct Fires<'a> {
    _schedule: &'a Schedule,
    _zone: &'a Zone,
    _anchor: Timestamp,
    _cursor: Cursor,
}

impl Iterator for Fires<'_> {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        todo!()
    }
}

impl Schedule {
    /// The dues strictly after `cursor`; `anchor` is where `@every` counts from.
    pub fn fires<'a>(
        &'a self,
        zone: &'a Zone,
        anchor: Timestamp,
        cursor: impl Into<Cursor>,
    ) -> Fires<'a> {
        Fires { _schedule: self, _zone: zone, _anchor: anchor, _cursor: cursor.into() }
    }

    /// The first due strictly after `cursor`.
    #[must_use]
    pub fn next_after(
        &self,
        zone: &Zone,
        anchor: Timestamp,
        cursor: impl Into<Cursor>,
    ) -> Option<Due> {
        self.fires(zone, anchor, cursor).next()
    }

    /// The last due at or before `at`... strictly before it.
    #[must_use]
    pub fn prev_before(&self, zone: &Zone, anchor: Timestamp, before: Timestamp) -> Option<Due> {
        let _ = (zone, anchor, before);
        todo!()
    }

    /// Whether cron treats it as a wildcard entry: minute or hour (or second) field begins with `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        todo!()
    }
}
