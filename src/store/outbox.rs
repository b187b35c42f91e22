//! Messages that wait for their broker, as they are kept.

use std::time::Duration;

use jiff::Timestamp;

use crate::event::RunId;
use crate::job::JobKey;

/// For how long the id of a message that was confirmed is known.
pub const KNOWN: Duration = Duration::from_secs(60 * 60);
/// How many such ids are known at most, the latest.
pub const MOST_KNOWN: u32 = 20_000;
/// Bytes of messages that are read at once, unless a single one has more.
pub const PAGE_BYTES: u64 = 8 << 20;

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
    /// Until when it is sent again, wall clock; kept to the microsecond.
    pub expires: Timestamp,
    /// The message itself; sealed where there is a key.
    pub bytes: Vec<u8>,
}

/// A message that waits, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Who sends it, as the store names them.
    pub owner: String,
    /// The message.
    pub waiting: Waiting,
}

/// What became of a message that was to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posted {
    /// It is kept, in this place.
    Kept(u64),
    /// One with its id waits already, here or at another replica: that one is kept.
    Waits,
    /// One with its id was confirmed within the last hour.
    Confirmed,
    /// There is no room: so many wait already, of so many bytes.
    Full {
        /// Messages that wait.
        count: u64,
        /// Their bytes.
        bytes: u64,
    },
}

/// How much may wait in a namespace, over all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Messages.
    pub count: u64,
    /// Their bytes, as they are kept.
    pub bytes: u64,
}

impl Default for Room {
    /// 10 000 messages, 64 MiB.
    fn default() -> Self {
        Room { count: 10_000, bytes: 64 << 20 }
    }
}

/// Which messages that wait are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The oldest of an owner behind a place.
    After {
        /// Whose.
        owner: String,
        /// The place; 0: from the first.
        order: u64,
        /// How many at most.
        limit: usize,
    },
    /// Those with these ids, whoever's.
    Ids(Vec<String>),
}

/// Messages that are kept no longer, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Done {
    /// The broker has them: their ids stay known for a while.
    pub confirmed: Vec<String>,
    /// They are given up.
    pub dropped: Vec<String>,
    /// Who gives them up: those that others keep under the same ids stay.
    pub owner: String,
}

impl Done {
    /// How many messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.confirmed.len() + self.dropped.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
