//! The channel from those to whom things happen to those who tell of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{Event, Outcome};

/// Bytes of output that may wait for the sinks before the runs that print have to wait.
const OUTPUT_BYTES: usize = 1 << 20;

/// What a line of output takes on the bus beside its bytes.
const LINE_BYTES: usize = 320;

/// How many events other than output may wait for a sink that cannot be relied on.
///
/// A burst of 5 000 runs that start and end fits in.
const EVENTS: usize = 16 << 10;

/// How many more may wait if somebody should look at them.
const MORE: usize = 2 << 10;

/// How many jobs in an event weigh as much as an event.
const JOBS: usize = 16;

/// Carries events, in order and without loss, to each sink that subscribed.
///
/// Publishing never blocks, so the scheduler may publish. What could grow without bound is output: a line
/// needs a [`Permit`] first, which its reader awaits; while sinks are slow, the pipes of the runs fill up and the
/// runs wait, as they would on a slow terminal. All else may grow too while a reader of the log does not read: a sink
/// that may be held up so [subscribes with a bound](Builder::subscribe_bounded).
#[derive(Debug, Clone)]
pub struct Bus {
    sinks: Arc<[Sender]>,
    room: Arc<Semaphore>,
}

/// Room for a line of output on the bus.
#[derive(Debug)]
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

/// The sinks of a bus that is being built.
#[derive(Debug, Default)]
pub struct Builder {
    sinks: Vec<Sender>,
}

/// The way to one sink.
#[derive(Debug)]
struct Sender {
    events: mpsc::UnboundedSender<Arc<Event>>,
    queue: Option<Arc<Queue>>,
}

/// How much waits for a sink, output aside.
#[derive(Debug, Default)]
struct Queue {
    waiting: AtomicUsize,
    left_out: AtomicU64,
    /// Those of them that somebody should have looked at.
    warnings: AtomicU64,
}

/// Where a sink receives events, of which no more than a bounded number ever wait.
#[derive(Debug)]
pub struct Bounded {
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    queue: Arc<Queue>,
}

impl Builder {
    /// Adds a sink: it receives every event published from now on.
    ///
    /// For those that never wait for anything outside this process.
    pub fn subscribe(&mut self) -> mpsc::UnboundedReceiver<Arc<Event>> {
        let (events, receiver) = mpsc::unbounded_channel();
        self.sinks.push(Sender { events, queue: None });
        receiver
    }

    /// Adds a sink that may be held up: while 16 384 events wait for it, further ones are counted instead, and
    /// [`Event::LeftOut`] says in their place how many; those that somebody should look at last.
    pub fn subscribe_bounded(&mut self) -> Bounded {
        let events = self.subscribe();
        let queue = Arc::new(Queue::default());
        if let Some(sender) = self.sinks.last_mut() {
            sender.queue = Some(Arc::clone(&queue));
        }
        Bounded { events, queue }
    }

    /// The bus to these sinks.
    #[must_use]
    pub fn build(self) -> Bus {
        Bus { sinks: self.sinks.into(), room: Arc::new(Semaphore::new(OUTPUT_BYTES)) }
    }
}

impl Bus {
    /// A bus without sinks, to be given some.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Tells every sink. Never blocks; a sink that has ended is passed over.
    pub fn publish(&self, event: Event) {
        let event = Arc::new(event);
        for sink in &*self.sinks {
            if sink.queue.as_ref().is_none_or(|queue| queue.takes(&event, &sink.events)) {
                // A sink that has gone has nobody left to tell.
                let _ = sink.events.send(Arc::clone(&event));
            }
        }
    }

    /// Waits until there is room for a line of `bytes` bytes.
    pub async fn room_for(&self, bytes: usize) -> Permit {
        let wanted = u32::try_from((bytes + LINE_BYTES).min(OUTPUT_BYTES)).unwrap_or(u32::MAX);
        Permit { _held: Arc::clone(&self.room).acquire_many_owned(wanted).await.ok() }
    }
}

impl Queue {
    /// Whether there is room for `event`, which then waits; else it is counted.
    fn takes(&self, event: &Event, events: &mpsc::UnboundedSender<Arc<Event>>) -> bool {
        let weight = weight(event);
        if weight == 0 {
            return true;
        }
        let warns = warns(event);
        let limit = if warns { EVENTS + MORE } else { EVENTS };
        let waiting = self.waiting.load(Ordering::Acquire);
        if waiting >= limit {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            self.warnings.fetch_add(u64::from(warns), Ordering::Relaxed);
            return false;
        }
        self.waiting.fetch_add(weight, Ordering::AcqRel);
        // What was left out stands where it is missing, but for the warnings that went in longer.
        if waiting < EVENTS
            && let Some(left_out) = self.take_left_out()
        {
            let _ = events.send(Arc::new(left_out));
        }
        true
    }

    fn take_left_out(&self) -> Option<Event> {
        if self.left_out.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let count = self.left_out.swap(0, Ordering::Relaxed);
        let warnings = self.warnings.swap(0, Ordering::Relaxed);
        (count > 0).then_some(Event::LeftOut { count, warnings })
    }

    /// Frees the room of an event that has been fetched.
    fn fetched(&self, event: &Event) {
        self.waiting.fetch_sub(weight(event), Ordering::AcqRel);
    }
}

impl Bounded {
    /// The next event; none once the bus is gone. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.recv().await?;
        self.queue.fetched(&event);
        Some(event)
    }

    /// The next event, waited for by the thread; none once the bus is gone. Not to be called inside a runtime.
    pub fn blocking_recv(&mut self) -> Option<Arc<Event>> {
        if let Some(event) = self.try_recv() {
            return Some(event);
        }
        let event = self.events.blocking_recv()?;
        self.queue.fetched(&event);
        Some(event)
    }

    /// The next event, if one waits.
    pub fn try_recv(&mut self) -> Option<Arc<Event>> {
        match self.events.try_recv() {
            Ok(event) => {
                self.queue.fetched(&event);
                Some(event)
            }
            // Nothing came after it, so it stands at the end.
            Err(_) => self.queue.take_left_out().map(Arc::new),
        }
    }

    /// How many events wait, output included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// How much of the bound an event takes; output has a bound of its own.
fn weight(event: &Event) -> usize {
    match event {
        Event::RunOutput(_) | Event::LeftOut { .. } => 0,
        Event::JobAdded(jobs) | Event::JobChanged(jobs) | Event::JobRemoved(jobs) => {
            1 + jobs.len() / JOBS
        }
        Event::Dump(lines) => 1 + lines.len(),
        _ => 1,
    }
}

/// Whether somebody should look at it.
fn warns(event: &Event) -> bool {
    match event {
        Event::Rejected { .. }
        | Event::JobRefused { .. }
        | Event::RunMissed { .. }
        | Event::RunLost { .. }
        | Event::StoreDown { .. }
        | Event::MessageFailed { .. }
        | Event::MessageDropped { .. }
        | Event::BrokerDown { .. }
        | Event::BrokerBlocked { .. }
        | Event::OrderRefused { .. }
        | Event::ReportLost { .. }
        | Event::WorkerStopping { .. }
        | Event::WorkerStopped { .. }
        | Event::SchedulerPaused { .. }
        | Event::ClockStepped { .. }
        | Event::SchedulerRestarted { .. }
        | Event::Stopping { .. }
        | Event::Stopped { .. } => true,
        Event::Fault { fault, .. } => fault.is_error(),
        Event::Notice { warning, .. } => *warning,
        Event::RunEnded(ended) => !matches!(ended.outcome, Outcome::Succeeded { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
