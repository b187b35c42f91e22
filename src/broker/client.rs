//! The handle that others hold.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant};

use super::address::Address;
use super::blame::Trust;
use super::consume::{self, Deliveries, Queue};
use super::flight::{Parcel, Teller};
use super::keeper::{Ask, CLOSED, Keeper, Session};
use super::options::Options;
use super::{Answer, Delivery, Landings, Publish, Standing};
use crate::message::Message;

/// The way to a broker: one connection, made again whenever it is lost. Clones share it; with the last of them it ends.
#[derive(Clone)]
pub struct Broker {
    asks: mpsc::UnboundedSender<Ask>,
    standing: watch::Receiver<Standing>,
    session: watch::Receiver<Session>,
    confirm: Duration,
}

impl Broker {
    /// Begins to keep a connection to the first of the addresses that takes it. Must be called within a tokio runtime, which
    /// may have one thread; the client library has a thread of its own while it is connected.
    #[must_use]
    pub fn start(addresses: Vec<Address>, options: Options) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let (standing, stands) = watch::channel(Standing::Unknown);
        let (session, sessions) = watch::channel(Session::Unknown);
        let confirm = options.confirm;
        let keeper = Keeper {
            addresses,
            options,
            asks: asked,
            standing,
            session,
            waiting: VecDeque::new(),
            trust: Trust::default(),
            closing: None,
        };
        tokio::spawn(keeper.run());
        Broker { asks, standing: stands, session: sessions, confirm }
    }

    fn ask(&self, message: Arc<Message>, answer: Teller) {
        let deadline = Instant::now() + self.confirm;
        // What cannot be asked any more is answered when it is dropped.
        let _ = self.asks.send(Ask::Publish(Parcel { message, answer, deadline }));
    }

    /// Receives what is in a queue, from now on and after each reconnection, until the result is dropped.
    #[must_use]
    pub fn consume(&self, queue: Queue) -> Deliveries {
        let _ = self.asks.send(Ask::Connect);
        consume::consume(self.clone(), self.session.clone(), queue)
    }

    /// Takes no more messages, waits until those that are under way are answered, but no longer than `within`, and leaves the
    /// broker. What is not answered by then is answered as [`Delivery::Away`].
    pub async fn close(&self, within: Duration) {
        let (told, closed) = oneshot::channel();
        if self.asks.send(Ask::Close(within, told)).is_ok() {
            // Gone without a word is gone as well.
            let _ = closed.await;
        }
    }
}

impl Publish for Broker {
    fn publish(&self, message: Arc<Message>) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.ask(message, Teller::one(answer));
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Delivery::Away { reason: CLOSED.to_owned() })
        })
    }

    fn publish_to(&self, message: Arc<Message>, number: u64, landings: &Landings) {
        self.ask(message, Teller::many(number, landings.clone()));
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("standing", &*self.standing.borrow()).finish_non_exhaustive()
    }
}
