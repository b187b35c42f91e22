//! Events as records of the log: how much each matters, its words, its fields.
//!
//! A run's fields are `job run scheduled attempt`, then `pid` or `outcome exit signal duration_ms reason retry_ms`, each where it has a
//! value; they are the same in every format of the log.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::record::{escape, is_printable, mkprint};
use crate::crontab::render;
use crate::event::{Ended, Event, Fire, Loaded, Outcome, Run, Sent, Started};
use crate::job::Job;
use crate::schedule::{Due, Zone};

/// Hands an event to the subscriber of `tracing`, as one record or, of a list, several; lines of output have a way of
/// their own. Instants are written with the offset of `zone`.
pub fn trace(event: &Event, zone: &Zone) {
    let name = event.name();
    match event {
        Event::Started { version, zone } => {
            info!(event = name, version, zone, "cronkeep {version}");
        }
        Event::Loaded(loaded) => tell_loaded(name, loaded),
        Event::Rejected { file, reason } => {
            error!(event = name, file = %file, "{}", escape(reason.as_bytes()));
        }
        Event::Fault { file, fault } => {
            let words = render::line(file, fault);
            let words = escape(words.as_bytes());
            let (line, column, code) = (fault.line, fault.column, fault.code.to_string());
            if fault.is_error() {
                error!(event = name, file = %file, line, column, code, "{words}");
            } else {
                warn!(event = name, file = %file, line, column, code, "{words}");
            }
        }
        Event::Notice { file, text, warning } => {
            // A field without a value is left out.
            let file = file.as_deref();
            let text = escape(text.as_bytes());
            if *warning {
                warn!(event = name, file, "{text}");
            } else {
                info!(event = name, file, "{text}");
            }
        }
        Event::JobAdded(jobs) | Event::JobChanged(jobs) | Event::JobRemoved(jobs) => {
            if tracing::enabled!(tracing::Level::DEBUG) {
                for job in jobs {
                    tell_job(name, job);
                }
            }
        }
        Event::JobRefused { job, reason } => {
            let (label, user) = (job.label(), escape(job.user().as_bytes()));
            warn!(event = name, job = label, user, file = %job.file(), line = job.line, "not run: {}", escape(reason.as_bytes()));
        }
        Event::RunStarted(started) => tell_started(name, started, zone),
        Event::RunOutput(_) => {}
        Event::RunEnded(ended) => tell_ended(name, ended, zone),
        Event::RunAmended(ended) => tell_amended(name, ended, zone),
        Event::RunMissed { job, first, last, count, reason, .. } => {
            let label = job.label();
            let (first, last) = (due_at(*first, zone), due_at(*last, zone));
            let reason = escape(reason.as_bytes());
            warn!(
                event = name,
                job = label,
                first,
                last,
                count,
                reason,
                "{}",
                of_instants("missed", *count)
            );
        }
        Event::RunSkipped { job, first, last, count, reason, .. } => {
            let label = job.label();
            let (first, last) = (due_at(*first, zone), due_at(*last, zone));
            let reason = escape(reason.as_bytes());
            info!(
                event = name,
                job = label,
                first,
                last,
                count,
                reason,
                "{}",
                of_instants("skipped", *count)
            );
        }
        Event::JobPaused(job) => info!(event = name, job = job.label(), "paused"),
        Event::JobResumed(job) => info!(event = name, job = job.label(), "resumed"),
        Event::RunLost { name: job, run, due, reason, .. } => {
            let (scheduled, reason) = (due_at(*due, zone), escape(reason.as_bytes()));
            let job = escape(job.as_bytes());
            let run = run.to_string();
            warn!(event = name, job, run, scheduled, reason, "lost");
        }
        Event::StoreDown { store, reason } => {
            let (store, reason) = (escape(store.as_bytes()), escape(reason.as_bytes()));
            warn!(event = name, store, reason, "the store is away");
        }
        Event::StoreUp { store } => {
            info!(event = name, store = escape(store.as_bytes()), "the store answers");
        }
        Event::MessageConfirmed(sent) => {
            let Named { message, exchange, routing_key, job, run } = Named::of(sent);
            info!(
                event = name,
                message = &*message,
                exchange = &*exchange,
                routing_key = &*routing_key,
                job = job.as_deref(),
                run,
                tries = sent.tries,
                "confirmed"
            );
        }
        Event::MessageFailed { sent, reason, again } => {
            let Named { message, exchange, routing_key, job, run } = Named::of(sent);
            let again_ms = again.map(|again| u64::try_from(again.as_millis()).unwrap_or(u64::MAX));
            let (tries, reason) = (sent.tries, escape(reason.as_bytes()));
            warn!(
                event = name,
                message = &*message,
                exchange = &*exchange,
                routing_key = &*routing_key,
                job = job.as_deref(),
                run,
                tries,
                reason,
                again_ms,
                "not confirmed"
            );
        }
        Event::MessageDropped { sent, reason } => {
            let Named { message, exchange, routing_key, job, run } = Named::of(sent);
            let (tries, reason) = (sent.tries, escape(reason.as_bytes()));
            error!(
                event = name,
                message = &*message,
                exchange = &*exchange,
                routing_key = &*routing_key,
                job = job.as_deref(),
                run,
                tries,
                reason,
                "not sent any more"
            );
        }
        Event::BrokerDown { broker, reason } => {
            let (broker, reason) = (escape(broker.as_bytes()), escape(reason.as_bytes()));
            warn!(event = name, broker, reason, "the broker is away");
        }
        Event::BrokerBlocked { broker, reason } => {
            let (broker, reason) = (escape(broker.as_bytes()), escape(reason.as_bytes()));
            warn!(event = name, broker, reason, "the broker takes nothing");
        }
        Event::BrokerUp { broker } => {
            info!(event = name, broker = escape(broker.as_bytes()), "the broker takes messages");
        }
        Event::WorkerStarted { version, queue, worker, signed } => {
            let (queue, worker) = (escape(queue.as_bytes()), escape(worker.as_bytes()));
            info!(event = name, version, queue, worker, signed, "cronkeep {version}: takes orders");
        }
        Event::OrderRefused { id, reason } => {
            let (order, reason) = (escape(id.as_bytes()), escape(reason.as_bytes()));
            warn!(event = name, order, reason, "not carried out");
        }
        Event::OrderReturned { id, reason } => {
            let (order, reason) = (escape(id.as_bytes()), escape(reason.as_bytes()));
            info!(event = name, order, reason, "given back");
        }
        Event::ReportLost { id, reason } => {
            let (order, reason) = (escape(id.as_bytes()), escape(reason.as_bytes()));
            warn!(event = name, order, reason, "nobody was told how it ended");
        }
        Event::WorkerStopping { running } => info!(event = name, running, "stopping"),
        Event::WorkerStopped { done, refused, killed } => {
            info!(event = name, done, refused, killed, "stopped");
        }
        Event::SchedulerPaused { reason } => {
            let reason = escape(reason.as_bytes());
            warn!(event = name, reason, "what is due is held");
        }
        Event::SchedulerResumed => info!(event = name, "what is due is started again"),
        Event::ClockStepped { by } => {
            warn!(event = name, by_s = by.as_secs(), "the clock was set");
        }
        Event::SchedulerRestarted { panic } => {
            let panic = escape(panic.as_bytes());
            error!(
                event = name,
                panic, "the scheduler panicked and goes on with the jobs in force"
            );
        }
        Event::Signal { name: signal, action } => {
            info!(event = name, signal, "{action}");
        }
        Event::LeftOut { count, warnings } => {
            let words = if *count == 1 { "event was" } else { "events were" };
            warn!(event = name, count, warnings, "the log was not read: {count} {words} left out");
        }
        Event::Dump(lines) => {
            for line in lines {
                info!(event = name, "{}", escape(line.as_bytes()));
            }
        }
        Event::Stopping { running } => info!(event = name, running, "stopping"),
        Event::Stopped { killed, left } => info!(event = name, killed, left, "stopped"),
    }
}

/// A message as the log names it.
struct Named<'a> {
    message: Cow<'a, str>,
    exchange: Cow<'a, str>,
    routing_key: Cow<'a, str>,
    job: Option<Cow<'a, str>>,
    run: Option<String>,
}

impl<'a> Named<'a> {
    fn of(sent: &'a Sent) -> Self {
        Named {
            message: printable(&sent.id),
            exchange: printable(&sent.exchange),
            routing_key: printable(&sent.routing_key),
            job: sent.job.as_deref().map(printable),
            run: sent.run.map(|run| run.to_string()),
        }
    }
}

/// As [`escape`] has it.
fn printable(text: &str) -> Cow<'_, str> {
    if is_printable(text.as_bytes()) { text.into() } else { escape(text.as_bytes()).into() }
}

/// `skipped`, or `skipped 5 times`.
fn of_instants(word: &str, count: u64) -> String {
    if count == 1 { word.to_owned() } else { format!("{word} {count} times") }
}

fn tell_loaded(name: &str, loaded: &Loaded) {
    let Loaded {
        files,
        jobs,
        refused,
        added,
        changed,
        removed,
        unchanged,
        errors,
        warnings,
        at: _,
    } = loaded;
    let files = files.join(" ");
    info!(
        event = name,
        file = files,
        jobs,
        refused,
        added,
        changed,
        removed,
        unchanged,
        errors,
        warnings,
        "{jobs} {} in force",
        if *jobs == 1 { "job is" } else { "jobs are" }
    );
}

fn tell_job(name: &str, job: &Job) {
    debug!(
        event = name,
        job = job.label(),
        id = %job.key,
        user = escape(job.user().as_bytes()),
        file = %job.file(),
        line = job.line,
        schedule = escape(job.schedule_text().as_bytes()),
        "{}",
        escape(command_of(job))
    );
}

fn tell_started(name: &str, started: &Started, zone: &Zone) {
    let Run { id, fire, attempt } = &*started.run;
    if fire.job.flags.dont_log {
        return;
    }
    info!(
        event = name,
        job = fire.job.label(),
        run = %id,
        scheduled = due_at(fire.due, zone),
        attempt,
        trigger = fire.trigger.name(),
        pid = started.pid,
        "{}",
        cron_words(fire, "CMD")
    );
}

/// Of a run of an earlier life the command is not known.
fn tell_amended(name: &str, ended: &Ended, zone: &Zone) {
    let Run { id, fire, attempt } = &*ended.run;
    let (job, run, scheduled) = (fire.job.label(), id.to_string(), due_at(fire.due, zone));
    let outcome = escape(words_of(ended).as_bytes());
    let reason = ended.outcome.reason().map(|reason| escape(reason.as_bytes()));
    let (exit, signal) = (ended.outcome.exit(), ended.outcome.signal());
    let worker = ended.worker.as_deref().map(|worker| escape(worker.as_bytes()));
    info!(
        event = name,
        job,
        run,
        scheduled,
        attempt,
        worker,
        outcome,
        exit,
        signal,
        reason,
        "how it ended was learned later"
    );
}

fn tell_ended(name: &str, ended: &Ended, zone: &Zone) {
    let Run { id, fire, attempt } = &*ended.run;
    let was_started = !matches!(ended.outcome, Outcome::CouldNotStart { .. });
    // What is to be quiet about its runs need not be quiet about those that never were.
    if fire.job.flags.dont_log && was_started {
        return;
    }
    let job = fire.job.label();
    let run = id.to_string();
    let scheduled = due_at(fire.due, zone);
    let outcome = escape(words_of(ended).as_bytes());
    let reason = ended.outcome.reason().map(str::to_owned);
    let reason = reason.or(ended.cause.map(|cause| cause.to_string()));
    let reason = reason.map(|reason| escape(reason.as_bytes()));
    let (exit, signal) = (ended.outcome.exit(), ended.outcome.signal());
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let duration_ms = was_started.then(|| milliseconds(ended.duration));
    let retry_ms = ended.retry.map(milliseconds);
    let words = cron_words(fire, "CMDEND");
    let worker = ended.worker.as_deref().map(|worker| escape(worker.as_bytes()));
    macro_rules! tell {
        ($level:ident) => {
            $level!(
                event = name,
                job,
                run,
                scheduled,
                attempt,
                worker,
                outcome,
                exit,
                signal,
                duration_ms,
                reason,
                retry_ms,
                "{words}"
            )
        };
    }
    match &ended.outcome {
        Outcome::Succeeded { .. } => tell!(info),
        Outcome::CouldNotStart { .. } => {
            // cronie tells of a command before it tries.
            let trigger = fire.trigger.name();
            let words = cron_words(fire, "CMD");
            info!(event = "run.attempted", job, run, scheduled, attempt, trigger, "{words}");
            tell!(error);
        }
        _ => tell!(warn),
    }
}

/// How a run ended: `failed with exit code 1; again in 5s (attempt 2 of 4)`.
fn words_of(ended: &Ended) -> String {
    let mut words = ended.outcome.to_string();
    if let Some(cause) = ended.cause.filter(|_| ended.cause != ended.outcome.cause()) {
        words = format!("{words}, {cause}");
    }
    if let Some(delay) = ended.retry {
        let attempts = ended.run.fire.job.policy().retries.saturating_add(1);
        let next = ended.run.attempt.saturating_add(1);
        words = format!("{words}; again in {} (attempt {next} of {attempts})", span(delay));
    }
    words
}

/// A length of time for people: `250ms`, `5s`, `1m 30s`, `2h`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return format!("{}ms", time.as_millis());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let shown = parts.iter().filter(|(count, _)| *count > 0);
    shown.map(|(count, unit)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// Cron's own wording, in cronie's letters: `(root) CMD (command)`.
fn cron_words(fire: &Fire, what: &str) -> String {
    let user = escape(fire.job.user().as_bytes());
    format!("({user}) {what} ({})", mkprint(command_of(&fire.job)))
}

fn command_of(job: &Job) -> &[u8] {
    job.action.command().as_bytes()
}

/// A due's instant with the offset of the log's zone.
fn due_at(due: Due, zone: &Zone) -> String {
    at(due.at, zone)
}

/// An instant as RFC 3339 with the zone's offset, fractions only where there are some.
fn at(instant: Timestamp, zone: &Zone) -> String {
    instant.display_with_offset(zone.rules().to_offset(instant)).to_string()
}

#[cfg(test)]
mod tests;
