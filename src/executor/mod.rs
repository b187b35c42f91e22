//! From a fire to an outcome: starts commands, reads what they print, tells how they ended.
//!
//! Receives [`Fire`]s, hands [`Event`]s to the bus. Layer 6. One actor owns every child: it starts them, reaps them and
//! ends them; each run's output is read by a task of its own. It never blocks on a child, and whatever becomes of a
//! run, the daemon lives.

mod account;
pub mod admission;
mod attend;
mod birth;
mod carriage;
pub mod courier;
mod deadline;
mod ending;
mod handle;
pub mod ledger;
mod life;
pub mod mail;
pub mod occasion;
mod oom;
pub mod output;
mod plain;
pub mod retry;
mod setup;
pub mod shell;
mod start;
mod starter;
mod state;
mod stop;
mod survivor;
mod ticket;
mod told;
mod tree;

pub use admission::{Place, Skip};
pub use courier::{Carried, Carrying, Courier, Elsewhere, Lines};
use handle::Order;
pub use handle::{Handle, Restored};
pub use ledger::Ledger;
pub use shell::Host;
use start::{Child, Report, Starts};
pub use state::{Counts, Rest, State, Waits};
pub use stop::{Stop, Stopped};

use std::collections::HashMap;
use std::future::ready;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::crontab::Seeded;
use crate::event::{Bus, Cause, Ended, Event, Fire, Run, RunId, Usage};
use crate::job::{Job, JobTable};
use crate::store::RunRecord;
use crate::unix::{self, Reaper, Signals};
use admission::Admission;
use carriage::Carriage;
use deadline::{Deadlines, Set};
use life::{Finish, Life};
use oom::OomCounter;
use state::LastEnds;
use told::Told;
use tree::Census;

/// How many fires are answered in a row before output is read again.
const BURST: u32 = 4;

/// How many reports are taken in a row.
const TOGETHER: usize = 32;

/// How long it may take until other replicas know of a pause that somebody asked us for.
const SETTLED: Duration = Duration::from_secs(5);

/// For how long what happens is gathered while many starts are still to be made: each event by itself would take a core
/// from them.
const GATHERING: Duration = Duration::from_millis(2);

/// When so many runs were alive at once, what they held is given back to the system once all have ended.
const CROWD: usize = 64;

/// Starts runs and attends them to their end.
#[derive(Debug)]
pub struct Executor {
    core: Core,
    fires: mpsc::UnboundedReceiver<Fire>,
    orders: mpsc::UnboundedReceiver<Order>,
    /// Jobs that will be due in a moment.
    ahead: mpsc::UnboundedReceiver<Arc<Job>>,
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
    /// Which run may start when.
    admission: Admission,
    /// Whether runs may have to wait for others than those of their job.
    limited: bool,
    /// What was admitted and has not ended for good.
    lives: HashMap<RunId, Life, Seeded>,
    /// What its job's jitter puts off.
    put_off: HashMap<RunId, (Arc<Run>, Set), Seeded>,
    /// Until when those that wait may.
    graces: HashMap<RunId, Set, Seeded>,
    deadlines: Deadlines,
    /// When it is looked next for the processes of runs that are to end.
    look: Option<(Set, Instant)>,
    /// Whether it is to be once all that has ended was reaped.
    look_now: bool,
    /// How often that was in vain.
    quiet_looks: u32,
    census: Census,
    /// Of how many runs something had to be killed.
    killed: usize,
    /// The attendants' end of `told_ends`.
    tell: mpsc::UnboundedSender<Told>,
    told_ends: mpsc::UnboundedReceiver<Told>,
    /// Who waits for the end of a run.
    waits: HashMap<RunId, Vec<oneshot::Sender<Ended>>, Seeded>,
    last: LastEnds,
    counts: Counts,
    /// The jobs in force.
    tables: watch::Receiver<Arc<JobTable>>,
    oom: OomCounter,
    /// When that was read last, and what it said.
    oom_read: (Duration, Option<u64>),
    /// Whether nothing is to follow any more.
    stopping: bool,
    /// Who carries out runs without a process here; none: nobody.
    courier: Option<Arc<dyn Courier>>,
    /// Those that are being carried out so.
    carried: HashMap<RunId, Carriage, Seeded>,
    /// Where starts are recorded; none: nowhere.
    ledger: Option<Ledger>,
    /// The runs of an earlier life whose processes live, as they were recorded.
    survivors: HashMap<RunId, RunRecord>,
    /// When somebody last asked us for a pause, or for its end.
    pause_changed: Option<Instant>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("runs", &self.reaper).finish_non_exhaustive()
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
        let (tell, told_ends) = mpsc::unbounded_channel();
        let oom = OomCounter::of_process();
        let (starts, reports) = Starts::new(host, Arc::clone(&clock), bus.clone())?;
        let core = Core {
            starts,
            reports,
            bus,
            reaper: Reaper::default(),
            ids: RunIds::default(),
            admission: Admission::default(),
            limited: false,
            lives: HashMap::default(),
            put_off: HashMap::default(),
            graces: HashMap::default(),
            deadlines: Deadlines::default(),
            look: None,
            look_now: false,
            quiet_looks: 0,
            census: Census::default(),
            killed: 0,
            tell,
            told_ends,
            waits: HashMap::default(),
            last: LastEnds::default(),
            counts: Counts::default(),
            tables: watch::channel(Arc::default()).1,
            oom_read: (clock.monotonic(), oom.read()),
            oom,
            stopping: false,
            courier: None,
            carried: HashMap::default(),
            ledger: None,
            survivors: HashMap::new(),
            pause_changed: None,
            clock,
        };
        let children = Signals::of_children()?;
        let ahead = mpsc::unbounded_channel().1;
        Ok((Executor { core, fires, orders, ahead, children }, Handle(handle)))
    }

    /// At most this many runs have a process at once (`--max-jobs`); further ones wait in order, within their grace.
    #[must_use]
    pub fn with_limit(mut self, limit: Option<u32>) -> Self {
        let limit = limit.map(|limit| limit as usize);
        self.core.admission = Admission::new(limit);
        self.core.limited = limit.is_some();
        self
    }

    /// The jobs in force: among them those that wait for the end of another (`@after`) are looked for.
    #[must_use]
    pub fn with_tables(mut self, tables: watch::Receiver<Arc<JobTable>>) -> Self {
        self.core.tables = tables;
        self
    }

    /// Jobs that will be due in a moment, one of each instant: whatever their start needs is made ready.
    #[must_use]
    pub fn with_announcements(mut self, ahead: mpsc::UnboundedReceiver<Arc<Job>>) -> Self {
        self.ahead = ahead;
        self
    }

    /// Every start is recorded there before it is made.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.core.ledger = Some(ledger);
        self
    }

    /// Runs that it takes are carried out by it, without a process here.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.core.courier = Some(courier);
        self
    }

    /// Answers fires until it is told to stop, or until nobody is left who could tell it anything and every run has ended.
    pub async fn run(mut self) {
        let (mut fires_open, mut orders_open) = (true, true);
        let mut in_a_row = 0;
        // The most runs alive at once since memory was last given back.
        let mut crowd = 0;
        // Whether the heap is kept, since there are so many.
        let mut keeps = false;
        let mut alive = 0;
        while fires_open || orders_open || self.core.is_engaged() {
            tokio::select! {
                // What has ended counts as such before anything new is judged.
                biased;
                signal = self.children.next() => {
                    if signal.is_err() {
                        return;
                    }
                    self.core.reap();
                }
                Some(report) = self.core.reports.recv() => self.core.begun_all(report).await,
                Some(told) = self.core.told_ends.recv() => self.core.told(told),
                Some(deadline) = self.core.deadlines.next() => self.core.expire(deadline),
                fire = self.fires.recv(), if fires_open => match fire {
                    Some(fire) => {
                        // Whoever asks to stop asks before this fire is answered, however long the queue.
                        match self.orders.try_recv() {
                            Ok(Order::Stop(stop, reply)) => {
                                if !self.core.leaves_to_others(&fire) {
                                    self.core.miss_fire(&fire, stop::STOPPED);
                                }
                                return self.stop(stop, reply).await;
                            }
                            Ok(order) => self.core.obey(order),
                            Err(_) => {}
                        }
                        // Why it is skipped was told.
                        let _ = self.core.arrive(fire);
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
                Some(job) = self.ahead.recv() => {
                    self.core.warm();
                    // Nothing is looked up for what needs no process.
                    if !self.core.is_carried(&job) {
                        self.core.starts.starter().rehearse(job);
                    }
                }
                // Nothing is to be done at the moment.
                () = ready(()), if alive >= CROWD && self.core.starts.starter().has_many() => {
                    self.core.starts.starter().wait_for_few(GATHERING);
                    // What has happened meanwhile is seen by the runtime.
                    tokio::task::yield_now().await;
                }
            }
            self.core.pump();
            self.core.record(!self.fires.is_empty());
            alive = self.core.reaper.children().len() + self.core.starts.len();
            let now = alive + self.core.carried.len();
            crowd = crowd.max(now);
            if !keeps && now >= CROWD {
                keeps = true;
                unix::memory::keep_heap();
            } else if keeps && now < CROWD / 2 {
                keeps = false;
                unix::memory::return_large_blocks();
            }
            if crowd >= CROWD && !self.core.is_engaged() {
                crowd = 0;
                unix::memory::release();
            }
        }
        self.tell_all().await;
    }
}

impl Core {
    /// Whether anything is alive, is to be, or is to be told.
    fn is_engaged(&self) -> bool {
        self.is_busy()
            || !self.lives.is_empty()
            || !self.put_off.is_empty()
            || !self.admission.is_idle()
    }

    /// Takes the end of every run whose main process has ended.
    fn reap(&mut self) {
        while let Some((ended, open)) = self.next_ended() {
            let duration = self.clock.monotonic().saturating_sub(open.since);
            let used = (duration, usage(ended.usage));
            let how = Finish::Exited(ended.status);
            self.finish(open.started.run, how, used, Some(open.ended));
        }
        if std::mem::take(&mut self.look_now) {
            self.look();
        }
    }

    /// Takes a report, and those that wait behind it, but not so many that others wait for long.
    pub(super) async fn begun_all(&mut self, first: Report) {
        let mut next = Some(first);
        for _ in 0..TOGETHER {
            let Some(report) = next else { return };
            self.begun(report);
            next = self.reports.try_recv().ok();
        }
        if let Some(report) = next {
            self.begun(report);
            // They cost the executor's task no budget of its own.
            tokio::task::yield_now().await;
        }
    }

    /// Carries an order out, but for the one to stop.
    fn obey(&mut self, order: Order) {
        // Whoever has lost interest need not be told.
        match order {
            Order::State(reply) => {
                let _ = reply.send(self.state());
            }
            Order::LastEnds(reply) => {
                let _ = reply.send(self.last.all());
            }
            Order::Fire(fire, reply) => {
                let _ = reply.send(self.arrive(fire));
            }
            Order::CarryOut(run, reply) => {
                let _ = reply.send(self.admit(&run));
            }
            Order::Wait(run, reply) => self.wait(run, reply),
            Order::End(run, reply) => {
                let _ = reply.send(self.end_run(run, Some(Cause::Stopped)) || self.call_off(run));
            }
            Order::Pause(job, reply) => {
                self.pause_changed = Some(Instant::now());
                let new = self.admission.pause(job.key);
                if new {
                    self.bus.publish(Event::JobPaused(job));
                }
                let _ = reply.send(new);
            }
            Order::Resume(job, reply) => {
                self.pause_changed = Some(Instant::now());
                let was = self.admission.resume(job.key);
                if was {
                    self.bus.publish(Event::JobResumed(job));
                }
                let _ = reply.send(was);
            }
            Order::Restore(Restored { open, paused, zone }, reply) => {
                self.admission.restore_pauses(paused);
                self.take_open(open, &zone);
                let _ = reply.send(());
            }
            Order::Adopt(runs, zone) => self.take_open(runs, &zone),
            Order::Pauses(jobs) => {
                let is_settled = self.pause_changed.is_none_or(|at| at.elapsed() >= SETTLED);
                if is_settled {
                    self.admission.set_pauses(jobs);
                }
            }
            Order::RecordAlive => self.record_alive(),
            Order::Stop(..) => {}
        }
    }
}

fn usage(used: unix::Usage) -> Usage {
    Usage { user: used.user, system: used.system, max_rss_kib: used.max_rss_kib }
}

/// Makes run ids: random ones, each greater than the one before as long as the clock does not go back.
#[derive(Debug, Default)]
struct RunIds {
    keys: RandomState,
    /// The millisecond of the last one, and its random bits.
    last: Option<(i64, u128)>,
}

impl RunIds {
    fn next(&mut self, at: Timestamp) -> RunId {
        let now = at.as_millisecond();
        let half = |which: u8| u128::from(self.keys.hash_one((now, which)));
        let random = match self.last {
            // Of one instant: the next number, as ULIDs are counted up.
            Some((last, random)) if last == now => random.wrapping_add(1),
            // Not the largest, so that there is always a next one.
            _ => (half(0) << 64 | half(1)) & (u128::MAX >> 49),
        };
        self.last = Some((now, random));
        RunId::new(at, random)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn run_ids_of_one_instant_differ_and_keep_their_order() {
        let mut ids = RunIds::default();
        let made: Vec<_> = (0..10_000).map(|_| ids.next(Timestamp::UNIX_EPOCH)).collect();
        assert!(made.is_sorted());
        let distinct: HashSet<_> = made.into_iter().collect();
        assert_eq!(distinct.len(), 10_000);
        assert!(!distinct.contains(&RunIds::default().next(Timestamp::UNIX_EPOCH)));
    }
}
