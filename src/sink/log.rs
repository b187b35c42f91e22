//! The log: events to standard error, output of jobs to standard output.
//!
//! Runs on a thread of its own, so that a reader who is slow stops nobody but the jobs that print.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

use super::record::{Format, Level, Record, Value, escape, is_colour_welcome};
use super::repeat::{Repeated, Repeats};
use super::stderr;
use super::syslog::Syslog;
use super::trace::trace;
use crate::clock::Clock;
use crate::event::{Bounded, Event, Line, Stream};
use crate::schedule::Zone;
use crate::unix::pipe::write_patiently;

/// Bytes of output lines that are written at once.
const ENOUGH: usize = 16 << 10;

/// Woken twice within this it lets events gather for as long: whoever publishes many wakes it no more often than that.
const PAUSE: Duration = Duration::from_millis(4);

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
/// Through `progress` it says that it gets on, as far as there is room to; it drops it when it ends.
///
/// # Errors
/// The system has no thread left.
pub fn spawn(
    events: Bounded,
    style: Style,
    clock: Arc<dyn Clock>,
    progress: SyncSender<()>,
) -> io::Result<JoinHandle<()>> {
    let stdout = io::stdout();
    let coloured = is_colour_welcome(&stdout);
    // Written to directly: what is left in a buffer of the library's when a write fails would be lost.
    let out = File::from(stdout.as_fd().try_clone_to_owned()?);
    std::thread::Builder::new().name("log".into()).spawn(move || {
        let (waiting, repeated) = (Vec::new(), Repeated::default());
        Log { style, clock, coloured, out, waiting, repeated }.run(events, &progress);
        drop(progress);
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

impl Log {
    #[expect(
        clippy::disallowed_methods,
        reason = "whatever ends the pause sooner would be woken for each event"
    )]
    fn run(&mut self, mut events: Bounded, progress: &SyncSender<()>) {
        stderr::gather();
        let mut last = None;
        while let Some(event) = events.blocking_recv() {
            let woken = self.clock.monotonic();
            self.tell(&event);
            while let Some(event) = events.try_recv() {
                self.tell(&event);
                // Full: nobody has looked since the last time.
                let _ = progress.try_send(());
            }
            self.flush();
            stderr::flush();
            let before = last.replace(woken);
            if before.is_some_and(|before| woken.saturating_sub(before) < PAUSE) {
                std::thread::sleep(PAUSE);
            }
        }
        Self::tell_repeats(self.repeated.drain());
        // The process may end before the thread does.
        stderr::flush();
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
        // Both streams often end in one place: what was told before stands before.
        if let Event::RunOutput(line) = event {
            stderr::flush();
            return self.tell_output(line);
        }
        self.flush();
        let (told, repeats) = self.repeated.judge(event, self.clock.monotonic());
        Self::tell_repeats(repeats);
        if told {
            trace(event, &self.style.zone);
        }
    }

    /// Tells how often a message came again.
    fn tell_repeats(repeats: impl IntoIterator<Item = Repeats>) {
        for Repeats { text, count } in repeats {
            let text = escape(text.as_bytes());
            let times = if count == 1 { "once more" } else { "again" };
            info!(event = "log.repeated", count, "came {times}: {text}");
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

/// An instant as every record begins with it: milliseconds, and the zone's offset.
fn stamp(instant: Timestamp, zone: &Zone) -> String {
    let zoned = instant.to_zoned(zone.rules().clone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}
