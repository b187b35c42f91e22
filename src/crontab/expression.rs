//! The time part of an entry, on its own: `*/5 * * * *`, `@daily`, `@every 90s`.

mod word;

pub use word::{DurationError, Word, argument, duration, word};

use crate::schedule::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
use crate::schedule::{Calendar, Days, Extended, ExtendedFields, Schedule, SpecialDays};

use super::field::{self, DrawnFields, Field, FieldKind};
use super::{Code, Compat, FieldCount, Mistake};

/// When an entry is due, as far as its text says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// The text says it all.
    Fixed(Schedule),
    /// The text has `~`: some values are drawn when the job is known.
    Drawn(Box<DrawnFields>),
}

impl When {
    /// The schedule, with every `~` drawn from `seed`: the same seed gives the same schedule, always.
    #[must_use]
    pub fn resolve(&self, seed: u64) -> Schedule {
        match self {
            When::Fixed(schedule) => schedule.clone(),
            When::Drawn(fields) => fields.resolve(seed),
        }
    }

    /// Puts fields together; each says itself which it is, one that is missing is `*`.
    #[must_use]
    pub fn of(fields: Vec<Field>) -> Self {
        if fields.iter().any(|field| !field.draws.is_empty()) {
            When::Drawn(Box::new(DrawnFields { fields }))
        } else {
            When::Fixed(schedule_of(&fields))
        }
    }
}

/// The schedule of fields without `~`: with a second or a year an [`Extended`], else a [`Calendar`].
pub(super) fn schedule_of(fields: &[Field]) -> Schedule {
    let get = |kind| fields.iter().find(|field| field.kind == kind);
    let mask = |kind, all: u64| get(kind).map_or(all, |field| field.mask);
    let star = |kind| get(kind).is_none_or(|field| field.star);
    let narrow = |mask: u64| u32::try_from(mask).unwrap_or(u32::MAX);
    let mut special: Option<Box<SpecialDays>> = None;
    for more in fields.iter().filter_map(|field| field.special.as_deref()) {
        special.get_or_insert_default().merge(more);
    }
    let (minute_star, hour_star) = (star(FieldKind::Minute), star(FieldKind::Hour));
    let minutes = mask(FieldKind::Minute, (1 << 60) - 1);
    let hours = narrow(mask(FieldKind::Hour, (1 << 24) - 1));
    let months = u16::try_from(mask(FieldKind::Month, 0x1ffe)).unwrap_or(u16::MAX);
    let of_week = mask(FieldKind::DayOfWeek, ALL_DAYS_OF_WEEK.into());
    let days = Days {
        dom: narrow(mask(FieldKind::DayOfMonth, ALL_DAYS_OF_MONTH.into())),
        dow: u8::try_from(of_week).unwrap_or(ALL_DAYS_OF_WEEK),
        dom_star: star(FieldKind::DayOfMonth),
        dow_star: star(FieldKind::DayOfWeek),
        special,
    };
    let (second, year) = (get(FieldKind::Second), get(FieldKind::Year));
    if second.is_none() && year.is_none() {
        return Schedule::Calendar(Calendar {
            minutes,
            hours,
            months,
            days,
            minute_star,
            hour_star,
        });
    }
    Schedule::Extended(Box::new(Extended::new(ExtendedFields {
        seconds: second.map_or(1, |field| field.mask),
        minutes,
        hours,
        months,
        days,
        years: year.map(|field| field.years.as_deref().copied().unwrap_or_default()),
        wildcard: minute_star || hour_star || second.is_some_and(|field| field.star),
    })))
}

/// A schedule that stands alone, as on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expression {
    /// When it is due.
    pub when: When,
    /// The tokens with one blank between them.
    pub text: String,
}

/// The kinds of `count` fields, in the order in which they are written.
///
/// `None` where there is no such reading: fewer than five, more than seven.
#[must_use]
pub fn layout(count: usize, compat: Compat) -> Option<&'static [FieldKind]> {
    use FieldKind::{DayOfMonth, DayOfWeek, Hour, Minute, Month, Second, Year};
    const SEVEN: [FieldKind; 7] = [Second, Minute, Hour, DayOfMonth, Month, DayOfWeek, Year];
    match (count, compat) {
        (5, _) => Some(&SEVEN[1..6]),
        (6, Compat::Cronkeep) => Some(&SEVEN[..6]),
        (6, Compat::Supercronic) => Some(&SEVEN[1..]),
        (7, _) => Some(&SEVEN),
        _ => None,
    }
}

/// Reads an expression: five, six or seven fields, a nickname, `@every`, `@at`.
///
/// With [`FieldCount::Auto`] the number of tokens decides.
///
/// # Errors
/// The first mistake; its span counts bytes of `text`.
///
/// ```
/// use cronkeep::crontab::{Compat, FieldCount, expression};
///
/// let daily = expression::parse(b"@daily", FieldCount::Auto, Compat::Cronkeep).unwrap();
/// let fields = expression::parse(b"0 0 * * *", FieldCount::Auto, Compat::Cronkeep).unwrap();
/// assert_eq!(fields.text, "0 0 * * *");
/// assert_ne!(daily.when, fields.when, "@daily sets no star bit (cronie)");
/// ```
pub fn parse(text: &[u8], fields: FieldCount, compat: Compat) -> Result<Expression, Mistake> {
    parse_with_warnings(text, fields, compat).map(|(expression, _)| expression)
}

/// Reads an expression as [`parse`] does, and says what may not be meant.
///
/// # Errors
/// The first mistake; every span counts bytes of `text`.
pub fn parse_with_warnings(
    text: &[u8],
    fields: FieldCount,
    compat: Compat,
) -> Result<(Expression, Vec<Mistake>), Mistake> {
    let tokens: Vec<(usize, &[u8])> = tokens(text).collect();
    let Some(&(first_at, first)) = tokens.first() else {
        return Err(Mistake::new(Code::E010, 0..text.len(), "the schedule is empty")
            .with_help("write five fields, as in */5 * * * *, or a word such as @daily"));
    };
    if first.starts_with(b"@") {
        let schedule = parse_word(text, first_at, &tokens)?;
        let text = String::from_utf8_lossy(&text[first_at..]).trim_end().to_owned();
        return Ok((Expression { when: When::Fixed(schedule), text }, Vec::new()));
    }
    let wanted = match fields {
        FieldCount::Auto => tokens.len(),
        FieldCount::Five => 5,
        FieldCount::Six => 6,
        FieldCount::Seven => 7,
    };
    let kinds = layout(wanted, compat).filter(|kinds| kinds.len() == tokens.len());
    let Some(kinds) = kinds else {
        return Err(miscounted(text, &tokens, fields));
    };
    let (mut read, mut warnings) = (Vec::with_capacity(kinds.len()), Vec::new());
    let mut joined = String::with_capacity(text.len());
    for (&kind, &(at, token)) in kinds.iter().zip(&tokens) {
        let (field, doubts) = field::parse(kind, token).map_err(|mistake| mistake.shifted(at))?;
        read.push(field);
        warnings.extend(doubts.into_iter().map(|doubt| doubt.shifted(at)));
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(&String::from_utf8_lossy(token));
    }
    Ok((Expression { when: When::of(read), text: joined }, warnings))
}

/// Reads the `@` form that `tokens`, at least one, begin with.
fn parse_word(text: &[u8], at: usize, tokens: &[(usize, &[u8])]) -> Result<Schedule, Mistake> {
    let first = tokens[0].1;
    let surplus = |from: usize| {
        let span = from..text.trim_ascii_end().len();
        Mistake::new(
            Code::E010,
            span,
            format!("nothing may follow {}", field::quote(&text[at..from])),
        )
    };
    match word(first).map_err(|mistake| mistake.shifted(at))? {
        Word::Whole(schedule) => match tokens.get(1) {
            Some(&(next, _)) => Err(surplus(next)),
            None => Ok(schedule),
        },
        needs => {
            // robfig/cron reads everything behind `@every `, so that a blank more or less is a mistake.
            let rest = &text[at + first.len()..];
            let exact = needs != Word::Every
                || rest.strip_prefix(b" ").is_some_and(|rest| {
                    !rest.is_empty() && !rest.iter().any(u8::is_ascii_whitespace)
                });
            let Some(&(next, value)) = tokens.get(1) else {
                let end = at + first.len();
                return Err(Mistake::new(
                    Code::E010,
                    at..end,
                    format!("{} needs {}", field::quote(first), needs.noun()),
                )
                .with_help(format!("write {}", needs.example())));
            };
            if let Some(&(third, _)) = tokens.get(2) {
                return Err(surplus(third));
            }
            if !exact {
                return Err(Mistake::new(
                    Code::E010,
                    at..text.len(),
                    format!(
                        "{} needs one blank before its value, and none after",
                        field::quote(first)
                    ),
                )
                .with_help(format!("write {}", needs.example())));
            }
            argument(needs, value).map_err(|mistake| mistake.shifted(next))
        }
    }
}

fn miscounted(text: &[u8], tokens: &[(usize, &[u8])], fields: FieldCount) -> Mistake {
    let (wanted, example) = match fields {
        FieldCount::Auto => {
            ("five, six or seven", "minute, hour, day of month, month, day of week")
        }
        FieldCount::Five => ("five", "minute, hour, day of month, month, day of week"),
        FieldCount::Six => ("six", "second, minute, hour, day of month, month, day of week"),
        FieldCount::Seven => {
            ("seven", "second, minute, hour, day of month, month, day of week, year")
        }
    };
    let start = tokens.first().map_or(0, |token| token.0);
    let (number, s) = (tokens.len(), if tokens.len() == 1 { "" } else { "s" });
    Mistake::new(
        Code::E010,
        start..text.trim_ascii_end().len(),
        format!("{number} field{s} where {wanted} are needed"),
    )
    .with_help(format!("write {example}"))
}

/// The runs between blanks (space and tab, as cron has it), each with its offset.
fn tokens(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    text.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|token| !token.is_empty())
        .map(move |token| (token.as_ptr().addr() - text.as_ptr().addr(), token))
}

#[cfg(test)]
mod tests;
