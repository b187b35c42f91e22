//! What happened: fires, runs, outcomes, and the bus that carries them to the sinks.
//!
//! The scheduler hands [`Fire`]s to the executor; both publish [`Event`]s on the [`Bus`]. Layer 4. Nothing here decides
//! anything: rooms above publish, sinks read.

pub mod bus;
pub mod fire;
pub mod message;
pub mod outcome;
pub mod run;

pub use bus::{Bounded, Bus, Permit};
pub use fire::{Fire, MAX_INSTANCES, Settlement, Trigger};
pub use message::Sent;
pub use outcome::{Cause, Outcome};
pub use run::{BadRunId, Ended, Line, Run, RunId, Started, Stream, Usage};

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::crontab::Fault;
use crate::job::{Job, JobKey};
use crate::schedule::Due;

/// Something that happened, as sinks see it.
///
/// Names of the kinds are stable: see [`Event::name`].
#[derive(Debug)]
pub enum Event {
    /// The daemon runs; nothing is loaded yet.
    Started {
        /// The program's version.
        version: &'static str,
        /// The default zone.
        zone: String,
    },
    /// A set of crontabs came into force.
    Loaded(Loaded),
    /// A crontab was refused as a whole; what was in force stays in force.
    Rejected {
        /// The crontab's path.
        file: Arc<str>,
        /// Why, in words.
        reason: String,
    },
    /// A mistake in a crontab that was read.
    Fault {
        /// The crontab's path.
        file: Arc<str>,
        /// The mistake.
        fault: Fault,
    },
    /// Something about watching a crontab that its owner should know.
    Notice {
        /// The crontab's path, where it is about one.
        file: Option<Arc<str>>,
        /// In words.
        text: String,
        /// Whether it needs somebody's attention.
        warning: bool,
    },
    /// These jobs are new. Together, since a load may bring 100 000.
    JobAdded(Vec<Arc<Job>>),
    /// These jobs' settings, options, zone or schedule changed.
    JobChanged(Vec<Arc<Job>>),
    /// These jobs are gone.
    JobRemoved(Vec<Arc<Job>>),
    /// A job is in the table but cannot run here.
    JobRefused {
        /// The job.
        job: Arc<Job>,
        /// Why, in words.
        reason: String,
    },
    /// A run was started.
    RunStarted(Started),
    /// A run printed a line.
    RunOutput(Line),
    /// A run ended, or could not start.
    RunEnded(Ended),
    /// It was learned later how a run has ended whose end was told before: what is kept of it is put right.
    RunAmended(Ended),
    /// Instants at which a job was due and did not start.
    RunMissed {
        /// The job.
        job: Arc<Job>,
        /// The first such instant.
        first: Due,
        /// The last one.
        last: Due,
        /// How many.
        count: u64,
        /// Why, in words.
        reason: String,
        /// The clock's generation ([`Fire::generation`]).
        generation: u64,
        /// Why the job was due.
        trigger: Trigger,
        /// The run that there would have been, where one arrived; of a range there is none.
        run: Option<RunId>,
    },
    /// Instants at which a job was due and that we chose not to start.
    RunSkipped {
        /// The job.
        job: Arc<Job>,
        /// The first such instant.
        first: Due,
        /// The last one.
        last: Due,
        /// How many.
        count: u64,
        /// Why, in words.
        reason: String,
        /// The clock's generation ([`Fire::generation`]).
        generation: u64,
        /// Why the job was due.
        trigger: Trigger,
        /// The run that there would have been, where one arrived; of a range there is none.
        run: Option<RunId>,
    },
    /// Somebody asked that a job does not start until it is resumed.
    JobPaused(Arc<Job>),
    /// A job that was paused starts again.
    JobResumed(Arc<Job>),
    /// Nobody saw the end of a run of an earlier life of this daemon, or of another replica.
    RunLost {
        /// The job's key.
        key: JobKey,
        /// What people call the job.
        name: String,
        /// The run.
        run: RunId,
        /// For which due.
        due: Due,
        /// Why, in words.
        reason: String,
    },
    /// The store does not answer, or refuses what it is asked for.
    StoreDown {
        /// Which, without secrets.
        store: String,
        /// Why, in words.
        reason: String,
    },
    /// The store answers again.
    StoreUp {
        /// Which, without secrets.
        store: String,
    },
    /// The broker has a message, and a queue took it.
    MessageConfirmed(Sent),
    /// A message was sent and not confirmed; it may have arrived.
    MessageFailed {
        /// The message.
        sent: Sent,
        /// Why, in words.
        reason: String,
        /// How soon it is sent again; none: not before something else happens.
        again: Option<Duration>,
    },
    /// A message is not sent any more, and nobody has confirmed it.
    MessageDropped {
        /// The message.
        sent: Sent,
        /// Why, in words.
        reason: String,
    },
    /// There is no connection to the broker.
    BrokerDown {
        /// Which, without secrets.
        broker: String,
        /// Why, in words.
        reason: String,
    },
    /// The broker takes nothing: its memory or its disk is full.
    BrokerBlocked {
        /// Which, without secrets.
        broker: String,
        /// What it says.
        reason: String,
    },
    /// The broker takes messages again.
    BrokerUp {
        /// Which, without secrets.
        broker: String,
    },
    /// A worker takes orders from a queue.
    WorkerStarted {
        /// The program's version.
        version: &'static str,
        /// The queue.
        queue: String,
        /// The worker's name.
        worker: String,
        /// Whether orders must be signed.
        signed: bool,
    },
    /// A message from the queue was not carried out.
    OrderRefused {
        /// The message's id, as it says itself.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// An order was given back to its queue, or to its sender, without having been started.
    OrderReturned {
        /// The order's id.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// What came of an order could not be told to whoever sent it.
    ReportLost {
        /// The order's id.
        id: String,
        /// Why, in words.
        reason: String,
    },
    /// A worker takes no more orders.
    WorkerStopping {
        /// Runs still alive.
        running: usize,
    },
    /// A worker has ended its work.
    WorkerStopped {
        /// How many orders it carried out.
        done: u64,
        /// How many messages it refused.
        refused: u64,
        /// Runs that had to be killed.
        killed: usize,
    },
    /// What is due is held from now on, and not started.
    SchedulerPaused {
        /// Why, in words.
        reason: String,
    },
    /// What is due is started again.
    SchedulerResumed,
    /// The wall clock was set.
    ClockStepped {
        /// How far; negative: back.
        by: SignedDuration,
    },
    /// The scheduler panicked and was started again from the jobs in force.
    SchedulerRestarted {
        /// What it said.
        panic: String,
    },
    /// A signal arrived.
    Signal {
        /// `SIGTERM`
        name: &'static str,
        /// What is done about it.
        action: &'static str,
    },
    /// Events that a sink was not told of, since it did not fetch what waited for it.
    LeftOut {
        /// How many.
        count: u64,
        /// How many of them somebody should have looked at.
        warnings: u64,
    },
    /// The daemon's state, as SIGUSR1 asks for it: one line each.
    Dump(Vec<String>),
    /// The daemon ends.
    Stopping {
        /// Runs still alive.
        running: usize,
    },
    /// The daemon has ended its work.
    Stopped {
        /// Runs that had to be killed.
        killed: usize,
        /// Runs left alive.
        left: usize,
    },
}

/// What a load of crontabs came to.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The crontabs read.
    pub files: Vec<Arc<str>>,
    /// Jobs in force.
    pub jobs: usize,
    /// Jobs of the crontabs that cannot run here.
    pub refused: usize,
    /// How many of them are new.
    pub added: usize,
    /// Same key, something else changed.
    pub changed: usize,
    /// Gone.
    pub removed: usize,
    /// As before.
    pub unchanged: usize,
    /// Errors in the text.
    pub errors: usize,
    /// Warnings in the text.
    pub warnings: usize,
    /// When it came into force.
    pub at: Timestamp,
}

impl Event {
    /// The event's stable name, as in the log's `event` field.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Event::Started { .. } => "daemon.started",
            Event::Loaded(_) => "crontab.loaded",
            Event::Rejected { .. } => "crontab.rejected",
            Event::Fault { .. } => "crontab.fault",
            Event::Notice { .. } => "crontab.notice",
            Event::JobAdded(_) => "job.added",
            Event::JobChanged(_) => "job.changed",
            Event::JobRemoved(_) => "job.removed",
            Event::JobRefused { .. } => "job.refused",
            Event::RunStarted(_) => "run.started",
            Event::RunOutput(_) => "run.output",
            Event::RunEnded(_) => "run.ended",
            Event::RunAmended(_) => "run.amended",
            Event::RunMissed { .. } => "run.missed",
            Event::RunSkipped { .. } => "run.skipped",
            Event::JobPaused(_) => "job.paused",
            Event::JobResumed(_) => "job.resumed",
            Event::RunLost { .. } => "run.lost",
            Event::StoreDown { .. } => "store.down",
            Event::StoreUp { .. } => "store.up",
            Event::MessageConfirmed(_) => "message.confirmed",
            Event::MessageFailed { .. } => "message.failed",
            Event::MessageDropped { .. } => "message.dropped",
            Event::BrokerDown { .. } => "broker.down",
            Event::BrokerBlocked { .. } => "broker.blocked",
            Event::BrokerUp { .. } => "broker.up",
            Event::WorkerStarted { .. } => "worker.started",
            Event::OrderRefused { .. } => "order.refused",
            Event::OrderReturned { .. } => "order.returned",
            Event::ReportLost { .. } => "report.lost",
            Event::WorkerStopping { .. } => "worker.stopping",
            Event::WorkerStopped { .. } => "worker.stopped",
            Event::SchedulerPaused { .. } => "scheduler.paused",
            Event::SchedulerResumed => "scheduler.resumed",
            Event::ClockStepped { .. } => "clock.stepped",
            Event::SchedulerRestarted { .. } => "scheduler.restarted",
            Event::Signal { .. } => "daemon.signal",
            Event::LeftOut { .. } => "log.left_out",
            Event::Dump(_) => "daemon.dump",
            Event::Stopping { .. } => "daemon.stopping",
            Event::Stopped { .. } => "daemon.stopped",
        }
    }
}
