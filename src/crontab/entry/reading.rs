//! How many time fields a line has.
use std::ops::Range;

use super::Flags;
use crate::crontab::expression;
use crate::crontab::field;
use crate::crontab::grammar::token;
use crate::crontab::{Code, Compat, Dialect, FieldCount, Format};

/// The tokens of a line that may be time fields, a user and the beginning of a command.
pub(super) struct Tokens {
    pub(super) ranges: [Range<usize>; 9],
    count: usize,
}

impl Tokens {
    /// The first five.
    pub(super) fn of(line: &[u8], at: usize) -> Self {
        let mut tokens =
            Tokens { ranges: std::array::from_fn(|_| line.len()..line.len()), count: 0 };
        tokens.extend(line, at, 5);
        tokens
    }

    fn extend(&mut self, line: &[u8], at: usize, count: usize) {
        let mut from = self.count.checked_sub(1).map_or(at, |last| self.ranges[last].end);
        while self.count < count {
            let range = token(line, from);
            if range.is_empty() {
                break;
            }
            from = range.end;
            self.ranges[self.count] = range;
            self.count += 1;
        }
    }
}

/// How many fields a line has.
pub(super) struct Reading {
    pub(super) count: usize,
    pub(super) judged: bool,
    pub(super) weekday: Option<Range<usize>>,
}

impl Reading {
    pub(super) fn of(
        line: &[u8],
        tokens: &mut Tokens,
        dialect: &Dialect,
        fields: FieldCount,
    ) -> Self {
        let sure = |count| Reading { count, judged: false, weekday: None };
        // What must follow the fields: a command, and before it a user.
        let behind = if dialect.format == Format::System { 2 } else { 1 };
        let fixed = match (fields, dialect.compat) {
            (FieldCount::Five, _) => Some(5),
            (FieldCount::Six, _) => Some(6),
            (FieldCount::Seven, _) => Some(7),
            (FieldCount::Auto, _) if tokens.count < 5 => Some(5),
            (FieldCount::Auto, _) => None,
        };
        if let Some(count) = fixed {
            tokens.extend(line, 0, count);
            return sure(count);
        }
        tokens.extend(line, 0, 6);
        let sixth = &line[tokens.ranges[5].clone()];
        match dialect.compat {
            // supercronic takes the longest reading that parses.
            Compat::Supercronic => {
                tokens.extend(line, 0, 9);
                let mut counts = [7, 6].into_iter();
                let longest = counts.find(|&count| {
                    tokens.count >= count + behind && parses(line, tokens, count, dialect.compat)
                });
                sure(longest.unwrap_or(5))
            }
            Compat::Cronkeep if !may_be_weekdays(sixth) => sure(5),
            Compat::Cronkeep => {
                tokens.extend(line, 0, 9);
                // As cronie reads it, unless what is behind the fields is good too.
                let runs = |count: usize| {
                    let end = tokens.ranges[count - 1].end;
                    match super::rest(line, end, true, dialect, &mut Flags::default()) {
                        Ok(_) => true,
                        Err(mistake) => mistake.code == Code::E016,
                    }
                };
                if tokens.count < 6 + behind || !parses(line, tokens, 6, dialect.compat) {
                    return sure(5);
                }
                if is_weekday_name(sixth) {
                    let weekday = runs(6).then(|| tokens.ranges[5].clone());
                    return Reading { weekday, ..sure(5) };
                }
                let seventh = &line[tokens.ranges[6].clone()];
                let count = if seventh == b"*" || are_years(seventh) { 7 } else { 6 };
                if !runs(count) {
                    return sure(5);
                }
                Reading { judged: true, ..sure(count) }
            }
        }
    }
}

/// Whether the first `count` tokens are as many time fields.
fn parses(line: &[u8], tokens: &Tokens, count: usize, compat: Compat) -> bool {
    let kinds = expression::layout(count, compat).unwrap_or_default();
    // From the last to the first: where a command stands is seen soonest.
    kinds.iter().zip(&tokens.ranges).rev().all(|(&kind, range)| {
        let text = &line[range.clone()];
        may_be_field(text) && field::parse(kind, text).is_ok()
    })
}

/// Whether a token has only bytes that time fields have; a quick no for the first word of most commands.
fn may_be_field(token: &[u8]) -> bool {
    token.first().is_some_and(|&first| first != b'/')
        && token.iter().all(|byte| byte.is_ascii_alphanumeric() || b"*,-/~?#".contains(byte))
}

/// Whether a token is four-digit years, with ranges, steps and commas. That no schedule reaches one of them is its mistake,
/// and makes it no command.
fn are_years(token: &[u8]) -> bool {
    let are_digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    token.split(|&byte| byte == b',').all(|item| {
        let mut parts = item.splitn(2, |&byte| byte == b'/');
        let mut years = parts.next().unwrap_or_default().split(|&byte| byte == b'-');
        years.all(|year| year.len() == 4 && are_digits(year)) && parts.next().is_none_or(are_digits)
    })
}

fn may_be_weekdays(token: &[u8]) -> bool {
    match token.first() {
        Some(b'0'..=b'9' | b'*' | b'?' | b'~') => true,
        Some(_) => token.first_chunk::<3>().is_some_and(|three| is_weekday_name(three)),
        None => false,
    }
}

fn is_weekday_name(token: &[u8]) -> bool {
    // What stands there is the first word of a command as a rule.
    if !matches!(
        token.first(),
        Some(b'F' | b'M' | b'S' | b'T' | b'W' | b'f' | b'm' | b's' | b't' | b'w')
    ) {
        return false;
    }
    [b"sun", b"mon", b"tue", b"wed", b"thu", b"fri", b"sat"]
        .iter()
        .any(|name| token.eq_ignore_ascii_case(*name))
}
