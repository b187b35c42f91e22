//! From crontabs to a table: identity, sharing, and what stays from the table before.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use super::canonical::{append_entry_mark, owner};
use super::table::{Diff, JobTable};
use super::{Action, Job, JobId, JobKey, Naming, Policy, Terms, Timing, relation};
use crate::crontab::{
    Code, Crontab, Entry, Fault, LineKind, Mistake, Options, Source, Text, When,
};
use crate::schedule::{Schedule, Zone};

/// An entry with its identity, before it is a job.
pub(super) struct Candidate<'a> {
    pub(super) source: &'a Source,
    pub(super) crontab: &'a Crontab,
    /// Its place in [`Crontab::lines`].
    pub(super) place: usize,
    pub(super) entry: &'a Entry,
    pub(super) key: JobKey,
    /// Whether an error keeps it from becoming a job.
    pub(super) refused: bool,
    /// Whether another entry has its name: it runs without.
    pub(super) nameless: bool,
}

impl Candidate<'_> {
    /// Places a mistake whose span counts bytes of the file.
    pub(super) fn fault(&self, place: usize, mistake: Mistake) -> (Arc<str>, Fault) {
        let line = &self.crontab.lines[place];
        let start = line.span.start;
        let span = mistake.span.start.saturating_sub(start)..mistake.span.end.saturating_sub(start);
        let text = line_of(self.source, self.crontab, place);
        (self.source.name.clone(), Mistake { span, ..mistake }.on_line(line.number, text))
    }
}

pub(super) fn line_of<'a>(source: &'a Source, crontab: &Crontab, place: usize) -> &'a [u8] {
    source.bytes.get(crontab.lines[place].span.clone()).unwrap_or_default()
}

/// See [`JobTable::build`].
pub(super) fn build(
    crontabs: &[(&Source, &Crontab)],
    zone: &Zone,
    defaults: &Options,
    previous: &JobTable,
    now: Timestamp,
) -> (JobTable, Diff, Vec<(Arc<str>, Fault)>) {
    let mut faults = Vec::new();
    let mut candidates = identify(crontabs, &mut faults);
    relation::check(&mut candidates, &mut faults);

    let mut shared = Shared::new(zone, defaults);
    let mut kept = SameTerms::default();
    let mut diff = Diff::default();
    let mut jobs = Vec::with_capacity(candidates.len());
    let mut gone: HashMap<JobKey, &Arc<Job>, BuildHasherDefault<IdHasher>> =
        previous.jobs().iter().map(|job| (job.key, job)).collect();
    for candidate in candidates.iter().filter(|candidate| !candidate.refused) {
        let mut job = shared.job(candidate, now);
        let Some(before) = gone.remove(&job.key) else {
            let job = Arc::new(job);
            diff.added.push(job.clone());
            jobs.push(job);
            continue;
        };
        let same_timing = Arc::ptr_eq(&job.timing, &before.timing) || job.timing == before.timing;
        let same_terms = kept.are_same(&before.terms, &job.terms);
        let unchanged = same_timing
            && same_terms
            && job.action == before.action
            && job.flags == before.flags
            && job.naming == before.naming;
        if same_timing && (same_terms || job.terms.zone == before.terms.zone) {
            job.since = before.since;
        }
        let moved = job.line != before.line || job.terms.file != before.terms.file;
        let job = if unchanged && !moved { before.clone() } else { Arc::new(job) };
        if unchanged {
            diff.unchanged += 1;
        } else {
            diff.changed.push(job.clone());
        }
        jobs.push(job);
    }
    let table = JobTable::of(jobs);
    if !gone.is_empty() {
        let is_gone = |job: &&Arc<Job>| gone.contains_key(&job.key);
        diff.removed = previous.jobs().iter().filter(is_gone).cloned().collect();
    }
    (table, diff, faults)
}

/// Gives each entry its key, and warns of lines that differ but share an id.
fn identify<'a>(
    crontabs: &[(&'a Source, &'a Crontab)],
    faults: &mut Vec<(Arc<str>, Fault)>,
) -> Vec<Candidate<'a>> {
    let count = crontabs.iter().map(|(_, crontab)| crontab.lines.len()).sum();
    let mut candidates: Vec<Candidate> = Vec::with_capacity(count);
    let mut seen: HashMap<u64, (u32, usize), BuildHasherDefault<IdHasher>> =
        HashMap::with_capacity_and_hasher(count, BuildHasherDefault::default());
    let mut mark = Vec::with_capacity(256);
    for &(source, crontab) in crontabs.iter().filter(|(_, crontab)| crontab.accepted) {
        let owner = owner(&source.dialect);
        for (place, line) in crontab.lines.iter().enumerate() {
            let LineKind::Entry(entry) = &line.kind else { continue };
            mark.clear();
            append_entry_mark(&mut mark, line_of(source, crontab, place), entry, owner);
            let id = JobId::of_mark(&mark);
            let (occurrences, first) = seen.entry(id.seed()).or_insert((0, candidates.len()));
            *occurrences += 1;
            let key = JobKey { id, occurrence: *occurrences };
            let candidate =
                Candidate { source, crontab, place, entry, key, refused: false, nameless: false };
            if key.occurrence > 1 {
                faults.extend(collision(&candidates[*first], &candidate));
            }
            candidates.push(candidate);
        }
    }
    candidates
}

/// A warning where two entries share an id and are not the same.
fn collision(first: &Candidate, second: &Candidate) -> Option<(Arc<str>, Fault)> {
    let (one, two) = (first.entry, second.entry);
    if (&one.schedule_text, &one.user, &one.command)
        == (&two.schedule_text, &two.user, &two.command)
    {
        return None;
    }
    let mistake = Mistake::new(
        Code::W017,
        two.schedule_span.start..two.command_span.end,
        format!(
            "the entry on line {} of {} has the same id {}",
            one.line, first.source.name, second.key.id
        ),
    )
    .with_help(format!("both run, this one as {}; give it a name to tell them apart", second.key));
    Some(second.fault(second.place, mistake))
}

/// Makes jobs that share what is equal.
struct Shared<'a> {
    zone: &'a Zone,
    defaults: &'a Options,
    timings: HashMap<Text, Arc<Timing>>,
    policies: HashSet<Arc<Policy>>,
    /// By file, user, settings and policy; the zones differ.
    terms: HashMap<(usize, Text, usize, usize), Vec<Arc<Terms>>>,
    settings: HashSet<Arc<crate::crontab::Settings>>,
    last: Option<(&'a Candidate<'a>, bool, Arc<Terms>)>,
}

impl<'a> Shared<'a> {
    fn new(zone: &'a Zone, defaults: &'a Options) -> Self {
        Shared {
            zone,
            defaults,
            timings: HashMap::new(),
            policies: HashSet::new(),
            terms: HashMap::new(),
            settings: HashSet::new(),
            last: None,
        }
    }

    fn job(&mut self, candidate: &'a Candidate<'a>, now: Timestamp) -> Job {
        let entry = candidate.entry;
        let timing = self.timing(entry, candidate.key.id);
        let terms = self.terms(candidate, &timing.schedule);
        let name = entry.options.name.clone().filter(|_| !candidate.nameless);
        let naming = (name.is_some() || entry.description.is_some())
            .then(|| Box::new(Naming { name, description: entry.description.clone() }));
        Job {
            key: candidate.key,
            line: entry.line,
            timing,
            action: Action::of_command(&moved(&entry.command)),
            terms,
            naming,
            since: now,
            flags: entry.flags,
        }
    }

    fn timing(&mut self, entry: &Entry, id: JobId) -> Arc<Timing> {
        let When::Fixed(schedule) = &entry.when else {
            let schedule = entry.when.resolve(id.seed());
            return Arc::new(Timing { schedule, text: moved(&entry.schedule_text) });
        };
        if let Some(timing) = self.timings.get(&entry.schedule_text)
            && timing.schedule == *schedule
        {
            return timing.clone();
        }
        let text = moved(&entry.schedule_text);
        let timing = Arc::new(Timing { schedule: schedule.clone(), text: text.clone() });
        self.timings.insert(text, timing.clone());
        timing
    }

    fn terms(&mut self, candidate: &'a Candidate<'a>, schedule: &Schedule) -> Arc<Terms> {
        let is_date = matches!(schedule, Schedule::At(_));
        if let Some((last, last_is_date, terms)) = &self.last
            && *last_is_date == is_date
            && std::ptr::eq(last.source, candidate.source)
            && have_same_terms(last.entry, candidate.entry)
        {
            return terms.clone();
        }
        let terms = self.new_terms(candidate, schedule);
        self.last = Some((candidate, is_date, terms.clone()));
        terms
    }

    fn new_terms(&mut self, candidate: &'a Candidate<'a>, schedule: &Schedule) -> Arc<Terms> {
        let entry = candidate.entry;
        let policy = Policy::resolve(
            &entry.options,
            self.defaults,
            schedule,
            entry.random_delay,
            entry.flags.single_job,
        );
        let policy = interned(&mut self.policies, Arc::new(policy));
        let settings = interned(&mut self.settings, entry.settings.clone());
        let zone = entry.zone.as_ref().unwrap_or(self.zone);
        let address = (
            std::ptr::from_ref(candidate.source).addr(),
            entry.user.clone(),
            Arc::as_ptr(&settings).addr(),
            Arc::as_ptr(&policy).addr(),
        );
        let alike = self.terms.entry(address).or_default();
        if let Some(terms) = alike.iter().find(|terms| terms.zone == *zone) {
            return terms.clone();
        }
        let terms = Arc::new(Terms {
            file: candidate.source.name.clone(),
            origin: candidate.source.dialect.origin,
            user: entry.user.clone(),
            zone: zone.clone(),
            settings,
            policy,
        });
        alike.push(terms.clone());
        terms
    }
}

/// The text in memory of its own.
///
/// What stays in the midst of what the crontab leaves behind would keep most of that memory from being given back.
fn moved(text: &Text) -> Text {
    Text::from(text.as_bytes())
}

/// Whether two entries of one file surely have the same terms; most neighbours have.
fn have_same_terms(one: &Entry, two: &Entry) -> bool {
    Arc::ptr_eq(&one.settings, &two.settings)
        && Arc::ptr_eq(&one.options, &two.options)
        && one.random_delay == two.random_delay
        && one.flags.single_job == two.flags.single_job
        && one.user == two.user
        && one.zone == two.zone
}

fn interned<T: std::hash::Hash + Eq>(set: &mut HashSet<Arc<T>>, value: Arc<T>) -> Arc<T> {
    if let Some(known) = set.get(&value) {
        return known.clone();
    }
    set.insert(value.clone());
    value
}

/// Compares old and new terms, each pair once in a row.
#[derive(Default)]
struct SameTerms {
    last: Option<(usize, usize, bool)>,
}

impl SameTerms {
    /// Whether they are equal but for the file.
    fn are_same(&mut self, before: &Arc<Terms>, now: &Arc<Terms>) -> bool {
        let pair = (Arc::as_ptr(before).addr(), Arc::as_ptr(now).addr());
        match self.last {
            Some((one, two, same)) if (one, two) == pair => same,
            _ => {
                let same = before.user == now.user
                    && before.settings == now.settings
                    && before.policy == now.policy
                    && before.zone == now.zone;
                self.last = Some((pair.0, pair.1, same));
                same
            }
        }
    }
}

/// Takes an id for its own hash: it is part of an md5.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}
