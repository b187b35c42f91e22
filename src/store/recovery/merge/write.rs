//! The merged crontab as bytes: the file's own, with as few of them changed as can be.
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use super::ambient::{self, Ambient, Spelling};
use super::plan::{Description, Kept, Plan};
use super::remark::Remarks;
use super::table::{Job, Table};
use super::warning::{Warning, Warnings, shown};
use crate::crontab::{LineKind, Setting, Text};

/// How the jobs of the snapshot are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Additions {
    /// As jobs.
    Jobs,
    /// As comments, where these do not stand in the file already.
    Comments,
}

/// What was written.
pub(super) struct Written {
    pub(super) text: Vec<u8>,
    /// Whether a job that stayed in its place has a variable that it must not have: one that another job got.
    pub(super) is_strained: bool,
}

/// Writes what a plan says.
pub(super) fn write(
    file: &Table,
    stored: &Table,
    plan: &Plan<'_>,
    (additions, remarks): (Additions, &Remarks<'_>),
    warnings: &mut Warnings,
) -> Written {
    let mut writer = Writer {
        file,
        ending: line_ending(&file.source.bytes),
        edits: Vec::new(),
        running: Rc::default(),
        resigned: HashSet::new(),
        is_strained: false,
        lends: false,
        warnings,
    };
    writer.walk(plan);
    let is_strained = writer.is_strained;
    let mut text = writer.apply();
    for (job, kept) in file.jobs.iter().zip(&plan.kept) {
        if let Some(kept) = kept.as_ref().filter(|kept| kept.moves) {
            writer.append_moved(&mut text, job, kept);
        }
    }
    match additions {
        Additions::Jobs => writer.append(&mut text, stored, &plan.added),
        Additions::Comments => writer.append_comments(&mut text, stored, &plan.added),
    }
    let text = remarks.add(text, writer.ending);
    Written { text, is_strained }
}

/// Bytes of the file that others take the place of.
struct Edit {
    at: Range<usize>,
    text: Vec<u8>,
}

/// What becomes of a line with a setting.
enum Rewritten {
    /// It gets this value: nobody below is to have the one it has.
    To(Text),
    /// It is commented out: nobody below is to have any.
    Out,
}

struct Writer<'a, 'w> {
    file: &'a Table,
    ending: &'static [u8],
    /// In the order of their places, and where places are equal in the order in which they are to stand.
    edits: Vec<Edit>,
    /// The settings in force where the walk is.
    running: Rc<Ambient>,
    /// Variables that some job has though it should not, and what the snapshot gives it instead.
    resigned: HashSet<(Text, Option<Text>)>,
    /// Whether some job has something in place of none.
    is_strained: bool,
    /// Whether the last line would be taken for a comment on what is added.
    lends: bool,
    warnings: &'w mut Warnings,
}

impl Writer<'_, '_> {
    fn walk(&mut self, plan: &Plan<'_>) {
        let mut rewritten = rewritten(self.file, plan);
        let mut jobs = self.file.jobs.iter().zip(&plan.kept).peekable();
        for (place, line) in self.file.crontab.lines.iter().enumerate() {
            self.lends = matches!(line.kind, LineKind::Comment | LineKind::Directive);
            if let Some((job, kept)) = jobs.next_if(|(job, _)| job.place == place) {
                match kept {
                    Some(kept) if kept.moves => self.take_out(job),
                    Some(kept) => self.keep(job, kept),
                    None => self.comment_out(job),
                }
                continue;
            }
            match &line.kind {
                LineKind::Setting(setting) => match rewritten.remove(&place) {
                    None => Ambient::set(&mut self.running, setting),
                    Some(Rewritten::To(value)) => {
                        let setting = Setting { name: setting.name.clone(), value };
                        let text = ambient::line(setting.name.as_bytes(), setting.value.as_bytes());
                        self.edit(line.span.clone(), text);
                        Ambient::set(&mut self.running, &setting);
                    }
                    Some(Rewritten::Out) => {
                        self.edit(line.span.start..line.span.start, b"# ".to_vec());
                        self.part_from_next(place);
                    }
                },
                LineKind::Error => {
                    Ambient::refuse(&mut self.running, self.file.text(place));
                }
                _ => {}
            }
        }
    }

    fn edit(&mut self, at: Range<usize>, text: Vec<u8>) {
        self.edits.push(Edit { at, text });
    }

    /// A job that stays: the settings that it lacks go above it, what changed takes the place of what was there.
    fn keep(&mut self, job: &Job, kept: &Kept<'_>) {
        let lines = &self.file.crontab.lines;
        let wanted = (&*kept.ambient, &*kept.instead);
        let above = self.settings_for(job, wanted, self.file.user_of(job));
        if !above.is_empty() {
            let at = lines[job.run].span.start;
            self.edit(at..at, self.joined(&above));
        }
        let entry = lines[job.place].span.clone();
        let mut directives = kept.directives.clone();
        let mut inserted: Vec<&[u8]> = Vec::new();
        match kept.description {
            Description::Stays => {}
            Description::Is(comment) => match job.description {
                Some(place) => self.edit(lines[place].span.clone(), comment.to_vec()),
                None => inserted.push(comment),
            },
            Description::Goes => {
                if let Some(place) = job.description {
                    let others = (job.run..place)
                        .any(|above| matches!(lines[above].kind, LineKind::Comment));
                    let below = lines[place + 1].span.start;
                    if others {
                        // A blank line, or the comment above would be the description; it parts directives too.
                        self.edit(lines[place].span.clone(), Vec::new());
                        if job.directives.iter().any(|&directive| directive < place) {
                            directives.get_or_insert_with(|| self.file.directives(job));
                        }
                    } else {
                        self.edit(lines[place].span.start..below, Vec::new());
                    }
                }
            }
        }
        if let Some(directives) = directives {
            for &place in &job.directives {
                let at = lines[place].span.start..lines[place + 1].span.start;
                self.edit(at, Vec::new());
            }
            inserted.extend(directives);
        }
        if !inserted.is_empty() {
            self.edit(entry.start..entry.start, self.joined(&inserted));
        }
        if let Some(line) = kept.line {
            self.edit(entry, line.to_vec());
        }
    }

    /// A job that is gone from the snapshot: a sign before its line, and a second one before its directives.
    fn comment_out(&mut self, job: &Job) {
        let lines = &self.file.crontab.lines;
        for &place in &job.directives {
            let at = lines[place].span.start;
            self.edit(at..at, b"#".to_vec());
        }
        let at = lines[job.place].span.start;
        self.edit(at..at, b"# ".to_vec());
        self.part_from_next(job.place);
    }

    /// A job that goes to the end: its line, its comment and its directives; other comments above it stay.
    fn take_out(&mut self, job: &Job) {
        let lines = &self.file.crontab.lines;
        let own = |place: usize| {
            place == job.place || job.description == Some(place) || job.directives.contains(&place)
        };
        for place in (job.run..=job.place).filter(|&place| own(place)) {
            let end =
                lines.get(place + 1).map_or(self.file.source.bytes.len(), |next| next.span.start);
            self.edit(lines[place].span.start..end, Vec::new());
        }
        if (job.run..job.place).any(|place| !own(place)) {
            self.part_from_next(job.place);
        }
    }

    /// Keeps a line that became a comment from being taken for what is said of the next.
    fn part_from_next(&mut self, place: usize) {
        let Some(next) = self.file.crontab.lines.get(place + 1) else {
            self.lends = true;
            return;
        };
        if !matches!(next.kind, LineKind::Blank | LineKind::Setting(_)) {
            self.edit(next.span.start..next.span.start, self.ending.to_vec());
        }
    }

    /// The lines that give a job the settings it is to have, or others instead of those that no line can take back; from
    /// there on they are in force.
    fn settings_for(
        &mut self,
        job: &Job,
        (wanted, instead): (&Ambient, &Ambient),
        user: &[u8],
    ) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for name in self.running.names_to_set(wanted) {
            let value = wanted.get(&name);
            let have = self.running.get(&name);
            if have == value {
                continue;
            }
            let other = instead.get(&name).filter(|_| value.is_none());
            if value.is_none() && !ambient::resets(&name) {
                self.is_strained = true;
                if other.is_none() && have == ambient::stand_in(&name, user).as_ref() {
                    continue;
                }
            }
            let (line, empty) = match (other, ambient::spelling(&name, value, user)) {
                (Some(other), _) => (ambient::line(name.as_bytes(), other.as_bytes()), Some(false)),
                (None, Spelling::Line(line)) => (line, None),
                (None, Spelling::Empty(line)) => (line, Some(true)),
                (None, Spelling::Impossible) => (Vec::new(), Some(false)),
            };
            if let Some(empty) = empty
                && self.resigned.insert((name.clone(), other.cloned()))
            {
                let (job, name) = (job.id, shown(name.as_bytes()));
                self.warnings.push(match other {
                    None => Warning::Unset { job, name, empty },
                    Some(other) => Warning::Instead { job, name, stored: shown(other.as_bytes()) },
                });
            }
            if line.is_empty() || other.is_some_and(|other| have == Some(other)) {
                continue;
            }
            let given = value.or(other).cloned().or_else(|| ambient::stand_in(&name, user));
            let given = given.unwrap_or_else(|| Text::from(""));
            Ambient::set(&mut self.running, &Setting { name, value: given });
            lines.push(line);
        }
        lines
    }

    fn joined(&self, lines: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line.as_ref());
            text.extend_from_slice(self.ending);
        }
        text
    }

    fn apply(&mut self) -> Vec<u8> {
        // Places are in order but for those within one job's comments.
        self.edits.sort_by_key(|edit| edit.at.start);
        let bytes = &self.file.source.bytes;
        let mut text = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for edit in &self.edits {
            text.extend_from_slice(&bytes[from..edit.at.start]);
            text.extend_from_slice(&edit.text);
            from = edit.at.end;
        }
        text.extend_from_slice(&bytes[from..]);
        text
    }

    /// Adds a job of the file at the end.
    fn append_moved(&mut self, text: &mut Vec<u8>, job: &Job, kept: &Kept<'_>) {
        let file = self.file;
        let wanted = (&*kept.ambient, &*kept.instead);
        let above = self.settings_for(job, wanted, file.user_of(job));
        let mut lines: Vec<&[u8]> = above.iter().map(Vec::as_slice).collect();
        let own = job.description.map(|place| file.text(place).trim_ascii());
        lines.extend(match kept.description {
            Description::Stays => own,
            Description::Is(comment) => Some(comment),
            Description::Goes => None,
        });
        lines.extend(kept.directives.clone().unwrap_or_else(|| file.directives(job)));
        lines.push(kept.line.unwrap_or_else(|| file.text(job.place)));
        self.append_lines(text, &lines);
    }

    /// Adds jobs of the snapshot at the end.
    fn append(&mut self, text: &mut Vec<u8>, stored: &Table, added: &[usize]) {
        for &at in added {
            let job = &stored.jobs[at];
            let wanted = (&*job.ambient, &Ambient::default());
            let above = self.settings_for(job, wanted, stored.user_of(job));
            let mut lines: Vec<&[u8]> = above.iter().map(Vec::as_slice).collect();
            lines.extend((job.run..job.place).map(|place| stored.text(place).trim_ascii()));
            lines.push(stored.text(job.place));
            self.append_lines(text, &lines);
        }
    }

    /// Adds jobs of the snapshot as comments.
    fn append_comments(&mut self, text: &mut Vec<u8>, stored: &Table, added: &[usize]) {
        let known: HashSet<Vec<u8>> =
            (0..self.file.crontab.lines.len()).map(|at| self.file.text(at).to_vec()).collect();
        for &at in added {
            let line = [b"# ", stored.text(stored.jobs[at].place)].concat();
            if !known.contains(&line) {
                self.append_lines(text, &[&line]);
            }
        }
    }

    fn append_lines(&mut self, text: &mut Vec<u8>, lines: &[&[u8]]) {
        if !matches!(&text[..], b"" | b"\xef\xbb\xbf" | [.., b'\n']) {
            text.extend_from_slice(self.ending);
        }
        if std::mem::take(&mut self.lends) {
            text.extend_from_slice(self.ending);
        }
        text.extend_from_slice(&self.joined(lines));
    }
}

/// The lines with settings that have to say something else.
///
/// That is so where the next job below, the first that sees the value, is not to have it. Jobs further below that are to
/// have it get a line of their own.
fn rewritten(file: &Table, plan: &Plan<'_>) -> HashMap<usize, Rewritten> {
    let mut rewritten = HashMap::new();
    let mut jobs = file.jobs.iter().zip(&plan.kept).rev().peekable();
    let mut viewer: Option<(usize, &Ambient)> = None;
    let mut nearest: HashMap<Text, usize> = HashMap::new();
    for (place, line) in file.crontab.lines.iter().enumerate().rev() {
        if let Some((_, kept)) = jobs.next_if(|(job, _)| job.place == place) {
            if let Some(kept) = kept.as_ref().filter(|kept| !kept.moves) {
                viewer = Some((place, &kept.ambient));
            }
            continue;
        }
        let setting = match &line.kind {
            LineKind::Setting(setting) => setting,
            LineKind::Error => {
                let refused = ambient::refused(file.text(place)).unwrap_or_default();
                nearest.extend(refused.into_iter().map(|name| (name, place)));
                continue;
            }
            _ => continue,
        };
        let names = ambient::names_of(&setting.name);
        let seen_by = |place: usize| {
            names.iter().all(|name| nearest.get(name).is_none_or(|&other| other > place))
        };
        if let Some((_, wanted)) = viewer.filter(|&(place, _)| seen_by(place)) {
            let value = ambient::value_of(setting);
            let wanted: Vec<Option<&Text>> = names.iter().map(|name| wanted.get(name)).collect();
            let agreed = wanted.iter().all(|each| *each == wanted[0]);
            match wanted[0] {
                other if other == value || !agreed => {}
                Some(other) => drop(rewritten.insert(place, Rewritten::To(other.clone()))),
                None => drop(rewritten.insert(place, Rewritten::Out)),
            }
        }
        for name in names {
            nearest.insert(name, place);
        }
    }
    rewritten
}

/// How the lines of a file end: as its first one does.
pub(in crate::store::recovery) fn line_ending(bytes: &[u8]) -> &'static [u8] {
    match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) if bytes[..at].ends_with(b"\r") => b"\r\n",
        _ => b"\n",
    }
}
