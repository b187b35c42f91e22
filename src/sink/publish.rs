//! `--events`: what happens to jobs and to the daemon, published at an exchange.
//!
//! Follows the bus in a task. What it cannot publish waits in memory, within bounds, and is sent again with the same id, in
//! order; where there is too much the oldest goes, and `events.dropped` stands in its place. What jobs print is never
//! published. `docs/events.md` says what a message looks like.

mod content;
mod flight;
mod patience;
mod queue;

use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::broker::{Delivery, Publish, Standing};
use crate::clock::Clock;
use crate::event::{Bus, Event, RunId};
use flight::Flight;
use patience::Pace;
use queue::{Letter, Queue};

pub use content::Author;
pub use patience::Patience;
pub use queue::Bound;

/// Messages under way at once.
const WINDOW: usize = 64;

/// The name of a life of the daemon, for [`Author::life`]: one that no other has.
#[must_use]
pub fn life(clock: &dyn Clock) -> RunId {
    let now = clock.now();
    let half = |which: u8| u128::from(RandomState::new().hash_one((which, now.as_nanosecond())));
    RunId::new(now, half(0) << 64 | half(1))
}

/// Follows the bus and publishes what it tells.
pub struct Events {
    exchange: String,
    queue: Queue,
    flight: Flight,
    /// Sent and not confirmed, in order, until all that is under way was answered.
    failed: Vec<Letter>,
    /// What became of the first of those.
    failure: Option<Delivery>,
    /// Until when nothing is sent.
    paused: Option<Instant>,
    /// One message is under way at most: nothing was confirmed yet, or nothing since the last failure.
    probing: bool,
    /// Whether it was told that events are dropped, and not yet that this has passed.
    overflowed: bool,
    pace: Pace,
    broker: Arc<dyn Publish>,
    standing: watch::Receiver<Standing>,
    clock: Arc<dyn Clock>,
    bus: Bus,
    last: Duration,
}

impl Events {
    /// What `author` tells through `broker`; `bus` is told what could not be published.
    #[must_use]
    pub fn new(
        author: Author,
        broker: Arc<dyn Publish>,
        clock: Arc<dyn Clock>,
        bus: Bus,
        (bound, patience): (Bound, Patience),
    ) -> Self {
        Events {
            exchange: author.exchange.clone(),
            queue: Queue::new(author, bound),
            flight: Flight::default(),
            failed: Vec::new(),
            failure: None,
            paused: None,
            // What is refused at first costs no more than one message.
            probing: true,
            overflowed: false,
            pace: Pace::new(patience),
            standing: broker.standing(),
            broker,
            clock,
            bus,
            last: patience.last,
        }
    }

    /// Follows `events` until the daemon has stopped, and a little longer where something waits.
    pub async fn follow(mut self, mut events: UnboundedReceiver<Arc<Event>>) {
        loop {
            self.send();
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return };
                    self.take(&event);
                    if matches!(*event, Event::Stopped { .. }) {
                        break;
                    }
                }
                (letter, delivery) = self.flight.landed() => self.land(letter, delivery),
                () = wait(self.paused, &mut self.standing) => self.paused = None,
            }
        }
        self.finish().await;
    }

    /// Sends what waits, until nothing more waits or so much is under way as may be; a broker that does not get on is given
    /// no more.
    async fn finish(&mut self) {
        let deadline = Instant::now() + self.last;
        self.send();
        while !self.flight.is_empty() {
            tokio::select! {
                (letter, delivery) = self.flight.landed() => self.land(letter, delivery),
                () = sleep_until(deadline) => break,
            }
            self.send();
        }
        let under_way = self.flight.len() + self.failed.len();
        let under_way = u64::try_from(under_way).unwrap_or(u64::MAX);
        let count = self.queue.untold().saturating_add(under_way);
        if count > 0 {
            let words = if count == 1 { "event was" } else { "events were" };
            self.warn(format!("{count} {words} not published at {}", self.exchange));
        }
    }

    fn take(&mut self, event: &Arc<Event>) {
        let dropped = self.queue.push(event, self.clock.now());
        self.dropped(dropped);
    }

    /// Events were dropped: that is told once, until it has passed.
    fn dropped(&mut self, count: u64) {
        if count > 0 && !std::mem::replace(&mut self.overflowed, true) {
            let text = format!(
                "too many events wait to be published at {}: the oldest are dropped",
                self.exchange
            );
            self.warn(text);
        }
    }

    /// Sends as much as may be under way.
    fn send(&mut self) {
        // Those that failed go first, in their order: once the rest is answered.
        let window = if self.probing { 1 } else { WINDOW };
        while self.paused.is_none() && self.failed.is_empty() && self.flight.len() < window {
            let Some(letter) = self.queue.pop(self.clock.now()) else { return };
            let answer = self.broker.publish(Arc::clone(&letter.message));
            self.flight.add(letter, answer);
        }
    }

    /// A message was answered.
    fn land(&mut self, letter: Letter, delivery: Delivery) {
        if delivery == Delivery::Confirmed {
            self.confirmed(&letter);
        } else {
            self.failed.push(letter);
            self.failure.get_or_insert(delivery);
        }
        if self.flight.is_empty()
            && let Some(failure) = self.failure.take()
        {
            self.pause(&failure);
        }
    }

    fn confirmed(&mut self, letter: &Letter) {
        if let Some(lost) = letter.lost {
            let (count, words) = (lost.count, if lost.count == 1 { "is" } else { "are" });
            self.warn(format!("{count} of the events at {} {words} missing", self.exchange));
            self.overflowed = false;
        }
        if self.failure.is_none() {
            self.pace.confirmed();
            self.probing = false;
        }
    }

    /// What failed waits again, before all else, and nothing is sent for a while.
    fn pause(&mut self, failure: &Delivery) {
        let dropped = self.queue.put_back(std::mem::take(&mut self.failed));
        self.dropped(dropped);
        let delay = self.pace.failed(failure);
        if self.pace.is_first_refusal() && failure.is_refusal() {
            let what = match failure {
                Delivery::NoExchange { .. } => "declare it as a durable exchange of type topic",
                Delivery::Forbidden { text } if !text.starts_with("ACCESS_REFUSED") => {
                    "change what it names, at the broker"
                }
                _ => "allow the daemon's user at the broker to write to it",
            };
            let text = format!("events are not published at {}: {failure}; {what}", self.exchange);
            self.warn(text);
        }
        // What has happened by now is no news.
        self.standing.mark_unchanged();
        self.paused = Some(Instant::now() + delay);
        self.probing = true;
    }

    fn warn(&self, text: String) {
        self.bus.publish(Event::Notice { file: None, text, warning: true });
    }
}

/// Waits until the instant, or until the broker is back, whichever is first; for ever without an instant.
async fn wait(until: Option<Instant>, standing: &mut watch::Receiver<Standing>) {
    let Some(until) = until else { return pending().await };
    let back = async {
        while standing.changed().await.is_ok() {
            if matches!(*standing.borrow_and_update(), Standing::Up { .. }) {
                return;
            }
        }
        // Nobody tells any more.
        pending::<()>().await;
    };
    tokio::select! {
        () = back => {}
        () = sleep_until(until) => {}
    }
}

#[cfg(test)]
mod document;
#[cfg(test)]
mod tests;
