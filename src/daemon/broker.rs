//! The daemon's broker and the outbox before it: who speaks to them, how they stand, what was told of that.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::replica::Entrance;
use crate::broker::{Broker, Options, Publish, REFUSED, Standing};
use crate::clock::Clock;
use crate::config::Config;
use crate::control::shape::{BrokerObject, OutboxObject, instant_in};
use crate::courier::reply::Replies;
use crate::courier::task::Tasks;
use crate::courier::{Permission, Publishing, ReportQueue};
use crate::event::{Bus, Event};
use crate::executor::output::size;
use crate::outbox::{Backlog, Bounds, Others, Outbox, Pace, Parts, Unread};
use crate::schedule::Zone;
use crate::sink::publish::{self, Author, Events, Patience};
use crate::store::{self, seal::Seal};
use crate::unix::Account;
use crate::unix::identity::hostname;

/// How long the last messages may take to be confirmed when the daemon ends.
const LAST_MESSAGES: Duration = Duration::from_secs(2);
/// How long leaving the broker may take after that.
pub(super) const LEAVING: Duration = Duration::from_secs(1);
/// How long a message may wait before somebody should look at it.
const OLD: SignedDuration = SignedDuration::from_mins(5);

/// What is wrong where messages wait that nobody sends.
pub(super) const UNSENT: &str = "messages wait in the outbox, and nobody sends them: --amqp names a broker, `cronkeep outbox` lists them";

/// The way to a broker, with what waits before it.
pub(super) struct Mailing {
    broker: Broker,
    outbox: Outbox,
    reports: ReportQueue,
    outlook: Outlook,
    bus: Bus,
    told: Told,
}

/// What was told last of how the broker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing, or that it takes messages.
    Well,
    Blocked,
    Down,
}

/// How the broker and the outbox stand, for those who ask.
#[derive(Debug, Clone)]
pub(super) struct Outlook {
    /// The broker's addresses, without secrets.
    name: Arc<str>,
    standing: watch::Receiver<Standing>,
    backlog: watch::Receiver<Backlog>,
}

/// What sending messages needs of the rooms beside it.
pub(super) struct Beside<'a> {
    pub(super) store: &'a store::Handle,
    pub(super) replica: &'a str,
    /// Where replicas share the schedule.
    pub(super) entrance: Option<&'a Entrance>,
    pub(super) clock: &'a Arc<dyn Clock>,
    pub(super) bus: &'a Bus,
}

impl Mailing {
    /// Starts what sends messages, where the options name a broker; none where they do not.
    ///
    /// # Errors
    /// The key that signs what is kept cannot be had.
    pub(super) fn start(config: &Config, beside: &Beside<'_>) -> anyhow::Result<Option<Self>> {
        let addresses = config.broker.addresses.clone();
        if addresses.is_empty() {
            return Ok(None);
        }
        let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let seal = config.store.key.as_ref().map(|path| {
            Seal::from_file(path, &config.store.namespace)
                .with_context(|| format!("--store-key {}", path.display()))
        });
        let others = match beside.entrance {
            Some(entrance) => Others::Replicas(entrance.alive()),
            None if config.store.local => Others::Unheard,
            None => Others::Nobody,
        };
        let broker = Broker::start(addresses, Options::of_host(&hostname()));
        let reports = ReportQueue::of(&config.state_dir, beside.bus);
        let (outbox, task) = Outbox::start(Parts {
            store: beside.store.clone(),
            broker: Arc::new(broker.clone()),
            clock: Arc::clone(beside.clock),
            bus: beside.bus.clone(),
            replica: beside.replica.to_owned(),
            others,
            unread: Unread::Dropped,
            seal: seal.transpose()?,
            bounds: bounds(),
            pace: Pace::default(),
            gate: Some(reports.gate()),
            is_trusting: super::fault("trusts-the-broker-").is_some(),
        });
        // It ends with its last handle.
        drop(task);
        let outlook = Outlook {
            name: names.join(", ").into(),
            standing: broker.standing(),
            backlog: outbox.backlog(),
        };
        let bus = beside.bus.clone();
        Ok(Some(Mailing { broker, outbox, reports, outlook, bus, told: Told::Well }))
    }

    /// What publishes the messages of runs, and those that are handed over.
    pub(super) fn publishing(
        &self,
        config: &Config,
        account: &Account,
        beside: &Beside<'_>,
    ) -> Publishing {
        let users = config.broker.publish_users.clone();
        let broker = Arc::new(self.broker.clone());
        let replies = Replies::of(self.broker.clone());
        Publishing {
            outbox: self.outbox.clone(),
            tasks: Arc::new(Tasks::new(broker, replies, Arc::clone(beside.clock))),
            store: beside.store.clone(),
            clock: Arc::clone(beside.clock),
            permission: Permission::new(account.clone(), users),
            host: hostname().into(),
        }
    }

    /// Publishes what `events` tell at an exchange, until the daemon has stopped.
    pub(super) fn publish_events(
        &self,
        exchange: String,
        beside: &Beside<'_>,
        events: UnboundedReceiver<Arc<Event>>,
    ) -> JoinHandle<()> {
        let author = Author {
            exchange,
            host: hostname(),
            replica: beside.replica.into(),
            life: publish::life(&**beside.clock),
        };
        let (broker, clock) = (Arc::new(self.broker.clone()), Arc::clone(beside.clock));
        let limits = (publish::Bound::default(), Patience::default());
        let events_out = Events::new(author, broker, clock, beside.bus.clone(), limits);
        tokio::spawn(events_out.follow(events))
    }

    /// The broker.
    pub(super) fn broker(&self) -> Broker {
        self.broker.clone()
    }

    /// The queue where workers report.
    pub(super) fn reports(&self) -> ReportQueue {
        self.reports.clone()
    }

    /// How it stands, now and later.
    pub(super) fn outlook(&self) -> Outlook {
        self.outlook.clone()
    }

    /// Tells that the broker went away, takes nothing, or is back.
    fn tell(&mut self) {
        let broker = self.outlook.name.to_string();
        let standing = self.outlook.standing.borrow_and_update().clone();
        let (now, event) = match standing {
            Standing::Unknown => return,
            Standing::Up { .. } => (Told::Well, Event::BrokerUp { broker }),
            Standing::Blocked { reason, .. } => {
                (Told::Blocked, Event::BrokerBlocked { broker, reason })
            }
            Standing::Down { reason, .. } => (Told::Down, Event::BrokerDown { broker, reason }),
        };
        if now != self.told {
            self.told = now;
            self.bus.publish(event);
        }
    }

    /// Waits for what is being sent, for a while; what waits longer is sent by the next life. To be called once no run
    /// sends anything any more.
    pub(super) async fn flush(self) {
        self.outbox.flush(LAST_MESSAGES).await;
    }
}

/// How much the outbox takes.
fn bounds() -> Bounds {
    let mut bounds = Bounds::default();
    if let Some(count) = super::fault("outbox-room-") {
        bounds.room.count = count;
    }
    bounds
}

/// Waits until the broker, if there is one, stands otherwise than before. Loses nothing when it is dropped unfinished.
pub(super) async fn turned(mailing: &mut Option<Mailing>) {
    let changed = match mailing {
        Some(mailing) => mailing.outlook.standing.changed().await,
        None => return pending().await,
    };
    if changed.is_err() {
        // Nothing will be heard of it any more.
        pending::<()>().await;
    }
}

/// Tells how it stands now, where that is news.
pub(super) fn tell(mailing: &mut Option<Mailing>) {
    if let Some(mailing) = mailing {
        mailing.tell();
    }
}

impl Outlook {
    /// Which broker it is, without secrets.
    pub(super) fn name(&self) -> String {
        self.name.to_string()
    }

    /// How the broker stands.
    pub(super) fn broker(&self, zone: &Zone) -> BrokerObject {
        let since = |at: Timestamp| Some(instant_in(at, zone.rules()));
        let (standing, address, since, reason) = match self.standing.borrow().clone() {
            Standing::Unknown => ("unknown", None, None, None),
            Standing::Up { address } => ("up", Some(address), None, None),
            Standing::Blocked { since: at, reason } => ("blocked", None, since(at), Some(reason)),
            Standing::Down { since: at, reason } => ("down", None, since(at), Some(reason)),
        };
        BrokerObject { standing: standing.to_owned(), address, since, reason }
    }

    /// What waits for it.
    pub(super) fn outbox(&self, zone: &Zone) -> OutboxObject {
        let Backlog { count, bytes, oldest } = *self.backlog.borrow();
        OutboxObject { count, bytes, oldest: oldest.map(|at| instant_in(at, zone.rules())) }
    }

    /// What is wrong with them, if anything is; `now` is the wall clock.
    pub(super) fn troubles(&self, now: Timestamp) -> Vec<String> {
        let mut troubles = Vec::new();
        match &*self.standing.borrow() {
            Standing::Down { reason, .. } if reason.starts_with(REFUSED) => {
                troubles.push(format!("the broker {}{}", self.name, &reason["the broker".len()..]));
            }
            Standing::Down { reason, .. } => {
                troubles.push(format!("the broker {} is away: {reason}", self.name));
            }
            Standing::Blocked { reason, .. } => {
                troubles.push(format!("the broker {} takes nothing: {reason}", self.name));
            }
            Standing::Unknown | Standing::Up { .. } => {}
        }
        let Backlog { count, bytes, oldest } = *self.backlog.borrow();
        if let Some(oldest) = oldest.filter(|oldest| now.duration_since(*oldest) > OLD) {
            let minutes = now.duration_since(oldest).as_mins();
            let messages = if count == 1 { "message" } else { "messages" };
            let size = size(bytes);
            troubles.push(format!(
                "{count} {messages} ({size}) in the outbox, the oldest for {minutes} minutes"
            ));
        }
        troubles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_wrong_with_the_broker_and_what_waits_too_long_is_a_trouble() {
        let (standing, stands) = watch::channel(Standing::Unknown);
        let (backlog, waits) = watch::channel(Backlog::default());
        let outlook = Outlook { name: "amqp://host".into(), standing: stands, backlog: waits };
        assert!(outlook.troubles(at(0)).is_empty());
        standing.send_replace(Standing::Up { address: "amqp://host".to_owned() });
        backlog.send_replace(Backlog { count: 2, bytes: 1_200, oldest: Some(at(0)) });
        assert!(outlook.troubles(at(300)).is_empty(), "it takes a while");
        let waits = "2 messages (1.2 kB) in the outbox, the oldest for 5 minutes";
        assert_eq!(outlook.troubles(at(301)), [waits]);
        standing.send_replace(Standing::Down { since: at(1), reason: "refused".to_owned() });
        let away = "the broker amqp://host is away: refused";
        assert_eq!(outlook.troubles(at(301)), [away, waits]);
        let reason = "the broker refused the user".to_owned();
        standing.send_replace(Standing::Down { since: at(1), reason });
        let refused = "the broker amqp://host refused the user";
        assert_eq!(outlook.troubles(at(301)), [refused, waits]);
        backlog.send_replace(Backlog { count: 1, bytes: 3, oldest: Some(at(290)) });
        standing.send_replace(Standing::Blocked { since: at(1), reason: "memory".to_owned() });
        let blocked = "the broker amqp://host takes nothing: memory";
        assert_eq!(outlook.troubles(at(301)), [blocked]);
    }
}
