//! The thread that waits for a store: what is to be written is gathered, and tried again until it is.

mod notes;
mod refusals;
mod standing;
mod starts;

pub(super) use notes::{Keeping, Notes};
use refusals::Refusals;
pub(super) use refusals::Topic;
pub(super) use standing::note;
use standing::{is_unproved, strain};
pub(super) use starts::Starting;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::queue::{Batch, Queue, ROWS};
use super::{Standing, Store, StoreError, Tell, Write};
use crate::clock::Clock;
use crate::job::JobKey;
use crate::schedule::Due;

/// For how long writes are gathered: a run that is short is written once.
const GATHER: Duration = Duration::from_millis(20);
/// The pause before a write is tried again, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// As long as a later version has the store, or it refuses all, there is no hurry.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// Records that are refused one after the other before it is the store's fault.
const SUSPECTS: usize = 3;
/// After so many rows memory is given back, once nothing was asked for a while.
const BUSY: usize = 256;
const REST: Duration = Duration::from_secs(1);
/// For so long after the start it is given back sooner: what that has needed is not needed again.
const START: Duration = Duration::from_secs(10);
const REST_AT_START: Duration = Duration::from_millis(500);

/// A call under way; what was wrong, in the end.
pub(super) type Call = Pin<Box<dyn Future<Output = Option<StoreError>> + Send>>;

/// Makes a call of a store.
pub(super) type Question = Box<dyn FnOnce(Arc<dyn Store>) -> Call + Send>;

/// Dues of jobs that are started.
type Dues = Vec<(JobKey, Due)>;

/// What the thread is asked for; it has taken what was to be kept before when it takes one of these.
pub(super) enum Message {
    /// Carry this out, beside everything else.
    Call(Topic, Question),
    /// What is refused of crontabs now, as far as it is known; none: nothing any more.
    Crontabs(Option<StoreError>),
    /// Carry this out when everything before is written, or cannot be.
    CallAfter(Question),
    /// Say whether these may be made, at once: their dues are started, and not owed any more.
    Start(Starting),
    /// A start comes in a moment.
    Warm,
    /// Say when everything before this is kept.
    Flush(oneshot::Sender<()>),
    /// Write nothing from now on, and count nothing that succeeds as a sign that the store is there; or go on.
    Hold(bool),
}

/// Where is told how the store stands.
pub(super) struct Told {
    pub(super) standing: Arc<watch::Sender<Standing>>,
    /// How often it may have lost what was kept.
    pub(super) doubts: Arc<watch::Sender<u64>>,
    pub(super) notes: Arc<Notes>,
}

/// Starts the thread.
pub(super) fn spawn(
    open: impl FnOnce() -> Arc<dyn Store> + Send + 'static,
    clock: Arc<dyn Clock>,
    tell: Tell,
    (messages, keepings): (mpsc::UnboundedReceiver<Message>, mpsc::UnboundedReceiver<Keeping>),
    Told { standing, doubts, notes }: Told,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async move {
            let writer = Writer {
                store: open(),
                clock,
                tell,
                standing,
                doubts,
                rebirths: 0,
                notes,
                noted: VecDeque::new(),
                settled: None,
                moves: (0, 0),
                queue: Queue::default(),
                writing: JoinSet::new(),
                batch: Batch::default(),
                suspects: Vec::new(),
                limit: ROWS,
                calls: JoinSet::new(),
                refusals: Refusals::default(),
                ahead: 0,
                flushes: Vec::new(),
                after: Vec::new(),
                held: false,
                next: Next::Whenever,
                pause: PAUSE,
                // The start of the daemon is no idle time.
                rows: BUSY,
                rest: None,
                begun: Instant::now(),
            };
            writer.run(messages, keepings).await;
        });
    };
    std::thread::Builder::new().name("store".into()).spawn(run).map(drop)
}

/// When the next batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// When there is something to be written, and others had the time to join it.
    Whenever,
    /// At once.
    Now,
    /// Then: it is gathered.
    Gathered(Instant),
    /// Not before: the last one could not be written.
    Retry(Instant),
}

struct Writer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tell: Tell,
    standing: Arc<watch::Sender<Standing>>,
    doubts: Arc<watch::Sender<u64>>,
    /// How often the store had begun anew when it answered last.
    rebirths: u64,
    notes: Arc<Notes>,
    /// Starts that are noted and not kept yet: the point before which all that belongs to each stands, and its number.
    noted: VecDeque<(u64, u64)>,
    /// When it was found out last which of them are kept.
    settled: Option<Instant>,
    /// How many moves of watermarks are not kept yet, and the point before which all of them stand.
    moves: (u64, u64),
    queue: Queue,
    /// The write under way, of which there is one at most, and what it writes.
    writing: JoinSet<Result<(), StoreError>>,
    batch: Batch,
    /// Records that were refused alone, one after the other.
    suspects: Vec<Batch>,
    /// Rows of the next batch: fewer where one was refused, to find out which write it was.
    limit: usize,
    /// The calls under way; of each, in the end, what it was about and what was wrong.
    calls: JoinSet<(Topic, Option<StoreError>)>,
    refusals: Refusals,
    /// Starts that were noted since the store was asked for something else.
    ahead: usize,
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    /// What is asked when everything up to a point is written; with the dues that it starts.
    after: Vec<(u64, Dues, Question)>,
    /// Whether nothing is to be written.
    held: bool,
    next: Next,
    pause: Duration,
    /// Rows written since memory was given back.
    rows: usize,
    rest: Option<Instant>,
    begun: Instant,
}

impl Writer {
    async fn run(
        mut self,
        mut messages: mpsc::UnboundedReceiver<Message>,
        mut keepings: mpsc::UnboundedReceiver<Keeping>,
    ) {
        let mut open = true;
        loop {
            // What comes meanwhile is taken when this has passed, and need wake nobody.
            let gathers = matches!(self.next, Next::Gathered(_)) || !self.writing.is_empty();
            let at = match self.next {
                Next::Gathered(at) | Next::Retry(at) if self.writing.is_empty() => Some(at),
                _ => None,
            };
            let rest = self.rest;
            tokio::select! {
                biased;
                Some(written) = self.writing.join_next() => self.written(written),
                Some(answer) = self.calls.join_next() => {
                    if self.store.is_swollen() {
                        self.rest = Some(self.rests_at());
                    }
                    // As long as it takes no writes, also while one is tried again, it is no help that it answers questions.
                    if let Ok((topic, error)) = answer {
                        // What it refuses of crontabs says nothing of starts and writes, once it was seen to take some.
                        let strains = self.refusals.note(topic, error.as_ref())
                            && (topic == Topic::Put || !is_unproved(&self.standing.borrow()));
                        let error = error.filter(|_| !strains);
                        let is_no_help = self.held || self.pause > PAUSE || self.refusals.has_others();
                        if error.is_some() || !is_no_help {
                            self.answered(error.as_ref());
                        }
                    }
                }
                message = messages.recv(), if open => {
                    open = message.is_some();
                    self.take_all(&mut keepings);
                    let mut next = message;
                    while let Some(message) = next {
                        self.take(message);
                        next = messages.try_recv().ok();
                        // What was to be kept before it.
                        self.take_all(&mut keepings);
                    }
                    if !open {
                        // A last try.
                        (self.next, self.held) = (Next::Now, false);
                    }
                }
                Some(keeping) = keepings.recv(), if open && !gathers => {
                    self.keep(keeping);
                    self.take_all(&mut keepings);
                }
                () = until(at), if at.is_some() => {
                    self.take_all(&mut keepings);
                    self.next = Next::Now;
                }
                () = until(rest), if rest.is_some() => self.give_back_memory(),
                else => {}
            }
            self.write();
            self.release();
            let cannot = matches!(self.next, Next::Retry(_)) || self.queue.is_empty();
            if !open && cannot && self.writing.is_empty() && self.calls.is_empty() {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Call(topic, call) => self.call(topic, call),
            Message::Crontabs(error) => {
                let changes = self.refusals.set_crontabs(error);
                if changes && !self.held && self.pause <= PAUSE {
                    self.answered(None);
                }
            }
            Message::CallAfter(call) => {
                self.hurry();
                self.after.push((self.queue.now(), Vec::new(), call));
            }
            Message::Start(starting) => {
                let Some(starting) = self.note(starting) else { return };
                let (dues, call) = starting.ask();
                // It moves watermarks past what became of earlier dues: that must be known by then.
                let is_about = |key| self.queue.marks(key) || self.batch.marks(key);
                if dues.iter().any(|(key, _)| is_about(*key)) {
                    self.hurry();
                    self.after.push((self.queue.now(), dues, call));
                } else {
                    self.start(dues, call);
                }
            }
            Message::Hold(held) => {
                let was = std::mem::replace(&mut self.held, held);
                // One that took no writes before is there when it takes one.
                if was && !held && !self.is_refused() {
                    self.answered(None);
                }
            }
            Message::Warm => self.store.warm(),
            Message::Flush(done) => {
                self.hurry();
                self.flushes.push((self.queue.now(), done));
            }
        }
    }

    fn push(&mut self, writes: impl IntoIterator<Item = Write>) {
        let had_dropped = self.queue.has_dropped();
        for write in writes {
            self.queue.push(write);
        }
        if self.queue.has_dropped() && !had_dropped {
            (self.tell)(
                "more waits for the store than can be kept: the oldest output is dropped, then the oldest records of \
                 runs"
                    .to_owned(),
            );
        }
        if self.next == Next::Whenever {
            self.next = Next::Gathered(Instant::now() + GATHER);
        }
        if self.queue.len() >= ROWS && matches!(self.next, Next::Gathered(_)) {
            self.next = Next::Now;
        }
    }

    fn start(&mut self, dues: Dues, call: Question) {
        let topic = if dues.is_empty() { Topic::Other } else { Topic::Start };
        for (key, due) in dues {
            self.queue.started(key, due);
            if self.batch.owes(key, due) {
                self.queue.push(Write::Settle(key, due));
            }
        }
        self.call(topic, call);
    }

    fn call(&mut self, topic: Topic, call: Question) {
        self.ahead = 0;
        let answer = call(Arc::clone(&self.store));
        self.calls.spawn(async move { (topic, answer.await) });
    }

    /// Does not gather any longer.
    fn hurry(&mut self) {
        if matches!(self.next, Next::Gathered(_) | Next::Whenever) {
            self.next = Next::Now;
        }
    }

    /// Begins to write what waits, if it is time and nothing is being written.
    fn write(&mut self) {
        if !self.writing.is_empty() || self.next != Next::Now || self.held {
            return;
        }
        if self.queue.is_empty() {
            self.next = Next::Whenever;
            return;
        }
        self.batch = self.queue.take(self.limit);
        let (store, writes) = (Arc::clone(&self.store), self.batch.writes());
        self.writing.spawn(async move { store.write(writes).await });
    }

    /// Takes note of how a write went.
    fn written(&mut self, outcome: Result<Result<(), StoreError>, JoinError>) {
        let batch = std::mem::take(&mut self.batch);
        let outcome = outcome.unwrap_or_else(|panic| Err(StoreError::Refused(panic.to_string())));
        let Err(error) = outcome else { return self.kept(&batch) };
        let is_refused = matches!(error, StoreError::Refused(_) | StoreError::Corrupt(_));
        if is_refused && batch.len() > 1 {
            // One of them may be what it does not take.
            self.limit = (batch.len() / 2).max(1);
            self.queue.give_back(batch);
            return;
        }
        if is_refused && batch.has_record() && self.suspects.len() + 1 < SUSPECTS {
            self.suspects.push(batch);
            if !self.queue.is_empty() {
                return;
            }
        } else {
            self.queue.give_back(batch);
        }
        // Others come first the next time, so that none of these is in the way for ever.
        for write in std::mem::take(&mut self.suspects).iter().flat_map(Batch::writes) {
            self.queue.push(write);
        }
        let longest = match error {
            StoreError::Newer { .. } | StoreError::Refused(_) => LONG_PAUSE,
            _ => LONGEST_PAUSE,
        };
        self.next = Next::Retry(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(longest);
        self.answered(Some(&error));
    }

    fn kept(&mut self, batch: &Batch) {
        self.notes.count_answer();
        self.pause = PAUSE;
        self.limit = (self.limit * 2).min(ROWS);
        self.rows += batch.rows();
        // What is refused alone, while others are taken, is the one to blame.
        if batch.has_record() {
            let refused = self.suspects.drain(..).flat_map(|suspect| suspect.writes());
            for write in refused.collect::<Vec<_>>() {
                let what = match write {
                    Write::Run(record) => format!("the record of run {}", record.run),
                    Write::Output(run, _) => format!("the output of run {run}"),
                    _ => continue,
                };
                (self.tell)(format!("the store takes other writes, but not {what}: it is dropped"));
            }
        }
        let dropped = self.queue.take_dropped();
        if dropped > 0 {
            (self.tell)(format!("{dropped} writes were dropped while the store was away"));
        }
        if self.queue.is_empty() {
            // Those that were neither taken nor found guilty.
            for write in std::mem::take(&mut self.suspects).iter().flat_map(Batch::writes) {
                self.queue.push(write);
            }
        }
        self.next = match (self.queue.is_empty(), self.queue.len() >= ROWS) {
            (true, _) => Next::Whenever,
            _ if !self.flushes.is_empty() || !self.after.is_empty() || self.limit < ROWS => {
                Next::Now
            }
            (false, true) => Next::Now,
            (false, false) => Next::Gathered(Instant::now() + GATHER),
        };
        if self.rows >= BUSY {
            self.rest = Some(self.rests_at());
        }
        self.settle_notes();
        self.answered(None);
    }

    /// Answers those who wait for what was written.
    fn release(&mut self) {
        if self.flushes.is_empty() && self.after.is_empty() {
            return;
        }
        let (queue, batch, suspects) = (&self.queue, &self.batch, &self.suspects);
        let waits = |point: u64| {
            queue.has_before(point)
                || batch.has_before(point)
                || suspects.iter().any(|suspect| suspect.has_before(point))
        };
        let done = self.flushes.extract_if(.., |(point, _)| !waits(*point));
        for (_, done) in done.collect::<Vec<_>>() {
            // Whoever has lost interest need not be told.
            let _ = done.send(());
        }
        let is_away = self.held || matches!(self.next, Next::Retry(_));
        let ready = self.after.extract_if(.., |(point, ..)| is_away || !waits(*point));
        for (_, dues, call) in ready.collect::<Vec<_>>() {
            self.start(dues, call);
        }
    }

    /// When memory is given back, if nothing is asked until then.
    fn rests_at(&self) -> Instant {
        let now = Instant::now();
        now + if now - self.begun < START { REST_AT_START } else { REST }
    }

    fn give_back_memory(&mut self) {
        self.queue.shrink();
        let is_swollen = self.store.is_swollen();
        self.store.rest();
        if is_swollen {
            // What it lets go of is dropped on a task of its own, meanwhile.
            self.rest = Some(Instant::now() + GATHER);
            return;
        }
        self.rest = None;
        self.rows = 0;
        crate::unix::memory::release();
        crate::unix::memory::unmap_program();
    }

    /// Takes note of how the store answered.
    fn answered(&mut self, error: Option<&StoreError>) {
        let rebirths = self.store.rebirths();
        if error.is_none() && std::mem::replace(&mut self.rebirths, rebirths) != rebirths {
            self.doubts.send_modify(|count| *count += 1);
        }
        if error.is_none()
            && self.notes.logbook.get().is_none()
            && let Some(logbook) = self.store.logbook()
        {
            // Set by this thread alone.
            let _ = self.notes.logbook.set(logbook);
        }
        let (now, waiting) = (self.clock.now(), self.queue.len());
        // It takes starts, which are to be recorded, though it is not well.
        let trouble = || self.refusals.trouble().or_else(|| self.store.strain());
        match error.is_none().then(trouble).flatten() {
            Some(error) => strain(&self.standing, error),
            None => note(&self.standing, now, error, Some(waiting)),
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
