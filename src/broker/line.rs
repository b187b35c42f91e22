//! One connection in service: what is sent over it, and what is learnt from it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Error, ErrorKind, Event};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::address::Address;
use super::flight::{Flight, Parcel, is_cause};
use super::keeper::{Ask, Keeper};
use super::{Delivery, Standing, reason, wire};
use crate::clock::{Clock as _, SystemClock};

/// How long after a connection's end its reason is waited for.
const TOLD: Duration = Duration::from_secs(1);

/// How a connection ended.
pub(super) enum End {
    /// It was lost, and why.
    Lost(String),
    /// The end was wanted.
    Closed,
}

/// A connection with the channel on which messages are published.
pub(super) struct Line {
    connection: Arc<Connection>,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    channel: Channel,
    /// How long the broker may take to open a channel.
    patience: Duration,
    /// The size of frames that was agreed upon.
    frame: u32,
    flight: Flight,
    /// Messages of which one at least made the broker close the channel: sent one at a time, before all others.
    suspects: VecDeque<Parcel>,
    /// Since when the broker takes nothing, and why.
    blocked: Option<(Instant, String)>,
    /// When to look for what is late; never later than the first deadline.
    alarm: Option<Instant>,
    /// Why the connection is lost, once it is.
    lost: Option<String>,
}

impl Line {
    /// Opens the channel.
    ///
    /// # Errors
    /// The broker does not open it, in words.
    pub(super) async fn open(
        connection: Arc<Connection>,
        patience: Duration,
    ) -> Result<Self, String> {
        // Nothing is told before somebody listens.
        let events = Box::pin(connection.events_listener());
        let channel = open_channel(&connection, patience).await?;
        Ok(Line {
            frame: connection.configuration().frame_max(),
            connection,
            events,
            channel,
            patience,
            flight: Flight::new(),
            suspects: VecDeque::new(),
            blocked: None,
            alarm: None,
            lost: None,
        })
    }

    /// Serves until the connection's end; what was not answered then is answered.
    pub(super) async fn serve(mut self, keeper: &mut Keeper, address: &Address) -> End {
        let end = self.work(keeper, address).await;
        let reason = match &end {
            End::Lost(reason) => reason.clone(),
            End::Closed => "the connection was closed, as was asked".to_owned(),
        };
        let (flying, _) = self.flight.take();
        for parcel in flying.into_iter().chain(self.suspects) {
            parcel.answer(Delivery::Away { reason: reason.clone() });
        }
        end
    }

    async fn work(&mut self, keeper: &mut Keeper, address: &Address) -> End {
        loop {
            if let Err(reason) = self.renew().await {
                return End::Lost(reason);
            }
            if let Some(closing) = &keeper.closing {
                let is_idle = self.flight.awaited() == 0
                    && self.suspects.is_empty()
                    && keeper.waiting.is_empty();
                if is_idle || closing.deadline <= Instant::now() {
                    return End::Closed;
                }
            }
            self.pump(keeper);
            let alarm = earliest([self.alarm, keeper.closing.as_ref().map(|c| c.deadline)]);
            tokio::select! {
                biased;
                () = self.flight.news() => {
                    if let Some(error) = self.flight.settle(&self.channel)
                        && let Err(reason) = self.resume(keeper, &error).await
                    {
                        return End::Lost(reason);
                    }
                }
                event = next(&mut self.events) => self.hear(keeper, address, event),
                ask = keeper.asks.recv() => match ask {
                    Some(ask) => self.take(keeper, ask),
                    // Nobody is left who could ask for anything, or wait for an answer.
                    None => return End::Closed,
                },
                () = at(alarm) => self.expire(keeper),
            }
        }
    }

    /// Takes what was asked.
    fn take(&mut self, keeper: &mut Keeper, ask: Ask) {
        match ask {
            Ask::Connect => {}
            Ask::Close(within, told) => keeper.close(within, told),
            Ask::Publish(parcel) if keeper.closing.is_some() => {
                let reason = "the connection is about to be closed".to_owned();
                parcel.answer(Delivery::Away { reason });
            }
            Ask::Publish(parcel) => {
                if let Some((_, reason)) = &self.blocked {
                    parcel.answer(Delivery::Blocked { reason: reason.clone() });
                } else if let Some(parcel) = self.flight.adopt(parcel) {
                    self.alarm = earliest([self.alarm, Some(parcel.deadline)]);
                    keeper.waiting.push_back(parcel);
                } else {
                    self.alarm = Some(Instant::now() + keeper.options.confirm);
                }
            }
        }
    }

    /// Hands on as many messages as may be under way.
    fn pump(&mut self, keeper: &mut Keeper) {
        if self.blocked.is_some() || !self.channel.status().connected() {
            return;
        }
        loop {
            let parcel = if self.suspects.is_empty() {
                let has_room =
                    self.flight.awaited() < keeper.options.in_flight && self.flight.has_room();
                has_room.then(|| keeper.waiting.pop_front()).flatten()
            } else if self.flight.awaited() == 0 {
                self.suspects.pop_front()
            } else {
                None
            };
            let Some(parcel) = parcel else { return };
            match wire::pack(&parcel.message, SystemClock.now(), self.frame) {
                Ok(packed) => self.flight.send(&self.channel, parcel, packed),
                Err(text) => parcel.answer(Delivery::Forbidden { text }),
            }
        }
    }

    /// Goes on after the channel, or the connection, is gone.
    ///
    /// # Errors
    /// The connection is gone, in words.
    async fn resume(&mut self, keeper: &mut Keeper, error: &Error) -> Result<(), String> {
        if !self.connection.status().connected() {
            // Why is told by an event.
            return self.renew().await;
        }
        // What is told of one message alone may be the consequence of what is told of another in a moment.
        if !is_cause(error) && !self.flight.is_over() {
            return Ok(());
        }
        let (flying, count) = self.flight.take();
        let (refused, suspects, others) = sort(flying, count, error);
        for parcel in refused {
            parcel.answer(refusal(error));
        }
        for parcel in suspects.into_iter().rev() {
            self.suspects.push_front(parcel);
        }
        for parcel in others.into_iter().rev() {
            keeper.waiting.push_front(parcel);
        }
        self.channel = open_channel(&self.connection, self.patience).await?;
        Ok(())
    }

    /// Learns what happened to the connection.
    fn hear(&mut self, keeper: &mut Keeper, address: &Address, event: Option<Event>) {
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                let since = SystemClock.now();
                keeper.standing.send_replace(Standing::Blocked { since, reason: reason.clone() });
                for parcel in keeper.waiting.drain(..).chain(self.suspects.drain(..)) {
                    parcel.answer(Delivery::Blocked { reason: reason.clone() });
                }
                let now = Instant::now();
                self.blocked = Some((now, reason));
                self.alarm = earliest([self.alarm, Some(now + keeper.options.blocked)]);
            }
            Some(Event::ConnectionUnblocked) => {
                self.blocked = None;
                keeper.standing.send_replace(Standing::Up { address: address.to_string() });
            }
            Some(Event::Error(error)) if !self.connection.status().connected() => {
                self.lost = Some(reason::of_loss(&error));
            }
            _ => {}
        }
    }

    /// Sees to it that there is a channel, where nothing is under way on the one that was closed.
    ///
    /// # Errors
    /// The connection is gone, in words.
    async fn renew(&mut self) -> Result<(), String> {
        if !self.connection.status().connected() {
            // The state changes before it is told why.
            let told = async {
                while self.lost.is_none() {
                    match next(&mut self.events).await {
                        Some(Event::Error(error)) => self.lost = Some(reason::of_loss(&error)),
                        Some(_) => {}
                        None => break,
                    }
                }
            };
            let _ = timeout(TOLD, told).await;
            return Err(self.lost.take().unwrap_or_else(|| "the connection was lost".to_owned()));
        }
        if self.blocked.is_none()
            && self.flight.awaited() == 0
            && !self.channel.status().connected()
        {
            self.flight.take();
            self.channel = open_channel(&self.connection, self.patience).await?;
        }
        Ok(())
    }

    /// Answers what is late.
    fn expire(&mut self, keeper: &mut Keeper) {
        let now = Instant::now();
        let blocked = self.blocked.as_ref();
        let is_due = blocked.is_some_and(|(since, _)| *since + keeper.options.blocked <= now);
        let answer = || match blocked {
            Some((_, reason)) => Delivery::Blocked { reason: reason.clone() },
            None => Delivery::TimedOut,
        };
        self.alarm = self.flight.expire(now, is_due, answer);
        if let Some((since, _)) = blocked.filter(|_| !is_due) {
            self.alarm = earliest([self.alarm, Some(*since + keeper.options.blocked)]);
        }
        for queue in [&mut self.suspects, &mut keeper.waiting] {
            for parcel in std::mem::take(queue) {
                if parcel.deadline <= now {
                    parcel.answer(answer());
                } else {
                    self.alarm = earliest([self.alarm, Some(parcel.deadline)]);
                    queue.push_back(parcel);
                }
            }
        }
    }
}

/// Which messages the broker refused when it closed the channel, which it may have refused, and which it did not.
fn sort(
    flying: Vec<Parcel>,
    count: usize,
    error: &Error,
) -> (Vec<Parcel>, Vec<Parcel>, Vec<Parcel>) {
    if count == 1 {
        return (flying, Vec::new(), Vec::new());
    }
    let ErrorKind::ProtocolError(told) = error.kind() else {
        return (Vec::new(), flying, Vec::new());
    };
    let text = told.get_message().as_str();
    let is_missing = told.get_id() == 404;
    let is_named = |parcel: &Parcel| {
        let before = if is_missing { "no exchange " } else { "" };
        text.contains(&format!("{before}'{}'", parcel.message.exchange))
    };
    let (named, others): (Vec<_>, Vec<_>) = flying.into_iter().partition(is_named);
    // Every message to an exchange that is not there fails; other refusals may be about one message alone.
    match (is_missing, named.is_empty()) {
        (true, false) => (named, Vec::new(), others),
        (false, false) => (Vec::new(), named, others),
        (_, true) => (Vec::new(), others, Vec::new()),
    }
}

/// What the broker says of a message for which it closed the channel.
fn refusal(error: &Error) -> Delivery {
    match error.kind() {
        ErrorKind::ProtocolError(told) if told.get_id() == 404 => {
            Delivery::NoExchange { text: reason::words(told) }
        }
        ErrorKind::ProtocolError(told) => Delivery::Forbidden { text: reason::words(told) },
        _ => Delivery::Away { reason: reason::of_loss(error) },
    }
}

/// A channel on which each message is confirmed.
async fn open_channel(connection: &Connection, patience: Duration) -> Result<Channel, String> {
    let open = async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    };
    match timeout(patience, open).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => Err(reason::of_loss(&error)),
        Err(_) => Err(format!("the broker opened no channel within {patience:?}")),
    }
}

/// The next event.
pub(super) async fn next<T>(stream: &mut Pin<Box<dyn Stream<Item = T> + Send>>) -> Option<T> {
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// The first of several instants.
fn earliest<const N: usize>(instants: [Option<Instant>; N]) -> Option<Instant> {
    instants.into_iter().flatten().min()
}

/// Waits until an instant; for ever where there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
