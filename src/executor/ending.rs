//! Ending a run's processes: TERM to all of them, KILL to what is left after `kill-after`.

use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Deadline;
use super::life::{Life, Phase};
use super::tree::Tree;
use super::{Core, retry};
use crate::event::{Cause, Event, RunId, Started};
use crate::unix::{Pid, Signal};

/// How soon it is looked again for what is left of a run whose main process has ended: nothing tells of that. Doubled each
/// time.
const FIRST_LOOK: Duration = Duration::from_millis(10);

/// The longest time between two looks.
const LONGEST_LOOK: Duration = Duration::from_millis(320);

/// How soon it is looked again for what was killed.
pub(super) const KILLED_LOOK: Duration = Duration::from_millis(20);

/// How often what is left gets KILL before it is given up: a process may hang in the kernel.
const KILLS: u32 = 50;

/// That a run's processes are to end.
#[derive(Debug)]
pub(super) struct Ending {
    /// Whether it took too long.
    pub timed_out: bool,
    /// Whatever else it is ended for.
    pub cause: Option<Cause>,
    /// Its processes, once it has any.
    pub tree: Option<Tree>,
    /// When what is left gets KILL.
    pub kill_at: Instant,
    /// Whether they were told to end.
    pub termed: bool,
    /// How often what was left got KILL.
    pub kills: u32,
    /// Whether it is over: nothing is left, or nothing helps.
    pub done: bool,
}

impl Core {
    /// Has a run's processes end, as its time-out does (no `cause`) or for this cause; false if it has none.
    ///
    /// One that is carried out without a process here ends at once, whatever its `kill-after`.
    /// One that waits for its next attempt, or whose leftovers are being ended before that, gets none.
    pub(super) fn end_run(&mut self, id: RunId, cause: Option<Cause>) -> bool {
        let Some(life) = self.lives.get_mut(&id) else { return false };
        let kill_after = life.run.fire.job.policy().kill_after;
        let kill_at = Instant::now().checked_add(kill_after);
        let pid = match &life.phase {
            Phase::Starting => None,
            Phase::Running(Started { pid: Some(pid), .. }) => Some(Pid::from_raw(*pid)),
            Phase::Running(_) => return self.end_carried(id, cause),
            Phase::Ended { end, .. } => {
                // What is left of it ends as it would have.
                let goes_on = end.retry.is_some() && life.called_off.is_none();
                if goes_on {
                    life.called_off = Some(cause.unwrap_or(Cause::Stopped));
                }
                return goes_on;
            }
            Phase::Resting { .. } => {
                self.abandon(id, cause.unwrap_or(Cause::Stopped));
                return true;
            }
        };
        if let Some(set) = life.timer.take() {
            self.deadlines.cancel(set);
        }
        let ending = life.ending.get_or_insert_with(|| Ending {
            timed_out: false,
            cause: None,
            tree: pid.map(|pid| Tree::new(id, pid)),
            kill_at: kill_at.unwrap_or_else(|| Instant::now() + retry::LONGEST),
            termed: false,
            kills: 0,
            done: false,
        });
        match cause {
            Some(cause) => ending.cause = Some(cause),
            None => ending.timed_out = true,
        }
        if pid.is_none() {
            self.end_start(id, Signal::SIGTERM);
        }
        self.look_within(Duration::ZERO);
        true
    }

    /// Looks for all that is to end, and signals what has to be.
    pub(super) fn look(&mut self) {
        let endings = self.lives.values_mut().filter_map(|life| life.ending.as_mut());
        self.census
            .look(endings.filter(|ending| !ending.done).filter_map(|ending| ending.tree.as_mut()));
        let now = Instant::now();
        let (mut over, mut stuck, mut next) = (Vec::new(), Vec::new(), None::<Duration>);
        let (quiet_looks, lives) = (&mut self.quiet_looks, &mut self.lives);
        for (&id, life) in lives {
            let Some(ending) = life.ending.as_mut().filter(|ending| !ending.done) else { continue };
            let Some(tree) = &ending.tree else {
                // It hangs at its start.
                let left = ending.kill_at.saturating_duration_since(now);
                let soon = if left.is_zero() { LONGEST_LOOK } else { left };
                if left.is_zero() {
                    stuck.push(id);
                }
                next = Some(next.map_or(soon, |next| next.min(soon)));
                continue;
            };
            if tree.is_gone() {
                ending.done = true;
                over.push(id);
                continue;
            }
            let soon = if now >= ending.kill_at {
                if ending.kills == KILLS {
                    ending.done = true;
                    over.push(id);
                    self.bus.publish(give_up(life));
                    continue;
                }
                self.killed += usize::from(ending.kills == 0);
                ending.kills += 1;
                tree.signal(Signal::SIGKILL);
                KILLED_LOOK
            } else {
                if !ending.termed {
                    ending.termed = true;
                    tree.signal(Signal::SIGTERM);
                    // A stopped process sees the TERM only once it goes on.
                    tree.signal(Signal::SIGCONT);
                }
                let until_kill = ending.kill_at - now;
                // The end of a main process is told to us.
                if matches!(life.phase, Phase::Running(_)) {
                    until_kill
                } else {
                    let looks = 2_u32.saturating_pow(*quiet_looks);
                    (FIRST_LOOK * looks.min(64)).min(LONGEST_LOOK).min(until_kill)
                }
            };
            next = Some(next.map_or(soon, |next| next.min(soon)));
        }
        *quiet_looks = if over.is_empty() { quiet_looks.saturating_add(1).min(8) } else { 0 };
        for id in stuck {
            let is_killed = self.end_start(id, Signal::SIGKILL);
            // Its start is told to us later than it may be killed.
            if let Some(ending) = self.lives.get_mut(&id).and_then(|life| life.ending.as_mut()) {
                self.killed += usize::from(is_killed && ending.kills == 0);
                ending.kills += u32::from(is_killed && ending.kills == 0);
            }
        }
        for id in over {
            self.settle(id);
        }
        match next {
            Some(next) => self.look_within(next),
            None => self.census.forget(),
        }
    }

    /// Has [`look`](Core::look) happen no later than this.
    pub(super) fn look_within(&mut self, delay: Duration) {
        let at = Instant::now().checked_add(delay);
        if let (Some((_, set_at)), Some(at)) = (&self.look, at)
            && *set_at <= at
        {
            return;
        }
        if let Some((set, _)) = self.look.take() {
            self.deadlines.cancel(set);
        }
        if delay.is_zero() {
            self.quiet_looks = 0;
        }
        let set = self.deadlines.set(Deadline::Look, delay);
        self.look = at.map(|at| (set, at));
    }
}

/// The event that tells of processes that nothing ends.
fn give_up(life: &Life) -> Event {
    let job = &life.run.fire.job;
    let left = life.ending.as_ref().and_then(|ending| ending.tree.as_ref()).map_or(0, Tree::len);
    let text =
        format!("{left} processes of run {} of {} cannot be killed", life.run.id, job.label());
    Event::Notice { file: Some(job.file().clone()), text, warning: true }
}
