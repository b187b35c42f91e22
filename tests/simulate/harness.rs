//! Runs the scheduler's own thread on a clock that moves when it is told to.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cronkeep::clock::{Clock, ManualClock, Waker};
use cronkeep::crontab::{Dialect, Options, Source, parse};
use cronkeep::event::{Bus, Event, Fire};
use cronkeep::job::{Job, JobTable};
use cronkeep::schedule::Zone;
use cronkeep::scheduler::{Fault, Pulse, Scheduler};
use jiff::Timestamp;
use jiff::civil::DateTime;
use tokio::sync::{mpsc, watch};

/// A scheduler that runs.
pub struct Simulation {
    pub clock: ManualClock,
    zone: Zone,
    table: Arc<JobTable>,
    tables: Option<watch::Sender<Arc<JobTable>>>,
    waker: Waker,
    fires: mpsc::UnboundedReceiver<Fire>,
    ahead: mpsc::UnboundedReceiver<Arc<Job>>,
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulation {
    /// Loads a crontab at `now` in `zone` and lets the scheduler fall asleep.
    pub fn new(text: &str, zone: &str, now: &str) -> Self {
        Self::with_fault(text, zone, now, None)
    }

    /// As `new`, and whose scheduler announces what comes.
    pub fn announcing(text: &str, zone: &str, now: &str) -> Self {
        Self::build(text, zone, now, None, true)
    }

    pub fn with_fault(text: &str, zone: &str, now: &str, fault: Option<Fault>) -> Self {
        Self::build(text, zone, now, fault, false)
    }

    fn build(text: &str, zone: &str, now: &str, fault: Option<Fault>, announces: bool) -> Self {
        let clock = ManualClock::new(now.parse().unwrap());
        let zone = Zone::named(zone).unwrap();
        let table = load(text, &zone, &JobTable::default(), clock.now());
        let (tables, receiver) = watch::channel(Arc::clone(&table));
        let alarm = clock.alarm().unwrap();
        let waker = alarm.waker();
        let (sender, fires) = mpsc::unbounded_channel();
        let (announce, ahead) = mpsc::unbounded_channel();
        let mut bus = Bus::builder();
        let events = bus.subscribe();
        let scheduler = Scheduler {
            clock: Arc::new(clock.clone()),
            alarm,
            tables: receiver,
            origin: Arc::default(),
            fires: sender,
            missed: None,
            ahead: announces.then_some(announce),
            bus: bus.build(),
            pulse: Pulse::default(),
            fault,
        };
        let thread = scheduler.spawn().unwrap();
        let tables = Some(tables);
        let thread = Some(thread);
        let simulation =
            Simulation { clock, zone, table, tables, waker, fires, ahead, events, thread };
        let _ = simulation.clock.wait_until_asleep();
        simulation
    }

    /// What the wall clock shows.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Puts another crontab in force.
    pub fn edit(&mut self, text: &str) {
        self.table = load(text, &self.zone, &self.table, self.clock.now());
        self.tables.as_ref().unwrap().send_replace(Arc::clone(&self.table));
        self.waker.wake();
        let _ = self.clock.wait_until_asleep();
    }

    /// Lets time pass in steps that the scheduler chooses: from each instant it sleeps for to the next.
    pub fn pass(&mut self, until: &str) {
        let until: Timestamp = until.parse().unwrap();
        while let Some(next) = self.clock.wait_until_asleep().filter(|next| *next <= until) {
            let span = next.duration_since(self.clock.now());
            self.clock.advance(Duration::try_from(span).unwrap_or_default());
        }
        let rest = until.duration_since(self.clock.now());
        self.clock.advance(Duration::try_from(rest).unwrap_or_default());
        let _ = self.clock.wait_until_asleep();
    }

    /// Lets time pass on both clocks while the scheduler cannot look, as when the daemon is stopped or the host suspended.
    pub fn sleep_through(&mut self, until: &str) {
        let until: Timestamp = until.parse().unwrap();
        let span = until.duration_since(self.clock.now());
        self.clock.advance(Duration::try_from(span).unwrap());
        let _ = self.clock.wait_until_asleep();
    }

    /// Sets the wall clock.
    pub fn step(&mut self, to: &str) {
        self.clock.step(to.parse().unwrap());
        let _ = self.clock.wait_until_asleep();
    }

    /// Lets time pass up to the next instant that the scheduler sleeps for, and tells which that is.
    pub fn pass_to_next(&mut self) -> Timestamp {
        let next = self.clock.wait_until_asleep().expect("it sleeps for nothing");
        let span = next.duration_since(self.clock.now());
        self.clock.advance(Duration::try_from(span).unwrap());
        let _ = self.clock.wait_until_asleep();
        next
    }

    /// The commands that were announced since the last look.
    pub fn announced(&mut self) -> Vec<String> {
        let command = |job: Arc<Job>| job.action.command().to_string();
        std::iter::from_fn(|| self.ahead.try_recv().ok()).map(command).collect()
    }

    /// What has fired since the last look, as `command at`.
    pub fn fired(&mut self) -> Vec<String> {
        let mut fired = Vec::new();
        while let Ok(fire) = self.fires.try_recv() {
            let at = fire.due.at.to_zoned(self.zone.rules().clone());
            fired.push(format!("{} {}", fire.job.action.command(), at.strftime("%m-%d %H:%M")));
        }
        fired
    }

    /// What has fired since the last look, as `command at trigger`.
    pub fn fired_for(&mut self) -> Vec<String> {
        let fire = |fire: Fire| {
            let at = fire.due.at.to_zoned(self.zone.rules().clone());
            let command = fire.job.action.command();
            format!("{command} {} {}", at.strftime("%m-%d %H:%M:%S"), fire.trigger)
        };
        std::iter::from_fn(|| self.fires.try_recv().ok()).map(fire).collect()
    }

    /// What has fired since the last look: what the clock showed then, the command, the minute for which it ran.
    pub fn ran(&mut self) -> Vec<(i64, String, DateTime)> {
        let _ = self.clock.wait_until_asleep();
        let now = self.clock.now().as_second();
        let run = |fire: Fire| (now, fire.job.action.command().to_string(), fire.due.civil);
        std::iter::from_fn(|| self.fires.try_recv().ok()).map(run).collect()
    }

    /// The ranges missed since the last look, as `command count first last: reason`.
    pub fn missed(&mut self) -> Vec<String> {
        let clock = |due: &cronkeep::schedule::Due| due.civil.strftime("%H:%M:%S").to_string();
        let events = self.events();
        let missed = events.iter().filter_map(|event| match &**event {
            Event::RunMissed { job, first, last, count, reason, .. } => Some(format!(
                "{} {count} {} {}: {reason}",
                job.action.command(),
                clock(first),
                clock(last)
            )),
            _ => None,
        });
        missed.collect()
    }

    pub fn events(&mut self) -> Vec<Arc<Event>> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        drop(self.tables.take());
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the scheduler survives its panics");
        }
    }
}

fn load(text: &str, zone: &Zone, previous: &JobTable, now: Timestamp) -> Arc<JobTable> {
    let bytes = text.as_bytes().to_vec();
    let source = Source { name: "test".into(), bytes, dialect: Dialect::user("root") };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let options = Options::default();
    let (table, _, _) = JobTable::build(&[(&source, &crontab)], zone, &options, previous, now);
    Arc::new(table)
}
