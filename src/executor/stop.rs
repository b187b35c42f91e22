//! Stopping: no more starts, and an end to what still runs.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::ending::KILLED_LOOK;
use super::life::Phase;
use super::{Core, Executor, Order, retry};
use crate::event::{Cause, RunId};
use crate::unix::{Pid, Signal, process};

/// How long killed processes may take to disappear, and the last lines to be told.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// Why what was due does not start.
pub(super) const STOPPED: &str = "the daemon was stopped";

/// What becomes of the runs when the executor stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// TERM to every process of every run, and KILL to what is left after the grace.
    End {
        /// Zero kills at once.
        grace: Duration,
    },
    /// They live on; what they print has no reader any more. Those without a process are ended.
    Leave,
}

/// What stopping came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stopped {
    /// Runs of which something had to be killed.
    pub killed: usize,
    /// Runs left alive.
    pub left: usize,
}

/// What an executor that stops does next.
enum Turn {
    /// As before.
    On,
    /// Whoever asked wants it by then.
    By(Instant),
    /// Nothing more will come.
    Over,
}

impl Executor {
    pub(super) async fn stop(mut self, stop: Stop, reply: oneshot::Sender<Stopped>) {
        let mut replies = vec![reply];
        self.core.stopping = true;
        // What was released is judged as what is being started.
        self.core.record(false);
        self.core.reap();
        self.miss_all();
        let stopped = match stop {
            Stop::Leave => self.leave(&mut replies).await,
            Stop::End { grace } => self.end(grace, &mut replies).await,
        };
        self.miss_all();
        self.tell_all().await;
        for reply in replies {
            // Whoever has lost interest need not be told.
            let _ = reply.send(stopped);
        }
    }

    /// Tells of everything that does not start any more.
    fn miss_all(&mut self) {
        let core = &mut self.core;
        let mut waiting: Vec<_> = core.put_off.drain().map(|(_, (run, _))| run).collect();
        waiting.extend(core.admission.drain());
        waiting.sort_unstable_by_key(|run| run.id);
        for run in waiting {
            if core.leaves_to_others(&run.fire) {
                core.unbound(run.id);
                continue;
            }
            core.miss(&run, STOPPED);
        }
        while let Ok(fire) = self.fires.try_recv() {
            if !self.core.leaves_to_others(&fire) {
                self.core.miss_fire(&fire, STOPPED);
            }
        }
        let rests = |phase: &Phase| matches!(phase, Phase::Resting { .. });
        let lives = self.core.lives.iter().filter(|(_, life)| rests(&life.phase));
        let mut resting: Vec<RunId> = lives.map(|(&id, _)| id).collect();
        resting.sort_unstable();
        for id in resting {
            self.core.abandon(id, Cause::Shutdown);
        }
    }

    /// Leaves the runs alive, once those that are being started have been.
    async fn leave(&mut self, replies: &mut Vec<oneshot::Sender<Stopped>>) -> Stopped {
        let by = Instant::now() + LAST_WAIT;
        let waits = |core: &Core| {
            core.count(|phase| matches!(phase, Phase::Starting)) > 0 || !core.carried.is_empty()
        };
        while waits(&self.core) && Instant::now() < by {
            if let Turn::Over = self.turn(by, replies).await {
                break;
            }
        }
        self.core.end_all_carried();
        Stopped { killed: 0, left: self.core.alive() }
    }

    /// Ends the runs and all their processes, however long the grace: with nothing left it is over early.
    async fn end(
        &mut self,
        grace: Duration,
        replies: &mut Vec<oneshot::Sender<Stopped>>,
    ) -> Stopped {
        let mut by = after(grace);
        let killed_before = self.core.killed;
        for id in self.core.with_processes() {
            self.core.end_run(id, Some(Cause::Shutdown));
        }
        // What is about to be confirmed is not to be called failed.
        let carried_by = by.min(Instant::now() + LAST_WAIT);
        self.core.hasten(by);
        if !grace.is_zero() {
            process::signal_all_as_init(Signal::SIGTERM);
        }
        // Without grace what is left is killed by this.
        self.core.look();
        while Instant::now() < by && (self.core.is_ending() || has_adopted()) {
            let mut look =
                if self.core.is_ending() { by } else { by.min(Instant::now() + KILLED_LOOK) };
            if !self.core.carried.is_empty() {
                if Instant::now() >= carried_by {
                    self.core.end_all_carried();
                    continue;
                }
                look = look.min(carried_by);
            }
            match self.turn(look, replies).await {
                Turn::On => {}
                Turn::By(sooner) => {
                    by = by.min(sooner);
                    self.core.hasten(by);
                }
                Turn::Over => break,
            }
        }
        self.core.end_all_carried();
        let adopted = !self.core.is_ending() && has_adopted();
        // What is left of runs counts as killed before the rest is.
        self.core.look();
        process::signal_all_as_init(Signal::SIGKILL);
        self.core.reap();
        self.core.look();
        let last = Instant::now() + LAST_WAIT;
        while Instant::now() < last && (self.core.is_ending() || has_adopted()) {
            let look = last.min(Instant::now() + KILLED_LOOK);
            if let Turn::Over = self.turn(look, replies).await {
                break;
            }
        }
        let killed = self.core.killed - killed_before + usize::from(adopted);
        Stopped { killed, left: self.core.alive() }
    }

    /// Waits for one thing to happen, until `by` at the latest.
    async fn turn(&mut self, by: Instant, replies: &mut Vec<oneshot::Sender<Stopped>>) -> Turn {
        tokio::select! {
            signal = self.children.next() => {
                if signal.is_err() {
                    return Turn::Over;
                }
                self.core.reap();
            }
            Some(report) = self.core.reports.recv() => self.core.begun(report),
            Some(told) = self.core.told_ends.recv() => self.core.told(told),
            Some(deadline) = self.core.deadlines.next() => self.core.expire(deadline),
            Some(order) = self.orders.recv() => match order {
                Order::Fire(fire, _) => self.core.miss_fire(&fire, STOPPED),
                Order::CarryOut(run, _) => self.core.miss(&run, STOPPED),
                Order::Stop(again, reply) => {
                    replies.push(reply);
                    if let Stop::End { grace } = again {
                        return Turn::By(after(grace));
                    }
                }
                order => self.core.obey(order),
            },
            () = sleep_until(by) => {}
        }
        Turn::On
    }

    /// Waits until the end of every run that has ended is on the bus.
    ///
    /// A sink that is stuck does not keep the daemon from ending.
    pub(super) async fn tell_all(&mut self) {
        let by = Instant::now() + LAST_WAIT;
        let untold = |phase: &Phase| matches!(phase, Phase::Ended { told: false, .. });
        // Mails about the last runs are handed over meanwhile.
        while (self.core.count(untold) > 0 || self.core.starts.mails_wait()) && Instant::now() < by
        {
            tokio::select! {
                Some(told) = self.core.told_ends.recv() => self.core.told(told),
                Some(report) = self.core.reports.recv() => self.core.begun(report),
                Ok(_) = self.children.next() => self.core.reap(),
                () = sleep(by - Instant::now()) => {}
            }
        }
    }
}

impl Core {
    /// How many runs are in such a phase.
    fn count(&self, is: impl Fn(&Phase) -> bool) -> usize {
        self.lives.values().filter(|life| is(&life.phase)).count()
    }

    /// How many runs have a process, as far as we know.
    fn alive(&self) -> usize {
        self.count(|phase| matches!(phase, Phase::Starting | Phase::Running(_)))
    }

    /// Whether processes of runs are still to end.
    fn is_ending(&self) -> bool {
        self.alive() > 0
            || self.lives.values().any(|life| life.ending.as_ref().is_some_and(|end| !end.done))
    }

    /// Has all that is to end be killed by then.
    fn hasten(&mut self, by: Instant) {
        for life in self.lives.values_mut() {
            if let Some(ending) = &mut life.ending {
                ending.kill_at = ending.kill_at.min(by);
            }
        }
        self.look_within(by.saturating_duration_since(Instant::now()));
    }
}

/// The end of a grace, however long.
fn after(grace: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(grace).unwrap_or(now + retry::LONGEST)
}

/// Whether, as PID 1, we have children left.
fn has_adopted() -> bool {
    Pid::this().as_raw() == 1 && process::all().iter().any(|member| member.parent.as_raw() == 1)
}
