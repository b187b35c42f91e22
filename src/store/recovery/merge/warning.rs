//! What a merge could not do as both sides would have it.
use std::fmt;

use crate::job::JobId;

/// The most warnings of one merge that are told one by one.
pub const MOST_WARNINGS: usize = 100;

/// The longest text that a warning shows, in characters.
const LONGEST: usize = 200;

/// Where the file and the snapshot want different things. The file has its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Both changed the same part of a job.
    Both {
        /// Which job.
        job: JobId,
        /// Which part.
        part: Part,
        /// As the file has it; this holds.
        file: String,
        /// As the snapshot has it.
        stored: String,
    },
    /// The file changed a job's line, the snapshot has lost the job: it stays.
    Kept {
        /// Which job.
        job: JobId,
        /// Its line.
        file: String,
    },
    /// The file has lost a job that the snapshot changed: it stays away.
    Gone {
        /// Which job.
        job: JobId,
        /// Its line in the snapshot.
        stored: String,
    },
    /// Of equal lines the file has more and the snapshot has fewer than before, or the other way round.
    Copies {
        /// Which job.
        job: JobId,
        /// The line.
        line: String,
        /// How many there are in the file; so many stay.
        file: usize,
        /// How many there are in the snapshot.
        stored: usize,
    },
    /// A job had no such variable, and no line of a crontab takes one back.
    Unset {
        /// Which job.
        job: JobId,
        /// The name of the variable.
        name: String,
        /// Whether it is empty now; else it stays what it is.
        empty: bool,
    },
    /// A job has no such variable in the file and another than before in the snapshot, and stands where one is in force
    /// that cannot be taken back: it has the one of the snapshot.
    Instead {
        /// Which job.
        job: JobId,
        /// The name of the variable.
        name: String,
        /// The value that it has.
        stored: String,
    },
    /// With the jobs of the snapshot the file would not be read as it must be: they are added as comments.
    Unreadable {
        /// How many.
        jobs: usize,
    },
}

/// A part of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The line itself: its spelling and its standard input.
    Line,
    /// The comment above it.
    Description,
    /// Its `# cronkeep:` lines.
    Directives,
    /// The setting of this name.
    Setting(String),
}

/// The warnings of one merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings {
    /// The first of them.
    pub list: Vec<Warning>,
    /// How many more there were.
    pub more: usize,
}

impl Warnings {
    pub(super) fn push(&mut self, warning: Warning) {
        if self.list.len() < MOST_WARNINGS {
            self.list.push(warning);
        } else {
            self.more += 1;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

/// Text as a warning shows it: on one line, and not all of it if it is long.
pub(crate) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let text = text.trim();
    let mut shown: String = text.chars().take(LONGEST).flat_map(escaped).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn escaped(character: char) -> impl Iterator<Item = char> {
    let control = character.is_control() && character != '\t';
    let plain = (!control).then_some(character);
    plain.into_iter().chain(control.then(|| character.escape_default()).into_iter().flatten())
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Line => f.write_str("line"),
            Part::Description => f.write_str("comment"),
            Part::Directives => f.write_str("options"),
            Part::Setting(name) => write!(f, "setting {name}"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Both { job, part, file, stored } => write!(
                f,
                "here and in the snapshot the {part} of {job} changed: `{file}` holds, not `{stored}`"
            ),
            Warning::Kept { job, file } => {
                write!(f, "{job} was changed here and removed in the snapshot: `{file}` stays")
            }
            Warning::Gone { job, stored } => write!(
                f,
                "{job} was removed here and changed in the snapshot: `{stored}` is not added"
            ),
            Warning::Copies { job, line, file, stored } => write!(
                f,
                "{job} stands here {file} times and in the snapshot {stored} times, one more and one less than before: `{line}` stays as it is here"
            ),
            Warning::Unset { job, name, empty: true } => write!(
                f,
                "{job} had no variable {name}: it is given an empty one, a crontab cannot take it back"
            ),
            Warning::Unset { job, name, empty: false } => write!(
                f,
                "{job} had no setting {name}: that of the file holds, a crontab cannot take it back"
            ),
            Warning::Instead { job, name, stored } => write!(
                f,
                "{job} had no setting {name} here: `{stored}` of the snapshot holds, a crontab cannot take it back"
            ),
            Warning::Unreadable { jobs: 1 } => f.write_str(
                "with the job of the snapshot the file would not be read in full: it is added as a comment",
            ),
            Warning::Unreadable { jobs } => write!(
                f,
                "with the {jobs} jobs of the snapshot the file would not be read in full: they are added as comments"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_shows_both_sides() {
        let warning = Warning::Both {
            job: JobId::of_mark(b""),
            part: Part::Setting("PATH".to_owned()),
            file: "/a".to_owned(),
            stored: "/b".to_owned(),
        };
        assert_eq!(
            warning.to_string(),
            "here and in the snapshot the setting PATH of crondServiceTask-8f00b204e9800998 changed: `/a` holds, not `/b`"
        );
    }

    #[test]
    fn one_job_is_no_jobs() {
        let text = |jobs| Warning::Unreadable { jobs }.to_string();
        assert!(text(1).starts_with("with the job of the snapshot "), "{}", text(1));
        assert!(text(2).starts_with("with the 2 jobs of the snapshot "), "{}", text(2));
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown(b" a\x1b[1m\tb\xff "), "a\\u{1b}[1m\tb\u{fffd}");
        assert_eq!(shown("x".repeat(201).as_bytes()).chars().count(), 201);
        assert_eq!(shown("\u{e9}".repeat(200).as_bytes()), "\u{e9}".repeat(200));
    }

    #[test]
    fn no_more_than_so_many_are_told() {
        let mut warnings = Warnings::default();
        for jobs in 0..MOST_WARNINGS + 3 {
            warnings.push(Warning::Unreadable { jobs });
        }
        assert_eq!((warnings.list.len(), warnings.more), (MOST_WARNINGS, 3));
    }
}
