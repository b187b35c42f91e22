//! The dues of a schedule, one after the other.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::Offset;

use super::Zone;
use super::stretch::Stretch;
use crate::schedule::{At, Cursor, Due, Every, Schedule};

/// How long a schedule may fall into gaps only before it counts as never due: 41 years, in seconds.
const HORIZON: i64 = 41 * 366 * 86_400;

/// The dues of one schedule in one zone, in order, from a cursor on.
///
/// It remembers the stretch of time in which it is, so that a further due costs about 100 ns.
#[derive(Debug, Clone)]
pub struct Fires<'a> {
    schedule: &'a Schedule,
    zone: &'a Zone,
    anchor: Timestamp,
    cursor: Cursor,
    place: Option<Place>,
}

/// Where a search on the wall clock stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    stretch: Stretch,
    /// Nothing at or before this local second is still to come.
    behind: i64,
}

impl<'a> Fires<'a> {
    pub(super) fn new(
        schedule: &'a Schedule,
        zone: &'a Zone,
        anchor: Timestamp,
        cursor: Cursor,
    ) -> Self {
        Fires { schedule, zone, anchor, cursor, place: None }
    }

    /// The next due of a schedule that follows the wall clock.
    fn next_civil(&mut self) -> Option<Due> {
        let (wildcard, seconds) = (self.schedule.is_wildcard(), has_seconds(self.schedule));
        let Place { mut stretch, mut behind } =
            self.place.unwrap_or_else(|| start(self.zone, self.cursor));
        behind = behind.max(stretch.from(wildcard, seconds) - 1);
        let mut found = search(self.schedule, behind)?;
        let horizon = found.0.saturating_add(HORIZON);
        while found.0 > stretch.last_local() {
            if stretch.last_local() > horizon {
                return None;
            }
            stretch = self.zone.following(&stretch)?;
            let from = stretch.from(wildcard, seconds) - 1;
            // What was found stands, unless the new stretch begins behind it or repeats what was passed.
            if from < behind || from >= found.0 {
                found = search(self.schedule, from)?;
            }
            behind = from;
        }
        self.place = Some(Place { stretch, behind: found.0 });
        Some(Due { at: Timestamp::from_second(stretch.instant(found.0)).ok()?, civil: found.1 })
    }
}

impl Iterator for Fires<'_> {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let due = match self.schedule {
            Schedule::Calendar(_) | Schedule::Extended(_) => return self.next_civil(),
            Schedule::Every(every) => next_every(*every, self.zone, self.anchor, self.cursor),
            Schedule::At(at) => only(*at, self.zone).filter(|due| is_after(*due, self.cursor)),
            Schedule::Reboot | Schedule::After(_) => None,
        }?;
        self.cursor = Cursor::Due(due);
        Some(due)
    }
}

/// Where the search for what follows `cursor` begins.
fn start(zone: &Zone, cursor: Cursor) -> Place {
    match cursor {
        Cursor::Instant(at) => {
            let second = floor(at);
            let stretch = zone.stretch(second);
            Place { stretch, behind: stretch.local(second) }
        }
        Cursor::Due(due) => {
            let second = floor(due.at);
            let stretch = zone.stretch(second);
            let local = stretch.local(second);
            // At the start of a stretch skipped times are due one after the other, at one instant.
            let made_up = second == stretch.start;
            let behind = if made_up { local.min(seconds_of(due.civil)) } else { local };
            Place { stretch, behind }
        }
    }
}

/// The first matching local second after `behind`, with its wall clock time.
fn search(schedule: &Schedule, behind: i64) -> Option<(i64, DateTime)> {
    let civil = civil_of(behind)?;
    let found = match schedule {
        Schedule::Calendar(calendar) => calendar.next_after(civil),
        Schedule::Extended(extended) => extended.next_after(civil),
        _ => None,
    }?;
    Some((seconds_of(found), found))
}

/// The last due before `before`.
pub(super) fn prev_before(
    schedule: &Schedule,
    zone: &Zone,
    anchor: Timestamp,
    before: Timestamp,
) -> Option<Due> {
    match schedule {
        Schedule::Calendar(_) | Schedule::Extended(_) => prev_civil(schedule, zone, before),
        Schedule::Every(every) => {
            let period = i64::try_from(every.seconds).ok()?.max(1);
            let count = (ceiling(before) - 1 - floor(anchor)).div_euclid(period);
            let at = floor(anchor).checked_add(count.checked_mul(period)?)?;
            (count >= 1).then(|| due_at(zone, at))?
        }
        Schedule::At(at) => only(*at, zone).filter(|due| due.at < before),
        Schedule::Reboot | Schedule::After(_) => None,
    }
}

fn prev_civil(schedule: &Schedule, zone: &Zone, before: Timestamp) -> Option<Due> {
    let (wildcard, seconds) = (schedule.is_wildcard(), has_seconds(schedule));
    let last = ceiling(before) - 1;
    let mut stretch = zone.stretch(last);
    let mut limit = stretch.local(last);
    loop {
        let civil = civil_of(limit + 1)?;
        let found = match schedule {
            Schedule::Calendar(calendar) => calendar.prev_before(civil),
            Schedule::Extended(extended) => extended.prev_before(civil),
            _ => None,
        }?;
        let local = seconds_of(found);
        if local >= stretch.from(wildcard, seconds) {
            let at = Timestamp::from_second(stretch.instant(local)).ok()?;
            return Some(Due { at, civil: found });
        }
        stretch = zone.preceding(&stretch)?;
        limit = stretch.last_local();
    }
}

fn next_every(every: Every, zone: &Zone, anchor: Timestamp, cursor: Cursor) -> Option<Due> {
    let behind = match cursor {
        Cursor::Instant(at) => floor(at),
        Cursor::Due(due) => floor(due.at),
    };
    let period = i64::try_from(every.seconds).ok()?.max(1);
    let count = ((behind - floor(anchor)).div_euclid(period) + 1).max(1);
    due_at(zone, floor(anchor).checked_add(count.checked_mul(period)?)?)
}

/// The one due of `@at`.
fn only(at: At, zone: &Zone) -> Option<Due> {
    match at {
        At::Instant(at) => Some(Due { at, civil: zone.civil(at) }),
        At::Civil(civil) => Some(Due { at: zone.instant(civil)?, civil }),
    }
}

fn is_after(due: Due, cursor: Cursor) -> bool {
    match cursor {
        Cursor::Instant(at) => due.at > at,
        Cursor::Due(last) => due > last,
    }
}

fn due_at(zone: &Zone, second: i64) -> Option<Due> {
    let at = Timestamp::from_second(second).ok()?;
    Some(Due { at, civil: zone.civil(at) })
}

fn has_seconds(schedule: &Schedule) -> bool {
    matches!(schedule, Schedule::Extended(_))
}

fn floor(at: Timestamp) -> i64 {
    at.as_second() - i64::from(at.subsec_nanosecond() < 0)
}

fn ceiling(at: Timestamp) -> i64 {
    at.as_second() + i64::from(at.subsec_nanosecond() > 0)
}

/// A wall clock time as seconds, as if it were universal time.
fn seconds_of(civil: DateTime) -> i64 {
    // Days since 1970 in the proleptic Gregorian calendar, years counted from March (Howard Hinnant).
    let year = i64::from(civil.year()) - i64::from(civil.month() <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let month = (i64::from(civil.month()) + 9) % 12;
    let of_year = (153 * month + 2) / 5 + i64::from(civil.day()) - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let time =
        i64::from(civil.hour()) * 3600 + i64::from(civil.minute()) * 60 + i64::from(civil.second());
    days * 86_400 + time
}

/// The inverse of [`seconds_of`]; before or after all time it is the first or the last second.
fn civil_of(seconds: i64) -> Option<DateTime> {
    match Timestamp::from_second(seconds) {
        Ok(at) => Some(Offset::UTC.to_datetime(at)),
        Err(_) if seconds < 0 => Some(DateTime::MIN),
        Err(_) => DateTime::MAX.date().to_datetime(Time::MAX).into(),
    }
}

#[cfg(test)]
mod tests;
