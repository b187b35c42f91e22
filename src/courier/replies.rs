//! The queue where workers report: one of this daemon's own, that outlives it for a while.
//!
//! Its [name](super::queue) is kept, so that after a restart what was reported meanwhile is still heard. Read from the first
//! order on, or from the start where there may have been one before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime;
use tokio::sync::mpsc;

use super::leaves::Leaves;
use super::queue::ReportQueue;
use super::report::Ours;
use super::{order, report};
use crate::broker::{Broker, Consuming, Deliveries, Publish as _, Queue, Receipt, Received};
use crate::clock::{Clock as _, SystemClock};
use crate::event::{Bus, Ended, Event, Line, Outcome, Run, Stream, Usage};
use crate::executor::output::Count;
use crate::message::answer::{Answer, Word};
use crate::message::order::VERSION;
use crate::message::refusal::{self, Why};
use crate::message::report::{News, Printed};
use crate::message::signature::Key;
use crate::message::{Message, Report};
use crate::outbox::Outbox;

/// How long the queue outlives its reader.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// So many reports are fetched ahead.
const PREFETCH: u16 = 64;

/// So many orders whose end was told are remembered, so that it is not told twice.
const ENDED: usize = 4096;

/// The queue where workers report.
pub(super) struct Replies {
    outbox: Outbox,
    broker: Broker,
    queue: ReportQueue,
    leaves: Leaves,
    key: Option<Arc<Key>>,
    bus: Bus,
    /// When this life began.
    began: Timestamp,
    shelf: Mutex<Shelf>,
    /// Whether what is not waited for any more is left to its workers.
    is_leaving: AtomicBool,
    /// Set once it is read.
    reading: OnceLock<()>,
}

/// What stands where the lines are missing that an earlier life of the daemon had heard of.
const CUT: &str = "… what it printed before the daemon was started is not known …";

#[derive(Default)]
struct Shelf {
    /// Who waits for the reports of an order.
    open: HashMap<String, Open>,
    /// Orders of earlier lives whose beginning was heard in this one, or of which it was told that it was not.
    begun: HashSet<String>,
    ended: VecDeque<String>,
}

impl Shelf {
    /// From here on nothing is missing of what an order prints; whether that is news.
    fn begin(&mut self, order: &str) -> bool {
        // Of workers that have died nothing more is heard.
        if self.begun.len() >= ENDED {
            self.begun.clear();
        }
        self.begun.insert(order.to_owned())
    }

    /// What is reported of an order is told no more, once nobody waits for it.
    fn end(&mut self, order: &str) {
        self.ended.push_back(order.to_owned());
        if self.ended.len() > ENDED {
            self.ended.pop_front();
        }
    }
}

/// An order that somebody waits for.
struct Open {
    heard: mpsc::UnboundedSender<Heard>,
    /// The worker that has started it, and where it hears of what we answer.
    place: Option<(String, String)>,
    /// How its run has ended here.
    ours: Option<Ours>,
}

/// What is heard of an order.
#[derive(Debug)]
pub(super) enum Heard {
    /// A worker has reported.
    Report(Box<Report>),
    /// Somebody says that a worker has refused it: nobody knows who.
    Refused(Why),
}

/// Receives the reports of one order. Dropped before it is [over](Reports::over), it withdraws the order.
pub(super) struct Reports {
    replies: Arc<Replies>,
    order: String,
    expires: Timestamp,
    is_over: bool,
    told: mpsc::UnboundedReceiver<Heard>,
}

impl Replies {
    /// What is reported to `queue`; nothing is read from it yet.
    pub(super) fn new(
        (outbox, broker): (Outbox, Broker),
        (queue, leaves): (ReportQueue, Leaves),
        key: Option<Arc<Key>>,
        bus: Bus,
    ) -> Arc<Self> {
        let (shelf, is_leaving, reading) =
            (Mutex::default(), AtomicBool::new(false), OnceLock::new());
        let began = SystemClock.now();
        Arc::new(Replies {
            outbox,
            broker,
            queue,
            leaves,
            key,
            bus,
            began,
            shelf,
            is_leaving,
            reading,
        })
    }

    /// From now on nothing is withdrawn: workers go on with what they have.
    pub(super) fn leave(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Returns once what was withdrawn is kept.
    pub(super) async fn settled(&self) {
        self.leaves.settled().await;
    }

    /// The queue's name.
    pub(super) fn name(&self) -> &str {
        self.queue.name()
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
        if self.queue.is_old() {
            self.read();
        }
    }

    /// What is reported from now on of this order, which holds until `expires`.
    pub(super) fn of(self: &Arc<Self>, order: &str, expires: Timestamp) -> Reports {
        self.read();
        let (heard, told) = mpsc::unbounded_channel();
        self.shelf().open.insert(order.to_owned(), Open { heard, place: None, ours: None });
        let (replies, order) = (Arc::clone(self), order.to_owned());
        Reports { replies, order, expires, is_over: false, told }
    }

    /// Begins to read, once.
    fn read(self: &Arc<Self>) {
        self.reading.get_or_init(|| {
            let (name, expires) = (self.name().to_owned(), KEPT);
            let queue = Queue::Kept { name, expires, prefetch: PREFETCH };
            tokio::spawn(follow(Arc::clone(self), self.broker.consume(queue)));
        });
    }

    /// Answers a report, and hands it to whoever waits for it; the report, if it is to be told for lack of one.
    async fn take(&self, mut report: Report) -> Option<Report> {
        let word = self.leaves.judge(&report).await;
        let is_asked = matches!(report.news, News::Asked { .. });
        if let Some(word) = word.filter(|word| is_asked || *word != Word::Start) {
            self.answer(&Answer::to(&report, word), report.answer_to.as_deref());
        }
        if is_asked {
            return None;
        }
        let is_end = matches!(report.news, News::Ended(_));
        if let News::Ended(ended) = &mut report.news
            && let Some(ours) = self.leaves.ours(&report.order)
        {
            ours.explain(ended);
        }
        let is_its = if is_end {
            self.leaves.end(&report.order, &report.worker).await
        } else {
            word != Some(Word::Taken)
        };
        // The end that a worker reports of what is another's is not the order's.
        if is_end && !is_its {
            return None;
        }
        if is_its
            && !matches!(report.news, News::Returned)
            && let Some(open) = self.shelf().open.get_mut(&report.order)
            && let Some(queue) = &report.answer_to
        {
            open.place = Some((report.worker.clone(), queue.clone()));
        }
        self.hand_on(report).filter(|_| is_its)
    }

    /// Answers a worker, if it can hear that. What it does not hear is said again when it reports again.
    fn answer(&self, answer: &Answer, queue: Option<&str>) {
        if let Some(queue) = queue
            && let Ok(message) = answer.message(self.key(), queue)
        {
            // It is on its way from here on.
            drop(self.broker.publish(Arc::new(message)));
        }
    }

    /// Somebody says that an order was refused; what is not is nobody's business.
    fn refused(&self, message: &Message) -> bool {
        let Some((order, why)) = refusal::read(message) else { return false };
        if let Some(open) = self.shelf().open.get(order) {
            // Whoever waits is there as long as it is in the list.
            let _ = open.heard.send(Heard::Refused(why));
        }
        true
    }

    /// An order is to be carried out by nobody, or to be ended at this worker.
    fn withdraw(
        self: &Arc<Self>,
        order: String,
        expires: Timestamp,
        (place, ours): (Option<(String, String)>, Option<Ours>),
    ) {
        let unsent = self.outbox.withdraw(&order);
        self.leaves.note(&order, expires, ours);
        // Without a runtime the process is about to be gone.
        let Ok(runtime) = runtime::Handle::try_current() else { return };
        let replies = Arc::clone(self);
        runtime.spawn(async move {
            if unsent.await {
                return replies.leaves.forget(&order);
            }
            // Kept before anybody hears of it: an answer that gets lost is given again, in the next life, too.
            replies.leaves.withdraw(order.clone(), expires).await;
            if let Some((worker, queue)) = place {
                let (version, word) = (VERSION, Word::Withdrawn);
                let answer = Answer { version, order, worker, word };
                replies.answer(&answer, Some(&queue));
            }
        });
    }

    /// Hands a report to whoever waits for it; the report, if nobody does and it is news.
    fn hand_on(&self, report: Report) -> Option<Report> {
        let mut kept = self.shelf();
        let is_awaited = kept.open.contains_key(&report.order);
        if !is_awaited && kept.ended.contains(&report.order) {
            return None;
        }
        if matches!(report.news, News::Ended(_)) {
            kept.end(&report.order);
        }
        match kept.open.get(&report.order) {
            // Whoever waits is there as long as it is in the list.
            Some(open) => {
                let _ = open.heard.send(Heard::Report(Box::new(report)));
                None
            }
            None => Some(report),
        }
    }

    /// Tells of a run of which nobody waits for anything: one that was not to be waited for, or that has outlived this
    /// daemon's interest in it.
    async fn tell(&self, Report { order, worker, subject, news, .. }: Report) {
        let Some(run) = report::run(&subject) else { return };
        // Another order has taken the place of this one.
        if self.is_awaited(&run) {
            return;
        }
        match news {
            News::Output { left_out, lines } => {
                if run.id.at() < self.began && self.shelf().begin(&order) {
                    self.print(&run, (Stream::Stdout, CUT.into(), (0, 0))).await;
                }
                for line in told(left_out, lines) {
                    self.print(&run, line).await;
                }
            }
            News::Ended(ended) => {
                let has_begun = self.shelf().begun.remove(&order);
                // Nobody has lines that were all told to an earlier life, unless that has ended the run.
                let is_cut = run.id.at() < self.began && !has_begun && ended.printed != Some(false);
                if is_cut && !self.leaves.is_withdrawn(&order).await {
                    self.print(&run, (Stream::Stdout, CUT.into(), (0, 0))).await;
                }
                self.bus.publish(Event::RunAmended(report::late(run, &worker, &ended)));
            }
            // Of one that was withdrawn it is recorded already what became of it.
            News::Returned if self.leaves.is_withdrawn(&order).await => {}
            News::Returned => self.tell_returned(run),
            News::Started { .. } if run.id.at() < self.began => {
                self.shelf().begin(&order);
            }
            News::Asked { .. } | News::Started { .. } | News::Running => {}
        }
    }

    /// Tells a line of a run of which nobody waits for anything.
    async fn print(&self, run: &Arc<Run>, (stream, bytes, left_out): Told) {
        let permit = self.bus.room_for(bytes.len()).await;
        let (run, detached) = (Arc::clone(run), false);
        let line = Line { run, stream, bytes, detached, left_out, permit };
        self.bus.publish(Event::RunOutput(line));
    }

    /// Whether somebody waits for an order of this attempt.
    fn is_awaited(&self, run: &Run) -> bool {
        let first = order::id(run, 1);
        self.shelf().open.keys().any(|id| is_of(id, &first))
    }

    /// An attempt has ended here, and is waited for no more from now on.
    pub(super) fn ended(&self, end: &Ended) {
        let first = order::id(&end.run, 1);
        let ours = Some(Ours::of(end));
        for (_, open) in self.shelf().open.iter_mut().filter(|(id, _)| is_of(id, &first)) {
            open.ours = ours;
        }
    }

    /// Nobody is there who could have it carried out after all.
    fn tell_returned(&self, run: Arc<Run>) {
        let reason =
            "it came back from a worker that had not started it, and nobody waits for it any more";
        self.bus.publish(Event::RunAmended(Ended {
            run,
            outcome: Outcome::Lost { reason: reason.to_owned() },
            cause: None,
            retry: None,
            at: SystemClock.now(),
            duration: Duration::ZERO,
            worker: None,
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
        f.debug_struct("Replies").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Reports {
    /// The next one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Heard {
        match self.told.recv().await {
            Some(heard) => heard,
            // The sender is kept as long as this is.
            None => std::future::pending().await,
        }
    }
}

impl Reports {
    /// Nothing more is wanted of the order but what may come of it.
    pub(super) fn over(&mut self) {
        self.is_over = true;
    }

    /// Another order takes the place of this one, which came back: from now on nobody is to start this one, and what is reported
    /// of it is no news of the run. Returns once that is kept.
    pub(super) async fn supersede(&mut self) {
        let replies = &self.replies;
        let place = {
            let mut kept = replies.shelf();
            kept.end(&self.order);
            kept.open.get(&self.order).and_then(|open| open.place.clone())
        };
        // Asked already: a copy that was not confirmed is not sent once more.
        drop(replies.outbox.withdraw(&self.order));
        replies.leaves.note(&self.order, self.expires, None);
        replies.leaves.withdraw(self.order.clone(), self.expires).await;
        if let Some((worker, queue)) = place {
            let (version, order, word) = (VERSION, self.order.clone(), Word::Withdrawn);
            replies.answer(&Answer { version, order, worker, word }, Some(&queue));
        }
        self.is_over = true;
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        let open = self.replies.shelf().open.remove(&self.order);
        if !self.is_over && !self.replies.is_leaving.load(Ordering::Relaxed) {
            let order = std::mem::take(&mut self.order);
            let known = open.map(|open| (open.place, open.ours)).unwrap_or_default();
            self.replies.withdraw(order, self.expires, known);
        }
    }
}

/// Whether an order is of the same attempt as its first one.
fn is_of(order: &str, first: &str) -> bool {
    let rest = order.strip_prefix(first);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// A line as it is told: where, and how many lines and bytes are missing in its place.
type Told = (Stream, Vec<u8>, (u64, u64));

/// The lines of a report as they are told, with one that says how many are missing before them.
pub(super) fn told(left_out: (u64, u64), printed: Vec<Printed>) -> impl Iterator<Item = Told> {
    let (lines, bytes) = left_out;
    let count = || Count { lines, bytes }.to_string().into_bytes();
    let first = (lines > 0).then(|| (Stream::Stdout, count(), left_out));
    let rest = printed.into_iter().map(|Printed(is_error, line)| {
        (if is_error { Stream::Stderr } else { Stream::Stdout }, line.0, (0, 0))
    });
    first.into_iter().chain(rest)
}

/// Reads the queue as long as there is a broker.
async fn follow(replies: Arc<Replies>, mut deliveries: Deliveries) {
    let mut consuming = deliveries.consuming();
    replies.leaves.load().await;
    let (telling, told) = mpsc::unbounded_channel();
    tokio::spawn(tell(Arc::clone(&replies), told));
    loop {
        // Orders are sent from then on: what comes of them is heard.
        replies.queue.open(*consuming.borrow_and_update() == Consuming::On);
        tokio::select! {
            received = deliveries.next() => match received {
                Some(received) => hear(&replies, received, &telling).await,
                None => return,
            },
            Ok(()) = consuming.changed() => {}
        }
    }
}

/// Tells what nobody waits for, one after the other: where that has to wait for whoever reads the log, workers are answered
/// nevertheless. At most as much waits here as is fetched ahead.
async fn tell(replies: Arc<Replies>, mut told: mpsc::UnboundedReceiver<(Report, Receipt)>) {
    while let Some((report, receipt)) = told.recv().await {
        replies.tell(report).await;
        let _ = receipt.ack().await;
    }
}

async fn hear(
    replies: &Replies,
    received: Received,
    telling: &mpsc::UnboundedSender<(Report, Receipt)>,
) {
    match Report::read(&received.message, replies.key()) {
        Ok(report) => match replies.take(report).await {
            // Without whoever tells it, it comes again.
            Some(report) => drop(telling.send((report, received.receipt))),
            None => {
                let _ = received.receipt.ack().await;
            }
        },
        Err(_) if replies.refused(&received.message) => {
            let _ = received.receipt.ack().await;
        }
        Err(refusal) => {
            let text = format!(
                "a message in the queue of reports {} was refused: {refusal}",
                replies.name()
            );
            replies.bus.publish(Event::Notice { file: None, text, warning: true });
            let _ = received.receipt.reject().await;
        }
    }
}
