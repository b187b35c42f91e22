//! Runs a crontab through the scheduler's own thread, on a clock that moves from due to due.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cronkeep::clock::{Clock as _, ManualClock, Waker};
use cronkeep::crontab::{Dialect, FieldCount, Options, Source, parse};
use cronkeep::event::{Bus, Fire};
use cronkeep::job::JobTable;
use cronkeep::schedule::Zone;
use cronkeep::scheduler::{Pulse, Scheduler};
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// A run: what the clock showed, which entry, and the local minute for which it runs.
pub type Run = (Timestamp, usize, DateTime);

/// A scheduler with a vector's crontab in force.
pub struct Drive {
    pub clock: ManualClock,
    tables: Option<watch::Sender<Arc<JobTable>>>,
    waker: Waker,
    fires: mpsc::UnboundedReceiver<Fire>,
    thread: Option<JoinHandle<()>>,
}

impl Drive {
    /// Loads the vector's entries at `start`; the command of each is its place among them.
    pub fn start(vector: &Value, start: Timestamp) -> Self {
        let clock = ManualClock::new(start);
        let (tables, receiver) = watch::channel(table(vector, start));
        let alarm = clock.alarm().expect("a manual clock has alarms");
        let waker = alarm.waker();
        let (sender, fires) = mpsc::unbounded_channel();
        let scheduler = Scheduler {
            clock: Arc::new(clock.clone()),
            alarm,
            tables: receiver,
            origin: Arc::default(),
            missed: None,
            fires: sender,
            // Nobody listens, but it wakes up early all the same, which must not change anything.
            ahead: Some(mpsc::unbounded_channel().0),
            bus: Bus::builder().build(),
            pulse: Pulse::default(),
            fault: None,
        };
        let thread = Some(scheduler.spawn().expect("a thread"));
        Drive { clock, tables: Some(tables), waker, fires, thread }
    }

    /// Lets time pass from due to due, up to `until` and without it; returns what ran.
    pub fn pass(&mut self, until: Timestamp) -> Vec<Run> {
        let mut runs = self.ran();
        while let Some(next) = self.clock.wait_until_asleep().filter(|next| *next < until) {
            self.clock.advance(span(self.clock.now(), next));
            runs.extend(self.ran());
        }
        runs
    }

    /// Lets time pass up to `at`, where the clock is set by so many seconds before anybody looks at it.
    pub fn step(&mut self, at: Timestamp, by: i64) -> Vec<Run> {
        let to = Timestamp::from_second(at.as_second() + by).expect("in range");
        self.clock.pass_and_step(span(self.clock.now(), at), to);
        self.ran()
    }

    /// What has run since the last look, as the clock stands.
    fn ran(&mut self) -> Vec<Run> {
        let _ = self.clock.wait_until_asleep();
        let now = self.clock.now();
        let run = |fire: Fire| {
            let command = fire.job.action.command().to_string();
            (now, command.parse().expect("the entry's place"), fire.due.civil)
        };
        std::iter::from_fn(|| self.fires.try_recv().ok()).map(run).collect()
    }
}

impl Drop for Drive {
    fn drop(&mut self) {
        drop(self.tables.take());
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the scheduler ends without a panic");
        }
    }
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn table(vector: &Value, now: Timestamp) -> Arc<JobTable> {
    let lines = vector["entries"].as_array().expect("entries");
    let line = |(index, line): (usize, &Value)| {
        let own = vector.get("cron_tz").and_then(|zones| zones[index].as_str());
        let text = line.as_str().expect("an entry");
        format!("CRON_TZ={}\n{text} {index}\n", own.unwrap_or_default())
    };
    let text: String = lines.iter().enumerate().map(line).collect();
    let source = Source {
        name: "vector".into(),
        bytes: text.into_bytes(),
        dialect: Dialect { fields: FieldCount::Five, ..Dialect::user("root") },
    };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{}: {:?}", vector["id"], crontab.faults);
    let zone = Zone::named(vector["tz"].as_str().expect("tz")).expect("a known zone");
    let (options, before) = (Options::default(), JobTable::default());
    let (table, _, _) = JobTable::build(&[(&source, &crontab)], &zone, &options, &before, now);
    Arc::new(table)
}
