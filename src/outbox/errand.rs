//! What the store is asked, one thing after the other: so that what is given up is gone before it is kept anew.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::item::Pending;
use crate::store::{Done, Handle, Posted, Room, StoreError, Waiting, Which};

/// Letters that are read at once.
const PAGE: usize = 500;
/// The first pause after the store did not answer, and what it grows to.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A question that is on its way.
type Asked = Pin<Box<dyn Future<Output = Told> + Send>>;

/// What the store answered.
pub(super) enum Told {
    /// How many letters of others are ours now.
    Adopted(Result<u64, StoreError>),
    /// The letters behind this place.
    Page(u64, Result<Vec<Waiting>, StoreError>),
    /// What became of letters that were to be kept, while these are kept no longer.
    Posted(Vec<Pending>, Done, Result<Vec<Posted>, StoreError>),
    /// These are kept no longer.
    Unposted(Done, Result<(), StoreError>),
    /// Letters with these ids.
    Fetched(Vec<String>, Result<Vec<Waiting>, StoreError>),
}

/// Who asks the store.
pub(super) struct Errand {
    store: Handle,
    owner: String,
    room: Room,
    within: Duration,
    asked: Option<Asked>,
    /// Nothing but what somebody waits for is asked before then.
    rest: Option<Instant>,
    pause: Duration,
}

impl Errand {
    pub(super) fn new(store: Handle, owner: String, room: Room, within: Duration) -> Self {
        Errand { store, owner, room, within, asked: None, rest: None, pause: PAUSE }
    }

    /// Whether nothing is being asked.
    pub(super) fn is_free(&self) -> bool {
        self.asked.is_none()
    }

    /// Until when the store is left alone, since it did not answer.
    pub(super) fn rest(&self) -> Option<Instant> {
        self.rest
    }

    /// The answer to what is being asked; never if nothing is.
    pub(super) async fn answer(&mut self) -> Told {
        let Some(asked) = &mut self.asked else { return std::future::pending().await };
        let told = asked.await;
        self.asked = None;
        let error = match &told {
            Told::Adopted(answer) => answer.as_ref().err(),
            Told::Page(_, answer) | Told::Fetched(_, answer) => answer.as_ref().err(),
            Told::Posted(_, _, answer) => answer.as_ref().err(),
            Told::Unposted(_, answer) => answer.as_ref().err(),
        };
        if error.is_some() {
            self.rest = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        } else {
            (self.rest, self.pause) = (None, PAUSE);
        }
        told
    }

    pub(super) fn adopt(&mut self, alive: Vec<String>) {
        let (store, owner, within) = (self.store.clone(), self.owner.clone(), self.within);
        self.ask(async move { Told::Adopted(store.adopt(owner, alive, within).await) });
    }

    pub(super) fn page(&mut self, order: u64) {
        let which = Which::After { owner: self.owner.clone(), order, limit: PAGE };
        let (store, within) = (self.store.clone(), self.within);
        self.ask(async move { Told::Page(order, store.waiting(which, within).await) });
    }

    /// Has letters kept, and others no longer.
    pub(super) fn post(&mut self, mut pending: Vec<Pending>, done: Done) {
        let done = Done { owner: self.owner.clone(), ..done };
        let rows = pending.iter_mut().map(|pending| Waiting {
            id: pending.row.id.clone(),
            bytes: std::mem::take(&mut pending.row.bytes),
            ..pending.row
        });
        let rows = rows.collect();
        let (store, owner, room, within) =
            (self.store.clone(), self.owner.clone(), self.room, self.within);
        self.ask(async move {
            let answer = store.exchange(done.clone(), owner, rows, room, within).await;
            Told::Posted(pending, done, answer)
        });
    }

    pub(super) fn unpost(&mut self, done: Done) {
        let done = Done { owner: self.owner.clone(), ..done };
        let (store, within) = (self.store.clone(), self.within);
        self.ask(async move {
            let answer = store.unpost(done.clone(), within).await;
            Told::Unposted(done, answer)
        });
    }

    pub(super) fn fetch(&mut self, ids: Vec<String>) {
        let (store, within) = (self.store.clone(), self.within);
        self.ask(async move {
            let answer = store.waiting(Which::Ids(ids.clone()), within).await;
            Told::Fetched(ids, answer)
        });
    }

    fn ask(&mut self, question: impl Future<Output = Told> + Send + 'static) {
        self.asked = Some(Box::pin(question));
    }
}
