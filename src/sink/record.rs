//! One line of the log, as text, JSON or logfmt.
//!
//! Whatever a user's text holds, a record is one line, and carries no terminal escapes.

use std::io::IsTerminal;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For tracing the program itself.
    Trace,
    /// For finding out why.
    Debug,
    /// What happens as a rule.
    Info,
    /// Somebody should look.
    Warn,
    /// Something did not happen that should have.
    Error,
}

impl Level {
    /// The level's stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    /// The name for the text format, coloured on request.
    fn tag(self, coloured: bool) -> &'static str {
        match (self, coloured) {
            (Level::Info, true) => "\x1b[32minfo\x1b[0m",
            (Level::Warn, true) => "\x1b[33mwarn\x1b[0m",
            (Level::Error, true) => "\x1b[31merror\x1b[0m",
            (level, _) => level.name(),
        }
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number.
    Integer(i64),
    /// A truth.
    Bool(bool),
    /// Text; already free of control characters ([`escape`]).
    Text(String),
}

/// What a line of the log says.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a> {
    /// Wall time, RFC 3339.
    pub time: &'a str,
    /// How much it matters.
    pub level: Level,
    /// The event's stable name; empty for what is no event.
    pub event: &'a str,
    /// For people; already escaped.
    pub message: &'a str,
    /// In order.
    pub fields: &'a [(&'a str, Value)],
}

impl Record<'_> {
    /// Appends the record and a newline to `out`.
    pub fn write(&self, format: Format, coloured: bool, out: &mut String) {
        match format {
            Format::Text => self.write_text(coloured, out),
            Format::Json => self.write_json(out),
            Format::Logfmt => self.write_logfmt(out),
        }
        out.push('\n');
    }

    fn write_text(&self, coloured: bool, out: &mut String) {
        out.push_str(self.time);
        out.push(' ');
        out.push_str(self.level.tag(coloured));
        for part in [self.event, self.message] {
            if !part.is_empty() {
                out.push(' ');
                out.push_str(part);
            }
        }
        self.write_pairs(out);
    }

    fn write_logfmt(&self, out: &mut String) {
        out.push_str("time=");
        out.push_str(self.time);
        out.push_str(" level=");
        out.push_str(self.level.name());
        for (name, part) in [("event", self.event), ("msg", self.message)] {
            if !part.is_empty() {
                push_pair(out, name, part);
            }
        }
        self.write_pairs(out);
    }

    fn write_pairs(&self, out: &mut String) {
        for (name, value) in self.fields {
            match value {
                Value::Integer(number) => push_plain(out, name, &number.to_string()),
                Value::Bool(truth) => push_plain(out, name, &truth.to_string()),
                Value::Text(text) => push_pair(out, name, text),
            }
        }
    }

    fn write_json(&self, out: &mut String) {
        let mut bytes = std::mem::take(out).into_bytes();
        // Keys are strings, and writing to memory does not fail.
        let _ = serde_json::to_writer(&mut bytes, self);
        *out = String::from_utf8(bytes).unwrap_or_default();
    }
}

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("time", self.time)?;
        object.serialize_entry("level", self.level.name())?;
        for (name, part) in [("event", self.event), ("message", self.message)] {
            if !part.is_empty() {
                object.serialize_entry(name, part)?;
            }
        }
        for (name, value) in self.fields {
            match value {
                Value::Integer(number) => object.serialize_entry(name, number)?,
                Value::Bool(truth) => object.serialize_entry(name, truth)?,
                Value::Text(text) => object.serialize_entry(name, text)?,
            }
        }
        object.end()
    }
}

fn push_plain(out: &mut String, name: &str, value: &str) {
    out.push(' ');
    out.push_str(name);
    out.push('=');
    out.push_str(value);
}

/// Appends `name=value`, the value in quotes where it would not read back as one word.
fn push_pair(out: &mut String, name: &str, value: &str) {
    let bare = !value.is_empty() && !value.contains([' ', '\t', '"', '=', '\\']);
    if bare {
        return push_plain(out, name, value);
    }
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for letter in value.chars() {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
}

/// Makes bytes of a user printable: one line, no terminal escapes; tabs stay.
///
/// As cronie's `mkprint`, but UTF-8 stays readable: control characters become `^M`, bytes that are not
/// UTF-8 become `\377`, as do C1 controls and marks that turn the direction of text.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    // Most is as it should be.
    if is_printable(bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            push_printable(&mut out, letter);
        }
        for byte in chunk.invalid() {
            push_octal(&mut out, *byte);
        }
    }
    out
}

/// Whether [`escape`] leaves bytes as they are, and they are ASCII.
#[must_use]
pub fn is_printable(bytes: &[u8]) -> bool {
    // Without a way out before the end: so it is done with many bytes at once.
    bytes.iter().fold(true, |is, byte| is & matches!(byte, b' '..=b'~' | b'\t'))
}

/// Makes bytes printable as cronie's `mkprint` does: `^I` for a tab, `\\303` for a byte that is not ASCII.
///
/// Programs that read cron's log know this form.
#[must_use]
pub fn mkprint(bytes: &[u8]) -> String {
    if is_printable(bytes) && !bytes.contains(&b'\t') {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            0x80.. => push_octal(&mut out, byte),
            b'\t' => out.push_str("^I"),
            _ => push_printable(&mut out, char::from(byte)),
        }
    }
    out
}

fn push_printable(out: &mut String, letter: char) {
    match letter {
        '\t' => out.push('\t'),
        '\0'..='\x1f' => {
            out.push('^');
            out.push(char::from(letter as u8 + b'@'));
        }
        '\x7f' => out.push_str("^?"),
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => {
            let mut bytes = [0; 4];
            letter.encode_utf8(&mut bytes).bytes().for_each(|byte| push_octal(out, byte));
        }
        _ => out.push(letter),
    }
}

fn push_octal(out: &mut String, byte: u8) {
    out.push('\\');
    for shift in [6, 3, 0] {
        out.push(char::from(b'0' + (byte >> shift & 7)));
    }
}

/// Whether colours are welcome: on a terminal, unless `NO_COLOR` says otherwise.
#[must_use]
pub fn is_colour_welcome(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let fields = [
            ("job", Value::Text("a b".into())),
            ("exit", Value::Integer(3)),
            ("run", Value::Text("01J".into())),
        ];
        let record = Record {
            time: "T",
            level: Level::Warn,
            event: "run.ended",
            message: "(root) CMDEND (x=\"1\")",
            fields: &fields,
        };
        let mut out = String::new();
        record.write(format, false, &mut out);
        out
    }

    #[test]
    fn text_puts_the_event_and_the_words_before_the_fields() {
        assert_eq!(
            written(Format::Text),
            "T warn run.ended (root) CMDEND (x=\"1\") job=\"a b\" exit=3 run=01J\n"
        );
    }

    #[test]
    fn logfmt_quotes_what_is_not_one_word() {
        assert_eq!(
            written(Format::Logfmt),
            "time=T level=warn event=run.ended msg=\"(root) CMDEND (x=\\\"1\\\")\" job=\"a b\" exit=3 run=01J\n"
        );
    }

    #[test]
    fn json_keeps_numbers_numbers() {
        let value: serde_json::Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!(value["exit"], 3);
        assert_eq!(value["event"], "run.ended");
        assert_eq!(value["job"], "a b");
    }

    #[test]
    fn a_record_is_one_line_whatever_the_user_wrote() {
        assert_eq!(escape(b"a\r\n\tb\x1b[31m\xff\x7f"), "a^M^J\tb^[[31m\\377^?");
        assert_eq!(
            escape("caf\u{e9} \u{202e}x\u{85}".as_bytes()),
            "caf\u{e9} \\342\\200\\256x\\302\\205"
        );
    }

    /// row 94: control characters and bytes beyond ASCII as cronie writes them; row 34: `\\377`.
    #[test]
    fn cron_words_are_in_cronies_letters() {
        // run-00008, run-00444 and run-00519 of run.jsonl.
        assert_eq!(mkprint(b"echo a\t"), "echo a^I");
        assert_eq!(mkprint("ü \u{1}\u{7f}".as_bytes()), "\\303\\274 ^A^?");
        assert_eq!(mkprint(b"\xff\r\n\0"), "\\377^M^J^@");
    }

    #[test]
    fn an_empty_value_is_quoted() {
        let mut out = String::new();
        push_pair(&mut out, "k", "");
        assert_eq!(out, " k=\"\"");
    }
}
