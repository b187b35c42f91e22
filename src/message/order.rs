//! Orders: what a worker is to carry out, as a message.
//!
//! The content is JSON and is signed as a whole ([`signature`](super::signature)): the queue, the user, the command, what it
//! reads, its environment, how long the order holds and its id are all in it. What is not in it, such as other headers, is
//! never looked at.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

use super::bytes::Bytes;
use super::signature::{BadSignature, HEADER, Key, Kind};
use super::{Message, Properties};

/// The version of the form that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// The largest content of an order, in bytes.
pub const LARGEST: usize = 4 << 20;

/// The type of the message.
pub const KIND: &str = "cronkeep.order";

/// What the messages of orders and reports say of who sent them.
pub(super) const APP: &str = "cronkeep";

/// What a worker is to carry out: one attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// [`VERSION`].
    pub version: u32,
    /// What tells it from all others; at most 100 letters.
    pub id: String,
    /// The queue that it is sent to: what arrives in another is refused.
    pub queue: String,
    /// The queue where reports are expected.
    pub reply_to: String,
    /// What it is an attempt of.
    pub subject: Subject,
    /// Whom it is to run as.
    pub user: Bytes,
    /// What the shell gets.
    pub command: Bytes,
    /// What the command reads.
    pub stdin: Bytes,
    /// The settings of the entry, in their order.
    pub environment: Vec<(Bytes, Bytes)>,
    /// How long it may take before its processes get TERM, in milliseconds; none: for ever.
    pub timeout_ms: Option<u64>,
    /// From TERM to KILL, in milliseconds.
    pub kill_after_ms: u64,
    /// Exit codes that count as success; the worker judges by them.
    pub success_codes: Vec<u8>,
    /// Whether what it prints is sent back.
    pub output: bool,
    /// How often something is to be heard of it while it runs, in milliseconds.
    pub beat_ms: u64,
    /// Until when it may be started, wall clock.
    pub expires: Timestamp,
    /// How often it may be started once more after a worker has died with it, though nobody waits for it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
}

/// What an order and its reports are about: an attempt of a run, as the sender knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The run's id.
    pub run: String,
    /// Which try, from 1.
    pub attempt: u32,
    /// The job's key.
    pub key: String,
    /// What people call the job.
    pub name: String,
    /// Why the run happened.
    pub trigger: String,
    /// The scheduled instant.
    pub at: Timestamp,
    /// The offset of the job's zone then, in seconds east of Greenwich.
    pub offset: i32,
    /// The wall-clock time that it stands for.
    pub civil: DateTime,
    /// The clock's generation.
    pub generation: u64,
}

/// Why a message is not taken for an order, or a report; nothing of it is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is larger than any that we send.
    #[error("it has {0} bytes")]
    Huge(usize),
    /// It cannot be shown that it comes from somebody who has the key.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Its content makes no sense.
    #[error("it is malformed: {0}")]
    Malformed(String),
    /// Another program made it.
    #[error("its form has version {0}, and we read {VERSION}")]
    Version(u64),
    /// It was sent to another queue.
    #[error("it was sent to the queue {0}")]
    Queue(String),
}

impl Order {
    /// The order as a message, signed where there is a key.
    ///
    /// # Errors
    /// [`Refusal::Huge`]: no worker would take it.
    pub fn message(&self, key: Option<&Key>) -> Result<Message, Refusal> {
        let body = json(self)?;
        if body.len() > LARGEST {
            return Err(Refusal::Huge(body.len()));
        }
        Ok(Message {
            id: self.id.clone(),
            exchange: String::new(),
            routing_key: self.queue.clone(),
            mandatory: true,
            persistent: true,
            properties: Properties {
                content_type: Some("application/json".to_owned()),
                correlation_id: Some(self.subject.run.clone()),
                reply_to: Some(self.reply_to.clone()),
                kind: Some(KIND.to_owned()),
                app_id: Some(APP.to_owned()),
                expires: Some(self.expires),
                ..Properties::default()
            },
            headers: signed(key, Kind::Order, &body),
            body,
        })
    }

    /// The order that a message from `queue` is, if it is one. Without a key whoever could send it is believed,
    /// but of what is signed nobody would believe our reports.
    ///
    /// Nothing of it is read before its signature was judged.
    ///
    /// # Errors
    /// It is none, or none for us.
    pub fn read(message: &Message, key: Option<&Key>, queue: &str) -> Result<Self, Refusal> {
        if key.is_none() && message.headers.iter().any(|(name, _)| name == HEADER) {
            return Err(BadSignature::Unwanted.into());
        }
        let order: Order = read(message, key, Kind::Order, LARGEST)?;
        if order.queue != queue {
            return Err(Refusal::Queue(order.queue));
        }
        if order.id.is_empty() || order.id.len() > 100 {
            return Err(Refusal::Malformed("its id is empty, or too long".to_owned()));
        }
        Ok(order)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The header with the signature, where there is a key.
fn signed(key: Option<&Key>, kind: Kind, body: &[u8]) -> Vec<(String, super::Value)> {
    key.map(|key| (HEADER.to_owned(), key.sign(kind, body).into())).into_iter().collect()
}

/// A message about an order to a queue, signed where there is a key; what it says of the order gives it its id.
pub(super) fn about(
    order: &str,
    queue: &str,
    (kind, name): (Kind, &str),
    content: &impl Serialize,
    key: Option<&Key>,
) -> Result<Message, Refusal> {
    let body = json(content)?;
    Ok(Message {
        id: String::new(),
        exchange: String::new(),
        routing_key: queue.to_owned(),
        mandatory: true,
        persistent: true,
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            correlation_id: Some(order.to_owned()),
            kind: Some(name.to_owned()),
            app_id: Some(APP.to_owned()),
            ..Properties::default()
        },
        headers: signed(key, kind, &body),
        body,
    })
}

/// The content of a message.
fn json(content: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(content).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// What stands in a message of this kind, once its signature was judged.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    message: &Message,
    key: Option<&Key>,
    kind: Kind,
    largest: usize,
) -> Result<T, Refusal> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    if message.body.len() > largest {
        return Err(Refusal::Huge(message.body.len()));
    }
    if let Some(key) = key {
        key.verify(kind, message)?;
    }
    let malformed = |error: serde_json::Error| Refusal::Malformed(error.to_string());
    // A later version may have fields of which nothing is known here.
    let Versioned { version } = serde_json::from_slice(&message.body).map_err(malformed)?;
    if version != u64::from(VERSION) {
        return Err(Refusal::Version(version));
    }
    serde_json::from_slice(&message.body).map_err(malformed)
}

#[cfg(test)]
pub(crate) mod tests;
