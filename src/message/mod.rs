//! Messages: what is published, as bytes, properties and headers.
//!
//! Receives the words of a `publish` and the occasion of a fire, hands on a [`Message`]. Layer 1: pure; it knows of no
//! broker's client, no clock and no store.

pub mod answer;
pub mod arguments;
mod bytes;
pub mod celery;
mod cloud;
pub mod compose;
pub mod kind;
pub mod occasion;
pub mod order;
pub mod refusal;
pub mod report;
pub mod signature;
mod value;
pub mod words;

pub use answer::Answer;
pub use arguments::{Arguments, UsageText};
pub use bytes::Bytes;
pub use compose::{BadMessage, compose, compose_own};
pub use occasion::{Occasion, message_id, part_id};
pub use order::Order;
pub use report::Report;
pub use value::Value;
pub use words::{is_publish, is_publish_here, publish_words};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A message, complete: the same bytes whenever it is sent again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// What tells it from all others, the same on every resend and on every replica; at most 255 bytes.
    pub id: String,
    /// Where it is published; empty: the default exchange, whose routing keys are names of queues. At most 255 bytes.
    pub exchange: String,
    /// At most 255 bytes.
    pub routing_key: String,
    /// Whether it comes back where no queue takes it.
    pub mandatory: bool,
    /// Whether the broker keeps it over a restart.
    pub persistent: bool,
    /// Its properties beside the id.
    pub properties: Properties,
    /// Its headers, in order; names of at most 255 bytes, each once.
    pub headers: Vec<(String, Value)>,
    /// Its content.
    #[serde(skip)]
    pub body: Vec<u8>,
}

/// The properties of a message, as AMQP 0-9-1 has them. Texts of at most 255 bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// `application/json`
    pub content_type: Option<String>,
    /// `utf-8`
    pub content_encoding: Option<String>,
    /// The run that it belongs to.
    pub correlation_id: Option<String>,
    /// The queue where an answer is expected.
    pub reply_to: Option<String>,
    /// `cronkeep.fire`
    pub kind: Option<String>,
    /// `cronkeep`
    pub app_id: Option<String>,
    /// When it was made, to the second.
    pub timestamp: Option<Timestamp>,
    /// Until when it is worth anything: the broker gets what is left of that as the message's expiration, in milliseconds.
    pub expires: Option<Timestamp>,
    /// 0 to 255.
    pub priority: Option<u8>,
}
