//! One item of a field's list.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::combinator::{all_consuming, opt, success};
use nom::sequence::preceded;
use nom::{IResult, Parser as _};

use super::{Draw, Field, FieldKind, is_day, quote};
use crate::crontab::{Code, Mistake};

/// A step above this is refused; cron accepts any.
const GREATEST_STEP: u16 = 10_000;

/// An item cut into its parts, before their values are known.
struct Parts<'a> {
    first: First<'a>,
    second: Option<Second<'a>>,
    step: Option<&'a [u8]>,
}

enum First<'a> {
    Star,
    /// A number or a name; empty before a `~`.
    Word(&'a [u8]),
}

enum Second<'a> {
    /// `-b`
    To(&'a [u8]),
    /// `~b`; empty after a bare `~`.
    Draw(&'a [u8]),
}

/// Reads one item into `field`. Spans count bytes of `text`.
pub(super) fn read(field: &mut Field, text: &[u8]) -> Result<Option<Mistake>, Mistake> {
    if is_day(field.kind) && special(field, text)? {
        return Ok(None);
    }
    let Ok((_, parts)) = all_consuming(parts).parse(text) else {
        return Err(malformed(field.kind, text));
    };
    let span = |part: &[u8]| {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        start..start + part.len()
    };
    let kind = field.kind;
    let value =
        |part: &[u8]| value(kind, part).map_err(|mistake| mistake.shifted(span(part).start));
    let step = match parts.step {
        Some(digits) => Some(step(kind, digits).map_err(|m| m.shifted(span(digits).start))?),
        None => None,
    };
    let wrong = |message: String| Mistake::new(kind.code(), 0..text.len(), message);
    let (low, high) = match (parts.first, parts.second) {
        (First::Star, None) => (kind.low(), kind.high()),
        (First::Star, Some(_)) => return Err(malformed(kind, text)),
        (First::Word(word), None) => {
            let value = value(word)?;
            if let Some(step) = step {
                return Err(wrong(format!("the step in {} has no range", quote(text))).with_help(
                    format!("write {value}-{}/{step} for every {step} from {value} on", top(kind)),
                ));
            }
            (value, value)
        }
        (First::Word(from), Some(Second::To(to))) => {
            let (low, high) = (value(from)?, value(to)?);
            match (low <= high, kind) {
                (true, _) => (low, high),
                (false, FieldKind::DayOfWeek) => (low, high + 7),
                (false, _) => {
                    let help = match kind {
                        FieldKind::Year => format!("write {high}-{low}"),
                        _ => format!("write {} to wrap around", wrapped(kind, low, high, step)),
                    };
                    return Err(
                        wrong(format!("the range {} is reversed", quote(text))).with_help(help)
                    );
                }
            }
        }
        (First::Word(from), Some(Second::Draw(to))) => {
            let low = if from.is_empty() { kind.low() } else { value(from)? };
            let high = if to.is_empty() { top(kind) } else { value(to)? };
            // `7~` is Sunday alone.
            let high = if to.is_empty() { high.max(low) } else { high };
            if low > high {
                return Err(wrong(format!("the range {} is reversed", quote(text)))
                    .with_help(format!("write {high}~{low}")));
            }
            if low == high {
                field.insert(low);
            } else {
                field.draws.push(Draw { low, high, step });
            }
            return Ok(None);
        }
    };
    field.insert_stepped(low, high, step.unwrap_or(1));
    Ok(step.and_then(|step| doubt(kind, text, step, low, high)))
}

/// The greatest value that is not another name of a lesser one.
fn top(kind: FieldKind) -> u16 {
    if kind == FieldKind::DayOfWeek { 6 } else { kind.high() }
}

/// A range over the end of the field, as the list that means it: `22-23,0-2`.
fn wrapped(kind: FieldKind, from: u16, to: u16, step: Option<u16>) -> String {
    let range = |low: u16, high: u16| match step {
        _ if low == high => low.to_string(),
        Some(step) if high - low < step => low.to_string(),
        Some(step) => format!("{low}-{high}/{step}"),
        None => format!("{low}-{high}"),
    };
    let stride = step.unwrap_or(1);
    let last = from + (top(kind) - from) / stride * stride;
    let next = last + stride - top(kind) - 1 + kind.low();
    let head = range(from, top(kind));
    if next > to { head } else { format!("{head},{}", range(next, to)) }
}

fn parts(text: &[u8]) -> IResult<&[u8], Parts<'_>> {
    let first = alt((
        tag("*").map(|_| First::Star),
        word.map(First::Word),
        success(&b""[..]).map(First::Word),
    ));
    let second = opt(alt((
        preceded(tag("-"), word).map(Second::To),
        preceded(tag("~"), alt((word, success(&b""[..])))).map(Second::Draw),
    )));
    let (rest, (first, second, step)) =
        (first, second, opt(preceded(tag("/"), word))).parse(text)?;
    let nothing = matches!(first, First::Word(b"")) && !matches!(second, Some(Second::Draw(_)));
    if nothing {
        let error = nom::error::Error::new(text, nom::error::ErrorKind::Verify);
        return Err(nom::Err::Error(error));
    }
    Ok((rest, Parts { first, second, step }))
}

fn word(text: &[u8]) -> IResult<&[u8], &[u8]> {
    take_while1(|byte: u8| byte.is_ascii_alphanumeric()).parse(text)
}

/// A run of digits; `None` if it is none or above 65 535.
fn number(digits: &[u8]) -> Option<u16> {
    // cronie's buffer for a number ends there (MAX_TEMPSTR).
    const LONGEST: usize = 100;
    if digits.is_empty() || digits.len() >= LONGEST {
        return None;
    }
    digits.iter().try_fold(0u16, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u16::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of a number or a name.
fn value(kind: FieldKind, word: &[u8]) -> Result<u16, Mistake> {
    if let Some(number) = number(word).filter(|n| (kind.low()..=kind.high()).contains(n)) {
        return Ok(number);
    }
    let mut full = None;
    for (index, name) in (0u16..).zip(kind.names()) {
        let index = if kind == FieldKind::Month { index + 1 } else { index };
        if word.eq_ignore_ascii_case(&name.as_bytes()[..3]) {
            return Ok(index);
        }
        let long = word.len() > 3 && word.len() <= name.len();
        if long && name.as_bytes()[..word.len()].eq_ignore_ascii_case(word) {
            full = Some(&name[..3]);
        }
    }
    let message = format!("{} is not {}: it must be {}", quote(word), kind.noun(), kind.range());
    let mistake = Mistake::new(kind.code(), 0..word.len(), message);
    Err(match (full, number(word), kind) {
        (Some(short), ..) => mistake.with_help(format!("names have three letters: write {short}")),
        (None, Some(24), FieldKind::Hour) => mistake.with_help("midnight is hour 0"),
        (None, Some(60), FieldKind::Minute | FieldKind::Second) => {
            mistake.with_help("the full hour or minute is 0")
        }
        (None, Some(0), FieldKind::DayOfMonth | FieldKind::Month) => {
            mistake.with_help("counting starts at 1")
        }
        (None, Some(low @ 0..=99), FieldKind::Year) => {
            mistake.with_help(format!("write all four digits: {}", 2000 + low))
        }
        _ => mistake,
    })
}

fn step(kind: FieldKind, digits: &[u8]) -> Result<u16, Mistake> {
    let wrong = |message: String| Mistake::new(kind.code(), 0..digits.len(), message);
    match number(digits) {
        Some(0) => Err(wrong("the step must not be 0".to_owned()).with_help("leave the step out")),
        Some(step) if step <= GREATEST_STEP => Ok(step),
        _ if digits.iter().all(u8::is_ascii_digit) => {
            Err(wrong(format!("the step {} is above {GREATEST_STEP}", quote(digits)))
                .with_help("write a step within the field's range, as in */5"))
        }
        _ => Err(wrong(format!("the step {} is not a number", quote(digits)))
            .with_help("write the step in digits, as in */5")),
    }
}

/// A warning about a step that may not do what was meant.
fn doubt(kind: FieldKind, text: &[u8], step: u16, low: u16, high: u16) -> Option<Mistake> {
    // 7 is Sunday once more.
    let high = if low == 0 { high.min(top(kind)) } else { high };
    if step > 1 && step > high - low {
        let message = format!("the step {step} is above the range: only {low} matches");
        return Some(Mistake::new(Code::W011, 0..text.len(), message).with_help(format!(
            "write {low} if that is meant; a longer interval needs the next field"
        )));
    }
    let unit = match kind {
        FieldKind::Second => "minute",
        FieldKind::Minute => "hour",
        FieldKind::Hour => "day",
        FieldKind::DayOfMonth => "month",
        FieldKind::Month => "year",
        FieldKind::DayOfWeek => "week",
        FieldKind::Year => return None,
    };
    let count = top(kind) - kind.low() + 1;
    let whole = low == kind.low() && high == top(kind);
    let even = if kind == FieldKind::DayOfMonth { step == 1 } else { count.is_multiple_of(step) };
    (whole && !even).then(|| {
        let rest = (count - 1) % step + 1;
        let message = match (kind, rest) {
            (FieldKind::DayOfMonth, 1) => {
                "months have 28 to 31 days: the 31st and the 1st stand next to each other".to_owned()
            }
            (FieldKind::DayOfMonth, _) => format!(
                "months have 28 to 31 days: the last interval of each month is not always {step}"
            ),
            (FieldKind::DayOfWeek, 1) => {
                format!("{step} does not divide 7: Saturday and Sunday stand next to each other")
            }
            _ => format!(
                "{step} does not divide {count}: the last interval of each {unit} is {rest}, not {step}"
            ),
        };
        Mistake::new(Code::W010, 0..text.len(), message)
            .with_help(format!("the count starts again each {unit}; @every keeps an even distance"))
    })
}

/// Reads `L`, `LW`, `nW`, `dL`, `d#n`; false if the item is none of them.
fn special(field: &mut Field, text: &[u8]) -> Result<bool, Mistake> {
    let kind = field.kind;
    let wrong = |message: String| Mistake::new(kind.code(), 0..text.len(), message);
    if text.eq_ignore_ascii_case(b"L") {
        if kind == FieldKind::DayOfWeek {
            return Err(wrong("L in the day of the week needs a day before it".to_owned())
                .with_help("write 5L for the last Friday of the month, 6 for Saturday"));
        }
        field.special().last_day = true;
        return Ok(true);
    }
    if kind == FieldKind::DayOfMonth {
        if text.eq_ignore_ascii_case(b"LW") {
            field.special().last_workday = true;
            return Ok(true);
        }
        if let [day @ .., b'W' | b'w'] = text
            && !day.is_empty()
            && day.iter().all(u8::is_ascii_digit)
        {
            let day = value(kind, day)?;
            field.special().nearest_workday |= 1 << day;
            return Ok(true);
        }
        return Ok(false);
    }
    if let [day @ .., b'L' | b'l'] = text
        && day.iter().all(u8::is_ascii_alphanumeric)
    {
        let day = value(kind, day)?;
        field.special().nth[usize::from(day % 7)] |= 1;
        return Ok(true);
    }
    let Some(hash) = text.iter().position(|&byte| byte == b'#') else { return Ok(false) };
    let (day, place) = (&text[..hash], &text[hash + 1..]);
    let day = value(kind, day)?;
    match number(place) {
        Some(place @ 1..=5) => {
            field.special().nth[usize::from(day % 7)] |= 1 << place;
            Ok(true)
        }
        _ => Err(Mistake::new(
            kind.code(),
            hash + 1..text.len(),
            format!("{} does not count a weekday of the month: it must be 1-5", quote(place)),
        )
        .with_help("write 5#2 for the second Friday, 5L for the last")),
    }
}

/// An item that has not the shape of one.
fn malformed(kind: FieldKind, text: &[u8]) -> Mistake {
    let message = format!("{} is not {}: it must be {}", quote(text), kind.noun(), kind.range());
    let mistake = Mistake::new(kind.code(), 0..text.len(), message);
    let has = |byte: u8| text.contains(&byte);
    match text {
        [b'*', rest @ ..] if rest.first() != Some(&b'/') => {
            mistake.with_help("only a step may follow *, as in */5")
        }
        b"?" => mistake.with_help("? stands in a day field only: write *"),
        [.., b'/'] => mistake.with_help("write the step behind the /, as in */5"),
        [.., b'-'] => mistake.with_help("write the end of the range, as in 1-5"),
        [b'-' | b'+', ..] => mistake.with_help("numbers have no sign"),
        _ if has(b'W') || has(b'L') || has(b'#') => {
            mistake.with_help("L, W and # take one number each, and no range or step")
        }
        _ => mistake.with_help("write *, */5, 1-5, 1-5/2 or a list of these, such as 1,3-5"),
    }
}
