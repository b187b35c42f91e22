//! Which run may start when: overlap, instances, pauses, the limit of all. Pure: no clock, no process.
//!
//! It is told of runs that want to start ([`arrive`](Admission::arrive)), that rest between attempts, and that have left;
//! and says which may go ([`release`](Admission::release)). Only jobs with a run that is alive or waits take memory.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::crontab::Seeded;
use crate::crontab::directive::{CatchUp, Overlap};
use crate::event::{MAX_INSTANCES, Run, RunId, Trigger};
use crate::job::{JobKey, Policy};

/// The runs that are alive or wait, and the rules between them.
#[derive(Debug, Default)]
pub struct Admission {
    jobs: HashMap<JobKey, Standing, Seeded>,
    paused: HashSet<JobKey>,
    /// What waits for its turn among all; empty after [`release`](Admission::release) unless the limit is reached.
    line: VecDeque<Waiter>,
    /// How many runs have a process, or are about to.
    busy: usize,
    /// How many may; none for as many as there are.
    limit: Option<usize>,
}

/// What one job has going.
#[derive(Debug, Default)]
struct Standing {
    /// From admission to the final end, rests between attempts included.
    alive: Vec<RunId>,
    /// The one run that waits for the end of those (`overlap=queue`, `overlap=replace`).
    held: Option<Arc<Run>>,
    /// Instants that are caught up one at a time.
    backlog: VecDeque<Arc<Run>>,
}

impl Standing {
    fn is_idle(&self) -> bool {
        self.alive.is_empty() && self.held.is_none() && self.backlog.is_empty()
    }
}

/// What waits for its turn among all runs.
#[derive(Debug)]
enum Waiter {
    Run(Arc<Run>),
    /// A further attempt of a run that is alive.
    Attempt(RunId),
}

/// What becomes of a run that wants to start.
#[derive(Debug)]
pub enum Arrival {
    /// It is in line: [`Admission::release`] says when it may go, which may be at once.
    InLine,
    /// It waits for the job's earlier run to end; the grace bounds the wait.
    Held,
    /// These runs of the job are to be ended; it starts once they are, however long that takes.
    Replaces {
        /// Alive: to be ended.
        alive: Vec<RunId>,
        /// Waited to replace them, and never starts now.
        dropped: Option<Arc<Run>>,
    },
    /// It waits for its turn to be caught up.
    Backlog,
    /// It does not start.
    Skipped(Skip),
}

/// What may go now.
#[derive(Debug)]
pub enum Release {
    /// This run may start; it is alive from now on.
    Start(Arc<Run>),
    /// The next attempt of this run may start.
    Attempt(RunId),
    /// What was said when it arrived holds no more: this is what becomes of it. Never [`Arrival::InLine`].
    Other(Arc<Run>, Arrival),
}

/// Why a run does not start though it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The job is paused.
    Paused,
    /// The job is not enabled.
    Disabled,
    /// An earlier run of the job is alive (`overlap=skip`).
    Overlap,
    /// A run of the job is held already (`overlap=queue`).
    Queued,
    /// A later run of the job took its place (`overlap=replace`).
    Replaced,
    /// The job has as many runs as it may (`max-instances`).
    MaxInstances,
    /// Somebody asked for its end before it started.
    CalledOff,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Skip::Paused => "paused",
            Skip::Disabled => "not enabled",
            Skip::Overlap => "an earlier run is alive",
            Skip::Queued => "a run is queued already",
            Skip::Replaced => "replaced by a later run",
            Skip::MaxInstances => MAX_INSTANCES,
            Skip::CalledOff => "stopped before its start",
        })
    }
}

/// Where a run waits that has not started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// For the job's earlier run to end.
    Held,
    /// For its turn to be caught up.
    Backlog,
    /// For its turn among all runs (`--max-jobs`).
    Line,
}

impl Admission {
    /// Nothing is alive; at most `limit` runs will have a process at once.
    #[must_use]
    pub fn new(limit: Option<usize>) -> Self {
        Admission { limit: limit.map(|limit| limit.max(1)), ..Admission::default() }
    }

    /// Judges a run that wants to start now.
    pub fn arrive(&mut self, run: Arc<Run>) -> Arrival {
        // What waits in line came first.
        if self.line.is_empty() || self.may_start() {
            if let Some(other) = self.judge(&run) {
                return self.keep(run, other);
            }
        } else if let Some(skip) = self.refusal(&run) {
            return Arrival::Skipped(skip);
        }
        self.line.push_back(Waiter::Run(run));
        Arrival::InLine
    }

    /// What may go now, in order; none once nothing may.
    pub fn release(&mut self) -> Option<Release> {
        if !self.may_start() {
            return None;
        }
        let run = match self.line.pop_front()? {
            Waiter::Run(run) => run,
            Waiter::Attempt(run) => {
                self.busy += 1;
                return Some(Release::Attempt(run));
            }
        };
        if let Some(other) = self.judge(&run) {
            let arrival = self.keep(Arc::clone(&run), other);
            return Some(Release::Other(run, arrival));
        }
        self.busy += 1;
        self.jobs.entry(run.fire.job.key).or_default().alive.push(run.id);
        Some(Release::Start(run))
    }

    /// A run of an earlier life is alive, until it [`leave`](Admission::leave)s.
    pub fn adopt(&mut self, job: JobKey, run: RunId) {
        self.busy += 1;
        self.jobs.entry(job).or_default().alive.push(run);
    }

    /// Ends nothing that is alive, and starts nothing that nobody asked for: these jobs were paused in an earlier life.
    pub fn restore_pauses(&mut self, jobs: impl IntoIterator<Item = JobKey>) {
        self.paused.extend(jobs);
    }

    /// The run has no process until it [`wake`](Admission::wake)s; to its job it is alive all the same.
    pub fn rest(&mut self) {
        self.busy = self.busy.saturating_sub(1);
    }

    /// These jobs, and no others, are paused.
    pub fn set_pauses(&mut self, jobs: impl IntoIterator<Item = JobKey>) {
        self.paused = jobs.into_iter().collect();
    }

    /// A run that rested wants its next attempt.
    pub fn wake(&mut self, run: RunId) {
        self.line.push_back(Waiter::Attempt(run));
    }

    /// A run has ended for good. `rested` says whether it did when it ended.
    pub fn leave(&mut self, job: JobKey, run: RunId, rested: bool) {
        if rested {
            self.line.retain(|waiter| !matches!(waiter, Waiter::Attempt(id) if *id == run));
        } else {
            self.rest();
        }
        let Some(standing) = self.jobs.get_mut(&job) else { return };
        standing.alive.retain(|&alive| alive != run);
        if standing.alive.is_empty() {
            let next = standing.held.take().or_else(|| standing.backlog.pop_front());
            self.line.extend(next.map(Waiter::Run));
        }
        self.forget_idle(job);
    }

    /// Takes a run out that has waited for too long; none if it waits no more.
    pub fn give_up(&mut self, job: JobKey, run: RunId) -> Option<Arc<Run>> {
        if let Some(standing) = self.jobs.get_mut(&job) {
            if let Some(held) = standing.held.take_if(|held| held.id == run) {
                self.forget_idle(job);
                return Some(held);
            }
            if let Some(place) = standing.backlog.iter().position(|waits| waits.id == run) {
                let found = standing.backlog.remove(place);
                self.forget_idle(job);
                return found;
            }
        }
        let in_line = |waiter: &Waiter| matches!(waiter, Waiter::Run(waits) if waits.id == run);
        let place = self.line.iter().position(in_line)?;
        match self.line.remove(place)? {
            Waiter::Run(run) => Some(run),
            Waiter::Attempt(_) => None,
        }
    }

    /// Takes out everything that waits and has not started, in the order of arrival.
    pub fn drain(&mut self) -> Vec<Arc<Run>> {
        let mut waiting = BTreeMap::new();
        let mut add = |run: Arc<Run>| waiting.insert(run.id, run);
        for waiter in std::mem::take(&mut self.line) {
            if let Waiter::Run(run) = waiter {
                add(run);
            }
        }
        for standing in self.jobs.values_mut() {
            standing.held.take().map(&mut add);
            for run in std::mem::take(&mut standing.backlog) {
                add(run);
            }
        }
        self.jobs.retain(|_, standing| !standing.is_idle());
        waiting.into_values().collect()
    }

    /// Skips every fire of the job that nobody asked for, until it is resumed; false if it was paused already.
    pub fn pause(&mut self, job: JobKey) -> bool {
        self.paused.insert(job)
    }

    /// Ends a pause; false if there was none.
    pub fn resume(&mut self, job: JobKey) -> bool {
        self.paused.remove(&job)
    }

    /// The jobs that are paused, in no order.
    pub fn paused(&self) -> impl Iterator<Item = JobKey> {
        self.paused.iter().copied()
    }

    /// What waits and has not started, with where it does; in the order of arrival.
    #[must_use]
    pub fn waiting(&self) -> Vec<(Arc<Run>, Place)> {
        let in_line = self.line.iter().filter_map(|waiter| match waiter {
            Waiter::Run(run) => Some((run, Place::Line)),
            Waiter::Attempt(_) => None,
        });
        let of_jobs = self.jobs.values().flat_map(|standing| {
            let held = standing.held.iter().map(|run| (run, Place::Held));
            held.chain(standing.backlog.iter().map(|run| (run, Place::Backlog)))
        });
        let mut all: Vec<_> =
            in_line.chain(of_jobs).map(|(run, place)| (Arc::clone(run), place)).collect();
        all.sort_by_key(|(run, _)| run.id);
        all
    }

    /// Whether anything at all is alive or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.line.is_empty()
    }

    /// Whether not all that is in line may go now.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.limit.is_some_and(|limit| self.busy + self.line.len() > limit)
    }

    fn may_start(&self) -> bool {
        self.limit.is_none_or(|limit| self.busy < limit)
    }

    /// Why this run may not start whatever else is alive.
    fn refusal(&self, run: &Run) -> Option<Skip> {
        let job = &run.fire.job;
        // Whoever asks by name means it.
        if run.fire.trigger == Trigger::Manual {
            None
        } else if self.paused.contains(&job.key) {
            Some(Skip::Paused)
        } else if job.policy().enabled {
            None
        } else {
            Some(Skip::Disabled)
        }
    }

    /// What keeps this run from starting, but for the limit of all.
    fn judge(&self, run: &Run) -> Option<Other> {
        let job = &run.fire.job;
        if let Some(skip) = self.refusal(run) {
            return Some(Other::Skip(skip));
        }
        let standing = self.jobs.get(&job.key)?;
        let (alive, held) = (standing.alive.len(), standing.held.is_some());
        if run.fire.trigger == Trigger::CatchUp && job.policy().catch_up == CatchUp::All {
            return (alive > 0).then_some(Other::Backlog);
        }
        beside(job.policy(), alive, held)
    }

    /// Carries out what was decided instead of a start.
    fn keep(&mut self, run: Arc<Run>, other: Other) -> Arrival {
        let key = run.fire.job.key;
        match other {
            Other::Skip(skip) => {
                // A backlog goes on with its next.
                if let Some(standing) = self.jobs.get_mut(&key).filter(|job| job.alive.is_empty()) {
                    self.line.extend(standing.backlog.pop_front().map(Waiter::Run));
                    self.forget_idle(key);
                }
                Arrival::Skipped(skip)
            }
            Other::Hold => {
                self.jobs.entry(key).or_default().held = Some(run);
                Arrival::Held
            }
            Other::Replace => {
                let standing = self.jobs.entry(key).or_default();
                let dropped = standing.held.replace(run);
                Arrival::Replaces { alive: standing.alive.clone(), dropped }
            }
            Other::Backlog => {
                self.jobs.entry(key).or_default().backlog.push_back(run);
                Arrival::Backlog
            }
        }
    }

    fn forget_idle(&mut self, job: JobKey) {
        if self.jobs.get(&job).is_some_and(Standing::is_idle) {
            self.jobs.remove(&job);
        }
    }
}

/// What happens to a run instead of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Skip(Skip),
    Hold,
    Replace,
    Backlog,
}

/// What a job's policy says of a further run beside `alive` ones, and one that is `held` for them.
fn beside(policy: &Policy, alive: usize, held: bool) -> Option<Other> {
    let many = || {
        let full = alive >= policy.max_instances.max(1) as usize;
        full.then_some(Other::Skip(Skip::MaxInstances))
    };
    match policy.overlap {
        _ if alive == 0 => None,
        Overlap::Allow => many(),
        Overlap::Skip => Some(Other::Skip(Skip::Overlap)),
        Overlap::Queue if held => Some(Other::Skip(Skip::Queued)),
        Overlap::Queue => Some(Other::Hold),
        Overlap::Replace => Some(Other::Replace),
    }
}

#[cfg(test)]
mod tests;
