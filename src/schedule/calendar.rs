//! Minutes, hours, months as bit masks, and the next minute that matches.

use jiff::civil::{Date, DateTime};

use super::days::{Days, up_to};

/// How far a search goes: 29 February on a given weekday may be 40 years away, across 2100.
const HORIZON_MONTHS: u32 = 41 * 12;

/// Five calendar fields as bit masks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Calendar {
    /// Bit n: minute n, 0-59.
    pub minutes: u64,
    /// Bit n: hour n, 0-23.
    pub hours: u32,
    /// Bit n: month n, 1-12.
    pub months: u16,
    /// The two day fields.
    pub days: Days,
    /// The minute field begins with `*` (cronie's `MIN_STAR`).
    pub minute_star: bool,
    /// The hour field begins with `*` (cronie's `HR_STAR`).
    pub hour_star: bool,
}

impl Calendar {
    /// The first matching minute strictly after `after`, or `None` if there is none within 41 years.
    ///
    /// `after` may have seconds; the result has none.
    #[must_use]
    pub fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let (date, hour) = (after.date(), after.hour());
        let minute = after.minute() + 1;
        if self.hours & 1 << hour != 0 && self.contains(date) {
            let minutes = self.minutes & from(minute);
            if minutes != 0 {
                return Some(date.at(hour, lowest(minutes), 0, 0));
            }
        }
        let hours = u64::from(self.hours) & from(hour + 1);
        if hours != 0 && self.contains(date) {
            return Some(date.at(lowest(hours), self.first_minute()?, 0, 0));
        }
        let (first_hour, first_minute) = (self.first_hour()?, self.first_minute()?);
        Some(self.day_after(date)?.at(first_hour, first_minute, 0, 0))
    }

    /// The last matching minute strictly before `before`, or `None` if there is none within 41 years.
    #[must_use]
    pub fn prev_before(&self, before: DateTime) -> Option<DateTime> {
        let last = before.checked_sub(jiff::Span::new().nanoseconds(1)).ok()?;
        let (date, hour) = (last.date(), last.hour());
        if self.contains(date) {
            if self.hours & 1 << hour != 0 {
                let minutes = self.minutes & below(last.minute() + 1);
                if minutes != 0 {
                    return Some(date.at(hour, highest(minutes), 0, 0));
                }
            }
            let hours = u64::from(self.hours) & below(hour);
            if hours != 0 {
                return Some(date.at(highest(hours), self.last_minute()?, 0, 0));
            }
        }
        let hours = u64::from(self.hours) & below(24);
        let (last_hour, last_minute) = ((hours != 0).then(|| highest(hours))?, self.last_minute()?);
        Some(self.day_before(date)?.at(last_hour, last_minute, 0, 0))
    }

    /// Whether a minute matches; seconds do not count.
    #[must_use]
    pub fn matches(&self, civil: DateTime) -> bool {
        self.minutes & 1 << civil.minute() != 0
            && self.hours & 1 << civil.hour() != 0
            && self.contains(civil.date())
    }

    fn contains(&self, date: Date) -> bool {
        self.months & 1 << date.month() != 0 && self.days.contains(date)
    }

    /// The first matching day after `date`.
    fn day_after(&self, date: Date) -> Option<Date> {
        let (mut year, mut month) = (date.year(), date.month());
        let mut past = up_to(u32::try_from(date.day()).unwrap_or(0));
        for _ in 0..=HORIZON_MONTHS {
            if self.months & 1 << month != 0 {
                let days = self.days.in_month(year, month) & !past;
                if days != 0 {
                    return Date::new(year, month, lowest(days.into())).ok();
                }
            }
            past = 0;
            month += 1;
            if month > 12 {
                (year, month) = (year.checked_add(1)?, 1);
            }
        }
        None
    }

    /// The last matching day before `date`.
    fn day_before(&self, date: Date) -> Option<Date> {
        let (mut year, mut month) = (date.year(), date.month());
        let mut still = up_to(u32::try_from(date.day() - 1).unwrap_or(0));
        for _ in 0..=HORIZON_MONTHS {
            if self.months & 1 << month != 0 {
                let days = self.days.in_month(year, month) & still;
                if days != 0 {
                    return Date::new(year, month, highest(days.into())).ok();
                }
            }
            still = u32::MAX;
            month -= 1;
            if month < 1 {
                (year, month) = (year.checked_sub(1)?, 12);
            }
        }
        None
    }

    fn first_hour(&self) -> Option<i8> {
        let hours = self.hours & 0x00ff_ffff;
        (hours != 0).then(|| lowest(hours.into()))
    }

    fn first_minute(&self) -> Option<i8> {
        let minutes = self.minutes & below(60);
        (minutes != 0).then(|| lowest(minutes))
    }

    fn last_minute(&self) -> Option<i8> {
        let minutes = self.minutes & below(60);
        (minutes != 0).then(|| highest(minutes))
    }
}

/// The bits from `bit` up to 59.
fn from(bit: i8) -> u64 {
    below(60) & !below(bit)
}

/// The bits under `bit`.
fn below(bit: i8) -> u64 {
    (1u64 << u32::try_from(bit).unwrap_or(0).min(63)) - 1
}

fn lowest(mask: u64) -> i8 {
    i8::try_from(mask.trailing_zeros()).unwrap_or(0)
}

fn highest(mask: u64) -> i8 {
    i8::try_from(63 - mask.leading_zeros().min(63)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
    use super::*;

    fn calendar(minutes: u64, hours: u32, dom: u32, months: u16, dow: u8) -> Calendar {
        let days = Days {
            dom,
            dow,
            dom_star: dom == ALL_DAYS_OF_MONTH,
            dow_star: dow == ALL_DAYS_OF_WEEK,
            special: None,
        };
        Calendar { minutes, hours, months, days, minute_star: false, hour_star: false }
    }

    #[test]
    fn a_calendar_is_small() {
        assert!(size_of::<Calendar>() <= 40);
    }

    #[test]
    fn the_search_carries_from_minute_to_year() {
        let new_year = calendar(1, 1, 1 << 1, 1 << 1, ALL_DAYS_OF_WEEK);
        let last = date(2026, 12, 31).at(23, 59, 59, 0);
        assert_eq!(new_year.next_after(last), Some(date(2027, 1, 1).at(0, 0, 0, 0)));
        let at = date(2027, 1, 1).at(0, 0, 0, 0);
        assert_eq!(new_year.next_after(at), Some(date(2028, 1, 1).at(0, 0, 0, 0)));
        assert_eq!(new_year.prev_before(at), Some(date(2026, 1, 1).at(0, 0, 0, 0)));
        assert_eq!(new_year.prev_before(at + jiff::Span::new().nanoseconds(1)), Some(at));
    }

    /// row 87: the leap day is in leap years only.
    #[test]
    fn a_leap_day_on_a_weekday_is_found_across_a_year_without_one() {
        let mut leap = calendar(1, 1, 1 << 29, 1 << 2, 1 << 1);
        leap.days.dow_star = true;
        let from = date(2072, 3, 1).at(0, 0, 0, 0);
        assert_eq!(leap.next_after(from), Some(date(2112, 2, 29).at(0, 0, 0, 0)));
        assert_eq!(
            leap.prev_before(date(2112, 2, 29).at(0, 0, 0, 0)),
            Some(date(2072, 2, 29).at(0, 0, 0, 0))
        );
    }

    #[test]
    fn what_cannot_be_due_is_none() {
        let from = date(2026, 1, 1).at(0, 0, 0, 0);
        for never in [
            calendar(1, 1, 1 << 30, 1 << 2, ALL_DAYS_OF_WEEK),
            calendar(0, 1, ALL_DAYS_OF_MONTH, 0x1ffe, ALL_DAYS_OF_WEEK),
            calendar(1, 0, ALL_DAYS_OF_MONTH, 0x1ffe, ALL_DAYS_OF_WEEK),
            calendar(1, 1, ALL_DAYS_OF_MONTH, 0, ALL_DAYS_OF_WEEK),
        ] {
            assert_eq!(never.next_after(from), None);
            assert_eq!(never.prev_before(from), None);
        }
    }

    #[test]
    fn the_ends_of_time_are_ends() {
        let every = calendar((1 << 60) - 1, 0x00ff_ffff, ALL_DAYS_OF_MONTH, 0x1ffe, 0x7f);
        assert_eq!(every.next_after(DateTime::MAX), None);
        assert_eq!(every.prev_before(DateTime::MIN), None);
    }
}
