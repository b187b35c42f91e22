//! Messages that wait for their broker, as they are kept.

use jiff::Timestamp;

use crate::event::RunId;
use crate::job::JobKey;

/// A message that waits for its broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The message's id: of one id no more than one is ever kept.
    pub id: String,
    /// Its place among those that wait, given by the store; 0 for one that is about to be kept.
    pub order: u64,
    /// Whose fire it tells of, if it is a job's: those of one job are sent in order.
    pub job: Option<JobKey>,
    /// The run that it belongs to.
    pub run: Option<RunId>,
    /// Until when it is sent again, wall clock.
    pub expires: Timestamp,
    /// The message itself; sealed where there is a key.
    pub bytes: Vec<u8>,
}

/// What became of a message that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It is kept, in this place.
    Kept(u64),
    /// One with its id waits already, or was confirmed lately.
    Known,
    /// There is no room: so many wait already, of so many bytes.
    Full {
        /// Messages that wait.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
}
