//! The thread that waits for a store: what is to be written is gathered, and tried again until it is.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Standing, Store, StoreError, Write};
use crate::clock::Clock;

/// Writes of one transaction.
const BATCH: usize = 512;
/// Writes that may wait for a store that is away; of more, the oldest are dropped.
const WAITING: usize = 16 << 10;
/// The pause before a write is tried again, and the longest one.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A call under way; what was wrong, in the end.
pub(super) type Call = Pin<Box<dyn Future<Output = Option<StoreError>> + Send>>;

/// What the thread is asked for.
pub(super) enum Message {
    /// Keep this.
    Write(Write),
    /// Carry this out, beside everything else.
    Call(Box<dyn FnOnce(Arc<dyn Store>) -> Call + Send>),
    /// A start comes in a moment.
    Warm,
    /// Say when everything before this is kept.
    Flush(oneshot::Sender<()>),
}

/// Starts the thread.
pub(super) fn spawn(
    open: impl FnOnce() -> Arc<dyn Store> + Send + 'static,
    clock: Arc<dyn Clock>,
    messages: mpsc::UnboundedReceiver<Message>,
    standing: Arc<watch::Sender<Standing>>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async move {
            let writer = Writer {
                store: open(),
                clock,
                standing,
                waiting: VecDeque::new(),
                flushes: Vec::new(),
                pause: PAUSE,
                retry: None,
            };
            writer.run(messages).await;
        });
    };
    std::thread::Builder::new().name("store".into()).spawn(run).map(drop)
}

struct Writer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    standing: Arc<watch::Sender<Standing>>,
    waiting: VecDeque<Write>,
    flushes: Vec<oneshot::Sender<()>>,
    pause: Duration,
    /// When what waits is tried again.
    retry: Option<Instant>,
}

impl Writer {
    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        let mut calls = JoinSet::new();
        let mut open = true;
        while open {
            let retry = self.retry;
            tokio::select! {
                biased;
                message = messages.recv() => {
                    open = message.is_some();
                    let mut next = message;
                    // What is at hand goes into one transaction.
                    while let Some(message) = next {
                        self.take(message, &mut calls);
                        next = if self.waiting.len() < BATCH { messages.try_recv().ok() } else { None };
                    }
                }
                Some(Ok(error)) = calls.join_next() => self.answered(error),
                () = until(retry), if retry.is_some() => self.retry = None,
            }
            if self.retry.is_none() {
                self.write().await;
            }
        }
        self.write().await;
    }

    fn take(&mut self, message: Message, calls: &mut JoinSet<Option<StoreError>>) {
        match message {
            Message::Write(write) => {
                self.waiting.push_back(write);
                if self.waiting.len() > WAITING {
                    self.waiting.pop_front();
                }
            }
            Message::Call(call) => {
                calls.spawn(call(Arc::clone(&self.store)));
            }
            Message::Warm => self.store.warm(),
            Message::Flush(done) => self.flushes.push(done),
        }
    }

    /// Writes what waits; what cannot be written waits on.
    async fn write(&mut self) {
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let batch: Vec<Write> = self.waiting.iter().take(count).cloned().collect();
            match self.store.write(batch).await {
                Ok(()) => {
                    self.waiting.drain(..count);
                    self.pause = PAUSE;
                    self.answered(None);
                }
                Err(error) => {
                    self.retry = Some(Instant::now() + self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    return self.answered(Some(error));
                }
            }
        }
        for done in self.flushes.drain(..) {
            // Whoever has lost interest need not be told.
            let _ = done.send(());
        }
    }

    /// Takes note of how the store answered.
    fn answered(&self, error: Option<StoreError>) {
        let (now, waiting) = (self.clock.now(), self.waiting.len());
        note(&self.standing, now, error, Some(waiting));
    }
}

/// Notes that the store answered, or with what error it did not; without `waiting` as many writes wait as before.
pub(super) fn note(
    standing: &watch::Sender<Standing>,
    now: Timestamp,
    error: Option<StoreError>,
    waiting: Option<usize>,
) {
    standing.send_if_modified(|standing| {
        let new = match (error, &*standing) {
            (None, _) => Standing::Up,
            (Some(error), Standing::Down { since, waiting: before, .. }) => {
                Standing::Down { since: *since, error, waiting: waiting.unwrap_or(*before) }
            }
            (Some(error), _) => {
                Standing::Down { since: now, error, waiting: waiting.unwrap_or_default() }
            }
        };
        let changed = *standing != new;
        *standing = new;
        changed
    });
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
