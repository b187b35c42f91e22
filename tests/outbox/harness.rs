//! An outbox on a store in memory, with a broker of the test's own.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::clock::{Clock as _, SystemClock};
use cronkeep::event::{Bus, Event, RunId};
use cronkeep::job::{JobId, JobKey};
use cronkeep::message::{Message, Properties};
use cronkeep::outbox::{Bounds, Letter, Others, Outbox, Pace, Parts, Unread};
use cronkeep::store::open::{Access, Opening};
use cronkeep::store::{Address, Handle, Store, Waiting, Which, open};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::broker::{self, Broker};

/// How long anything may take here.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Runs a test inside a runtime.
pub(crate) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs");
    });
}

/// What an outbox needs, and what it has told.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) handle: Handle,
    pub(crate) broker: Arc<Broker>,
    pub(crate) bus: Bus,
    pub(crate) events: mpsc::UnboundedReceiver<Arc<Event>>,
}

/// A store in memory that lives as long as somebody has it.
pub(crate) fn memory() -> Arc<dyn Store> {
    open(Opening {
        address: Address::Memory,
        namespace: "default".to_owned(),
        access: Access::Owned,
        clock: Arc::new(SystemClock),
        tell: Arc::new(drop),
    })
}

/// A way to a store.
pub(crate) fn handle(store: Arc<dyn Store>) -> Handle {
    Handle::start(move || store, Arc::new(SystemClock), Arc::new(drop)).unwrap()
}

impl Bench {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let store = memory();
        Bench::on(&|| Arc::clone(&store), broker)
    }

    /// On what `open` opens: a store that is a server needs one for each runtime.
    pub(crate) fn on(open: &dyn Fn() -> Arc<dyn Store>, broker: Arc<Broker>) -> Self {
        let mut bus = Bus::builder();
        let events = bus.subscribe();
        let (store, handle) = (open(), handle(open()));
        Bench { store, handle, broker, bus: bus.build(), events }
    }

    /// What an outbox is made of; it waits for milliseconds where others wait for seconds.
    pub(crate) fn parts(&self) -> Parts {
        self.broker.next_life();
        Parts {
            store: self.handle.clone(),
            broker: Arc::new(broker::Handle(Arc::clone(&self.broker))),
            clock: Arc::new(SystemClock),
            bus: self.bus.clone(),
            replica: "me".to_owned(),
            others: Others::Nobody,
            seal: None,
            unread: Unread::Dropped,
            bounds: Bounds::default(),
            pace: pace(),
            gate: None,
            is_trusting: false,
        }
    }

    pub(crate) fn start(&self) -> (Outbox, JoinHandle<()>) {
        Outbox::start(self.parts())
    }

    /// The next event, told as `confirmed ID TRIES`, `failed …`, `dropped ID REASON`.
    pub(crate) async fn event(&mut self) -> String {
        let event =
            tokio::time::timeout(LONG, self.events.recv()).await.expect("an event").unwrap();
        told(&event)
    }

    /// The events that were told and not asked for.
    pub(crate) fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| told(&event)).collect()
    }

    /// What is kept for us.
    pub(crate) async fn kept(&self) -> Vec<Waiting> {
        let which = Which::After { owner: "me".to_owned(), order: 0, limit: 1_000 };
        self.store.waiting(which).await.unwrap()
    }

    /// Waits until nothing is kept; a store that has just come back may not answer at first.
    pub(crate) async fn emptied(&self) {
        let which = Which::After { owner: "me".to_owned(), order: 0, limit: 1 };
        eventually(async || {
            self.store.waiting(which.clone()).await.is_ok_and(|kept| kept.is_empty())
        })
        .await;
    }
}

fn told(event: &Event) -> String {
    match event {
        Event::MessageConfirmed(sent) => format!("confirmed {} {}", sent.id, sent.tries),
        Event::MessageFailed { sent, reason, again } => {
            let again = if again.is_some() { "again" } else { "later" };
            format!("failed {} {} {again}: {reason}", sent.id, sent.tries)
        }
        Event::MessageDropped { sent, reason } => format!("dropped {} {reason}", sent.id),
        other => format!("{other:?}"),
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) {
    tokio::time::timeout(LONG, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .expect("it holds at last");
}

pub(crate) fn pace() -> Pace {
    Pace {
        first: Duration::from_millis(2),
        longest: Duration::from_millis(20),
        first_refused: Duration::from_millis(8),
        longest_refused: Duration::from_millis(40),
        store: Duration::from_secs(5),
    }
}

pub(crate) fn key(number: u8) -> JobKey {
    JobKey { id: JobId::of_mark(&[number]), occurrence: 1 }
}

/// From now.
pub(crate) fn after(span: Duration) -> Timestamp {
    SystemClock.now() + span
}

/// A letter with this id, of a job or of none, that does not expire in a test.
pub(crate) fn letter(id: &str, job: Option<u8>) -> Letter {
    let message = Message {
        id: id.to_owned(),
        exchange: "x".to_owned(),
        routing_key: "k".to_owned(),
        mandatory: true,
        persistent: true,
        properties: Properties::default(),
        headers: Vec::new(),
        body: format!("body of {id}").into_bytes(),
    };
    let run = Some(RunId::new(Timestamp::UNIX_EPOCH, 5));
    let job = job.map(|number| (key(number), format!("job {number}").into()));
    Letter { message, job, run, expires: after(Duration::from_secs(600)) }
}

/// The same with a body of this size.
pub(crate) fn large(id: &str, job: Option<u8>, size: usize) -> Letter {
    let plain = letter(id, job);
    Letter { message: Message { body: vec![b'x'; size], ..plain.message }, ..plain }
}
