//! The fields of a schedule as lists of values, for people and programs to read.

use super::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
use super::{Days, Schedule, SpecialDays};

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldSet {
    /// Every permitted value.
    All,
    /// These, in order; Sunday is both 0 and 7.
    Values(Vec<u16>),
    /// It has an item with `L`, `W` or `#`: only its text says it.
    Special,
}

/// The fields of a calendar, each as a [`FieldSet`] (as in parse.jsonl).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSets {
    /// The second field, if there is one.
    pub second: Option<FieldSet>,
    /// 0-59.
    pub minute: FieldSet,
    /// 0-23.
    pub hour: FieldSet,
    /// 1-31.
    pub dom: FieldSet,
    /// 1-12.
    pub month: FieldSet,
    /// 0-7.
    pub dow: FieldSet,
    /// The year field, if there is one.
    pub year: Option<FieldSet>,
}

impl Schedule {
    /// The fields of a calendar, with every `~` drawn; `None` for what has no fields, such as `@every`.
    #[must_use]
    pub fn field_sets(&self) -> Option<FieldSets> {
        match self {
            Schedule::Calendar(calendar) => {
                Some(sets(calendar.minutes, calendar.hours, calendar.months, &calendar.days))
            }
            Schedule::Extended(extended) => {
                let fields = extended.fields();
                let mut sets = sets(fields.minutes, fields.hours, fields.months, &fields.days);
                sets.second = Some(set(fields.seconds, 0, 59));
                sets.year = fields.years.map(|years| {
                    let years: Vec<u16> =
                        years.iter().filter_map(|year| u16::try_from(year).ok()).collect();
                    if years.len() == 130 { FieldSet::All } else { FieldSet::Values(years) }
                });
                Some(sets)
            }
            _ => None,
        }
    }
}

fn sets(minutes: u64, hours: u32, months: u16, days: &Days) -> FieldSets {
    let special = |is: fn(&SpecialDays) -> bool| days.special.as_deref().is_some_and(is);
    let week = u64::from(days.dow & ALL_DAYS_OF_WEEK) | u64::from(days.dow & 1) << 7;
    FieldSets {
        second: None,
        minute: set(minutes, 0, 59),
        hour: set(hours.into(), 0, 23),
        dom: if special(SpecialDays::in_month) {
            FieldSet::Special
        } else {
            set((days.dom & ALL_DAYS_OF_MONTH).into(), 1, 31)
        },
        month: set(months.into(), 1, 12),
        dow: if special(SpecialDays::in_week) { FieldSet::Special } else { set(week, 0, 7) },
        year: None,
    }
}

fn set(mask: u64, low: u16, high: u16) -> FieldSet {
    let values: Vec<u16> = (low..=high).filter(|value| mask & 1 << value != 0).collect();
    if values.len() == usize::from(high - low) + 1 {
        FieldSet::All
    } else {
        FieldSet::Values(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_range_is_all_and_sunday_is_listed_twice() {
        assert_eq!(set((1 << 60) - 1, 0, 59), FieldSet::All);
        assert_eq!(set(1 << 5 | 1, 0, 59), FieldSet::Values(vec![0, 5]));
        let (dom, dow) = (0, 1);
        let special = Some(Box::new(SpecialDays { last_day: true, ..SpecialDays::default() }));
        let days = Days { dom, dow, dom_star: false, dow_star: false, special };
        let sets = sets(1, 1, 0x1ffe, &days);
        assert_eq!(sets.dow, FieldSet::Values(vec![0, 7]));
        assert_eq!((sets.dom, sets.month), (FieldSet::Special, FieldSet::All));
    }

    #[test]
    fn what_has_no_fields_has_no_sets() {
        assert_eq!(Schedule::Reboot.field_sets(), None);
    }
}
