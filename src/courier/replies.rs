//! The queue where workers report: one of this daemon's own, that outlives it for a while.
//!
//! Its name is kept in the state directory, so that after a restart what was reported meanwhile is still heard. Read from
//! the first order on, or from the start where there was one before.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, DirBuilder, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::report;
use crate::broker::{Broker, Consuming, Deliveries, Queue, Received};
use crate::clock::{Clock as _, SystemClock};
use crate::event::{Bus, Ended, Event, Line, Outcome, Run, Stream, Usage};
use crate::executor::output::Count;
use crate::message::Report;
use crate::message::report::{News, Printed};
use crate::message::signature::Key;

/// The file in the state directory that holds the queue's name.
const FILE: &str = "reply-queue";

/// What the names of such queues begin with.
const PREFIX: &str = "cronkeep.reports.";

/// How long the queue outlives its reader.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// So many reports are fetched ahead.
const PREFETCH: u16 = 64;

/// So many orders whose end was told are remembered, so that it is not told twice.
const ENDED: usize = 4096;

/// The queue where workers report.
pub(super) struct Replies {
    broker: Broker,
    name: String,
    /// Whether an earlier life of this daemon has used it.
    is_old: bool,
    key: Option<Arc<Key>>,
    bus: Bus,
    shelf: Mutex<Shelf>,
    /// How the subscription stands, once there is one.
    reading: OnceLock<watch::Receiver<Consuming>>,
}

#[derive(Default)]
struct Shelf {
    /// Who waits for the reports of an order.
    open: HashMap<String, mpsc::UnboundedSender<Report>>,
    ended: VecDeque<String>,
}

/// Receives the reports of one order.
pub(super) struct Reports {
    replies: Arc<Replies>,
    order: String,
    told: mpsc::UnboundedReceiver<Report>,
}

impl Replies {
    /// The queue whose name stands in `folder`; nothing is read from it yet.
    pub(super) fn new(folder: &Path, broker: Broker, key: Option<Arc<Key>>, bus: Bus) -> Arc<Self> {
        let (name, is_old) = match kept(folder) {
            Some(name) => (name, true),
            None => (make(folder, &bus), false),
        };
        let (shelf, reading) = (Mutex::default(), OnceLock::new());
        Arc::new(Replies { broker, name, is_old, key, bus, shelf, reading })
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The broker that has it.
    pub(super) fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The key that reports are signed with.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }

    /// Begins to read what was reported to an earlier life of this daemon, if there was one that sent orders.
    pub(super) fn resume(self: &Arc<Self>) {
        if self.is_old {
            self.read();
        }
    }

    /// What is reported of this order from now on.
    pub(super) fn of(self: &Arc<Self>, order: &str) -> Reports {
        self.read();
        let (sender, told) = mpsc::unbounded_channel();
        self.shelf().open.insert(order.to_owned(), sender);
        Reports { replies: Arc::clone(self), order: order.to_owned(), told }
    }

    /// Begins to read, once.
    fn read(self: &Arc<Self>) -> watch::Receiver<Consuming> {
        let begin = || {
            let (name, expires) = (self.name.clone(), KEPT);
            let queue = Queue::Kept { name, expires, prefetch: PREFETCH };
            let deliveries = self.broker.consume(queue);
            let consuming = deliveries.consuming();
            tokio::spawn(follow(Arc::clone(self), deliveries));
            consuming
        };
        self.reading.get_or_init(begin).clone()
    }

    /// Waits until the queue is there: what is reported before is lost.
    pub(super) async fn ready(self: &Arc<Self>) {
        let mut consuming = self.read();
        // Without a broker there is nothing to wait for.
        let _ = consuming.wait_for(|consuming| *consuming == Consuming::On).await;
    }

    /// Hands a report to whoever waits for it, or tells it for lack of one.
    async fn take(&self, report: Report) {
        if let Some(report) = self.hand_on(report) {
            self.tell(report).await;
        }
    }

    /// Hands a report to whoever waits for it; the report, if nobody does and it is news.
    fn hand_on(&self, report: Report) -> Option<Report> {
        let mut kept = self.shelf();
        let is_awaited = kept.open.contains_key(&report.order);
        if !is_awaited && kept.ended.contains(&report.order) {
            return None;
        }
        if matches!(report.news, News::Ended(_)) {
            kept.ended.push_back(report.order.clone());
            if kept.ended.len() > ENDED {
                kept.ended.pop_front();
            }
        }
        match kept.open.get(&report.order) {
            // Whoever waits is there as long as it is in the list.
            Some(waiting) => waiting.send(report).err().map(|unsent| unsent.0),
            None => Some(report),
        }
    }

    /// Tells of a run of which nobody waits for anything: one that was not to be waited for, or that has outlived this
    /// daemon's interest in it.
    async fn tell(&self, Report { subject, news, .. }: Report) {
        let Some(run) = report::run(&subject) else { return };
        match news {
            News::Output { left_out, lines } => {
                for (stream, bytes) in told(left_out, lines) {
                    let permit = self.bus.room_for(bytes.len()).await;
                    let (run, detached) = (Arc::clone(&run), false);
                    self.bus.publish(Event::RunOutput(Line {
                        run,
                        stream,
                        bytes,
                        detached,
                        permit,
                    }));
                }
            }
            News::Ended(ended) => {
                self.bus.publish(Event::RunEnded(report::late(run, &ended)));
            }
            News::Returned => self.tell_returned(run),
            News::Started { .. } | News::Running => {}
        }
    }

    /// Nobody is there who could have it carried out after all.
    fn tell_returned(&self, run: Arc<Run>) {
        let reason =
            "it came back from a worker that had not started it, and nobody waits for it any more";
        self.bus.publish(Event::RunEnded(Ended {
            run,
            outcome: Outcome::Lost { reason: reason.to_owned() },
            cause: None,
            retry: None,
            at: SystemClock.now(),
            duration: Duration::ZERO,
            usage: Usage::default(),
        }));
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // Nothing is left half done by a panic: there is none.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Reports {
    /// The next one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Report {
        match self.told.recv().await {
            Some(report) => report,
            // The sender is kept as long as this is.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        self.replies.shelf().open.remove(&self.order);
    }
}

/// The lines of a report as they are told, with one that says how many are missing before them.
pub(super) fn told(
    (lines, bytes): (u64, u64),
    printed: Vec<Printed>,
) -> impl Iterator<Item = (Stream, Vec<u8>)> {
    let first =
        (lines > 0).then(|| (Stream::Stdout, Count { lines, bytes }.to_string().into_bytes()));
    let rest = printed.into_iter().map(|Printed(is_error, line)| {
        (if is_error { Stream::Stderr } else { Stream::Stdout }, line.0)
    });
    first.into_iter().chain(rest)
}

/// Reads the queue as long as there is a broker.
async fn follow(replies: Arc<Replies>, mut deliveries: Deliveries) {
    while let Some(received) = deliveries.next().await {
        hear(&replies, received).await;
    }
}

async fn hear(replies: &Replies, received: Received) {
    match Report::read(&received.message, replies.key()) {
        Ok(report) => {
            replies.take(report).await;
            let _ = received.receipt.ack().await;
        }
        Err(refusal) => {
            let text = format!(
                "a message in the queue of reports {} was refused: {refusal}",
                replies.name
            );
            replies.bus.publish(Event::Notice { file: None, text, warning: true });
            let _ = received.receipt.reject().await;
        }
    }
}

/// The name that was given to the queue earlier.
fn kept(folder: &Path) -> Option<String> {
    let text = fs::read_to_string(folder.join(FILE)).ok()?;
    let name = text.trim_end();
    let rest = name.strip_prefix(PREFIX)?;
    let is_name =
        !rest.is_empty() && rest.len() < 100 && rest.bytes().all(|it| it.is_ascii_alphanumeric());
    is_name.then(|| name.to_owned())
}

/// Gives the queue a name, and keeps it where that can be.
fn make(folder: &Path, bus: &Bus) -> String {
    let keys = RandomState::new();
    let name = format!("{PREFIX}{:016x}{:016x}", keys.hash_one(0), keys.hash_one(1));
    if let Err(error) = keep(folder, &name) {
        let text = format!(
            "{}: {error}: what workers report while this daemon is away is lost",
            folder.join(FILE).display()
        );
        bus.publish(Event::Notice { file: None, text, warning: true });
    }
    name
}

fn keep(folder: &Path, name: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut options = File::options();
    let path = folder.join(FILE);
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{name}")
}
