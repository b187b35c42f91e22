//! Attending one run: feeding it, reading what it prints, telling of its end.

use std::future;
use std::pin::pin;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::sync::oneshot;

use super::mail::Mailer;
use super::output::{Bounds, Reader, Readers, Teller};
use super::shell::Base;
use super::ticket::Ticket;
use super::told::Untold;
use crate::event::{Bus, Cause, Ended, Event, Outcome, Run};

/// The daemon's ends of a run's pipes, and what it waits for.
#[derive(Debug)]
pub(super) struct Attendant {
    pub run: Arc<Run>,
    pub bus: Bus,
    /// Descriptor 1; none if output is thrown away.
    pub stdout: Option<Reader>,
    /// Descriptor 2; none if it is the same pipe.
    pub stderr: Option<Reader>,
    /// What did not fit into the pipe at once, from this byte on.
    pub stdin: Option<(Sender, Arc<Ticket>, usize)>,
    /// What sends mails, and what those about this run need; none where mail is off.
    pub mail: Option<(Arc<Mailer>, Arc<Base>)>,
    /// Whether a mail will be due if it prints something.
    pub mailed: bool,
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
        let Attendant { run, bus, stdout, stderr, stdin, mail, mailed, mut ended, untold } = self;
        let merged = stderr.is_none();
        let mut readers: Readers = [stdout, stderr];
        let mut feeding = pin!(feed(stdin));
        let mut fed = false;
        let mut teller = Teller::new(Arc::clone(&run), bus, Bounds::default(), mailed);
        let end = loop {
            let which = tokio::select! {
                end = &mut ended => break end,
                which = ready(&mut readers) => which,
                () = &mut feeding, if !fed => {
                    fed = true;
                    continue;
                }
            };
            teller.take(&mut readers, which, false).await;
        };
        // Without an end the executor has stopped, and the run is left alone.
        let Ok(mut end) = end else { return };
        teller.take_last_words(&mut readers).await;
        if end.cause.is_none()
            && matches!(end.outcome, Outcome::Failed { .. })
            && teller.kept().says_no_space(merged)
        {
            end.cause = Some(Cause::NoSpace);
        }
        if let Some((mailer, base)) = mail {
            mailer.mail(&run, &base, teller.kept(), &end.outcome);
        }
        let cause = end.cause;
        teller.publish(Event::RunEnded(end));
        untold.told(cause);
        while readers.iter().flatten().any(Reader::is_open) {
            let which = tokio::select! {
                which = ready(&mut readers) => which,
                () = &mut feeding, if !fed => {
                    fed = true;
                    continue;
                }
            };
            teller.take(&mut readers, which, true).await;
        }
        teller.finish(&mut readers, true).await;
    }
}

/// Which stream has something to read, or has come to its end; never ready once both have ended.
async fn ready(readers: &mut Readers) -> usize {
    let [stdout, stderr] = readers;
    tokio::select! {
        () = one_ready(stdout) => 0,
        () = one_ready(stderr) => 1,
    }
}

async fn one_ready(reader: &mut Option<Reader>) {
    match reader {
        Some(reader) if reader.is_open() => reader.ready().await,
        _ => future::pending().await,
    }
}

/// Writes the rest of the standard input and closes the pipe. A job need not read it.
pub(super) async fn feed(stdin: Option<(Sender, Arc<Ticket>, usize)>) {
    if let Some((mut pipe, ticket, from)) = stdin {
        let _ = pipe.write_all(&ticket.stdin()[from..]).await;
    }
}
