//! What is told about a recovery.
use std::fmt;

use super::merge::{Merged, Warning, shown};
use super::seed::{Doubt, Refusal, Row, Seeded};

/// The most rows of a kind that are told one by one.
const MOST_ROWS: usize = 100;

/// Something that the administrator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// File and snapshot want different things.
    Merge(Warning),
    /// So many more of those.
    MoreMerges(usize),
    /// A row was added as a comment: somebody has to decide.
    Row {
        /// The line.
        line: String,
        /// Why.
        doubt: Doubt,
    },
    /// A row was not added.
    Refused {
        /// Its place among the rows, from 1.
        row: usize,
        /// What it says.
        text: String,
        /// Why.
        refusal: Refusal,
    },
    /// A row was added whose user there is not yet.
    Stranger {
        /// Its place among the rows, from 1.
        row: usize,
        /// What it says.
        text: String,
        /// Whose it is.
        user: String,
    },
    /// So many more rows were added as comments, so many more of users that there are not yet, and so many more refused.
    MoreRows {
        /// Of users that there are not.
        strangers: usize,
        /// As comments.
        disabled: usize,
        /// Not added.
        refused: usize,
    },
    /// A line of the file that is not in what was kept, and is overruled.
    Dropped(String),
    /// So many more of those.
    MoreDropped(usize),
    /// The file cannot be written: what it should say is in force all the same.
    FromMemory,
}

impl Notice {
    /// Whether the daemon is not in full order because of it.
    #[must_use]
    pub fn degrades(&self) -> bool {
        match self {
            Notice::Row { .. } | Notice::FromMemory => true,
            Notice::MoreRows { disabled, .. } => *disabled > 0,
            Notice::Merge(_)
            | Notice::MoreMerges(_)
            | Notice::Refused { .. }
            | Notice::Dropped(_)
            | Notice::MoreDropped(_)
            | Notice::Stranger { .. } => false,
        }
    }

    pub(super) fn of_merge(merged: &Merged) -> Vec<Self> {
        let warnings = &merged.warnings;
        let more = (warnings.more > 0).then_some(Notice::MoreMerges(warnings.more));
        warnings.list.iter().cloned().map(Notice::Merge).chain(more).collect()
    }

    /// What is told of these lines.
    pub(super) fn of_dropped(lines: &[&[u8]]) -> Vec<Self> {
        let more = lines.len().saturating_sub(MOST_ROWS);
        let more = (more > 0).then_some(Notice::MoreDropped(more));
        let told = lines.iter().take(MOST_ROWS).map(|line| Notice::Dropped(shown(line)));
        told.chain(more).collect()
    }

    /// What is told of these rows, as the crontab got them.
    pub(super) fn of_rows(seeded: &Seeded, all: &[Row]) -> Vec<Self> {
        let text = |row: &usize| {
            row.checked_sub(1)
                .and_then(|at| all.get(at))
                .map_or_else(String::new, |row| shown(row.join(" ").as_bytes()))
        };
        let user = |row: &usize| {
            row.checked_sub(1)
                .and_then(|at| all.get(at))
                .map_or_else(String::new, |row| shown(row[5].as_bytes()))
        };
        let strangers = seeded.strangers.iter().take(MOST_ROWS).map(|row| Notice::Stranger {
            row: *row,
            text: text(row),
            user: user(row),
        });
        let rows = seeded
            .disabled
            .iter()
            .take(MOST_ROWS)
            .map(|row| Notice::Row { line: shown(&row.line), doubt: row.doubt });
        let refused = seeded.refused.iter().take(MOST_ROWS).map(|(row, refusal)| Notice::Refused {
            row: *row,
            text: text(row),
            refusal: refusal.clone(),
        });
        let more = Notice::MoreRows {
            strangers: seeded.strangers.len().saturating_sub(MOST_ROWS),
            disabled: seeded.disabled.len().saturating_sub(MOST_ROWS),
            refused: seeded.refused.len().saturating_sub(MOST_ROWS),
        };
        let none = Notice::MoreRows { strangers: 0, disabled: 0, refused: 0 };
        let more = Some(more).filter(|more| *more != none);
        rows.chain(strangers).chain(refused).chain(more).collect()
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Merge(warning) => warning.fmt(f),
            Notice::MoreMerges(count) => {
                write!(f, "{count} more differences, in which the file holds")
            }
            Notice::Row { line, doubt } => {
                let why = match doubt {
                    Doubt::Commented => {
                        "the file has this job as a comment, and the cache cannot tell"
                    }
                    Doubt::EveryMinute => "the cache cannot tell @reboot from every minute",
                };
                write!(f, "added as a comment: `{line}`: {why}; edit or remove the line")
            }
            Notice::Refused { row, text, refusal } => {
                write!(f, "row {row} of the cached jobs is not added: {refusal}: `{text}`")
            }
            Notice::Stranger { row, text, user } => write!(
                f,
                "row {row} of the cached jobs is added, and runs as soon as there is a user {user:?}: `{text}`"
            ),
            Notice::MoreRows { strangers, disabled, refused } => write!(
                f,
                "{disabled} more of the cached jobs are added as comments, {strangers} more are of users that there are not, \
                 {refused} more are not added"
            ),
            Notice::Dropped(line) => write!(
                f,
                "dropped, since what was kept overrules the file (--recover always): `{line}`"
            ),
            Notice::MoreDropped(count) => write!(f, "{count} more lines are dropped"),
            Notice::FromMemory => {
                f.write_str("the file cannot be written: the recovered jobs run from memory")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::seed::Disabled;

    #[test]
    fn rows_are_told_one_by_one_up_to_a_limit() {
        let row = Disabled { line: b"# * * * * * root x".to_vec(), doubt: Doubt::EveryMinute };
        let seeded = Seeded {
            disabled: vec![row; MOST_ROWS + 2],
            refused: (1..=3).map(|row| (row, Refusal::Control)).collect(),
            ..Seeded::default()
        };
        let all = vec![["0", "1", "*", "*", "*", "root", "a\nb"].map(str::to_owned); 3];
        let notices = Notice::of_rows(&seeded, &all);
        assert_eq!(notices.len(), MOST_ROWS + 3 + 1);
        assert_eq!(
            notices[0].to_string(),
            "added as a comment: `# * * * * * root x`: the cache cannot tell @reboot from every minute; edit or remove the line"
        );
        assert_eq!(
            notices[MOST_ROWS].to_string(),
            "row 1 of the cached jobs is not added: there is a control character in it: `0 1 * * * root a\\nb`"
        );
        assert_eq!(
            notices.last(),
            Some(&Notice::MoreRows { strangers: 0, disabled: 2, refused: 0 })
        );
        assert!(notices[0].degrades() && !notices[MOST_ROWS].degrades());
        assert_eq!(Notice::of_rows(&Seeded::default(), &[]), []);
    }
}
