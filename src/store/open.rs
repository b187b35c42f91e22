//! From an address to a store.

use std::sync::Arc;

use super::{
    Address, Beat, Claim, Lease, Loaded, Output, Page, Peers, Permission, Put, PutSnapshot, Query,
    Reply, Start, Store, Verdict, Versioned, Write,
};
use crate::event::RunId;

/// The store at an address, for one namespace. Nothing is asked of it yet.
///
/// To be called inside a tokio runtime with I/O and time, which drives what the store does on its own.
#[must_use]
pub fn open(_address: &Address, _namespace: &str) -> Arc<dyn Store> {
    Arc::new(Nothing)
}

/// Keeps nothing, and remembers nothing.
struct Nothing;

fn ready<'a, T: Send + 'a>(value: T) -> Reply<'a, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Store for Nothing {
    fn load(&self) -> Reply<'_, Loaded> {
        ready(Loaded::default())
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        ready(None)
    }

    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put> {
        ready(Put::Done(put.expected + 1))
    }

    fn forget_snapshot(&self) -> Reply<'_, ()> {
        ready(())
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        ready(None)
    }

    fn write(&self, _batch: Vec<Write>) -> Reply<'_, ()> {
        ready(())
    }

    fn claim(&self, _lease: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        ready(vec![Verdict::Granted; claims.len()])
    }

    fn start(&self, _lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        ready(vec![Permission::Granted; starts.len()])
    }

    fn beat(&self, beat: Beat) -> Reply<'_, Peers> {
        ready(Peers { lease: beat.lease, ..Peers::default() })
    }

    fn runs(&self, _query: Query) -> Reply<'_, Page> {
        ready(Page::default())
    }

    fn output(&self, _run: RunId) -> Reply<'_, Option<Output>> {
        ready(None)
    }
}
