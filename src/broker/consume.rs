//! What is received: subscriptions that outlive the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, Channel, Connection, ErrorKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, sleep, timeout};

use super::backoff::Backoff;
use super::client::Broker;
use super::keeper::Session;
use super::line::next;
use super::{reason, wire};
use crate::message::Message;

/// So many answers to one reply queue may be under way.
const REPLIES: u16 = 100;
/// How long the broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Queue {
    /// A queue that is there, or will be: it is never declared.
    Named {
        /// Its name, at most 255 bytes.
        name: String,
        /// How many messages may be unanswered at a time; 0: any number.
        prefetch: u16,
    },
    /// A queue of our own for answers: it is gone with the connection, and the next one has another name.
    Reply,
    /// A queue of our own for answers that outlives us: declared durable, read by nobody beside us.
    Kept {
        /// Its name, at most 255 bytes.
        name: String,
        /// How long it outlives its last reader, with all that is in it.
        expires: Duration,
        /// How many messages may be unanswered at a time; 0: any number.
        prefetch: u16,
    },
}

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consuming {
    /// Nothing is received: there is no connection, no such queue, no permission. It is tried again.
    Waiting {
        /// Why, in words, without secrets.
        reason: String,
    },
    /// Messages are received as they come.
    On,
}

/// What is received of a queue. Dropping it ends the subscription: what was not answered by then may be answered still,
/// what was not handed out goes back to the queue.
#[derive(Debug)]
pub struct Deliveries {
    received: mpsc::Receiver<Received>,
    consuming: watch::Receiver<Consuming>,
    reply_queue: watch::Receiver<Option<String>>,
    /// The connection ends with the last of those who need it.
    _broker: Broker,
}

/// A message that was received, and must be answered.
#[derive(Debug)]
pub struct Received {
    /// The message; it does not say when it expires.
    pub message: Message,
    /// Whether somebody had it before, perhaps.
    pub redelivered: bool,
    /// With what it is answered.
    pub receipt: Receipt,
}

/// With what a message is answered; dropped unused, it gives the message back to the queue.
///
/// It may go from thread to thread. After the connection is lost it is of no use: the broker delivers the message again.
#[derive(Debug)]
pub struct Receipt {
    acker: Acker,
    /// The channel lasts as long as there is something to answer.
    channel: Channel,
    is_used: bool,
}

/// The connection on which a message came is gone: the broker delivers it again, to us or to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was lost before the message was answered: it is delivered again")]
pub struct Stale;

/// How a message is answered.
#[derive(Debug, Clone, Copy)]
enum Reply {
    Ack,
    Requeue,
    Reject,
}

impl Deliveries {
    /// The next message; none once the connection was closed for good. Nothing is lost when it is not waited for.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            let received = self.received.recv().await?;
            // One that came before the connection was lost is delivered again: doing it here would be doing it twice.
            if received.receipt.is_good() {
                return Some(received);
            }
        }
    }

    /// How the subscription stands, now and after each change.
    #[must_use]
    pub fn consuming(&self) -> watch::Receiver<Consuming> {
        self.consuming.clone()
    }

    /// The name of the queue, now and after each change; none while there is none.
    #[must_use]
    pub fn reply_queue(&self) -> watch::Receiver<Option<String>> {
        self.reply_queue.clone()
    }
}

impl Receipt {
    /// Whether the message can be answered still.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.acker.usable() && self.channel.status().connected()
    }

    /// It was dealt with: the broker forgets it. Asked at once; the future tells when it is on the way to the broker, and
    /// need not be waited for.
    pub fn ack(self) -> impl Future<Output = Result<(), Stale>> + Send + 'static {
        self.answer(Reply::Ack)
    }

    /// It goes back to the queue, to its place where it can. As [`Receipt::ack`].
    pub fn requeue(self) -> impl Future<Output = Result<(), Stale>> + Send + 'static {
        self.answer(Reply::Requeue)
    }

    /// It is no good: the broker drops it, or hands it to the queue's dead-letter exchange. As [`Receipt::ack`].
    pub fn reject(self) -> impl Future<Output = Result<(), Stale>> + Send + 'static {
        self.answer(Reply::Reject)
    }

    fn answer(mut self, reply: Reply) -> impl Future<Output = Result<(), Stale>> + Send + 'static {
        self.is_used = true;
        let mut answering = answering(self.acker.clone(), reply);
        // The first look hands it to the client library.
        let early = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            // The channel must last until it is written.
            let _receipt = self;
            match early {
                Poll::Ready(result) => result,
                Poll::Pending => answering.await,
            }
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.is_used {
            let mut answering = answering(self.acker.clone(), Reply::Requeue);
            let _ = answering.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}

fn answering(
    acker: Acker,
    reply: Reply,
) -> Pin<Box<dyn Future<Output = Result<(), Stale>> + Send>> {
    Box::pin(async move {
        let answered = match reply {
            Reply::Ack => acker.ack(BasicAckOptions::default()).await,
            Reply::Requeue => acker.nack(BasicNackOptions { requeue: true, multiple: false }).await,
            Reply::Reject => acker.nack(BasicNackOptions { requeue: false, multiple: false }).await,
        };
        match answered {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Stale),
        }
    })
}

/// Begins to receive.
pub(super) fn consume(
    broker: Broker,
    session: watch::Receiver<Session>,
    queue: Queue,
) -> Deliveries {
    let room = match &queue {
        Queue::Named { prefetch, .. } | Queue::Kept { prefetch, .. } => usize::from(*prefetch).clamp(1, 1000),
        Queue::Reply => usize::from(REPLIES),
    };
    let (sender, received) = mpsc::channel(room);
    let waiting = Consuming::Waiting { reason: "there is no connection yet".to_owned() };
    let (standing, consuming) = watch::channel(waiting);
    let (name, reply_queue) = watch::channel(None);
    let consumer = Subscriber { session, queue, received: sender, standing, name };
    tokio::spawn(consumer.run());
    Deliveries { received, consuming, reply_queue, _broker: broker }
}

/// Keeps a subscription.
struct Subscriber {
    session: watch::Receiver<Session>,
    queue: Queue,
    received: mpsc::Sender<Received>,
    standing: watch::Sender<Consuming>,
    name: watch::Sender<Option<String>>,
}

/// A subscription that stands.
struct Subscription {
    channel: Channel,
    tag: ShortString,
    deliveries: Pin<Box<dyn Stream<Item = lapin::Result<Delivery>> + Send>>,
    queue: String,
}

impl Subscriber {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        while let Some(connection) = self.connection().await {
            let reason = match subscribe(&connection, &self.queue).await {
                Ok(subscription) => {
                    drop(connection);
                    backoff.reset();
                    if self.queue == Queue::Reply {
                        self.name.send_replace(Some(subscription.queue.clone()));
                    }
                    self.standing.send_replace(Consuming::On);
                    let Some(reason) = self.forward(subscription).await else { return };
                    reason
                }
                Err(reason) => reason,
            };
            self.wait(reason);
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = self.received.closed() => return,
            }
        }
    }

    /// A connection, once there is one; none when it is wanted no more.
    async fn connection(&mut self) -> Option<Arc<Connection>> {
        loop {
            let session = self.session.borrow_and_update().clone();
            match session {
                Session::On(connection) => return Some(connection),
                Session::Off(reason) => self.wait(reason),
                Session::Unknown => {}
                Session::Closed => return None,
            }
            tokio::select! {
                changed = self.session.changed() => changed.ok()?,
                () = self.received.closed() => return None,
            }
        }
    }

    /// Tells that nothing is received for the time being.
    fn wait(&self, reason: String) {
        self.name.send_if_modified(|name| name.take().is_some());
        let waiting = Consuming::Waiting { reason };
        self.standing.send_if_modified(|standing| {
            let is_new = *standing != waiting;
            *standing = waiting;
            is_new
        });
    }

    /// Hands on what comes, and tells why nothing comes any more; nothing where nobody wants it.
    async fn forward(&self, mut subscription: Subscription) -> Option<String> {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.received.closed() => {
                    subscription.cancel().await;
                    return None;
                }
                delivery = next(&mut subscription.deliveries) => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let received = subscription.receive(delivery);
                    // Whoever has gone gives it back by that.
                    let _ = self.received.send(received).await;
                }
                Some(Err(error)) => return Some(reason::of_loss(&error)),
                None if subscription.channel.status().connected() => {
                    return Some(format!("the queue {} was deleted", subscription.queue));
                }
                None => return Some("the connection was lost".to_owned()),
            }
        }
    }
}

impl Subscription {
    fn receive(&self, mut delivery: Delivery) -> Received {
        let receipt = Receipt {
            acker: delivery.acker.clone(),
            channel: self.channel.clone(),
            is_used: false,
        };
        Received {
            message: wire::unpack(&mut delivery),
            redelivered: delivery.redelivered,
            receipt,
        }
    }

    /// Ends it, and gives back what was not handed out.
    async fn cancel(mut self) {
        let cancel = self.channel.basic_cancel(self.tag.clone(), BasicCancelOptions::default());
        let _ = timeout(PATIENCE, cancel).await;
        let give_back = async {
            while let Some(Ok(delivery)) = next(&mut self.deliveries).await {
                drop(self.receive(delivery));
            }
        };
        let _ = timeout(PATIENCE, give_back).await;
    }
}

/// Subscribes to a queue, on a channel of its own: what the broker refuses closes the channel, and with it whatever else is on
/// it.
///
/// # Errors
/// The broker refuses, in words.
async fn subscribe(connection: &Connection, queue: &Queue) -> Result<Subscription, String> {
    let subscribing = async {
        let channel = connection.create_channel().await?;
        let (queue, prefetch, exclusive) = match queue {
            Queue::Named { name, prefetch } => (short(name)?, *prefetch, false),
            Queue::Reply => {
                let options = QueueDeclareOptions {
                    exclusive: true,
                    auto_delete: true,
                    ..QueueDeclareOptions::default()
                };
                let declared = channel.queue_declare("".into(), options, FieldTable::default());
                (declared.await?.name().clone(), REPLIES, true)
            }
            Queue::Kept { name, expires, prefetch } => {
                let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
                let mut arguments = FieldTable::default();
                let expires = i64::try_from(expires.as_millis()).unwrap_or(i64::MAX);
                arguments.insert("x-expires".into(), AMQPValue::LongLongInt(expires));
                channel.queue_declare(short(name)?, options, arguments).await?;
                (short(name)?, *prefetch, true)
            }
        };
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions { exclusive, ..BasicConsumeOptions::default() };
        let consumer =
            channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()).await?;
        let (tag, queue) = (consumer.tag(), queue.to_string());
        Ok(Subscription { channel, tag, deliveries: Box::pin(consumer), queue })
    };
    match timeout(PATIENCE, subscribing).await {
        Ok(Ok(subscription)) => Ok(subscription),
        Ok(Err(error)) => Err(refusal(&error)),
        Err(_) => Err(format!("the broker did not answer within {PATIENCE:?}")),
    }
}

fn short(name: &str) -> lapin::Result<ShortString> {
    ShortString::try_new(name).map_err(|error| std::io::Error::other(error).into())
}

/// Why the broker refuses a subscription.
fn refusal(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(told) => format!("the broker refuses: {}", reason::words(told)),
        _ => reason::of_loss(error),
    }
}
