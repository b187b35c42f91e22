//! The rows as Python's `json.dumps` writes them, and as anybody may have written them.
use std::fmt::{self, Write as _};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::{Reason, Row, Unreadable};

/// The most bytes of a cache that are looked at, in bytes.
pub const MOST_BYTES: usize = 64 << 20;

/// The most rows of a cache that are looked at.
pub const MOST_ROWS: usize = 200_000;

/// The most bytes of one row: a command of 131 071 bytes in the longest spelling is shorter.
const MOST_ROW_BYTES: usize = 1 << 20;

/// What a row has.
const CELLS: usize = 7;

/// The rows as Python's `json.dumps` spells a list of lists of strings: `, ` between items, ASCII alone.
#[must_use]
pub fn dumps<'a>(rows: impl IntoIterator<Item = &'a Row>) -> String {
    let mut out = String::from("[");
    for (place, row) in rows.into_iter().enumerate() {
        out.push_str(if place == 0 { "[" } else { ", [" });
        for (place, cell) in row.0.iter().enumerate() {
            out.push_str(if place == 0 { "\"" } else { ", \"" });
            push_escaped(&mut out, cell);
            out.push('"');
        }
        out.push(']');
    }
    out.push(']');
    out
}

/// Appends `text` as `json.dumps` does with `ensure_ascii`: lower-case hex, surrogate pairs, `/` as it is.
fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            ' '..='~' => {
                out.push(character);
                continue;
            }
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").expect("a string takes everything");
                }
                continue;
            }
        };
        out.push_str(short);
    }
}

/// The rows of a cache, each [judged](Row::judged) by itself; the order and the number of results are those of its items.
///
/// # Errors
/// It is no array, or too long.
pub fn loads(bytes: &[u8]) -> Result<Vec<Result<Row, Reason>>, Unreadable> {
    let judged = |row: Result<Row, Reason>| row.and_then(Row::judged);
    Ok(items(bytes)?.map(judged).collect())
}

/// Why an item is refused, and its JSON.
type Refused<'a> = (Reason, &'a [u8]);

/// As [`loads`], with the JSON of each item that is refused, as it stands there: it may be long, and hold anything.
///
/// # Errors
/// It is no array, or too long.
pub fn loads_with_text(bytes: &[u8]) -> Result<Vec<Result<Row, Refused<'_>>>, Unreadable> {
    let mut items = opened(bytes)?;
    let mut rows = Vec::new();
    while let Some(row) = items.next() {
        rows.push(row.and_then(Row::judged).map_err(|reason| (reason, items.text_of_last())));
    }
    Ok(rows)
}

/// The rows of a cache as they stand, for a comparison: none of them is judged, and none may become a line of a crontab.
///
/// What is no row is refused and the next one found, also
/// behind text that is no JSON. Bounded: [`MOST_BYTES`], [`MOST_ROWS`], and one row at a time beside those that are taken.
///
/// # Errors
/// It is no array, or too long.
pub fn items(bytes: &[u8]) -> Result<impl Iterator<Item = Result<Row, Reason>>, Unreadable> {
    opened(bytes)
}

fn opened(bytes: &[u8]) -> Result<Items<'_>, Unreadable> {
    if bytes.len() > MOST_BYTES {
        return Err(Unreadable::TooLong(bytes.len()));
    }
    let start = skip(bytes, 0, |byte| byte.is_ascii_whitespace());
    if bytes.get(start) != Some(&b'[') {
        let head = &bytes[start..bytes.len().min(start + 20)];
        return Err(Unreadable::NotAnArray(String::from_utf8_lossy(head).into_owned()));
    }
    Ok(Items { bytes, start: start + 1, at: start + 1, balanced: true, ended: false, count: 0 })
}

/// Goes through the items of the array.
struct Items<'a> {
    bytes: &'a [u8],
    /// Where the last item begins.
    start: usize,
    at: usize,
    /// Whether brackets are worth being counted: no, once they were not closed up to the end.
    balanced: bool,
    ended: bool,
    count: usize,
}

impl Iterator for Items<'_> {
    type Item = Result<Row, Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let blank = |byte: u8| byte.is_ascii_whitespace();
        self.at = skip(self.bytes, self.at, |byte| blank(byte) || byte == b',');
        self.start = self.at;
        let not_json = |text: &str| Some(Err(Reason::NotJson(text.to_owned())));
        match self.bytes.get(self.at) {
            None => {
                self.ended = true;
                not_json("the array has no end")
            }
            Some(b']') => {
                self.ended = true;
                let rest = skip(self.bytes, self.at + 1, blank);
                if rest < self.bytes.len() { not_json("text behind the array") } else { None }
            }
            Some(_) if self.count == MOST_ROWS => {
                self.ended = true;
                Some(Err(Reason::TooMany))
            }
            Some(_) => {
                self.count += 1;
                Some(self.item())
            }
        }
    }
}

impl<'a> Items<'a> {
    /// The last item as it stands there.
    fn text_of_last(&self) -> &'a [u8] {
        self.bytes.get(self.start..self.at).unwrap_or_default().trim_ascii_end()
    }

    /// The item that begins here; moves behind it.
    fn item(&mut self) -> Result<Row, Reason> {
        let rest = &self.bytes[self.at..];
        let window = &rest[..rest.len().min(MOST_ROW_BYTES)];
        let mut items = serde_json::Deserializer::from_slice(window).into_iter::<Shape>();
        match items.next() {
            Some(Ok(shape)) => {
                self.at += items.byte_offset();
                match shape {
                    Shape::Row(row) => Ok(row),
                    Shape::Other(what) => Err(Reason::NotARow(what)),
                }
            }
            Some(Err(error)) => {
                let is_cut = error.is_eof() && window.len() < rest.len();
                self.pass();
                let text = error.to_string();
                Err(match error.classify() {
                    _ if is_cut => Reason::TooLong,
                    Category::Data => {
                        Reason::NotARow(text.split(" at line ").next().unwrap_or(&text).to_owned())
                    }
                    _ => Reason::NotJson(text),
                })
            }
            None => {
                self.at = self.bytes.len();
                Err(Reason::NotJson("nothing".to_owned()))
            }
        }
    }

    /// Moves behind an item that is no JSON: to where its brackets are closed, else to the next `], [`.
    fn pass(&mut self) {
        if self.balanced {
            match end_of_item(&self.bytes[self.at..]) {
                Some(length) => {
                    self.at += length;
                    return;
                }
                None => self.balanced = false,
            }
        }
        self.at = next_row(self.bytes, self.at + 1);
    }
}

/// How long the item is that `text` begins with, by its brackets and quotes alone; none if they are not closed.
fn end_of_item(text: &[u8]) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            // The end of the array itself, or a comma in it.
            b']' | b',' if depth == 0 => return Some(at.max(1)),
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Where the next `[` stands that follows a `]` and a comma, at or after `from`; the end if there is none.
fn next_row(bytes: &[u8], from: usize) -> usize {
    // What was seen last: nothing of interest, a `]`, or a comma behind one.
    let mut seen = 0;
    for (at, &byte) in bytes.iter().enumerate().skip(from) {
        seen = match (byte, seen) {
            (b']', _) => 1,
            (b',', 1) => 2,
            (b'[', 2) => return at,
            (b' ' | b'\n' | b'\r' | b'\t', _) => seen,
            _ => 0,
        };
    }
    bytes.len()
}

/// The first place at or after `at` whose byte is not `passed`.
fn skip(bytes: &[u8], at: usize, passed: impl Fn(u8) -> bool) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| !passed(byte)).unwrap_or(rest.len())
}

/// An item of the array.
enum Shape {
    /// Seven strings.
    Row(Row),
    /// Anything else, and what.
    Other(String),
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

/// A string, or what is none.
enum Cell {
    Text(String),
    Other,
}

struct ShapeVisitor;

/// Answers every kind of value but one with what it is.
macro_rules! other {
    ($($visit:ident $(: $type:ty)? => $what:literal,)*) => {
        $(fn $visit<E>(self $(, _: $type)?) -> Result<Self::Value, E> {
            Ok(Shape::Other($what.to_owned()))
        })*
    };
}

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of seven strings")
    }

    other! {
        visit_unit => "null",
        visit_bool: bool => "a truth value",
        visit_i64: i64 => "a number",
        visit_u64: u64 => "a number",
        visit_f64: f64 => "a number",
        visit_str: &str => "a string",
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Shape, A::Error> {
        Err(A::Error::custom("an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        let mut cells: [String; CELLS] = Default::default();
        let mut count = 0;
        let mut strange = None;
        while count < CELLS {
            match items.next_element::<Cell>()? {
                None => break,
                Some(Cell::Text(text)) => cells[count] = text,
                Some(Cell::Other) => strange = strange.or(Some(count + 1)),
            }
            count += 1;
        }
        while items.next_element::<Cell>()?.is_some() {
            count += 1;
        }
        Ok(match strange {
            _ if count != CELLS => Shape::Other(format!("{count} items")),
            Some(place) => Shape::Other(format!("item {place} is no string")),
            None => Shape::Row(Row(cells)),
        })
    }
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Cell, E> {
        Ok(Cell::Text(text))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Cell, E> {
        Ok(Cell::Other)
    }

    // What holds values in turn is not looked into: nobody may have us read the same text once for each of its brackets.
    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Cell, A::Error> {
        Err(A::Error::custom("an object in a row"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Cell, A::Error> {
        Err(A::Error::custom("an array in a row"))
    }
}

#[cfg(test)]
mod tests;
