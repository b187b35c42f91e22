//! A courier that does as the command says, and an executor that has it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::event::{Bus, Cause, Outcome, Run, Stream, Usage};
use cronkeep::executor::{Carried, Carrying, Courier, Elsewhere, Executor, Host, Ledger, Lines};
use cronkeep::job::{Job, JobTable};
use cronkeep::unix::Account;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::harness::Daemon;

/// How long a run takes that is carried out elsewhere, by the clock there.
pub(crate) const FAR: Duration = Duration::from_secs(86_400);

/// Takes every command that begins with `carry`; what follows says what comes of it.
#[derive(Debug)]
pub(crate) struct Fake {
    /// How many attempts are being carried out at this moment.
    pub(crate) under_way: AtomicUsize,
    /// The run and the number of each attempt that was begun, in order.
    pub(crate) begun: Mutex<Vec<(String, u32)>>,
    /// One for each `carry await` that may succeed.
    pub(crate) may_end: Semaphore,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        let (under_way, begun) = (AtomicUsize::new(0), Mutex::default());
        Arc::new(Fake { under_way, begun, may_end: Semaphore::new(0) })
    }

    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }
}

/// Counts an attempt for as long as it is held.
struct Held(Arc<Fake>);

impl Held {
    fn new(fake: &Arc<Fake>) -> Self {
        fake.under_way.fetch_add(1, Ordering::SeqCst);
        Held(Arc::clone(fake))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The way to a [`Fake`] that an executor has.
#[derive(Debug)]
struct Way(Arc<Fake>);

impl Courier for Way {
    fn takes(&self, job: &Job) -> bool {
        job.action.command().as_bytes().starts_with(b"carry ")
    }

    fn carry(&self, run: Arc<Run>, lines: Lines) -> Carrying {
        self.0.begun.lock().unwrap().push((run.id.to_string(), run.attempt));
        let held = Held::new(&self.0);
        let command = run.fire.job.action.command().to_string_lossy().into_owned();
        assert_ne!(command, "carry nothing", "asked for");
        Box::pin(async move {
            let words: Vec<&str> = command.split(' ').collect();
            let exit = |exit| match exit {
                0 => Outcome::Succeeded { exit },
                exit => Outcome::Failed { exit },
            };
            let (outcome, cause) = match words[1] {
                "say" => {
                    lines.tell(Stream::Stdout, words[2]).await;
                    lines.tell(Stream::Stderr, b"and err".as_slice()).await;
                    (exit(0), None)
                }
                "exit" => (exit(words[2].parse().unwrap()), None),
                "kill" => (Outcome::Killed { signal: 9 }, None),
                "return" => (exit(1), Some(Cause::Returned)),
                "third" => (exit(if run.attempt == 3 { 0 } else { 7 }), None),
                "await" => {
                    held.0.may_end.acquire().await.unwrap().forget();
                    (exit(0), None)
                }
                "far" => {
                    let worker = "one".into();
                    let elsewhere = Elsewhere { worker, duration: Some(FAR) };
                    let carried = Carried::here(exit(0), None);
                    return Carried { elsewhere: Some(elsewhere), ..carried };
                }
                "hang" => {
                    lines.tell(Stream::Stdout, "begun").await;
                    std::future::pending().await
                }
                "panic" => {
                    lines.tell(Stream::Stdout, "before").await;
                    panic!("asked for {}", run.attempt)
                }
                // Tells for ever, from elsewhere too.
                "chatter" => {
                    let others = lines.clone();
                    tokio::spawn(async move {
                        loop {
                            others.tell(Stream::Stderr, "other").await;
                            tokio::task::yield_now().await;
                        }
                    });
                    loop {
                        lines.tell(Stream::Stdout, "x".repeat(1000)).await;
                        tokio::task::yield_now().await;
                    }
                }
                other => panic!("{other}"),
            };
            drop(held);
            let user = Duration::from_millis(3);
            let usage = Usage { user, ..Usage::default() };
            Carried { usage, ..Carried::here(outcome, cause) }
        })
    }
}

/// What an executor with a courier may have, too.
#[derive(Default)]
pub(crate) struct Beside {
    pub(crate) limit: Option<u32>,
    pub(crate) table: JobTable,
    pub(crate) ledger: Option<Ledger>,
    pub(crate) host: Option<Host>,
}

/// An executor that has it.
pub(crate) fn start_carrying(fake: &Arc<Fake>, beside: Beside) -> Daemon {
    let mut bus = Bus::builder();
    let events = bus.subscribe();
    let (fires, taken) = mpsc::unbounded_channel();
    let (ahead, announced) = mpsc::unbounded_channel();
    let host = beside.host.unwrap_or_else(|| Host::new(Account::current(), []));
    let (executor, handle) =
        Executor::new(host, Arc::new(SystemClock), bus.build(), taken).unwrap();
    // Its sender may go: the table stays.
    let table = watch::channel(Arc::new(beside.table)).1;
    let executor = executor.with_limit(beside.limit).with_tables(table);
    let mut executor =
        executor.with_announcements(announced).with_courier(Arc::new(Way(Arc::clone(fake))));
    if let Some(ledger) = beside.ledger {
        executor = executor.with_ledger(ledger);
    }
    let task = tokio::spawn(executor.run());
    Daemon { ahead, handle, fires, events, task }
}
