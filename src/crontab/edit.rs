//! Changing one entry of a crontab and leaving every other byte alone.
//!
//! An entry's *block* is its line and the comment and directive lines directly above it that belong to it: its
//! directives, and the plain comment above it that is its description. Lines that are added end as the lines of
//! the file do.

use std::ops::Range;

use super::{Crontab, Dialect, Entry, Flags, Format, LineKind, Source, Text, parse};

/// An entry as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// A line of plain comment above it.
    pub description: Option<Text>,
    /// The options of a directive above it, in order: key and value.
    pub options: Vec<(String, String)>,
    /// Five to seven time fields, or an `@` word with its value.
    pub schedule: Text,
    /// Whom it runs as, for a system table; not written into a user's.
    pub user: Text,
    /// Marks before the command.
    pub flags: Flags,
    /// The raw command: `%` and `\` as they shall stand.
    pub command: Text,
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The line is none of the crontab's entries.
    #[error("line {0} is not an entry")]
    NoEntry(u32),
    /// What was written would be read as an error.
    #[error("{message}")]
    Faulty {
        /// The first error.
        message: String,
        /// What to write instead.
        help: Option<String>,
    },
    /// What was written would be read as something else.
    #[error("the {part} {text:?} would be read as something else")]
    Ambiguous {
        /// Which part.
        part: &'static str,
        /// Its text.
        text: String,
    },
}

/// Where an entry is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// After the last line.
    End,
    /// Above the block of the entry on this line.
    Before(u32),
}

impl Draft {
    /// An entry as its line has it; options are not part of it, they may come from settings far above.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Draft {
            description: entry.description.clone(),
            options: Vec::new(),
            schedule: entry.schedule_text.clone(),
            user: entry.user.clone(),
            flags: entry.flags,
            command: entry.command.clone(),
        }
    }

    /// The lines of the entry, without line breaks: description, directive, entry.
    ///
    /// They were read back: they say what the draft says.
    ///
    /// # Errors
    /// They would say something else, or nothing.
    pub fn lines(&self, dialect: &Dialect) -> Result<Vec<Vec<u8>>, EditError> {
        let mut lines = Vec::new();
        if let Some(description) = &self.description {
            lines.push([b"# ", description.as_bytes()].concat());
        }
        if !self.options.is_empty() {
            let mut line = b"# cronkeep:".to_vec();
            for (key, value) in &self.options {
                let quote = if value.contains([' ', '\t']) { "\"" } else { "" };
                line.extend_from_slice(format!(" {key}={quote}{value}{quote}").as_bytes());
            }
            lines.push(line);
        }
        lines.push(self.line(dialect.format));
        self.check(&lines, dialect)?;
        Ok(lines)
    }

    fn line(&self, format: Format) -> Vec<u8> {
        let mut line = [self.schedule.as_bytes(), b" "].concat();
        if format == Format::System {
            line.extend_from_slice(self.user.as_bytes());
            line.push(b' ');
        }
        for (given, flag) in [
            (self.flags.dont_log, b"-q "),
            (self.flags.mail_when_err, b"-n "),
            (self.flags.single_job, b"-s "),
        ] {
            if given {
                line.extend_from_slice(flag);
            }
        }
        line.extend_from_slice(self.command.as_bytes());
        line
    }

    /// Reads the lines and compares.
    fn check(&self, lines: &[Vec<u8>], dialect: &Dialect) -> Result<(), EditError> {
        let mut bytes = Vec::new();
        append_lines(&mut bytes, lines, b"\n");
        let source = Source { name: "-".into(), bytes, dialect: dialect.clone() };
        let crontab = parse(&source);
        if let Some(fault) = crontab.faults.iter().find(|fault| fault.is_error()) {
            return Err(EditError::Faulty {
                message: fault.message.clone(),
                help: fault.help.clone(),
            });
        }
        let last = crontab.lines.last().map(|line| &line.kind);
        let (Some(LineKind::Entry(entry)), true) = (last, crontab.lines.len() == lines.len())
        else {
            return Err(ambiguous("command", &self.command));
        };
        let nothing = Text::from("");
        let user = if dialect.format == Format::System { &self.user } else { &entry.user };
        let read = entry.description.as_ref().unwrap_or(&nothing);
        for (part, said, read) in [
            ("schedule", &self.schedule, &entry.schedule_text),
            ("user", user, &entry.user),
            ("command", &self.command, &entry.command),
            ("description", self.description.as_ref().unwrap_or(&nothing), read),
        ] {
            if said != read {
                return Err(ambiguous(part, said));
            }
        }
        if self.flags != entry.flags {
            return Err(ambiguous("command", &self.command));
        }
        Ok(())
    }
}

/// Adds an entry.
///
/// # Errors
/// The place is no entry, or the draft does not read back.
pub fn insert(
    source: &Source,
    crontab: &Crontab,
    place: Place,
    draft: &Draft,
) -> Result<Vec<u8>, EditError> {
    insert_lines(source, crontab, place, &draft.lines(&source.dialect)?)
}

/// Adds lines as they are, such as the block of another crontab's entry.
///
/// # Errors
/// The place is no entry.
pub fn insert_lines(
    source: &Source,
    crontab: &Crontab,
    place: Place,
    lines: &[Vec<u8>],
) -> Result<Vec<u8>, EditError> {
    let bytes = &source.bytes;
    let at = match place {
        Place::End => bytes.len(),
        Place::Before(line) => block(source, crontab, line)?.start,
    };
    let ending = line_ending(bytes);
    let mut text = Vec::new();
    if !is_start(bytes, at) && !bytes[..at].ends_with(b"\n") {
        text.extend_from_slice(ending);
    }
    // A comment or directive above belongs to what stands below it now; it must not be taken for the new lines'.
    if lends_to_the_next(crontab, at) {
        text.extend_from_slice(ending);
    }
    append_lines(&mut text, lines, ending);
    Ok(spliced(bytes, at..at, &text))
}

/// Puts a draft in the place of the entry on `line` and of its block.
///
/// # Errors
/// There is no entry on the line, or the draft does not read back.
pub fn replace(
    source: &Source,
    crontab: &Crontab,
    line: u32,
    draft: &Draft,
) -> Result<Vec<u8>, EditError> {
    let range = block(source, crontab, line)?;
    let ending = line_ending(&source.bytes);
    let mut text = Vec::new();
    if draft.description.is_none() && lends_to_the_next(crontab, range.start) {
        text.extend_from_slice(ending);
    }
    append_lines(&mut text, &draft.lines(&source.dialect)?, ending);
    if !source.bytes[range.clone()].ends_with(b"\n") {
        text.truncate(text.len() - ending.len());
    }
    Ok(spliced(&source.bytes, range, &text))
}

/// Takes the entry on `line` and its block away.
///
/// Where a comment above would then be taken for what the next entry says, a blank line stays between.
///
/// # Errors
/// There is no entry on the line.
pub fn delete(source: &Source, crontab: &Crontab, line: u32) -> Result<Vec<u8>, EditError> {
    let entry = place_of(crontab, line)?;
    let range = block(source, crontab, line)?;
    let blank: &[u8] = if lends_to_the_next(crontab, range.start) && takes(crontab, entry + 1) {
        line_ending(&source.bytes)
    } else {
        b""
    };
    Ok(spliced(&source.bytes, range, blank))
}

/// Comments the entry on `line` and its directives out; its description stays as it is.
///
/// Where the next entry follows at once a blank line is put between: the comments are not its own.
///
/// # Errors
/// There is no entry on the line.
pub fn comment_out(source: &Source, crontab: &Crontab, line: u32) -> Result<Vec<u8>, EditError> {
    let entry = place_of(crontab, line)?;
    let mut bytes = source.bytes.clone();
    if takes(crontab, entry + 1) {
        let at = crontab.lines[entry + 1].span.start;
        bytes.splice(at..at, line_ending(&source.bytes).iter().copied());
    }
    for place in (first_of_block(source, crontab, entry)..=entry).rev() {
        let at = crontab.lines[place].span.start;
        let sign: &[u8] = match crontab.lines[place].kind {
            LineKind::Comment => continue,
            // A second sign makes it a comment that is no directive.
            LineKind::Directive => b"#",
            _ => b"# ",
        };
        bytes.splice(at..at, sign.iter().copied());
    }
    Ok(bytes)
}

/// The bytes of the block of the entry on `line`, with its last line's end.
///
/// # Errors
/// There is no entry on the line.
pub fn block(source: &Source, crontab: &Crontab, line: u32) -> Result<Range<usize>, EditError> {
    let entry = place_of(crontab, line)?;
    let start = crontab.lines[first_of_block(source, crontab, entry)].span.start;
    let end = crontab.lines[entry].span.end;
    let ending = source.bytes[end..].iter().position(|&byte| byte == b'\n');
    Ok(start..ending.map_or(source.bytes.len(), |at| end + at + 1))
}

fn place_of(crontab: &Crontab, line: u32) -> Result<usize, EditError> {
    crontab
        .lines
        .iter()
        .position(|each| each.number == line && matches!(each.kind, LineKind::Entry(_)))
        .ok_or(EditError::NoEntry(line))
}

/// The place of the first line of an entry's block: its first directive, or its description if that is higher.
fn first_of_block(source: &Source, crontab: &Crontab, entry: usize) -> usize {
    let lines = &crontab.lines;
    let run = lines[..entry]
        .iter()
        .rposition(|line| !matches!(line.kind, LineKind::Comment | LineKind::Directive))
        .map_or(0, |place| place + 1);
    let is_directive = |place: &usize| matches!(lines[*place].kind, LineKind::Directive);
    let first = (run..entry).find(is_directive).unwrap_or(entry);
    let LineKind::Entry(parsed) = &lines[entry].kind else { return first };
    let Some(description) = &parsed.description else { return first };
    let says_it = |place: &usize| {
        let text = &source.bytes[lines[*place].span.clone()];
        let edge = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'#');
        let start = text.iter().position(edge).unwrap_or(text.len());
        let end = text.iter().rposition(edge).map_or(start, |last| last + 1);
        matches!(lines[*place].kind, LineKind::Comment)
            && text[start..end] == *description.as_bytes()
    };
    (run..entry).rev().find(says_it).map_or(first, |place| place.min(first))
}

/// Whether the last line before byte `at` is a comment or directive that would belong to what follows.
fn lends_to_the_next(crontab: &Crontab, at: usize) -> bool {
    crontab
        .lines
        .iter()
        .rev()
        .find(|line| line.span.start < at)
        .is_some_and(|line| matches!(line.kind, LineKind::Comment | LineKind::Directive))
}

/// Whether the line at `place` is an entry, or a comment that may lead to one.
fn takes(crontab: &Crontab, place: usize) -> bool {
    crontab.lines.get(place).is_some_and(|line| {
        matches!(line.kind, LineKind::Entry(_) | LineKind::Comment | LineKind::Directive)
    })
}

/// Whether nothing stands before byte `at` but a byte order mark.
fn is_start(bytes: &[u8], at: usize) -> bool {
    matches!(&bytes[..at], b"" | b"\xef\xbb\xbf")
}

/// How the lines of a file end: as its first one does.
fn line_ending(bytes: &[u8]) -> &'static [u8] {
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) if bytes[..at].ends_with(b"\r") => b"\r\n",
        _ => b"\n",
    }
}

fn append_lines(text: &mut Vec<u8>, lines: &[Vec<u8>], ending: &[u8]) {
    for line in lines {
        text.extend_from_slice(line);
        text.extend_from_slice(ending);
    }
}

fn spliced(bytes: &[u8], range: Range<usize>, text: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], text, &bytes[range.end..]].concat()
}

fn ambiguous(part: &'static str, text: &Text) -> EditError {
    EditError::Ambiguous { part, text: text.to_string() }
}

#[cfg(test)]
mod tests;
