//! Runs as they are recorded, and how they are asked for.

use std::time::Duration;

use jiff::Timestamp;

use super::{Mark, Start};
use crate::event::{Run, RunId, Trigger};
use crate::job::JobKey;
use crate::schedule::Due;

/// An attempt of a run as it is recorded, or a range of instants without a run.
///
/// What `history --json` prints, but for the words of times and outcomes.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// The run; a range without one has an id of its own.
    pub run: RunId,
    /// Which try, from 1; 0 for a range.
    pub attempt: u32,
    /// The job's key.
    pub key: JobKey,
    /// What people call the job: its name, or the digits of its id.
    pub name: String,
    /// For which due; of a range the first.
    pub due: Due,
    /// The last due of a range, and how many it has.
    pub range: Option<(Due, u64)>,
    /// Why it happened.
    pub trigger: Trigger,
    /// When it arrived.
    pub queued: Option<Timestamp>,
    /// Wall time of the start.
    pub started: Option<Timestamp>,
    /// Wall time of the end.
    pub ended: Option<Timestamp>,
    /// How it ended; none while it lives.
    pub outcome: Option<RecordedOutcome>,
    /// The exit code.
    pub exit: Option<u8>,
    /// The number of the signal that ended it.
    pub signal: Option<i32>,
    /// Why, in words, where the outcome does not say it.
    pub reason: Option<String>,
    /// CPU time in user mode.
    pub user_cpu: Duration,
    /// CPU time in the kernel.
    pub system_cpu: Duration,
    /// The largest resident set of any one process, KiB; none: not known.
    pub max_rss_kib: Option<u64>,
    /// Who ran it, or had it run.
    pub replica: String,
    /// The worker that carried it out, where one did.
    pub worker: Option<String>,
    /// How much it printed, in bytes.
    pub output_bytes: u64,
    /// The main process and its start in clock ticks since boot, to find it again; only while it lives.
    pub process: Option<(i32, u64)>,
}

impl RunRecord {
    /// A run without an end, of which nothing more is known than what it is a run of.
    #[must_use]
    pub fn going(run: &Run) -> Self {
        let start = Start {
            run: run.id,
            attempt: run.attempt,
            key: run.fire.job.key,
            name: run.fire.job.label(),
            mark: Mark::of(run.fire.due, run.fire.generation),
            trigger: run.fire.trigger,
            queued: run.id.at(),
        };
        RunRecord::starting(start, String::new())
    }

    /// A run that `replica` is about to start.
    #[must_use]
    pub fn starting(start: Start, replica: String) -> Self {
        RunRecord {
            run: start.run,
            attempt: start.attempt,
            key: start.key,
            name: start.name,
            due: start.mark.due(),
            range: None,
            trigger: start.trigger,
            queued: Some(start.queued),
            started: None,
            ended: None,
            outcome: None,
            exit: None,
            signal: None,
            reason: None,
            user_cpu: Duration::ZERO,
            system_cpu: Duration::ZERO,
            max_rss_kib: None,
            replica,
            worker: None,
            output_bytes: 0,
            process: None,
        }
    }

    /// The job's name, if it has one.
    #[must_use]
    pub fn job_name(&self) -> Option<&str> {
        (self.name != self.key.digits()).then_some(&*self.name)
    }

    /// Where a page that ends with this record ends ([`Page::cursor`]).
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}-{}", self.run, self.attempt)
    }
}

/// How a record ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordedOutcome {
    /// Its exit code counts as success.
    Succeeded,
    /// It exited with another code.
    Failed,
    /// A signal ended it.
    Killed,
    /// It took longer than its `timeout`.
    TimedOut,
    /// No process came to be.
    CouldNotStart,
    /// We chose not to start it.
    Skipped,
    /// It could not start in time.
    Missed,
    /// Nobody saw its end.
    Lost,
}

impl RecordedOutcome {
    /// All of them.
    pub const ALL: [RecordedOutcome; 8] = [
        RecordedOutcome::Succeeded,
        RecordedOutcome::Failed,
        RecordedOutcome::Killed,
        RecordedOutcome::TimedOut,
        RecordedOutcome::CouldNotStart,
        RecordedOutcome::Skipped,
        RecordedOutcome::Missed,
        RecordedOutcome::Lost,
    ];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RecordedOutcome::Succeeded => "succeeded",
            RecordedOutcome::Failed => "failed",
            RecordedOutcome::Killed => "killed",
            RecordedOutcome::TimedOut => "timed out",
            RecordedOutcome::CouldNotStart => "could not start",
            RecordedOutcome::Skipped => "skipped",
            RecordedOutcome::Missed => "missed",
            RecordedOutcome::Lost => "lost",
        }
    }

    /// Whether it is one of instants that were not started. They are recorded once all of them have passed.
    #[must_use]
    pub fn is_of_instants(self) -> bool {
        matches!(self, RecordedOutcome::Skipped | RecordedOutcome::Missed)
    }

    /// The outcome with this stable name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// Which runs are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Those of this job; else of all.
    pub job: Option<JobKey>,
    /// Those with one of these outcomes; else all.
    pub outcomes: Vec<RecordedOutcome>,
    /// Those that arrived at or after this; of instants that were not started, those of which one was at or after this.
    pub since: Option<Timestamp>,
    /// Those that arrived before this; of instants that were not started, those of which one was before this.
    pub until: Option<Timestamp>,
    /// The run whose id ends in this, letter by letter.
    pub id_end: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Where the page before this one ended ([`Page::cursor`]).
    pub cursor: Option<String>,
}

impl Query {
    /// Whether the time of a record, by what [`since`](Query::since) and [`until`](Query::until) say, is asked for.
    #[must_use]
    pub fn spans(&self, record: &RunRecord) -> bool {
        let (first, last) = if record.outcome.is_some_and(RecordedOutcome::is_of_instants) {
            (record.due.at, record.range.map_or(record.due.at, |(last, _)| last.at))
        } else {
            (record.run.at(), record.run.at())
        };
        self.since.is_none_or(|since| last >= since) && self.until.is_none_or(|until| first < until)
    }

    /// Whether records of instants that were not started are asked for.
    pub(super) fn wants_instants(&self) -> bool {
        self.outcomes.is_empty() || self.outcomes.iter().any(|outcome| outcome.is_of_instants())
    }
}

/// Runs, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The runs.
    pub runs: Vec<RunRecord>,
    /// Where the next page begins; none if this was the last.
    pub cursor: Option<String>,
}

/// What a run printed, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// Its first lines.
    pub head: Vec<OutputLine>,
    /// Lines between head and tail that were not kept.
    pub left_out: u64,
    /// Its last lines, as far as they are not among the first.
    pub tail: Vec<OutputLine>,
}

/// A line that was printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// Whether it went to standard error.
    pub is_error: bool,
    /// Whether the run had already ended.
    pub detached: bool,
    /// The line without its end, not escaped.
    pub bytes: Vec<u8>,
}
