//! From a fire to an outcome: starts commands, reads what they print, tells how they ended.
//!
//! Receives [`Fire`]s, hands [`Event`]s to the bus. Layer 6. One actor owns every child: it starts them, reaps them and
//! ends them; each run's output is read by a task of its own. It never blocks on a child, and whatever becomes of a
//! run, the daemon lives.

mod account;
mod attend;
pub mod mail;
pub mod output;
mod plain;
pub mod shell;
mod start;
mod starter;
mod stop;

pub use shell::Host;
use start::{Child, Report, Starts};
pub use stop::{Stop, Stopped};

use std::collections::HashSet;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::event::{Bus, Ended, Event, Fire, Outcome, RunId, Started, Usage};
use crate::job::{Job, JobKey};
use crate::unix::{self, Reaper, Signal, Signals, Status};

/// How many fires are answered in a row before output is read again.
const BURST: u32 = 4;

/// Starts runs and attends them to their end.
#[derive(Debug)]
pub struct Executor {
    core: Core,
    fires: mpsc::UnboundedReceiver<Fire>,
    orders: mpsc::UnboundedReceiver<Order>,
    children: Signals,
}

/// What starting, reaping and stopping share.
struct Core {
    clock: Arc<dyn Clock>,
    bus: Bus,
    reaper: Reaper<Child>,
    starts: Starts,
    /// What became of the starts; given to [`Core::begun`] one by one.
    reports: mpsc::UnboundedReceiver<Report>,
    ids: RunIds,
    paused: HashSet<JobKey>,
    untold: mpsc::Sender<Infallible>,
    all_told: mpsc::Receiver<Infallible>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("runs", &self.reaper)
            .finish_non_exhaustive()
    }
}

/// What the executor can be asked for.
#[derive(Debug)]
enum Order {
    State(oneshot::Sender<State>),
    Fire(Fire, oneshot::Sender<RunId>),
    End(RunId, oneshot::Sender<bool>),
    Pause(Arc<Job>, oneshot::Sender<bool>),
    Resume(Arc<Job>, oneshot::Sender<bool>),
    Stop(Stop, oneshot::Sender<Stopped>),
}

/// What the executor is at.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The runs whose main process lives, in the order of their start.
    pub running: Vec<Started>,
    /// Processes reaped that the executor had not started: orphans that we adopted.
    pub orphans: u64,
    /// The jobs that are paused.
    pub paused: Vec<JobKey>,
}

/// Talks to an [`Executor`] that runs.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::UnboundedSender<Order>);

impl Handle {
    /// What the executor is at; nothing once it has stopped.
    pub async fn state(&self) -> State {
        self.ask(Order::State).await.unwrap_or_default()
    }

    /// Runs a job now, whatever its schedule says; its id, or nothing once the executor has stopped.
    pub async fn fire(&self, fire: Fire) -> Option<RunId> {
        self.ask(|reply| Order::Fire(fire, reply)).await
    }

    /// Ends a run, as its time-out would; false if there is no such run.
    pub async fn end(&self, run: RunId) -> bool {
        self.ask(|reply| Order::End(run, reply)).await.unwrap_or_default()
    }

    /// Skips every fire of the job from now on, until it is resumed; false if it was paused already.
    pub async fn pause(&self, job: Arc<Job>) -> bool {
        self.ask(|reply| Order::Pause(job, reply)).await.unwrap_or_default()
    }

    /// Ends a pause; false if there was none.
    pub async fn resume(&self, job: Arc<Job>) -> bool {
        self.ask(|reply| Order::Resume(job, reply)).await.unwrap_or_default()
    }

    /// Stops the executor: no fire is answered from now on, and the runs are treated as `stop` says. Returns when that is
    /// done and every end was told. Asked again meanwhile, the shorter grace counts.
    pub async fn stop(&self, stop: Stop) -> Stopped {
        self.ask(|reply| Order::Stop(stop, reply)).await.unwrap_or_default()
    }

    async fn ask<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(order(reply)).ok()?;
        answer.await.ok()
    }
}

impl Executor {
    /// An executor that answers `fires` once it [`run`](Executor::run)s. Needs to be called inside a tokio runtime that
    /// has I/O and time enabled.
    ///
    /// It waits for every child of this process: there can be only one, and nothing beside it may start children.
    ///
    /// # Errors
    /// SIGCHLD or `/dev/null` cannot be had.
    pub fn new(
        host: Host,
        clock: Arc<dyn Clock>,
        bus: Bus,
        fires: mpsc::UnboundedReceiver<Fire>,
    ) -> io::Result<(Self, Handle)> {
        let (handle, orders) = mpsc::unbounded_channel();
        let (untold, all_told) = mpsc::channel(1);
        let (starts, reports) = Starts::new(host, Arc::clone(&clock), bus.clone())?;
        let core = Core {
            starts,
            reports,
            clock,
            bus,
            reaper: Reaper::default(),
            ids: RunIds::default(),
            paused: HashSet::new(),
            untold,
            all_told,
        };
        let children = Signals::of_children()?;
        Ok((Executor { core, fires, orders, children }, Handle(handle)))
    }

    /// Answers fires until it is told to stop, or until nobody is left who could tell it anything and every run has ended.
    pub async fn run(mut self) {
        let (mut fires_open, mut orders_open) = (true, true);
        let mut in_a_row = 0;
        while fires_open || orders_open || self.core.is_busy() {
            tokio::select! {
                signal = self.children.next() => {
                    if signal.is_err() {
                        return;
                    }
                    self.core.reap();
                }
                Some(report) = self.core.reports.recv() => self.core.begun(report),
                fire = self.fires.recv(), if fires_open => match fire {
                    Some(fire) => {
                        // Whoever asks to stop asks before this fire is answered, however long the queue.
                        match self.orders.try_recv() {
                            Ok(Order::Stop(stop, reply)) => {
                                self.core.miss(fire);
                                return self.stop(stop, reply).await;
                            }
                            Ok(order) => self.core.obey(order),
                            Err(_) => {}
                        }
                        self.core.start(fire);
                        in_a_row += 1;
                        if in_a_row % BURST == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                    None => fires_open = false,
                },
                order = self.orders.recv(), if orders_open => match order {
                    Some(Order::Stop(stop, reply)) => return self.stop(stop, reply).await,
                    Some(order) => self.core.obey(order),
                    None => orders_open = false,
                },
            }
        }
        self.core.tell_all().await;
    }
}

impl Core {
    /// Tells the end of every run whose main process has ended.
    fn reap(&mut self) {
        while let Some((ended, open)) = self.next_ended() {
            let run = open.started.run;
            let successes = &run.fire.job.policy().success_codes;
            let end = Ended {
                outcome: match ended.status {
                    Status::Exited(exit) if successes.contains(&exit) => {
                        Outcome::Succeeded { exit }
                    }
                    Status::Exited(exit) => Outcome::Failed { exit },
                    Status::Signalled(signal) => Outcome::Killed { signal },
                },
                cause: None,
                retry: None,
                run,
                at: self.clock.now(),
                duration: self.clock.monotonic().saturating_sub(open.since),
                usage: usage(ended.usage),
            };
            // The run's own task tells it, after the output that came before it.
            if let Err(end) = open.ended.send(end) {
                self.bus.publish(Event::RunEnded(end));
            }
        }
    }

    /// Carries an order out, but for the one to stop.
    fn obey(&mut self, order: Order) {
        // Whoever has lost interest need not be told.
        match order {
            Order::State(reply) => self.answer(reply),
            Order::Fire(fire, reply) => {
                let _ = reply.send(self.start(fire));
            }
            Order::End(run, reply) => {
                let found = self.runs().find(|(_, open)| open.started.run.id == run);
                let done =
                    found.is_some_and(|(pid, _)| unix::process::signal_group(pid, Signal::SIGTERM));
                let _ = reply.send(done);
            }
            Order::Pause(job, reply) => {
                let new = self.paused.insert(job.key);
                if new {
                    self.bus.publish(Event::JobPaused(job));
                }
                let _ = reply.send(new);
            }
            Order::Resume(job, reply) => {
                let was = self.paused.remove(&job.key);
                if was {
                    self.bus.publish(Event::JobResumed(job));
                }
                let _ = reply.send(was);
            }
            Order::Stop(..) => {}
        }
    }

    /// Tells of a fire that is not answered any more.
    fn miss(&self, Fire { job, due, .. }: Fire) {
        let reason = "the daemon was stopped".into();
        self.bus.publish(Event::RunMissed { job, first: due, last: due, count: 1, reason });
    }

    fn answer(&self, reply: oneshot::Sender<State>) {
        let mut running: Vec<_> = self.runs().map(|(_, open)| open.started.clone()).collect();
        running.sort_unstable_by_key(|started| started.run.id);
        // Whoever has lost interest need not be told.
        let _ = reply.send(State {
            running,
            orphans: self.reaper.orphans(),
            paused: self.paused.iter().copied().collect(),
        });
    }
}

fn usage(used: unix::Usage) -> Usage {
    Usage { user: used.user, system: used.system, max_rss_kib: used.max_rss_kib }
}

/// Makes run ids: random keys from the system, hashed with a count.
#[derive(Debug, Default)]
struct RunIds {
    keys: RandomState,
    made: u64,
}

impl RunIds {
    fn next(&mut self, at: Timestamp) -> RunId {
        self.made += 1;
        let half = |which: u8| u128::from(self.keys.hash_one((self.made, which)));
        RunId::new(at, half(0) << 64 | half(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_of_one_instant_differ() {
        let mut ids = RunIds::default();
        let made: HashSet<_> = (0..10_000).map(|_| ids.next(Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(made.len(), 10_000);
        assert!(!made.contains(&RunIds::default().next(Timestamp::UNIX_EPOCH)));
    }
}
