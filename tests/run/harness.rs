//! An executor that runs jobs of this user, and what it tells.

use std::ffi::OsString;
use std::fs;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::crontab::{Flags, Origin, Setting, Settings};
use cronkeep::event::{Bus, Ended, Event, Fire, Stream, Trigger};
use cronkeep::executor::{Executor, Handle, Host, Ledger};
use cronkeep::job::{Action, Job, JobId, JobKey, Naming, Policy, Terms, Timing};
use cronkeep::schedule::{Due, Schedule, Zone};
use cronkeep::unix::Account;
use jiff::Timestamp;
use jiff::civil::DateTime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// An executor waits for every child of its process, so there is one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Keeps every other test that starts processes from running.
pub(crate) fn lock() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test that starts processes, while no other one does.
pub(crate) fn alone(test: impl Future<Output = ()>) {
    let _alone = lock();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs");
    });
}

pub(crate) struct Daemon {
    pub(crate) ahead: mpsc::UnboundedSender<Arc<Job>>,
    pub(crate) handle: Handle,
    pub(crate) fires: mpsc::UnboundedSender<Fire>,
    pub(crate) events: mpsc::UnboundedReceiver<Arc<Event>>,
    pub(crate) task: JoinHandle<()>,
}

/// All that was told of one run.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) lines: Vec<(Stream, String)>,
    pub(crate) pid: Option<i32>,
    pub(crate) end: Ended,
    pub(crate) notices: Vec<String>,
}

impl Told {
    /// What was printed on descriptor 1, line by line.
    pub(crate) fn stdout(&self) -> Vec<&str> {
        let ours = self.lines.iter().filter(|(stream, _)| *stream == Stream::Stdout);
        ours.map(|(_, line)| line.as_str()).collect()
    }
}

pub(crate) fn start() -> Daemon {
    start_with(&[])
}

/// An executor whose daemon has this environment.
pub(crate) fn start_with(environment: &[(&str, &str)]) -> Daemon {
    let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
    let environment = environment.collect::<Vec<(OsString, OsString)>>();
    start_on(Host::new(Account::current(), environment))
}

/// An executor on this host.
pub(crate) fn start_on(host: Host) -> Daemon {
    start_recorded(host, None)
}

/// An executor that records its starts there.
pub(crate) fn start_recorded(host: Host, ledger: Option<Ledger>) -> Daemon {
    let mut bus = Bus::builder();
    let events = bus.subscribe();
    let (fires, taken) = mpsc::unbounded_channel();
    let (ahead, announced) = mpsc::unbounded_channel();
    let (executor, handle) =
        Executor::new(host, Arc::new(SystemClock), bus.build(), taken).unwrap();
    let mut executor = executor.with_announcements(announced);
    if let Some(ledger) = ledger {
        executor = executor.with_ledger(ledger);
    }
    let task = tokio::spawn(executor.run());
    Daemon { ahead, handle, fires, events, task }
}

impl Daemon {
    pub(crate) fn fire(&self, job: Job) {
        self.fire_at(&Arc::new(job), 0);
    }

    /// Fires for the instant so many seconds after the epoch.
    pub(crate) fn fire_at(&self, job: &Arc<Job>, second: i64) {
        let due = Due { at: Timestamp::from_second(second).unwrap(), civil: DateTime::ZERO };
        let job = Arc::clone(job);
        self.fires.send(Fire { job, due, trigger: Trigger::Schedule, generation: 0 }).unwrap();
    }

    pub(crate) async fn next(&mut self) -> Arc<Event> {
        self.events.recv().await.expect("the executor has gone")
    }

    /// The next line printed, whatever is told before it.
    pub(crate) async fn line(&mut self) -> String {
        loop {
            if let Event::RunOutput(line) = &*self.next().await {
                return String::from_utf8_lossy(&line.bytes).into_owned();
            }
        }
    }

    /// The end of the next run that ends, whatever is told before it.
    pub(crate) async fn end(&mut self) -> Ended {
        loop {
            if let Event::RunEnded(end) = &*self.next().await {
                return end.clone();
            }
        }
    }

    /// Lets it end, once every run has.
    pub(crate) async fn finish(self) {
        drop((self.fires, self.handle));
        self.task.await.unwrap();
    }

    /// Runs one job to its end.
    pub(crate) async fn run(&mut self, job: Job) -> Told {
        self.fire(job);
        let (mut lines, mut notices, mut pid) = (Vec::new(), Vec::new(), None);
        loop {
            match &*self.next().await {
                Event::RunStarted(started) => pid = started.pid,
                Event::RunOutput(line) => {
                    assert!(!line.detached, "before its end a run is not detached");
                    let text = String::from_utf8_lossy(&line.bytes).into_owned();
                    lines.push((line.stream, text));
                }
                Event::RunEnded(end) => return Told { lines, pid, end: end.clone(), notices },
                Event::Notice { text, .. } => notices.push(text.clone()),
                other => panic!("unexpected: {other:?}"),
            }
        }
    }
}

/// A job of this user's, with these settings.
pub(crate) fn job_with(settings: &[(&str, &str)], command: &str) -> Job {
    let setting =
        |&(name, value): &(&str, &str)| Setting { name: name.into(), value: value.into() };
    Job {
        key: JobKey { id: JobId([0x12; 8]), occurrence: 1 },
        line: 7,
        timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "@reboot".into() }),
        action: Action::Shell { command: command.into(), stdin: None },
        terms: Arc::new(Terms {
            file: "/etc/crontab".into(),
            origin: Origin::System,
            user: Account::current().name.as_str().into(),
            zone: Zone::utc(),
            settings: Arc::new(Settings(settings.iter().map(setting).collect())),
            policy: Arc::new(Policy::default()),
        }),
        naming: Some(Box::new(Naming { name: Some("probe".into()), description: None })),
        since: Timestamp::UNIX_EPOCH,
        flags: Flags::default(),
    }
}

pub(crate) fn job(command: &str) -> Job {
    job_with(&[("HOME", "/")], command)
}

/// A job that reads this.
pub(crate) fn reader(command: &str, stdin: &str) -> Job {
    let stdin = Some(Box::new(stdin.into()));
    Job { action: Action::Shell { command: command.into(), stdin }, ..job(command) }
}

/// A job of somebody else's.
pub(crate) fn of_user(user: &str, job: Job) -> Job {
    let terms = Terms { user: user.into(), ..(*job.terms).clone() };
    Job { terms: Arc::new(terms), ..job }
}

/// A job with another policy.
pub(crate) fn under(policy: Policy, job: Job) -> Job {
    let terms = Terms { policy: Arc::new(policy), ..(*job.terms).clone() };
    Job { terms: Arc::new(terms), ..job }
}

/// How many descriptors are open.
pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Yields until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
