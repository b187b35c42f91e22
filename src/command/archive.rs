//! The store, as commands read it: beside a daemon, or without one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::SignedDuration;
use tokio::runtime::Runtime;

use crate::args::StoreArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Host, Located};
use crate::event::RunId;
use crate::job::JobKey;
use crate::sink::record::escape;
use crate::store::open::{Access, Opening};
use crate::store::{self, Output, Owned, Query, Reply, RunRecord, Store};

/// How long the store may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Runs that are asked for at once.
const PAGE: usize = 1_000;
/// Among how many of the last runs a job is looked for by its name.
const LOOKED_AT: usize = 20_000;
/// Letters of the end of a run's id that are enough to name it.
const ENOUGH: usize = 4;
/// Digits of an id; what is longer is none.
const LONGEST: usize = 26;
/// The hours in which a run is looked for by the end of its id before it is looked for among all.
const LATELY: [i64; 2] = [1, 24];

/// What a word means.
pub(super) struct Found {
    /// The jobs that it means.
    pub(super) jobs: BTreeSet<JobKey>,
    /// Jobs that have not run for long, if it may be the name of one of them.
    others: Vec<JobKey>,
}

/// A store that is only read.
pub(super) struct Archive {
    store: Arc<dyn Store>,
    /// Which, without secrets.
    name: String,
    runtime: Runtime,
}

impl Archive {
    /// Opens the store that `args` mean.
    ///
    /// # Errors
    /// It is not named as a store is.
    pub(super) fn open(args: &StoreArgs, host: &Host) -> anyhow::Result<Self> {
        let Located { address, namespace, .. } = Located::of(args, host)?;
        let name = address.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start the runtime")?;
        let opening = Opening {
            address,
            namespace,
            access: Access::Read,
            clock: Arc::new(SystemClock),
            // A reader changes nothing, and so has nothing to say.
            tell: Arc::new(|_| {}),
        };
        let store = {
            let _inside = runtime.enter();
            store::open(opening)
        };
        Ok(Archive { store, name, runtime })
    }

    /// What `query` asks for of these jobs, or of all, newest first; at most as many as it says.
    ///
    /// The second value says where the next page begins, if there is one.
    pub(super) fn runs(
        &self,
        jobs: &[JobKey],
        query: &Query,
    ) -> anyhow::Result<(Vec<RunRecord>, Option<String>)> {
        let mut found = Vec::new();
        let mut more = false;
        let each: Vec<Option<JobKey>> =
            if jobs.is_empty() { vec![None] } else { jobs.iter().copied().map(Some).collect() };
        for job in each {
            let (runs, rest) = self.runs_of(&Query { job, ..query.clone() })?;
            found.extend(runs);
            more |= rest;
        }
        found.sort_unstable_by_key(|record| std::cmp::Reverse((record.run, record.attempt)));
        more |= found.len() > query.limit;
        found.truncate(query.limit);
        let cursor = found.last().filter(|_| more).map(RunRecord::cursor);
        Ok((found, cursor))
    }

    /// As many as are asked for, and whether there are more.
    fn runs_of(&self, query: &Query) -> anyhow::Result<(Vec<RunRecord>, bool)> {
        let mut query = query.clone();
        let (limit, mut found) = (query.limit, Vec::new());
        loop {
            query.limit = PAGE.min(limit - found.len());
            if query.limit == 0 {
                return Ok((found, true));
            }
            let page = self.ask(|store| store.runs(query.clone()))?;
            found.extend(page.runs);
            match page.cursor {
                None => return Ok((found, false)),
                cursor => query.cursor = cursor,
            }
        }
    }

    /// Which store it is, without secrets.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Hands on each message that waits for the broker, the oldest first, and whose it is.
    pub(super) fn letters(&self, mut each: impl FnMut(Owned)) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let page = self.ask(|store| store.everyones(after))?;
            let Some(last) = page.last() else { return Ok(()) };
            let order = last.waiting.order;
            anyhow::ensure!(order > after, "the outbox in {} is out of order", self.name);
            after = order;
            page.into_iter().for_each(&mut each);
        }
    }

    /// What a run printed.
    pub(super) fn output(&self, run: RunId) -> anyhow::Result<Option<Output>> {
        self.ask(|store| store.output(run))
    }

    /// The jobs that `text` means: those of that name, which it may have had with several ids; else the one of that id, or of
    /// the only id that begins so.
    ///
    /// # Errors
    /// Nothing is kept of such a job, or several may be meant.
    pub(super) fn jobs(&self, text: &str) -> anyhow::Result<Vec<JobKey>> {
        self.named(text, self.late_jobs(text)?)
    }

    /// The jobs that `text` means, of which [`late_jobs`](Archive::late_jobs) has found this.
    ///
    /// # Errors
    /// As [`jobs`](Archive::jobs).
    pub(super) fn named(&self, text: &str, mut found: Found) -> anyhow::Result<Vec<JobKey>> {
        if found.jobs.is_empty() {
            found.jobs = self.called(text, &found.others)?;
        }
        anyhow::ensure!(
            !found.jobs.is_empty(),
            "{} knows no job {:?}; `cronkeep history` shows what was run",
            self.name,
            escape(text.as_bytes())
        );
        Ok(found.jobs.into_iter().collect())
    }

    /// The jobs that `text` means, as far as that is known without a look at each job that has not run for long.
    ///
    /// # Errors
    /// Several may be meant.
    pub(super) fn late_jobs(&self, text: &str) -> anyhow::Result<Found> {
        let (runs, _) = self.runs_of(&everything(LOOKED_AT))?;
        let named = runs.iter().filter(|record| record.name == text).map(|record| record.key);
        let mut named: BTreeSet<JobKey> = named.collect();
        let mut others = Vec::new();
        if named.is_empty() {
            let loaded = self.ask(|store| store.load())?;
            let late: BTreeSet<JobKey> = runs.iter().map(|record| record.key).collect();
            let all: BTreeSet<JobKey> =
                late.iter().copied().chain(loaded.jobs.into_keys()).collect();
            let exact: Option<JobKey> = text.parse().ok();
            let begins = |key: &&JobKey| {
                exact.map_or_else(|| key.digits().starts_with(text), |exact| exact == **key)
            };
            named = all.iter().filter(begins).copied().collect();
            anyhow::ensure!(
                named.len() <= 1,
                "{:?} may be any of {} jobs; give more digits of the id",
                escape(text.as_bytes()),
                named.len()
            );
            if named.is_empty() && exact.is_none() {
                others = all.difference(&late).copied().collect();
            }
        }
        Ok(Found { jobs: named, others })
    }

    /// Those of some jobs whose last run was of one of this name: jobs that have not run for long.
    fn called(&self, name: &str, jobs: &[JobKey]) -> anyhow::Result<BTreeSet<JobKey>> {
        let mut called = BTreeSet::new();
        for &key in jobs {
            let (last, _) = self.runs_of(&Query { job: Some(key), ..everything(1) })?;
            called
                .extend(last.iter().filter(|record| record.name == name).map(|record| record.key));
        }
        Ok(called)
    }

    /// The attempts of the run that `text` means, newest first: its id, or the end of it; none if there is no such run.
    ///
    /// Most ask for a late one: of several whose ids end so it is one of the last hour, else of the last day; so it is found
    /// without a look at all that is kept.
    ///
    /// # Errors
    /// Several of that time may be meant.
    pub(super) fn run(&self, text: &str) -> anyhow::Result<Vec<RunRecord>> {
        let end = text.to_ascii_uppercase();
        if !(ENOUGH..=LONGEST).contains(&end.len()) || !end.bytes().all(is_digit) {
            return Ok(Vec::new());
        }
        let now = SystemClock.now();
        let lately = LATELY.map(|hours| now.checked_sub(SignedDuration::from_hours(hours)).ok());
        for since in lately.into_iter().chain([None]) {
            let query = Query { id_end: Some(end.clone()), since, ..everything(PAGE) };
            let (mut found, _) = self.runs_of(&query)?;
            found.retain(|record| record.attempt > 0);
            let Some(first) = found.first().map(|record| record.run) else { continue };
            let is_one = found.iter().all(|record| record.run == first);
            anyhow::ensure!(is_one, "several runs end in {text:?}: give more of the id");
            return Ok(found);
        }
        Ok(Vec::new())
    }

    fn ask<'a, T>(
        &'a self,
        question: impl FnOnce(&'a dyn Store) -> Reply<'a, T>,
    ) -> anyhow::Result<T> {
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, question(&*self.store)).await });
        match answer {
            Ok(answer) => answer.with_context(|| format!("failed to read the store {}", self.name)),
            Err(_) => {
                anyhow::bail!("{} did not answer within {} s", self.name, PATIENCE.as_secs())
            }
        }
    }
}

/// Whether ids of runs may have it: a digit or capital letter but I, L, O and U.
fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_uppercase() && !b"ILOU".contains(&byte)
}

/// All runs, at most so many.
pub(super) fn everything(limit: usize) -> Query {
    Query {
        job: None,
        outcomes: Vec::new(),
        since: None,
        until: None,
        id_end: None,
        limit,
        cursor: None,
    }
}
