//! How the rooms above speak to a store.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::writer::{self, Message};
use super::{
    Beat, Claim, Lease, Loaded, Output, Page, Peers, Permission, Put, PutSnapshot, Query, Reply,
    Start, Store, StoreError, Verdict, Versioned, Write,
};
use crate::clock::Clock;
use crate::event::RunId;

/// How a store stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// It was not asked for anything yet.
    #[default]
    Unknown,
    /// It answered when it was asked last.
    Up,
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
    standing: Arc<watch::Sender<Standing>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Starts the thread for a store; it ends when the last handle is gone and what could be written was.
    ///
    /// `open` makes the store, on that thread, inside a tokio runtime of it with I/O and time.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        open: impl FnOnce() -> Arc<dyn Store> + Send + 'static,
        clock: Arc<dyn Clock>,
    ) -> std::io::Result<Self> {
        let (messages, receiver) = mpsc::unbounded_channel();
        let standing = Arc::new(watch::Sender::new(Standing::default()));
        writer::spawn(open, Arc::clone(&clock), receiver, Arc::clone(&standing))?;
        Ok(Handle { messages, standing, clock })
    }

    /// Has something kept, as soon as that can be. Never blocks.
    pub fn write(&self, write: Write) {
        // Without its thread there is no store.
        let _ = self.messages.send(Message::Write(write));
    }

    /// How the store stands, now and after each change.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Has the store make ready for a start that comes in a moment. Never blocks.
    pub fn warm(&self) {
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

    /// [`Store::load`], within a span.
    pub async fn load(&self, within: Duration) -> Result<Loaded, StoreError> {
        self.ask(within, |store| store.load()).await
    }

    /// [`Store::snapshot`], within a span.
    pub async fn snapshot(&self, within: Duration) -> Result<Option<Versioned>, StoreError> {
        self.ask(within, |store| store.snapshot()).await
    }

    /// [`Store::put_snapshot`], within a span.
    pub async fn put_snapshot(
        &self,
        put: PutSnapshot,
        within: Duration,
    ) -> Result<Put, StoreError> {
        self.ask(within, |store| store.put_snapshot(put)).await
    }

    /// [`Store::forget_snapshot`], within a span.
    pub async fn forget_snapshot(&self, within: Duration) -> Result<(), StoreError> {
        self.ask(within, |store| store.forget_snapshot()).await
    }

    /// [`Store::seed_rows`], within a span.
    pub async fn seed_rows(&self, within: Duration) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(within, |store| store.seed_rows()).await
    }

    /// [`Store::claim`], within a span.
    pub async fn claim(
        &self,
        lease: Lease,
        claims: Vec<Claim>,
        within: Duration,
    ) -> Result<Vec<Verdict>, StoreError> {
        self.ask(within, |store| store.claim(lease, claims)).await
    }

    /// [`Store::start`], within a span. It is asked when this is called, not when the future is first polled.
    pub fn start_runs(
        &self,
        lease: Lease,
        starts: Vec<Start>,
        within: Duration,
    ) -> impl Future<Output = Result<Vec<Permission>, StoreError>> + use<> {
        let answer = self.send(|store| store.start(lease, starts));
        let handle = self.clone();
        async move { handle.wait(answer?, within).await }
    }

    /// [`Store::beat`], within a span.
    pub async fn beat(&self, beat: Beat, within: Duration) -> Result<Peers, StoreError> {
        self.ask(within, |store| store.beat(beat)).await
    }

    /// [`Store::runs`], within a span.
    pub async fn runs(&self, query: Query, within: Duration) -> Result<Page, StoreError> {
        self.ask(within, |store| store.runs(query)).await
    }

    /// [`Store::output`], within a span.
    pub async fn output(&self, run: RunId, within: Duration) -> Result<Option<Output>, StoreError> {
        self.ask(within, move |store| store.output(run)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        question: impl for<'a> FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.wait(self.send(question)?, within).await
    }

    fn send<T: Send + 'static>(
        &self,
        question: impl for<'a> FnOnce(&'a dyn Store) -> Reply<'a, T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call = move |store: Arc<dyn Store>| -> writer::Call {
            Box::pin(async move {
                let answer = question(&*store).await;
                let error = answer.as_ref().err().cloned();
                // Whoever has lost interest need not be told.
                let _ = reply.send(answer);
                error
            })
        };
        self.messages.send(Message::Call(Box::new(call))).map_err(|_| gone())?;
        Ok(answer)
    }

    async fn wait<T>(
        &self,
        answer: oneshot::Receiver<Result<T, StoreError>>,
        within: Duration,
    ) -> Result<T, StoreError> {
        if let Ok(answer) = tokio::time::timeout(within, answer).await {
            return answer.map_err(|_| gone())?;
        }
        // Its thread may hang, and so cannot say it.
        let error = StoreError::Down(format!("no answer within {} ms", within.as_millis()));
        writer::note(&self.standing, self.clock.now(), Some(error.clone()), None);
        Err(error)
    }
}

fn gone() -> StoreError {
    StoreError::Down("its thread has ended".to_owned())
}
