//! The dues of several schedules, merged into one order.

use std::vec;

use jiff::{SignedDuration, Timestamp};

use crate::schedule::zone::Fires;
use crate::schedule::{Cursor, Due, Schedule, Zone};

/// The first span of time that is searched at once.
const FIRST_SPAN: SignedDuration = SignedDuration::from_mins(1);
/// A span with fewer dues is followed by one twice as long.
const FEW: usize = 1 << 14;
/// A span with more dues is followed by one half as long.
const MANY: usize = 1 << 16;

/// A schedule in its zone, for a span of time.
#[derive(Debug, Clone, Copy)]
pub(in crate::command) struct Track<'a> {
    /// When it is due.
    pub(in crate::command) schedule: &'a Schedule,
    /// The zone of its wall clock.
    pub(in crate::command) zone: &'a Zone,
    /// Where `@every` counts from.
    pub(in crate::command) anchor: Timestamp,
    /// Where it begins.
    pub(in crate::command) cursor: Cursor,
    /// Where it ends, exclusive.
    pub(in crate::command) until: Option<Timestamp>,
}

/// The cursor from which on everything due at or after `from` is still to come.
#[must_use]
pub(in crate::command) fn from_inclusive(from: Timestamp) -> Cursor {
    Cursor::Instant(from.saturating_sub(SignedDuration::from_nanos(1)).unwrap_or(from))
}

/// The dues of every track, by instant, then wall-clock time, then the track's index.
///
/// Searched span by span: each track in turn, then one sort. Thousands of tracks in a heap would miss the
/// processor's cache at every due.
#[derive(Debug)]
pub(in crate::command) struct Timeline<'a> {
    tracks: Vec<Pending<'a>>,
    span: SignedDuration,
    found: vec::IntoIter<(Due, u32)>,
}

/// What is left of a track.
#[derive(Debug)]
struct Pending<'a> {
    index: u32,
    next: Due,
    fires: Fires<'a>,
    until: Timestamp,
}

impl<'a> Timeline<'a> {
    /// Merges `tracks`; a track's index is its place.
    #[must_use]
    pub(in crate::command) fn new(tracks: impl IntoIterator<Item = Track<'a>>) -> Self {
        let pending = |(index, track): (u32, Track<'a>)| {
            let mut fires = track.schedule.fires(track.zone, track.anchor, track.cursor);
            let until = track.until.unwrap_or(Timestamp::MAX);
            let next = fires.next().filter(|due| due.at < until)?;
            Some(Pending { index, next, fires, until })
        };
        let tracks = (0..).zip(tracks).filter_map(pending).collect();
        Timeline { tracks, span: FIRST_SPAN, found: Vec::new().into_iter() }
    }

    /// Finds the dues of the next span that has any.
    fn search(&mut self) {
        let Some(first) = self.tracks.iter().map(|track| track.next.at).min() else { return };
        let end = first.saturating_add(self.span).unwrap_or(Timestamp::MAX);
        let mut found = Vec::new();
        self.tracks.retain_mut(|track| {
            while track.next.at < end {
                found.push((track.next, track.index));
                match track.fires.next().filter(|due| due.at < track.until) {
                    Some(next) => track.next = next,
                    None => return false,
                }
            }
            true
        });
        found.sort_unstable();
        self.span = match found.len() {
            ..FEW => self.span.saturating_mul(2),
            FEW..MANY => self.span,
            MANY.. => (self.span / 2).max(FIRST_SPAN),
        };
        self.found = found.into_iter();
    }
}

impl Iterator for Timeline<'_> {
    type Item = (usize, Due);

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.len() == 0 {
            self.search();
        }
        let (due, index) = self.found.next()?;
        Some((index as usize, due))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crontab::{Compat, FieldCount, expression};

    fn schedule(text: &str) -> Schedule {
        expression::parse(text.as_bytes(), FieldCount::Auto, Compat::Cronkeep)
            .unwrap()
            .when
            .resolve(0)
    }

    fn track<'a>(schedule: &'a Schedule, zone: &'a Zone, from: Timestamp) -> Track<'a> {
        Track { schedule, zone, anchor: from, cursor: from_inclusive(from), until: None }
    }

    #[test]
    fn rare_and_frequent_schedules_keep_the_order_of_time() {
        let zone = Zone::utc();
        let schedules = ["0 0 29 2 *", "* * * * * *", "*/7 * * * *", "@every 13s"].map(schedule);
        let from = "2026-02-28T23:00:00Z".parse().unwrap();
        let tracks = schedules.iter().map(|schedule| track(schedule, &zone, from));
        let merged: Vec<_> = Timeline::new(tracks).take(50_000).collect();
        assert!(merged.is_sorted_by_key(|(index, due)| (*due, *index)));
        for (index, schedule) in schedules.iter().enumerate() {
            let ours: Vec<Due> =
                merged.iter().filter(|(at, _)| *at == index).map(|(_, due)| *due).collect();
            let alone: Vec<Due> =
                schedule.fires(&zone, from, from_inclusive(from)).take(ours.len()).collect();
            assert_eq!(ours, alone);
        }
    }

    #[test]
    fn a_track_that_never_fires_is_left_out() {
        let zone = Zone::utc();
        let never = schedule("0 0 31 2 *");
        assert_eq!(Timeline::new([track(&never, &zone, Timestamp::UNIX_EPOCH)]).next(), None);
    }

    proptest! {
        #[test]
        fn the_merge_is_the_sorted_union(
            fields in proptest::collection::vec((0u32..60, 0u32..24), 1..12),
            hours in 1i64..200,
        ) {
            let zone = Zone::named("Europe/Berlin").unwrap();
            let from: Timestamp = "2026-03-27T00:00:00Z".parse().unwrap();
            let until = from + SignedDuration::from_hours(hours);
            let schedules: Vec<Schedule> =
                fields.iter().map(|(m, h)| schedule(&format!("{m} {h} * * *"))).collect();
            let tracks = schedules
                .iter()
                .map(|schedule| Track { until: Some(until), ..track(schedule, &zone, from) });
            let merged: Vec<(usize, Due)> = Timeline::new(tracks).collect();
            let mut union: Vec<(Due, usize)> = Vec::new();
            for (index, schedule) in schedules.iter().enumerate() {
                let fires = schedule.fires(&zone, from, from_inclusive(from));
                union.extend(fires.take_while(|due| due.at < until).map(|due| (due, index)));
            }
            union.sort();
            let union: Vec<(usize, Due)> = union.into_iter().map(|(due, i)| (i, due)).collect();
            prop_assert_eq!(merged, union);
        }
    }
}
