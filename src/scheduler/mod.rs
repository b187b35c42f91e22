//! Decides when a job is due, on a thread of its own.
//!
//! Receives job tables over a watch channel, hands on [`Fire`]s in order of their instants. Layer 6. It sleeps
//! until the next instant and never wakes in between, but twice shortly before it, to say that it comes; it does no
//! I/O, never waits for a sink, an executor or a store, and a panic in it is caught, told and survived.

pub mod due;
pub mod owed;
mod pulse;
pub mod resume;
pub mod step;

pub use pulse::Pulse;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, watch};

use crate::clock::{Alarm, Clock, Wake};
use crate::event::{Bus, Event, Fire, Trigger};
use crate::job::{Job, JobTable};
use due::{Agenda, Harvest};
use owed::Missed;
use resume::Origin;
use step::{DRIFT, Look, Shift, Tide};

/// The pause after a panic, so that a panic that repeats is no storm.
const PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// How long before an instant it is announced, each time.
///
/// First some times what a start takes that finds everything cold. Then once more, so that whoever starts it finds the core
/// awake: one that has slept for longer takes its time, thrice on the way of a start. Not later: who has worked a moment ago is
/// the last to get a core of a busy machine.
pub const LEADS: [SignedDuration; 2] =
    [SignedDuration::from_millis(10), SignedDuration::from_micros(500)];

/// What the scheduler is connected to.
pub struct Scheduler {
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// What it sleeps on: an alarm of that clock.
    pub alarm: Box<dyn Alarm>,
    /// The table in force; whoever replaces it wakes the alarm. Closed: the scheduler ends.
    pub tables: watch::Receiver<Arc<JobTable>>,
    /// Where an earlier life of the daemon is gone on from; set before the table that is the first to go on from there.
    pub origin: Arc<OnceLock<Arc<Origin>>>,
    /// Where fires go.
    pub fires: mpsc::UnboundedSender<Fire>,
    /// Where instants that are not started are told, if other replicas may have started them; none: on the bus.
    pub missed: Option<mpsc::UnboundedSender<Event>>,
    /// Where the first job of an instant is announced, [`LEADS`] before it; none: nowhere. It may not become due after
    /// all: the table may change until then, and the clock may be set.
    pub ahead: Option<mpsc::UnboundedSender<Arc<Job>>>,
    /// Where it tells what it noticed.
    pub bus: Bus,
    /// Where it acknowledges that it lives.
    pub pulse: Pulse,
    /// A fault that tests inject.
    pub fault: Option<Fault>,
}

/// A fault that only tests inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Panic once, after this many fires.
    PanicAfter(usize),
}

impl Scheduler {
    /// Starts the thread. It ends when the sender of the tables is gone and the alarm wakes it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn spawn(mut self) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("scheduler".into()).spawn(move || self.run())
    }

    /// Runs until the sender of the tables is gone.
    pub fn run(&mut self) {
        let mut state = State {
            tide: Tide::new(self.clock.now(), self.clock.monotonic()),
            agenda: Agenda::default(),
            pending: Some(Arc::clone(&self.tables.borrow_and_update())),
            harvest: Harvest::default(),
        };
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.turn(&mut state))) {
                Ok(true) => {}
                Ok(false) => return,
                Err(panic) => {
                    let parked = state.agenda.park_suspect();
                    let about = parked.map(|job| format!(" (about job {}, left out)", job.label()));
                    let panic = format!("{}{}", words_of(&*panic), about.unwrap_or_default());
                    self.bus.publish(Event::SchedulerRestarted { panic });
                    let until = self.clock.now().saturating_add(PAUSE).ok();
                    self.alarm.wait_until(until);
                }
            }
        }
    }

    /// Starts what is due, then sleeps until something may be; false when it is time to end.
    fn turn(&mut self, state: &mut State) -> bool {
        let asked = self.pulse.asked();
        match self.tables.has_changed() {
            Ok(true) => state.pending = Some(Arc::clone(&self.tables.borrow_and_update())),
            Ok(false) => {}
            Err(_) => return false,
        }
        if let Some(table) = &state.pending {
            if let Some(origin) = self.origin.get() {
                state.agenda.go_on(origin);
            }
            state.agenda.swap(Arc::clone(table), state.tide.handled, self.clock.now());
            state.pending = None;
        }
        let (tide, agenda) = (&mut state.tide, &mut state.agenda);
        let look = tide.look(self.clock.now(), self.clock.monotonic(), agenda.next());
        if look.by.abs() > DRIFT {
            self.bus.publish(Event::ClockStepped { by: look.by });
        }
        if matches!(look.shift, Shift::Back | Shift::JumpBack) {
            agenda.restart(look.now, look.shift);
            tide.resume(look.shift);
        }
        agenda.harvest(&look, &mut state.harvest);
        tide.settle(look.shift);
        // Before what comes after them is started: then they are known to be dealt with.
        for missed in state.harvest.missed.drain(..) {
            let event = told(missed, &look, agenda.generation());
            match &self.missed {
                // Whoever does not listen is not told.
                Some(missed) => drop(missed.send(event)),
                None => self.bus.publish(event),
            }
        }
        while let Some(fire) = state.harvest.fires.front() {
            self.inject_fault();
            if self.fires.send(fire.clone()).is_err() {
                return false;
            }
            state.harvest.fires.pop_front();
        }
        let next = state.wakes_at();
        self.pulse.turned(asked, next);
        if self.announce(&state.agenda, next) {
            self.alarm.wait_until(next);
        }
        true
    }

    /// Sleeps until shortly before `next` and announces its first job, as often as [`LEADS`] says; false if something else has ended the sleep.
    ///
    /// No look at the clock's tide comes of it: whatever happens, the turn that follows is as if nobody had woken up.
    fn announce(&mut self, agenda: &Agenda, next: Option<Timestamp>) -> bool {
        let (Some(ahead), Some(next)) = (&self.ahead, next) else { return true };
        let Some(job) = agenda.first_at(next) else { return true };
        for lead in LEADS {
            let Ok(early) = next.checked_sub(lead) else { continue };
            // Too late to be of use.
            if early <= self.clock.now() {
                continue;
            }
            if self.alarm.wait_until(Some(early)) != Wake::Due {
                return false;
            }
            // Whoever does not listen is not told.
            let _ = ahead.send(Arc::clone(job));
        }
        true
    }

    /// Panics if a test has asked for it, once.
    fn inject_fault(&mut self) {
        match &mut self.fault {
            Some(Fault::PanicAfter(0)) => {
                self.fault = None;
                panic!("a test asked for this");
            }
            Some(Fault::PanicAfter(left)) => *left -= 1,
            None => {}
        }
    }
}

/// What survives a panic: a turn changes it only where the change is complete.
#[derive(Debug)]
struct State {
    tide: Tide,
    agenda: Agenda,
    /// A table that is not in force yet.
    pending: Option<Arc<JobTable>>,
    /// Taken from the agenda, not handed on yet.
    harvest: Harvest,
}

impl State {
    /// The next instant at which something may have to be done.
    fn wakes_at(&self) -> Option<Timestamp> {
        match (self.tide.judged_at(), self.agenda.next_to_the_second()) {
            (None, _) => self.agenda.next(),
            (Some(judged), Some(next)) => Some(judged.min(next)),
            (judged, None) => judged,
        }
    }
}

/// The event that tells of missed instants.
fn told(Missed { job, first, last, count }: Missed, look: &Look, generation: u64) -> Event {
    let reason = match (look.stepped, look.shift) {
        (true, Shift::Jump) => "the clock was set ahead by more than three hours",
        (true, _) => "the clock was set ahead",
        (false, Shift::Jump) => "woken more than three hours late",
        (false, _) => "woken too late",
    };
    let trigger = Trigger::Schedule;
    let reason = reason.into();
    Event::RunMissed { job, first, last, count, reason, generation, trigger, run: None }
}

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
