//! `@daily`, `@every 90s`, `@at TIME`, `@after NAME`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use nom::Parser as _;
use nom::bytes::complete::{take_while_m_n, take_while1};
use nom::character::complete::{char, digit0, one_of};
use nom::combinator::{all_consuming, map_res, opt, recognize};
use nom::sequence::{pair, preceded};

use crate::crontab::field::quote;
use crate::crontab::{Code, Mistake};
use crate::schedule::days::{ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK};
use crate::schedule::spelling::closest;
use crate::schedule::{After, At, Calendar, Days, Ending, Every, Schedule};

/// What an `@` word is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// A schedule by itself: `@daily`, `@reboot`.
    Whole(Schedule),
    /// `@every`: a duration follows.
    Every,
    /// `@at`: a time follows.
    At,
    /// `@after`: a job's name follows.
    After,
}

impl Word {
    /// What must follow, in words.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Word::Whole(_) => "nothing",
            Word::Every => "a duration",
            Word::At => "a time",
            Word::After => "the name of a job",
        }
    }

    /// How it is written.
    #[must_use]
    pub fn example(&self) -> &'static str {
        match self {
            Word::Whole(_) => "@daily",
            Word::Every => "@every 90s or @every 1h30m",
            Word::At => "@at 2026-12-01T10:00:00+08:00",
            Word::After => "@after backup or @after backup:failure",
        }
    }
}

const WORDS: [&str; 12] = [
    "@reboot",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@every",
    "@at",
    "@after",
    "@",
];

/// Reads an `@` word, in lower case as cron has it (cronie's `load_entry`).
///
/// # Errors
/// No such word; the span counts bytes of `token`.
pub fn word(token: &[u8]) -> Result<Word, Mistake> {
    let day = |dom: u32, months: u16, dow: u8, dom_star: bool, dow_star: bool| {
        let days = Days { dom, dow, dom_star, dow_star, special: None };
        let calendar =
            Calendar { minutes: 1, hours: 1, months, days, minute_star: false, hour_star: false };
        Word::Whole(Schedule::Calendar(calendar))
    };
    let (all, week, months) = (ALL_DAYS_OF_MONTH, ALL_DAYS_OF_WEEK, 0x1ffe);
    Ok(match token {
        b"@reboot" => Word::Whole(Schedule::Reboot),
        b"@yearly" | b"@annually" => day(1 << 1, 1 << 1, week, false, true),
        b"@monthly" => day(1 << 1, months, week, false, true),
        b"@weekly" => day(all, months, 1, true, false),
        b"@daily" | b"@midnight" => day(all, months, week, false, false),
        b"@hourly" => Word::Whole(Schedule::Calendar(Calendar {
            minutes: 1,
            hours: 0x00ff_ffff,
            months,
            days: Days { dom: all, dow: week, dom_star: false, dow_star: false, special: None },
            minute_star: false,
            hour_star: true,
        })),
        b"@every" => Word::Every,
        b"@at" => Word::At,
        b"@after" => Word::After,
        _ => return Err(unknown(token)),
    })
}

fn unknown(token: &[u8]) -> Mistake {
    let text = String::from_utf8_lossy(token);
    let mistake =
        Mistake::new(Code::E010, 0..token.len(), format!("{} is not a schedule", quote(token)));
    let meant = WORDS[..11].iter().copied();
    match text.as_ref() {
        "@" => mistake.with_help("write a word such as @daily, without a blank behind the @"),
        "@minutely" | "@every_minute" => mistake.with_help("write * * * * *"),
        "@quarterly" => mistake.with_help("write 0 0 1 1,4,7,10 *"),
        _ => match closest(&text, meant) {
            Some(meant) => mistake.with_help(format!("did you mean {meant}?")),
            None => mistake.with_help(
                "the words are @reboot @yearly @monthly @weekly @daily @hourly @every @at @after",
            ),
        },
    }
}

/// Reads what follows `@every`, `@at` or `@after`.
///
/// # Errors
/// The mistake; the span counts bytes of `token`.
pub fn argument(word: Word, token: &[u8]) -> Result<Schedule, Mistake> {
    let wrong = |message: String| Mistake::new(Code::E010, 0..token.len(), message);
    match word {
        Word::Whole(schedule) => Ok(schedule),
        Word::Every => every(token).map(Schedule::Every),
        Word::At => at(token).map(Schedule::At).ok_or_else(|| {
            wrong(format!("{} is not a time", quote(token)))
                .with_help("write 2026-12-01T10:00:00, with an offset such as +08:00 or Z if it is not of the entry's zone")
        }),
        Word::After => after(token).map(Schedule::After),
    }
}

fn every(token: &[u8]) -> Result<Every, Mistake> {
    let wrong = |message: String| Mistake::new(Code::E010, 0..token.len(), message);
    let short = || {
        wrong(format!("{} is less than a second", quote(token)))
            .with_help("the shortest interval is 1s")
    };
    match duration(token) {
        Ok(length) if length.as_secs() == 0 => Err(short()),
        Ok(length) => Ok(Every { seconds: length.as_secs() }),
        Err(DurationError::Negative) => Err(short()),
        Err(error) => {
            let mistake = wrong(format!("{} {error}", quote(token)));
            Err(match error {
                DurationError::NoUnit => mistake
                    .with_help(format!("write {0}s for seconds, {0}m for minutes", quote(token))),
                _ => mistake.with_help("write 90s, 5m, 1h30m, 2d or 1w"),
            })
        }
    }
}

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A bare number.
    #[error("has no unit")]
    NoUnit,
    /// A minus sign.
    #[error("is negative")]
    Negative,
    /// Beyond what a duration holds: about 290 years.
    #[error("is too long")]
    TooLong,
    /// Anything else.
    #[error("is not a duration")]
    Malformed,
}

/// Reads a duration in Go's syntax, with `d` (24 hours) and `w` (7 days) added: `1h30m`, `2.5s`, `1d`.
///
/// # Errors
/// The text is none; a bare number, 0 included, is none either.
///
/// ```
/// use cronkeep::crontab::expression::{DurationError, duration};
/// use std::time::Duration;
///
/// assert_eq!(duration(b"1h30m"), Ok(Duration::from_secs(5400)));
/// assert_eq!(duration(b"90"), Err(DurationError::NoUnit));
/// ```
pub fn duration(text: &[u8]) -> Result<Duration, DurationError> {
    let negative = text.first() == Some(&b'-');
    let mut rest = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut sum = 0u128;
    while !rest.is_empty() {
        let (after, (nanoseconds, unit)) = part(rest).map_err(|_| DurationError::Malformed)?;
        if unit == 0 {
            let bare = rest.len() == text.len() - usize::from(negative) && after.is_empty();
            return Err(if bare { DurationError::NoUnit } else { DurationError::Malformed });
        }
        sum = sum.saturating_add(nanoseconds);
        rest = after;
    }
    let length = u64::try_from(sum / 1_000_000_000)
        .ok()
        .filter(|&seconds| seconds <= i64::MAX as u64 / 1_000_000_000)
        .map(|seconds| Duration::new(seconds, u32::try_from(sum % 1_000_000_000).unwrap_or(0)));
    match length {
        _ if negative => Err(DurationError::Negative),
        Some(length) => Ok(length),
        None => Err(DurationError::TooLong),
    }
}

/// A number with its unit: the length in nanoseconds, and the unit's (0 if there is none).
fn part(text: &[u8]) -> nom::IResult<&[u8], (u128, u128)> {
    let number = map_res(
        pair(digit0::<&[u8], nom::error::Error<_>>, opt(preceded(char('.'), digit0))),
        |(whole, fraction)| {
            let fraction = fraction.unwrap_or_default();
            if whole.is_empty() && fraction.is_empty() { Err(()) } else { Ok((whole, fraction)) }
        },
    );
    let unit = opt(take_while1(|byte: u8| byte.is_ascii_alphabetic() || !byte.is_ascii()));
    map_res((number, unit), |((whole, fraction), unit)| {
        let unit: u128 = match unit {
            None => 0,
            Some(b"ns") => 1,
            Some(b"us") => 1_000,
            Some(unit) if unit == "µs".as_bytes() || unit == "μs".as_bytes() => 1_000,
            Some(b"ms") => 1_000_000,
            Some(b"s") => 1_000_000_000,
            Some(b"m") => 60_000_000_000,
            Some(b"h") => 3_600_000_000_000,
            Some(b"d") => 86_400_000_000_000,
            Some(b"w") => 604_800_000_000_000,
            Some(_) => return Err(()),
        };
        let digits = |text: &[u8]| {
            text.iter().fold(0u128, |sum, byte| {
                sum.saturating_mul(10).saturating_add(u128::from(byte - b'0'))
            })
        };
        // Beyond eighteen places nothing of a week is left that a nanosecond could show.
        let fraction = &fraction[..fraction.len().min(18)];
        let places = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
        let whole = digits(whole).saturating_mul(unit);
        Ok((whole.saturating_add(digits(fraction) * unit / places), unit))
    })
    .parse(text)
}

/// `YYYY-MM-DDTHH:MM[:SS]`, then an offset or nothing.
fn at(token: &[u8]) -> Option<At> {
    let digits = |count: usize| {
        map_res(
            take_while_m_n::<_, &[u8], nom::error::Error<_>>(count, count, |byte: u8| {
                byte.is_ascii_digit()
            }),
            |text: &[u8]| str::from_utf8(text).map_err(|_| ())?.parse::<i16>().map_err(|_| ()),
        )
    };
    let date = (digits(4), preceded(char('-'), digits(2)), preceded(char('-'), digits(2)));
    let time = (
        digits(2),
        preceded(char(':'), digits(2)),
        opt(preceded(char(':'), digits(2))),
        opt(preceded(char('.'), recognize(take_while1(|byte: u8| byte == b'0')))),
    );
    let offset = opt(nom::branch::alt((
        one_of("Zz").map(|_| 0),
        (one_of("+-"), digits(2), preceded(char(':'), digits(2))).map(|(sign, hours, minutes)| {
            let minutes = i32::from(hours) * 60 + i32::from(minutes);
            let valid = hours < 24 && minutes - i32::from(hours) * 60 < 60;
            let seconds = if valid { minutes * 60 } else { i32::MAX };
            if sign == '-' && valid { -seconds } else { seconds }
        }),
    )));
    let (_, ((year, month, day), _, (hour, minute, second, _), offset)) =
        all_consuming((date, one_of("Tt"), time, offset)).parse(token).ok()?;
    let part = |value: i16| i8::try_from(value).ok();
    let civil = DateTime::from_parts(
        Date::new(year, part(month)?, part(day)?).ok()?,
        Time::new(part(hour)?, part(minute)?, part(second.unwrap_or(0))?, 0).ok()?,
    );
    let Some(offset) = offset else { return Some(At::Civil(civil)) };
    let offset = jiff::tz::Offset::from_seconds(offset).ok()?;
    offset.to_timestamp(civil).ok().map(|at: Timestamp| At::Instant(at))
}

fn after(token: &[u8]) -> Result<After, Mistake> {
    const LONGEST: usize = 64;
    let colon = token.iter().position(|&byte| byte == b':').unwrap_or(token.len());
    let (name, ending) = (&token[..colon], token.get(colon + 1..));
    let begins = name.first().is_some_and(u8::is_ascii_alphanumeric);
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let name = str::from_utf8(name)
        .ok()
        .filter(|_| begins && name.len() <= LONGEST && name.iter().all(legal))
        .ok_or_else(|| {
            Mistake::new(
                Code::E010,
                0..colon,
                format!("{} is not the name of a job", quote(&token[..colon])),
            )
            .with_help("a name has up to 64 letters, digits, dots, dashes and underscores")
        })?;
    let ending = match ending {
        None | Some(b"success") => Ending::Success,
        Some(b"failure") => Ending::Failure,
        Some(b"any") => Ending::Any,
        Some(other) => {
            let message = format!("{} is not an ending", quote(other));
            return Err(Mistake::new(Code::E010, colon + 1..token.len(), message)
                .with_help("write success, failure or any"));
        }
    };
    Ok(After { name: name.into(), ending })
}
