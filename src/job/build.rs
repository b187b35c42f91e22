//! From crontabs to a table: identity, sharing, and what stays from the table before.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use jiff::Timestamp;

use super::canonical::{append_entry_mark, owner};
use super::identity::Ids;
use super::table::{Diff, JobTable};
use super::{Action, Job, JobId, JobKey, Naming, Policy, Terms, Timing, relation};
use crate::crontab::{
    Code, Crontab, Entry, Fault, LineKind, Mistake, Options, Seeded, Source, Text, When,
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

/// The jobs of crontabs as these have them, while it is not known yet which of them there were before, and since when.
///
/// The larger part of what a table takes, and the part that nothing has to be known for but the crontabs.
#[derive(Debug)]
pub struct Roster {
    jobs: Vec<Job>,
    /// Places in `jobs`, by key; none where some candidates are no jobs.
    by_key: Option<Vec<u32>>,
    /// Whether some have names, or may wait for one that has.
    is_related: bool,
    policies: HashSet<Arc<Policy>>,
    faults: Vec<(Arc<str>, Fault)>,
}

impl Roster {
    /// Makes the jobs of `crontabs`, in order, runnable; with the ids of a crontab's lines where they were found beforehand.
    ///
    /// `zone` is that of entries which name none, `defaults` are the options that the daemon was given.
    #[must_use]
    pub fn of(
        crontabs: &[(&Source, &Crontab, Option<&Ids>)],
        zone: &Zone,
        defaults: &Options,
    ) -> Self {
        let mut faults = Vec::new();
        let (mut candidates, by_key) = identify(crontabs, &mut faults);
        // Most tables have none, and looking at each entry waits for memory.
        let is_related = crontabs.iter().any(|(_, crontab, _)| crontab.is_related);
        if is_related {
            relation::check(&mut candidates, &mut faults);
        }
        let mut shared = Shared::new(zone, defaults);
        let mut jobs = Vec::with_capacity(candidates.len());
        let taken = candidates.iter().filter(|candidate| !candidate.refused);
        jobs.extend(taken.map(|candidate| shared.job(candidate)));
        let by_key = (jobs.len() == candidates.len()).then_some(by_key);
        Roster { jobs, by_key, is_related, policies: shared.policies, faults }
    }

    /// The table of these jobs, what became of each since `previous`, and the faults that no file shows alone: names and ids
    /// taken twice, `@after` that leads nowhere or in a circle.
    ///
    /// Jobs unchanged from `previous` keep their `since`, also where they only moved to another line; so do those that changed
    /// in something other than schedule and zone. Of those that are not in it, `known` says when an earlier life of the daemon
    /// first loaded them. All others start at `now`.
    #[must_use]
    pub fn settle(
        self,
        previous: &JobTable,
        now: Timestamp,
        known: &dyn Fn(JobKey) -> Option<Timestamp>,
    ) -> (JobTable, Diff, Vec<(Arc<str>, Fault)>) {
        let mut diff = Diff::default();
        diff.policies.extend(self.policies);
        let jobs = settle(self.jobs, &mut diff, previous, now, known);
        let table = match self.by_key {
            Some(by_key) => JobTable::of_ordered(jobs, by_key, self.is_related),
            None => JobTable::of(jobs),
        };
        (table, diff, self.faults)
    }
}

/// Says since when each job is there, and what became of it since `previous`.
fn settle(
    jobs: Vec<Job>,
    diff: &mut Diff,
    previous: &JobTable,
    now: Timestamp,
    known: &dyn Fn(JobKey) -> Option<Timestamp>,
) -> Vec<Arc<Job>> {
    let mut kept = SameTerms::default();
    let mut settled = Vec::with_capacity(jobs.len());
    let mut gone: HashMap<JobKey, &Arc<Job>, BuildHasherDefault<IdHasher>> =
        previous.jobs().iter().map(|job| (job.key, job)).collect();
    if gone.is_empty() {
        diff.added.reserve_exact(jobs.len());
    }
    for mut job in jobs {
        job.since = now;
        let before = if gone.is_empty() { None } else { gone.remove(&job.key) };
        let Some(before) = before else {
            job.since = known(job.key).unwrap_or(now);
            let job = Arc::new(job);
            diff.added.push(job.clone());
            settled.push(job);
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
        settled.push(job);
    }
    if !gone.is_empty() {
        let is_gone = |job: &&Arc<Job>| gone.contains_key(&job.key);
        diff.removed = previous.jobs().iter().filter(is_gone).cloned().collect();
    }
    settled
}

/// Gives each entry its key, and warns of lines that differ but share an id. With them their places, by key.
fn identify<'a>(
    crontabs: &[(&'a Source, &'a Crontab, Option<&Ids>)],
    faults: &mut Vec<(Arc<str>, Fault)>,
) -> (Vec<Candidate<'a>>, Vec<u32>) {
    let count = crontabs.iter().map(|(_, crontab, _)| crontab.lines.len()).sum();
    let mut candidates: Vec<Candidate> = Vec::with_capacity(count);
    // Beside their places: looking them up in the candidates would wait for memory.
    let mut seeds: Vec<(u64, u32)> = Vec::with_capacity(count);
    let mut mark = Vec::with_capacity(256);
    for &(source, crontab, ids) in crontabs.iter().filter(|(_, crontab, _)| crontab.accepted) {
        for (place, line) in crontab.lines.iter().enumerate() {
            let LineKind::Entry(entry) = &line.kind else { continue };
            let id = ids.and_then(|ids| ids.at(place)).unwrap_or_else(|| {
                mark.clear();
                let line = line_of(source, crontab, place);
                append_entry_mark(&mut mark, line, entry, owner(&source.dialect));
                JobId::of_mark(&mark)
            });
            seeds.push((id.seed(), u32::try_from(candidates.len()).unwrap_or(u32::MAX)));
            let key = JobKey { id, occurrence: 1 };
            candidates.push(Candidate {
                source,
                crontab,
                place,
                entry,
                key,
                refused: false,
                nameless: false,
            });
        }
    }
    seeds.sort_unstable();
    let mut again = Vec::new();
    for same in seeds.chunk_by(|one, other| one.0 == other.0).filter(|same| same.len() > 1) {
        for (occurrence, &(_, place)) in (1..).zip(same) {
            candidates[place as usize].key.occurrence = occurrence;
        }
        again.extend(same[1..].iter().map(|&(_, place)| (place, same[0].1)));
    }
    again.sort_unstable();
    for (place, first) in again {
        faults.extend(collision(&candidates[first as usize], &candidates[place as usize]));
    }
    (candidates, seeds.into_iter().map(|(_, place)| place).collect())
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
    .with_help(match two.options.name {
        // The id is what messages and records bear, whatever it is called.
        Some(_) => format!("both run, this one as {}", second.key),
        None => format!("both run, this one as {}; give it a name to tell them apart", second.key),
    });
    Some(second.fault(second.place, mistake))
}

/// Makes jobs that share what is equal.
struct Shared<'a> {
    zone: &'a Zone,
    defaults: &'a Options,
    timings: HashMap<Text, Arc<Timing>, Seeded>,
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
            timings: HashMap::with_hasher(Seeded::random()),
            policies: HashSet::new(),
            terms: HashMap::new(),
            settings: HashSet::new(),
            last: None,
        }
    }

    /// A job of which it is not known yet since when it is there.
    fn job(&mut self, candidate: &'a Candidate<'a>) -> Job {
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
            action: Action::of_command(&entry.command),
            terms,
            naming,
            since: Timestamp::MIN,
            flags: entry.flags,
        }
    }

    fn timing(&mut self, entry: &Entry, id: JobId) -> Arc<Timing> {
        let When::Fixed(schedule) = &*entry.when else {
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
