//! The canonical form in which the Python service hashes and caches a line: for the id only.
//!
//! The service read crontabs with python-crontab 3.4.0, which rewrites each time field, cuts the line at a
//! comment and ends the command at its first bare `%`. An id must not change when Cronkeep takes over, so
//! that reading is repeated here (vectors: job-ids.json). It loses meaning in places (`7-7` becomes `0,*`):
//! a schedule is never made from it.

mod field;
mod mark;
mod python;
mod sort;

use memchr::memchr;

use super::JobId;
use crate::crontab::{Dialect, Entry, Format, Text};
use field::{FIELDS, Rendering};
pub(super) use mark::Marks;
use python::{next_space, skip_space, space_at, split_word, trim, trim_end};

/// A job as the Python service caches it: a row of seven texts, and the id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Canonical {
    /// Minute, hour, day of month, month, day of week.
    pub fields: [String; 5],
    /// Whom it runs as.
    pub user: Text,
    /// The command: without comment, outer white space and standard input, `\%` as `%`.
    pub command: Text,
    /// The job's id; not always the md5 of these very values: lists such as `*,5` are hashed in another order.
    pub id: JobId,
}

impl Canonical {
    /// What the service's parser makes of an entry's line; `None` where it finds no job in it, or ends.
    ///
    /// `line` is without its line break. `user` is the owner of a user's table, whose lines have no user
    /// column; such a line reads as if the column were there.
    #[must_use]
    pub fn of_line(line: &[u8], user: Option<&[u8]>) -> Option<Self> {
        let line = trim(python::first_line(line));
        if line.starts_with(b"#") {
            return None;
        }
        Reading::of(line, user)?.canonical()
    }

    /// What the service makes of a commented line of a system table: it takes the `#` away and reads the rest.
    #[must_use]
    pub fn of_comment(line: &[u8]) -> Option<Self> {
        let line = trim(python::first_line(line));
        let signs = line.iter().take_while(|&&byte| byte == b'#').count();
        if signs == 0 {
            return None;
        }
        Reading::of(trim(&line[signs..]), None)?.canonical()
    }
}

impl JobId {
    /// The id of the job that an entry is; `line` is the entry's, without its line break.
    #[must_use]
    pub fn of_entry(line: &[u8], entry: &Entry, dialect: &Dialect) -> Self {
        let mut mark = Vec::with_capacity(line.len() + 16);
        append_entry_mark(&mut mark, line, entry, owner(dialect));
        JobId::of_mark(&mark)
    }
}

/// Whose the lines of a crontab are that have no user column.
pub(super) fn owner(dialect: &Dialect) -> Option<&[u8]> {
    (dialect.format == Format::User).then(|| dialect.user.as_bytes())
}

/// Appends the mark of an entry to `mark`.
pub(super) fn append_entry_mark(
    mark: &mut Vec<u8>,
    line: &[u8],
    entry: &Entry,
    owner: Option<&[u8]>,
) {
    if !append_mark(mark, line, owner) {
        append_mark_as_typed(
            mark,
            entry.schedule_text.as_bytes(),
            entry.user.as_bytes(),
            entry.command.as_bytes(),
        );
    }
}

/// Appends the mark of an entry's line to `mark`; leaves it as it was and says no where the service finds no job.
pub(super) fn append_mark(mark: &mut Vec<u8>, line: &[u8], user: Option<&[u8]>) -> bool {
    let start = mark.len();
    let line = trim(python::first_line(line));
    let written = !line.starts_with(b"#")
        && Reading::of(line, user).is_some_and(|reading| reading.append_mark(mark).is_some());
    if !written {
        mark.truncate(start);
    }
    written
}

/// Appends the mark of an entry in which the service finds no job: the schedule's tokens as typed, user and command.
fn append_mark_as_typed(mark: &mut Vec<u8>, schedule: &[u8], user: &[u8], raw_command: &[u8]) {
    mark.extend(schedule.iter().map(|&byte| if byte == b' ' { b',' } else { byte }));
    mark.push(b',');
    mark.extend_from_slice(user);
    mark.push(b',');
    append_command(mark, raw_command);
}

/// A line taken apart as the service's two regular expressions do it, nothing judged yet.
struct Reading<'a> {
    times: Times<'a>,
    user: &'a [u8],
    command: &'a [u8],
}

/// The time part of a line.
enum Times<'a> {
    /// Five tokens.
    Fields([&'a [u8]; 5]),
    /// The word after an `@`.
    Special(&'a [u8]),
}

impl<'a> Reading<'a> {
    /// Takes `line`, trimmed, apart; `owner` stands where a user's table has no user column.
    fn of(line: &'a [u8], owner: Option<&'a [u8]>) -> Option<Self> {
        let (times, rest) = match line.strip_prefix(b"@") {
            Some(rest) => special(rest)?,
            None => five_fields(line, owner.is_some())?,
        };
        let (user, command) = user_and_command(rest, owner)?;
        Some(Reading { times, user, command })
    }

    fn append_mark(&self, mark: &mut Vec<u8>) -> Option<()> {
        for (spec, text) in FIELDS.iter().zip(self.fields()) {
            spec.append_canonical(text, Rendering::Hashed, mark)?;
            mark.push(b',');
        }
        append_user_and_command(mark, self.user, self.command);
        Some(())
    }

    fn canonical(&self) -> Option<Canonical> {
        let mut fields: [String; 5] = Default::default();
        for ((spec, text), field) in FIELDS.iter().zip(self.fields()).zip(&mut fields) {
            let mut bytes = Vec::new();
            spec.append_canonical(text, Rendering::Cached, &mut bytes)?;
            *field = String::from_utf8(bytes).ok()?;
        }
        let mut mark = Vec::new();
        self.append_mark(&mut mark)?;
        let mut command = Vec::new();
        append_command(&mut command, self.command);
        let id = JobId::of_mark(&mark);
        Some(Canonical { fields, user: self.user.into(), command: command.into(), id })
    }

    /// The five fields, a special word spelled out; every other word is read as a lone minute field.
    fn fields(&self) -> [&'a [u8]; 5] {
        let word = match &self.times {
            Times::Fields(fields) => return *fields,
            Times::Special(word) => *word,
        };
        let word_is = |name: &str| {
            std::str::from_utf8(word)
                .is_ok_and(|word| word.chars().flat_map(char::to_lowercase).eq(name.chars()))
        };
        SPECIALS
            .iter()
            .find(|(name, _)| word_is(name))
            .map_or([word, b"*", b"*", b"*", b"*"], |(_, fields)| fields.map(str::as_bytes))
    }
}

/// The words after `@` that the service knows. That it ran `@reboot` every minute is no part of us; its id is.
const SPECIALS: [(&str, [&str; 5]); 8] = [
    ("reboot", ["*", "*", "*", "*", "*"]),
    ("hourly", ["0", "*", "*", "*", "*"]),
    ("daily", ["0", "0", "*", "*", "*"]),
    ("midnight", ["0", "0", "*", "*", "*"]),
    ("weekly", ["0", "0", "*", "*", "0"]),
    ("monthly", ["0", "0", "1", "*", "*"]),
    ("yearly", ["0", "0", "1", "1", "*"]),
    ("annually", ["0", "0", "1", "1", "*"]),
];

/// Five tokens without `@` and `#`, then the rest up to white space and `#`.
fn five_fields(line: &[u8], owned: bool) -> Option<(Times<'_>, &[u8])> {
    let mut fields: [&[u8]; 5] = [b""; 5];
    let mut rest = line;
    for field in &mut fields {
        let (word, after) = split_word(rest)?;
        if !may_be_field(word) {
            return None;
        }
        *field = word;
        rest = after;
    }
    Some((Times::Fields(fields), behind_fields(rest, owned)?))
}

fn may_be_field(word: &[u8]) -> bool {
    !word.iter().any(|&byte| matches!(byte, b'@' | b'#'))
}

/// What of a line's rest behind five fields is no comment.
fn behind_fields(rest: &[u8], owned: bool) -> Option<&[u8]> {
    // In a user's table the owner would stand before the rest, so a `#` that begins it follows white space.
    (!owned || !rest.starts_with(b"#")).then(|| before_comment(rest))
}

/// User and command of a line's rest; `owner` stands where a user's table has no user column.
fn user_and_command<'a>(rest: &'a [u8], owner: Option<&'a [u8]>) -> Option<(&'a [u8], &'a [u8])> {
    match owner {
        Some(owner) => Some((owner, skip_space(rest))).filter(|(_, command)| !command.is_empty()),
        None => split_word(rest),
    }
}

fn append_user_and_command(mark: &mut Vec<u8>, user: &[u8], command: &[u8]) {
    mark.extend_from_slice(user);
    mark.push(b',');
    append_command(mark, command);
}

/// A word and one white space, then no `#` but after white space.
fn special(after_at: &[u8]) -> Option<(Times<'_>, &[u8])> {
    let end = next_space(after_at)?;
    let (word, rest) = after_at.split_at(end);
    let is_word = std::str::from_utf8(word).is_ok_and(|word| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_')
    });
    if !is_word {
        return None;
    }
    let rest = &rest[space_at(rest)..];
    let rest = match rest.iter().position(|&byte| byte == b'#') {
        None => rest,
        Some(sign) => {
            let before = &rest[..sign];
            if trim_end(before).len() == before.len() {
                return None;
            }
            before
        }
    };
    Some((Times::Special(word), rest))
}

/// `text` up to the first white space that a `#` follows, quotes or not.
fn before_comment(text: &[u8]) -> &[u8] {
    let mut searched = 0;
    while let Some(found) = memchr(b'#', &text[searched..]) {
        let before = &text[..searched + found];
        if trim_end(before).len() < before.len() {
            return trim_end(before);
        }
        searched += found + 1;
    }
    text
}

/// Appends what the service takes for the command: up to the first bare `%`, without outer white space.
fn append_command(out: &mut Vec<u8>, raw: &[u8]) {
    if memchr(b'%', raw).is_none() {
        out.extend_from_slice(trim(raw));
        return;
    }
    let mut command = Vec::with_capacity(raw.len());
    for &byte in raw {
        if byte != b'%' {
            command.push(byte);
        } else if command.last() == Some(&b'\\') {
            command.pop();
            command.push(b'%');
        } else {
            break;
        }
    }
    out.extend_from_slice(trim(&command));
}

#[cfg(test)]
mod tests;
