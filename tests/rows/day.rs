//! A local day that begins at the next minute.
//!
//! The daemons get a zone in which the first minute that they see is midnight, so that hours, nicknames and steps can be
//! told apart within two minutes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::Offset;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// Seconds that the preparations of a life may take.
const PREPARING: i64 = 25;

/// The day on which the tables are judged.
#[derive(Debug, Clone)]
pub(crate) struct Day {
    /// The first boundary of a minute after the daemon starts: 00:00 of the day. Seconds since 1970.
    pub(crate) midnight: i64,
    /// The zone for the daemon, in the form of POSIX.
    pub(crate) zone: String,
    /// The date that begins at that midnight; never the first of a month, which any step would match.
    pub(crate) date: Date,
}

impl Day {
    /// Waits until the next minute is far enough away to prepare for it, and makes it midnight.
    pub(crate) fn begin() -> Self {
        loop {
            let now = seconds();
            let midnight = (now / MINUTE + 1) * MINUTE;
            if midnight - now >= PREPARING {
                return Day::at(midnight);
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    fn at(midnight: i64) -> Self {
        let west = midnight.rem_euclid(DAY);
        for offset in [-west, DAY - west] {
            let local = Offset::from_seconds(i32::try_from(offset).unwrap()).unwrap();
            let date = local.to_datetime(Timestamp::from_second(midnight).unwrap()).date();
            if date.day() != 1 {
                // POSIX counts westwards.
                let (sign, size) = if offset > 0 { ("-", offset) } else { ("", -offset) };
                let zone = format!("ROW{sign}{}:{:02}", size / 3600, size % 3600 / MINUTE);
                return Day { midnight, zone, date };
            }
        }
        unreachable!("two days in a row are the first of a month")
    }

    /// Waits until so many seconds after midnight.
    pub(crate) fn wait(&self, after: i64) {
        while seconds() < self.midnight + after {
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// The day of the month.
    pub(crate) fn day(&self) -> i8 {
        self.date.day()
    }

    /// A day of the month that it is not; in every month.
    pub(crate) fn other_day(&self) -> i8 {
        if self.day() == 2 { 3 } else { 2 }
    }

    /// The day of the week, Sunday is 0.
    pub(crate) fn weekday(&self) -> i8 {
        self.date.weekday().to_sunday_zero_offset()
    }

    /// A day of the week that it is not, 1 to 6.
    pub(crate) fn other_weekday(&self) -> i8 {
        if self.weekday() == 3 { 4 } else { 3 }
    }

    /// The first three letters of the weekday so many days later.
    pub(crate) fn weekday_name(&self, later: i8) -> &'static str {
        ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
            [usize::from(u8::try_from((self.weekday() + later) % 7).unwrap())]
    }

    /// The weekday's full name in English.
    pub(crate) fn full_weekday_name(&self) -> &'static str {
        match self.date.weekday() {
            Weekday::Monday => "Monday",
            Weekday::Tuesday => "Tuesday",
            Weekday::Wednesday => "Wednesday",
            Weekday::Thursday => "Thursday",
            Weekday::Friday => "Friday",
            Weekday::Saturday => "Saturday",
            Weekday::Sunday => "Sunday",
        }
    }

    /// Minute and hour of midnight in UTC.
    pub(crate) fn utc(&self) -> (i64, i64) {
        (self.midnight % 3600 / MINUTE, self.midnight % DAY / 3600)
    }
}

fn seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[test]
fn any_minute_can_be_the_midnight_of_a_day_that_is_no_first() {
    for minute in 0..4 * 31 * 24 * 60 {
        let day = Day::at(1_782_000_000 + minute * MINUTE);
        assert!(day.day() > 1, "{day:?}");
        assert!(day.zone.starts_with("ROW") && !day.zone.contains("--"), "{day:?}");
    }
}
