//! Starting a run.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::oneshot;

use super::attend::Attendant;
use super::output::Reader;
use super::shell::Launch;
use super::{Core, Open};
use crate::crontab::Text;
use crate::crontab::directive::Output;
use crate::event::{Ended, Event, Fire, Outcome, Run, RunId, Started, Usage};
use crate::unix::{Command, pipe};

impl Core {
    /// Starts the run that `fire` asks for, or tells why not.
    pub(super) fn start(&mut self, fire: Fire) -> RunId {
        let at = self.clock.now();
        let id = self.ids.next(at);
        let run = Arc::new(Run { id, fire, attempt: 1 });
        if let Err(reason) = self.try_start(&run, at) {
            self.bus.publish(Event::RunEnded(Ended {
                run,
                outcome: Outcome::CouldNotStart { reason },
                cause: None,
                retry: None,
                at,
                duration: Duration::ZERO,
                usage: Usage::default(),
            }));
        }
        id
    }

    fn try_start(&mut self, run: &Arc<Run>, at: jiff::Timestamp) -> Result<(), String> {
        let job = &run.fire.job;
        let account = &self.host.account;
        if !account.is(job.user().as_bytes()) {
            return Err(format!("it belongs to {}, and we are {}", job.user(), account.name));
        }
        let launch = Launch::new(&self.host, run)?;
        let no_pipe = |error: io::Error| format!("no pipe: {}", words(&error));
        let text = job.action.stdin();
        let (stdin, rest) = stdin(text.map_or(&[], Text::as_bytes)).map_err(no_pipe)?;
        let streams = match job.policy().output {
            Output::Log => Some((output().map_err(no_pipe)?, output().map_err(no_pipe)?)),
            Output::None => None,
        };
        let null = Arc::clone(&self.null);
        let (stdout, stderr) = match &streams {
            Some(((_, stdout), (_, stderr))) => (stdout.as_fd(), stderr.as_fd()),
            None => (null.as_fd(), null.as_fd()),
        };
        let since = self.clock.monotonic();
        let ended =
            self.launch(run, &launch, Begin { at, since }, [stdin.as_fd(), stdout, stderr])?;
        let (stdout, stderr) = streams.map(|(stdout, stderr)| (stdout.0, stderr.0)).unzip();
        let attendant = Attendant {
            run: Arc::clone(run),
            bus: self.bus.clone(),
            stdout,
            stderr,
            stdin: rest.zip(text).map(|((pipe, from), text)| (pipe, text.clone(), from)),
            ended,
            untold: self.untold.clone(),
        };
        tokio::spawn(attendant.attend());
        Ok(())
    }

    /// Executes the shell, in `/` where the home directory cannot be entered.
    fn launch(
        &mut self,
        run: &Arc<Run>,
        launch: &Launch,
        begin: Begin,
        streams: [BorrowedFd<'_>; 3],
    ) -> Result<oneshot::Receiver<Ended>, String> {
        let mut error = match self.execute(run, launch, &launch.home, begin, streams) {
            Ok(ended) => return Ok(ended),
            Err(error) => error,
        };
        // posix_spawn does not tell which of its steps failed.
        if let Err(why) = enter(&launch.home) {
            let job = &run.fire.job;
            let home = launch.home.to_string_lossy();
            self.bus.publish(Event::Notice {
                file: Some(Arc::clone(job.file())),
                text: format!(
                    "line {}: no home directory {home:?}: {}; the job runs in /",
                    job.line,
                    why.desc()
                ),
                warning: true,
            });
            match self.execute(run, launch, c"/", begin, streams) {
                Ok(ended) => return Ok(ended),
                Err(again) => error = again,
            }
        }
        Err(format!("{}: {}", launch.arguments[0].to_string_lossy(), words(&error)))
    }

    fn execute(
        &mut self,
        run: &Arc<Run>,
        launch: &Launch,
        cwd: &CStr,
        begin: Begin,
        [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
    ) -> io::Result<oneshot::Receiver<Ended>> {
        let command = Command {
            program: &launch.arguments[0],
            arguments: &launch.arguments,
            environment: &launch.environment,
            cwd,
            stdin,
            stdout,
            stderr,
        };
        let (ended, told) = oneshot::channel();
        let mut started = None;
        self.reaper.start(&command, |pid| {
            let start = Started { run: Arc::clone(run), pid: pid.as_raw(), at: begin.at };
            started = Some(start.clone());
            Open { started: start, since: begin.since, ended }
        })?;
        if let Some(started) = started {
            self.bus.publish(Event::RunStarted(started));
        }
        Ok(told)
    }
}

/// When a run began, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Begin {
    at: jiff::Timestamp,
    since: Duration,
}

/// A pipe for an output stream: our end, and the run's.
fn output() -> io::Result<(Reader, OwnedFd)> {
    let (ours, theirs) = pipe::pair()?;
    Ok((Reader::new(Receiver::from_owned_fd(ours)?), theirs))
}

/// A pipe that holds `text`: the run's end, and ours if the text did not fit, with how much did.
fn stdin(text: &[u8]) -> io::Result<(OwnedFd, Option<(Sender, usize)>)> {
    let (theirs, ours) = pipe::pair()?;
    if text.is_empty() {
        return Ok((theirs, None));
    }
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let written = match nix::unistd::write(&ours, text) {
        Err(Errno::EAGAIN) => 0,
        written => written?,
    };
    if written == text.len() {
        return Ok((theirs, None));
    }
    Ok((theirs, Some((Sender::from_owned_fd(ours)?, written))))
}

/// Whether a directory can be made the working directory.
fn enter(directory: &CStr) -> nix::Result<()> {
    let kind = SFlag::from_bits_truncate(stat(directory)?.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    access(directory, AccessFlags::X_OK)
}

/// An error in the system's words, without its number.
fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(number) => Errno::from_raw(number).desc().to_owned(),
        None => error.to_string(),
    }
}
