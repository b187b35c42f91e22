//! Day of month and day of week: star bits, OR and AND, `L nL LW nW d#n`.

use jiff::civil::Date;

/// The two day fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Days {
    /// Bit n: day n of the month, 1-31.
    pub dom: u32,
    /// Bit n: day n of the week, 0 (Sunday) to 6.
    pub dow: u8,
    /// The day-of-month field begins with `*` (or is `?`).
    pub dom_star: bool,
    /// The day-of-week field begins with `*` (or is `?`).
    pub dow_star: bool,
    /// `L`, `nL`, `LW`, `nW`, `d#n` items, if any.
    pub special: Option<Box<SpecialDays>>,
}

/// Days that depend on the month at hand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SpecialDays {
    /// `L`: the last day of the month.
    pub last_day: bool,
    /// `LW`: the last day of the month that is Monday to Friday.
    pub last_workday: bool,
    /// Bit n: `nW`, the Monday to Friday nearest to day n, within the month; none where the month has no day n.
    pub nearest_workday: u32,
    /// For each day of the week, 0 (Sunday) to 6: bits 1-5 for `d#n`, bit 0 for `dL`, the last one of the month.
    pub nth: [u8; 7],
}

/// Every day of a month, as [`Days::dom`] counts.
pub const ALL_DAYS_OF_MONTH: u32 = 0xffff_fffe;
/// Every day of the week, as [`Days::dow`] counts.
pub const ALL_DAYS_OF_WEEK: u8 = 0x7f;

impl SpecialDays {
    /// Whether the day-of-month field has a special item.
    #[must_use]
    pub fn in_month(&self) -> bool {
        self.last_day || self.last_workday || self.nearest_workday != 0
    }

    /// Whether the day-of-week field has a special item.
    #[must_use]
    pub fn in_week(&self) -> bool {
        self.nth != [0; 7]
    }

    /// Adds the items of another field.
    pub fn merge(&mut self, other: &SpecialDays) {
        self.last_day |= other.last_day;
        self.last_workday |= other.last_workday;
        self.nearest_workday |= other.nearest_workday;
        for (mine, theirs) in self.nth.iter_mut().zip(other.nth) {
            *mine |= theirs;
        }
    }

    /// The days of a month that the day-of-month items name; `first` is the weekday of its first day.
    fn month_days(&self, first: u32, length: u32) -> u32 {
        let mut days = 0;
        if self.last_day {
            days |= 1 << length;
        }
        if self.last_workday {
            days |= 1 << nearest_workday(length, first, length);
        }
        let mut nearest = self.nearest_workday & up_to(length);
        while nearest != 0 {
            days |= 1 << nearest_workday(nearest.trailing_zeros(), first, length);
            nearest &= nearest - 1;
        }
        days
    }

    /// The days of a month that the day-of-week items name.
    fn week_days(&self, first: u32, length: u32) -> u32 {
        let mut days = 0;
        for (weekday, &places) in (0u32..).zip(&self.nth) {
            let earliest = 1 + (weekday + 7 - first) % 7;
            for place in 1..=5 {
                let day = earliest + 7 * (place - 1);
                if places & (1 << place) != 0 && day <= length {
                    days |= 1 << day;
                }
            }
            if places & 1 != 0 {
                days |= 1 << (earliest + (length - earliest) / 7 * 7);
            }
        }
        days
    }
}

impl Days {
    /// Whether cron wants both fields to match: one of them begins with `*` (cronie's `find_jobs`).
    #[must_use]
    pub fn is_and(&self) -> bool {
        self.dom_star || self.dow_star
    }

    /// The days of a month that match, bit n for day n.
    #[must_use]
    pub fn in_month(&self, year: i16, month: i8) -> u32 {
        let length = days_in_month(year, month);
        let first = weekday_of_first(year, month);
        let week = u64::from(self.dow & ALL_DAYS_OF_WEEK);
        // Six copies of the week cover any month from any weekday; bit 0 becomes the weekday of day 1.
        let weeks = week | week << 7 | week << 14 | week << 21 | week << 28 | week << 35;
        let mut of_week = u32::try_from((weeks >> first & 0x7fff_ffff) << 1).unwrap_or(0);
        let mut of_month = self.dom;
        if let Some(special) = &self.special {
            of_month |= special.month_days(first, length);
            of_week |= special.week_days(first, length);
        }
        let days = if self.is_and() { of_month & of_week } else { of_month | of_week };
        days & up_to(length)
    }

    /// Whether a day matches.
    #[must_use]
    pub fn contains(&self, date: Date) -> bool {
        self.in_month(date.year(), date.month()) & 1 << date.day() != 0
    }
}

/// Bits 1 to `day`.
pub(super) fn up_to(day: u32) -> u32 {
    u32::MAX >> (31 - day.min(31)) & !1
}

/// The length of a month, in days.
pub(super) fn days_in_month(year: i16, month: i8) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The weekday of the first day of a month, 0 for Sunday.
fn weekday_of_first(year: i16, month: i8) -> u32 {
    // Sakamoto's rule: years begin in March, so that a leap day ends one.
    const SHIFT: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let index = usize::try_from(month - 1).unwrap_or(0) % 12;
    let year = i32::from(year) - i32::from(month < 3);
    let sum = year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    u32::try_from((sum + SHIFT[index] + 1).rem_euclid(7)).unwrap_or(0)
}

/// The Monday to Friday nearest to `day`, without leaving the month.
fn nearest_workday(day: u32, first: u32, length: u32) -> u32 {
    match (first + day - 1) % 7 {
        6 if day == 1 => 3,
        6 => day - 1,
        0 if day == length => day - 2,
        0 => day + 1,
        _ => day,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(dom: u32, dow: u8, star: bool) -> Days {
        Days { dom, dow, dom_star: star, dow_star: false, special: None }
    }

    #[test]
    fn the_first_of_a_month_falls_on_the_weekday_that_jiff_says() {
        for year in [1, 1600, 1900, 1970, 1999, 2000, 2024, 2025, 2026, 2100, 9999] {
            for month in 1..=12 {
                let date = Date::new(year, month, 1).unwrap();
                let expected = u32::try_from(date.weekday().to_sunday_zero_offset()).unwrap();
                assert_eq!(weekday_of_first(year, month), expected, "{date}");
                let length = u32::try_from(date.days_in_month()).unwrap();
                assert_eq!(days_in_month(year, month), length, "{date}");
            }
        }
    }

    #[test]
    fn a_star_bit_makes_the_days_and() {
        // November 2026 begins on a Sunday.
        let odd = 0xaaaa_aaaa;
        let mondays_of_odd_date = days(odd, 0b10, true).in_month(2026, 11);
        assert_eq!(mondays_of_odd_date, 1 << 9 | 1 << 23);
        let either = days(1 << 13, 0b10_0000, false).in_month(2026, 11);
        assert_eq!(either, 1 << 13 | 1 << 6 | 1 << 20 | 1 << 27);
    }

    #[test]
    fn a_month_is_cut_to_its_length() {
        let every = days(ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK, true);
        assert_eq!(every.in_month(2026, 2).count_ones(), 28);
        assert_eq!(every.in_month(2028, 2).count_ones(), 29);
        assert_eq!(every.in_month(2026, 12).count_ones(), 31);
        assert_eq!(every.in_month(2026, 12) & 1, 0);
    }

    #[test]
    fn the_nearest_workday_stays_in_its_month() {
        // February 2026 begins on a Sunday and ends on a Saturday.
        let near = |day: u32| SpecialDays { nearest_workday: 1 << day, ..SpecialDays::default() };
        assert_eq!(near(1).month_days(0, 28), 1 << 2);
        assert_eq!(near(28).month_days(0, 28), 1 << 27);
        assert_eq!(near(29).month_days(0, 28), 0);
        // August 2026 begins on a Saturday; May 2026 ends on a Sunday.
        assert_eq!(near(1).month_days(6, 31), 1 << 3);
        assert_eq!(near(31).month_days(5, 31), 1 << 29);
    }

    #[test]
    fn the_fifth_and_the_last_of_a_weekday_differ_where_there_is_no_fifth() {
        let mut special = SpecialDays::default();
        special.nth[5] = 1 << 5;
        assert_eq!(special.week_days(0, 30), 0, "November 2026 has four Fridays");
        special.nth[5] = 1;
        assert_eq!(special.week_days(0, 30), 1 << 27);
    }
}
