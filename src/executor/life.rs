//! The life of a run: it arrives, is admitted, makes its attempts, ends.
//!
//! What is alive is kept here, by run; the rules are those of [`admission`](super::admission), [`retry`] and
//! [`jitter`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::admission::{Arrival, Release, Skip};
use super::deadline::{Deadline, Set};
use super::ending::Ending;
use super::tree::Tree;
use super::{Core, retry};
use crate::crontab::directive::Executor;
use crate::event::{Cause, Ended, Event, Fire, Outcome, Run, RunId, Started, Trigger, Usage};
use crate::job::jitter;
use crate::schedule::{Ending as Wanted, Schedule};
use crate::unix::{Pid, Status};

/// How long the last lines of a run may take before what follows it no longer waits for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// A run that was admitted and has not ended for good.
#[derive(Debug)]
pub(super) struct Life {
    /// The attempt that it is at.
    pub run: Arc<Run>,
    pub phase: Phase,
    /// Its time-out, its retry, or until when its end should be told.
    pub timer: Option<Set>,
    pub ending: Option<Ending>,
    /// Why the further attempt that its end speaks of is not made.
    pub called_off: Option<Cause>,
    /// How many processes had been ended for want of memory when it started.
    oom_before: Option<u64>,
}

/// Where a life stands.
#[derive(Debug)]
pub(super) enum Phase {
    /// Its process is about to be.
    Starting,
    /// Its main process lives, or it is being carried out without one.
    Running(Started),
    /// That has ended, or never came to be.
    Ended {
        end: Ended,
        /// Whether its end is on the bus.
        told: bool,
    },
    /// It waits for its next attempt.
    Resting { until: Instant },
}

/// How an attempt has ended.
#[derive(Debug)]
pub(super) enum Finish {
    /// Its main process with this status.
    Exited(Status),
    /// Without ever being, for this reason.
    NotStarted(String),
    /// It was carried out without a process here, and this is what came of it.
    Carried(Outcome, Option<Cause>, Option<Arc<str>>),
}

impl Core {
    /// Takes a fire: its run starts now, later or not at all, as the job's policy says.
    pub(super) fn arrive(&mut self, fire: Fire) -> Result<RunId, Skip> {
        let id = self.ids.next(self.clock.now());
        let is_spread = fire.trigger == Trigger::Schedule;
        let delay = if is_spread { jitter::of(&fire.job) } else { Duration::ZERO };
        let run = Arc::new(Run { id, fire, attempt: 1 });
        if delay.is_zero() {
            return self.admit(&run);
        }
        self.owe(&run);
        let set = self.deadlines.set(Deadline::Start(id), delay);
        self.put_off.insert(id, (run, set));
        Ok(id)
    }

    pub(super) fn admit(&mut self, run: &Arc<Run>) -> Result<RunId, Skip> {
        let arrival = self.admission.arrive(Arc::clone(run));
        self.heed(run, arrival).map(|()| run.id)
    }

    /// Does what was decided of a run instead of a start.
    fn heed(&mut self, run: &Arc<Run>, arrival: Arrival) -> Result<(), Skip> {
        match arrival {
            Arrival::InLine if self.limited => {
                if self.admission.is_crowded() {
                    self.owe(run);
                }
                self.bound(run);
            }
            Arrival::InLine => {}
            Arrival::Backlog => self.owe(run),
            Arrival::Held => {
                self.owe(run);
                self.bound(run);
            }
            Arrival::Replaces { alive, dropped } => {
                self.owe(run);
                // However long the others take to end, it is what is to run.
                self.unbound(run.id);
                for earlier in alive {
                    self.end_run(earlier, Some(Cause::Replaced));
                }
                if let Some(dropped) = dropped {
                    self.skip(&dropped, Skip::Replaced);
                }
            }
            Arrival::Skipped(skip) => {
                self.skip(run, skip);
                return Err(skip);
            }
        }
        Ok(())
    }

    /// Starts whatever may start now. To be called after anything that may have changed that.
    pub(super) fn pump(&mut self) {
        while let Some(release) = self.admission.release() {
            match release {
                Release::Start(run) => {
                    self.unbound(run.id);
                    self.lives.insert(run.id, Life::new(Arc::clone(&run)));
                    self.begin(run);
                }
                Release::Attempt(id) => {
                    let Some(life) = self.lives.get_mut(&id) else { continue };
                    let before = &life.run;
                    let run = Run {
                        id,
                        fire: before.fire.clone(),
                        attempt: before.attempt.saturating_add(1),
                    };
                    *life = Life::new(Arc::new(run));
                    let run = Arc::clone(&life.run);
                    self.begin(run);
                }
                Release::Other(run, arrival) => {
                    // It was told to whoever asked that the run is in line.
                    let _ = self.heed(&run, arrival);
                }
            }
        }
    }

    /// Bounds the wait of a run by its job's grace, unless it is bounded already.
    fn bound(&mut self, run: &Run) {
        let (job, deadlines) = (&run.fire.job, &mut self.deadlines);
        self.graces
            .entry(run.id)
            .or_insert_with(|| deadlines.set(Deadline::Grace(job.key, run.id), job.policy().grace));
    }

    pub(super) fn unbound(&mut self, run: RunId) {
        if let Some(set) = self.graces.remove(&run) {
            self.deadlines.cancel(set);
        }
    }

    /// Tells that a run is not started though it was due, by our choice.
    pub(super) fn skip(&mut self, run: &Run, skip: Skip) {
        self.unbound(run.id);
        self.waits.remove(&run.id);
        self.counts.skipped += 1;
        self.tell_passed(&run.fire);
        let Fire { job, due, .. } = &run.fire;
        self.bus.publish(Event::RunSkipped {
            job: Arc::clone(job),
            first: *due,
            last: *due,
            count: 1,
            reason: skip.to_string(),
            generation: run.fire.generation,
            trigger: run.fire.trigger,
            run: Some(run.id),
        });
    }

    /// Tells of a run that could not be started in time.
    pub(super) fn miss(&mut self, run: &Run, reason: &str) {
        self.unbound(run.id);
        self.waits.remove(&run.id);
        self.tell_missed(&run.fire, Some(run.id), reason);
    }

    /// Tells of a fire that never came to be a run.
    pub(super) fn miss_fire(&mut self, fire: &Fire, reason: &str) {
        self.tell_missed(fire, None, reason);
    }

    fn tell_missed(&mut self, fire: &Fire, run: Option<RunId>, reason: &str) {
        let Fire { job, due, generation, trigger } = fire;
        self.counts.missed += 1;
        self.tell_passed(fire);
        self.bus.publish(Event::RunMissed {
            job: Arc::clone(job),
            first: *due,
            last: *due,
            count: 1,
            reason: reason.to_owned(),
            generation: *generation,
            trigger: *trigger,
            run,
        });
    }

    /// A run's main process lives from now on.
    pub(super) fn lives(&mut self, started: &Started) {
        self.counts.started += 1;
        let oom_before = self.oom_killed();
        let id = started.run.id;
        let Some(life) = self.lives.get_mut(&id) else { return };
        life.phase = Phase::Running(started.clone());
        life.oom_before = oom_before;
        if let (Some(ending), Some(pid)) = (&mut life.ending, started.pid) {
            ending.tree = Some(Tree::new(id, Pid::from_raw(pid)));
            self.look_within(Duration::ZERO);
        } else {
            let policy = started.run.fire.job.policy();
            // A worker counts from its own start: until then the order waits in its queue.
            let is_ours = !matches!(policy.executor, Executor::Worker(_));
            let timeout = policy.timeout.filter(|_| is_ours);
            life.timer = timeout.map(|span| self.deadlines.set(Deadline::TimeOut(id), span));
        }
    }

    /// An attempt has ended, in this way.
    ///
    /// Its end is told by `attendant`, after the output that came before it; without one, here.
    pub(super) fn finish(
        &mut self,
        run: Arc<Run>,
        how: Finish,
        (duration, usage): (Duration, Usage),
        attendant: Option<oneshot::Sender<Ended>>,
    ) {
        let is_process = matches!(how, Finish::Exited(_));
        let (outcome, cause, worker) = outcome(&run, how);
        let at = self.clock.now();
        let mut end = Ended { outcome, cause, retry: None, at, run, duration, worker, usage };
        let id = end.run.id;
        let killed = matches!(end.outcome, Outcome::Killed { signal: 9 })
            // What a shell says of a command of its own.
            || end.outcome == Outcome::Failed { exit: 128 + 9 };
        let oom = if killed && is_process { self.oom.read() } else { None };
        let Some(life) = self.lives.get_mut(&id) else {
            self.bus.publish(Event::RunEnded(end));
            return;
        };
        if let Some(set) = life.timer.take() {
            self.deadlines.cancel(set);
        }
        match &mut life.ending {
            Some(ending) => {
                end.cause = ending.cause;
                if ending.timed_out && !matches!(end.outcome, Outcome::CouldNotStart { .. }) {
                    let (exit, signal) = (end.outcome.exit(), end.outcome.signal());
                    end.outcome = Outcome::TimedOut { exit, signal };
                }
                match &mut ending.tree {
                    Some(tree) => {
                        tree.lose_main();
                        self.look_now = true;
                    }
                    None => ending.done = true,
                }
            }
            None if oom > life.oom_before => end.cause = Some(Cause::OutOfMemory),
            None => {}
        }
        if !self.stopping {
            let policy = end.run.fire.job.policy();
            end.retry = retry::after(policy, end.run.attempt, &end.outcome, end.cause);
        }
        let attempt = end.run.attempt;
        let told = match attendant {
            Some(attendant) => attendant.send(end.clone()).is_err(),
            None => true,
        };
        if told {
            self.bus.publish(Event::RunEnded(end.clone()));
        } else {
            life.timer = Some(self.deadlines.set(Deadline::Untold(id, attempt), PATIENCE));
        }
        life.phase = Phase::Ended { end, told };
        self.settle(id);
    }

    /// Goes on with what follows an attempt, once its end is told and its processes have ended that were to.
    pub(super) fn settle(&mut self, id: RunId) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        let Phase::Ended { end, told: true } = &life.phase else { return };
        if life.ending.as_ref().is_some_and(|ending| !ending.done) {
            return;
        }
        let end = end.clone();
        if let Some(set) = life.timer.take() {
            self.deadlines.cancel(set);
        }
        let called_off = life.called_off.or(self.stopping.then_some(Cause::Shutdown));
        match (end.retry, called_off) {
            (Some(_), Some(cause)) => {
                self.admission.rest();
                self.abandon(id, cause);
            }
            (Some(delay), None) => {
                life.timer = Some(self.deadlines.set(Deadline::Retry(id), delay));
                life.phase = Phase::Resting { until: Instant::now() + delay };
                life.ending = None;
                self.admission.rest();
            }
            (None, _) => self.part(end, false),
        }
    }

    /// A run that waits for its next attempt gets none.
    pub(super) fn abandon(&mut self, id: RunId, cause: Cause) {
        let Some(life) = self.lives.get_mut(&id) else { return };
        if let Some(set) = life.timer.take() {
            self.deadlines.cancel(set);
        }
        let attempt = life.run.attempt.saturating_add(1);
        let end = Ended {
            run: Arc::new(Run { id, fire: life.run.fire.clone(), attempt }),
            outcome: Outcome::CouldNotStart { reason: format!("no further attempt: {cause}") },
            cause: Some(cause),
            retry: None,
            at: self.clock.now(),
            duration: Duration::ZERO,
            worker: None,
            usage: Usage::default(),
        };
        self.bus.publish(Event::RunEnded(end.clone()));
        self.part(end, true);
    }

    /// A run has ended for good.
    fn part(&mut self, end: Ended, rested: bool) {
        let (id, job) = (end.run.id, Arc::clone(&end.run.fire.job));
        self.lives.remove(&id);
        self.admission.leave(job.key, id, rested);
        for waits in self.waits.remove(&id).into_iter().flatten() {
            // Whoever has lost interest need not be told.
            let _ = waits.send(end.clone());
        }
        self.counts.succeeded += u64::from(end.outcome.is_success());
        self.counts.failed += u64::from(!end.outcome.is_success());
        if !self.stopping {
            self.fire_followers(&end);
        }
        self.last.put(end);
    }

    /// Fires the jobs that wait for this end (`@after`).
    fn fire_followers(&mut self, end: &Ended) {
        let Fire { job, due, .. } = &end.run.fire;
        let Some(name) = job.name() else { return };
        let table = Arc::clone(&self.tables.borrow());
        for follower in table.after(job.user().as_bytes(), name) {
            let Schedule::After(after) = follower.schedule() else { continue };
            let wanted = match after.ending {
                Wanted::Any => true,
                Wanted::Success => end.outcome.is_success(),
                Wanted::Failure => !end.outcome.is_success(),
            };
            let policy = follower.policy();
            let begun = policy.from.is_none_or(|from| due.at >= from);
            let over = policy.until.is_some_and(|until| due.at >= until);
            if wanted && begun && !over {
                let job = Arc::clone(follower);
                // Why it is skipped was told.
                let (due, trigger, generation) = (*due, Trigger::After, 0);
                let _ = self.arrive(Fire { job, due, trigger, generation });
            }
        }
    }

    /// Does what was to happen at this time.
    pub(super) fn expire(&mut self, deadline: Deadline) {
        match deadline {
            Deadline::Start(id) => {
                if let Some((run, _)) = self.put_off.remove(&id) {
                    // Why it is skipped was told.
                    let _ = self.admit(&run);
                }
            }
            Deadline::Grace(job, id) => {
                self.graces.remove(&id);
                if let Some(run) = self.admission.give_up(job, id) {
                    self.miss(&run, "held too long");
                }
            }
            Deadline::TimeOut(id) => {
                // It may have ended just now.
                self.reap();
                let life = self.lives.get_mut(&id);
                if let Some(life) = life.filter(|life| matches!(life.phase, Phase::Running(_))) {
                    life.timer = None;
                    self.end_run(id, None);
                }
            }
            Deadline::Retry(id) => {
                if let Some(life) = self.lives.get_mut(&id) {
                    life.timer = None;
                    self.admission.wake(id);
                }
            }
            Deadline::Untold(id, attempt) => {
                let life = self.lives.get_mut(&id).filter(|life| life.run.attempt == attempt);
                if let Some(Life { phase: Phase::Ended { told, .. }, timer, .. }) = life {
                    (*told, *timer) = (true, None);
                    self.settle(id);
                }
            }
            Deadline::Notes => self.look_at_notes(),
            Deadline::Look => {
                self.look = None;
                self.reap();
                self.look();
            }
        }
    }

    /// How many processes the kernel had ended for want of memory within the last second; asked once for a burst.
    fn oom_killed(&mut self) -> Option<u64> {
        let now = self.clock.monotonic();
        if now.saturating_sub(self.oom_read.0) >= Duration::from_secs(1) {
            self.oom_read = (now, self.oom.read());
        }
        self.oom_read.1
    }
}

impl Life {
    pub(super) fn new(run: Arc<Run>) -> Self {
        let phase = Phase::Starting;
        Life { run, phase, timer: None, ending: None, called_off: None, oom_before: None }
    }
}

fn outcome(run: &Run, how: Finish) -> (Outcome, Option<Cause>, Option<Arc<str>>) {
    match how {
        Finish::Exited(Status::Exited(exit)) => (judged(run, exit), None, None),
        Finish::Exited(Status::Signalled(signal)) => (Outcome::Killed { signal }, None, None),
        Finish::NotStarted(reason) => (Outcome::CouldNotStart { reason }, None, None),
        Finish::Carried(outcome, cause, worker) => (outcome, cause, worker),
    }
}

/// What an exit code is to the job.
pub(super) fn judged(run: &Run, exit: u8) -> Outcome {
    if run.fire.job.policy().success_codes.contains(&exit) {
        Outcome::Succeeded { exit }
    } else {
        Outcome::Failed { exit }
    }
}
