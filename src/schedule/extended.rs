//! Seconds and years: the cron crate on wall clock, with our day rule as a filter.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::str::FromStr as _;

use chrono::{Datelike as _, NaiveDate, Timelike as _};
use jiff::civil::{Date, DateTime, Time};

use super::days::{Days, up_to};

/// The first year that the cron crate knows.
pub const FIRST_YEAR: i16 = 1970;
/// The last year that is read and searched.
pub const LAST_YEAR: i16 = 2099;

/// A set of years, 1970 to 2099.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Years([u64; 3]);

impl Years {
    /// Every year.
    #[must_use]
    pub fn all() -> Self {
        let mut years = Years::default();
        (FIRST_YEAR..=LAST_YEAR).for_each(|year| years.insert(year));
        years
    }

    /// Adds a year; one out of range is not added.
    pub fn insert(&mut self, year: i16) {
        if let Some((word, bit)) = Self::place(year) {
            self.0[word] |= bit;
        }
    }

    /// Whether it has a year.
    #[must_use]
    pub fn contains(&self, year: i16) -> bool {
        Self::place(year).is_some_and(|(word, bit)| self.0[word] & bit != 0)
    }

    /// The years, in order.
    pub fn iter(&self) -> impl Iterator<Item = i16> + '_ {
        (FIRST_YEAR..=LAST_YEAR).filter(|&year| self.contains(year))
    }

    fn place(year: i16) -> Option<(usize, u64)> {
        let known = (FIRST_YEAR..=LAST_YEAR).contains(&year);
        let index = usize::try_from(year.checked_sub(FIRST_YEAR)?).ok()?;
        known.then_some((index / 64, 1 << (index % 64)))
    }
}

/// Six or seven fields.
///
/// The months, hours, minutes and seconds are searched by the cron crate on the wall clock, disguised as
/// UTC; the day fields follow [`Days`].
#[derive(Debug, Clone)]
pub struct Extended {
    fields: ExtendedFields,
    /// `None` where a field has no value at all: never due.
    engine: Option<cron::Schedule>,
}

/// The fields of an [`Extended`], as bit masks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtendedFields {
    /// Bit n: second n, 0-59.
    pub seconds: u64,
    /// Bit n: minute n, 0-59.
    pub minutes: u64,
    /// Bit n: hour n, 0-23.
    pub hours: u32,
    /// Bit n: month n, 1-12.
    pub months: u16,
    /// The two day fields.
    pub days: Days,
    /// The year field, if there is one.
    pub years: Option<Years>,
    /// The second, minute or hour field begins with `*`.
    pub wildcard: bool,
}

impl PartialEq for Extended {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Extended {}

impl Hash for Extended {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields.hash(state);
    }
}

impl Extended {
    /// Builds the schedule of six or seven fields.
    #[must_use]
    pub fn new(fields: ExtendedFields) -> Self {
        let engine = cron::Schedule::from_str(&engine_text(&fields)).ok();
        Extended { fields, engine }
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &ExtendedFields {
        &self.fields
    }

    /// The first matching second strictly after `after`; `None` if there is none up to the year 2099.
    #[must_use]
    pub fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let engine = self.engine.as_ref()?;
        let (mut after, mut date) = (after, after.date());
        loop {
            let day = self.day_from(date)?;
            if day > after.date() {
                after = day.at(0, 0, 0, 0).checked_sub(jiff::Span::new().seconds(1)).ok()?;
            }
            let found = from_chrono(&engine.after(&to_chrono(after)?).next()?)?;
            if found.date() <= day {
                return Some(found);
            }
            // The day's last time has passed: go on with the first day from here on that the day rule takes.
            date = found.date();
        }
    }

    /// The last matching second strictly before `before`; `None` if there is none from the year 1970 on.
    #[must_use]
    pub fn prev_before(&self, before: DateTime) -> Option<DateTime> {
        self.engine.as_ref()?;
        let mut last = before.checked_sub(jiff::Span::new().nanoseconds(1)).ok()?;
        loop {
            let day = self.day_to(last.date())?;
            let limit = if day == last.date() { last.time() } else { Time::MAX };
            if let Some(time) = self.time_up_to(limit) {
                return Some(day.to_datetime(time));
            }
            last = day.yesterday().ok()?.to_datetime(Time::MAX);
        }
    }

    /// The last time of day, not above `limit`, that the time fields allow.
    fn time_up_to(&self, limit: Time) -> Option<Time> {
        let second = |limit| highest(self.fields.seconds, limit);
        let minute = |limit| highest(self.fields.minutes, limit);
        let hour = |limit| highest(u64::from(self.fields.hours), limit);
        if hour(limit.hour()) == Some(limit.hour()) {
            let second_here =
                second(limit.second()).filter(|_| minute(limit.minute()) == Some(limit.minute()));
            if let Some(second) = second_here {
                return Time::new(limit.hour(), limit.minute(), second, 0).ok();
            }
            if let Some(minute) = minute(limit.minute() - 1) {
                return Time::new(limit.hour(), minute, second(59)?, 0).ok();
            }
        }
        Time::new(hour(limit.hour() - 1)?, minute(59)?, second(59)?, 0).ok()
    }

    /// The first day from `from` on that months, years and the day fields allow.
    fn day_from(&self, from: Date) -> Option<Date> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        if year < FIRST_YEAR {
            (year, month, day) = (FIRST_YEAR, 1, 1);
        }
        while year <= LAST_YEAR {
            if self.has_month(year, month) {
                let below = up_to(u32::try_from(day - 1).unwrap_or(0));
                let days = self.fields.days.in_month(year, month) & !below;
                if days != 0 {
                    return Date::new(year, month, i8::try_from(days.trailing_zeros()).ok()?).ok();
                }
            }
            (month, day) = (month + 1, 1);
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    /// The last day up to `to` that months, years and the day fields allow.
    fn day_to(&self, to: Date) -> Option<Date> {
        let (mut year, mut month, mut day) = (to.year(), to.month(), to.day());
        if year > LAST_YEAR {
            (year, month, day) = (LAST_YEAR, 12, 31);
        }
        while year >= FIRST_YEAR {
            if self.has_month(year, month) {
                let upto = up_to(u32::try_from(day).unwrap_or(31));
                let days = self.fields.days.in_month(year, month) & upto;
                if days != 0 {
                    let day = i8::try_from(days.ilog2()).ok()?;
                    return Date::new(year, month, day).ok();
                }
            }
            (month, day) = (month - 1, 31);
            if month < 1 {
                (year, month) = (year - 1, 12);
            }
        }
        None
    }

    fn has_month(&self, year: i16, month: i8) -> bool {
        self.fields.months & 1 << month != 0
            && self.fields.years.is_none_or(|years| years.contains(year))
    }
}

/// The highest bit of `mask` that is at most `limit`.
fn highest(mask: u64, limit: i8) -> Option<i8> {
    let limit = u32::try_from(limit).ok()?;
    let below = mask & (u64::MAX >> (63 - limit.min(63)));
    (below != 0).then(|| i8::try_from(below.ilog2()).unwrap_or(0))
}

/// The fields as the cron crate reads them: days open, each other field a list.
fn engine_text(fields: &ExtendedFields) -> String {
    let mut text = String::new();
    list(&mut text, fields.seconds, 60);
    list(&mut text, fields.minutes, 60);
    list(&mut text, u64::from(fields.hours), 24);
    text.push_str("* ");
    list(&mut text, u64::from(fields.months) >> 1 << 1, 13);
    text.push('*');
    if let Some(years) = fields.years {
        let mut lead = ' ';
        for year in years.iter() {
            text.push(lead);
            let _ = write!(text, "{year}");
            lead = ',';
        }
    }
    text
}

fn list(text: &mut String, mask: u64, end: u32) {
    let mut lead = "";
    for value in (0..end).filter(|value| mask & 1 << value != 0) {
        let _ = write!(text, "{lead}{value}");
        lead = ",";
    }
    text.push(' ');
}

fn to_chrono(civil: DateTime) -> Option<chrono::DateTime<chrono::Utc>> {
    let part = |value: i8| u32::try_from(value).ok();
    let date =
        NaiveDate::from_ymd_opt(i32::from(civil.year()), part(civil.month())?, part(civil.day())?)?;
    let time =
        date.and_hms_opt(part(civil.hour())?, part(civil.minute())?, part(civil.second())?)?;
    Some(time.and_utc())
}

fn from_chrono(time: &chrono::DateTime<chrono::Utc>) -> Option<DateTime> {
    let part = |value: u32| i8::try_from(value).ok();
    DateTime::new(
        i16::try_from(time.year()).ok()?,
        part(time.month())?,
        part(time.day())?,
        part(time.hour())?,
        part(time.minute())?,
        part(time.second())?,
        0,
    )
    .ok()
}
