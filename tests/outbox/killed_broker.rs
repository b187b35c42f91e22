//! A real RabbitMQ is killed in the midst of ten thousand messages, and comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, mpsc as threads};
use std::time::Duration;

use cronkeep::broker::{Address, Broker, Options, Publish as _, Standing};
use cronkeep::clock::SystemClock;
use cronkeep::event::{Bus, Event};
use cronkeep::message::Message;
use cronkeep::outbox::{Bounds, Letter, Others, Outbox, Pace, Parts, Unread};
use cronkeep::store::open::{Access, Opening};
use cronkeep::store::{Address as StoreAddress, Handle, open};
use tokio::task::JoinSet;

use super::harness::{block_on, letter};
use super::rabbit;

/// How many of the messages are confirmed before the broker is killed.
const BEFORE: usize = 3_000;
/// How long any step may take.
const LONG: Duration = Duration::from_secs(60);

/// What a broker's death came to.
#[derive(Debug, Default)]
struct Account {
    /// Messages that were accepted.
    sent: usize,
    /// Those that counted as confirmed when the broker was killed.
    confirmed_before: usize,
    /// Sends beyond the first of each message.
    resent: usize,
    /// Messages that were dropped with a reason.
    reported: usize,
    /// Messages that a consumer found in the queue.
    received: usize,
    /// Different ids among them.
    distinct: usize,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { sent, confirmed_before, resent, reported, received, distinct } = self;
        let duplicates = received - distinct;
        write!(
            f,
            "sent={sent} confirmed-before-the-kill={confirmed_before} resent={resent} received={received} \
             duplicates-by-id={duplicates} reported={reported}"
        )
    }
}

impl Account {
    /// Whether nothing was lost silently.
    fn is_settled(&self) -> bool {
        self.sent == self.distinct + self.reported
    }
}

/// The message of that number, for the queue.
fn message_of(number: usize) -> Letter {
    let job = u8::try_from(number % 50).unwrap();
    let plain = letter(&format!("message:{number}"), Some(job));
    let message = Message { exchange: String::new(), routing_key: "q".to_owned(), ..plain.message };
    Letter { message, ..plain }
}

/// Sends as many messages, says when some are confirmed and when the connection is lost, and ends when nothing waits.
fn send(
    url: &str,
    count: usize,
    is_trusting: bool,
    told: &threads::Sender<&'static str>,
) -> Account {
    let mut account = Account { sent: count, ..Account::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cronkeep.db");
    block_on(async {
        let opening = Opening {
            address: StoreAddress::Sqlite(path),
            namespace: "default".to_owned(),
            access: Access::Owned,
            clock: Arc::new(SystemClock),
            tell: Arc::new(drop),
        };
        let store = Handle::start(move || open(opening), Arc::new(SystemClock), Arc::new(drop));
        let mut bus = Bus::builder();
        let mut events = bus.subscribe();
        let broker = Broker::start(Address::parse_all(url).unwrap(), Options::default());
        let (outbox, _task) = Outbox::start(Parts {
            store: store.unwrap(),
            broker: Arc::new(broker.clone()),
            clock: Arc::new(SystemClock),
            bus: bus.build(),
            replica: "me".to_owned(),
            others: Others::Nobody,
            seal: None,
            unread: Unread::Dropped,
            bounds: Bounds::default(),
            pace: Pace::default(),
            gate: None,
            is_trusting,
        });
        let mut standing = broker.standing();
        standing.wait_for(|standing| matches!(standing, Standing::Up { .. })).await.unwrap();
        let handing_over = tokio::spawn(async move {
            // Those that come together are kept together: a hundred at a time.
            for first in (0..count).step_by(100) {
                let mut together = JoinSet::new();
                for number in first..count.min(first + 100) {
                    let outbox = outbox.clone();
                    together.spawn(async move { outbox.accept(message_of(number)).await.is_ok() });
                }
                assert!(together.join_all().await.into_iter().all(|accepted| accepted));
            }
            outbox
        });
        let (mut settled, mut is_killed) = (0, false);
        while settled < count {
            let event = tokio::time::timeout(LONG, events.recv()).await.expect("an event").unwrap();
            match &*event {
                Event::MessageConfirmed(sent) => {
                    settled += 1;
                    account.resent += sent.tries as usize - 1;
                }
                Event::MessageDropped { .. } => {
                    settled += 1;
                    account.reported += 1;
                }
                _ => {}
            }
            if settled == BEFORE && !is_killed {
                is_killed = true;
                account.confirmed_before = settled;
                told.send("kill it").unwrap();
                let mut standing = broker.standing();
                let told = told.clone();
                tokio::spawn(async move {
                    let lost = |standing: &Standing| matches!(standing, Standing::Down { .. });
                    standing.wait_for(lost).await.unwrap();
                    told.send("bring it back").unwrap();
                });
            }
        }
        let outbox = handing_over.await.unwrap();
        assert!(outbox.flush(LONG).await, "what is over is kept as over");
        broker.close(LONG).await;
    });
    account
}

/// Kills the broker in the midst of so many messages; what came of it, and how often each id was received.
fn kill_in_the_midst(
    count: usize,
    is_trusting: bool,
) -> Option<(Account, BTreeMap<String, usize>)> {
    let rabbit = rabbit::victim()?;
    let vhost = rabbit.vhost();
    vhost.declare_queue("q", "");
    let (told, hears) = threads::channel();
    let url = vhost.url();
    let sending = std::thread::spawn(move || send(&url, count, is_trusting, &told));
    assert_eq!(hears.recv_timeout(LONG), Ok("kill it"));
    rabbit.kill();
    assert_eq!(hears.recv_timeout(LONG), Ok("bring it back"));
    rabbit.restart();
    let mut account = sending.join().unwrap();
    let mut received = BTreeMap::new();
    for message in vhost.drain("q") {
        *received.entry(message.id).or_default() += 1;
    }
    account.received = received.values().sum();
    account.distinct = received.len();
    println!("{account}");
    Some((account, received))
}

#[test]
fn of_ten_thousand_messages_none_is_lost_when_the_broker_is_killed() {
    let Some((account, received)) = kill_in_the_midst(10_000, false) else { return };
    assert!(account.resent > 0, "the broker was killed in the midst: {account}");
    assert!(account.is_settled(), "{account}");
    assert_eq!(account.reported, 0, "{account}");
    assert!(received.keys().all(|id| id.starts_with("message:")));
}

/// What the test above finds where confirms are not waited for.
#[test]
fn without_confirms_messages_are_lost() {
    let Some((account, _)) = kill_in_the_midst(10_000, true) else { return };
    assert!(!account.is_settled(), "it proves nothing: {account}");
}
