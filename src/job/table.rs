//! The set of jobs in force, and what an edit changed.
use std::sync::Arc;

use jiff::Timestamp;

use super::{Job, JobKey, Policy, Roster};
use crate::crontab::{Crontab, Fault, Options, Source};
use crate::schedule::{Schedule, Zone};

/// The set of jobs in force; immutable, swapped as a whole.
#[derive(Debug, Clone, Default)]
pub struct JobTable {
    jobs: Arc<[Arc<Job>]>,
    /// Places in `jobs`, by key.
    by_key: Arc<[u32]>,
    /// Places in `jobs` of those that have a name, by name.
    by_name: Arc<[u32]>,
    /// Places in `jobs` of those that wait for another, by its name.
    by_predecessor: Arc<[u32]>,
}

/// What became of each job between two tables.
#[derive(Debug, Clone, Default)]
pub struct Diff {
    /// New keys.
    pub added: Vec<Arc<Job>>,
    /// Same key, but another setting, stdin, option, name or zone: as it is now.
    pub changed: Vec<Arc<Job>>,
    /// Keys that are gone.
    pub removed: Vec<Arc<Job>>,
    /// How many jobs stayed as they were, wherever they stand now.
    pub unchanged: usize,
    /// Every policy among those of the new and the changed jobs, once.
    pub policies: Vec<Arc<Policy>>,
}

/// Which job a text means.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup<'a> {
    /// This one.
    One(&'a Arc<Job>),
    /// None.
    None,
    /// Any of these: a name that several users gave, or a prefix of several ids.
    Ambiguous(Vec<&'a Arc<Job>>),
}

impl Diff {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl JobTable {
    /// Makes the jobs of `crontabs`, in order, runnable: a [`Roster`] of them, [settled](Roster::settle).
    #[must_use]
    pub fn build(
        crontabs: &[(&Source, &Crontab)],
        zone: &Zone,
        defaults: &Options,
        previous: &JobTable,
        now: Timestamp,
    ) -> (JobTable, Diff, Vec<(Arc<str>, Fault)>) {
        let crontabs: Vec<_> =
            crontabs.iter().map(|(source, crontab)| (*source, *crontab, None)).collect();
        Roster::of(&crontabs, zone, defaults).settle(previous, now, &|_| None)
    }

    /// The same jobs, of which some were first loaded at another time.
    #[must_use]
    pub fn with_since(&self, since: impl Fn(&Job) -> Option<Timestamp>) -> Self {
        let jobs = self.jobs.iter().map(|job| match since(job) {
            Some(since) if since != job.since => Arc::new(Job { since, ..Job::clone(job) }),
            _ => Arc::clone(job),
        });
        JobTable { jobs: jobs.collect(), ..self.clone() }
    }

    /// Indexes jobs with distinct keys.
    pub(super) fn of(jobs: Vec<Arc<Job>>) -> Self {
        let places = 0..u32::try_from(jobs.len()).unwrap_or(u32::MAX);
        // Sorted beside their keys: looking those up in the jobs would wait for memory.
        let mut keys: Vec<((u64, u32), u32)> =
            places.zip(&jobs).map(|(place, job)| (rank(job.key), place)).collect();
        keys.sort_unstable();
        JobTable::of_ordered(jobs, keys.into_iter().map(|(_, place)| place).collect(), true)
    }

    /// Indexes jobs of which the places by key are known; some have names or wait for one that has only if they are related.
    pub(super) fn of_ordered(jobs: Vec<Arc<Job>>, by_key: Vec<u32>, is_related: bool) -> Self {
        let (mut by_name, mut by_predecessor) = (Vec::new(), Vec::new());
        for (place, job) in (0..).zip(&jobs).take_while(|_| is_related) {
            if job.name().is_some() {
                by_name.push(place);
            }
            if predecessor(job).is_some() {
                by_predecessor.push(place);
            }
        }
        let job = |place: &u32| &jobs[*place as usize];
        by_name.sort_by(|a, b| job(a).name().cmp(&job(b).name()));
        by_predecessor.sort_by(|a, b| predecessor(job(a)).cmp(&predecessor(job(b))));
        JobTable {
            by_key: by_key.into(),
            by_name: by_name.into(),
            by_predecessor: by_predecessor.into(),
            jobs: jobs.into(),
        }
    }

    /// A table of those jobs that `keep` says, in the same order; shares everything if that is all of them.
    #[must_use]
    pub fn only(&self, mut keep: impl FnMut(&Arc<Job>) -> bool) -> Self {
        let left_out: Vec<usize> = (0..self.len()).filter(|&at| !keep(&self.jobs[at])).collect();
        if left_out.is_empty() {
            return self.clone();
        }
        let mut left_out = left_out.into_iter().peekable();
        let kept = self.jobs.iter().enumerate();
        let kept = kept.filter(|(at, _)| left_out.next_if_eq(at).is_none());
        JobTable::of(kept.map(|(_, job)| Arc::clone(job)).collect())
    }

    /// The jobs, in the order of files and lines.
    #[must_use]
    pub fn jobs(&self) -> &[Arc<Job>] {
        &self.jobs
    }

    /// How many jobs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The job with this key.
    #[must_use]
    pub fn get(&self, key: JobKey) -> Option<&Arc<Job>> {
        let found =
            self.by_key.binary_search_by_key(&rank(key), |place| rank(self.at(*place).key)).ok()?;
        Some(self.at(self.by_key[found]))
    }

    /// The jobs of this name, one for each user that gave it.
    pub fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<Job>> + use<'a> {
        let name_of = |place: &u32| self.at(*place).name().map_or("", |name| &**name);
        let start = self.by_name.partition_point(|place| name_of(place) < name);
        let count = self.by_name[start..].partition_point(|place| name_of(place) <= name);
        self.by_name[start..start + count].iter().map(|place| self.at(*place))
    }

    /// The job of this name that runs as `user`.
    #[must_use]
    pub fn named_of(&self, user: &[u8], name: &str) -> Option<&Arc<Job>> {
        self.named(name).find(|job| job.user().as_bytes() == user)
    }

    /// The jobs of `user` that wait for the end of the one that the user calls `name` (`@after`), in the order of files
    /// and lines.
    pub fn after<'a>(
        &'a self,
        user: &'a [u8],
        name: &str,
    ) -> impl Iterator<Item = &'a Arc<Job>> + use<'a> {
        let name_of = |place: &u32| predecessor(self.at(*place)).unwrap_or_default();
        let start = self.by_predecessor.partition_point(|place| name_of(place) < name);
        let count = self.by_predecessor[start..].partition_point(|place| name_of(place) <= name);
        let followers = self.by_predecessor[start..start + count].iter();
        followers.map(|place| self.at(*place)).filter(move |job| job.user().as_bytes() == user)
    }

    /// The job that `text` means: a name, else a key, else the beginning of an id with or without its prefix.
    #[must_use]
    pub fn find(&self, text: &str) -> Lookup<'_> {
        let named: Vec<_> = self.named(text).collect();
        if !named.is_empty() {
            return Lookup::of(named);
        }
        if let Ok(key) = text.parse() {
            return self.get(key).map_or(Lookup::None, Lookup::One);
        }
        let digits = text.strip_prefix("crondServiceTask-").unwrap_or(text).to_ascii_lowercase();
        let length = u32::try_from(digits.len()).unwrap_or(u32::MAX);
        let (1..16, Ok(head)) = (length, u64::from_str_radix(&digits, 16)) else {
            return Lookup::None;
        };
        let head_of = |place: &u32| self.at(*place).key.id.seed() >> (64 - 4 * length);
        let start = self.by_key.partition_point(|place| head_of(place) < head);
        let count = self.by_key[start..].partition_point(|place| head_of(place) == head);
        Lookup::of(self.by_key[start..start + count].iter().map(|place| self.at(*place)).collect())
    }

    fn at(&self, place: u32) -> &Arc<Job> {
        &self.jobs[place as usize]
    }
}

/// The name of the job that this one waits for, if it waits for one.
fn predecessor(job: &Job) -> Option<&str> {
    match job.schedule() {
        Schedule::After(after) => Some(&after.name),
        _ => None,
    }
}

/// What orders keys.
fn rank(key: JobKey) -> (u64, u32) {
    (key.id.seed(), key.occurrence)
}

impl<'a> Lookup<'a> {
    fn of(mut jobs: Vec<&'a Arc<Job>>) -> Self {
        match (jobs.pop(), jobs.is_empty()) {
            (None, _) => Lookup::None,
            (Some(job), true) => Lookup::One(job),
            (Some(job), false) => {
                jobs.push(job);
                Lookup::Ambiguous(jobs)
            }
        }
    }
}
