//! A three-way merge of crontabs, job by job.
//!
//! The result is the file, byte for byte, but for this: jobs of the snapshot that the ancestor lacks stand at its end,
//! each with its comment, its directives and the settings it had where others are in force; jobs of the ancestor that the
//! snapshot lacks are commented out; a job that all three have takes its line (with the standard input), comment,
//! directives and each setting from whichever of file and snapshot changed it. Where both did, the file holds, and a
//! [`Warning`] shows both. Where nothing was changed on one side, the result is the text of the other.
//!
//! Comments and directives of the snapshot that stand directly above no job, and that neither file nor ancestor has, are
//! kept: those above all else in front, the others at the end. Those that the snapshot has no more stay.
//!
//! Settings are merged for each job by name. A line of the file is rewritten, or commented out, where the first job that
//! sees it is to have something else; other jobs get lines directly above them. A variable that a job did not have
//! cannot be taken back where it is in force: so jobs that get other settings go to the end of the file where those below
//! them would see what they must not; at the end such a variable is given empty, with a warning. `MAILTO` is then the job's user and
//! `SHELL` is `/bin/sh`, which mean the same as none; `PATH` and `HOME`, without which hardly a
//! command runs, are not taken back: they stay what they are in the file, with a warning. Only a job that has none in the
//! file, where the snapshot changed it, gets the one of the snapshot at the end of the file, with a warning: what is in
//! force there was meant for others. So does one whose variable the snapshot changed from what means none, or comes nearest
//! to it: with that again, nobody could tell that the file has taken it back.
//!
//! Merging the result again with the same snapshot and ancestor changes nothing.
mod ambient;
mod pair;
mod plan;
mod remark;
mod table;
mod warning;
mod write;

pub(super) use pair::census;
pub(super) use table::Table;
pub(super) use write::line_ending;

pub(crate) use warning::shown;
pub use warning::{MOST_WARNINGS, Part, Warning, Warnings};

use crate::crontab::{Dialect, Format};
use pair::{Three, pair};
use plan::Plan;
use remark::Remarks;
use write::{Additions, write};

/// The outcome of a merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The crontab that results.
    pub text: Vec<u8>,
    /// How many jobs of the snapshot were added.
    pub added: usize,
    /// How many jobs of the file were commented out.
    pub removed: usize,
    /// How many jobs of the file took something from the snapshot.
    pub changed: usize,
    /// What could not be done as both sides would have it.
    pub warnings: Warnings,
}

/// Merges what changed from `ancestor` to `stored` into `file`.
#[must_use]
pub fn merge(file: &[u8], stored: &[u8], ancestor: &[u8], dialect: &Dialect) -> Merged {
    if file == stored || stored == ancestor {
        return Merged { text: file.to_vec(), ..Merged::default() };
    }
    if file == ancestor {
        return Merged { text: stored.to_vec(), ..Merged::default() };
    }
    merge_jobs(file, stored, ancestor, dialect)
}

/// Merges without looking at the texts as a whole: also where the file equals the ancestor, it is the file that is edited.
#[must_use]
pub fn merge_jobs(file: &[u8], stored: &[u8], ancestor: &[u8], dialect: &Dialect) -> Merged {
    let (file, stored, ancestor) =
        (Table::of(file, dialect), Table::of(stored, dialect), Table::of(ancestor, dialect));
    let three = Three { file: &file, stored: &stored, ancestor: &ancestor };
    let mut warnings = Warnings::default();
    let pairs = pair(&three, &mut warnings);
    let plan = Plan::of(&three, pairs, &mut warnings);
    let (told, remarks) = (warnings.clone(), Remarks::of(&stored, &ancestor));
    let (removed, changed) = plan.counts(&file);
    let mut written = write(&file, &stored, &plan, (Additions::Jobs, &remarks), &mut warnings);
    let mut plan = plan;
    if written.is_strained {
        warnings = told.clone();
        plan = plan.moving(&file);
        written = write(&file, &stored, &plan, (Additions::Jobs, &remarks), &mut warnings);
    }
    if reads_as(&written.text, &plan, &three) {
        let added = plan.added.len();
        return Merged { text: written.text, added, removed, changed, warnings };
    }
    // Something in one text changes how another line is read, or there are too many entries now. What the file has is
    // not put at risk for it.
    let plan = plan.additions(&file);
    let (added, removed, changed) = (plan.added.len(), 0, 0);
    warnings = told.clone();
    let text = write(&file, &stored, &plan, (Additions::Jobs, &remarks), &mut warnings).text;
    if reads_as(&text, &plan, &three) {
        return Merged { text, added, removed, changed, warnings };
    }
    warnings = told;
    warnings.push(Warning::Unreadable { jobs: added });
    let text = write(&file, &stored, &plan, (Additions::Comments, &remarks), &mut warnings).text;
    Merged { text, added: 0, removed, changed, warnings }
}

/// Whether the text has the jobs that it must have, and is accepted if the file was.
fn reads_as(text: &[u8], plan: &Plan<'_>, three: &Three<'_>) -> bool {
    let table = Table::of(text, &three.file.source.dialect);
    let found = census(table.jobs.iter().map(|job| (job.id, job.is_entry)));
    found == plan.census(three, true) && (table.crontab.accepted || !three.file.crontab.accepted)
}

/// Whose the lines of a crontab are that have no user column.
pub(super) fn owner(dialect: &Dialect) -> Option<&[u8]> {
    (dialect.format == Format::User).then(|| dialect.user.as_bytes())
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
