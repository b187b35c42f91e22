//! One time field: `*/5`, `1-5`, `mon,wed`, `10~20`, `L`.
//!
//! The rules are cronie's (`get_list`, `get_range` and `get_number` of its entry.c) with the exceptions of
//! docs/compatibility.md: reversed ranges and numbers out of range are mistakes, weekdays may wrap.

mod drawn;
mod item;

pub use drawn::{Draw, DrawnFields};

use crate::schedule::{SpecialDays, Years};

use super::{Code, Mistake};

/// The most warnings about one field.
const MOST_WARNINGS: usize = 10;

/// Which field of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// 0-59.
    Second,
    /// 0-59.
    Minute,
    /// 0-23.
    Hour,
    /// 1-31.
    DayOfMonth,
    /// 1-12 or jan-dec.
    Month,
    /// 0-7 or sun-sat; 0 and 7 are Sunday.
    DayOfWeek,
    /// 1970-2099.
    Year,
}

impl FieldKind {
    /// The least value.
    #[must_use]
    pub fn low(self) -> u16 {
        match self {
            FieldKind::DayOfMonth | FieldKind::Month => 1,
            FieldKind::Year => 1970,
            _ => 0,
        }
    }

    /// The greatest value.
    #[must_use]
    pub fn high(self) -> u16 {
        match self {
            FieldKind::Second | FieldKind::Minute => 59,
            FieldKind::Hour => 23,
            FieldKind::DayOfMonth => 31,
            FieldKind::Month => 12,
            FieldKind::DayOfWeek => 7,
            FieldKind::Year => 2099,
        }
    }

    /// The code of a mistake in it.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            FieldKind::Second => Code::E006,
            FieldKind::Minute => Code::E001,
            FieldKind::Hour => Code::E002,
            FieldKind::DayOfMonth => Code::E003,
            FieldKind::Month => Code::E004,
            FieldKind::DayOfWeek => Code::E005,
            FieldKind::Year => Code::E007,
        }
    }

    /// One value of it, in words: `an hour`.
    #[must_use]
    pub fn noun(self) -> &'static str {
        match self {
            FieldKind::Second => "a second",
            FieldKind::Minute => "a minute",
            FieldKind::Hour => "an hour",
            FieldKind::DayOfMonth => "a day of the month",
            FieldKind::Month => "a month",
            FieldKind::DayOfWeek => "a day of the week",
            FieldKind::Year => "a year",
        }
    }

    /// What may be written: `0-23`.
    fn range(self) -> &'static str {
        match self {
            FieldKind::Second | FieldKind::Minute => "0-59",
            FieldKind::Hour => "0-23",
            FieldKind::DayOfMonth => "1-31",
            FieldKind::Month => "1-12 or jan-dec",
            FieldKind::DayOfWeek => "0-7 or sun-sat",
            FieldKind::Year => "1970-2099",
        }
    }

    /// The names of the values, in order, from the first value that has one.
    fn names(self) -> &'static [&'static str] {
        const MONTHS: [&str; 12] = [
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ];
        const WEEK: [&str; 7] =
            ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
        match self {
            FieldKind::Month => &MONTHS,
            FieldKind::DayOfWeek => &WEEK,
            _ => &[],
        }
    }
}

/// A time field as read: the values that its text names, and what is drawn later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// Which field it is.
    pub kind: FieldKind,
    /// Its first character is `*`, or it is `?` (cronie's `MIN_STAR`, `HR_STAR`, `DOM_STAR`, `DOW_STAR`).
    pub star: bool,
    /// Bit n: value n; Sunday is 0 alone. Nothing for a year.
    pub mask: u64,
    /// The values of a year field.
    pub years: Option<Box<Years>>,
    /// `L`, `LW`, `nW`, `dL`, `d#n`.
    pub special: Option<Box<SpecialDays>>,
    /// `~` items.
    pub draws: Vec<Draw>,
}

impl Field {
    fn empty(kind: FieldKind) -> Self {
        Field { kind, star: false, mask: 0, years: None, special: None, draws: Vec::new() }
    }

    /// Every value, with the star bit: `*`.
    #[must_use]
    pub fn star(kind: FieldKind) -> Self {
        let mut field = Field { star: true, ..Field::empty(kind) };
        field.insert_stepped(kind.low(), kind.high(), 1);
        field
    }

    /// Adds one value; 7 in a day of the week is Sunday.
    fn insert(&mut self, value: u16) {
        match self.kind {
            FieldKind::DayOfWeek => self.mask |= 1 << (value % 7),
            FieldKind::Year => {
                let years = self.years.get_or_insert_default();
                years.insert(i16::try_from(value).unwrap_or(i16::MAX));
            }
            _ => self.mask |= 1 << value,
        }
    }

    fn insert_stepped(&mut self, from: u16, to: u16, step: u16) {
        for value in (from..=to).step_by(usize::from(step.max(1))) {
            self.insert(value);
        }
    }

    fn special(&mut self) -> &mut SpecialDays {
        self.special.get_or_insert_default()
    }
}

/// Reads one field; with it come warnings about what may not be meant.
///
/// # Errors
/// The first mistake. Spans count bytes of `token`.
///
/// ```
/// use cronkeep::crontab::field::{FieldKind, parse};
///
/// let (field, warnings) = parse(FieldKind::Hour, b"9-17/4").unwrap();
/// assert_eq!(field.mask, 1 << 9 | 1 << 13 | 1 << 17);
/// assert!(warnings.is_empty());
/// let mistake = parse(FieldKind::Hour, b"25").unwrap_err();
/// assert_eq!(mistake.message, "25 is not an hour: it must be 0-23");
/// ```
pub fn parse(kind: FieldKind, token: &[u8]) -> Result<(Field, Vec<Mistake>), Mistake> {
    if token == b"*" || (token == b"?" && is_day(kind)) {
        return Ok((Field::star(kind), Vec::new()));
    }
    let mut field = Field { star: token.first() == Some(&b'*'), ..Field::empty(kind) };
    let mut warnings = Vec::new();
    let mut start = 0;
    for text in token.split(|&byte| byte == b',') {
        let span = start..start + text.len();
        if text.is_empty() {
            let at = span.start.saturating_sub(1)..(span.end + 1).min(token.len());
            let message = if token.is_empty() {
                format!("{} is missing", kind.noun())
            } else {
                format!("an item of the list {} is empty", quote(token))
            };
            return Err(Mistake::new(kind.code(), at, message)
                .with_help("write the values with one comma between two of them, as in 1,2"));
        }
        let place = |mistake: Mistake| mistake.shifted(start);
        if let Some(warning) = item::read(&mut field, text).map_err(place)? {
            // A line of a megabyte may have a hundred thousand; each costs a look at the whole line.
            if warnings.len() < MOST_WARNINGS {
                warnings.push(warning.shifted(start));
            }
        }
        start = span.end + 1;
    }
    Ok((field, warnings))
}

fn is_day(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::DayOfMonth | FieldKind::DayOfWeek)
}

/// Text from a crontab in a message: short, with control characters and bytes that are not UTF-8 escaped.
pub(super) fn quote(text: &[u8]) -> String {
    const LONGEST: usize = 40;
    let mut characters = text.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().map(|&byte| Err(byte)))
    });
    let mut quoted = String::new();
    for character in characters.by_ref().take(LONGEST) {
        match character {
            Ok(c) if c.is_control() => quoted.extend(c.escape_default()),
            Ok(c) => quoted.push(c),
            Err(byte) => quoted.extend(byte.escape_ascii().map(char::from)),
        }
    }
    if characters.next().is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests;
