//! What clients ask of the outbox: what waits in it, and that it be dropped. Also where no broker is named, and nothing is
//! sent of what an earlier life has left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use nix::unistd::{Uid, User};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::broker::{Beside, UNSENT};
use super::control::Desk;
use crate::broker::{Answer, Delivery, Publish, Standing};
use crate::clock::Clock;
use crate::config::{Config, StoreConfig};
use crate::control::Refusal;
use crate::control::outbox::{Dropped, LetterObject, Meant};
use crate::event::{Bus, Event};
use crate::message::Message;
use crate::outbox::{Bounds, Others, Outbox, Pace, Parts, Refused, Unread, Waits};
use crate::schedule::Zone;
use crate::store::{self, Which, seal::Seal};

/// How long the store may take to tell whether messages wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the store may take to forget what has expired unsent.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// The way to what waits.
#[derive(Clone)]
pub(super) struct Drawer {
    /// The outbox that sends it, where there is a broker.
    outbox: Option<Outbox>,
    store: store::Handle,
    config: Arc<StoreConfig>,
    replica: Arc<str>,
    clock: Arc<dyn Clock>,
    bus: Bus,
    /// Whether messages wait though there is no broker.
    is_unsent: Arc<AtomicBool>,
}

impl Desk {
    /// The messages that wait.
    pub(super) async fn letters(&self, meant: Meant) -> Result<Vec<LetterObject>, Refusal> {
        let drawer = self.drawer.as_ref().ok_or_else(Refusal::stopping)?;
        drawer.list(meant, &self.about.zone).await
    }

    /// Has messages sent no more, as the user of this number asks.
    pub(super) async fn discard(&self, meant: Meant, uid: u32) -> Result<Dropped, Refusal> {
        let drawer = self.drawer.as_ref().ok_or_else(Refusal::stopping)?;
        drawer.discard(meant, uid, &self.about.zone).await
    }
}

impl Drawer {
    /// What waits for the broker of `outbox`. Without one it is looked once whether an earlier life has left anything, which is
    /// warned of.
    pub(super) fn new(config: &Config, beside: &Beside<'_>, outbox: Option<Outbox>) -> Self {
        let drawer = Drawer {
            outbox,
            store: beside.store.clone(),
            config: Arc::new(config.store.clone()),
            replica: beside.replica.into(),
            clock: Arc::clone(beside.clock),
            bus: beside.bus.clone(),
            is_unsent: Arc::default(),
        };
        if drawer.outbox.is_none() {
            tokio::spawn(drawer.clone().look_once());
        }
        drawer
    }

    /// What is wrong, if anything is.
    pub(super) fn trouble(&self) -> Option<String> {
        self.is_unsent.load(Ordering::Relaxed).then(|| UNSENT.to_owned())
    }

    async fn look_once(self) {
        // In a file everything is its owner's, whatever the host was called before.
        let owner = || self.replica.to_string();
        if !self.config.address.is_shared()
            && self.store.adopt(owner(), Vec::new(), PATIENCE).await.is_err()
        {
            return;
        }
        if self.is_any_left().await == Some(true) {
            self.is_unsent.store(true, Ordering::Relaxed);
            let text = UNSENT.to_owned();
            self.bus.publish(Event::Notice { file: None, text, warning: true });
        }
    }

    /// Whether anything waits, if the store tells.
    async fn is_any_left(&self) -> Option<bool> {
        let first = Which::After { owner: self.replica.to_string(), order: 0, limit: 1 };
        self.store.waiting(first, PATIENCE).await.ok().map(|rows| !rows.is_empty())
    }

    /// A message as a client sees it.
    fn object(&self, waits: Waits, zone: &Zone) -> LetterObject {
        LetterObject::of(waits, &self.replica, zone.rules())
    }

    /// The messages that wait.
    async fn list(&self, meant: Meant, zone: &Zone) -> Result<Vec<LetterObject>, Refusal> {
        let (outbox, is_lent) = self.open()?;
        let waits = outbox.look().await;
        if is_lent {
            outbox.flush(LAST_ANSWERS).await;
        }
        let objects = waits.map_err(unanswered)?.into_iter().map(|waits| self.object(waits, zone));
        meant.of(objects.collect())
    }

    /// Has messages sent no more, as the user of this number asks.
    async fn discard(&self, meant: Meant, uid: u32, zone: &Zone) -> Result<Dropped, Refusal> {
        let (outbox, is_lent) = self.open()?;
        let done = async {
            let waits = outbox.look().await.map_err(unanswered)?;
            let objects = waits.into_iter().map(|waits| self.object(waits, zone));
            let ids = meant.of(objects.collect())?.into_iter().map(|letter| letter.id);
            let done = outbox.discard(ids.collect(), name_of(uid).await).await;
            let done = done.map_err(unanswered)?;
            Ok(Dropped { dropped: done.dropped, under_way: done.under_way })
        };
        let done = done.await;
        if is_lent {
            outbox.flush(LAST_ANSWERS).await;
            if self.is_any_left().await == Some(false) {
                self.is_unsent.store(false, Ordering::Relaxed);
            }
        }
        done
    }

    /// The outbox; where there is none, one that is lent, and sends nothing.
    fn open(&self) -> Result<(Outbox, bool), Refusal> {
        if let Some(outbox) = &self.outbox {
            return Ok((outbox.clone(), false));
        }
        let StoreConfig { key, namespace, address, .. } = &*self.config;
        let seal = key.as_ref().map(|path| {
            Seal::from_file(path, namespace)
                .with_context(|| format!("--store-key {}", path.display()))
        });
        let seal = seal.transpose().map_err(|error| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "store_key", format!("{error:#}"))
        })?;
        let (outbox, task) = Outbox::start(Parts {
            store: self.store.clone(),
            broker: Arc::new(Nobody(watch::Sender::new(Standing::Down {
                since: self.clock.now(),
                reason: NO_BROKER.to_owned(),
            }))),
            clock: Arc::clone(&self.clock),
            bus: self.bus.clone(),
            replica: self.replica.to_string(),
            others: if address.is_shared() { Others::Unheard } else { Others::Nobody },
            seal,
            unread: Unread::Spared,
            bounds: Bounds::default(),
            pace: Pace::default(),
            gate: None,
            is_trusting: false,
        });
        // It ends with its last handle.
        drop(task);
        Ok((outbox, true))
    }
}

/// Why nothing is sent.
const NO_BROKER: &str = "there is no broker";

/// The broker of a daemon that has none.
struct Nobody(watch::Sender<Standing>);

impl Publish for Nobody {
    fn publish(&self, _: Arc<Message>) -> Answer {
        Box::pin(async { Delivery::Away { reason: NO_BROKER.to_owned() } })
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }
}

fn unanswered(refused: Refused) -> Refusal {
    match refused {
        Refused::Store(error) => {
            let message = format!("the store does not answer: {error}");
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store", message);
            refusal.help("ask again later")
        }
        _ => Refusal::stopping(),
    }
}

/// What a user is called.
async fn name_of(uid: u32) -> String {
    let found = spawn_blocking(move || User::from_uid(Uid::from_raw(uid))).await;
    let user = found.ok().and_then(Result::ok).flatten();
    user.map_or_else(|| format!("user {uid}"), |user| user.name)
}
