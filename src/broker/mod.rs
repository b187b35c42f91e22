//! The way to a message broker: one connection, one channel with confirms, and what is consumed.
//!
//! Receives [`Message`]s, hands on what became of each: a [`Delivery`]. Layer 5. It keeps nothing: what was not confirmed is
//! the caller's to send again ([`outbox`](crate::outbox)). It declares no topology but reply queues of its own. Nobody else
//! names the client library.

mod address;
mod backoff;
mod blame;
mod client;
mod consume;
mod delivery;
mod dial;
mod flight;
mod keeper;
mod kit;
mod line;
mod options;
mod reason;
mod tls;
mod wire;

pub use address::{Address, BadAddress, PARAMETERS};
pub use client::Broker;
pub use consume::{Consuming, Deliveries, Queue, Receipt, Received, Stale};
pub use delivery::{Delivery, REFUSED};
pub use options::Options;

use std::pin::Pin;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::message::Message;

/// What becomes of a message, once that is known.
pub type Answer = Pin<Box<dyn Future<Output = Delivery> + Send>>;

/// Where it is told what became of messages, by the numbers that the caller gave them.
pub type Landings = mpsc::UnboundedSender<(u64, Delivery)>;

/// Whoever takes messages to a broker.
pub trait Publish: Send + Sync {
    /// Sends a message once, and tells what became of it; sooner or later there is an answer. Messages are sent in the order
    /// of the calls; many may be under way at once.
    fn publish(&self, message: Arc<Message>) -> Answer;

    /// As [`publish`](Publish::publish); the answer goes to `landings`, with this number.
    ///
    /// To be called inside a tokio runtime.
    fn publish_to(&self, message: Arc<Message>, number: u64, landings: &Landings) {
        let (answer, landings) = (self.publish(message), landings.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                // With whoever waits for it goes the sending.
                () = landings.closed() => {}
                // Whoever has gone need not be told.
                delivery = answer => drop(landings.send((number, delivery))),
            }
        });
    }

    /// How the broker stands, now and after each change.
    fn standing(&self) -> watch::Receiver<Standing>;
}

/// How a broker stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Standing {
    /// It was not asked for anything yet.
    #[default]
    Unknown,
    /// There is a connection.
    Up {
        /// To which of its addresses, without secrets.
        address: String,
    },
    /// There is a connection, and the broker takes nothing: its memory or its disk is full.
    Blocked {
        /// Since when.
        since: Timestamp,
        /// What it says.
        reason: String,
    },
    /// There is none.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why, in words, without secrets.
        reason: String,
    },
}
