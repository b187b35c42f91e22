//! What the executor is at, for those who ask.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Core;
use super::admission::{Place, Skip};
use super::life::Phase;
use crate::crontab::Seeded;
use crate::event::{Ended, Run, RunId, Started};
use crate::job::JobKey;

/// Of how many jobs the last end is kept.
const ENDS: usize = 10_000;

/// What the executor is at.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The runs whose main process lives, or that are carried out without one, in the order of their arrival.
    pub running: Vec<Started>,
    /// The runs that are being started, in the order of their arrival.
    pub starting: Vec<Arc<Run>>,
    /// What is due and waits for other runs, in the order of its arrival.
    pub waiting: Vec<Waits>,
    /// The runs that wait for their next attempt, in the order of their arrival.
    pub resting: Vec<Rest>,
    /// Starts that jitter puts off.
    pub put_off: usize,
    /// Processes reaped that the executor had not started: orphans that we adopted.
    pub orphans: u64,
    /// The jobs that are paused, in no order.
    pub paused: Vec<JobKey>,
    /// What has happened since the executor started.
    pub counts: Counts,
}

/// A run that has not started and waits for others.
#[derive(Debug, Clone)]
pub struct Waits {
    /// The run.
    pub run: Arc<Run>,
    /// For what it waits.
    pub place: Place,
}

/// A run that waits for its next attempt.
#[derive(Debug, Clone)]
pub struct Rest {
    /// The run, at the attempt that has ended.
    pub run: Arc<Run>,
    /// How long until the next attempt; zero if it is due and waits for other runs.
    pub left: Duration,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Attempts that came to be.
    pub started: u64,
    /// Runs that succeeded in the end.
    pub succeeded: u64,
    /// Runs that did not, in the end.
    pub failed: u64,
    /// Instants that we chose not to start.
    pub skipped: u64,
    /// Instants that could not be started in time.
    pub missed: u64,
}

/// The last end of each job, for as many jobs as are kept.
#[derive(Debug, Default)]
pub(super) struct LastEnds {
    /// With when it ended, as a count.
    ends: HashMap<JobKey, (u64, Ended), Seeded>,
    /// In the order of the ends; an entry whose count is not that of the job's end is stale.
    order: VecDeque<(u64, JobKey)>,
    count: u64,
}

impl LastEnds {
    pub(super) fn put(&mut self, end: Ended) {
        let job = end.run.fire.job.key;
        self.count += 1;
        self.ends.insert(job, (self.count, end));
        self.order.push_back((self.count, job));
        while self.ends.len() > ENDS || self.order.len() > 2 * ENDS {
            let Some((count, job)) = self.order.pop_front() else { return };
            let is_current = self.ends.get(&job).is_some_and(|(current, _)| *current == count);
            if is_current && self.ends.len() > ENDS {
                self.ends.remove(&job);
            } else if is_current {
                // Kept: it is only the queue that is too long.
                self.order.push_back((count, job));
                self.order.retain(|(count, job)| {
                    self.ends.get(job).is_some_and(|(current, _)| current == count)
                });
            }
        }
    }

    pub(super) fn all(&self) -> HashMap<JobKey, Ended> {
        self.ends.iter().map(|(&job, (_, end))| (job, end.clone())).collect()
    }

    fn of_run(&self, run: RunId) -> Option<&Ended> {
        self.ends.values().map(|(_, end)| end).find(|end| end.run.id == run)
    }
}

impl Core {
    pub(super) fn state(&self) -> State {
        let now = Instant::now();
        let mut state = State {
            waiting: self
                .admission
                .waiting()
                .into_iter()
                .map(|(run, place)| Waits { run, place })
                .collect(),
            put_off: self.put_off.len(),
            orphans: self.reaper.orphans(),
            paused: self.admission.paused().collect(),
            counts: self.counts,
            ..State::default()
        };
        for life in self.lives.values() {
            match &life.phase {
                Phase::Starting => state.starting.push(Arc::clone(&life.run)),
                Phase::Running(started) => state.running.push(started.clone()),
                Phase::Resting { until } => {
                    let left = until.saturating_duration_since(now);
                    state.resting.push(Rest { run: Arc::clone(&life.run), left });
                }
                Phase::Ended { .. } => {}
            }
        }
        state.running.sort_unstable_by_key(|started| started.run.id);
        state.starting.sort_unstable_by_key(|run| run.id);
        state.resting.sort_unstable_by_key(|rest| rest.run.id);
        state
    }

    /// Has `reply` sent the final end of a run, at once if it has ended.
    pub(super) fn wait(&mut self, run: RunId, reply: oneshot::Sender<Ended>) {
        let is_to_come = self.lives.contains_key(&run)
            || self.put_off.contains_key(&run)
            || self.admission.waiting().iter().any(|(waits, _)| waits.id == run);
        if is_to_come {
            self.waits.entry(run).or_default().push(reply);
        } else if let Some(end) = self.last.of_run(run) {
            // Whoever has lost interest need not be told.
            let _ = reply.send(end.clone());
        }
    }

    /// Has a run that waits for others not start; false if there is none.
    pub(super) fn call_off(&mut self, run: RunId) -> bool {
        let put_off = self.put_off.remove(&run).map(|(run, set)| {
            self.deadlines.cancel(set);
            run
        });
        let found = put_off.or_else(|| {
            let waiting = self.admission.waiting();
            let (waits, _) = waiting.iter().find(|(waits, _)| waits.id == run)?;
            self.admission.give_up(waits.fire.job.key, run)
        });
        let Some(run) = found else { return false };
        self.skip(&run, Skip::CalledOff);
        true
    }
}
