//! What the tests have in common.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::broker::{Address, Answer, Broker, Delivery, Options, Publish as _, Standing};
use cronkeep::message::{Message, Properties};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A message to a queue, through the default exchange.
#[expect(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they are")]
pub fn message(id: impl ToString, queue: &str) -> Message {
    Message {
        id: id.to_string(),
        exchange: String::new(),
        routing_key: queue.to_owned(),
        mandatory: true,
        persistent: true,
        properties: Properties::default(),
        headers: Vec::new(),
        body: b"body".to_vec(),
    }
}

/// The same at an exchange.
pub fn message_at(id: impl ToString, exchange: &str, key: &str) -> Message {
    Message { exchange: exchange.to_owned(), ..message(id, key) }
}

/// A connection to one URL or several, with commas between them.
pub fn broker(url: &str) -> Broker {
    broker_with(url, Options::default())
}

/// The same with options.
pub fn broker_with(url: &str, options: Options) -> Broker {
    Broker::start(Address::parse_all(url).unwrap(), options)
}

/// Sends a message.
pub fn send(broker: &Broker, message: Message) -> Answer {
    broker.publish(Arc::new(message))
}

/// What becomes of a message.
pub async fn sent(broker: &Broker, message: Message) -> Delivery {
    answered(send(broker, message)).await
}

/// An answer, which must come.
pub async fn answered(answer: Answer) -> Delivery {
    timeout(PATIENCE, answer).await.expect("every message is answered")
}

/// Waits until something watched is as it should be, and gives it.
pub async fn until<T: Clone>(watched: &mut watch::Receiver<T>, is_so: impl FnMut(&T) -> bool) -> T {
    let found = timeout(PATIENCE, watched.wait_for(is_so)).await;
    found.expect("it comes to be so").expect("somebody tells").clone()
}

/// Waits until there is a connection; gives its address.
pub async fn is_up(broker: &Broker) -> String {
    match until(&mut broker.standing(), |standing| matches!(standing, Standing::Up { .. })).await {
        Standing::Up { address } => address,
        other => panic!("{other:?}"),
    }
}

/// Waits until there is no connection; gives the reason.
pub async fn is_down(broker: &Broker) -> String {
    let is_down = |standing: &Standing| matches!(standing, Standing::Down { .. });
    match until(&mut broker.standing(), is_down).await {
        Standing::Down { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}
