//! Keeps one connection: makes it, makes it again, hands messages to it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use lapin::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Duration, Instant, sleep, sleep_until, timeout_at};

use super::address::Address;
use super::backoff::Backoff;
use super::blame::Trust;
use super::dial::{Dialled, dial};
use super::flight::Parcel;
use super::line::{End, Line, if_any};
use super::options::Options;
use super::{Delivery, Standing, reason};
use crate::clock::{Clock as _, SystemClock};

/// A connection that lasted so long was a good one: the next is tried soon after its end.
const GOOD: Duration = Duration::from_secs(10);
/// How long the broker may take over our leave.
const LEAVE: Duration = Duration::from_secs(2);

/// What is told of messages that come when the end is wanted.
pub(super) const CLOSING: &str = "the connection is about to be closed";
/// What is told of the connection, and of messages, after the end.
pub(super) const CLOSED: &str = "the connection was closed, as was asked";

/// What the keeper is asked.
pub(super) enum Ask {
    /// Send a message.
    Publish(Parcel),
    /// Connect, if that waits for an occasion.
    Connect,
    /// Wait for what is under way, so long at most; then leave, and tell.
    Close(Duration, oneshot::Sender<()>),
}

/// Whether there is a connection, for those who consume.
#[derive(Clone, Default)]
pub(super) enum Session {
    /// There is none, and why.
    #[default]
    Unknown,
    Off(String),
    On(Arc<lapin::Connection>),
    /// There will be none any more.
    Closed,
}

/// Keeps one connection.
pub(super) struct Keeper {
    pub(super) addresses: Vec<Address>,
    pub(super) options: Options,
    pub(super) asks: mpsc::UnboundedReceiver<Ask>,
    pub(super) standing: watch::Sender<Standing>,
    pub(super) session: watch::Sender<Session>,
    /// Messages that were not sent yet.
    pub(super) waiting: VecDeque<Parcel>,
    pub(super) trust: Trust,
    /// Until when what is under way may finish, once somebody wants the end, and whom to tell.
    pub(super) closing: Option<Closing>,
}

/// Somebody wants the end.
pub(super) struct Closing {
    pub(super) deadline: Instant,
    told: Vec<oneshot::Sender<()>>,
}

impl Keeper {
    /// Keeps it until the end is wanted, or nobody is left who could send anything.
    pub(super) async fn run(mut self) {
        if !self.options.eager {
            let Some(ask) = self.asks.recv().await else { return };
            self.take(ask);
        }
        let mut backoff = Backoff::new();
        while !self.is_done() {
            let (addresses, options) = (self.addresses.clone(), self.options.clone());
            let Some(tried) = self.meanwhile(first_of(&addresses, &options)).await else { break };
            let reason = match tried {
                Ok((dialled, address)) => {
                    let since = Instant::now();
                    let end = self.serve(dialled, &address).await;
                    if since.elapsed() > GOOD {
                        backoff.reset();
                    }
                    match end {
                        End::Lost(reason) => reason,
                        End::Closed => break,
                    }
                }
                Err(reason) => reason,
            };
            self.fall(&reason);
            if self.meanwhile(sleep(backoff.next())).await.is_none() {
                break;
            }
        }
        self.end();
    }

    /// Serves one connection until its end.
    async fn serve(&mut self, dialled: Dialled, address: &Address) -> End {
        let Dialled { connection, plug } = dialled;
        let connection = Arc::new(connection);
        let end = match Line::open(Arc::clone(&connection), self.options.connect).await {
            Ok(mut line) => {
                self.session.send_replace(Session::On(Arc::clone(&connection)));
                self.standing.send_replace(Standing::Up { address: address.to_string() });
                let end = line.serve(self, address).await;
                if matches!(end, End::Closed) {
                    self.leave(&connection).await;
                }
                // Its channels last until then: see there.
                drop(line);
                end
            }
            Err(error) => End::Lost(error),
        };
        drop(plug);
        end
    }

    /// Takes our leave of the broker.
    async fn leave(&mut self, connection: &Connection) {
        self.session.send_replace(Session::Closed);
        // Whoever asked for the end has said how long it may take.
        let least = Instant::now() + LEAVE;
        let by = self.closing.as_ref().map_or(least, |closing| closing.deadline.max(least));
        let leave = async {
            // A channel that nobody holds any more is closed by the client library in a task of its own. One that is at that
            // while the connection is being closed fails, and takes the connection with it, before the broker has answered.
            // What is asked behind it is answered behind it.
            let _last = connection.create_channel().await?;
            // Acknowledgements of those who consume may be on their way; the broker takes its leave behind them.
            connection.close(200, "goodbye".into()).await
        };
        if let Ok(Err(error)) = timeout_at(by, leave).await {
            tracing::debug!(reason = %reason::of_loss(&error), "the broker's leave");
        }
    }

    /// Takes what was asked while there is no connection; says whether to go on.
    fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Connect => {}
            Ask::Close(within, told) => self.close(within, told),
            Ask::Publish(parcel) if self.closing.is_some() => {
                parcel.answer(Delivery::Away { reason: CLOSING.to_owned() });
            }
            Ask::Publish(parcel) => match &*self.standing.borrow() {
                // The first connection is worth waiting for: nobody knows yet that there is none.
                Standing::Unknown => self.waiting.push_back(parcel),
                Standing::Down { reason, .. } => {
                    parcel.answer(Delivery::Away { reason: reason.clone() });
                }
                _ => parcel.answer(Delivery::Away { reason: "there is no connection".to_owned() }),
            },
        }
    }

    /// Notes that somebody wants the end.
    pub(super) fn close(&mut self, within: Duration, told: oneshot::Sender<()>) {
        let deadline = Instant::now() + within;
        let closing = self.closing.get_or_insert(Closing { deadline, told: Vec::new() });
        closing.deadline = closing.deadline.min(deadline);
        closing.told.push(told);
    }

    /// Whether the end is wanted, and nobody waits for the first connection, or not any longer.
    fn is_done(&self) -> bool {
        let is_late = |closing: &Closing| closing.deadline <= Instant::now();
        self.closing.as_ref().is_some_and(|closing| self.waiting.is_empty() || is_late(closing))
    }

    /// Does something, and deals with what is asked meanwhile; nothing when there is nothing more to do.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        while !self.is_done() {
            let deadline = self.closing.as_ref().map(|closing| closing.deadline);
            tokio::select! {
                biased;
                ask = self.asks.recv() => self.take(ask?),
                done = &mut work => return Some(done),
                () = if_any(deadline.map(sleep_until)) => {}
            }
        }
        None
    }

    /// There is no connection any more, or none could be made.
    fn fall(&mut self, reason: &str) {
        let since = match &*self.standing.borrow() {
            Standing::Down { since, .. } => *since,
            _ => SystemClock.now(),
        };
        self.standing.send_replace(Standing::Down { since, reason: reason.to_owned() });
        self.session.send_replace(Session::Off(reason.to_owned()));
        for parcel in self.waiting.drain(..) {
            parcel.answer(Delivery::Away { reason: reason.to_owned() });
        }
    }

    /// Tells everybody that this was all.
    fn end(mut self) {
        self.fall(CLOSED);
        self.session.send_replace(Session::Closed);
        self.asks.close();
        while let Ok(ask) = self.asks.try_recv() {
            self.take(ask);
        }
        for told in self.closing.into_iter().flat_map(|closing| closing.told) {
            let _ = told.send(());
        }
    }
}

/// Connects to the first address that takes it.
///
/// # Errors
/// None does; the reasons of all, each after its address where there are several.
async fn first_of(addresses: &[Address], options: &Options) -> Result<(Dialled, Address), String> {
    let mut reasons = Vec::new();
    for address in addresses {
        match dial(address, options).await {
            Ok(dialled) => return Ok((dialled, address.clone())),
            Err(reason) if addresses.len() == 1 => return Err(reason),
            Err(reason) => reasons.push(format!("{address}: {reason}")),
        }
    }
    Err(reasons.join("; "))
}
