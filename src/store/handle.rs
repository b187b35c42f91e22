//! How the rooms above speak to a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::writer::{self, Keeping, Message, Notes, Question, Starting, Topic};
use super::{
    Beat, Claim, Done, Forgotten, Generation, Lease, Loaded, Mark, Output, Page, Peers, Permission,
    Posted, Put, PutSnapshot, Query, Reply, Room, RunRecord, Start, Store, StoreError, Tell,
    Verdict, Versioned, Waiting, Which, Write,
};
use crate::clock::Clock;
use crate::event::RunId;
use crate::job::{JobId, JobKey};

/// How a store stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// It was not asked for anything yet.
    #[default]
    Unknown,
    /// It answered when it was asked last.
    Up,
    /// It answered, takes what matters, and is not well: there is no space left.
    Strained {
        /// Why.
        error: StoreError,
    },
    /// It did not.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why.
        error: StoreError,
        /// Writes that wait for it.
        waiting: usize,
    },
}

/// Speaks to a store that a thread of its own waits for. Clones speak to the same.
#[derive(Clone)]
pub struct Handle {
    messages: mpsc::UnboundedSender<Message>,
    keepings: mpsc::UnboundedSender<Keeping>,
    standing: Arc<watch::Sender<Standing>>,
    doubts: Arc<watch::Sender<u64>>,
    notes: Arc<Notes>,
    clock: Arc<dyn Clock>,
}

/// A start that is noted, and not kept yet.
#[derive(Debug)]
#[must_use = "a start that is noted is to be kept"]
pub struct NotedStart {
    number: u64,
    start: Start,
    replica: String,
}

/// What comes before a question.
#[derive(Clone, Copy)]
enum Kind {
    /// Nothing.
    Call(Topic),
    /// What was to be written.
    Read,
    /// That, too, and what is read is not ours: that it cannot be read says nothing of the store.
    ReadOfOthers,
}

impl Kind {
    /// Whether an error says something of how the store stands.
    fn counts(self, error: &StoreError) -> bool {
        match self {
            Kind::Call(_) => true,
            // A question that makes no sense does not.
            Kind::Read => !matches!(error, StoreError::Refused(_)),
            Kind::ReadOfOthers => !matches!(error, StoreError::Refused(_) | StoreError::Corrupt(_)),
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Starts the thread for a store; it ends when the last handle is gone and what could be written was.
    ///
    /// `open` makes the store, on that thread, inside a tokio runtime of it with I/O and time. What is dropped, because too
    /// much waits or the store does not take it, is told.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        open: impl FnOnce() -> Arc<dyn Store> + Send + 'static,
        clock: Arc<dyn Clock>,
        tell: Tell,
    ) -> std::io::Result<Self> {
        let (messages, asked) = mpsc::unbounded_channel();
        let (keepings, kept) = mpsc::unbounded_channel();
        let standing = Arc::new(watch::Sender::new(Standing::default()));
        let doubts = Arc::new(watch::Sender::new(0));
        let notes = Arc::<Notes>::default();
        let told = writer::Told {
            standing: Arc::clone(&standing),
            doubts: Arc::clone(&doubts),
            notes: Arc::clone(&notes),
        };
        writer::spawn(open, Arc::clone(&clock), tell, (asked, kept), told)?;
        Ok(Handle { messages, keepings, standing, doubts, notes, clock })
    }

    /// Has something kept, as soon as that can be. Never blocks.
    pub fn write(&self, write: Write) {
        if matches!(write, Write::Mark(..)) {
            self.notes.moves.fetch_add(1, Ordering::AcqRel);
        }
        // Without its thread there is no store.
        let _ = self.keepings.send(Keeping::Write(write));
    }

    /// Notes that `replica` makes a start, in a place that outlives the daemon: what [`start_runs`](Handle::start_runs) does,
    /// at once and without anybody else. What is returned is to be [kept](Handle::keep_start) after that. None: it is not
    /// noted, since the store has no such place or is not well, or a watermark is to be moved for another reason.
    /// It may wait for a file system.
    #[must_use]
    pub fn note_start(&self, start: Start, replica: &str) -> Option<NotedStart> {
        if !self.may_note() {
            return None;
        }
        let number = self.notes.logbook.get()?.note(&start, replica)?;
        Some(NotedStart { number, start, replica: replica.to_owned() })
    }

    /// Whether [`note_start`](Handle::note_start) may note one now.
    #[must_use]
    pub fn may_note(&self) -> bool {
        self.notes.logbook.get().is_some()
            && matches!(*self.standing.borrow(), Standing::Up)
            && self.notes.moves.load(Ordering::Acquire) == 0
    }

    /// How many notes were begun so far, and how many of them wait for their file system.
    #[must_use]
    pub fn notes_under_way(&self) -> (u64, u64) {
        self.notes.logbook.get().map_or((0, 0), |logbook| logbook.under_way())
    }

    /// Has a start kept that was noted, as soon as that can be.
    pub fn keep_start(&self, NotedStart { number, start, replica }: NotedStart) {
        let mark = start.is_due().then_some(start.mark);
        let record = Arc::new(RunRecord::starting(start, replica));
        // Without its thread there is no store.
        let _ = self.keepings.send(Keeping::Noted(number, record, mark));
    }

    /// Has nothing kept from now on, until it is [let go on](Handle::go_on): what is kept must be read first. Until then no
    /// answer counts as a sign that the store is there.
    pub fn hold(&self) {
        // Without its thread there is no store.
        let _ = self.messages.send(Message::Hold(true));
    }

    /// Has what was held kept, and what is to come.
    pub fn go_on(&self) {
        let _ = self.messages.send(Message::Hold(false));
    }

    /// How the store stands, now and after each change.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Notes that the store may have lost what was kept.
    pub fn doubt(&self) {
        self.doubts.send_modify(|count| *count += 1);
    }

    /// How often there was reason to think that the store has lost what was kept, now and after each time.
    #[must_use]
    pub fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.subscribe()
    }

    /// Has the store make ready for a start that comes in a moment. Never blocks.
    pub fn warm(&self) {
        if self.may_note() {
            return;
        }
        // Without its thread there is no store.
        let _ = self.messages.send(Message::Warm);
    }

    /// Waits until everything that was to be written before is, or `within` has passed; whether it is.
    pub async fn flush(&self, within: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        if self.messages.send(Message::Flush(done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(within, flushed).await, Ok(Ok(())))
    }

    /// [`Store::load`], of what was to be written before too, within a span.
    pub async fn load(&self, within: Duration) -> Result<Loaded, StoreError> {
        self.ask(Kind::Read, within, |store| store.load()).await
    }

    /// [`Store::snapshot`], within a span.
    pub async fn snapshot(&self, within: Duration) -> Result<Option<Versioned>, StoreError> {
        self.ask(Kind::Call(Topic::Snapshot), within, |store| store.snapshot()).await
    }

    /// [`Store::snapshot_version`], within a span.
    pub async fn snapshot_version(&self, within: Duration) -> Result<u64, StoreError> {
        self.ask(Kind::Call(Topic::Snapshot), within, |store| store.snapshot_version()).await
    }

    /// [`Store::put_snapshot`], within a span. If the store refuses it, or any other question about what is kept of crontabs,
    /// it stands as strained until one is taken, whatever else it answers, or until
    /// [nothing is to be put](Handle::nothing_to_put).
    pub async fn put_snapshot(
        &self,
        put: PutSnapshot,
        within: Duration,
    ) -> Result<Put, StoreError> {
        self.ask(Kind::Call(Topic::Put), within, |store| store.put_snapshot(put)).await
    }

    /// Says that nothing is to be kept of crontabs that is not: if the store refused it, that counts no more.
    pub fn nothing_to_put(&self) {
        // Without its thread there is no store.
        let _ = self.messages.send(Message::Crontabs(None));
    }

    /// Says that nothing can be kept of crontabs, for what the store holds of them: it stands as refusing that until a
    /// snapshot is put, or [nothing is to be](Handle::nothing_to_put).
    pub fn cannot_put(&self, why: StoreError) {
        // Without its thread there is no store.
        let _ = self.messages.send(Message::Crontabs(Some(why)));
    }

    /// [`Store::forget_snapshot`], within a span.
    pub async fn forget_snapshot(&self, within: Duration) -> Result<Forgotten, StoreError> {
        self.ask(Kind::Call(Topic::Other), within, |store| store.forget_snapshot()).await
    }

    /// [`Store::seed_rows`], within a span.
    pub async fn seed_rows(&self, within: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(Kind::Call(Topic::Snapshot), within, |store| store.seed_rows()).await
    }

    /// [`Store::rows_of_others`], within a span.
    pub async fn rows_of_others(&self, within: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(Kind::Call(Topic::Snapshot), within, |store| store.rows_of_others()).await
    }

    /// [`Store::claim`], within a span.
    pub async fn claim(
        &self,
        lease: Lease,
        claims: Vec<Claim>,
        within: Duration,
    ) -> Result<Vec<Verdict>, StoreError> {
        self.ask(Kind::Call(Topic::Claim), within, |store| store.claim(lease, claims)).await
    }

    /// [`Store::start`], within a span, or the same as [`note_start`](Handle::note_start) for each; an [`Write::Owe`] of these
    /// dues that still waits does not come after it.
    ///
    /// It is asked when this is called, not when the future is first polled.
    pub fn start_runs(
        &self,
        lease: Lease,
        starts: Vec<Start>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<Permission>, StoreError>> + use<> {
        let (reply, answer) = oneshot::channel();
        let asked = self.messages.send(Message::Start(Starting { lease, starts, reply }));
        let handle = self.clone();
        async move {
            asked.map_err(|_| gone())?;
            wait(answer, within).await.unwrap_or_else(|Unanswered(error)| {
                // Its thread may hang, and so cannot say it.
                writer::note(&handle.standing, handle.clock.now(), Some(&error), None);
                Err(error)
            })
        }
    }

    /// [`Store::exchange`], within a span of its turn.
    pub async fn exchange(
        &self,
        done: Done,
        owner: String,
        messages: Vec<Waiting>,
        room: Room,
        within: Duration,
    ) -> Result<Vec<Posted>, StoreError> {
        self.ask_in_turn(Topic::Post, within, move |store| {
            if done.is_empty() {
                store.post(owner, messages, room)
            } else {
                store.exchange(done, owner, messages, room)
            }
        })
        .await
    }

    /// [`Store::adopt`], within a span of its turn.
    pub async fn adopt(
        &self,
        owner: String,
        alive: Vec<String>,
        within: Duration,
    ) -> Result<u64, StoreError> {
        self.ask_in_turn(Topic::Adopt, within, |store| store.adopt(owner, alive)).await
    }

    /// [`Store::waiting`], within a span of its turn.
    pub async fn waiting(
        &self,
        which: Which,
        within: Duration,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.ask_in_turn(Topic::Waiting, within, |store| store.waiting(which)).await
    }

    /// [`Store::unpost`], within a span of its turn.
    pub async fn unpost(&self, done: Done, within: Duration) -> Result<(), StoreError> {
        self.ask_in_turn(Topic::Unpost, within, |store| store.unpost(done)).await
    }

    /// [`Store::seed_body`], within a span.
    pub async fn seed_body(
        &self,
        job: JobId,
        within: Duration,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(Kind::ReadOfOthers, within, move |store| store.seed_body(job)).await
    }

    /// [`Store::beat`], within a span.
    pub async fn beat(&self, beat: Beat, within: Duration) -> Result<Peers, StoreError> {
        self.ask(Kind::Call(Topic::Beat), within, |store| store.beat(beat)).await
    }

    /// [`Store::assert_marks`], within a span.
    pub async fn assert_marks(
        &self,
        marks: Vec<(JobKey, Mark)>,
        within: Duration,
    ) -> Result<bool, StoreError> {
        self.ask(Kind::Call(Topic::Other), within, |store| store.assert_marks(marks)).await
    }

    /// [`Store::pause_again`], within a span.
    pub async fn pause_again(&self, within: Duration) -> Result<Option<usize>, StoreError> {
        self.ask(Kind::Call(Topic::Other), within, |store| store.pause_again()).await
    }

    /// [`Store::step_back`], within a span.
    pub async fn step_back(
        &self,
        lease: Lease,
        from: u64,
        within: Duration,
    ) -> Result<Generation, StoreError> {
        self.ask(Kind::Call(Topic::Other), within, move |store| store.step_back(lease, from)).await
    }

    /// [`Store::runs`], of what was to be written before too, within a span.
    pub async fn runs(&self, query: Query, within: Duration) -> Result<Page, StoreError> {
        self.ask(Kind::Read, within, |store| store.runs(query)).await
    }

    /// [`Store::output`], of what was to be written before too, within a span.
    pub async fn output(&self, run: RunId, within: Duration) -> Result<Option<Output>, StoreError> {
        self.ask(Kind::Read, within, move |store| store.output(run)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        kind: Kind,
        within: Duration,
        question: impl for<'a> FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        wait(self.send(kind, None, question)?, within)
            .await
            .unwrap_or_else(|Unanswered(error)| Err(error))
    }

    /// Asks what may stand behind much else: as long as it does, the span counts anew with everything that the store has kept
    /// or answered meanwhile; then from the moment at which the store is asked.
    async fn ask_in_turn<T: Send + 'static>(
        &self,
        topic: Topic,
        within: Duration,
        question: impl for<'a> FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut answers = self.notes.answers.subscribe();
        let (turn, mut begun) = oneshot::channel();
        let mut answer = self.send(Kind::Call(topic), Some(turn), question)?;
        let mut is_asked = false;
        loop {
            let end = Instant::now() + within;
            tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| Err(gone())),
                _ = &mut begun, if !is_asked => is_asked = true,
                Ok(()) = answers.changed(), if !is_asked => {}
                () = tokio::time::sleep_until(end) => {
                    let Unanswered(error) = Unanswered::within(within);
                    return Err(error);
                }
            }
        }
    }

    fn send<T: Send + 'static>(
        &self,
        kind: Kind,
        turn: Option<oneshot::Sender<()>>,
        question: impl for<'a> FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let notes = Arc::clone(&self.notes);
        let call = move |store: Arc<dyn Store>| -> writer::Call {
            Box::pin(async move {
                // Whoever has lost interest need not be told.
                let _ = turn.map(|turn| turn.send(()));
                let answer = question(&*store).await;
                if answer.is_ok() {
                    notes.count_answer();
                }
                let counts = |error: &&StoreError| kind.counts(error);
                let error = answer.as_ref().err().filter(counts).cloned();
                // Whoever has lost interest need not be told.
                let _ = reply.send(answer);
                error
            })
        };
        let call: Question = Box::new(call);
        let message = match kind {
            Kind::Call(topic) => Message::Call(topic, call),
            Kind::Read | Kind::ReadOfOthers => Message::CallAfter(call),
        };
        self.messages.send(message).map_err(|_| gone())?;
        Ok(answer)
    }
}

/// There was no answer in time.
struct Unanswered(StoreError);

impl Unanswered {
    fn within(span: Duration) -> Self {
        Unanswered(StoreError::Down(format!("no answer within {} ms", span.as_millis())))
    }
}

async fn wait<T>(
    answer: oneshot::Receiver<Result<T, StoreError>>,
    within: Duration,
) -> Result<Result<T, StoreError>, Unanswered> {
    if let Ok(answer) = tokio::time::timeout(within, answer).await {
        return Ok(answer.unwrap_or_else(|_| Err(gone())));
    }
    Err(Unanswered::within(within))
}

fn gone() -> StoreError {
    StoreError::Down("its thread has ended".to_owned())
}
