//! Messages accepted and not yet confirmed: kept in the store, sent in order for each job, sent again until they are
//! confirmed, have expired, or are withdrawn.
//!
//! Receives [`Letter`]s, hands them to whoever [publishes](crate::broker::Publish), tells of each on the bus. Layer 6. What
//! it has accepted is never lost silently: it is confirmed, withdrawn by whoever handed it over, or
//! [`Event::MessageDropped`](crate::event::Event) says why not.
//! The rules are in `agenda`, which is pure; `docs/store.md` says them in words.

mod actor;
mod agenda;
mod errand;
mod fate;
mod form;
mod item;
mod pace;

pub use fate::Fate;
pub use pace::{Bounds, Pace};

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::broker::{Delivery, Publish, Standing};
use crate::clock::Clock;
use crate::event::{Bus, RunId, Sent};
use crate::job::JobKey;
use crate::message::Message;
use crate::store::seal::Seal;
use crate::store::{self, Beat, StoreError, Waiting};

/// A message to be sent.
#[derive(Debug)]
pub struct Letter {
    /// The message.
    pub message: Message,
    /// The job whose fire it tells of, with what people call it: its letters are sent in order.
    pub job: Option<(JobKey, Arc<str>)>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// Until when it is sent again, wall clock.
    pub expires: Timestamp,
}

/// Why a letter was not accepted: nothing of it is kept, nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no room.
    #[error("the outbox is full: {count} messages, {bytes} bytes wait for the broker")]
    Full {
        /// Messages that wait.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It is larger than any message may be.
    #[error("the message has {bytes} bytes, at most {limit} may be sent")]
    TooLarge {
        /// Its bytes, as they would be kept.
        bytes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The store does not keep it. One that does not answer may have it for a moment, until it can be told otherwise.
    #[error("the store did not take it: {0}")]
    Store(#[from] StoreError),
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}

/// What an outbox is made of.
pub struct Parts {
    /// Where letters are kept.
    pub store: store::Handle,
    /// Who sends them.
    pub broker: Arc<dyn Publish>,
    /// Tells when they expire.
    pub clock: Arc<dyn Clock>,
    /// Where is told what becomes of them.
    pub bus: Bus,
    /// Whose they are: this replica's name, as in its lease.
    pub replica: String,
    /// Who else has letters in the store.
    pub others: Others,
    /// Signs what is kept, and judges it.
    pub seal: Option<Seal>,
    /// What becomes of letters in the store that cannot be read.
    pub unread: Unread,
    /// How much.
    pub bounds: Bounds,
    /// How often.
    pub pace: Pace,
    /// What holds some letters back.
    pub gate: Option<Gate>,
    /// Takes everything that was sent as confirmed: a fault that tests must find.
    pub is_trusting: bool,
}

/// What becomes of letters that cannot be read: they are not signed, as they should be, or another version has written them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// They are dropped, and told.
    Dropped,
    /// They stay: whoever is to send them may have the key.
    Spared,
}

/// Holds letters back until their answers can be heard.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Letters whose messages are to be answered to this queue go through the gate.
    pub queue: String,
    /// Whether it is open: shut, they are kept and wait.
    pub is_open: watch::Receiver<bool>,
}

/// Who else has letters in the store.
#[derive(Debug, Clone)]
pub enum Others {
    /// Nobody: all that waits is ours, whatever name it bears.
    Nobody,
    /// Daemons of which nothing is heard, as with `--local`: ours is what bears our name.
    Unheard,
    /// Replicas: what those left that do not live becomes ours. Those that live, this one among them, now and after each
    /// change; empty: not known yet.
    Replicas(watch::Receiver<Vec<Beat>>),
}

/// What waits here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Letters of this replica, those under way included.
    pub count: u64,
    /// Their bytes, as they are kept.
    pub bytes: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
}

/// A letter that waits, as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// What it is, and how often it was sent since the daemon began.
    pub sent: Sent,
    /// The job whose fire it tells of.
    pub job: Option<JobKey>,
    /// When it was accepted, wall clock; none where that cannot be read.
    pub accepted: Option<Timestamp>,
    /// Until when it is sent again, wall clock.
    pub expires: Timestamp,
    /// Its bytes, as they are kept.
    pub bytes: u64,
    /// Whether the broker is being asked to take it.
    pub is_under_way: bool,
    /// What its last try came to.
    pub last: Option<String>,
}

impl Waits {
    /// A letter that waits in a store while nobody sends it; its seal is not judged. Of one that cannot be read it is said so
    /// in the place of what its last try came to.
    #[must_use]
    pub fn unsent(row: &Waiting) -> Self {
        let size = row.bytes.len() as u64;
        match form::unpack(row, None) {
            Ok((letter, accepted)) => item::Item::new(letter, accepted, size).waits(false),
            Err(reason) => Waits {
                sent: item::sent_of(row),
                job: row.job,
                accepted: None,
                expires: row.expires,
                bytes: size,
                is_under_way: false,
                last: Some(reason),
            },
        }
    }
}

/// What became of letters that were to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Discarded {
    /// The ids of those that are gone.
    pub dropped: Vec<String>,
    /// The ids of those of which the broker has not answered yet: they are dropped unless it confirms them.
    pub under_way: Vec<String>,
}

/// The way to the outbox. Clones lead to the same.
#[derive(Debug, Clone)]
pub struct Outbox {
    orders: mpsc::UnboundedSender<Order>,
    standing: watch::Receiver<Standing>,
    backlog: watch::Receiver<Backlog>,
}

/// What the outbox is asked.
#[derive(Debug)]
enum Order {
    /// Keep it and send it.
    Accept(Box<Letter>, oneshot::Sender<Result<oneshot::Receiver<Delivery>, Refused>>),
    /// Try this one again now.
    Nudge(String, oneshot::Sender<Option<oneshot::Receiver<Delivery>>>),
    /// Send this one no more; whether nobody can have it.
    Withdraw(String, oneshot::Sender<bool>),
    /// Tell what waits.
    Look(actor::Look),
    /// Send these no more.
    Discard { ids: Vec<String>, by: String, reply: actor::Answer },
    /// Tell if this one is dropped; by whom.
    Mourn(String, oneshot::Sender<String>),
    /// Take no more, send no more, and say when what is under way was answered and that is kept.
    Flush(oneshot::Sender<()>),
    /// Tell all who wait that this is the end.
    Abandon,
}

impl Outbox {
    /// Starts one; what waits from earlier lives is sent as soon as the store has told it. It ends when all handles are gone;
    /// ended before, it loses nothing.
    ///
    /// To be called inside a tokio runtime with time.
    #[must_use]
    pub fn start(parts: Parts) -> (Self, JoinHandle<()>) {
        let (orders, receiver) = mpsc::unbounded_channel();
        let (told, backlog) = watch::channel(Backlog::default());
        let standing = parts.broker.standing();
        let task = tokio::spawn(actor::Actor::new(parts, receiver, told).run());
        (Outbox { orders, standing, backlog }, task)
    }

    /// Has a letter kept and sent; the answer comes once it is kept, so that a kill does not lose it. In a burst it comes when
    /// those before it are kept; while nothing is kept or answered, within twice what the store may take to answer.
    ///
    /// One whose id waits already is not kept again: it is tried again now, and its fate is that of the one before. One that
    /// was confirmed within the last hour is confirmed.
    ///
    /// # Errors
    /// It is not accepted, and not sent.
    pub async fn accept(&self, letter: impl Into<Box<Letter>>) -> Result<Fate, Refused> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Accept(letter.into(), reply);
        self.orders.send(order).map_err(|_| Refused::Stopping)?;
        let answer = answer.await.map_err(|_| Refused::Stopping)??;
        Ok(Fate::new(answer, self.standing.clone()))
    }

    /// Has the letter with this id tried again now; none if no such letter waits here.
    pub async fn nudge(&self, id: &str) -> Option<Fate> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Nudge(id.to_owned(), reply)).ok()?;
        Some(Fate::new(answer.await.ok()??, self.standing.clone()))
    }

    /// Has the letter with this id kept and sent no more; true if it was never sent, so that nobody has it. It may be one
    /// that is being accepted.
    ///
    /// It is asked when this is called, not when the future is first polled.
    pub fn withdraw(&self, id: &str) -> impl Future<Output = bool> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let asked = self.orders.send(Order::Withdraw(id.to_owned(), reply));
        // Without an outbox the next life sends it.
        async move { asked.is_ok() && answer.await.unwrap_or(false) }
    }

    /// All that waits here, the oldest first, with what an earlier life has left.
    ///
    /// # Errors
    /// The store does not tell what an earlier life has left; or there is no outbox any more.
    pub async fn look(&self) -> Result<Vec<Waits>, Refused> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Look(reply)).map_err(|_| Refused::Stopping)?;
        Ok(answer.await.map_err(|_| Refused::Stopping)??)
    }

    /// Has the letters with these ids kept and sent no more, as `by` asks for; those that wait for them are told so. What does
    /// not wait here is passed over. The answer comes once the store has forgotten them: a kill does not bring them back.
    ///
    /// A letter with such an id that is accepted later is not kept either.
    ///
    /// # Errors
    /// The store does not answer: nothing of them is sent until the next start. Or there is no outbox any more.
    pub async fn discard(&self, ids: Vec<String>, by: String) -> Result<Discarded, Refused> {
        let (reply, answer) = oneshot::channel();
        let order = Order::Discard { ids, by, reply };
        self.orders.send(order).map_err(|_| Refused::Stopping)?;
        Ok(answer.await.map_err(|_| Refused::Stopping)??)
    }

    /// Who has dropped the letter with this id, once somebody has; never if nobody does.
    ///
    /// It is asked when this is called, not when the future is first polled.
    pub fn discarded(&self, id: &str) -> impl Future<Output = String> + Send + use<> {
        let (mourner, told) = oneshot::channel();
        // Without an outbox nobody drops anything.
        let _ = self.orders.send(Order::Mourn(id.to_owned(), mourner));
        async move {
            match told.await {
                Ok(by) => by,
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// What waits here, now and after each change.
    #[must_use]
    pub fn backlog(&self) -> watch::Receiver<Backlog> {
        self.backlog.clone()
    }

    /// Accepts no more, begins to send no more, and waits until what is under way was answered and that is kept, or `within`
    /// has passed; whether it is. To be called before the end: what waits then is sent by the next life, and those who wait
    /// for it are told so.
    pub async fn flush(&self, within: Duration) -> bool {
        let (done, flushed) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_err() {
            return false;
        }
        let is_flushed = matches!(tokio::time::timeout(within, flushed).await, Ok(Ok(())));
        // Where it has ended, everybody was told.
        let _ = self.orders.send(Order::Abandon);
        is_flushed
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("replica", &self.replica).finish_non_exhaustive()
    }
}
