//! What a late wake-up or a step of the clock means: cronie's four cases.

use jiff::{SignedDuration, Timestamp};

/// How the wall clock stands to the time up to which everything has been handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// On time, or late by at most five minutes: everything passed is started. Back by at most a minute, too: nothing is
    /// repeated.
    Small,
    /// Late by at most three hours: fixed entries for each minute passed, wildcard entries for this minute only.
    Medium,
    /// Ahead by more than three hours: a new time; only this minute counts.
    Jump,
    /// Back by at most three hours: wildcard entries follow the clock, fixed entries wait until it has caught up.
    Back,
    /// Back by more than three hours: a new time.
    JumpBack,
}

/// Minutes that are made up for in full (cronie's `wakeupKind` small).
const SMALL: i64 = 5;
/// Minutes beyond which the clock is believed to show a new time (cronie's 3 * `MINUTE_COUNT`).
const LARGE: i64 = 180;

/// How far back cronie does not see: it looks at the clock once a minute, and goes on where it finds the minute that it
/// has handled. Two clocks that are read one after the other seem to be set by less.
const UNSEEN: SignedDuration = SignedDuration::from_mins(1);

/// Classifies the distance between the last minute handled and the minute that the clock shows (cronie's `main`).
#[must_use]
pub fn classify(handled: Timestamp, now: Timestamp) -> Shift {
    let minutes = minute_of(now) - minute_of(handled);
    match minutes {
        _ if minutes > LARGE => Shift::Jump,
        _ if minutes < -LARGE => Shift::JumpBack,
        _ if minutes > SMALL => Shift::Medium,
        _ if handled.duration_since(now) > UNSEEN => Shift::Back,
        _ => Shift::Small,
    }
}

/// The number of the minute in which an instant lies.
fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The last instant before the minute in which `at` lies; what is due in that minute comes after it.
#[must_use]
pub fn before_minute_of(at: Timestamp) -> Timestamp {
    let start = Timestamp::from_second(minute_of(at) * 60).unwrap_or(Timestamp::MIN);
    start.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(start)
}

/// Follows the wall clock from one look at it to the next.
#[derive(Debug, Clone, Copy)]
pub struct Tide {
    /// Everything due up to here has been handled; stands still while the clock is behind it.
    pub handled: Timestamp,
    wall: Timestamp,
    monotonic: std::time::Duration,
}

impl Tide {
    /// Starts at `wall`: nothing earlier counts.
    #[must_use]
    pub fn new(wall: Timestamp, monotonic: std::time::Duration) -> Self {
        Tide { handled: wall, wall, monotonic }
    }

    /// Looks at both clocks. `next` is the earliest instant due: up to there, time has passed as handled.
    ///
    /// Returns what the wall clock's position means, and how far it was set since the last look.
    pub fn look(
        &mut self,
        wall: Timestamp,
        monotonic: std::time::Duration,
        next: Option<Timestamp>,
    ) -> (Shift, SignedDuration) {
        let elapsed = SignedDuration::try_from(monotonic.saturating_sub(self.monotonic))
            .unwrap_or(SignedDuration::MAX);
        let expected = self.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        let in_shadow = self.handled > self.wall;
        if !in_shadow {
            let quiet = next.map_or(expected, |next| expected.min(before(next)));
            self.handled = self.handled.max(quiet);
        }
        let shift = classify(self.handled, wall);
        let step = wall.duration_since(expected);
        self.wall = wall;
        self.monotonic = monotonic;
        (shift, step)
    }

    /// Everything due up to `wall` has been handled.
    pub fn settle(&mut self, shift: Shift) {
        if shift != Shift::Back {
            self.handled = self.wall;
        }
    }
}

/// The instant one second before `at`.
fn before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const NANOSECOND: SignedDuration = SignedDuration::from_nanos(1);

    fn mono(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn the_limits_are_five_minutes_and_three_hours() {
        let noon = at(43_200);
        let shift = |minutes: i64| classify(noon, at(43_200 + minutes * 60));
        assert_eq!(shift(0), Shift::Small);
        assert_eq!(shift(5), Shift::Small);
        assert_eq!(shift(6), Shift::Medium);
        assert_eq!(shift(180), Shift::Medium);
        assert_eq!(shift(181), Shift::Jump);
        assert_eq!(shift(-1), Shift::Small);
        assert_eq!(shift(-2), Shift::Back);
        assert_eq!(shift(-180), Shift::Back);
        assert_eq!(shift(-181), Shift::JumpBack);
    }

    #[test]
    fn clocks_that_are_read_one_after_the_other_are_no_step() {
        // A minute's end, at which a step back by a nanosecond would be one by a minute.
        let mut tide = Tide::new(at(0), mono(0));
        let (shift, step) = tide.look(at(60) - NANOSECOND, mono(60), None);
        assert_eq!((shift, step), (Shift::Small, -NANOSECOND));
        let (shift, _) = tide.look(at(90) - NANOSECOND, mono(90), Some(at(3_600)));
        assert_eq!(shift, Shift::Small);
    }

    #[test]
    fn a_step_back_by_up_to_a_minute_repeats_nothing() {
        assert_eq!(classify(at(119), at(60)), Shift::Small);
        assert_eq!(classify(at(120), at(119)), Shift::Small);
        assert_eq!(classify(at(120), at(60)), Shift::Small);
        assert_eq!(classify(at(121), at(60)), Shift::Back);
    }

    #[test]
    fn a_long_sleep_until_the_next_due_is_not_late() {
        let mut tide = Tide::new(at(0), mono(0));
        let (shift, step) = tide.look(at(36_000), mono(36_000), Some(at(36_000)));
        assert_eq!((shift, step), (Shift::Small, SignedDuration::ZERO));
    }

    #[test]
    fn waking_twenty_minutes_after_the_due_is_medium() {
        let mut tide = Tide::new(at(0), mono(0));
        let (shift, _) = tide.look(at(4_800), mono(4_800), Some(at(3_600)));
        assert_eq!(shift, Shift::Medium);
    }

    #[test]
    fn a_step_is_the_difference_to_the_monotonic_clock() {
        let mut tide = Tide::new(at(0), mono(0));
        let (shift, step) = tide.look(at(1_230), mono(30), None);
        assert_eq!((shift, step), (Shift::Medium, SignedDuration::from_secs(1_200)));
    }

    #[test]
    fn after_a_step_back_handled_time_stands_until_the_clock_has_caught_up() {
        let mut tide = Tide::new(at(7_200), mono(0));
        let (shift, _) = tide.look(at(5_400), mono(0), None);
        tide.settle(shift);
        assert_eq!((shift, tide.handled), (Shift::Back, at(7_200)));
        let (shift, _) = tide.look(at(7_100), mono(1_700), Some(at(5_460)));
        tide.settle(shift);
        assert_eq!((shift, tide.handled), (Shift::Back, at(7_200)));
        let (shift, _) = tide.look(at(7_260), mono(1_860), Some(at(7_260)));
        tide.settle(shift);
        assert_eq!((shift, tide.handled), (Shift::Small, at(7_260)));
    }

    #[test]
    fn what_is_due_this_minute_comes_after_the_instant_before_it() {
        assert!(before_minute_of(at(125)) < at(120));
        assert!(before_minute_of(at(125)) > at(119));
    }
}
