//! The log: events to standard error, output of jobs to standard output.
//!
//! Runs on a thread of its own, so that a reader who is slow stops nobody but the jobs that print.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{debug, error, info, warn};

use super::record::{Format, Level, Record, Value, escape, is_colour_welcome};
use super::syslog::Syslog;
use crate::clock::Clock;
use crate::crontab::render;
use crate::event::{Ended, Event, Fire, Line, Loaded, Outcome, Run, Started, Stream};
use crate::job::Job;
use crate::schedule::{Due, Zone};
use crate::unix::pipe::write_patiently;

/// Bytes of output lines that are written at once.
const ENOUGH: usize = 16 << 10;

/// How the log is written.
#[derive(Debug, Clone)]
pub struct Style {
    /// Of output lines; events are formatted by the subscriber of `tracing`.
    pub format: Format,
    /// Where output lines go instead of standard output.
    pub syslog: Option<Arc<Syslog>>,
    /// Output lines go on as they are, each stream to its own.
    pub passthrough: bool,
    /// Whose offset the times carry.
    pub zone: Zone,
}

/// Starts the thread; it ends when the last sender of events is gone and everything is written.
///
/// It drops `done` when it ends, so that whoever holds the other end learns of it.
///
/// # Errors
/// The system has no thread left.
pub fn spawn(
    events: UnboundedReceiver<Arc<Event>>,
    style: Style,
    clock: Arc<dyn Clock>,
    done: std::sync::mpsc::Sender<()>,
) -> io::Result<JoinHandle<()>> {
    let stdout = io::stdout();
    let coloured = is_colour_welcome(&stdout);
    // Written to directly: what is left in a buffer of the library's when a write fails would be lost.
    let out = File::from(stdout.as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("log".into()).spawn(move || {
        let (waiting, repeated) = (Vec::new(), Repeated::default());
        Log { style, clock, coloured, out, waiting, repeated }.run(events);
        drop(done);
    })
}

struct Log {
    style: Style,
    clock: Arc<dyn Clock>,
    coloured: bool,
    out: File,
    /// Lines of output that are not written yet.
    waiting: Vec<u8>,
    repeated: Repeated,
}

/// A message that may come again and again.
#[derive(Debug, Default)]
struct Repeated {
    text: String,
    more: u64,
}

impl Repeated {
    /// Whether `text` is another one than the last; if so, how often the last came again.
    fn turns_to(&mut self, text: &str) -> Option<u64> {
        if self.text == text {
            self.more += 1;
            return None;
        }
        text.clone_into(&mut self.text);
        Some(std::mem::take(&mut self.more))
    }
}

impl Log {
    fn run(&mut self, mut events: UnboundedReceiver<Arc<Event>>) {
        while let Some(event) = events.blocking_recv() {
            self.tell(&event);
            while let Ok(event) = events.try_recv() {
                self.tell(&event);
            }
            self.flush();
        }
        self.tell_repeats("");
    }

    /// Writes the lines that wait. Standard output may be closed; then there is nobody to tell.
    fn flush(&mut self) {
        let _ = write_patiently(&mut self.out, &self.waiting);
        self.waiting.clear();
    }

    /// Adds to the lines that wait, and writes them when they are many.
    fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= ENOUGH {
            self.flush();
        }
    }

    fn tell(&mut self, event: &Event) {
        if let Event::RunOutput(line) = event {
            return self.tell_output(line);
        }
        // Both streams often end in one place: what was printed before stands before.
        self.flush();
        if let Some(text) = repeatable(event)
            && !self.tell_repeats(&text)
        {
            return;
        }
        tell_event(event, &self.style.zone);
    }

    /// Tells how often the last repeatable message came again; false if `text` is it once more.
    fn tell_repeats(&mut self, text: &str) -> bool {
        match self.repeated.turns_to(text) {
            None => false,
            Some(0) => true,
            Some(more) => {
                info!(event = "log.repeated", count = more, "the last message came again");
                true
            }
        }
    }

    fn tell_output(&mut self, line: &Line) {
        if let Some(syslog) = &self.style.syslog {
            let at = self.clock.now().to_zoned(self.style.zone.rules().clone());
            let user = escape(line.run.fire.job.user().as_bytes());
            return syslog.send_output(&at, &user, &escape(&line.bytes));
        }
        if self.style.passthrough {
            return self.pass_through(line);
        }
        let run = &line.run;
        let mut text = String::with_capacity(line.bytes.len() + 64);
        if self.style.format == Format::Text {
            let stream = if line.stream == Stream::Stderr { " err" } else { "" };
            let detached = if line.detached { " detached" } else { "" };
            text = format!(
                "[{} {}{stream}{detached}] {}\n",
                run.fire.job.label(),
                run.id.short(),
                escape(&line.bytes)
            );
        } else {
            let time = stamp(self.clock.now(), &self.style.zone);
            let mut fields = vec![
                ("job", Value::Text(run.fire.job.label())),
                ("run", Value::Text(run.id.to_string())),
                ("stream", Value::Text(line.stream.name().into())),
            ];
            if line.detached {
                fields.push(("detached", Value::Bool(true)));
            }
            fields.push(("line", Value::Text(escape(&line.bytes))));
            let record = Record {
                time: &time,
                level: Level::Info,
                event: "run.output",
                message: "",
                fields: &fields,
            };
            record.write(self.style.format, self.coloured, &mut text);
        }
        self.push(text.as_bytes());
    }

    fn pass_through(&mut self, line: &Line) {
        let mut bytes = Vec::with_capacity(line.bytes.len() + 1);
        bytes.extend_from_slice(&line.bytes);
        bytes.push(b'\n');
        match line.stream {
            Stream::Stdout => self.push(&bytes),
            Stream::Stderr => {
                self.flush();
                let _ = write_patiently(&mut io::stderr().lock(), &bytes);
            }
        }
    }
}

/// The text of a message that a broken crontab may cause again and again.
fn repeatable(event: &Event) -> Option<String> {
    match event {
        Event::Notice { file, text, .. } => Some(format!("{file:?} {text}")),
        Event::Rejected { file, reason } => Some(format!("{file} {reason}")),
        _ => None,
    }
}

fn tell_event(event: &Event, zone: &Zone) {
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
            let file = file.as_deref().unwrap_or("");
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
        Event::RunMissed { job, first, last, count, reason } => {
            let label = job.label();
            let (first, last) = (due_at(*first, zone), due_at(*last, zone));
            warn!(event = name, job = label, first, last, count, reason, "missed");
        }
        Event::RunSkipped { job, first, last, count, reason } => {
            let label = job.label();
            let (first, last) = (due_at(*first, zone), due_at(*last, zone));
            info!(event = name, job = label, first, last, count, reason, "skipped");
        }
        Event::JobPaused(job) => info!(event = name, job = job.label(), "paused"),
        Event::JobResumed(job) => info!(event = name, job = job.label(), "resumed"),
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
        Event::Dump(lines) => {
            for line in lines {
                info!(event = name, "{}", escape(line.as_bytes()));
            }
        }
        Event::Stopping { running } => info!(event = name, running, "stopping"),
        Event::Stopped { killed, left } => info!(event = name, killed, left, "stopped"),
    }
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

fn tell_ended(name: &str, ended: &Ended, zone: &Zone) {
    let Run { id, fire, attempt } = &*ended.run;
    if fire.job.flags.dont_log {
        return;
    }
    let job = fire.job.label();
    let run = id.to_string();
    let scheduled = due_at(fire.due, zone);
    let words = cron_words(fire, "CMDEND");
    let outcome = escape(ended.outcome.to_string().as_bytes());
    let duration_ms = u64::try_from(ended.duration.as_millis()).unwrap_or(u64::MAX);
    match &ended.outcome {
        Outcome::Succeeded { exit } => {
            info!(
                event = name,
                job, run, scheduled, attempt, outcome, exit, duration_ms, "{words}"
            );
        }
        Outcome::Failed { exit } => {
            warn!(
                event = name,
                job, run, scheduled, attempt, outcome, exit, duration_ms, "{words}"
            );
        }
        Outcome::Killed { signal } => {
            warn!(
                event = name,
                job, run, scheduled, attempt, outcome, signal, duration_ms, "{words}"
            );
        }
        Outcome::TimedOut { .. } => {
            warn!(event = name, job, run, scheduled, attempt, outcome, duration_ms, "{words}");
        }
        Outcome::CouldNotStart { reason } => {
            let reason = escape(reason.as_bytes());
            error!(event = name, job, run, scheduled, attempt, outcome, reason, "{words}");
        }
    }
}

/// Cron's own wording: `(root) CMD (command)`.
fn cron_words(fire: &Fire, what: &str) -> String {
    format!("({}) {what} ({})", escape(fire.job.user().as_bytes()), escape(command_of(&fire.job)))
}

fn command_of(job: &Job) -> &[u8] {
    job.action.command().as_bytes()
}

/// A due's instant with the offset of the log's zone.
fn due_at(due: Due, zone: &Zone) -> String {
    at(due.at, zone)
}

/// An instant as every record begins with it: milliseconds, and the zone's offset.
fn stamp(instant: Timestamp, zone: &Zone) -> String {
    let zoned = instant.to_zoned(zone.rules().clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// An instant as RFC 3339 with the zone's offset, fractions only where there are some.
fn at(instant: Timestamp, zone: &Zone) -> String {
    instant.display_with_offset(zone.rules().to_offset(instant)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_comes_again_is_counted() {
        let mut repeated = Repeated::default();
        assert_eq!(repeated.turns_to("a"), Some(0));
        assert_eq!(repeated.turns_to("a"), None);
        assert_eq!(repeated.turns_to("a"), None);
        assert_eq!(repeated.turns_to("b"), Some(2));
        assert_eq!(repeated.turns_to("a"), Some(0));
    }

    #[test]
    fn times_carry_the_offset_of_the_zone() {
        let instant = Timestamp::from_second(0).unwrap();
        assert_eq!(at(instant, &Zone::utc()), "1970-01-01T00:00:00+00:00");
    }
}
