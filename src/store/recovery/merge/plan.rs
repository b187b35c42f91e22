//! What is to stand in the merged crontab: for each job of the file what is taken from the snapshot.
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use super::ambient::{self, Ambient};
use super::pair::{Census, Fate, Pairs, Three, census};
use super::table::{Job, Table};
use super::warning::{Part, Warning, Warnings, shown};
use crate::crontab::Text;

/// What is to be done.
pub(super) struct Plan<'a> {
    /// For each job of the file; none: it is commented out.
    pub(super) kept: Vec<Option<Kept<'a>>>,
    /// Jobs of the snapshot that go to the end, in its order.
    pub(super) added: Vec<usize>,
}

/// What a job of the file is to be; what is none stays as it is.
pub(super) struct Kept<'a> {
    /// Its line.
    pub(super) line: Option<&'a [u8]>,
    /// Its comment.
    pub(super) description: Description<'a>,
    /// Its directives.
    pub(super) directives: Option<Vec<&'a [u8]>>,
    /// The settings in force.
    pub(super) ambient: Rc<Ambient>,
    /// Settings of the snapshot that it gets where it is to have none and cannot: those that both sides changed.
    pub(super) instead: Rc<Ambient>,
    /// Whether it goes to the end of the file, so that no other job sees the settings that it gets.
    pub(super) moves: bool,
    /// Whether it is to be read as an entry.
    is_entry: bool,
}

/// What becomes of a job's comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Description<'a> {
    /// It stays, if there is one.
    Stays,
    /// It is this, with the sign.
    Is(&'a [u8]),
    /// There is to be none.
    Goes,
}

impl Kept<'_> {
    fn is_changed(&self, job: &Job) -> bool {
        self.line.is_some()
            || self.description != Description::Stays
            || self.directives.is_some()
            || self.ambient != job.ambient
    }
}

impl<'a> Plan<'a> {
    /// What follows from who has which job.
    pub(super) fn of(three: &Three<'a>, pairs: Pairs, warnings: &mut Warnings) -> Self {
        let mut settings = Surroundings::default();
        let kept = three.file.jobs.iter().zip(pairs.fates).map(|(job, fate)| match fate {
            Fate::Removed => None,
            Fate::Own => Some(as_it_is(job)),
            Fate::Shared(stored, Some(ancestor)) => {
                let jobs = [job, &three.stored.jobs[stored], &three.ancestor.jobs[ancestor]];
                Some(merged(three, jobs, &mut settings, warnings))
            }
            Fate::Shared(stored, None) => {
                compare(three, job, &three.stored.jobs[stored], warnings);
                Some(as_it_is(job))
            }
        });
        Plan { kept: kept.collect(), added: pairs.added }
    }

    /// The same with all jobs that get other settings at the end of the file.
    pub(super) fn moving(mut self, file: &Table) -> Self {
        for (kept, job) in self.kept.iter_mut().zip(&file.jobs) {
            if let Some(kept) = kept {
                kept.moves = kept.ambient != job.ambient;
            }
        }
        self
    }

    /// Only additions: every job of the file stays as it is.
    pub(super) fn additions(self, file: &Table) -> Self {
        let kept = file.jobs.iter().map(|job| Some(as_it_is(job))).collect();
        Plan { kept, added: self.added }
    }

    /// What has to be found in the result.
    pub(super) fn census(&self, three: &Three<'_>, added: bool) -> Census {
        let kept = self.kept.iter().zip(&three.file.jobs);
        let kept = kept.filter_map(|(kept, job)| Some((job.id, kept.as_ref()?.is_entry)));
        let added = self.added.iter().filter(|_| added).map(|&at| &three.stored.jobs[at]);
        census(kept.chain(added.map(|job| (job.id, job.is_entry))))
    }

    /// How many jobs of the file are commented out, and how many are changed.
    pub(super) fn counts(&self, file: &Table) -> (usize, usize) {
        let removed = self.kept.iter().filter(|kept| kept.is_none()).count();
        let changed = self.kept.iter().zip(&file.jobs);
        let changed = changed
            .filter(|(kept, job)| kept.as_ref().is_some_and(|kept| kept.is_changed(job)))
            .count();
        (removed, changed)
    }
}

fn as_it_is<'a>(job: &Job) -> Kept<'a> {
    Kept {
        line: None,
        description: Description::Stays,
        directives: None,
        ambient: job.ambient.clone(),
        instead: Rc::default(),
        moves: false,
        is_entry: job.is_entry,
    }
}

/// A job that file, snapshot and ancestor have.
fn merged<'a>(
    three: &Three<'a>,
    jobs: [&'a Job; 3],
    settings: &mut Surroundings,
    warnings: &mut Warnings,
) -> Kept<'a> {
    let [file, stored, ancestor] = jobs;
    let mut kept = as_it_is(file);
    let lines = (
        three.file.text(file.place),
        three.stored.text(stored.place),
        three.ancestor.text(ancestor.place),
    );
    match choose(lines.0, lines.1, lines.2) {
        Choice::File => {}
        Choice::Stored => kept.line = Some(lines.1),
        Choice::Both => warn(warnings, file, Part::Line, lines.0, lines.1),
    }
    let directives = (
        three.file.directives(file),
        three.stored.directives(stored),
        three.ancestor.directives(ancestor),
    );
    match choose(&directives.0, &directives.1, &directives.2) {
        Choice::File => {}
        Choice::Stored => kept.directives = Some(directives.1),
        Choice::Both => {
            let (file_says, stored_says) = (directives.0.join(&b' '), directives.1.join(&b' '));
            warn(warnings, file, Part::Directives, &file_says, &stored_says);
        }
    }
    // What is no entry has no description, so nothing can be said about that of the others.
    if jobs.iter().all(|job| job.is_entry) {
        let descriptions = (
            three.file.description(file),
            three.stored.description(stored),
            three.ancestor.description(ancestor),
        );
        match choose(&descriptions.0, &descriptions.1, &descriptions.2) {
            Choice::File => {}
            Choice::Stored => {
                kept.description = stored.description.map_or(Description::Goes, |place| {
                    Description::Is(three.stored.text(place).trim_ascii())
                });
            }
            Choice::Both => {
                let (file_says, stored_says) =
                    (descriptions.0.unwrap_or_default(), descriptions.1.unwrap_or_default());
                warn(warnings, file, Part::Description, file_says, stored_says);
            }
        }
    }
    (kept.ambient, kept.instead) = settings.merged(jobs, three.file.user_of(file), warnings);
    if kept.line.is_some() || kept.directives.is_some() {
        kept.is_entry = stored.is_entry;
    }
    kept
}

/// Warns of what differs between two that both sides added.
fn compare(three: &Three<'_>, file: &Job, stored: &Job, warnings: &mut Warnings) {
    let lines = (three.file.text(file.place), three.stored.text(stored.place));
    if lines.0.trim_ascii() != lines.1.trim_ascii() {
        warn(warnings, file, Part::Line, lines.0, lines.1);
    }
    let directives = (three.file.directives(file), three.stored.directives(stored));
    if directives.0 != directives.1 {
        let (file_says, stored_says) = (directives.0.join(&b' '), directives.1.join(&b' '));
        warn(warnings, file, Part::Directives, &file_says, &stored_says);
    }
    for name in file.ambient.differences(&stored.ambient) {
        warn_of_setting(warnings, file, &name, &stored.ambient);
    }
}

enum Choice {
    File,
    Stored,
    Both,
}

/// Who changed something.
fn choose<T: PartialEq + ?Sized>(file: &T, stored: &T, ancestor: &T) -> Choice {
    if stored == ancestor || file == stored {
        Choice::File
    } else if file == ancestor {
        Choice::Stored
    } else {
        Choice::Both
    }
}

fn warn(warnings: &mut Warnings, job: &Job, part: Part, file: &[u8], stored: &[u8]) {
    warnings.push(Warning::Both { job: job.id, part, file: shown(file), stored: shown(stored) });
}

fn warn_of_setting(warnings: &mut Warnings, file: &Job, name: &Text, stored: &Ambient) {
    let said = |ambient: &Ambient| {
        ambient.get(name).map_or_else(Vec::new, |value| value.as_bytes().to_vec())
    };
    let part = Part::Setting(shown(name.as_bytes()));
    warn(warnings, file, part, &said(&file.ambient), &said(stored));
}

/// What is to be in force, and what instead of that where it cannot be.
type Wanted = (Rc<Ambient>, Rc<Ambient>);

/// Settings merged so far: many jobs stand below the same.
#[derive(Default)]
struct Surroundings {
    known: HashMap<([*const Ambient; 3], Text), Wanted>,
    /// Conflicts that were told.
    told: BTreeSet<(Text, Option<Text>, Option<Text>)>,
}

impl Surroundings {
    fn merged(&mut self, jobs: [&Job; 3], user: &[u8], warnings: &mut Warnings) -> Wanted {
        let key = (jobs.map(|job| Rc::as_ptr(&job.ambient)), Text::from(user));
        if let Some(known) = self.known.get(&key) {
            return known.clone();
        }
        let [file, stored, ancestor] = jobs;
        let (mut merged, mut instead) = (file.ambient.clone(), Rc::default());
        for name in stored.ambient.differences(&ancestor.ambient) {
            let values = jobs.map(|job| job.ambient.get(&name));
            match choose(&values[0], &values[1], &values[2]) {
                Choice::File => {}
                Choice::Stored if values[1].is_none() && ambient::is_permanent(&name) => {
                    if self.told.insert((name.clone(), values[0].cloned(), None)) {
                        let name = name.to_string();
                        warnings.push(Warning::Unset { job: file.id, name, empty: false });
                    }
                }
                // What was taken back in the snapshot may be here already, as well as a line can say it.
                Choice::Stored if values[1].is_none() && is_nothing(&name, values[0], user) => {}
                Choice::Stored => Ambient::put(&mut merged, &name, values[1]),
                Choice::Both => {
                    // What the job would find in force, or be given for want of none, may be the ancestor's, as if the file
                    // had not changed it.
                    let may_be_as_before =
                        ambient::is_permanent(&name) || is_nothing(&name, values[2], user);
                    if values[0].is_none() && may_be_as_before {
                        Ambient::put(&mut instead, &name, values[1]);
                    }
                    let conflict = (name.clone(), values[0].cloned(), values[1].cloned());
                    if self.told.insert(conflict) {
                        warn_of_setting(warnings, file, &name, &stored.ambient);
                    }
                }
            }
        }
        if merged == file.ambient {
            merged = file.ambient.clone();
        }
        let settings = (merged, instead);
        self.known.insert(key, settings.clone());
        settings
    }
}

/// Whether a job of `user` that has this value has what comes nearest to none.
fn is_nothing(name: &Text, value: Option<&Text>, user: &[u8]) -> bool {
    !ambient::resets(name) && value == ambient::stand_in(name, user).as_ref()
}
