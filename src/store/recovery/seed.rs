//! The rows that the Python service caches, as lines of a crontab.
//!
//! A row is `[minute, hour, day of month, month, day of week, user, command]`, in the canonical form of the service's
//! parser, and nothing vouches for it: it becomes a line only if that line, read as any other, is the very row again.
use std::collections::{HashMap, HashSet};

use super::merge::{Table, census, line_ending};
use crate::crontab::{Dialect, Format, LineKind, Source, parse, percent};
use crate::job::{Canonical, JobId};
use crate::store::legacy::{Found, readings};

/// Minute, hour, day of month, month, day of week, user, command.
pub type Row = [String; 7];

/// The longest line that a row may become, in bytes.
const LONGEST: usize = 131_071;

/// What the service writes before the id, behind the command.
const TAG: &str = " # crond service ";

/// Rows that were added to a crontab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seeded {
    /// The crontab with them.
    pub text: Vec<u8>,
    /// How many became jobs.
    pub added: usize,
    /// How many the crontab has already, or have come before.
    pub known: usize,
    /// Those that were added as comments.
    pub disabled: Vec<Disabled>,
    /// Those among the added whose user there is not yet: their places among the rows, from 1.
    pub strangers: Vec<usize>,
    /// Those that were not added: their places among the rows, from 1, and why.
    pub refused: Vec<(usize, Refusal)>,
}

/// A row that was added as a comment, until somebody decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disabled {
    /// The line, with the sign.
    pub line: Vec<u8>,
    /// Why.
    pub doubt: Doubt,
}

/// Why a row may not be meant to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// The crontab has it as a comment; the service caches those too.
    Commented,
    /// All five fields are `*`; the service makes that of `@reboot`.
    EveryMinute,
}

/// Why a row is not added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It has a line break or another control character.
    #[error("there is a control character in it")]
    Control,
    /// It would be too long a line.
    #[error("it has {0} bytes, more than a line may have")]
    TooLong(usize),
    /// The crontab is that of somebody else.
    #[error("it is {row:?}'s, and the crontab is {crontab:?}'s")]
    OtherUser {
        /// The row's.
        row: String,
        /// The crontab's.
        crontab: String,
    },
    /// The line would be read as something else.
    #[error("it does not read back as itself")]
    Unfaithful,
    /// Snapshot or base have it, and the crontab has lost it since.
    #[error("it was removed from the crontab")]
    Removed,
    /// There is a key, and nobody has signed it.
    #[error("with --store-key nothing is taken that nobody has signed")]
    Unsigned,
    /// `--recover never`.
    #[error("the crontab is left as it is (--recover never)")]
    Never,
    /// A crontab on a mount of its own, or read-only, holds.
    #[error("the crontab is a mount of its own or read-only, and holds")]
    Fixed,
    /// With it the crontab would be read otherwise, or not at all.
    #[error("with it the crontab would not be read in full")]
    Spoils,
}

/// Adds the rows whose jobs a crontab lacks; each line ends in `# crond service` and the id.
///
/// `is_user` says whether there is a user of this name. A row whose user there is not is added as any other, as a line of the
/// crontab would stay: it runs as soon as the user exists.
#[must_use]
pub fn add_rows(
    file: &[u8],
    rows: &[Row],
    dialect: &Dialect,
    is_user: &dyn Fn(&str) -> bool,
) -> Seeded {
    let nothing = Known::default();
    let terms = Terms { is_user, gone: &nothing, elsewhere: &nothing, bar: None };
    add_rows_on(file, rows, dialect, &terms)
}

/// Jobs by which rows are known.
#[derive(Default)]
pub(super) struct Known {
    ids: HashSet<JobId>,
    /// The service's id of a row may be another than that of the line that it was made of.
    made: HashSet<Row>,
}

impl Known {
    /// Takes note of a crontab's jobs.
    pub(super) fn note(&mut self, text: &[u8], dialect: &Dialect) {
        self.note_all(&Table::of(text, dialect));
    }

    fn note_all(&mut self, table: &Table) {
        self.ids.extend(table.jobs.iter().map(|job| job.id));
        let readings = readings(&table.source, &table.crontab)
            .filter(|reading| !matches!(reading.found, Found::Comment | Found::Error(_)));
        self.made.extend(readings.filter_map(|reading| Some(reading.row?.0)));
    }
}

/// On which terms rows are added.
pub(super) struct Terms<'a> {
    /// Whether there is a user of a name.
    pub(super) is_user: &'a dyn Fn(&str) -> bool,
    /// Jobs that were here: what the crontab has not was removed.
    pub(super) gone: &'a Known,
    /// Jobs of other crontabs.
    pub(super) elsewhere: &'a Known,
    /// Why none may be added, if so.
    pub(super) bar: Option<Refusal>,
}

/// As [`add_rows`], on these terms.
pub(super) fn add_rows_on(
    file: &[u8],
    rows: &[Row],
    dialect: &Dialect,
    terms: &Terms<'_>,
) -> Seeded {
    let table = Table::of(file, dialect);
    let mut known = Known::default();
    known.note_all(&table);
    let Known { mut ids, made } = known;
    let (comments, commented) = comments(&table, dialect);
    let mut seeded = Seeded::default();
    let mut lines: Vec<(usize, JobId, Vec<u8>)> = Vec::new();
    let mut accounts: HashMap<&str, bool> = HashMap::new();
    for (number, row) in (1..).zip(rows) {
        if made.contains(row) || terms.elsewhere.made.contains(row) {
            seeded.known += 1;
            continue;
        }
        let user = row[5].as_str();
        let read = rendered(row, dialect);
        let (canonical, line) = match read {
            Ok(read) => read,
            Err(refusal) => {
                seeded.refused.push((number, refusal));
                continue;
            }
        };
        debug_assert_eq!(canonical.user.as_bytes(), user.as_bytes());
        let id = canonical.id;
        let out = [b"# ", &line[..]].concat();
        if !ids.insert(id) || comments.contains(&out[..]) || terms.elsewhere.ids.contains(&id) {
            seeded.known += 1;
            continue;
        }
        let is_gone = terms.gone.ids.contains(&id) || terms.gone.made.contains(row);
        if let Some(refusal) = is_gone.then_some(&Refusal::Removed).or(terms.bar.as_ref()) {
            seeded.refused.push((number, refusal.clone()));
            continue;
        }
        let doubt = if commented.contains(&canonical) {
            Some(Doubt::Commented)
        } else {
            row[..5].iter().all(|field| field == "*").then_some(Doubt::EveryMinute)
        };
        match doubt {
            None => {
                if !*accounts.entry(user).or_insert_with(|| (terms.is_user)(user)) {
                    seeded.strangers.push(number);
                }
                lines.push((number, id, line));
            }
            Some(doubt) => {
                seeded.disabled.push(Disabled { line: out.clone(), doubt });
                lines.push((0, id, out));
            }
        }
    }
    seeded.text = appended(&table, lines.iter().map(|(_, _, line)| &line[..]));
    let is_job = |line: &&(usize, JobId, Vec<u8>)| line.0 > 0;
    seeded.added = lines.iter().filter(is_job).count();
    let wanted = table.jobs.iter().map(|job| (job.id, job.is_entry));
    let wanted = census(wanted.chain(lines.iter().filter(is_job).map(|line| (line.1, true))));
    let result = Table::of(&seeded.text, dialect);
    let found = census(result.jobs.iter().map(|job| (job.id, job.is_entry)));
    if seeded.added > 0 && (found != wanted || table.crontab.accepted && !result.crontab.accepted) {
        let refused = lines.iter().filter(is_job).map(|line| (line.0, Refusal::Spoils));
        seeded.refused.extend(refused);
        seeded.refused.sort_by_key(|refused| refused.0);
        seeded.strangers.clear();
        seeded.added = 0;
        let comments = lines.iter().filter(|line| line.0 == 0);
        seeded.text = appended(&table, comments.map(|(_, _, line)| &line[..]));
    }
    seeded
}

/// The row as a line, and what the service's parser makes of that.
fn rendered(row: &Row, dialect: &Dialect) -> Result<(Canonical, Vec<u8>), Refusal> {
    let [fields @ .., user, command] = row;
    let length: usize = row.iter().map(|text| text.len() + 1).sum();
    if length + TAG.len() + 64 > LONGEST {
        return Err(Refusal::TooLong(length));
    }
    let is_control = |text: &String| text.chars().any(char::is_control);
    if row[..6].iter().any(is_control)
        || command.chars().any(|character| character.is_control() && character != '\t')
    {
        return Err(Refusal::Control);
    }
    let owner = super::merge::owner(dialect);
    if let Some(owner) = owner
        && owner != user.as_bytes()
    {
        let crontab = dialect.user.to_string();
        return Err(Refusal::OtherUser { row: user.clone(), crontab });
    }
    let column = if dialect.format == Format::System { format!("{user} ") } else { String::new() };
    let plain = format!("{} {column}{}", schedule(&fields.join(" ")), command.replace('%', "\\%"));
    let id = JobId::of_mark(row.join(",").as_bytes());
    let read = Canonical::of_line(plain.as_bytes(), owner).filter(|read| {
        (read.fields[..] == *fields || read.id == id)
            && read.user.as_bytes() == user.as_bytes()
            && read.command.as_bytes() == command.as_bytes()
    });
    let canonical = read.ok_or(Refusal::Unfaithful)?;
    let tag = format!("{TAG}{}", canonical.id);
    let line = format!("{plain}{tag}").into_bytes();
    let source = Source { name: "-".into(), bytes: line.clone(), dialect: dialect.clone() };
    let crontab = parse(&source);
    let [only] = &crontab.lines[..] else { return Err(Refusal::Unfaithful) };
    let LineKind::Entry(entry) = &only.kind else { return Err(Refusal::Unfaithful) };
    let split = percent::split(entry.command.as_bytes());
    // A backslash before the tag would make it part of the command.
    let faithful = split.stdin.is_empty()
        && split.command == [command.as_bytes(), tag.as_bytes()].concat()
        && !command.ends_with('\\')
        && JobId::of_entry(&line, entry, dialect) == canonical.id;
    if !faithful {
        return Err(Refusal::Unfaithful);
    }
    Ok((canonical, line))
}

/// Five fields as python-crontab writes them.
fn schedule(fields: &str) -> &str {
    match fields {
        "0 * * * *" => "@hourly",
        "0 0 * * *" => "@daily",
        "0 0 * * 0" => "@weekly",
        "0 0 1 * *" => "@monthly",
        "0 0 1 1 *" => "@yearly",
        _ => fields,
    }
}

/// The comments of a crontab, and the rows that the service's parser finds in them.
fn comments<'a>(table: &'a Table, dialect: &Dialect) -> (HashSet<&'a [u8]>, HashSet<Canonical>) {
    let owner = super::merge::owner(dialect);
    let lines = table.crontab.lines.iter().enumerate();
    let comments: HashSet<&[u8]> = lines
        .filter(|(_, line)| matches!(line.kind, LineKind::Comment))
        .map(|(place, _)| table.text(place))
        .collect();
    let rows = comments.iter().filter_map(|comment| {
        let text = comment.trim_ascii_start();
        let signs = text.iter().take_while(|&&byte| byte == b'#').count();
        Canonical::of_line(&text[signs..], owner)
    });
    let rows = rows.collect();
    (comments, rows)
}

/// The crontab with lines at its end.
fn appended<'a>(table: &Table, lines: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = table.source.bytes.clone();
    let ending = line_ending(&text);
    let last = table.crontab.lines.last();
    let lends =
        last.is_some_and(|line| matches!(line.kind, LineKind::Comment | LineKind::Directive));
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        if !matches!(&text[..], b"" | b"\xef\xbb\xbf" | [.., b'\n']) {
            text.extend_from_slice(ending);
        }
        if lends {
            text.extend_from_slice(ending);
        }
    }
    for line in lines {
        text.extend_from_slice(line);
        text.extend_from_slice(ending);
    }
    text
}

#[cfg(test)]
mod tests;
