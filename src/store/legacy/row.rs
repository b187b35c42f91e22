//! The rows that the Python service makes of a file, and what a row says as a line.
use super::Reason;
use crate::crontab::{self, Crontab, Dialect, Entry, Format, LineKind, Origin, Source};
use crate::job::{Canonical, JobId};

/// A job as the Python service caches it: minute, hour, day of month, month, day of week, user, command.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row(pub [String; 7]);

/// A line in which the Python service finds a job, or Cronkeep does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// From 1.
    pub line: u32,
    /// The row that the service caches; none where it finds no job in the line.
    pub row: Option<Row>,
    /// What Cronkeep finds.
    pub found: Found,
}

/// What Cronkeep finds in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The same job.
    Same,
    /// A job that the service reads as something else, or not at all.
    Misread(Misreading),
    /// A comment; the service takes the `#` away and runs what is left.
    Comment,
    /// An error, with the first fault's message.
    Error(String),
}

/// In what the service is mistaken about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misreading {
    /// `@reboot` is five stars to it.
    Reboot,
    /// It takes the first five of more fields, and the next for the user.
    Fields,
    /// Its parser finds no job in the line.
    NoJob,
    /// The line ends its parser, and with it the service.
    Ends,
    /// The user or the command is not UTF-8, which ends it as well.
    NotUtf8,
}

/// The rows of a file, with the lines that they were made of.
pub type Rows = Vec<(u32, Row)>;

impl Row {
    /// The row that the service makes of a canonical job; none where user or command are not UTF-8.
    fn of(job: Canonical) -> Option<Self> {
        let [minute, hour, dom, month, dow] = job.fields;
        let user = job.user.as_str()?.to_owned();
        let command = job.command.as_str()?.to_owned();
        Some(Row([minute, hour, dom, month, dow, user, command]))
    }

    /// The five time fields with a blank between them.
    #[must_use]
    pub fn schedule(&self) -> String {
        self.0[..5].join(" ")
    }

    /// Whom it runs as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.0[5]
    }

    /// The command as the shell gets it: without standard input, `%` bare.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.0[6]
    }

    /// The id that the service gives to it when it recovers it.
    #[must_use]
    pub fn id(&self) -> JobId {
        JobId::of_mark(self.0.join(",").as_bytes())
    }

    /// Whether it is due each minute, as all rows are that the service makes of `@reboot`.
    #[must_use]
    pub fn is_each_minute(&self) -> bool {
        self.0[..5].iter().all(|field| field == "*")
    }

    /// Its line in a system table, without the line's end.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} {}", self.schedule(), self.user(), self.command().replace('%', "\\%"))
    }

    /// Its line as recovery adds it to a file: with the service's own remark behind it.
    #[must_use]
    pub fn recovered_line(&self) -> String {
        format!("{} # crond service {}", self.line(), self.id())
    }

    /// The row, if its line is one that reads back to it, for the service and for Cronkeep.
    ///
    /// # Errors
    /// Why not: a line break, a comment or a field too many in it would make it another line.
    pub fn judged(self) -> Result<Self, Reason> {
        for (place, text) in self.0.iter().enumerate() {
            let part = ["schedule", "user", "command"][place.saturating_sub(4)];
            if text.is_empty() {
                let is_comment = self.0[0].starts_with('#');
                return Err(if is_comment { Reason::Comment } else { Reason::Empty(part) });
            }
            if let Some(character) = text.chars().find(|&c| c.is_control() && c != '\t') {
                return Err(Reason::Control { part, character });
            }
        }
        if self.0[0].starts_with('#') {
            return Err(Reason::Comment);
        }
        let line = self.recovered_line();
        // What is an error here is told as one, whatever the service makes of it.
        let rehash = |row: &Row| {
            let source = Source {
                name: "-".into(),
                bytes: row.recovered_line().into_bytes(),
                dialect: Dialect::system(),
            };
            let faults = crontab::parse(&source).faults;
            match faults.into_iter().find(crontab::Fault::is_error) {
                Some(fault) => Reason::Faulty(fault.message),
                None => Reason::Rehash { id: row.id().to_string() },
            }
        };
        let read = Canonical::of_line(line.as_bytes(), None).ok_or_else(|| rehash(&self))?;
        let same = read.id == self.id()
            && read.user.as_bytes() == self.user().as_bytes()
            && read.command.as_bytes() == self.command().as_bytes();
        if !same {
            return Err(rehash(&self));
        }
        let source =
            Source { name: "-".into(), bytes: line.into_bytes(), dialect: Dialect::system() };
        let crontab = crontab::parse(&source);
        if let Some(fault) = crontab.faults.iter().find(|fault| fault.is_error()) {
            return Err(Reason::Faulty(fault.message.clone()));
        }
        let is_ours = |entry: &Entry| {
            entry.schedule_text.as_bytes() == self.schedule().as_bytes()
                && entry.user.as_bytes() == self.user().as_bytes()
        };
        if crontab.entries().any(is_ours) { Ok(self) } else { Err(rehash(&self)) }
    }

    /// The row, if `knows` its user.
    ///
    /// # Errors
    /// It does not.
    pub fn of_known_user(self, knows: impl FnOnce(&str) -> bool) -> Result<Self, Reason> {
        if knows(self.user()) { Ok(self) } else { Err(Reason::UnknownUser(self.user().to_owned())) }
    }
}

/// The rows to be cached: those of the first system or named file.
///
/// In file order, one for each entry of five fields, or of an `@` word that stands for five, in which the service finds a
/// job; as it would cache them, duplicates too. No row is made of lines that are commented out, of `@reboot`, of entries
/// with seconds or years, and of what is not UTF-8. Where the service's parser would end at a line, the others still count.
#[must_use]
pub fn rows(crontabs: &[(&Source, &Crontab)]) -> Rows {
    let first = crontabs.iter().find(|(source, _)| source.dialect.origin != Origin::Spool);
    let Some(&(source, crontab)) = first.filter(|(_, crontab)| crontab.accepted) else {
        return Rows::new();
    };
    let same = |reading: Reading| match reading.found {
        Found::Same => reading.row.map(|row| (reading.line, row)),
        _ => None,
    };
    readings(source, crontab).filter_map(same).collect()
}

/// Every line in which the service or Cronkeep finds a job, in file order.
pub fn readings<'a>(
    source: &'a Source,
    crontab: &'a Crontab,
) -> impl Iterator<Item = Reading> + 'a {
    let owner = match source.dialect.format {
        Format::System => None,
        Format::User => Some(source.dialect.user.as_bytes()),
    };
    crontab.lines.iter().filter_map(move |line| {
        // The service takes a byte order mark for a part of the first word.
        let start = if line.number == 1 { 0 } else { line.span.start };
        let text = source.bytes.get(start..line.span.end).unwrap_or_default();
        let canonical = || Canonical::of_line(text, owner);
        let (row, found) = match &line.kind {
            LineKind::Blank | LineKind::Setting(_) => return None,
            LineKind::Comment | LineKind::Directive => {
                (Some(Row::of(Canonical::of_comment(text)?)?), Found::Comment)
            }
            LineKind::Error => {
                let row = Row::of(canonical()?)?;
                let is_first =
                    |fault: &&crontab::Fault| fault.is_error() && fault.line == line.number;
                let fault = crontab.faults.iter().find(is_first);
                let message = fault.map_or_else(String::new, |fault| fault.message.clone());
                (Some(row), Found::Error(message))
            }
            LineKind::Entry(entry) => match canonical() {
                None => (None, Found::Misread(without_job(entry))),
                Some(job) => match Row::of(job) {
                    None => (None, Found::Misread(Misreading::NotUtf8)),
                    Some(row) => (Some(row), meaning(entry)),
                },
            },
        };
        Some(Reading { line: line.number, row, found })
    })
}

/// What an entry is whose line the service reads as a job.
fn meaning(entry: &Entry) -> Found {
    let schedule = entry.schedule_text.as_bytes();
    if schedule.starts_with(b"@") {
        return if schedule.eq_ignore_ascii_case(b"@reboot") {
            Found::Misread(Misreading::Reboot)
        } else {
            Found::Same
        };
    }
    match schedule.split(|&byte| byte == b' ').count() {
        5 => Found::Same,
        _ => Found::Misread(Misreading::Fields),
    }
}

/// Why the service finds no job in an entry's line.
///
/// Its parser knows of lines that are no jobs, and skips them. What it does not know of is that a name and a number
/// cannot be compared: such a list or range ends it.
fn without_job(entry: &Entry) -> Misreading {
    let mut fields = entry.schedule_text.as_bytes().split(|&byte| byte == b' ').skip(3);
    let mixes = |field: &[u8]| {
        let parts = || field.split(|byte| matches!(byte, b',' | b'-'));
        let plain = |part: &[u8], is: fn(&u8) -> bool| {
            let part = part.split(|&byte| byte == b'/').next().unwrap_or_default();
            !part.is_empty() && part.iter().all(is)
        };
        parts().any(|part| plain(part, u8::is_ascii_alphabetic) && part.len() == 3)
            && parts().any(|part| plain(part, u8::is_ascii_digit))
            && parts()
                .all(|part| part.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/'))
    };
    if fields.any(mixes) { Misreading::Ends } else { Misreading::NoJob }
}

#[cfg(test)]
mod tests;
