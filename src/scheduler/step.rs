//! What a late wake-up or a step of the clock means: cronie's cases.
//!
//! cronie sleeps from minute to minute and looks at the clock when it wakes up. This scheduler sleeps until the next
//! instant that is due, and is told of a step at once; to come to the same runs, it judges a step when cronie would have
//! woken up: at the end of the minute in which the step happened, as elapsed time goes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How the wall clock stands to the time up to which everything has been handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// On time, or late by at most five minutes: everything passed is started.
    Small,
    /// Late by at most three hours: fixed entries for each minute passed, wildcard entries for this minute only.
    Medium,
    /// Ahead by more than three hours: a new time; only this minute counts.
    Jump,
    /// Set back by at most three hours: wildcard entries begin anew in this minute, fixed entries wait until the clock has
    /// caught up.
    Back,
    /// Still behind the time that was handled: wildcard entries follow the clock, and none is made up for.
    Behind,
    /// Set back by more than three hours: a new time, everything begins anew in this minute.
    JumpBack,
    /// The clock was set within this minute, which has not ended: only entries with seconds and intervals start.
    Waiting,
}

/// What a look at the clock came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The wall clock.
    pub now: Timestamp,
    /// How it stands.
    pub shift: Shift,
    /// By how much it was set since the last look; noise included.
    pub by: SignedDuration,
    /// Whether a step was judged in this look, and not only lateness.
    pub stepped: bool,
    /// Wildcard entries due up to here are not made up for; under [`Shift::Jump`] no calendar entry is.
    pub passed_over: Option<Timestamp>,
}

/// Minutes that are made up for in full (cronie's `wakeupKind` small).
const SMALL: i64 = 5;
/// Minutes beyond which the clock is believed to show a new time (cronie's 3 * `MINUTE_COUNT`).
const LARGE: i64 = 180;
/// How far the next minute may be away for cronie to sleep on until it comes: its `cron_sleep` waits less than 65 seconds.
/// A step back by less than that is not seen.
const UNSEEN: SignedDuration = SignedDuration::from_secs(65);
/// Differences between the two clocks that are drift, not a step.
pub const DRIFT: SignedDuration = SignedDuration::from_secs(2);

/// Classifies the distance between the last minute handled and the minute that the clock shows (cronie's `main`).
#[must_use]
pub fn classify(handled: Timestamp, now: Timestamp) -> Shift {
    match minute_of(now) - minute_of(handled) {
        minutes if minutes > LARGE => Shift::Jump,
        minutes if minutes < -LARGE => Shift::JumpBack,
        minutes if minutes > SMALL => Shift::Medium,
        minutes if minutes > 0 => Shift::Small,
        _ => Shift::Back,
    }
}

/// The number of the minute in which an instant lies.
fn minute_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

/// The last instant before the minute in which `at` lies; what is due in that minute comes after it.
#[must_use]
pub fn before_minute_of(at: Timestamp) -> Timestamp {
    last_before(minute_of(at))
}

/// The last instant before the minute of this number.
fn last_before(minute: i64) -> Timestamp {
    just_before(start_of(minute))
}

fn start_of(minute: i64) -> Timestamp {
    Timestamp::from_second(minute.saturating_mul(60)).unwrap_or(Timestamp::MAX)
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}

/// Follows the wall clock from one look at it to the next.
#[derive(Debug, Clone, Copy)]
pub struct Tide {
    /// Everything due up to here has been handled; stands still while the clock is behind it.
    pub handled: Timestamp,
    wall: Timestamp,
    monotonic: Duration,
    hold: Option<Hold>,
}

/// A step that is not judged yet.
#[derive(Debug, Clone, Copy)]
struct Hold {
    /// The minute in which the clock was set (cronie's `timeRunning`).
    minute: i64,
    /// Elapsed time at which cronie would look.
    until: Duration,
    /// Whether the clock was behind handled time already.
    behind: bool,
}

impl Tide {
    /// Starts at `wall`: nothing earlier counts.
    #[must_use]
    pub fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Tide { handled: wall, wall, monotonic, hold: None }
    }

    /// Looks at both clocks. `next` is the earliest instant due: up to there, time has passed as handled.
    pub fn look(&mut self, wall: Timestamp, monotonic: Duration, next: Option<Timestamp>) -> Look {
        let elapsed = signed(monotonic.saturating_sub(self.monotonic));
        let expected = self.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX);
        let by = wall.duration_since(expected);
        let mut was_behind = self.handled > self.wall;
        let before = self.handled;
        if self.hold.is_none() {
            // A minute that begins just now has not been handled.
            let passed = if elapsed.is_zero() { expected } else { just_before(expected) };
            let quiet = next.map_or(passed, |next| passed.min(a_second_before(next)));
            self.handled = self.handled.max(quiet);
            if by.abs() > DRIFT {
                let minute = minute_of(passed);
                let rest = start_of(minute + 1).duration_since(expected);
                let until = monotonic + unsigned(rest);
                self.hold = Some(Hold { minute, until, behind: was_behind });
            }
        }
        self.wall = wall;
        self.monotonic = monotonic;
        let stepped = self.hold.is_some();
        let shift = match &mut self.hold {
            Some(hold) => {
                was_behind = hold.behind;
                let ahead = start_of(hold.minute + 1).duration_since(wall);
                if monotonic >= hold.until && ahead.is_positive() && ahead < UNSEEN {
                    hold.until = monotonic + unsigned(ahead);
                }
                if monotonic < hold.until { Shift::Waiting } else { classify(self.handled, wall) }
            }
            None if self.handled > wall => Shift::Behind,
            None => match classify(self.handled, wall) {
                Shift::Back => Shift::Small,
                shift => shift,
            },
        };
        let passed_over = match shift {
            Shift::Small if was_behind => {
                Some(last_before(minute_of(before) + 1).min(before_minute_of(wall)))
            }
            Shift::Medium | Shift::Jump | Shift::Behind => Some(before_minute_of(wall)),
            _ => None,
        };
        Look { now: wall, shift, by, stepped, passed_over }
    }

    /// When a step that was noticed is to be judged, on the wall clock as it now stands.
    #[must_use]
    pub fn judged_at(&self) -> Option<Timestamp> {
        let rest = self.hold?.until.saturating_sub(self.monotonic);
        self.wall.saturating_add(signed(rest)).ok()
    }

    /// What begins anew after a step back has begun anew.
    pub fn resume(&mut self, shift: Shift) {
        self.hold = None;
        if shift == Shift::JumpBack {
            self.handled = self.wall;
        }
    }

    /// Everything due up to the last look has been handled.
    pub fn settle(&mut self, shift: Shift) {
        match shift {
            Shift::Waiting => {}
            Shift::Back | Shift::Behind => self.hold = None,
            Shift::Small | Shift::Medium | Shift::Jump | Shift::JumpBack => {
                self.hold = None;
                self.handled = self.wall;
            }
        }
    }
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

fn unsigned(span: SignedDuration) -> Duration {
    Duration::try_from(span).unwrap_or_default()
}

fn a_second_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_secs(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(shift(1), Shift::Small);
        assert_eq!(shift(5), Shift::Small);
        assert_eq!(shift(6), Shift::Medium);
        assert_eq!(shift(180), Shift::Medium);
        assert_eq!(shift(181), Shift::Jump);
        assert_eq!(shift(0), Shift::Back);
        assert_eq!(shift(-180), Shift::Back);
        assert_eq!(shift(-181), Shift::JumpBack);
    }

    #[test]
    fn clocks_that_are_read_one_after_the_other_are_no_step() {
        // A minute's end, at which a step back by a nanosecond would be one by a minute.
        let mut tide = Tide::new(at(0), mono(0));
        let look = tide.look(at(60) - NANOSECOND, mono(60), None);
        assert_eq!((look.shift, look.by, tide.judged_at()), (Shift::Small, -NANOSECOND, None));
        let look = tide.look(at(90) - NANOSECOND, mono(90), Some(at(3_600)));
        assert_eq!(look.shift, Shift::Small);
    }

    #[test]
    fn a_long_sleep_until_the_next_due_is_not_late() {
        let mut tide = Tide::new(at(0), mono(0));
        let look = tide.look(at(36_000), mono(36_000), Some(at(36_000)));
        assert_eq!((look.shift, look.by), (Shift::Small, SignedDuration::ZERO));
    }

    #[test]
    fn waking_twenty_minutes_after_the_due_is_medium() {
        let mut tide = Tide::new(at(0), mono(0));
        let look = tide.look(at(4_800), mono(4_800), Some(at(3_600)));
        assert_eq!((look.shift, look.stepped), (Shift::Medium, false));
    }

    #[test]
    fn a_step_is_judged_at_the_end_of_the_minute_in_which_it_happened() {
        let mut tide = Tide::new(at(0), mono(0));
        let look = tide.look(at(1_230), mono(30), None);
        assert_eq!((look.shift, look.by.as_secs()), (Shift::Waiting, 1_200));
        tide.settle(look.shift);
        assert_eq!(tide.judged_at(), Some(at(1_260)));
        let look = tide.look(at(1_260), mono(60), None);
        assert_eq!((look.shift, look.stepped), (Shift::Medium, true));
    }

    #[test]
    fn a_step_during_the_wait_changes_the_clock_but_not_the_wait() {
        let mut tide = Tide::new(at(0), mono(0));
        tide.look(at(1_230), mono(30), None);
        let look = tide.look(at(40), mono(40), None);
        assert_eq!((look.shift, tide.judged_at()), (Shift::Waiting, Some(at(60))));
        assert_eq!(tide.look(at(60), mono(60), None).shift, Shift::Small);
    }

    #[test]
    fn a_step_just_as_a_minute_begins_belongs_to_the_minute_before() {
        let mut tide = Tide::new(at(0), mono(0));
        let look = tide.look(at(361), mono(60), None);
        assert_eq!((look.shift, look.stepped), (Shift::Medium, true));
    }

    #[test]
    fn a_step_back_by_less_than_65_seconds_is_waited_out() {
        let mut tide = Tide::new(at(600), mono(0));
        assert_eq!(tide.look(at(566), mono(30), None).shift, Shift::Waiting);
        assert_eq!(tide.look(at(596), mono(60), None).shift, Shift::Waiting);
        assert_eq!(tide.judged_at(), Some(at(660)));
        assert_eq!(tide.look(at(660), mono(124), None).shift, Shift::Small);
        let mut tide = Tide::new(at(600), mono(0));
        assert_eq!(tide.look(at(565), mono(30), None).shift, Shift::Waiting);
        assert_eq!(tide.look(at(595), mono(60), None).shift, Shift::Back);
    }

    #[test]
    fn after_a_step_back_handled_time_stands_until_the_clock_has_caught_up() {
        let mut tide = Tide::new(at(7_200), mono(0));
        let mut look = |wall, elapsed, next| {
            let look = tide.look(at(wall), mono(elapsed), next);
            tide.settle(look.shift);
            (look.shift, tide.handled)
        };
        assert_eq!(look(5_400, 0, None), (Shift::Waiting, at(7_200)));
        assert_eq!(look(5_460, 60, None), (Shift::Back, at(7_200)));
        assert_eq!(look(5_520, 120, Some(at(5_520))), (Shift::Behind, at(7_200)));
        assert_eq!(look(7_100, 1_700, Some(at(7_100))), (Shift::Behind, at(7_200)));
        assert_eq!(look(7_260, 1_860, Some(at(7_260))), (Shift::Small, at(7_260)));
    }

    #[test]
    fn a_late_wake_up_behind_handled_time_makes_up_for_no_wildcard() {
        let mut tide = Tide::new(at(7_200), mono(0));
        tide.look(at(5_400), mono(0), None);
        let look = tide.look(at(5_460), mono(60), None);
        tide.settle(look.shift);
        let look = tide.look(at(6_600), mono(1_200), Some(at(5_520)));
        assert_eq!(
            (look.shift, look.passed_over),
            (Shift::Behind, Some(before_minute_of(look.now)))
        );
        tide.settle(look.shift);
        let look = tide.look(at(7_330), mono(1_930), Some(at(6_660)));
        assert_eq!((look.shift, look.passed_over), (Shift::Small, Some(last_before(121))));
    }

    #[test]
    fn what_is_due_this_minute_comes_after_the_instant_before_it() {
        assert!(before_minute_of(at(125)) < at(120));
        assert!(before_minute_of(at(125)) > at(119));
    }
}
