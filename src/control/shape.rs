//! What answers look like: the stable JSON of `list`, `status`, `history` and `health`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::crontab::Text;
use crate::event::{Ended, Fire, Outcome, Run, RunId, Started};
use crate::job::{Job, JobKey, JobTable};
use crate::store::RunRecord;
use crate::store::record::RecordedOutcome;
use crate::unix::identity::hostname;

/// The jobs in force, and what is known of each beside its line.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The jobs.
    pub table: Arc<JobTable>,
    /// The wall clock: what is due next is due after it.
    pub now: Timestamp,
    /// The run of each job that ended last, where one did.
    pub last: HashMap<JobKey, Ended>,
    /// What was recorded of the last run of each other job, where one was.
    pub recorded: HashMap<JobKey, RunRecord>,
    /// The jobs that are paused.
    pub paused: HashSet<JobKey>,
    /// Whether nothing is ever started here (`--shadow`).
    pub shadow: bool,
}

/// A job, as `list --json` has it.
#[derive(Debug, Serialize)]
struct JobObject<'a> {
    key: String,
    id: String,
    name: Option<&'a str>,
    user: &'a Text,
    file: &'a str,
    line: u32,
    schedule: &'a Text,
    tz: &'a str,
    command: &'a Text,
    description: Option<&'a Text>,
    next: Option<String>,
    last: Option<RunObject>,
    paused: bool,
    enabled: bool,
    /// Only where it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<bool>,
}

impl Listing {
    /// Appends the object of the job at this place of the table.
    pub(super) fn write(&self, place: usize, out: &mut Vec<u8>) {
        let Some(job) = self.table.jobs().get(place) else { return };
        let next = job.next_after(self.now).map(|due| instant(due.at, job));
        let object = JobObject {
            key: job.key.to_string(),
            id: job.key.id.to_string(),
            name: job.name().map(|name| &**name),
            user: job.user(),
            file: job.file(),
            line: job.line,
            schedule: job.schedule_text(),
            tz: job.zone().name(),
            command: job.action.command(),
            description: job.description(),
            next,
            last: match (self.last.get(&job.key), self.recorded.get(&job.key)) {
                (Some(ended), _) => Some(RunObject::ended(ended)),
                (None, Some(record)) => Some(RunObject::recorded(record, job.zone().rules())),
                (None, None) => None,
            },
            paused: self.paused.contains(&job.key),
            enabled: job.policy().enabled,
            shadow: self.shadow.then_some(true),
        };
        // Writing to memory does not fail, and every key is text.
        let _ = serde_json::to_writer(out, &object);
    }
}

/// A run, as `history --json` has it; what is not known, or not yet, is null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of the event room; times are RFC 3339")]
pub struct RunObject {
    pub run: String,
    pub key: String,
    pub name: Option<String>,
    pub scheduled: Option<String>,
    pub trigger: String,
    pub attempt: u32,
    pub queued: Option<String>,
    pub started: Option<String>,
    pub ended: Option<String>,
    /// The outcome's stable name; null while the run is alive.
    pub outcome: Option<String>,
    pub exit: Option<u8>,
    pub signal: Option<i32>,
    /// The outcome in words.
    pub reason: Option<String>,
    pub duration_ms: Option<u64>,
    pub user_cpu_ms: Option<u64>,
    pub system_cpu_ms: Option<u64>,
    pub max_rss_kib: Option<u64>,
    pub replica: Option<String>,
    /// The worker that carried it out, where one did.
    pub worker: Option<String>,
    pub output_bytes: Option<u64>,
    /// The main process, while it lives.
    pub pid: Option<i32>,
    /// Of instants that were not started: how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Of instants that were not started: the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Of instants that were not started: the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

impl RunObject {
    /// A run of which nothing is known but what it is a run of.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        RunObject { attempt: run.attempt, ..RunObject::asked(run.id, &run.fire) }
    }

    /// The same, before its first attempt.
    #[must_use]
    pub fn asked(id: RunId, fire: &Fire) -> Self {
        let job = &fire.job;
        RunObject {
            run: id.to_string(),
            key: job.key.to_string(),
            name: job.name().map(ToString::to_string),
            scheduled: Some(instant(fire.due.at, job)),
            trigger: fire.trigger.name().to_owned(),
            attempt: 1,
            replica: Some(hostname()),
            ..RunObject::default()
        }
    }

    /// A run that is alive.
    #[must_use]
    pub fn active(started: &Started) -> Self {
        let job = &started.run.fire.job;
        RunObject {
            started: Some(instant(started.at, job)),
            pid: started.pid,
            ..RunObject::of(&started.run)
        }
    }

    /// A run that ended, or could not start.
    #[must_use]
    pub fn ended(ended: &Ended) -> Self {
        let job = &ended.run.fire.job;
        let milliseconds = |span: std::time::Duration| u64::try_from(span.as_millis()).ok();
        let was_started = !matches!(ended.outcome, Outcome::CouldNotStart { .. });
        let started = ended.at.checked_sub(ended.duration).ok().filter(|_| was_started);
        RunObject {
            started: started.map(|at| instant(at, job)),
            ended: Some(instant(ended.at, job)),
            outcome: Some(ended.outcome.name().to_owned()),
            exit: ended.outcome.exit(),
            signal: ended.outcome.signal(),
            reason: Some(ended.words()),
            duration_ms: milliseconds(ended.duration),
            user_cpu_ms: milliseconds(ended.usage.user),
            system_cpu_ms: milliseconds(ended.usage.system),
            max_rss_kib: ended.usage.max_rss_kib,
            worker: ended.worker.as_deref().map(str::to_owned),
            ..RunObject::of(&ended.run)
        }
    }
}

impl RunObject {
    /// A run as it is recorded, with the offsets of a zone.
    #[must_use]
    pub fn recorded(record: &RunRecord, zone: &TimeZone) -> Self {
        let instant = |at: Timestamp| instant_in(at, zone);
        let milliseconds = |span: std::time::Duration| u64::try_from(span.as_millis()).ok();
        let took = record.started.zip(record.ended).map(|(from, to)| to.duration_since(from));
        let unstarted = record.outcome.is_some_and(RecordedOutcome::is_of_instants);
        let (last, count) = record.range.unwrap_or((record.due, 1));
        RunObject {
            run: record.run.to_string(),
            key: record.key.to_string(),
            name: record.job_name().map(ToOwned::to_owned),
            scheduled: Some(instant(record.due.at)),
            trigger: record.trigger.name().to_owned(),
            attempt: record.attempt,
            queued: record.queued.map(instant),
            started: record.started.map(instant),
            ended: record.ended.map(instant),
            outcome: record.outcome.map(|outcome| outcome.name().to_owned()),
            exit: record.exit,
            signal: record.signal,
            reason: record.reason.clone(),
            duration_ms: took.and_then(|took| u64::try_from(took.as_millis()).ok()),
            user_cpu_ms: milliseconds(record.user_cpu),
            system_cpu_ms: milliseconds(record.system_cpu),
            max_rss_kib: record.max_rss_kib,
            replica: Some(record.replica.clone()),
            worker: record.worker.clone(),
            output_bytes: Some(record.output_bytes),
            pid: record.process.map(|(pid, _)| pid),
            count: unstarted.then_some(count),
            first: unstarted.then(|| instant(record.due.at)),
            last: unstarted.then(|| instant(last.at)),
        }
    }
}

/// The daemon, as `status --json` has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names say it; times are RFC 3339, ages whole seconds")]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub user: String,
    pub started: String,
    pub uptime_s: u64,
    pub tz: String,
    pub sources: Vec<SourceObject>,
    /// How edits are noticed: `inotify`, or `poll`.
    pub watch: String,
    pub jobs: JobCounts,
    /// The runs that are alive, in the order of their start.
    pub active: Vec<RunObject>,
    /// The runs without a process that have not ended for good; the reason says what for.
    pub waiting: Vec<RunObject>,
    /// Where state is kept: `memory`.
    pub store: String,
    /// Where messages go, without secrets; `none`.
    pub broker: String,
    /// How that stands, where there is one.
    pub broker_standing: Option<BrokerObject>,
    /// What waits for it, where there is one.
    pub outbox: Option<OutboxObject>,
    /// The hosts that share the schedule.
    pub replicas: Vec<String>,
    /// Fires that are due and held until the store answers.
    pub held: usize,
    /// Processes reaped that were nobody's.
    pub orphans: u64,
    /// The instant of the next fire.
    pub next: Option<String>,
    pub health: Health,
}

/// How the broker stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BrokerObject {
    /// `up`, `blocked`, `down`; `unknown` where it was not asked for anything yet.
    pub standing: String,
    /// To which of its addresses there is a connection, without secrets.
    pub address: Option<String>,
    /// Since when it takes nothing.
    pub since: Option<String>,
    /// Why it takes nothing.
    pub reason: Option<String>,
}

/// Messages that wait for the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxObject {
    /// How many, those that are on their way included.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<String>,
}

/// A crontab of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceObject {
    /// Its path.
    pub file: String,
    /// Of its text, as it is in force; null where no version is.
    pub hash: Option<String>,
    /// When that text was taken over.
    pub loaded: Option<String>,
    /// How many seconds ago.
    pub age_s: Option<u64>,
    /// How many errors are in it.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// The first few, each with its line.
    pub faults: Vec<String>,
    /// What is wrong with it as a whole, where something is.
    pub trouble: Option<String>,
}

/// How many jobs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobCounts {
    /// In force.
    pub total: usize,
    /// Of the crontabs, that cannot run here.
    pub refused: usize,
    /// Paused ones.
    pub paused: usize,
}

/// Whether the daemon does its work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Health {
    /// False where schedules are not kept.
    pub healthy: bool,
    /// Whether something else needs a look.
    pub degraded: bool,
    /// Why, in words: what makes it unhealthy first.
    pub reasons: Vec<String>,
}

impl Health {
    /// In a word: `healthy`, `degraded`, `unhealthy`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.healthy, self.degraded) {
            (false, _) => "unhealthy",
            (true, true) => "degraded",
            (true, false) => "healthy",
        }
    }
}

/// An instant in RFC 3339, with the offset of the job's zone; to the millisecond where it is not whole.
fn instant(at: Timestamp, job: &Job) -> String {
    instant_in(at, job.zone().rules())
}

/// An instant in RFC 3339 with the offset of a zone; to the millisecond where it is not whole.
#[must_use]
pub fn instant_in(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let whole = at.subsec_nanosecond() / 1_000_000 == 0;
    let format = if whole { "%Y-%m-%dT%H:%M:%S%:z" } else { "%Y-%m-%dT%H:%M:%S%.3f%:z" };
    zoned.strftime(format).to_string()
}
