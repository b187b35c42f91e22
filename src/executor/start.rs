//! Starting a run.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::{SFlag, stat};
use nix::unistd::{AccessFlags, access};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};

use super::attend::Attendant;
use super::output::Reader;
use super::shell::Launch;
use super::Core;
use crate::crontab::Text;
use crate::crontab::directive::Output;
use crate::event::{Ended, Event, Run, RunId, Started};
use crate::unix::{self, Command, Pid, Signal, Status, pipe};

/// A child, and what it belongs to.
#[derive(Debug)]
pub(super) enum Child {
    /// The main process of a run.
    Run(Open),
    /// A program beside the runs; its status goes here.
    Errand(oneshot::Sender<Result<Status, String>>),
}

/// A run whose main process lives.
#[derive(Debug)]
pub(super) struct Open {
    pub started: Started,
    /// Elapsed time at its start.
    pub since: Duration,
    pub ended: oneshot::Sender<Ended>,
}

/// A program that is run beside the runs, as the user of one of them: sendmail.
#[derive(Debug)]
pub(super) struct Errand {
    /// Whose user, and whose environment, settings and home it gets.
    pub run: Arc<Run>,
    /// The program's path and its arguments, its own name first; it is not looked up in `PATH`, no shell is needed.
    pub arguments: Vec<CString>,
    /// What it reads.
    pub stdin: Vec<u8>,
    /// Gets its status, or why it could not be started. Its output is thrown away.
    pub done: oneshot::Sender<Result<Status, String>>,
}

/// What the actor is told of starts; all of it goes to [`Core::begun`].
#[derive(Debug)]
pub(super) enum Report {
    /// An errand is to be started.
    Asked(Errand),
}

/// The starts that were begun and of which nothing was reported yet.
#[derive(Debug)]
pub(super) struct Starts {
    reports: mpsc::UnboundedSender<Report>,
    null: Arc<File>,
}

impl Starts {
    /// Nothing begun, and where the reports will come.
    ///
    /// # Errors
    /// `/dev/null` cannot be opened.
    pub(super) fn new() -> io::Result<(Self, mpsc::UnboundedReceiver<Report>)> {
        let (reports, told) = mpsc::unbounded_channel();
        let null = Arc::new(File::options().read(true).write(true).open("/dev/null")?);
        Ok((Starts { reports, null }, told))
    }

    /// Where errands can be asked for, by any task.
    pub(super) fn errands(&self) -> mpsc::UnboundedSender<Report> {
        self.reports.clone()
    }

    /// How many starts were begun and neither succeeded nor failed yet.
    pub(super) fn len(&self) -> usize {
        0
    }
}

impl Core {
    /// Begins to start one attempt of a run; what becomes of it comes as a [`Report`], sooner or later.
    pub(super) fn begin(&mut self, run: Arc<Run>) {
        let at = self.clock.now();
        if let Err(reason) = self.try_start(&run, at) {
            self.not_started(run, reason);
        }
    }

    /// Takes a report: the run's main process lives from now on, or there will be none.
    pub(super) fn begun(&mut self, report: Report) {
        match report {
            // Whoever has lost interest need not be told.
            Report::Asked(errand) => {
                let _ = errand.done.send(Err("not carried out".into()));
            }
        }
    }

    /// Ends a start that has not been reported yet; false if the run is not at its start.
    ///
    /// The report comes all the same.
    pub(super) fn end_start(&mut self, _run: RunId, _signal: Signal) -> bool {
        false
    }

    /// The next run whose main process has ended, and how; [`Core::reap`] takes them all.
    pub(super) fn next_ended(&mut self) -> Option<(unix::Ended, Open)> {
        while let Some((ended, child)) = self.reaper.reap() {
            match child {
                Child::Run(open) => return Some((ended, open)),
                Child::Errand(done) => {
                    let _ = done.send(Ok(ended.status));
                }
            }
        }
        None
    }

    /// The runs whose main process lives, and that process.
    pub(super) fn runs(&self) -> impl Iterator<Item = (Pid, &Open)> {
        self.reaper.children().filter_map(|(pid, child)| match child {
            Child::Run(open) => Some((pid, open)),
            Child::Errand(_) => None,
        })
    }

    /// Whether a child lives or is being started.
    pub(super) fn is_busy(&self) -> bool {
        self.reaper.children().len() > 0 || self.starts.len() > 0
    }

    /// Tells that no process came to be.
    fn not_started(&mut self, run: Arc<Run>, reason: String) {
        self.finish(run, Err(reason), Default::default(), None);
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
        let null = Arc::clone(&self.starts.null);
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
            untold: self.untold(run),
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
            Child::Run(Open { started: start, since: begin.since, ended })
        })?;
        if let Some(started) = started {
            self.lives(&started);
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
