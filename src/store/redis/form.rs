//! Records of runs as JSON.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use crate::event::Trigger;
use crate::schedule::Due;
use crate::store::record::RecordedOutcome;
use crate::store::{RunRecord, Start, StoreError};

/// What is kept at `:records`; what is absent is not known, or nothing.
#[derive(Serialize, Deserialize)]
struct Form {
    run: String,
    attempt: u32,
    job: String,
    name: String,
    due: [String; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<[String; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    trigger: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    user_cpu_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    system_cpu_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    max_rss_kib: u64,
    replica: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    output_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid_start: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn due_words(due: Due) -> [String; 2] {
    [due.at.to_string(), due.civil.to_string()]
}

fn due_of(words: &[String; 2]) -> Option<Due> {
    let civil: DateTime = words[1].parse().ok()?;
    Some(Due { at: words[0].parse().ok()?, civil })
}

/// The record as it is kept.
pub(super) fn json(record: &RunRecord) -> String {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let form = Form {
        run: record.run.to_string(),
        attempt: record.attempt,
        job: record.key.to_string(),
        name: record.name.clone(),
        due: due_words(record.due),
        last: record.range.map(|(last, _)| due_words(last)),
        count: record.range.map(|(_, count)| count),
        trigger: record.trigger.name().to_owned(),
        queued: record.queued.map(|at| at.to_string()),
        started: record.started.map(|at| at.to_string()),
        ended: record.ended.map(|at| at.to_string()),
        outcome: record.outcome.map(|outcome| outcome.name().to_owned()),
        exit: record.exit,
        signal: record.signal,
        reason: record.reason.clone(),
        user_cpu_us: micros(record.user_cpu),
        system_cpu_us: micros(record.system_cpu),
        max_rss_kib: record.max_rss_kib.unwrap_or(0),
        replica: record.replica.clone(),
        worker: record.worker.clone(),
        output_bytes: record.output_bytes,
        pid: record.process.map(|(pid, _)| pid),
        pid_start: record.process.map(|(_, start)| start),
    };
    serde_json::to_string(&form).expect("text and numbers are JSON")
}

/// The record that is kept as this.
pub(super) fn record(json: &[u8]) -> Result<RunRecord, StoreError> {
    let corrupt = || StoreError::Corrupt("the record of a run cannot be read".to_owned());
    let form: Form = serde_json::from_slice(json).map_err(|_| corrupt())?;
    read(form).ok_or_else(corrupt)
}

/// None if it is no instant.
#[expect(
    clippy::option_option,
    reason = "an instant that is absent is none, one that is wrong is no record"
)]
fn instant(text: Option<&str>) -> Option<Option<Timestamp>> {
    text.map(str::parse).transpose().ok()
}

fn read(form: Form) -> Option<RunRecord> {
    let range = match (&form.last, form.count) {
        (Some(last), Some(count)) => Some((due_of(last)?, count)),
        _ => None,
    };
    Some(RunRecord {
        run: form.run.parse().ok()?,
        attempt: form.attempt,
        key: form.job.parse().ok()?,
        name: form.name,
        due: due_of(&form.due)?,
        range,
        trigger: Trigger::of_name(&form.trigger)?,
        queued: instant(form.queued.as_deref())?,
        started: instant(form.started.as_deref())?,
        ended: instant(form.ended.as_deref())?,
        outcome: match form.outcome {
            Some(name) => Some(RecordedOutcome::of_name(&name)?),
            None => None,
        },
        exit: form.exit,
        signal: form.signal,
        reason: form.reason,
        user_cpu: Duration::from_micros(form.user_cpu_us),
        system_cpu: Duration::from_micros(form.system_cpu_us),
        max_rss_kib: Some(form.max_rss_kib).filter(|&kib| kib > 0),
        replica: form.replica,
        worker: form.worker,
        output_bytes: form.output_bytes,
        process: form.pid.zip(form.pid_start),
    })
}

/// The record of a run that is about to be started.
pub(super) fn of_start(start: &Start, replica: &str) -> RunRecord {
    RunRecord {
        run: start.run,
        attempt: start.attempt,
        key: start.key,
        name: start.name.clone(),
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
        replica: replica.to_owned(),
        worker: None,
        output_bytes: 0,
        process: None,
    }
}
