//! Ending what still runs: TERM, a grace, KILL.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::unistd::Pid;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Core, Executor, Order};
use crate::unix::{Signal, process};

/// How often it is looked for what is left of a session whose main process has ended: nothing tells of that.
const LOOK: Duration = Duration::from_millis(20);

/// How long killed processes may take to disappear, and the last lines to be told.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// What becomes of the runs when the executor stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// TERM to every process of every run, and KILL to what is left after the grace.
    End {
        /// Zero kills at once.
        grace: Duration,
    },
    /// They live on; what they print has no reader any more.
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

impl Executor {
    pub(super) async fn stop(mut self, stop: Stop, reply: oneshot::Sender<Stopped>) {
        let mut replies = vec![reply];
        self.core.reap();
        self.miss_all();
        let stopped = match stop {
            Stop::Leave => Stopped { killed: 0, left: self.core.reaper.children().len() },
            Stop::End { grace } => self.end(grace, &mut replies).await,
        };
        self.miss_all();
        self.core.tell_all().await;
        for reply in replies {
            // Whoever has lost interest need not be told.
            let _ = reply.send(stopped);
        }
    }

    /// Tells of the fires that are not answered any more.
    fn miss_all(&mut self) {
        while let Ok(fire) = self.fires.try_recv() {
            self.core.miss(fire);
        }
    }

    /// Ends the runs' sessions, however long the grace: one that has nothing left ends it early.
    async fn end(
        &mut self,
        grace: Duration,
        replies: &mut Vec<oneshot::Sender<Stopped>>,
    ) -> Stopped {
        let sessions: BTreeSet<Pid> = self.core.reaper.children().map(|(pid, _)| pid).collect();
        if !grace.is_zero() {
            self.core.signal(&sessions, Signal::SIGTERM);
            // A stopped process sees the TERM only once it goes on.
            self.core.signal(&sessions, Signal::SIGCONT);
        }
        let mut deadline = Instant::now() + grace;
        while self.core.any_living(&sessions) && Instant::now() < deadline {
            let look = if self.core.reaper.children().len() == 0 { LOOK } else { grace };
            tokio::select! {
                signal = self.children.next() => {
                    if signal.is_err() {
                        break;
                    }
                    self.core.reap();
                }
                Some(report) = self.core.reports.recv() => self.core.begun(report),
                Some(order) = self.orders.recv() => match order {
                    Order::Fire(fire, _) => self.core.miss(fire),
                    Order::Stop(again, reply) => {
                        replies.push(reply);
                        if let Stop::End { grace } = again {
                            deadline = deadline.min(Instant::now() + grace);
                        }
                    }
                    order => self.core.obey(order),
                },
                () = sleep(look) => {}
                () = sleep_until(deadline) => {}
            }
        }
        let stubborn = self.core.living(&sessions);
        let deadline = Instant::now() + LAST_WAIT;
        while self.core.any_living(&sessions) && Instant::now() < deadline {
            self.core.signal(&sessions, Signal::SIGKILL);
            tokio::select! {
                _ = self.children.next() => {}
                () = sleep(LOOK) => {}
            }
            self.core.reap();
        }
        Stopped { killed: stubborn.len(), left: self.core.living(&sessions).len() }
    }
}

impl Core {
    /// Which of these runs' sessions still have a process.
    fn living(&self, sessions: &BTreeSet<Pid>) -> BTreeSet<Pid> {
        let mut living: BTreeSet<Pid> = self.reaper.children().map(|(pid, _)| pid).collect();
        living.extend(process::members(sessions).iter().map(|member| member.session));
        living
    }

    /// Whether any of them has; cheap as long as a main process lives.
    fn any_living(&self, sessions: &BTreeSet<Pid>) -> bool {
        self.reaper.children().len() > 0
            || !sessions.is_empty() && !process::members(sessions).is_empty()
    }

    /// Signals every process of these sessions, each once: a group at a time, so that none escapes by forking.
    fn signal(&self, sessions: &BTreeSet<Pid>, signal: Signal) {
        // Without /proc there are no members, but the main processes still lead their groups.
        let mut groups: BTreeSet<Pid> = self.reaper.children().map(|(pid, _)| pid).collect();
        groups.extend(process::members(sessions).iter().map(|member| member.group));
        for group in groups {
            process::signal_group(group, signal);
        }
    }

    /// Waits until the end of every run that has ended is on the bus.
    pub(super) async fn tell_all(mut self) {
        drop(self.untold);
        // Runs that are left alive learn from this that nobody waits for them.
        drop(self.reaper);
        // A sink that is stuck must not keep the daemon from ending.
        let _ = timeout(LAST_WAIT, self.all_told.recv()).await;
    }
}
