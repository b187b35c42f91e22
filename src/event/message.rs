//! What happens to messages on their way to a broker.

use std::sync::Arc;

use super::RunId;

/// A message of which something is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub id: String,
    /// Where it is published; empty: the default exchange.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// What people call the job whose fire it tells of, if it is a job's.
    pub job: Option<Arc<str>>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// How often it has been sent.
    pub tries: u32,
}
