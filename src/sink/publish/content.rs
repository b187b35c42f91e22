//! Events as messages: their names, their routing keys, their JSON. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::event::{Ended, Event, MAX_INSTANCES, Outcome, Run, RunId};
use crate::job::{Job, JobKey};
use crate::message::{self, Message, Properties};
use crate::schedule::Due;

/// The version of what is documented in docs/events.schema.json.
const VERSION: u32 = 1;

/// The longest routing key, in bytes.
const KEY_BYTES: usize = 255;

/// Who tells, and where.
#[derive(Debug, Clone)]
pub struct Author {
    /// The exchange, which somebody else declares.
    pub exchange: String,
    /// The host's name.
    pub host: String,
    /// This daemon's name among its replicas.
    pub replica: Arc<str>,
    /// This life of the daemon, the same in the ids of all it tells.
    pub life: RunId,
}

/// Events that were dropped since nobody took them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) count: u64,
    /// When the first of them happened.
    pub(super) first: Timestamp,
    /// When the last of them happened.
    pub(super) last: Timestamp,
}

impl Lost {
    /// These and others, as one.
    pub(super) fn and(self, other: Lost) -> Lost {
        Lost {
            count: self.count.saturating_add(other.count),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

/// Where an event stands among all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// When it happened, or was heard of.
    pub(super) at: Timestamp,
    /// Its number in this life of the daemon, from 1.
    pub(super) sequence: u64,
}

/// How many messages tell of an event; 0: it is not published.
pub(super) fn count(event: &Event) -> usize {
    match event {
        Event::JobAdded(jobs) | Event::JobChanged(jobs) | Event::JobRemoved(jobs) => jobs.len(),
        _ => usize::from(name(event).is_some()),
    }
}

/// When an event happened, where it says so itself.
pub(super) fn instant(event: &Event) -> Option<Timestamp> {
    match event {
        Event::Loaded(loaded) => Some(loaded.at),
        Event::RunStarted(started) => Some(started.at),
        Event::RunEnded(ended) => Some(ended.at),
        _ => None,
    }
}

/// The name under which an event is published; none: it is not.
fn name(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::Started { .. } => "scheduler.started",
        Event::Stopped { .. } => "scheduler.stopped",
        Event::SchedulerPaused { .. } => "scheduler.paused",
        Event::SchedulerResumed => "scheduler.resumed",
        Event::JobAdded(_) => "job.added",
        Event::JobChanged(_) => "job.changed",
        Event::JobRemoved(_) => "job.removed",
        Event::JobPaused(_) => "job.paused",
        Event::JobResumed(_) => "job.resumed",
        Event::RunStarted(_) => "job.submitted",
        Event::RunEnded(ended) if ended.outcome.is_success() => "job.executed",
        Event::RunEnded(_) => "job.failed",
        Event::RunMissed { .. } => "job.missed",
        Event::RunSkipped { reason, .. } if reason == MAX_INSTANCES => "job.max_instances",
        Event::RunSkipped { .. } => "job.skipped",
        Event::RunLost { .. } => "job.lost",
        Event::Loaded(_) => "crontab.loaded",
        Event::Rejected { .. } => "crontab.rejected",
        Event::StoreDown { .. } => "store.down",
        Event::StoreUp { .. } => "store.up",
        Event::BrokerDown { .. } => "broker.down",
        Event::BrokerUp { .. } => "broker.up",
        _ => return None,
    })
}

/// The message that tells of an event, or of the `nth` job of an event about several; none: it is not published.
pub(super) fn compose(author: &Author, event: &Event, nth: usize, place: Place) -> Option<Message> {
    let name = name(event)?;
    let mut content = Content::new(author, name, place);
    match event {
        Event::Started { version, zone } => {
            content.put("scheduler", json!({ "version": version, "tz": zone }));
        }
        Event::Stopped { killed, left } => {
            content.put("scheduler", json!({ "killed": killed, "left": left }));
        }
        Event::SchedulerPaused { reason } => content.put("reason", json!(reason)),
        Event::JobAdded(jobs) | Event::JobChanged(jobs) | Event::JobRemoved(jobs) => {
            content.job(jobs.get(nth)?);
        }
        Event::JobPaused(job) | Event::JobResumed(job) => content.job(job),
        Event::RunStarted(started) => {
            let mut run = run_object(&started.run);
            run.insert("started".into(), stamp(started.at, &started.run.fire.job));
            content.job(&started.run.fire.job);
            content.run(started.run.id, run);
        }
        Event::RunEnded(ended) => {
            content.job(&ended.run.fire.job);
            content.run(ended.run.id, ended_object(ended));
        }
        Event::RunMissed { job, first, last, count, reason, trigger, run, .. }
        | Event::RunSkipped { job, first, last, count, reason, trigger, run, .. } => {
            content.job(job);
            let instants = json!({
                "first": stamp(first.at, job),
                "last": stamp(last.at, job),
                "count": count,
                "trigger": trigger.name(),
                "run": run.map(|run| run.to_string()),
            });
            content.put("instants", instants);
            content.put("reason", json!(reason));
        }
        Event::RunLost { key, name, run, due, reason } => {
            content.remembered(*key, name);
            let run_object = [
                ("id".to_owned(), json!(run.to_string())),
                ("scheduled".to_owned(), json!(utc(due.at))),
            ];
            content.run(*run, run_object.into_iter().collect());
            content.put("reason", json!(reason));
        }
        Event::Loaded(loaded) => {
            let crontab = json!({
                "files": loaded.files.iter().map(|file| &**file).collect::<Vec<_>>(),
                "jobs": loaded.jobs,
                "refused": loaded.refused,
                "added": loaded.added,
                "changed": loaded.changed,
                "removed": loaded.removed,
                "unchanged": loaded.unchanged,
                "errors": loaded.errors,
                "warnings": loaded.warnings,
            });
            content.put("crontab", crontab);
        }
        Event::Rejected { file, reason } => {
            content.put("crontab", json!({ "files": [&**file] }));
            content.put("reason", json!(reason));
        }
        Event::StoreDown { store, reason } => {
            content.put("store", json!(store));
            content.put("reason", json!(reason));
        }
        Event::StoreUp { store } => content.put("store", json!(store)),
        Event::BrokerDown { broker, reason } => {
            content.put("broker", json!(broker));
            content.put("reason", json!(reason));
        }
        Event::BrokerUp { broker } => content.put("broker", json!(broker)),
        _ => {}
    }
    Some(content.finish(author))
}

/// The message that stands where others are missing.
pub(super) fn compose_lost(author: &Author, lost: Lost, place: Place) -> Message {
    let mut content = Content::new(author, "events.dropped", place);
    let dropped = json!({ "count": lost.count, "first": utc(lost.first), "last": utc(lost.last) });
    content.put("dropped", dropped);
    content.finish(author)
}

/// A message that is being composed.
struct Content {
    name: &'static str,
    at: Timestamp,
    id: String,
    /// What people call the job, where it is about one.
    label: Option<String>,
    run: Option<RunId>,
    body: Map<String, Value>,
}

impl Content {
    fn new(author: &Author, name: &'static str, Place { at, sequence }: Place) -> Self {
        let id = format!("{}-{sequence}", author.life);
        let mut content =
            Content { name, at, id: id.clone(), label: None, run: None, body: Map::new() };
        content.put("event", json!(name));
        content.put("version", json!(VERSION));
        content.put("id", json!(id));
        content.put("sequence", json!(sequence));
        content.put("at", json!(utc(at)));
        content.put("host", json!(author.host));
        content.put("replica", json!(&*author.replica));
        content
    }

    fn put(&mut self, name: &str, value: Value) {
        self.body.insert(name.to_owned(), value);
    }

    fn job(&mut self, job: &Job) {
        self.label = Some(job.label());
        self.put(
            "job",
            json!({
                "key": job.key.to_string(),
                "id": job.key.id.to_string(),
                "name": job.name().map(|name| &**name),
                "user": job.user().to_string_lossy(),
                "file": &**job.file(),
                "line": job.line,
                "schedule": job.schedule_text().to_string_lossy(),
                "tz": job.zone().name(),
                "description": job.description().map(|text| text.to_string_lossy()),
                "enabled": job.policy().enabled,
            }),
        );
    }

    /// A job of which no more is known.
    fn remembered(&mut self, key: JobKey, label: &str) {
        self.label = Some(label.to_owned());
        let name = (label != key.digits()).then_some(label);
        let job = json!({ "key": key.to_string(), "id": key.id.to_string(), "name": name });
        self.put("job", job);
    }

    fn run(&mut self, run: RunId, object: Map<String, Value>) {
        self.run = Some(run);
        self.put("run", Value::Object(object));
    }

    fn finish(self, author: &Author) -> Message {
        let Content { name, at, id, label, run, body } = self;
        Message {
            id,
            exchange: author.exchange.clone(),
            routing_key: routing_key(name, label.as_deref()),
            mandatory: false,
            persistent: true,
            properties: Properties {
                content_type: Some("application/json".to_owned()),
                content_encoding: Some("utf-8".to_owned()),
                correlation_id: run.map(|run| run.to_string()),
                kind: Some("cronkeep.event".to_owned()),
                app_id: Some("cronkeep".to_owned()),
                timestamp: Some(at),
                ..Properties::default()
            },
            headers: vec![
                ("cronkeep-event".to_owned(), message::Value::from(name)),
                ("cronkeep-host".to_owned(), message::Value::from(author.host.as_str())),
            ],
            body: Value::Object(body).to_string().into_bytes(),
        }
    }
}

/// `job.executed.nightly-dump`, `store.down`; at most [`KEY_BYTES`] long.
fn routing_key(name: &str, label: Option<&str>) -> String {
    let mut key = name.to_owned();
    if let Some(label) = label {
        key.push('.');
        let room = KEY_BYTES.saturating_sub(key.len()).min(label.len());
        let end = (0..=room).rev().find(|&end| label.is_char_boundary(end));
        key.push_str(&label[..end.unwrap_or(0)]);
    }
    key
}

/// What a run is a run of.
fn run_object(run: &Run) -> Map<String, Value> {
    let Run { id, fire, attempt } = run;
    [
        ("id".to_owned(), json!(id.to_string())),
        ("attempt".to_owned(), json!(attempt)),
        ("trigger".to_owned(), json!(fire.trigger.name())),
        ("scheduled".to_owned(), due(fire.due, &fire.job)),
    ]
    .into_iter()
    .collect()
}

/// How a run ended.
fn ended_object(ended: &Ended) -> Map<String, Value> {
    let job = &ended.run.fire.job;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let was_started = !matches!(ended.outcome, Outcome::CouldNotStart { .. });
    let started = ended.at.checked_sub(ended.duration).ok().filter(|_| was_started);
    let mut run = run_object(&ended.run);
    let ends = [
        ("started", json!(started.map(|at| stamp(at, job)))),
        ("ended", stamp(ended.at, job)),
        ("duration_ms", json!(milliseconds(ended.duration))),
        ("outcome", json!(ended.outcome.name())),
        ("exit", json!(ended.outcome.exit())),
        ("signal", json!(ended.outcome.signal())),
        ("reason", json!(ended.words())),
        ("retry_ms", json!(ended.retry.map(milliseconds))),
        ("user_cpu_ms", json!(milliseconds(ended.usage.user))),
        ("system_cpu_ms", json!(milliseconds(ended.usage.system))),
        ("max_rss_kib", json!(ended.usage.max_rss_kib)),
        ("worker", json!(ended.worker.as_deref())),
    ];
    run.extend(ends.into_iter().map(|(name, value)| (name.to_owned(), value)));
    run
}

fn due(due: Due, job: &Job) -> Value {
    stamp(due.at, job)
}

/// An instant with the offset of the job's zone.
fn stamp(at: Timestamp, job: &Job) -> Value {
    json!(format!("{:.3}", at.display_with_offset(job.zone().offset(at))))
}

fn utc(at: Timestamp) -> String {
    format!("{at:.3}")
}
