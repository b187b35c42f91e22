//! What a child is given: its program, its arguments, its descriptors.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::sync::mpsc;

use super::account::Known;
use super::birth::Births;
use super::mail::Envelope;
use super::plain::Plain;
use super::shell::{self, Base, Host};
use super::start::Report;
use super::ticket::{Ticket, What};
use crate::clock::Clock;
use crate::crontab::directive::Output;
use crate::unix::spawn::is_shortage;
use crate::unix::{Command, Direct, Errno, Pid, Strings, pipe};

/// What every start needs.
pub(super) struct Setup {
    pub host: Host,
    pub clock: Arc<dyn Clock>,
    pub births: Births,
    pub reports: mpsc::UnboundedSender<Report>,
    pub null: File,
    /// A pipe at whose end nobody writes.
    pub nothing: OwnedFd,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("host", &self.host).finish_non_exhaustive()
    }
}

/// A start that was not made, and whether it is worth another try.
pub(super) struct Refusal {
    pub pid: Option<Pid>,
    pub reason: String,
    pub is_passing: bool,
    /// Of a run whose shell could not be executed.
    pub base: Option<Arc<Base>>,
}

impl Refusal {
    pub(super) fn new(reason: String) -> Self {
        Refusal { pid: None, reason, is_passing: false, base: None }
    }

    fn no_pipe(error: &io::Error) -> Self {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let reason = format!("no pipe: {}", errno.desc());
        Refusal { pid: None, reason, is_passing: is_shortage(errno), base: None }
    }
}

/// What a child is given, but for what all runs of its kind have in common.
pub(super) struct Prepared<'a> {
    pub program: &'a CStr,
    pub arguments: Strings,
    pub plain: Option<Plain>,
    /// What a run learns of itself.
    pub about: Strings,
    /// With how much of what it reads has been written.
    pub stdin: Option<(Stream, usize)>,
    /// Descriptor 1, and 2 if it is another pipe; none: nobody reads them.
    pub streams: Option<(Stream, Option<Stream>)>,
    /// Whether a mail will be due if it prints something.
    pub mailed: bool,
}

/// A pipe whose one end a child gets.
pub(super) struct Stream {
    pub ours: OwnedFd,
    pub theirs: OwnedFd,
}

impl Setup {
    /// Makes what the child of a ticket is given.
    pub(super) fn prepare<'a>(
        &self,
        ticket: &'a Ticket,
        base: &'a Base,
    ) -> Result<Prepared<'a>, Refusal> {
        let run = ticket.run();
        let (program, arguments, plain, is_read);
        match &ticket.what {
            What::Run(run) => {
                program = base.shell.as_c_str();
                arguments = shell::arguments(program, run).map_err(Refusal::new)?;
                plain = base.plain(run);
                is_read = run.fire.job.policy().output == Output::Log;
            }
            What::Errand(_, words, _) => {
                program = words.first().map_or(c"", CString::as_c_str);
                let mut list = Strings::default();
                for word in words {
                    list.push(&[word.to_bytes()]).map_err(|_| Refusal::new(String::new()))?;
                }
                (arguments, plain, is_read) = (list, None, false);
            }
        }
        // An errand is none of the run's processes.
        let about = match &ticket.what {
            What::Run(run) => shell::about(run).map_err(Refusal::new)?,
            What::Errand(..) => Strings::default(),
        };
        let no_pipe = |error: io::Error| Refusal::no_pipe(&error);
        let stdin = Self::stdin(ticket.stdin()).map_err(no_pipe)?;
        let awaited = |envelope: &Envelope| self.host.post.awaits(envelope, run);
        let mailed = is_read && base.envelope.as_ref().is_some_and(awaited);
        let streams = if is_read {
            let apart = !mailed || self.host.post.apart;
            let stderr = if apart { Some(output().map_err(no_pipe)?) } else { None };
            Some((output().map_err(no_pipe)?, stderr))
        } else {
            None
        };
        Ok(Prepared { program, arguments, plain, about, stdin, streams, mailed })
    }

    /// What is to be started, as whom.
    pub(super) fn command<'a>(
        &'a self,
        prepared: &'a Prepared<'_>,
        known: &'a Known,
        base: &'a Base,
    ) -> Command<'a> {
        let (stdout, stderr) = match &prepared.streams {
            Some((stdout, stderr)) => {
                (stdout.theirs.as_fd(), stderr.as_ref().unwrap_or(stdout).theirs.as_fd())
            }
            None => (self.null.as_fd(), self.null.as_fd()),
        };
        let stdin = prepared.stdin.as_ref().map(|(pipe, _)| pipe.theirs.as_fd());
        let direct = |plain: &'a Plain| Direct { files: &plain.files, arguments: &plain.arguments };
        Command {
            direct: prepared.plain.as_ref().map(direct),
            program: prepared.program,
            arguments: &prepared.arguments,
            environment: [&base.environment, &prepared.about],
            cwd: &base.home,
            streams: [stdin.unwrap_or(self.nothing.as_fd()), stdout, stderr],
            subject: known.subject.as_ref(),
            descriptors: self.host.descriptors,
        }
    }

    /// A pipe that holds `text`, and how much of it; none where there is none.
    fn stdin(text: &[u8]) -> io::Result<Option<(Stream, usize)>> {
        if text.is_empty() {
            return Ok(None);
        }
        let (theirs, ours) = pipe::pair()?;
        fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let written = match nix::unistd::write(&ours, text) {
            Err(Errno::EAGAIN) => 0,
            written => written?,
        };
        Ok(Some((Stream { ours, theirs }, written)))
    }
}

/// A pipe for an output stream; our end does not block.
fn output() -> io::Result<Stream> {
    let (ours, theirs) = pipe::pair()?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(Stream { ours, theirs })
}
