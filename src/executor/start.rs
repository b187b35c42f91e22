//! Starting runs: what is begun here is made by the [`Starter`], and comes back as a [`Report`].

use std::collections::{HashMap, VecDeque};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::{mpsc, oneshot};

use super::Core;
use super::attend::Attendant;
use super::courier::Carried;
use super::life::Finish;
use super::mail::Mailer;
use super::output::Kept;
use super::output::Reader;
use super::shell::{Base, Host};
use super::starter::Starter;
use super::ticket::{Ticket, What};
use crate::clock::Clock;
use crate::crontab::Seeded;
use crate::event::{Bus, Ended, Event, Outcome, Run, RunId, Started, Stream, Usage};
use crate::store::{Permission, StoreError};
use crate::unix::{self, Errno, Pid, Signal, Status, process};

/// How soon a start that failed for a shortage is made again; twice as late each time, up to [`LONGEST_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(10);

/// How late at most.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// A child, and what it belongs to.
#[derive(Debug)]
pub(super) enum Child {
    /// The main process of a run.
    Run(Open),
    /// A program beside the runs; its status goes here.
    Errand(oneshot::Sender<Result<Status, String>>),
    /// What has not come to execute its program.
    Failed,
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
    /// A start could not be noted: it is to be recorded before it is made.
    Unnoted(u64),
    /// An errand is to be started.
    Asked(Errand),
    /// A child executes its program.
    Started(Begun),
    /// No program was executed.
    Failed(Failure),
    /// A start that had failed for a shortage is to be made again.
    Again(u64),
    /// Nobody waits any more for the errands whose receiver is gone.
    Abandoned,
    /// The store was asked for these starts, and has answered so.
    Recorded(Vec<Arc<Ticket>>, Result<Vec<Permission>, StoreError>),
    /// The store is to be asked again for these starts.
    Held(Vec<Arc<Ticket>>),
    /// Starts up to this ticket's that are still not made are not waited for with asking the store for more.
    Hanging(u64),
    /// The process of a run of an earlier life has ended.
    Gone(RunId),
    /// This attempt of a run without a process was carried out; whether its attendance is over, since nothing was printed.
    Carried(RunId, u32, Carried, bool),
}

/// A child that executes its program.
#[derive(Debug)]
pub(super) struct Begun {
    /// The ticket's.
    pub number: u64,
    pub pid: Pid,
    /// Wall time of the start.
    pub at: Timestamp,
    /// Elapsed time at the start.
    pub since: Duration,
    /// When the child was made, as the system tells it of a process, where that is known.
    pub birth: Option<u64>,
    /// The directory that it could not enter, and why: it is in `/`.
    pub astray: Option<(String, Errno)>,
    /// Where to read descriptors 1 and 2, the second if it is another pipe; non-blocking.
    pub output: Option<(OwnedFd, Option<OwnedFd>)>,
    /// What mails about it need, unless mail is off.
    pub base: Option<Arc<Base>>,
    /// Whether a mail will be due if it prints something.
    pub mailed: bool,
    /// Where to write what it reads, from which byte on; non-blocking.
    pub stdin: Option<(OwnedFd, usize)>,
}

/// A start that has failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// The ticket's.
    pub number: u64,
    /// A child that has ended for it, and has to be waited for.
    pub pid: Option<Pid>,
    pub reason: String,
    /// Whether something had run out that may be given back.
    pub is_passing: bool,
    /// What mails need about a run whose shell could not be executed.
    pub base: Option<Arc<Base>>,
}

/// The starts that were begun and of which nothing was reported yet.
#[derive(Debug)]
pub(super) struct Starts {
    starter: Starter,
    reports: mpsc::UnboundedSender<Report>,
    mailer: Arc<Mailer>,
    pending: HashMap<u64, Pending, Seeded>,
    numbers: u64,
    /// Children that were reaped before their start was reported.
    early: HashMap<Pid, unix::Ended>,
    /// Ends to be told, now that they are known to be a run's.
    ready: VecDeque<(unix::Ended, Open)>,
}

/// A start that was begun.
#[derive(Debug)]
struct Pending {
    ticket: Arc<Ticket>,
    /// Whom to tell of an errand's end.
    done: Option<oneshot::Sender<Result<Status, String>>>,
    /// Elapsed time when it was begun.
    since: Duration,
    delay: Duration,
}

impl Starts {
    /// Nothing begun, and where the reports will come.
    ///
    /// # Errors
    /// `/dev/null` or a pipe cannot be had.
    pub(super) fn new(
        host: Host,
        clock: Arc<dyn Clock>,
        bus: Bus,
    ) -> io::Result<(Self, mpsc::UnboundedReceiver<Report>)> {
        let (reports, told) = mpsc::unbounded_channel();
        let mailer = Arc::new(Mailer::new(Arc::clone(&host.post), reports.clone(), bus));
        let starts = Starts {
            mailer,
            starter: Starter::new(host, clock, reports.clone())?,
            reports,
            pending: HashMap::default(),
            numbers: 0,
            early: HashMap::new(),
            ready: VecDeque::new(),
        };
        Ok((starts, told))
    }

    /// Whether mails are still to be taken.
    pub(super) fn mails_wait(&self) -> bool {
        self.mailer.is_busy()
    }

    /// How many starts were begun and neither succeeded nor failed yet, errands included.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    fn begin(
        &mut self,
        what: What,
        done: Option<oneshot::Sender<Result<Status, String>>>,
        since: Duration,
    ) -> Arc<Ticket> {
        self.numbers += 1;
        let ticket = Arc::new(Ticket::new(self.numbers, what));
        let pending = Pending { ticket: Arc::clone(&ticket), done, since, delay: FIRST_DELAY };
        self.pending.insert(self.numbers, pending);
        ticket
    }

    /// What makes the starts.
    pub(super) fn starter(&self) -> &Starter {
        &self.starter
    }

    /// What sends mails.
    pub(super) fn mailer(&self) -> Arc<Mailer> {
        Arc::clone(&self.mailer)
    }

    /// A start that was begun.
    pub(super) fn ticket(&self, number: u64) -> Option<Arc<Ticket>> {
        self.pending.get(&number).map(|pending| Arc::clone(&pending.ticket))
    }

    /// Where reports are sent.
    pub(super) fn reports(&self) -> mpsc::UnboundedSender<Report> {
        self.reports.clone()
    }

    /// Forgets a start that was not made; false if it has ended already.
    pub(super) fn withdraw(&mut self, ticket: &Ticket) -> bool {
        self.pending.remove(&ticket.number).is_some()
    }

    /// Has a start made that was begun, unless it was given up meanwhile.
    pub(super) fn submit(&self, ticket: Arc<Ticket>) {
        let number = ticket.number;
        if let Err(error) = self.starter.submit(ticket) {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            self.fail(number, format!("no thread: {}", errno.desc()), true);
        }
    }

    /// Reports a failure to ourselves.
    pub(super) fn fail(&self, number: u64, reason: String, is_passing: bool) {
        let failure = Failure { number, pid: None, reason, is_passing, base: None };
        // Whoever is here can be told.
        let _ = self.reports.send(Report::Failed(failure));
    }
}

impl Core {
    /// Begins to start one attempt of a run; what becomes of it comes as a [`Report`], sooner or later.
    pub(super) fn begin(&mut self, run: Arc<Run>) {
        let ticket = self.starts.begin(What::Run(run), None, self.clock.monotonic());
        self.submit(ticket);
    }

    /// Takes a report: the run's main process lives from now on, or there will be none.
    pub(super) fn begun(&mut self, report: Report) {
        self.take(report);
        if !self.starts.ready.is_empty() {
            self.reap();
        }
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Asked(Errand { run, arguments, stdin, done }) => {
                let what = What::Errand(run, arguments, stdin);
                let ticket = self.starts.begin(what, Some(done), self.clock.monotonic());
                self.starts.submit(ticket);
            }
            Report::Again(number) => {
                if let Some(pending) = self.starts.pending.get(&number) {
                    self.starts.submit(Arc::clone(&pending.ticket));
                }
            }
            Report::Abandoned => self.kill_abandoned(),
            Report::Started(begun) => {
                self.made(begun.number);
                self.open(begun);
            }
            Report::Failed(failure) => {
                self.made(failure.number);
                self.fail(failure);
            }
            Report::Unnoted(number) => self.unnoted(number),
            Report::Hanging(last) => self.wait_no_longer(last),
            Report::Gone(run) => self.survivor_gone(run),
            Report::Carried(run, attempt, carried, is_quiet) => {
                self.carried_out(run, attempt, carried, is_quiet);
            }
            Report::Recorded(tickets, answer) => self.recorded(&tickets, answer),
            Report::Held(tickets) => self.ask_again(tickets),
        }
    }

    /// Keeps a child, and has it attended.
    fn open(&mut self, begun: Begun) {
        let Some(Pending { ticket, done, .. }) = self.starts.pending.remove(&begun.number) else {
            return;
        };
        let run = ticket.run();
        if let Some((home, why)) = begun.astray {
            let job = &run.fire.job;
            self.bus.publish(Event::Notice {
                file: Some(Arc::clone(job.file())),
                text: format!(
                    "line {}: no home directory {home:?}: {}; the job runs in /",
                    job.line,
                    why.desc()
                ),
                warning: true,
            });
        }
        let stdin = begun.stdin.and_then(|(pipe, from)| {
            let pipe = Sender::from_owned_fd_unchecked(pipe).ok()?;
            Some((pipe, Arc::clone(&ticket), from))
        });
        let child = if let Some(done) = done {
            if let Some(stdin) = stdin {
                tokio::spawn(super::attend::feed(Some(stdin)));
            }
            Child::Errand(done)
        } else {
            let pid = Some(begun.pid.as_raw());
            let started = Started { run: Arc::clone(run), pid, since: begun.birth, at: begun.at };
            self.bus.publish(Event::RunStarted(started.clone()));
            self.lives(&started);
            let (ended, told) = oneshot::channel();
            let (stdout, stderr) = begun.output.unzip();
            let stderr = stderr.flatten();
            let reader = |pipe| Receiver::from_owned_fd_unchecked(pipe).ok().map(Reader::new);
            let attendant = Attendant {
                run: Arc::clone(run),
                bus: self.bus.clone(),
                stdout: stdout.and_then(reader),
                stderr: stderr.and_then(reader),
                stdin,
                mail: begun.base.map(|base| (Arc::clone(&self.starts.mailer), base)),
                mailed: begun.mailed,
                ended: told,
                untold: self.untold(run),
            };
            tokio::spawn(attendant.attend());
            Child::Run(Open { started, since: begun.since, ended })
        };
        match (self.starts.early.remove(&begun.pid), child) {
            (None, child) => self.reaper.adopt(begun.pid, child),
            (Some(ended), Child::Run(open)) => self.starts.ready.push_back((ended, open)),
            (Some(ended), child) => finish_errand(ended, child),
        }
    }

    /// Has a start made again if that may help, or tells that it has failed.
    fn fail(&mut self, failure: Failure) {
        if let Some(pid) = failure.pid
            && self.starts.early.remove(&pid).is_none()
        {
            self.reaper.adopt(pid, Child::Failed);
        }
        let now = self.clock.monotonic();
        let Some(pending) = self.starts.pending.get_mut(&failure.number) else { return };
        let grace = pending.ticket.run().fire.job.policy().grace;
        let delay = pending.delay;
        if failure.is_passing && now.saturating_sub(pending.since) + delay <= grace {
            pending.delay = LONGEST_DELAY.min(delay * 2);
            let reports = self.starts.reports.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = reports.send(Report::Again(failure.number));
            });
            return;
        }
        let Some(pending) = self.starts.pending.remove(&failure.number) else { return };
        if let Some(done) = pending.done {
            // Whoever has lost interest need not be told.
            let _ = done.send(Err(failure.reason));
            return;
        }
        let run = Arc::clone(pending.ticket.run());
        if let Some(base) = failure.base {
            self.mail_failure(&run, &base, &failure.reason);
        }
        self.not_started(run, failure.reason);
    }

    /// Ends a start that has not been reported yet; whether a process was signalled.
    ///
    /// A child that hangs gets the signal; without a child, the start is given up, and that is reported as a failure once it
    /// is known to be ours.
    pub(super) fn end_start(&mut self, run: RunId, signal: Signal) -> bool {
        let found = self
            .starts
            .pending
            .iter()
            .find(|(_, pending)| pending.done.is_none() && pending.ticket.run().id == run);
        let Some((&number, pending)) = found else { return false };
        let ticket = Arc::clone(&pending.ticket);
        if let Some(pid) = ticket.pid_or_cancel() {
            // Reaped, which happens on this thread alone: the number may be another's by now.
            return !self.starts.early.contains_key(&pid) && process::signal(pid, signal);
        }
        if !self.is_undecided(&ticket) {
            self.end_unmade(number);
        }
        false
    }

    /// The next run whose main process has ended, and how; [`Core::reap`] takes them all.
    pub(super) fn next_ended(&mut self) -> Option<(unix::Ended, Open)> {
        loop {
            if let Some(ready) = self.starts.ready.pop_front() {
                return Some(ready);
            }
            let (ended, child) = self.reaper.reap()?;
            match child.or_else(|| self.whose(ended)) {
                Some(Child::Run(open)) => return Some((ended, open)),
                Some(child) => finish_errand(ended, child),
                None => {}
            }
        }
    }

    /// What a child belongs to that was reaped before it was known here; nothing if that is not known yet, or if nobody here
    /// has started it.
    fn whose(&mut self, ended: unix::Ended) -> Option<Child> {
        if self.starts.starter.is_starting(ended.pid) {
            self.starts.early.insert(ended.pid, ended);
            return None;
        }
        // If it was started here it has been reported meanwhile.
        while let Ok(report) = self.reports.try_recv() {
            self.take(report);
        }
        let child = self.reaper.take(ended.pid);
        if child.is_none() {
            self.reaper.count_orphan();
        }
        child
    }

    /// Whether a child lives or is being started.
    pub(super) fn is_busy(&self) -> bool {
        self.reaper.children().len() > 0 || self.starts.len() > 0
    }

    /// Mails that a shell could not be executed, in cronie's words.
    fn mail_failure(&self, run: &Arc<Run>, base: &Base, reason: &str) {
        let shell = base.shell.to_string_lossy();
        let why = reason.rsplit(": ").next().unwrap_or_default();
        let mut words = Kept::new(true);
        let text = format!("execl: couldn't exec `{shell}'\nexecl: {why}\n");
        words.push(Stream::Stderr, text.as_bytes());
        let outcome = Outcome::CouldNotStart { reason: reason.to_owned() };
        self.starts.mailer.mail(run, base, &words, &outcome);
    }

    /// Kills errands for which nobody waits any more.
    fn kill_abandoned(&mut self) {
        let abandoned = |done: &oneshot::Sender<_>| done.is_closed();
        for (pid, child) in self.reaper.children() {
            if let Child::Errand(done) = child
                && abandoned(done)
            {
                process::signal_group(pid, Signal::SIGKILL);
            }
        }
        for pending in self.starts.pending.values() {
            if pending.done.as_ref().is_some_and(abandoned)
                && let Some(pid) = pending.ticket.pid_or_cancel()
                && !self.starts.early.contains_key(&pid)
            {
                process::signal(pid, Signal::SIGKILL);
            }
        }
        // Those that were given up before there was a child are reported by nobody.
        self.starts.pending.retain(|_, pending| {
            !(pending.done.as_ref().is_some_and(abandoned) && pending.ticket.is_cancelled())
        });
    }

    /// Tells that no process came to be.
    pub(super) fn not_started(&mut self, run: Arc<Run>, reason: String) {
        let nothing = (Duration::ZERO, Usage::default());
        self.finish(run, Finish::NotStarted(reason), nothing, None);
    }
}

/// Tells of the end of a child that is no run.
fn finish_errand(ended: unix::Ended, child: Child) {
    if let Child::Errand(done) = child {
        // Whoever has lost interest need not be told.
        let _ = done.send(Ok(ended.status));
    }
}
