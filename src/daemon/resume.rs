//! The schedule goes on over a restart: what the store has kept of jobs is judged when the first table comes into force.
//!
//! The store is asked while the crontabs are read. If it does not answer in time, the jobs begin with the load, and what it
//! says later of the time before that is judged then.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::event::{Bus, Event, Fire, Trigger};
use crate::job::{Diff, Job, JobKey, JobTable};
use crate::scheduler::owed::Missed;
use crate::scheduler::resume::{Origin, Past};
use crate::store::{Handle, JobState, Write};

/// Why an instant that passed while no daemon ran is not started.
const DOWN: &str = "the daemon was down";
/// Why one is not that passed meanwhile, too.
const PAUSED: &str = "paused";

/// What the store has kept of jobs.
pub(super) type States = HashMap<JobKey, JobState>;

/// Where a daemon goes on from, as its scheduler is told.
pub(super) type Going = Arc<OnceLock<Arc<Origin>>>;

/// Puts the jobs of the first table where earlier lives of the daemon have left them.
pub(super) struct Resume {
    store: Handle,
    bus: Bus,
    fires: UnboundedSender<Fire>,
    /// Where is told what other replicas may have started; none: the schedule is not shared.
    passed: Option<UnboundedSender<Event>>,
    going: Going,
    phase: Phase,
    /// Jobs of the last table of which something that passed was started.
    started: HashSet<JobKey>,
}

/// What is known of earlier lives.
enum Phase {
    /// The store was asked; nothing comes if it does not answer in time.
    Asked(Receiver<Option<States>>),
    /// It has not answered, and the jobs have begun then.
    Begun(Timestamp),
    /// Everything: what is new from now on is new.
    Done,
    /// It does not matter: a shadow goes on from nothing, and has nothing kept.
    Shadow,
}

impl Resume {
    /// Waits for the store's answer in `states` when the first table is made.
    pub(super) fn new(
        store: Handle,
        bus: Bus,
        (fires, passed): (UnboundedSender<Fire>, Option<UnboundedSender<Event>>),
        going: Going,
        states: Receiver<Option<States>>,
    ) -> Self {
        let (phase, started) = (Phase::Asked(states), HashSet::new());
        Resume { store, bus, fires, passed, going, phase, started }
    }

    /// Goes on from nothing, and has nothing kept.
    pub(super) fn of_shadow(store: Handle, bus: Bus) -> Self {
        let (fires, going) = (unbounded_channel().0, Going::default());
        let (phase, started) = (Phase::Shadow, HashSet::new());
        Resume { store, bus, fires, passed: None, going, phase, started }
    }

    /// What the store has kept, for the table that is the first, loaded at `now`; none for later ones, and if it does not
    /// answer in time.
    pub(super) fn recall(&mut self, now: Timestamp, within: Duration) -> Option<States> {
        let Phase::Asked(states) = &self.phase else { return None };
        match states.recv_timeout(within) {
            Ok(Some(states)) => {
                self.phase = Phase::Done;
                Some(states)
            }
            Ok(None) | Err(RecvTimeoutError::Timeout) => {
                self.phase = Phase::Begun(now);
                None
            }
            // Without somebody to ask the store there is none.
            Err(RecvTimeoutError::Disconnected) => {
                self.phase = Phase::Done;
                None
            }
        }
    }

    /// Answers for what passed, before `runnable`, loaded at `now`, is in force.
    pub(super) fn go_on(&mut self, states: Option<&States>, runnable: &JobTable, now: Timestamp) {
        self.started.clear();
        if let Some(states) = states {
            self.answer(states, runnable, now, now);
        }
    }

    /// Whether something of a job is started since it passed before the table that came into force last.
    pub(super) fn starts(&self, key: JobKey) -> bool {
        self.started.contains(&key)
    }

    /// Has it kept which jobs are new, once they are in force.
    pub(super) fn keep_new(&self, states: Option<&States>, diff: &Diff, now: Timestamp) {
        match (states, &self.phase) {
            (Some(states), _) => {
                let is_known = |job: &Job| states.get(&job.key).is_some_and(|s| s.since.is_some());
                self.keep_since(diff.added.iter().filter(|job| !is_known(job)));
            }
            // The store may know them.
            (None, Phase::Asked(_) | Phase::Begun(_) | Phase::Shadow) => {}
            (None, Phase::Done) => {
                let is_new = |job: &&Arc<Job>| job.since == now;
                self.keep_since(diff.added.iter().chain(&diff.changed).filter(is_new));
            }
        }
    }

    /// The store has answered late: the jobs of `all` as they would have been, had it answered in time. None if it has.
    pub(super) fn recall_late(&mut self, states: &States, all: &JobTable) -> Option<JobTable> {
        let Phase::Begun(began) = self.phase else { return None };
        let known = |job: &Job| {
            let since = states.get(&job.key).and_then(|state| state.since);
            since.filter(|_| job.since == began)
        };
        self.keep_since(all.jobs().iter().filter(|job| known(job).is_none()));
        Some(all.with_since(known))
    }

    /// Answers for what passed before the jobs began without what the store knew.
    pub(super) fn go_on_late(&mut self, states: &States, runnable: &JobTable, now: Timestamp) {
        if let Phase::Begun(began) = std::mem::replace(&mut self.phase, Phase::Done) {
            self.answer(states, runnable, began, now);
        }
    }

    /// Judges what passed up to `from`, tells and starts what comes of it.
    fn answer(&mut self, states: &States, runnable: &JobTable, from: Timestamp, now: Timestamp) {
        let past = Past::new(states, from, now);
        if past.clamped > 0 {
            let (jobs, schedules) = match past.clamped {
                1 => ("job was", "its schedule goes"),
                _ => ("jobs were", "their schedules go"),
            };
            let text = format!(
                "{} {jobs} last started more than five minutes ahead of the clock, which must have been set back: \
                 {schedules} on from now",
                past.clamped
            );
            self.bus.publish(Event::Notice { file: None, text, warning: true });
        }
        // Before anything is sent that a scheduler could start.
        let _ = self.going.set(Arc::new(past.origin().clone()));
        let verdict = past.judge(runnable);
        // What is not started is told first: once what comes after it is started, it counts as dealt with.
        for (Missed { job, first, last, count }, generation) in verdict.missed {
            let (reason, trigger, run) = (DOWN.to_owned(), Trigger::Schedule, None);
            self.tell(Event::RunMissed {
                job,
                first,
                last,
                count,
                reason,
                generation,
                trigger,
                run,
            });
        }
        for (Missed { job, first, last, count }, generation) in verdict.skipped {
            let (reason, trigger, run) = (PAUSED.to_owned(), Trigger::Schedule, None);
            self.tell(Event::RunSkipped {
                job,
                first,
                last,
                count,
                reason,
                generation,
                trigger,
                run,
            });
        }
        let is_shared = self.passed.is_some();
        for (key, due) in verdict.settled {
            // It may be that another replica still deals with it; whoever lists it settles it.
            if !is_shared {
                self.store.write(Write::Settle(key, due));
            }
        }
        for fire in verdict.fires {
            // Nobody claims what no schedule caused: it is the run of a replica that lives, or died with its own.
            if is_shared && !fire.trigger.is_of_schedule() {
                continue;
            }
            self.started.insert(fire.job.key);
            // Without an executor the daemon is about to end.
            let _ = self.fires.send(fire);
        }
    }

    /// Tells what was not started, or has it asked whether another replica did.
    fn tell(&self, event: Event) {
        match &self.passed {
            // Without a gate the daemon is about to end.
            Some(passed) => drop(passed.send(event)),
            None => self.bus.publish(event),
        }
    }

    /// One write for all jobs that were loaded at once.
    fn keep_since<'a>(&self, jobs: impl Iterator<Item = &'a Arc<Job>>) {
        let mut by_time: HashMap<Timestamp, Vec<JobKey>> = HashMap::new();
        for job in jobs {
            by_time.entry(job.since).or_default().push(job.key);
        }
        for (since, keys) in by_time {
            self.store.write(Write::Since(keys, since));
        }
    }
}

#[cfg(test)]
mod tests;
