//! Attending one run: feeding it, reading what it prints, telling of its end.

use std::future;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::sync::oneshot;

use super::cause::SpaceWatch;
use super::output::Reader;
use super::told::Untold;
use crate::crontab::Text;
use crate::event::{Bus, Cause, Ended, Event, Line, Run, Stream};

/// The daemon's ends of a run's pipes, and what it waits for.
#[derive(Debug)]
pub(super) struct Attendant {
    pub run: Arc<Run>,
    pub bus: Bus,
    /// Descriptor 1; none if output is thrown away.
    pub stdout: Option<Reader>,
    /// Descriptor 2.
    pub stderr: Option<Reader>,
    /// What did not fit into the pipe at once, from this byte on.
    pub stdin: Option<(Sender, Text, usize)>,
    /// Comes when the main process has ended.
    pub ended: oneshot::Receiver<Ended>,
    /// Used up when the end was told.
    pub untold: Untold,
}

impl Attendant {
    /// Attends the run to its end, and what it left running until that has closed the pipes.
    ///
    /// The run ends with its main process. What is in the pipes by then is its output; what comes later is told as
    /// detached.
    pub(super) async fn attend(self) {
        let Attendant { run, bus, mut stdout, mut stderr, stdin, mut ended, untold } = self;
        let mut feeding = pin!(feed(stdin));
        let mut fed = false;
        let mut teller = Teller { run, bus, space: SpaceWatch::default() };
        let end = loop {
            tokio::select! {
                end = &mut ended => break end,
                line = next(&mut stdout) => teller.tell(line, Stream::Stdout, false).await,
                line = next(&mut stderr) => teller.tell(line, Stream::Stderr, false).await,
                () = &mut feeding, if !fed => fed = true,
            }
        };
        // Without an end the executor has stopped, and the run is left alone.
        let Ok(mut end) = end else { return };
        for (reader, stream) in [(&mut stdout, Stream::Stdout), (&mut stderr, Stream::Stderr)] {
            let Some(reader) = reader else { continue };
            let mut waiting = reader.waiting();
            while let Some(line) = reader.next_waiting(&mut waiting) {
                teller.tell(Some(line), stream, false).await;
            }
        }
        if teller.space.ran_out() && !end.outcome.is_success() {
            end.cause = end.cause.or(Some(Cause::NoSpace));
        }
        let cause = end.cause;
        teller.bus.publish(Event::RunEnded(end));
        untold.told(cause);
        while is_open(stdout.as_ref()) || is_open(stderr.as_ref()) {
            tokio::select! {
                line = next(&mut stdout) => teller.tell(line, Stream::Stdout, true).await,
                line = next(&mut stderr) => teller.tell(line, Stream::Stderr, true).await,
                () = &mut feeding, if !fed => fed = true,
            }
        }
    }
}

fn is_open(reader: Option<&Reader>) -> bool {
    reader.is_some_and(Reader::is_open)
}

/// The stream's next line, or none at its end; never ready after that.
async fn next(reader: &mut Option<Reader>) -> Option<Vec<u8>> {
    match reader {
        Some(reader) if reader.is_open() => reader.next().await,
        _ => future::pending().await,
    }
}

/// Writes the rest of the standard input and closes the pipe. A job need not read it.
async fn feed(stdin: Option<(Sender, Text, usize)>) {
    if let Some((mut pipe, text, from)) = stdin {
        let _ = pipe.write_all(&text.as_bytes()[from..]).await;
    }
}

struct Teller {
    run: Arc<Run>,
    bus: Bus,
    space: SpaceWatch,
}

impl Teller {
    /// Publishes a line as soon as there is room for it.
    async fn tell(&mut self, line: Option<Vec<u8>>, stream: Stream, detached: bool) {
        let Some(bytes) = line else { return };
        if stream == Stream::Stderr {
            self.space.see(&bytes);
        }
        let permit = self.bus.room_for(bytes.len()).await;
        let run = Arc::clone(&self.run);
        self.bus.publish(Event::RunOutput(Line { run, stream, bytes, detached, permit }));
    }
}
