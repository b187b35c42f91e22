//! From an address to a store.

use std::sync::Arc;

use super::sqlite::Sqlite;
use super::{
    Address, Beat, Claim, Lease, Loaded, Output, Page, Peers, Permission, Put, PutSnapshot, Query,
    Reply, Start, Store, StoreError, Tell, Verdict, Versioned, Write,
};
use crate::clock::Clock;
use crate::event::RunId;

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
    match opening.address {
        Address::Redis(_) => {
            Arc::new(Away(StoreError::Down("this build cannot speak to Redis".to_owned())))
        }
        Address::Sqlite(_) | Address::Memory => Arc::new(Sqlite::new(opening)),
    }
}

/// A store that answers everything with the same error.
#[derive(Debug)]
struct Away(StoreError);

impl Away {
    fn answer<T: Send + 'static>(&self) -> Reply<'_, T> {
        let error = self.0.clone();
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Store for Away {
    fn load(&self) -> Reply<'_, Loaded> {
        self.answer()
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        self.answer()
    }

    fn put_snapshot(&self, _: PutSnapshot) -> Reply<'_, Put> {
        self.answer()
    }

    fn forget_snapshot(&self) -> Reply<'_, ()> {
        self.answer()
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        self.answer()
    }

    fn write(&self, _: Vec<Write>) -> Reply<'_, ()> {
        self.answer()
    }

    fn claim(&self, _: Lease, _: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        self.answer()
    }

    fn start(&self, _: Lease, _: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        self.answer()
    }

    fn beat(&self, _: Beat) -> Reply<'_, Peers> {
        self.answer()
    }

    fn runs(&self, _: Query) -> Reply<'_, Page> {
        self.answer()
    }

    fn output(&self, _: RunId) -> Reply<'_, Option<Output>> {
        self.answer()
    }
}
