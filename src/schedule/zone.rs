//! Time zones: names, rules, and the stretches of time between two changes of the offset.

mod fires;
mod stretch;

pub use fires::Fires;

use std::sync::{Arc, LazyLock, OnceLock};

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, civil::DateTime};

use super::spelling::closest;
use super::{Cursor, Due, Schedule};
use stretch::Stretch;

/// The zones that are built in; zones of the host are never read.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone with the name it was asked for by. Cloning it shares everything.
#[derive(Debug, Clone)]
pub struct Zone(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: Box<str>,
    rules: TimeZone,
    /// The stretches of the years in which schedules are asked for, made when first needed.
    near: OnceLock<Vec<Stretch>>,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.name == other.0.name && self.0.rules == other.0.rules)
    }
}

impl Eq for Zone {}

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
        Zone::from_rules("UTC", TimeZone::UTC)
    }

    /// Looks a name up in the built-in database, or reads it as a POSIX TZ string.
    ///
    /// A leading `:` is allowed, as in POSIX. Looking up costs; keep the zone and clone it.
    ///
    /// # Errors
    /// The name is neither.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        Zone::known(name).map_err(|unknown| {
            let similar = unknown.similar.or_else(|| Zone::similar(name));
            UnknownZone { similar, ..unknown }
        })
    }

    /// As [`Zone::named`], without the search for a similar name: it costs milliseconds.
    ///
    /// # Errors
    /// The name is neither; a similar name is given only where nothing but case differs.
    pub fn known(name: &str) -> Result<Self, UnknownZone> {
        let plain = name.strip_prefix(':').unwrap_or(name);
        let database = &*DATABASE;
        if let Ok(rules) = database.get(plain) {
            // The database ignores case, cron and libc do not: names differ from file names nowhere else.
            let exact = rules.iana_name().is_none_or(|iana| iana == plain);
            if exact {
                return Ok(Zone::from_rules(name, rules));
            }
            let similar = rules.iana_name().map(str::to_owned);
            return Err(UnknownZone { name: name.to_owned(), similar });
        }
        if let Ok(rules) = TimeZone::posix(plain) {
            return Ok(Zone::from_rules(name, rules));
        }
        Err(UnknownZone { name: name.to_owned(), similar: None })
    }

    /// The IANA name that is most like `name`, or has its city, if one is similar.
    #[must_use]
    pub fn similar(name: &str) -> Option<String> {
        let plain = name.strip_prefix(':').unwrap_or(name);
        let names: Vec<String> = DATABASE.available().map(|name| name.to_string()).collect();
        let by_city = || {
            let city = |name: &str| name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
            let wanted = city(plain).replace(' ', "_");
            names.iter().find(|name| city(name) == wanted).map(String::as_str)
        };
        closest(plain, names.iter().map(String::as_str)).or_else(by_city).map(str::to_owned)
    }

    /// Wraps rules that came from elsewhere, such as the bytes of /etc/localtime.
    #[must_use]
    pub fn from_rules(name: &str, rules: TimeZone) -> Self {
        Zone(Arc::new(Inner { name: name.into(), rules, near: OnceLock::new() }))
    }

    /// The name it was asked for by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The rules, for printing instants.
    #[must_use]
    pub fn rules(&self) -> &TimeZone {
        &self.0.rules
    }

    /// The wall clock at an instant.
    #[must_use]
    pub fn civil(&self, at: Timestamp) -> DateTime {
        self.0.rules.to_offset(at).to_datetime(at)
    }

    /// The offset in force at an instant.
    #[must_use]
    pub fn offset(&self, at: Timestamp) -> Offset {
        self.0.rules.to_offset(at)
    }

    /// The changes of the offset after `from` and up to `to`: the instant, the offsets before and after it.
    ///
    /// A change of the zone's abbreviation or daylight saving flag alone is none.
    #[must_use]
    pub fn changes(&self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Offset, Offset)> {
        let mut changes = Vec::new();
        let mut stretch = self.stretch(from.as_second());
        while let Some(next) = self.following(&stretch) {
            let Ok(at) = Timestamp::from_second(next.start) else { break };
            if at > to {
                break;
            }
            if let (Ok(before), Ok(after)) =
                (Offset::from_seconds(stretch.offset), Offset::from_seconds(next.offset))
            {
                changes.push((at, before, after));
            }
            stretch = next;
        }
        changes
    }

    /// The instant for which a time of the wall clock stands: the first of two, and the end of the gap for a
    /// time that a gap skips.
    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.0.rules.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            jiff::tz::AmbiguousOffset::Gap { before, .. } => {
                let late = before.to_timestamp(civil).ok()?;
                Timestamp::from_second(self.stretch(late.as_second()).start).ok()
            }
            _ => ambiguous.earlier().ok(),
        }
    }
}

impl Schedule {
    /// The dues strictly after `cursor`, in order; `anchor` is where `@every` counts from.
    ///
    /// Civil times become instants by the rules of cronie's main loop, without its pauses and with every change
    /// of the offset taken into account (`fires_offset_tracked` and `fires_unthrottled` of dst.jsonl):
    /// - a wildcard schedule follows the wall clock: what a gap skips does not exist, what a fold repeats runs
    ///   again;
    /// - any other schedule follows a virtual clock: what a gap skips is due at the end of the gap, in order, and
    ///   what a fold repeats is not due again;
    /// - a gap of less than five minutes is made up for by both; a gap of three hours or more is jumped over, and
    ///   after a fold of more than three hours everything runs again.
    pub fn fires<'a>(
        &'a self,
        zone: &'a Zone,
        anchor: Timestamp,
        cursor: impl Into<Cursor>,
    ) -> Fires<'a> {
        Fires::new(self, zone, anchor, cursor.into())
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

    /// The last due strictly before `before`.
    ///
    /// Of several dues at one instant it is the one with the latest civil time.
    #[must_use]
    pub fn prev_before(&self, zone: &Zone, anchor: Timestamp, before: Timestamp) -> Option<Due> {
        fires::prev_before(self, zone, anchor, before)
    }

    /// Whether cron treats it as a wildcard entry: minute or hour (or second) field begins with `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        match self {
            Schedule::Calendar(calendar) => calendar.minute_star || calendar.hour_star,
            Schedule::Extended(extended) => extended.fields().wildcard,
            _ => false,
        }
    }
}
