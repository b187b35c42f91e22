//! What is done about one crontab at start, or when the store answers for the first time.
//!
//! The file now is C, the snapshot's text S, the text of the image B. Decided is, in this order:
//!
//! | what was found | the file | S | B |
//! |---|---|---|---|
//! | no S, no rows of the Python service | stays | C | the first text |
//! | no S, rows | gets the jobs that it lacks | the result | the first text |
//! | a named file is missing | S | stays | stays |
//! | the file is empty, or missing from a directory; this instance does not equal S | S | stays | stays |
//! | on a mount of its own, or read-only | stays | C | stays |
//! | this instance equals S | stays | C | stays |
//! | a marker with a common text | merged, ancestor the common text | the result | stays |
//! | no marker, C = B | S | stays | stays |
//! | no marker, C ≠ B | merged, ancestor B | the result | the first text |
//!
//! The first text is what the file said when this container first started: C, where there is no marker. A marker without
//! a common text is one of a container that has not heard of S yet, and counts as none.
//!
//! Where the Python service has cached other rows since S was put, the decision gets the jobs that it lacks
//! (`absence.rs`).
//!
//! No file is ever removed: where S says that the file is gone from its directory, its jobs are commented out.

use std::collections::HashSet;

use crate::crontab::Dialect;

use super::merge::{Merged, merge, merge_jobs};
use super::notice::Notice;
use super::seed::{Row, add_rows};
use super::snapshot::{Access, Content, FileSnapshot, Instance, Kinship};

/// What `--recover` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As the table above.
    #[default]
    Auto,
    /// As the table, but a file on a mount of its own, or read-only, is no exception: it is merged.
    Merge,
    /// S holds wherever the file differs, whatever the marker says and however the file is mounted. B is the first text
    /// of a container that is new. The rows of the Python service are added.
    Always,
    /// The file holds, also where it is empty or missing, and nothing is written into it. S and B stay until an edit is
    /// accepted, which makes S what the file says.
    Never,
}

/// How a crontab is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was named, or is /etc/crontab: that it is missing is an accident.
    Named,
    /// It is one of a directory: that it is missing may be meant.
    Member,
}

/// What was found at a crontab's path.
#[derive(Debug, Clone, Copy)]
pub struct Finding<'a> {
    /// The path.
    pub path: &'a str,
    /// Its text; none: it is missing.
    pub file: Option<&'a [u8]>,
    /// How it is watched.
    pub standing: Standing,
    /// Whether it is on a mount of its own, or read-only.
    pub fixed: bool,
    /// What the marker beside it says, if it is one of this very file.
    pub kinship: Option<&'a Kinship>,
    /// Whether the first recovery in this container was cut off after the file was written: the common text is what the
    /// snapshot said then.
    pub cut: bool,
    /// Owner and mode.
    pub access: Option<Access>,
    /// The rules by which it is read.
    pub dialect: &'a Dialect,
}

/// What is known from before.
#[derive(Clone, Copy)]
pub enum Past<'a> {
    /// Nothing.
    Nothing,
    /// What the Python service left, and whether there is a user of a name.
    Rows(&'a [Row], &'a dyn Fn(&str) -> bool),
    /// The snapshot's part about this path.
    Snapshot(&'a FileSnapshot),
}

/// Which case it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// File and snapshot are equal, or there is neither.
    Unchanged,
    /// Nothing was known: the file is recorded for the first time.
    First,
    /// The rows of the Python service.
    Rows,
    /// Rows that the Python service has cached since the snapshot was put.
    Since,
    /// The file gets the snapshot's text.
    Restored,
    /// The snapshot gets the file's text.
    Accepted,
    /// Both get what was merged.
    Merged,
    /// The file holds, and the snapshot says something else until somebody edits the file.
    Left,
}

/// What is to be done about one crontab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The path.
    pub path: String,
    /// Which case it was.
    pub case: Case,
    /// What the file is to say, and what is in force also if it cannot be written; none: it is missing, and stays so.
    pub text: Option<Content>,
    /// Whether the file says something else now.
    pub write: bool,
    /// What the snapshot is to say about this path; none: nothing.
    pub snapshot: Option<FileSnapshot>,
    /// What the marker is to say, once the file is written.
    pub kinship: Kinship,
    /// What is to be told.
    pub notices: Vec<Notice>,
    /// What the marker is to say if the file cannot be written: all that it says is part of the snapshot.
    common_unwritten: Option<Content>,
}

impl Decision {
    /// What holds if the file cannot be written: the text is in force from memory, and the file does not equal S.
    #[must_use]
    pub fn unwritten(mut self) -> Self {
        if self.write {
            self.write = false;
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.instances.retain(|instance| *instance != self.kinship.instance);
            }
            self.kinship.common = self.common_unwritten.clone();
            self.notices.push(Notice::FromMemory);
        }
        self
    }
}

/// Decides about one crontab; `fresh` is the name that this container gets if it has none.
#[must_use]
pub fn decide(finding: &Finding<'_>, past: Past<'_>, mode: Mode, fresh: &Instance) -> Decision {
    let file = finding.file.map(Content::from);
    let kinship = finding.kinship.cloned().unwrap_or_else(|| Kinship {
        instance: fresh.clone(),
        first: file.clone().unwrap_or_default(),
        common: None,
    });
    let desk = Desk { finding, file, kinship, mode };
    match past {
        Past::Nothing => desk.first(),
        Past::Rows(rows, is_user) => desk.rows(rows, is_user),
        Past::Snapshot(stored) => desk.known(stored),
    }
}

/// One case on the table.
struct Desk<'a> {
    finding: &'a Finding<'a>,
    /// What the file says, to be shared by all that is to say the same.
    file: Option<Content>,
    kinship: Kinship,
    mode: Mode,
}

impl Desk<'_> {
    /// Case 0: nothing is known.
    fn first(self) -> Decision {
        let Some(file) = self.file.clone() else {
            let case = Case::Unchanged;
            return self.settled(case, None, None, Vec::new());
        };
        let blank = self.blank(Some(file.clone()));
        self.settled(Case::First, Some(file), Some(blank), Vec::new())
    }

    /// Case 5: the Python service was here.
    fn rows(self, rows: &[Row], is_user: &dyn Fn(&str) -> bool) -> Decision {
        let file = self.finding.file.unwrap_or_default();
        let holds = self.finding.fixed && self.mode == Mode::Auto && !file.is_empty();
        if self.mode == Mode::Never || holds || rows.is_empty() {
            return self.first();
        }
        let seeded = add_rows(file, rows, self.finding.dialect, is_user);
        if seeded.added == 0 && seeded.disabled.is_empty() && self.finding.file.is_none() {
            let mut decision = self.first();
            decision.notices = Notice::of_rows(&seeded, rows);
            return decision;
        }
        let notices = Notice::of_rows(&seeded, rows);
        let text = Content::from(seeded.text);
        let mut snapshot = self.blank(Some(text.clone()));
        snapshot.undecided = seeded.disabled.iter().map(|row| row.line[..].into()).collect();
        self.settled(Case::Rows, Some(text), Some(snapshot), notices)
    }

    /// Cases 1 to 4: there is a snapshot.
    fn known(self, stored: &FileSnapshot) -> Decision {
        let Finding { file, standing, fixed, dialect, .. } = *self.finding;
        let is_held = stored.is_held_by(&self.kinship.instance);
        let lost = match file {
            None if standing == Standing::Named => true,
            None | Some(b"") => !is_held,
            Some(_) => false,
        };
        let rebased = self.rebased(stored);
        match (self.mode, file) {
            (Mode::Never, _) => return self.left(stored),
            (Mode::Always, _) => {
                let notices = self.dropped(stored);
                let mut decision = self.restored(&rebased);
                decision.notices.splice(0..0, notices);
                return decision;
            }
            _ if lost => return self.restored(stored),
            (_, None) => return self.accepted(stored),
            _ => {}
        }
        let Some(file) = file.filter(|_| !(is_held || fixed && self.mode == Mode::Auto)) else {
            return self.accepted(stored);
        };
        if let Some(common) = self.kinship.common.clone() {
            let merged = merged(file, stored, &common, dialect);
            let base = if self.finding.cut { &self.kinship.first } else { &stored.base }.clone();
            return self.merged(stored, merged, base);
        }
        if *file == *stored.base {
            return self.restored(stored);
        }
        let merged = merged(file, stored, &stored.base, dialect);
        let base = self.kinship.first.clone();
        self.merged(stored, merged, base)
    }

    /// The snapshot with the base of this container, if the container is new.
    fn rebased(&self, stored: &FileSnapshot) -> FileSnapshot {
        let mut stored = stored.clone();
        if self.kinship.common.is_none() && self.finding.file.is_some() {
            stored.base = self.kinship.first.clone();
        }
        stored
    }

    /// The lines that somebody has put into the file and that the snapshot's text does away with.
    fn dropped(&self, stored: &FileSnapshot) -> Vec<Notice> {
        let ancestor = self.kinship.common.as_ref().unwrap_or(&stored.base);
        let known: HashSet<&[u8]> =
            lines(stored.text.as_deref()).into_iter().chain(lines(Some(ancestor))).collect();
        let mut own = lines(self.finding.file);
        own.retain(|line| !line.is_empty() && !known.contains(line));
        // Where the file is gone from its directory, its jobs are commented out.
        if stored.text.is_some() { Notice::of_dropped(&own) } else { Vec::new() }
    }

    /// The file holds, and the snapshot stays.
    fn left(self, stored: &FileSnapshot) -> Decision {
        if self.file == stored.text {
            return self.accepted(stored);
        }
        let (snapshot, file) = (Some(stored.clone()), self.file.clone());
        let left = self.settled(Case::Left, file, None, Vec::new());
        Decision { snapshot, ..left }
    }

    /// The file gets the snapshot's text.
    fn restored(self, stored: &FileSnapshot) -> Decision {
        let Some(text) = &stored.text else {
            return match self.finding.file {
                None => self.accepted(stored),
                Some(file) => {
                    // The file was removed elsewhere, and is here again: its jobs are not.
                    let merged = merge_jobs(file, b"", file, self.finding.dialect);
                    self.merged(stored, merged, stored.base.clone())
                }
            };
        };
        let same = self.file.as_ref() == Some(text);
        let case = if same { Case::Unchanged } else { Case::Restored };
        self.settled(case, Some(text.clone()), Some(stored.clone()), Vec::new())
    }

    /// The snapshot gets the file's text.
    fn accepted(self, stored: &FileSnapshot) -> Decision {
        let text = self.file.clone();
        let case = if stored.text == text { Case::Unchanged } else { Case::Accepted };
        let snapshot = FileSnapshot { text: text.clone(), ..stored.clone() };
        self.settled_over(case, text, snapshot, stored.text.as_ref(), Vec::new())
    }

    /// Both get what was merged.
    fn merged(self, stored: &FileSnapshot, merged: Merged, base: Content) -> Decision {
        let notices = Notice::of_merge(&merged);
        let text = Some(Content::from(merged.text));
        let same = stored.text == text && self.file == text;
        let case = if same { Case::Unchanged } else { Case::Merged };
        let snapshot = FileSnapshot { text: text.clone(), base, ..stored.clone() };
        self.settled_over(case, text, snapshot, stored.text.as_ref(), notices)
    }

    fn settled(
        self,
        case: Case,
        text: Option<Content>,
        snapshot: Option<FileSnapshot>,
        notices: Vec<Notice>,
    ) -> Decision {
        match snapshot {
            Some(snapshot) => {
                let before = snapshot.text.clone();
                self.settled_over(case, text, snapshot, before.as_ref(), notices)
            }
            None => Decision {
                path: self.finding.path.to_owned(),
                case,
                text,
                write: false,
                snapshot: None,
                common_unwritten: None,
                kinship: self.kinship,
                notices,
            },
        }
    }

    fn settled_over(
        self,
        case: Case,
        text: Option<Content>,
        mut snapshot: FileSnapshot,
        before: Option<&Content>,
        notices: Vec<Notice>,
    ) -> Decision {
        if before != snapshot.text.as_ref() {
            snapshot.instances.clear();
        }
        let common_unwritten = self.file.clone().or_else(|| self.kinship.common.clone());
        let mut kinship = self.kinship;
        if snapshot.text == text {
            snapshot.note(&kinship.instance);
            kinship.common = Some(text.clone().unwrap_or_default());
        }
        snapshot.access = self.finding.access.or(snapshot.access);
        snapshot.columns = self.finding.dialect.format.into();
        snapshot.user = self.finding.dialect.user.to_string();
        let write = text.is_some() && text != self.file;
        Decision {
            path: self.finding.path.to_owned(),
            case,
            text,
            write,
            snapshot: Some(snapshot),
            kinship,
            notices,
            common_unwritten,
        }
    }

    /// A snapshot of this path that knows of no instance yet.
    fn blank(&self, text: Option<Content>) -> FileSnapshot {
        FileSnapshot {
            text,
            base: self.kinship.first.clone(),
            instances: Vec::new(),
            undecided: Vec::new(),
            access: self.finding.access,
            columns: self.finding.dialect.format.into(),
            user: self.finding.dialect.user.to_string(),
            named: None,
        }
    }
}

/// The lines of a text, without blanks around them.
fn lines(text: Option<&[u8]>) -> Vec<&[u8]> {
    let lines = text.unwrap_or_default().split(|&byte| byte == b'\n');
    lines.map(<[u8]>::trim_ascii).collect()
}

/// Merges the snapshot into the file. A file that is gone from its directory takes its jobs out of this one.
fn merged(file: &[u8], stored: &FileSnapshot, ancestor: &[u8], dialect: &Dialect) -> Merged {
    match &stored.text {
        Some(text) => merge(file, text, ancestor, dialect),
        None => merge_jobs(file, b"", ancestor, dialect),
    }
}

#[cfg(test)]
mod tests;
