//! A start to be made, and how far it has come.

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::courier::Courier;
use crate::crontab::Text;
use crate::event::Run;
use crate::store::{Handle, NotedStart, Start};
use crate::unix::Pid;

/// A start to be made.
#[derive(Debug)]
pub(super) struct Ticket {
    pub number: u64,
    pub what: What,
    /// The child, once there is one.
    pub pid: AtomicI32,
    stage: AtomicU8,
    /// How the start is noted before it is made; none: it is not.
    note: OnceLock<Note>,
    noting: AtomicU8,
    /// Whether it is made without a process here, once somebody has asked.
    carried: OnceLock<bool>,
}

/// How a start is noted.
#[derive(Debug)]
pub(super) struct Note {
    pub store: Handle,
    pub start: Start,
    pub replica: String,
}

/// What has come of noting a start.
#[derive(Debug)]
pub(super) enum Noting {
    /// It is to be made; what was noted is to be kept then.
    Make(Option<Box<Kept>>),
    /// It could not be noted, and is to be recorded in another way first.
    Unnoted,
    /// Another thread makes it: this one was waited for long enough.
    GivenUp,
}

/// A start that was noted: kept when this is dropped.
#[derive(Debug)]
pub(super) struct Kept(Handle, Option<NotedStart>);

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(noted) = self.1.take() {
            self.0.keep_start(noted);
        }
    }
}

/// What is to be started.
#[derive(Debug)]
pub(super) enum What {
    /// A run's command.
    Run(Arc<Run>),
    /// A program as the user of a run, with its arguments and what it reads.
    Errand(Arc<Run>, Vec<CString>, Vec<u8>),
}

const WAITING: u8 = 0;
const CLONING: u8 = 1;
const CANCELLED: u8 = 2;

const WANTED: u8 = 0;
const UNDER_WAY: u8 = 1;
const DONE: u8 = 2;
const GIVEN_UP: u8 = 3;

impl Ticket {
    pub(super) fn new(number: u64, what: What) -> Self {
        let (pid, stage) = (AtomicI32::new(0), AtomicU8::new(WAITING));
        let (note, noting) = (OnceLock::new(), AtomicU8::new(WANTED));
        Ticket { number, what, pid, stage, note, noting, carried: OnceLock::new() }
    }

    /// Whether its run is carried out by `courier`, who is asked once.
    pub(super) fn is_carried(&self, courier: &dyn Courier) -> bool {
        *self.carried.get_or_init(|| courier.takes(&self.run().fire.job))
    }

    /// Has its start noted before it is made, by the thread that makes it.
    pub(super) fn have_noted(&self, note: Note) {
        // It is asked for once.
        let _ = self.note.set(note);
    }

    /// Notes its start, if it is to be and was not yet. It may wait for a file system.
    pub(super) fn note(&self) -> Noting {
        let Some(Note { store, start, replica }) = self.note.get() else {
            return Noting::Make(None);
        };
        match self.go_on_noting(WANTED, UNDER_WAY) {
            Ok(()) => {}
            Err(UNDER_WAY) => return Noting::GivenUp,
            Err(_) => return Noting::Make(None),
        }
        let noted = store.note_start(start.clone(), replica);
        let is_noted = noted.is_some();
        let kept = Box::new(Kept(store.clone(), noted));
        match self.go_on_noting(UNDER_WAY, DONE) {
            Err(_) => Noting::GivenUp,
            Ok(()) if is_noted => Noting::Make(Some(kept)),
            Ok(()) => Noting::Unnoted,
        }
    }

    /// Waits no longer for the note of its start, if there is to be one; whether a thread was at it, which then makes no
    /// start. None: there is nothing to be waited for.
    pub(super) fn give_up_note(&self) -> Option<bool> {
        self.note.get()?;
        match self.go_on_noting(WANTED, GIVEN_UP) {
            Ok(()) => Some(false),
            Err(_) => self.go_on_noting(UNDER_WAY, GIVEN_UP).ok().map(|()| true),
        }
    }

    fn go_on_noting(&self, from: u8, to: u8) -> Result<(), u8> {
        self.noting.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    /// The run that it is about.
    pub(super) fn run(&self) -> &Arc<Run> {
        match &self.what {
            What::Run(run) | What::Errand(run, ..) => run,
        }
    }

    /// Whom it is started as.
    pub(super) fn user(&self) -> &[u8] {
        self.run().fire.job.user().as_bytes()
    }

    /// What the child reads.
    pub(super) fn stdin(&self) -> &[u8] {
        match &self.what {
            What::Run(run) => run.fire.job.action.stdin().map_or(&[], Text::as_bytes),
            What::Errand(.., stdin) => stdin,
        }
    }

    /// The child that is at its start, or nothing if there will be none: then the start was given up.
    pub(super) fn pid_or_cancel(&self) -> Option<Pid> {
        loop {
            match (self.step(WAITING, CANCELLED), self.pid.load(Ordering::Acquire)) {
                (Err(CLONING), pid @ 1..) => return Some(Pid::from_raw(pid)),
                // The system is making the process at this moment.
                (Err(CLONING), _) => thread::yield_now(),
                _ => return None,
            }
        }
    }

    /// Forgets the child of an earlier try.
    pub(super) fn begin(&self) {
        self.pid.store(0, Ordering::Release);
    }

    /// There will be a child from now on; false if it was given up.
    pub(super) fn go(&self) -> bool {
        self.step(WAITING, CLONING).is_ok()
    }

    /// The start has failed: nobody is to wait for a child that there is not, nor for one of a try that is made again.
    pub(super) fn fail(&self, is_passing: bool, child: Option<Pid>) {
        if is_passing || child.is_none() {
            // It may have been given up.
            let _ = self.step(CLONING, WAITING);
        }
    }

    fn step(&self, from: u8, to: u8) -> Result<u8, u8> {
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Whether it was given up before there was a child.
    pub(super) fn is_cancelled(&self) -> bool {
        self.stage.load(Ordering::Acquire) == CANCELLED
    }
}

#[cfg(test)]
impl Ticket {
    /// Of a run of `true`.
    pub(super) fn of_nothing() -> Self {
        use jiff::Timestamp;
        use jiff::civil::DateTime;

        use crate::crontab::{Dialect, Options, Source, parse};
        use crate::event::{Fire, RunId, Trigger};
        use crate::job::JobTable;
        use crate::schedule::{Due, Zone};

        let bytes = b"* * * * * true\n".to_vec();
        let source = Source { name: "crontab".into(), bytes, dialect: Dialect::user("root") };
        let crontab = parse(&source);
        let (zone, now) = (Zone::utc(), Timestamp::UNIX_EPOCH);
        let (pairs, none) = ([(&source, &crontab)], JobTable::default());
        let (table, ..) = JobTable::build(&pairs, &zone, &Options::default(), &none, now);
        let due = Due { at: now, civil: DateTime::ZERO };
        let fire =
            Fire { job: table.jobs()[0].clone(), due, trigger: Trigger::Schedule, generation: 0 };
        Ticket::new(1, What::Run(Arc::new(Run { id: RunId::new(now, 1), fire, attempt: 1 })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket::of_nothing()
    }

    #[test]
    fn a_start_that_failed_without_a_child_is_given_up_and_not_waited_for() {
        for is_passing in [false, true] {
            let ticket = ticket();
            assert!(ticket.go());
            ticket.fail(is_passing, None);
            assert_eq!(ticket.pid_or_cancel(), None);
            assert!(ticket.is_cancelled() && !ticket.go());
        }
    }

    #[test]
    fn a_child_is_known_until_its_start_is_made_again() {
        let ticket = ticket();
        assert!(ticket.go());
        ticket.pid.store(7, Ordering::Release);
        assert_eq!(ticket.pid_or_cancel(), Some(Pid::from_raw(7)));
        ticket.fail(true, Some(Pid::from_raw(7)));
        ticket.begin();
        assert!(ticket.go());
    }
}
