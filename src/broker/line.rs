//! One connection in service: what is sent over it, and what is learnt from it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;
use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, Error, Event};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::address::Address;
use super::flight::{Flight, Parcel, is_cause};
use super::keeper::{Ask, CLOSED, CLOSING, Keeper};
use super::{Delivery, Standing, blame, reason, wire};
use crate::clock::{Clock as _, SystemClock};

/// How long after a connection's end its reason is waited for.
const TOLD: Duration = Duration::from_secs(1);

/// So many messages that were asked for at once are taken before any is sent, at most.
const TOGETHER: usize = 256;

/// How a connection ended.
pub(super) enum End {
    /// It was lost, and why.
    Lost(String),
    /// The end was wanted.
    Closed,
}

/// A connection with the channels on which messages are published.
pub(super) struct Line {
    connection: Arc<Connection>,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
    /// Where messages go to exchanges that are trusted.
    main: Lane,
    /// Where messages go one at a time.
    side: Lane,
    /// Messages that go one at a time, and were not sent yet.
    doubtful: VecDeque<Parcel>,
    /// How long the broker may take to open a channel.
    patience: Duration,
    /// The size of frames that was agreed upon.
    frame: u32,
    /// Since when the broker takes nothing, and why.
    blocked: Option<(Instant, String)>,
    /// When to look for what is late; never later than the first deadline.
    alarm: Option<Instant>,
    /// Why the connection is lost, once it is.
    lost: Option<String>,
}

/// A channel, and what is under way on it.
struct Lane {
    channel: Arc<Channel>,
    flight: Flight,
}

/// Which lane.
#[derive(Clone, Copy)]
enum Which {
    Main,
    Side,
}

impl Lane {
    async fn open(connection: &Connection, patience: Duration) -> Result<Self, String> {
        Ok(Lane { channel: open_channel(connection, patience).await?, flight: Flight::new() })
    }

    fn is_open(&self) -> bool {
        self.channel.status().connected()
    }
}

impl Line {
    /// Opens the channels.
    ///
    /// # Errors
    /// The broker does not open it, in words.
    pub(super) async fn open(
        connection: Arc<Connection>,
        patience: Duration,
    ) -> Result<Self, String> {
        // Nothing is told before somebody listens.
        let events = Box::pin(connection.events_listener());
        Ok(Line {
            main: Lane::open(&connection, patience).await?,
            side: Lane::open(&connection, patience).await?,
            doubtful: VecDeque::new(),
            frame: connection.configuration().frame_max(),
            connection,
            events,
            patience,
            blocked: None,
            alarm: None,
            lost: None,
        })
    }

    /// Serves until the connection's end; what was not answered then is answered. Where the end was wanted, the connection
    /// is open still, and so are the channels: the client library closes them with what holds them.
    pub(super) async fn serve(&mut self, keeper: &mut Keeper, address: &Address) -> End {
        keeper.trust.begin_again();
        let end = self.work(keeper, address).await;
        let reason = match &end {
            End::Lost(reason) => reason.clone(),
            End::Closed => CLOSED.to_owned(),
        };
        for flight in flights(&mut self.main, &mut self.side) {
            for parcel in flight.take().0 {
                parcel.answer(Delivery::Away { reason: reason.clone() });
            }
        }
        for parcel in self.doubtful.drain(..) {
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
                let is_idle = keeper.waiting.is_empty() && self.is_idle();
                if is_idle || closing.deadline <= Instant::now() {
                    return End::Closed;
                }
            }
            self.pump(keeper);
            let alarm = earliest([self.alarm, keeper.closing.as_ref().map(|c| c.deadline)]);
            tokio::select! {
                biased;
                () = self.main.flight.news() => {
                    if let Err(reason) = self.settle(keeper, Which::Main).await {
                        return End::Lost(reason);
                    }
                }
                () = self.side.flight.news() => {
                    if let Err(reason) = self.settle(keeper, Which::Side).await {
                        return End::Lost(reason);
                    }
                }
                event = next(&mut self.events) => self.hear(keeper, address, event),
                ask = keeper.asks.recv() => match ask {
                    Some(ask) => {
                        self.take(keeper, ask);
                        // What was asked together is sent together.
                        for _ in 0..TOGETHER {
                            let Ok(ask) = keeper.asks.try_recv() else { break };
                            self.take(keeper, ask);
                        }
                    }
                    // Nobody is left who could ask for anything, or wait for an answer.
                    None => return End::Closed,
                },
                () = if_any(alarm.map(sleep_until)) => self.expire(keeper),
            }
        }
    }

    /// Whether nobody waits for anything that is under way.
    fn is_idle(&self) -> bool {
        self.doubtful.is_empty() && self.main.flight.awaited() + self.side.flight.awaited() == 0
    }

    /// Takes what was asked.
    fn take(&mut self, keeper: &mut Keeper, ask: Ask) {
        let parcel = match ask {
            Ask::Connect => return,
            Ask::Close(within, told) => return keeper.close(within, told),
            Ask::Publish(parcel) => parcel,
        };
        if keeper.closing.is_some() {
            return parcel.answer(Delivery::Away { reason: CLOSING.to_owned() });
        }
        if let Some((_, reason)) = &self.blocked {
            return parcel.answer(Delivery::Blocked { reason: reason.clone() });
        }
        self.alarm = earliest([self.alarm, Some(parcel.deadline)]);
        let mut parcel = Some(parcel);
        for flight in flights(&mut self.main, &mut self.side) {
            parcel = parcel.and_then(|parcel| flight.adopt(parcel));
        }
        keeper.waiting.extend(parcel);
    }

    /// Hands on as many messages as may be under way.
    fn pump(&mut self, keeper: &mut Keeper) {
        if self.blocked.is_some() {
            return;
        }
        while let Some(first) = keeper.waiting.front() {
            let is_trusted = keeper.trust.has(&first.message.exchange);
            let flight = &self.main.flight;
            let has_room = flight.awaited() < keeper.options.in_flight && flight.has_room();
            if is_trusted && !(has_room && self.main.is_open()) {
                break;
            }
            let Some(parcel) = keeper.waiting.pop_front() else { break };
            if is_trusted {
                send(&mut self.main, parcel, self.frame);
            } else {
                self.doubtful.push_back(parcel);
            }
        }
        while self.side.flight.awaited() == 0 && self.side.is_open() {
            let Some(parcel) = self.doubtful.pop_front() else { break };
            send(&mut self.side, parcel, self.frame);
        }
    }

    /// Answers what has an answer, and goes on if the channel is gone.
    ///
    /// # Errors
    /// The connection is gone, in words.
    async fn settle(&mut self, keeper: &mut Keeper, which: Which) -> Result<(), String> {
        let lane = match which {
            Which::Main => &mut self.main,
            Which::Side => &mut self.side,
        };
        let mut trusted = Vec::new();
        let failure = lane.flight.settle(&lane.channel, |message| {
            if matches!(which, Which::Side) && keeper.trust.note(&message.exchange) {
                trusted.push(message.exchange.clone());
            }
        });
        // Whoever waited for that goes with the others now, before those that came after.
        for exchange in trusted {
            let doubtful = std::mem::take(&mut self.doubtful);
            let (now, later) =
                doubtful.into_iter().partition(|parcel| parcel.message.exchange == exchange);
            self.doubtful = later;
            prepend(&mut keeper.waiting, now);
        }
        let Some(error) = failure else { return Ok(()) };
        // What is told of one message alone may be the consequence of what is told of another in a moment.
        let is_over = is_cause(&error) || lane.flight.is_over();
        if error.is_amqp_soft_error() || is_over && self.connection.status().connected() {
            let (flying, count) = lane.flight.take();
            let sorted = blame::sort(flying, count, &error, &mut keeper.trust);
            for parcel in sorted.refused {
                parcel.answer(blame::refusal(&error));
            }
            prepend(&mut self.doubtful, sorted.suspects.into());
            prepend(&mut keeper.waiting, sorted.others.into());
        }
        self.renew().await
    }

    /// Learns what happened to the connection.
    fn hear(&mut self, keeper: &mut Keeper, address: &Address, event: Option<Event>) {
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                let since = SystemClock.now();
                keeper.standing.send_replace(Standing::Blocked { since, reason: reason.clone() });
                for parcel in keeper.waiting.drain(..).chain(self.doubtful.drain(..)) {
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
            Some(Event::Error(error)) => self.note(&error),
            _ => {}
        }
    }

    /// Notes why the connection is lost, if that is what an error says: it may say so of a channel.
    fn note(&mut self, error: &Error) {
        if !error.is_amqp_soft_error() {
            self.lost = Some(reason::of_loss(error));
        }
    }

    /// Sees to it that there are channels to publish on, once nothing is under way on one that was closed.
    ///
    /// # Errors
    /// The connection is gone, in words.
    async fn renew(&mut self) -> Result<(), String> {
        if !self.connection.status().connected() {
            // The state changes before it is told why.
            let told = async {
                while self.lost.is_none() {
                    match next(&mut self.events).await {
                        Some(Event::Error(error)) => self.note(&error),
                        Some(_) => {}
                        None => break,
                    }
                }
            };
            let _ = timeout(TOLD, told).await;
            return Err(self.lost.take().unwrap_or_else(|| "the connection was lost".to_owned()));
        }
        for lane in [&mut self.main, &mut self.side] {
            let is_over = lane.flight.awaited() == 0 && !lane.is_open();
            if is_over && self.blocked.is_none() {
                lane.flight.take();
                lane.channel = open_channel(&self.connection, self.patience).await?;
            }
        }
        Ok(())
    }

    /// Answers what is late.
    fn expire(&mut self, keeper: &mut Keeper) {
        let now = Instant::now();
        let grace = keeper.options.blocked;
        let end = self.blocked.as_ref().map(|(since, _)| *since + grace).filter(|end| *end > now);
        let is_due = self.blocked.is_some() && end.is_none();
        let answer = || match &self.blocked {
            Some((_, reason)) => Delivery::Blocked { reason: reason.clone() },
            None => Delivery::TimedOut,
        };
        let mut alarm = end;
        for flight in flights(&mut self.main, &mut self.side) {
            alarm = earliest([alarm, flight.expire(now, is_due, answer)]);
        }
        for queue in [&mut self.doubtful, &mut keeper.waiting] {
            for parcel in std::mem::take(queue) {
                if parcel.deadline <= now {
                    parcel.answer(answer());
                } else {
                    alarm = earliest([alarm, Some(parcel.deadline)]);
                    queue.push_back(parcel);
                }
            }
        }
        self.alarm = alarm;
    }
}

/// What is under way on each lane.
fn flights<'a>(main: &'a mut Lane, side: &'a mut Lane) -> impl Iterator<Item = &'a mut Flight> {
    [main, side].into_iter().map(|lane| &mut lane.flight)
}

/// Sends a message on a lane.
fn send(lane: &mut Lane, parcel: Parcel, frame: u32) {
    match wire::pack(&parcel.message, SystemClock.now(), frame) {
        Ok(packed) => lane.flight.send(&lane.channel, parcel, packed),
        Err(text) => parcel.answer(Delivery::Forbidden { text }),
    }
}

/// Puts messages before others, in their order.
fn prepend(queue: &mut VecDeque<Parcel>, mut first: VecDeque<Parcel>) {
    first.append(queue);
    *queue = first;
}

/// A channel on which each message is confirmed.
async fn open_channel(connection: &Connection, patience: Duration) -> Result<Arc<Channel>, String> {
    let open = async {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Arc::new(channel))
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

/// Waits for something; for ever where there is nothing.
pub(super) async fn if_any<T>(something: Option<impl Future<Output = T>>) -> T {
    match something {
        Some(something) => something.await,
        None => std::future::pending().await,
    }
}
