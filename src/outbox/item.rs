//! A letter that waits, as it is known in memory.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::oneshot;

use super::{Letter, Waits, form};
use crate::broker::Delivery;
use crate::event::Sent;
use crate::job::JobKey;
use crate::message::Message;
use crate::store::{StoreError, Waiting};

/// Tells whoever accepted a letter what its next try comes to.
pub(super) type Teller = oneshot::Sender<Delivery>;

/// What whoever hands a letter over is answered.
pub(super) type Reply = oneshot::Sender<Result<oneshot::Receiver<Delivery>, super::Refused>>;

/// A letter that waits.
pub(super) struct Item {
    /// What is told of it.
    pub(super) sent: Sent,
    pub(super) job: Option<JobKey>,
    pub(super) accepted: Timestamp,
    pub(super) expires: Timestamp,
    /// Its bytes, as they are kept.
    pub(super) size: u64,
    /// The message, if it is at hand.
    pub(super) message: Option<Arc<Message>>,
    /// Who is to hear of the next try.
    pub(super) tellers: Vec<Teller>,
    /// What the last try came to.
    pub(super) last: Option<String>,
    /// Nobody wants it to be sent again.
    pub(super) is_withdrawn: bool,
    /// Who has dropped it while it was under way.
    pub(super) discarded: Option<String>,
    /// Who is to hear that somebody has dropped it.
    pub(super) mourners: Vec<oneshot::Sender<String>>,
}

impl Item {
    pub(super) fn new(letter: Letter, accepted: Timestamp, size: u64) -> Self {
        let Letter { message, job, run, expires } = letter;
        let (job, label) = job.unzip();
        let sent = Sent {
            id: message.id.clone(),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            job: label,
            run,
            tries: 0,
        };
        let message = Some(Arc::new(message));
        Item {
            sent,
            job,
            accepted,
            expires,
            size,
            message,
            tellers: Vec::new(),
            last: None,
            is_withdrawn: false,
            discarded: None,
            mourners: Vec::new(),
        }
    }

    /// As people are told of it.
    pub(super) fn waits(&self, is_under_way: bool) -> Waits {
        Waits {
            sent: self.sent.clone(),
            job: self.job,
            accepted: Some(self.accepted),
            expires: self.expires,
            bytes: self.size,
            is_under_way,
            last: self.last.clone(),
        }
    }

    /// Tells all who wait for the next try.
    pub(super) fn tell(&mut self, delivery: &Delivery) {
        for teller in std::mem::take(&mut self.tellers) {
            // Whoever has lost interest need not be told.
            let _ = teller.send(delivery.clone());
        }
    }

    /// Whoever else is to hear of the next try.
    pub(super) fn listen(&mut self) -> oneshot::Receiver<Delivery> {
        self.tellers.retain(|teller| !teller.is_closed());
        let (teller, heard) = oneshot::channel();
        self.tellers.push(teller);
        heard
    }

    /// Why it is not with the broker when it has expired.
    pub(super) fn expiry(&self) -> Delivery {
        let reason = match &self.last {
            Some(last) => last.clone(),
            None => format!("it was not sent by {}", form::rounded(self.expires)),
        };
        Delivery::Expired { reason }
    }
}

/// A letter that is about to be kept.
pub(super) struct Pending {
    pub(super) letter: Letter,
    pub(super) accepted: Timestamp,
    /// As it is kept; its bytes go to the store.
    pub(super) row: Waiting,
    /// How many bytes those are.
    pub(super) size: u64,
    pub(super) reply: Reply,
}

impl Pending {
    /// Says that the store did not take it.
    pub(super) fn refuse(self, error: StoreError) {
        // Whoever has gone need not be told.
        let _ = self.reply.send(Err(error.into()));
    }
}

/// What is told of a row that is refused: nothing of its content is believed.
pub(super) fn sent_of(row: &Waiting) -> Sent {
    Sent {
        id: row.id.clone(),
        exchange: String::new(),
        routing_key: String::new(),
        job: row.job.map(|key| key.digits().into()),
        run: row.run,
        tries: 0,
    }
}
