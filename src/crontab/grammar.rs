//! The grammar of lines: what a line is, before anything in it is read.
//!
//! Written with nom on bytes; what a rule finds is handed on as ranges of the line, so that faults can point
//! at it. The rules are those of cronie's `load_env` and `load_entry`: only blank and tab separate, and a
//! line is tried as a setting before it is tried as an entry.

use std::ops::Range;

use memchr::memchr;
use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while};
use nom::character::complete::char;
use nom::combinator::{eof, rest, verify};
use nom::sequence::{delimited, preceded, terminated};
use nom::{IResult, Parser as _};

/// What a line looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Blanks only.
    Blank,
    /// `#` is the first character that is not blank; where the text behind it stands.
    Comment(Range<usize>),
    /// `# cronkeep:`; where the options behind it stand.
    Directive(Range<usize>),
    /// `NAME=value`, with the quotes and outer blanks left out of both.
    Setting {
        /// The name, which may be empty.
        name: Range<usize>,
        /// The value, which may be empty.
        value: Range<usize>,
    },
    /// Anything else: an entry, or a mistake.
    Entry,
}

/// Blank and tab: what separates the tokens of an entry.
#[inline]
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// C's `isspace`, which cronie's `load_env` uses where its entries know blank and tab only.
#[inline]
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What `line` is.
pub(super) fn shape(line: &[u8]) -> Shape {
    let text = &line[behind_blanks(line, 0)..];
    match text.first() {
        None => Shape::Blank,
        Some(b'#') => comment(line, text),
        // Most lines have no equals sign, or none that the grammar of settings has to look at.
        Some(_) if !may_be_setting(text) => Shape::Entry,
        Some(_) => match setting(text) {
            Ok((_, (name, value))) => {
                Shape::Setting { name: range_in(line, name), value: range_in(line, value) }
            }
            Err(_) => Shape::Entry,
        },
    }
}

/// The next token of `line` at or behind `from`: what stands before the next blank. Empty at the line's end.
#[inline]
pub(super) fn token(line: &[u8], from: usize) -> Range<usize> {
    let start = behind_blanks(line, from);
    let mut end = start;
    while line.get(end).is_some_and(|&byte| !is_blank(byte)) {
        end += 1;
    }
    start..end
}

/// Everything of `line` at or behind `from` but the blanks it begins with; blanks at the end stay.
#[inline]
pub(super) fn remainder(line: &[u8], from: usize) -> Range<usize> {
    behind_blanks(line, from)..line.len()
}

/// Where the first byte of `line` at or behind `from` stands that is no blank; the line's end if there is none.
#[inline]
fn behind_blanks(line: &[u8], from: usize) -> usize {
    let mut at = from.min(line.len());
    while line.get(at).is_some_and(|&byte| is_blank(byte)) {
        at += 1;
    }
    at
}

/// Whether `text` may be a setting: a quick no for nearly all entries, whose first token no equals sign follows.
#[inline]
fn may_be_setting(text: &[u8]) -> bool {
    if matches!(text.first(), Some(b'"' | b'\'')) {
        return memchr(b'=', text).is_some();
    }
    // As a bare name is read, and what follows it.
    let mut rest = text.iter().skip_while(|&&byte| !is_space(byte) && byte != b'=');
    rest.find(|&&byte| !is_space(byte)) == Some(&b'=')
}

/// One `key=value` of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Left of the equals sign.
    pub(super) key: Range<usize>,
    /// Right of it, without double quotes; `None` where there is no equals sign.
    pub(super) value: Option<Range<usize>>,
    /// Where the next item may begin.
    pub(super) end: usize,
    /// Whether a double quote is missing, or is followed by something that is not blank.
    pub(super) misquoted: bool,
}

/// The next `key=value` of a directive at or behind `from`, if there is one.
pub(super) fn item(line: &[u8], from: usize) -> Option<Item> {
    let text = &line[remainder(line, from)];
    let key: IResult<&[u8], &[u8]> =
        verify(take_till(|byte| is_blank(byte) || byte == b'='), |key: &[u8]| {
            !key.is_empty() || text.first() == Some(&b'=')
        })
        .parse(text);
    let (behind, key) = key.ok()?;
    let key = range_in(line, key);
    if behind.first() != Some(&b'=') {
        let end = key.end;
        return Some(Item { key, value: None, end, misquoted: false });
    }
    let quoted: IResult<&[u8], &[u8]> =
        delimited(tag("=\""), take_till(|byte| byte == b'"'), char('"')).parse(behind);
    let (left, value, misquoted) = match quoted {
        Ok((left, value)) if left.first().is_none_or(|&byte| is_blank(byte)) => {
            (left, value, false)
        }
        _ => {
            let bare: IResult<&[u8], &[u8]> =
                preceded(char('='), take_till(is_blank)).parse(behind);
            let (left, value) = bare.ok()?;
            (left, value, value.first() == Some(&b'"'))
        }
    };
    Some(Item { key, value: Some(range_in(line, value)), end: line.len() - left.len(), misquoted })
}

fn comment(line: &[u8], text: &[u8]) -> Shape {
    let directive: IResult<&[u8], &[u8]> =
        preceded((char('#'), take_while(is_blank), tag("cronkeep:")), rest).parse(text);
    match directive {
        Ok((_, options)) => Shape::Directive(range_in(line, options)),
        Err(_) => Shape::Comment(range_in(line, &text[1..])),
    }
}

/// Name and value of a setting (cronie's `load_env`): both may be quoted, neither knows an escape.
fn setting(input: &[u8]) -> IResult<&[u8], (&[u8], &[u8])> {
    let (input, name) = terminated(name, (take_while(is_space), char('='))).parse(input)?;
    let (input, value) = preceded(take_while(is_space), value).parse(input)?;
    Ok((input, (name, value)))
}

fn name(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let bare = verify(take_till(|byte| is_space(byte) || byte == b'='), |name: &[u8]| {
        !matches!(name.first(), Some(b'"' | b'\''))
    });
    alt((
        quoted(b'"', '"', |byte| matches!(byte, b'"' | b'=')),
        quoted(b'\'', '\'', |byte| matches!(byte, b'\'' | b'=')),
        bare,
    ))
    .parse(input)
}

fn value(input: &[u8]) -> IResult<&[u8], &[u8]> {
    let end = || (take_while(is_space), eof);
    let bare =
        verify(rest, |value: &[u8]| !matches!(value.first(), Some(b'"' | b'\''))).map(trim_end);
    alt((
        terminated(quoted(b'"', '"', |byte| byte == b'"'), end()),
        terminated(quoted(b'\'', '\'', |byte| byte == b'\''), end()),
        bare,
    ))
    .parse(input)
}

/// What stands between two quotation marks, up to the first byte at which `stop` says so.
fn quoted<'a>(
    open: u8,
    close: char,
    stop: fn(u8) -> bool,
) -> impl nom::Parser<&'a [u8], Output = &'a [u8], Error = nom::error::Error<&'a [u8]>> {
    delimited(char(char::from(open)), take_till(stop), char(close))
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// Where `part`, a slice of `line`, stands in it.
fn range_in(line: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - line.as_ptr().addr();
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting_of(line: &str) -> Option<(&str, &str)> {
        match shape(line.as_bytes()) {
            Shape::Setting { name, value } => Some((&line[name], &line[value])),
            _ => None,
        }
    }

    #[test]
    fn settings_are_read_as_load_env_reads_them() {
        let cases = [
            ("A=b", Some(("A", "b"))),
            (" A\t=\tb c \t", Some(("A", "b c"))),
            ("A=", Some(("A", ""))),
            ("A=\" b \"  ", Some(("A", " b "))),
            ("A='b\"c'", Some(("A", "b\"c"))),
            ("A=b\"c\"", Some(("A", "b\"c\""))),
            ("'A B' = 'c d'", Some(("A B", "c d"))),
            ("''=b", Some(("", "b"))),
            ("=", Some(("", ""))),
            ("A===", Some(("A", "=="))),
            ("A\"B\"=c", Some(("A\"B\"", "c"))),
            ("A=b # c", Some(("A", "b # c"))),
            ("@daily =x", Some(("@daily", "x"))),
            ("\u{b}=x", Some(("", "x"))),
            ("A=\"b\" c", None),
            ("A=\"b", None),
            ("A=\"", None),
            ("A='it''s'", None),
            ("\"A=B\"=c", None),
            ("\"A\"x=c", None),
            ("\"A=b", None),
            ("A B = c", None),
            ("* * * * * A=b", None),
            ("A", None),
        ];
        for (line, expected) in cases {
            assert_eq!(setting_of(line), expected, "{line:?}");
        }
    }

    #[test]
    fn a_number_sign_begins_a_comment_only_as_the_first_character() {
        assert_eq!(shape(b" \t# x"), Shape::Comment(3..5));
        assert_eq!(shape(b"#"), Shape::Comment(1..1));
        assert_eq!(shape(b"* * * * * a # x"), Shape::Entry);
        assert_eq!(shape(b" \t "), Shape::Blank);
        assert_eq!(shape(b""), Shape::Blank);
    }

    #[test]
    fn a_directive_is_a_comment_that_names_the_program() {
        assert_eq!(shape(b"# cronkeep: a=b"), Shape::Directive(11..15));
        assert_eq!(shape(b"#cronkeep:"), Shape::Directive(10..10));
        assert_eq!(shape(b"# cronkeep is nice"), Shape::Comment(1..18));
        assert_eq!(shape(b"## cronkeep: a=b"), Shape::Comment(1..16));
    }

    #[test]
    fn only_blank_and_tab_separate_tokens() {
        let line = b" \t*/5\x0b* x ";
        assert_eq!(token(line, 0), 2..7);
        assert_eq!(token(line, 7), 8..9);
        assert_eq!(token(line, 9), 10..10);
        assert_eq!(remainder(line, 7), 8..10);
        assert_eq!(remainder(line, 99), 10..10);
    }

    #[test]
    fn items_of_a_directive_may_be_quoted() {
        let line = br#"a=1  b="x y" c d="e f="g"h"#;
        let mut from = 0;
        let mut found = Vec::new();
        while let Some(item) = item(line, from) {
            let text = |range: Range<usize>| String::from_utf8_lossy(&line[range]).into_owned();
            found.push((text(item.key), item.value.map(text), item.misquoted));
            from = item.end;
        }
        let expected = [
            ("a", Some("1"), false),
            ("b", Some("x y"), false),
            ("c", None, false),
            ("d", Some("\"e"), true),
            ("f", Some("\"g\"h"), true),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value, bad)| ((*key).to_owned(), value.map(ToOwned::to_owned), *bad))
            .collect();
        assert_eq!(found, expected);
    }
}
