//! The threads that start children.
//!
//! A start makes its thread wait until the child executes its program, and that may take for ever: a home directory on a
//! file system that does not answer, a child that its user has stopped, a user database that is away. So starts are
//! made on threads of their own. One or two of them are enough as long as all is well; where none gets on while work waits
//! another joins them, and leaves when there is nothing left to do.

mod state;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use super::account::{self, Accounts, Answer, Known};
use super::birth::Births;
use super::setup::{Refusal, Setup};
use super::shell::{Base, Host};
use super::start::{Begun, Failure, Report};
use super::ticket::{Noting, Ticket, What};
use crate::clock::Clock;
use crate::event::{Fire, Run, RunId, Trigger};
use crate::job::Job;
use crate::schedule::Due;
use crate::unix::{Errno, Pid, Spawner, Step, pipe};
use state::{Active, FEW, State, Task};

/// Threads at most, however many starts hang.
const MOST: usize = 64;

/// When work has waited so long and no start has ended meanwhile, those under way hang, and others are made beside them.
const HANGS: Duration = Duration::from_millis(50);

/// How long a thread that is not needed stays.
const STAYS: Duration = Duration::from_secs(10);

/// Makes starts, on threads of its own, and reports each.
#[derive(Debug)]
pub(super) struct Starter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Told when no more than [`FEW`] tickets wait any longer.
    drained: Condvar,
    accounts: Mutex<Accounts>,
    setup: Setup,
}

impl Starter {
    /// Makes ready to start; the first thread comes with the first start.
    ///
    /// # Errors
    /// `/dev/null` or a pipe cannot be had.
    pub(super) fn new(
        host: Host,
        clock: Arc<dyn Clock>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> io::Result<Self> {
        let null = File::options().read(true).write(true).open("/dev/null");
        let null =
            null.map_err(|error| io::Error::new(error.kind(), format!("/dev/null: {error}")))?;
        let (nothing, _) = pipe::pair()?;
        let setup = Setup { host, clock, births: Births::default(), reports, null, nothing };
        Ok(Starter(Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            drained: Condvar::new(),
            accounts: Mutex::default(),
            setup,
        })))
    }

    /// Has a start made, and reported.
    ///
    /// # Errors
    /// There is no thread to make it, and none can be had.
    pub(super) fn submit(&self, ticket: Arc<Ticket>) -> io::Result<()> {
        let mut state = self.0.state();
        state.queue.push_back(ticket);
        if state.idle > 0 {
            let is_needed = state.needs_another();
            drop(state);
            if is_needed {
                self.0.changed.notify_one();
            }
            return Ok(());
        }
        let joined = self.0.join(&mut state);
        // Those that are there will come to it.
        if joined.is_err() && state.threads == 0 {
            state.queue.pop_back();
            return joined;
        }
        Ok(())
    }

    /// Whether more than a few starts are left to be made, and they get on.
    pub(super) fn has_many(&self) -> bool {
        self.0.state().has_many()
    }

    /// Waits until few starts are left to be made, but not for longer than `longest`; not at all if that is so, or if none has
    /// ended since that was waited for in vain.
    ///
    /// For whoever is told of what becomes of each, in a burst: to be woken for all of it at once leaves the cores to the
    /// starts.
    pub(super) fn wait_for_few(&self, longest: Duration) {
        let state = self.0.state();
        let ended = state.ended;
        let waited = self.0.drained.wait_timeout_while(state, longest, |state| state.has_many());
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            state.waited_at = (state.ended == ended).then_some(ended);
        }
    }

    /// Makes ready for a start of this job, which is due in a moment: finds out whom it runs as and what it is given, and
    /// thereby has a thread awake and in the caches what a start goes through. Without effect but for its being faster.
    pub(super) fn rehearse(&self, job: Arc<Job>) {
        let mut state = self.0.state();
        // One that hangs is not to cost more than its thread.
        if state.rehearses {
            return;
        }
        state.rehearsal = Some(job);
        if state.idle > 0 {
            drop(state);
            self.0.changed.notify_one();
        } else if self.0.join(&mut state).is_err() {
            state.rehearsal = None;
        }
    }

    /// Looks up what mails about a run need; its user may have to be asked for.
    pub(super) fn base_of(&self, run: &Arc<Run>) -> impl FnOnce() -> Option<Base> + Send + use<> {
        let (shared, run) = (Arc::clone(&self.0), Arc::clone(run));
        move || {
            let Setup { host, clock, .. } = &shared.setup;
            let job = &run.fire.job;
            let known = account::ask(host, &**clock, &job.user().to_string_lossy()).ok()?;
            Base::new(host, &job.terms, &known.account, |_| false).ok()
        }
    }

    /// Whether this is a child whose start has not been reported yet. One whose start has been is none, even if the
    /// report was not looked at yet.
    pub(super) fn is_starting(&self, pid: Pid) -> bool {
        let state = self.0.state();
        state.active.iter().any(|active| active.ticket.pid.load(Ordering::Acquire) == pid.as_raw())
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.closed = true;
        state.queue.clear();
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a thread, unless there are enough.
    fn join(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        if state.threads >= MOST {
            return Ok(());
        }
        let spawner = Spawner::new()?;
        let shared = Arc::clone(self);
        thread::Builder::new()
            .name("starter".into())
            .stack_size(256 << 10)
            .spawn(move || shared.work(spawner))?;
        state.threads += 1;
        Ok(())
    }

    /// What each thread does.
    fn work(self: &Arc<Self>, mut spawner: Spawner) {
        let mut state = self.state();
        while let Some((task, mut held)) = self.next(state) {
            if held.idle == 0 && !held.queue.is_empty() {
                // Without one more, a start that hangs holds up the others; nothing worse.
                let _ = self.join(&mut held);
            } else if !held.queue.is_empty() && held.needs_another() {
                self.changed.notify_one();
            }
            let is_alone = held.active.is_empty();
            drop(held);
            let ticket = match task {
                Task::Start(ticket) => ticket,
                Task::Rehearse(job) => {
                    if is_alone {
                        self.accounts().rest();
                    }
                    self.setup.rehearse(self, job, &mut spawner);
                    state = self.state();
                    state.rehearses = false;
                    continue;
                }
            };
            self.setup.make(self, &ticket, &mut spawner);
            state = self.state();
            // One of them: another thread may make it by now.
            let place = state.active.iter().position(|it| Arc::ptr_eq(&it.ticket, &ticket));
            if let Some(place) = place {
                state.active.remove(place);
            }
            state.ended += 1;
            if state.active.is_empty() && state.queue.is_empty() {
                self.accounts().rest();
            }
        }
    }

    /// Puts tickets before all others.
    fn put_first(self: &Arc<Self>, tickets: Vec<Arc<Ticket>>) {
        if tickets.is_empty() {
            return;
        }
        let mut state = self.state();
        for ticket in tickets.into_iter().rev() {
            state.queue.push_front(ticket);
        }
        if state.idle > 0 {
            self.changed.notify_one();
        } else {
            // Without one more they wait for those that are there.
            let _ = self.join(&mut state);
        }
    }

    /// The next task for the calling thread; none if it is not needed any more.
    fn next<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Option<(Task, MutexGuard<'a, State>)> {
        while !state.closed {
            let next = state.next_place(&self.setup.host.account);
            if !state.is_busy()
                && let Some(ticket) = next.and_then(|place| state.queue.remove(place))
            {
                if state.queue.len() == FEW {
                    self.drained.notify_all();
                }
                state.active.push(Active { ticket: Arc::clone(&ticket), hangs: false });
                return Some((Task::Start(ticket), state));
            }
            if let Some(job) = state.rehearsal.take() {
                state.rehearses = true;
                return Some((Task::Rehearse(job), state));
            }
            let ended = state.ended;
            let watches = usize::from(next.is_some());
            state.idle += 1;
            state.watchers += watches;
            let timeout = match (next.is_none(), state.idle) {
                (true, 1) => None,
                (true, _) => Some(STAYS),
                (false, _) => Some(HANGS),
            };
            let timed_out;
            (state, timed_out) = match timeout {
                None => {
                    let woken = self.changed.wait(state);
                    (woken.unwrap_or_else(PoisonError::into_inner), false)
                }
                Some(timeout) => {
                    let woken = self.changed.wait_timeout(state, timeout);
                    let (state, result) = woken.unwrap_or_else(PoisonError::into_inner);
                    (state, result.timed_out())
                }
            };
            state.idle -= 1;
            state.watchers -= watches;
            if timed_out && timeout == Some(STAYS) && next.is_none() && state.idle > 0 {
                break;
            }
            if timed_out && timeout == Some(HANGS) && state.ended == ended {
                for active in &mut state.active {
                    active.hangs = true;
                }
            }
        }
        state.threads -= 1;
        None
    }
}

impl Setup {
    /// Makes a start and reports it, unless it is given up.
    fn make(&self, shared: &Arc<Shared>, ticket: &Arc<Ticket>, spawner: &mut Spawner) {
        let kept = match ticket.note() {
            Noting::Make(kept) => kept,
            Noting::Unnoted => {
                // Without an actor there is nobody to tell.
                let _ = self.reports.send(Report::Unnoted(ticket.number));
                return;
            }
            Noting::GivenUp => return,
        };
        ticket.begin();
        let user = ticket.run().fire.job.user().to_string_lossy();
        let answer = shared.accounts().get(ticket, self.clock.monotonic());
        let known = match answer {
            Answer::Known(known) => known,
            Answer::Wait => return,
            Answer::Ask => self.ask(shared, &user),
        };
        let made = known.map_err(Refusal::new).and_then(|known| {
            let base = self.base(shared, ticket, &known)?;
            self.start(ticket, &known, &base, spawner)
        });
        let report = match made {
            Ok(Some(begun)) => Report::Started(begun),
            Ok(None) => return,
            Err(refusal) => {
                ticket.fail(refusal.is_passing, refusal.pid);
                Report::Failed(Failure {
                    number: ticket.number,
                    pid: refusal.pid,
                    reason: refusal.reason,
                    is_passing: refusal.is_passing,
                    base: refusal.base,
                })
            }
        };
        // Before the start is told: what is recorded of that comes after it.
        drop(kept);
        // Without an actor there is nobody to tell.
        let _ = self.reports.send(report);
    }

    /// Asks the user database.
    fn ask(&self, shared: &Arc<Shared>, user: &str) -> Result<Arc<Known>, String> {
        let known = account::ask(&self.host, &*self.clock, user);
        let now = self.clock.monotonic();
        // Those that have waited for it do not wait for this start, which may hang.
        let waited = shared.accounts().put(user, known.clone(), now);
        shared.put_first(waited);
        known
    }

    /// What runs like that of a ticket have in common.
    fn base(
        &self,
        shared: &Shared,
        ticket: &Ticket,
        known: &Arc<Known>,
    ) -> Result<Arc<Base>, Refusal> {
        let terms = &ticket.run().fire.job.terms;
        let base = shared.accounts().base(&self.host, terms, known, self.clock.monotonic());
        base.map_err(Refusal::new)
    }

    /// Does all that comes before the child of a job's run, but makes none.
    fn rehearse(&self, shared: &Arc<Shared>, job: Arc<Job>, spawner: &mut Spawner) {
        let at = self.clock.now();
        let due = Due { at, civil: job.zone().civil(at) };
        let fire = Fire { job, due, trigger: Trigger::Schedule, generation: 0 };
        let run = Run { id: RunId::new(at, 0), fire, attempt: 1 };
        let ticket = Ticket::new(0, What::Run(Arc::new(run)));
        let user = ticket.run().fire.job.user().to_string_lossy();
        let answer = shared.accounts().foresee(&user, self.clock.monotonic());
        let known = match answer {
            Some(Answer::Known(known)) => known,
            Some(Answer::Ask) => self.ask(shared, &user),
            Some(Answer::Wait) | None => return,
        };
        // Whatever is wrong will be told of the run.
        let Ok(known) = known else { return };
        let Ok(base) = self.base(shared, &ticket, &known) else { return };
        let _ = self.prepare(&ticket, &base).map(|prepared| {
            spawner.rehearse(&self.command(&prepared, &known, &base));
        });
    }

    /// Starts the child of a ticket; nothing if it was given up before there was one.
    fn start(
        &self,
        ticket: &Ticket,
        known: &Known,
        base: &Arc<Base>,
        spawner: &mut Spawner,
    ) -> Result<Option<Begun>, Refusal> {
        let prepared = self.prepare(ticket, base)?;
        let command = self.command(&prepared, known, base);
        if !ticket.go() {
            return Ok(None);
        }
        let (at, since) = (self.clock.now(), self.clock.monotonic());
        let made = spawner.spawn(&command, &ticket.pid).map_err(|error| Refusal {
            pid: error.pid,
            is_passing: error.is_passing(),
            reason: match error.step {
                Step::Execute if matches!(ticket.what, What::Errand(..)) => {
                    format!("{}: {}", prepared.program.to_string_lossy(), error.errno.desc())
                }
                Step::Execute => words(prepared.program, error.errno),
                _ => error.to_string(),
            },
            base: (error.step == Step::Execute && prepared.streams.is_some())
                .then(|| Arc::clone(base)),
        })?;
        let birth = self.births.of(made.pid, since, self.clock.monotonic());
        let home = || base.home.to_string_lossy().into_owned();
        Ok(Some(Begun {
            number: ticket.number,
            pid: made.pid,
            at,
            since,
            birth,
            astray: made.astray.map(|errno| (home(), errno)),
            output: prepared
                .streams
                .map(|(stdout, stderr)| (stdout.ours, stderr.map(|pipe| pipe.ours))),
            base: base.envelope.is_some().then(|| Arc::clone(base)),
            mailed: prepared.mailed,
            // What has gone into the pipe at once needs nobody to feed it.
            stdin: prepared
                .stdin
                .filter(|(_, written)| *written < ticket.stdin().len())
                .map(|(pipe, written)| (pipe.ours, written)),
        }))
    }
}

/// Why a shell cannot be executed; where its own text is to blame, what belongs there. The error's words come last: mails
/// have them as cronie does.
fn words(program: &CStr, errno: Errno) -> String {
    let shown = program.to_string_lossy();
    let shown = match program.to_bytes() {
        [] => "SHELL is empty".into(),
        _ if errno != Errno::ENOENT => shown,
        [b'/', rest @ ..] if rest.contains(&b' ') => {
            format!("{shown} (SHELL is a path alone, without options)").into()
        }
        [b'/', ..] => shown,
        _ => format!("{shown} (SHELL needs its full path)").into(),
    };
    format!("{shown}: {}", errno.desc())
}

#[cfg(test)]
mod tests;
