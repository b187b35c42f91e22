//! A stretch of time in which a zone's offset stays the same, and which local times are due in it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Zone;

/// Up to this many minutes every entry makes up for what a gap skipped (cronie's `main`, "small").
const SMALL: i64 = 5;
/// Beyond this many minutes virtual time jumps (cronie's `main`, "large").
const LARGE: i64 = 3 * 60;
/// No virtual clock is ahead of the wall clock for longer than this, in seconds.
const LONGEST_DEBT: i64 = (LARGE + 2) * 60;
/// The years whose stretches a zone keeps: 1970 to 2050, in seconds of the epoch.
const NEAR: std::ops::Range<i64> = 0..2_524_608_000;

/// A maximal stretch of one offset. Times are seconds; local ones count as if local time were universal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The first second of it; the least timestamp if there is no change before.
    pub(super) start: i64,
    /// The second after it; the greatest timestamp plus one if there is no change after.
    pub(super) end: i64,
    /// Local minus universal time, in seconds.
    pub(super) offset: i32,
    /// The first local minute (as its first second) that is due for wildcard entries.
    pub(super) wildcard_from: i64,
    /// The first local minute (as its first second) that is due for all others.
    pub(super) fixed_from: i64,
    /// Wildcard entries with seconds begin here.
    pub(super) wildcard_second: i64,
    /// Fixed entries with seconds begin here.
    pub(super) fixed_second: i64,
}

impl Stretch {
    /// The local second at an instant.
    pub(super) fn local(&self, at: i64) -> i64 {
        at + i64::from(self.offset)
    }

    /// The instant at which a local second is due: itself, or the start for one that was skipped.
    pub(super) fn instant(&self, local: i64) -> i64 {
        (local - i64::from(self.offset)).max(self.start)
    }

    /// The last local second.
    pub(super) fn last_local(&self) -> i64 {
        self.local(self.end - 1)
    }

    /// The first local second that may be due.
    pub(super) fn from(&self, wildcard: bool, seconds: bool) -> i64 {
        match (wildcard, seconds) {
            (true, false) => self.wildcard_from,
            (false, false) => self.fixed_from,
            (true, true) => self.wildcard_second,
            (false, true) => self.fixed_second,
        }
    }
}

/// Where the offset changes, without what is due.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    start: i64,
    end: i64,
    offset: i32,
}

impl Zone {
    /// The stretch that holds the second `at`.
    pub(super) fn stretch(&self, at: i64) -> Stretch {
        let at = at.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        if NEAR.contains(&at) {
            let near = self.0.near.get_or_init(|| self.near());
            let index = near.partition_point(|stretch| stretch.end <= at);
            if let Some(stretch) = near.get(index) {
                return *stretch;
            }
        }
        self.compute(at)
    }

    /// The stretch after `stretch`, if the offset ever changes again.
    pub(super) fn following(&self, stretch: &Stretch) -> Option<Stretch> {
        (stretch.end <= Timestamp::MAX.as_second()).then(|| self.stretch(stretch.end))
    }

    /// The stretch before `stretch`, if there is one.
    pub(super) fn preceding(&self, stretch: &Stretch) -> Option<Stretch> {
        (stretch.start > Timestamp::MIN.as_second()).then(|| self.stretch(stretch.start - 1))
    }

    fn near(&self) -> Vec<Stretch> {
        let mut stretches = vec![self.compute(NEAR.start)];
        while let Some(last) = stretches.last().filter(|last| last.end < NEAR.end) {
            let next = self.compute(last.end);
            stretches.push(next);
        }
        stretches.shrink_to_fit();
        stretches
    }

    /// Works a stretch out from the zone's rules.
    fn compute(&self, at: i64) -> Stretch {
        // The virtual clock at the start depends on the stretches before, as long as they are short.
        let mut bounds = vec![bounds(self.rules(), at)];
        while let Some(&first) = bounds.last() {
            if first.start <= Timestamp::MIN.as_second() {
                break;
            }
            let before = self::bounds(self.rules(), first.start - 1);
            bounds.push(before);
            if before.end - before.start > LONGEST_DEBT {
                break;
            }
        }
        let mut clock: Option<Clock> = None;
        let mut stretch = Stretch::steady(bounds[bounds.len() - 1]);
        for bounds in bounds.into_iter().rev() {
            stretch = Stretch::steady(bounds);
            if let Some(clock) = &clock {
                stretch.enter(clock);
            }
            let last = stretch.last_local();
            clock = Some(Clock {
                last,
                minute: last.div_euclid(60).max(stretch.fixed_from.div_euclid(60) - 1),
                second: last.max(stretch.fixed_second - 1),
            });
        }
        stretch
    }
}

/// The clocks at the end of a stretch.
struct Clock {
    /// The last local second.
    last: i64,
    /// The virtual minute: the last one for which fixed entries ran.
    minute: i64,
    /// The same in seconds, for entries with seconds.
    second: i64,
}

impl Stretch {
    /// A stretch that was entered without a change of the offset.
    fn steady(bounds: Bounds) -> Self {
        let first = bounds.start + i64::from(bounds.offset);
        Stretch {
            start: bounds.start,
            end: bounds.end,
            offset: bounds.offset,
            wildcard_from: first.div_euclid(60) * 60,
            fixed_from: first.div_euclid(60) * 60,
            wildcard_second: first,
            fixed_second: first,
        }
    }

    /// What is due from the start on, when the clocks showed `clock` just before it (cronie's `main`).
    fn enter(&mut self, clock: &Clock) {
        let first = self.local(self.start);
        let minute = first.div_euclid(60);
        let difference = minute - clock.minute;
        let (mut wildcard, mut fixed) = (minute, clock.minute + 1);
        (self.wildcard_second, self.fixed_second) = (first, clock.second + 1);
        if !(-LARGE..=LARGE).contains(&difference) {
            fixed = minute;
            self.fixed_second = first;
        } else if (1..=SMALL).contains(&difference) {
            wildcard = fixed;
            self.wildcard_second = self.fixed_second;
        } else if minute == clock.last.div_euclid(60) {
            // The clock's minute does not change, so cron does not wake up for it again.
            wildcard = minute + 1;
        }
        (self.wildcard_from, self.fixed_from) = (wildcard * 60, fixed * 60);
    }
}

/// The stretch of one offset around `at`; changes that leave the offset as it is are passed over.
fn bounds(rules: &TimeZone, at: i64) -> Bounds {
    let (least, greatest) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let here = Timestamp::from_second(at.clamp(least, greatest)).unwrap_or(Timestamp::UNIX_EPOCH);
    let offset = rules.to_offset(here).seconds();
    let end = rules
        .following(here)
        .find(|change| change.offset().seconds() != offset)
        .map_or(greatest + 1, |change| change.timestamp().as_second());
    let mut start = least;
    // The change at `at` itself counts as before.
    let after = Timestamp::from_second((at + 1).min(greatest)).unwrap_or(here);
    for change in rules.preceding(after) {
        let instant = change.timestamp();
        let before = Timestamp::from_second((instant.as_second() - 1).max(least)).unwrap_or(here);
        if rules.to_offset(before).seconds() != offset {
            start = instant.as_second();
            break;
        }
    }
    Bounds { start, end, offset }
}
