//! Messages accepted and not yet confirmed: kept in the store, sent in order for each job, sent again until they are
//! confirmed or have expired.
//!
//! Receives [`Letter`]s, hands them to whoever [publishes](crate::broker::Publish), tells of each on the bus. Layer 6. What
//! it has accepted is never lost silently: it is confirmed, or [`Event::MessageDropped`](crate::event::Event) says why not.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use crate::broker::Delivery;
use crate::event::RunId;
use crate::job::JobKey;
use crate::message::Message;
use crate::store::StoreError;

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
        /// Its bytes.
        bytes: u64,
        /// How many it may have.
        limit: u64,
    },
    /// The store does not keep it.
    #[error("the store did not take it: {0}")]
    Store(#[from] StoreError),
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Stopping,
}

/// The way to the outbox. Clones lead to the same.
#[derive(Debug, Clone)]
pub struct Outbox(mpsc::UnboundedSender<Order>);

/// What the outbox is asked.
#[derive(Debug)]
enum Order {
    /// Keep it and send it.
    Accept(Box<Letter>, oneshot::Sender<Result<Fate, Refused>>),
}

/// What becomes of an accepted letter.
#[derive(Debug)]
pub struct Fate(oneshot::Receiver<Delivery>);

impl Outbox {
    /// Has a letter kept and sent; the answer comes once it is kept, so that a kill does not lose it.
    ///
    /// One whose id waits already, or was confirmed a short while ago, is not kept again: its fate is that of the one before.
    ///
    /// # Errors
    /// It is not accepted, and not sent.
    pub async fn accept(&self, letter: Letter) -> Result<Fate, Refused> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Order::Accept(Box::new(letter), reply)).map_err(|_| Refused::Stopping)?;
        answer.await.map_err(|_| Refused::Stopping)?
    }
}

impl Fate {
    /// What the next try comes to, or, where `within` passes before, why none was made: [`Delivery::Away`],
    /// [`Delivery::Blocked`] or [`Delivery::TimedOut`]. The letter is kept until it is confirmed or has expired.
    pub async fn next(self, within: Duration) -> Delivery {
        match tokio::time::timeout(within, self.0).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(_)) => Delivery::Away { reason: "the daemon was stopped".to_owned() },
            Err(_) => Delivery::TimedOut,
        }
    }
}
