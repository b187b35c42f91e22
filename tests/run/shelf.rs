//! A store that answers as a test has it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::event::RunId;
use cronkeep::executor::Ledger;
use cronkeep::job::JobId;
use cronkeep::store::{
    Beat, Claim, Conditions, Done, Forgotten, Handle, Lease, Loaded, Output, Owned, Page, Peers,
    Permission, Posted, Put, PutSnapshot, Query, Reply, Room, Start, Store, StoreError, Verdict,
    Versioned, Waiting, WhenDown, Which, Write,
};
use tokio::sync::{Semaphore, watch};

/// What a store was asked for, and how it answers.
pub(crate) struct Shelf {
    state: Mutex<State>,
    /// One for each question about starts that may be answered.
    answers: Semaphore,
}

#[derive(Default)]
struct State {
    starts: Vec<Vec<Start>>,
    writes: Vec<Write>,
    permission: Option<Permission>,
}

impl Shelf {
    /// One that permits every start at once.
    pub(crate) fn open() -> Arc<Self> {
        let shelf = Shelf::shut();
        shelf.answer(1_000_000);
        shelf
    }

    /// One that answers nothing about starts until it is told to.
    pub(crate) fn shut() -> Arc<Self> {
        Arc::new(Shelf { state: Mutex::default(), answers: Semaphore::new(0) })
    }

    /// Lets so many questions about starts be answered.
    pub(crate) fn answer(&self, count: usize) {
        self.answers.add_permits(count);
    }

    /// Answers every start like this from now on.
    pub(crate) fn permit(&self, permission: Permission) {
        self.state().permission = Some(permission);
    }

    /// The starts that it was asked for, question by question.
    pub(crate) fn starts(&self) -> Vec<Vec<Start>> {
        self.state().starts.clone()
    }

    /// What was written, in order.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state().writes.clone()
    }

    /// A ledger on it, and who speaks to it.
    pub(crate) fn ledger(
        self: &Arc<Self>,
        within: Duration,
        when_down: WhenDown,
    ) -> (Ledger, Handle) {
        let store = Arc::clone(self);
        let handle =
            Handle::start(move || store as Arc<dyn Store>, Arc::new(SystemClock), Arc::new(|_| {}));
        let handle = handle.unwrap();
        let lease = Lease { replica: "here".to_owned(), fencing: 7 };
        let conditions = watch::channel(Conditions { lease, within, when_down, until: None }).1;
        (Ledger::new(handle.clone(), conditions), handle)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn never<'a, T>() -> Reply<'a, T> {
    Box::pin(async { Err(StoreError::Refused("nobody asks for that here".to_owned())) })
}

impl Store for Shelf {
    fn load(&self) -> Reply<'_, Loaded> {
        never()
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        never()
    }

    fn put_snapshot(&self, _: PutSnapshot) -> Reply<'_, Put> {
        never()
    }

    fn forget_snapshot(&self) -> Reply<'_, Forgotten> {
        never()
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        never()
    }

    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()> {
        self.state().writes.extend(batch);
        Box::pin(async { Ok(()) })
    }

    fn claim(&self, _: Lease, _: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        never()
    }

    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        assert_eq!((&*lease.replica, lease.fencing), ("here", 7));
        let count = starts.len();
        self.state().starts.push(starts);
        Box::pin(async move {
            self.answers.acquire().await.unwrap().forget();
            Ok(vec![self.state().permission.unwrap_or(Permission::Granted); count])
        })
    }

    fn beat(&self, _: Beat) -> Reply<'_, Peers> {
        never()
    }

    fn runs(&self, _: Query) -> Reply<'_, Page> {
        never()
    }

    fn output(&self, _: RunId) -> Reply<'_, Option<Output>> {
        never()
    }

    fn post(&self, _: String, _: Vec<Waiting>, _: Room) -> Reply<'_, Vec<Posted>> {
        never()
    }

    fn adopt(&self, _: String, _: Vec<String>) -> Reply<'_, u64> {
        never()
    }

    fn waiting(&self, _: Which) -> Reply<'_, Vec<Waiting>> {
        never()
    }

    fn everyones(&self, _: u64) -> Reply<'_, Vec<Owned>> {
        never()
    }

    fn unpost(&self, _: Done) -> Reply<'_, ()> {
        never()
    }

    fn seed_body(&self, _: JobId) -> Reply<'_, Option<Vec<u8>>> {
        never()
    }
}
