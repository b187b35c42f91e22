//! The daemon ends at every step that the store is asked for, before it and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cronkeep::broker::Delivery;
use cronkeep::event::RunId;
use cronkeep::job::JobId;
use cronkeep::outbox::{Outbox, Parts};
use cronkeep::store::{
    Beat, Claim, Done, Forgotten, Lease, Loaded, Output, Owned, Page, Peers, Permission, Posted,
    Put, PutSnapshot, Query, Reply, Room, Start, Store, Verdict, Versioned, Waiting, Which, Write,
};
use tokio::sync::Notify;

use super::broker::{Broker, Plan};
use super::harness::{Bench, LONG, block_on, handle, letter, memory};
use super::redis::Redis;

/// A store that stops at a question: it never answers it.
struct Stopping {
    inner: Arc<dyn Store>,
    /// Questions until then.
    left: AtomicUsize,
    /// Whether it does what that question asks.
    does: bool,
    stopped: Arc<Notify>,
}

impl Stopping {
    fn ask<'a, T: Send + 'a>(&'a self, question: Reply<'a, T>) -> Reply<'a, T> {
        Box::pin(async move {
            let left = self.left.fetch_sub(1, Ordering::SeqCst);
            if left > 1 {
                return question.await;
            }
            if left == 1 && self.does {
                let _ = question.await;
            }
            self.left.store(1, Ordering::SeqCst);
            self.stopped.notify_one();
            std::future::pending().await
        })
    }
}

impl Store for Stopping {
    fn load(&self) -> Reply<'_, Loaded> {
        self.inner.load()
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        self.inner.snapshot()
    }

    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put> {
        self.inner.put_snapshot(put)
    }

    fn forget_snapshot(&self) -> Reply<'_, Forgotten> {
        self.inner.forget_snapshot()
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.seed_rows()
    }

    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()> {
        self.inner.write(batch)
    }

    fn claim(&self, lease: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        self.inner.claim(lease, claims)
    }

    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        self.inner.start(lease, starts)
    }

    fn beat(&self, beat: Beat) -> Reply<'_, Peers> {
        self.inner.beat(beat)
    }

    fn runs(&self, query: Query) -> Reply<'_, Page> {
        self.inner.runs(query)
    }

    fn output(&self, run: RunId) -> Reply<'_, Option<Output>> {
        self.inner.output(run)
    }

    fn post(&self, owner: String, messages: Vec<Waiting>, room: Room) -> Reply<'_, Vec<Posted>> {
        self.ask(self.inner.post(owner, messages, room))
    }

    fn adopt(&self, owner: String, alive: Vec<String>) -> Reply<'_, u64> {
        self.ask(self.inner.adopt(owner, alive))
    }

    fn waiting(&self, which: Which) -> Reply<'_, Vec<Waiting>> {
        self.ask(self.inner.waiting(which))
    }

    fn everyones(&self, after: u64) -> Reply<'_, Vec<Owned>> {
        self.ask(self.inner.everyones(after))
    }

    fn unpost(&self, done: Done) -> Reply<'_, ()> {
        self.ask(self.inner.unpost(done))
    }

    fn seed_body(&self, job: JobId) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.seed_body(job)
    }
}

/// The job of each letter.
fn job_of(number: u32) -> Option<u8> {
    [Some(1), Some(2), None][number as usize % 3]
}

/// Hands six letters over, one after the other, until the store stops; which were accepted.
async fn hand_over(outbox: &Outbox, accepted: &mut Vec<String>) {
    for number in 0..6 {
        let id = format!("{number}");
        let fate = outbox.accept(letter(&id, job_of(number))).await.unwrap();
        accepted.push(id);
        if number % 2 == 0 {
            fate.next(LONG).await;
        }
    }
}

/// One life that ends at the question of this number, and one more that does not; whether the first one ended there.
async fn lives(open: &dyn Fn() -> Arc<dyn Store>, number: usize, does: bool) -> bool {
    let mut failures = 2;
    let broker = Broker::answering(move |message| {
        if message.id == "3" && failures > 0 {
            failures -= 1;
            return Plan::Now(Delivery::Nacked);
        }
        Plan::Now(Delivery::Confirmed)
    });
    let mut bench = Bench::on(open, broker);
    let stopped = Arc::new(Notify::new());
    let stopping = Stopping {
        inner: open(),
        left: AtomicUsize::new(number),
        does,
        stopped: Arc::clone(&stopped),
    };
    let parts = Parts { store: handle(Arc::new(stopping)), ..bench.parts() };
    let (outbox, task) = Outbox::start(parts);
    let mut accepted = Vec::new();
    let all = async {
        hand_over(&outbox, &mut accepted).await;
        bench.emptied().await;
    };
    let has_stopped = tokio::select! {
        () = all => false,
        () = stopped.notified() => true,
    };
    task.abort();
    let _ = task.await;
    let before = bench.broker.ids();
    let (outbox, _task) = bench.start();
    let backlog = outbox.backlog();
    // What is over is told once it is loaded.
    outbox.accept(letter("last", None)).await.unwrap().next(LONG).await;
    super::harness::eventually(async || {
        bench.kept().await.is_empty() && backlog.borrow().count == 0
    })
    .await;
    let events = bench.events();
    for id in &accepted {
        let words = format!("confirmed {id} ");
        assert!(events.iter().any(|event| event.starts_with(&words)), "{id} is lost: {events:?}");
    }
    assert!(!events.iter().any(|event| event.starts_with("dropped")), "{events:?}");
    // Only what was not known to be over is sent again.
    for id in &bench.broker.ids()[before.len()..] {
        assert!(id == "last" || has_stopped, "{id} is sent again for nothing");
    }
    has_stopped
}

/// Every question of a life, before it and after it.
fn every_question(place: impl Fn() -> Box<dyn Fn() -> Arc<dyn Store>>) -> usize {
    let mut count = 0;
    for does in [false, true] {
        for number in 1.. {
            let mut has_stopped = false;
            block_on(async { has_stopped = lives(&*place(), number, does).await });
            if !has_stopped {
                count += number - 1;
                break;
            }
        }
    }
    count
}

#[test]
fn an_end_at_any_question_to_the_store_loses_nothing() {
    let count = every_question(|| {
        let store = memory();
        Box::new(move || Arc::clone(&store))
    });
    assert!(count > 16, "{count} questions");
}

#[test]
fn an_end_at_any_question_to_a_redis_loses_nothing() {
    let Some(redis) = Redis::start() else { return };
    let namespace = AtomicUsize::new(0);
    let count = every_question(|| {
        let number = namespace.fetch_add(1, Ordering::SeqCst);
        let (url, namespace) = (redis.unix_url(), format!("n{number}"));
        Box::new(move || Arc::new(cronkeep::store::redis::Redis::new(&url, &namespace)))
    });
    assert!(count > 16, "{count} questions");
}
