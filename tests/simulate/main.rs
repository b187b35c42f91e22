//! The scheduler's own thread on a clock that moves when it is told to.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cronkeep::clock::{Clock, ManualClock, Waker};
use cronkeep::crontab::{Dialect, Options, Source, parse};
use cronkeep::event::{Bus, Event, Fire};
use cronkeep::job::JobTable;
use cronkeep::schedule::Zone;
use cronkeep::scheduler::{Fault, Pulse, Scheduler};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

/// A scheduler that runs.
struct Simulation {
    clock: ManualClock,
    zone: Zone,
    table: Arc<JobTable>,
    tables: Option<watch::Sender<Arc<JobTable>>>,
    waker: Waker,
    fires: mpsc::UnboundedReceiver<Fire>,
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    thread: Option<JoinHandle<()>>,
}

impl Simulation {
    /// Loads a crontab at `now` in `zone` and lets the scheduler fall asleep.
    fn new(text: &str, zone: &str, now: &str) -> Self {
        Self::with_fault(text, zone, now, None)
    }

    fn with_fault(text: &str, zone: &str, now: &str, fault: Option<Fault>) -> Self {
        let clock = ManualClock::new(now.parse().unwrap());
        let zone = Zone::named(zone).unwrap();
        let table = load(text, &zone, &JobTable::default(), clock.now());
        let (tables, receiver) = watch::channel(Arc::clone(&table));
        let alarm = clock.alarm().unwrap();
        let waker = alarm.waker();
        let (sender, fires) = mpsc::unbounded_channel();
        let mut bus = Bus::builder();
        let events = bus.subscribe();
        let scheduler = Scheduler {
            clock: Arc::new(clock.clone()),
            alarm,
            tables: receiver,
            fires: sender,
            bus: bus.build(),
            pulse: Pulse::default(),
            fault,
        };
        let thread = scheduler.spawn().unwrap();
        let tables = Some(tables);
        let simulation =
            Simulation { clock, zone, table, tables, waker, fires, events, thread: Some(thread) };
        let _ = simulation.clock.wait_until_asleep();
        simulation
    }

    /// Puts another crontab in force.
    fn edit(&mut self, text: &str) {
        self.table = load(text, &self.zone, &self.table, self.clock.now());
        self.tables.as_ref().unwrap().send_replace(Arc::clone(&self.table));
        self.waker.wake();
        let _ = self.clock.wait_until_asleep();
    }

    /// Lets time pass in steps that the scheduler chooses: from each instant it sleeps for to the next.
    fn pass(&mut self, until: &str) {
        let until: Timestamp = until.parse().unwrap();
        while let Some(next) = self.clock.wait_until_asleep().filter(|next| *next <= until) {
            let span = next.duration_since(self.clock.now());
            self.clock.advance(Duration::try_from(span).unwrap_or_default());
        }
        let rest = until.duration_since(self.clock.now());
        self.clock.advance(Duration::try_from(rest).unwrap_or_default());
        let _ = self.clock.wait_until_asleep();
    }

    /// Sets the wall clock.
    fn step(&mut self, to: &str) {
        self.clock.step(to.parse().unwrap());
        let _ = self.clock.wait_until_asleep();
    }

    /// What has fired since the last look, as `command at`.
    fn fired(&mut self) -> Vec<String> {
        let mut fired = Vec::new();
        while let Ok(fire) = self.fires.try_recv() {
            let at = fire.due.at.to_zoned(self.zone.rules().clone());
            fired.push(format!("{} {}", fire.job.action.command(), at.strftime("%m-%d %H:%M")));
        }
        fired
    }

    fn events(&mut self) -> Vec<Arc<Event>> {
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

#[test]
fn it_sleeps_exactly_until_the_next_due() {
    let mut simulation = Simulation::new("30 2 * * * a\n", "UTC", "2026-01-01T00:00:00Z");
    assert_eq!(simulation.clock.wait_until_asleep(), Some("2026-01-01T02:30:00Z".parse().unwrap()));
    simulation.pass("2026-01-01T02:30:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 02:30"]);
    assert_eq!(simulation.clock.wait_until_asleep(), Some("2026-01-02T02:30:00Z".parse().unwrap()));
}

#[test]
fn a_year_of_days_fires_once_each_day_through_both_changes_of_the_clock() {
    let mut simulation = Simulation::new("30 2 * * * a\n", "Europe/Berlin", "2026-01-01T00:00:00Z");
    simulation.pass("2026-12-31T22:59:00Z");
    let fired = simulation.fired();
    assert_eq!(fired.len(), 365);
    assert!(fired.contains(&"a 03-29 03:00".to_owned()), "made up for after the gap");
    assert_eq!(fired.iter().filter(|fire| fire.starts_with("a 10-25")).count(), 1);
}

#[test]
fn an_edit_is_in_force_at_once_and_leaves_other_jobs_their_place() {
    let mut simulation =
        Simulation::new("@every 1h a\n0 12 * * * old\n", "UTC", "2026-01-01T00:30:00Z");
    simulation.pass("2026-01-01T01:00:00Z");
    simulation.edit("@every 1h a\n5 1 * * * new\n");
    simulation.pass("2026-01-01T13:00:00Z");
    let fired = simulation.fired();
    assert_eq!(fired[..3], ["new 01-01 01:05", "a 01-01 01:30", "a 01-01 02:30"]);
    assert!(!fired.iter().any(|fire| fire.starts_with("old")));
}

#[test]
fn an_empty_set_of_jobs_waits_for_an_edit() {
    let mut simulation = Simulation::new("", "UTC", "2026-01-01T00:00:00Z");
    assert_eq!(simulation.clock.wait_until_asleep(), None);
    simulation.edit("* * * * * a\n");
    simulation.pass("2026-01-01T00:01:00Z");
    assert_eq!(simulation.fired(), ["a 01-01 00:01"]);
}

#[test]
fn a_panic_loses_and_doubles_nothing() {
    let text = "* * * * * a\n* * * * * b\n";
    let fault = Some(Fault::PanicAfter(3));
    let mut simulation = Simulation::with_fault(text, "UTC", "2026-01-01T00:00:00Z", fault);
    simulation.pass("2026-01-01T00:03:00Z");
    assert_eq!(
        simulation.fired(),
        [
            "a 01-01 00:01",
            "b 01-01 00:01",
            "a 01-01 00:02",
            "b 01-01 00:02",
            "a 01-01 00:03",
            "b 01-01 00:03"
        ]
    );
    let restarts = simulation.events();
    let restarts =
        restarts.iter().filter(|event| matches!(***event, Event::SchedulerRestarted { .. }));
    assert_eq!(restarts.count(), 1);
}

#[test]
fn a_step_of_twenty_minutes_runs_wildcards_once_and_makes_up_for_fixed_minutes() {
    let text = "*/5 * * * * wild\n10 0 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T00:02:00Z");
    simulation.step("2026-01-01T00:22:00Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 00:10"]);
    let events = simulation.events();
    assert!(
        events
            .iter()
            .any(|event| matches!(&**event, Event::ClockStepped { by } if by.as_secs() == 1200))
    );
    assert!(
        events.iter().any(|event| matches!(&**event, Event::RunMissed { count: 4, .. })),
        "{events:?}"
    );
    simulation.pass("2026-01-01T00:25:00Z");
    assert_eq!(simulation.fired(), ["wild 01-01 00:25"]);
}

#[test]
fn a_step_back_of_half_an_hour_repeats_wildcards_but_not_fixed_minutes() {
    let text = "*/10 * * * * wild\n55 1 * * * fixed\n";
    let mut simulation = Simulation::new(text, "UTC", "2026-01-01T01:50:30Z");
    simulation.pass("2026-01-01T02:00:30Z");
    assert_eq!(simulation.fired(), ["fixed 01-01 01:55", "wild 01-01 02:00"]);
    simulation.step("2026-01-01T01:31:00Z");
    simulation.pass("2026-01-01T02:10:00Z");
    assert_eq!(
        simulation.fired(),
        ["wild 01-01 01:40", "wild 01-01 01:50", "wild 01-01 02:00", "wild 01-01 02:10"]
    );
}
