//! From an address to a store.

use std::sync::Arc;

use super::redis::Redis;
use super::seal::Seal;
use super::sqlite::Sqlite;
use super::{Address, Store, Tell};
use crate::clock::Clock;

/// What is to be known to open a store.
pub struct Opening {
    /// Where it is.
    pub address: Address,
    /// Whose state it is.
    pub namespace: String,
    /// What for.
    pub access: Access,
    /// Tells how old what is kept is.
    pub clock: Arc<dyn Clock>,
    /// Is told what has no other place: that another store was taken, that a broken file was put aside.
    pub tell: Tell,
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A daemon's, that it was told to use: as long as it cannot be used, it is down.
    Owned,
    /// A daemon's, that nobody named: where no file can be written, state is kept in memory.
    Default,
    /// A command's that reads, beside a daemon or without: makes nothing, changes nothing.
    Read,
}

/// Opens a store. Never fails and never waits: one that cannot be used answers so.
#[must_use]
pub fn open(opening: Opening) -> Arc<dyn Store> {
    open_sealed(opening, None)
}

/// As [`open`]; pauses are signed with the key, and taken only with its signature.
#[must_use]
pub fn open_sealed(opening: Opening, seal: Option<Seal>) -> Arc<dyn Store> {
    match opening.address {
        Address::Redis(url) => {
            let redis = Redis::new(&url, &opening.namespace).sealed(seal, opening.tell);
            Arc::new(if opening.access == Access::Read { redis.reading() } else { redis })
        }
        Address::Sqlite(_) | Address::Memory => Arc::new(Sqlite::new(opening).sealed(seal)),
    }
}
