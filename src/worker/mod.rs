//! The worker: carries out what another Cronkeep has sent.
//!
//! Receives signed orders from a queue, hands runs to an [`executor`](crate::executor) and what came of them back to whoever
//! sent them. Layer 7. It runs nothing whose signature it has not judged, nothing twice, and nothing as a user that it was not
//! told to run as; and it keeps an order with the broker until its end has been reported.

mod attend;
mod memory;
mod printed;
mod reporter;
mod run;
mod turn;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::broker::{Deliveries, Publish, Received};
use crate::clock::Clock;
use crate::event::{Bus, Event, RunId};
use crate::executor::{Handle, Stop, Stopped};
use crate::message::signature::Key;
use crate::message::{Answer, Order, refusal};
pub use memory::Memory;

use attend::{Attendant, Context, Fate, REPLAYED, Word};
use turn::{Turn, Turns};

/// How long a sender may take to answer, as a rule.
pub const ANSWER: Duration = Duration::from_secs(3);

/// From TERM to KILL for runs that have had their time when the worker stops.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// How long the last reports may take when the worker stops.
const LAST_REPORTS: Duration = Duration::from_secs(3);

/// What a worker goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name: new with each start, at most 100 letters.
    pub name: Arc<str>,
    /// The queue that it reads.
    pub queue: String,
    /// The key that orders are signed with; none: any order is carried out.
    pub key: Option<Arc<Key>>,
    /// Names of the users that it runs commands as.
    pub users: Vec<String>,
    /// How long a run may take, whatever its order says; none: as long as that.
    pub longest: Option<Duration>,
    /// How long runs may go on when it is asked to stop.
    pub stop_grace: Duration,
    /// How long senders may take to answer: [`ANSWER`].
    pub answer: Duration,
}

impl Settings {
    /// Whether it runs commands as this user.
    fn permits(&self, user: &str) -> bool {
        self.users.iter().any(|permitted| permitted == user)
    }
}

/// How far a worker has been asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Not at all.
    #[default]
    None,
    /// No more orders; runs may go on for the grace.
    Graceful,
    /// At once: what runs is killed.
    AtOnce,
}

/// What a worker's work came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Orders that were carried out.
    pub done: u64,
    /// Messages that were refused, and orders that could not start.
    pub refused: u64,
    /// Runs that had to be killed at the end.
    pub killed: usize,
}

/// Carries out orders.
pub struct Worker {
    context: Arc<Context>,
    /// What the executor tells.
    events: mpsc::UnboundedReceiver<Arc<Event>>,
    /// By the order's id.
    active: HashMap<String, Active>,
    /// The orders of each run.
    turns: Turns,
    attending: JoinSet<(Fate, mpsc::UnboundedReceiver<Word>)>,
    /// Which order a task attends.
    tasks: HashMap<Id, String>,
    work: Work,
}

/// An order that is being attended.
struct Active {
    run: Option<RunId>,
    words: mpsc::UnboundedSender<Word>,
}

/// What the worker does when it is asked to stop.
enum Phase {
    Working,
    /// Until then runs may go on.
    Draining(Instant),
    /// The runs are being ended.
    Ending(Pin<Box<dyn Future<Output = Stopped> + Send>>),
    /// Until then the last ends may be reported.
    Reporting(Instant),
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("work", &self.work).finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that has its runs started by `executor`, whose events come through `events`; `answers` is the name of the queue
    /// where senders answer, while there is one.
    #[must_use]
    pub fn new(
        settings: Settings,
        broker: Arc<dyn Publish>,
        executor: Handle,
        (bus, events): (Bus, mpsc::UnboundedReceiver<Arc<Event>>),
        clock: Arc<dyn Clock>,
        (orders, answers): (Memory, watch::Receiver<Option<String>>),
    ) -> Self {
        let began = clock.now();
        let stopping = watch::Sender::new(false);
        let context =
            Context { settings, broker, executor, bus, clock, orders, answers, stopping, began };
        Worker {
            context: Arc::new(context),
            events,
            active: HashMap::new(),
            turns: Turns::default(),
            attending: JoinSet::new(),
            tasks: HashMap::new(),
            work: Work::default(),
        }
    }

    /// Carries out what comes until it is asked to stop; what has been started by then is ended and reported. What senders answer
    /// comes through `answers`.
    pub async fn follow(
        mut self,
        deliveries: Deliveries,
        mut answers: Deliveries,
        mut urgency: watch::Receiver<Urgency>,
    ) -> Work {
        let (mut phase, mut deliveries) = (Phase::Working, Some(deliveries));
        loop {
            let by = match &phase {
                Phase::Draining(by) | Phase::Reporting(by) => Some(*by),
                Phase::Working | Phase::Ending(_) => None,
            };
            let is_idle = self.attending.is_empty();
            tokio::select! {
                biased;
                Ok(()) = urgency.changed() => {
                    phase = self.hasten(phase, *urgency.borrow_and_update(), &mut deliveries);
                }
                Some(event) = self.events.recv() => self.pass_on(&event),
                Some(ended) = self.attending.join_next_with_id(), if !is_idle => {
                    match ended {
                        Ok((task, (fate, left))) => self.part(task, fate, left).await,
                        Err(error) => self.miss(error.id()),
                    }
                }
                stopped = ending(&mut phase) => {
                    self.work.killed = stopped.killed;
                    phase = Phase::Reporting(Instant::now() + LAST_REPORTS);
                }
                () = sleep_until(by.unwrap_or_else(Instant::now)), if by.is_some() => {
                    if !matches!(phase, Phase::Draining(_)) {
                        return self.work;
                    }
                    phase = self.end(LAST_GRACE);
                }
                Some(received) = answers.next() => self.hear(received).await,
                received = next(&mut deliveries), if deliveries.is_some() => {
                    if let Some(received) = received {
                        self.accept(received).await;
                    } else {
                        deliveries = None;
                        phase = self.end(LAST_GRACE);
                    }
                }
            }
            match phase {
                Phase::Draining(_) if self.attending.is_empty() => phase = self.end(Duration::ZERO),
                Phase::Reporting(_) if self.attending.is_empty() => return self.work,
                _ => {}
            }
        }
    }

    /// Stops as urgently as is asked.
    fn hasten(&self, phase: Phase, urgency: Urgency, deliveries: &mut Option<Deliveries>) -> Phase {
        if urgency != Urgency::None && matches!(phase, Phase::Working) {
            let running = self.active.len();
            self.context.bus.publish(Event::WorkerStopping { running });
            self.context.stopping.send_replace(true);
            // What was not handed out goes back.
            *deliveries = None;
        }
        match (urgency, phase) {
            (Urgency::Graceful, Phase::Working) => {
                let grace = self.context.settings.stop_grace;
                let now = Instant::now();
                Phase::Draining(now.checked_add(grace).unwrap_or(now))
            }
            // Whoever asked first is answered with this, too.
            (Urgency::AtOnce, Phase::Working | Phase::Draining(_) | Phase::Ending(_)) => {
                self.end(Duration::ZERO)
            }
            (_, phase) => phase,
        }
    }

    /// Ends what runs.
    fn end(&self, grace: Duration) -> Phase {
        Phase::Ending(Box::pin(self.context.executor.stop(Stop::End { grace })))
    }

    /// Takes what came from the queue.
    async fn accept(&mut self, received: Received) {
        let Settings { key, queue, longest, .. } = &self.context.settings;
        let order = match Order::read(&received.message, key.as_deref(), queue) {
            Ok(order) => order,
            Err(refusal) => {
                let id = received.message.id.clone();
                if let Some(told) = refusal::of(&received.message, &refusal) {
                    // It is on its way from here on; it proves nothing, and is not insisted on.
                    drop(self.context.broker.publish(Arc::new(told)));
                }
                return self.refuse(received, id, refusal.to_string()).await;
            }
        };
        if let Some(active) = self.active.get(&order.id) {
            if received.redelivered {
                // Without one who attends it, it comes again.
                let _ = active.words.send(Word::Again(received.receipt));
                return;
            }
            return self.refuse(received, order.id, REPLAYED.to_owned()).await;
        }
        let run = run::of(&order, *longest).map(Arc::new);
        let of_run = run.as_ref().ok().map(|run| run.id);
        let (words, spoken) = mpsc::unbounded_channel();
        let id = order.id.clone();
        let turn = of_run.map_or_else(Turn::of_nothing, |run| self.turns.take(run, &id));
        self.active.insert(id.clone(), Active { run: of_run, words });
        let context = Arc::clone(&self.context);
        let attendant = Attendant {
            context,
            order,
            run,
            turn,
            receipt: Some(received.receipt),
            is_redelivered: received.redelivered,
            words: spoken,
        };
        let task = self.attending.spawn(attendant.attend());
        self.tasks.insert(task.id(), id);
    }

    /// Hands on what a sender has answered.
    async fn hear(&self, received: Received) {
        let Settings { key, name, .. } = &self.context.settings;
        match Answer::read(&received.message, key.as_deref()) {
            Ok(answer) if *answer.worker == **name => {
                if let Some(active) = self.active.get(&answer.order) {
                    // Without one who attends it nobody wants to know.
                    let _ = active.words.send(Word::Answer(answer.word));
                }
            }
            Ok(_) => {}
            Err(refusal) => {
                let (id, reason) =
                    (received.message.id, format!("an answer of its sender: {refusal}"));
                self.context.bus.publish(Event::OrderRefused { id, reason });
            }
        }
        let _ = received.receipt.ack().await;
    }

    async fn refuse(&mut self, received: Received, id: String, reason: String) {
        self.work.refused += 1;
        self.context.bus.publish(Event::OrderRefused { id, reason });
        let _ = received.receipt.reject().await;
    }

    /// Tells those who attend the orders what becomes of their runs.
    fn pass_on(&self, event: &Event) {
        let (run, word) = match event {
            Event::RunOutput(line) if !line.detached => {
                (line.run.id, Word::Line(line.stream, line.bytes.clone(), line.left_out))
            }
            Event::RunEnded(ended) => (ended.run.id, Word::Ended(Box::new(ended.clone()))),
            Event::RunSkipped { run: Some(run), reason, .. }
            | Event::RunMissed { run: Some(run), reason, .. } => {
                (*run, Word::Passed(reason.clone()))
            }
            _ => return,
        };
        if let Some(active) = self.turns.first(run).and_then(|order| self.active.get(order)) {
            // Without one who attends it nobody wants to know.
            let _ = active.words.send(word);
        }
    }

    /// An order needs no more attention.
    async fn part(&mut self, task: Id, fate: Fate, mut left: mpsc::UnboundedReceiver<Word>) {
        match fate {
            Fate::Done => self.work.done += 1,
            Fate::Refused => self.work.refused += 1,
            Fate::Returned | Fate::Left => {}
        }
        self.forget(task);
        if fate == Fate::Left {
            // What came again is given back with its receipt.
            return;
        }
        while let Ok(word) = left.try_recv() {
            // It came again at the last moment.
            if let Word::Again(receipt) = word {
                let _ = receipt.ack().await;
            }
        }
    }

    /// Whoever attended an order has failed.
    fn miss(&mut self, task: Id) {
        self.forget(task);
        let text = "whoever attended an order failed: the order stays with the broker until this worker ends";
        let text = text.to_owned();
        self.context.bus.publish(Event::Notice { file: None, text, warning: true });
    }

    fn forget(&mut self, task: Id) {
        let Some(order) = self.tasks.remove(&task) else { return };
        if let Some(run) = self.active.remove(&order).and_then(|active| active.run) {
            self.turns.leave(run, &order);
        }
    }
}

/// The next message; never ready without a queue.
async fn next(deliveries: &mut Option<Deliveries>) -> Option<Received> {
    match deliveries {
        Some(deliveries) => deliveries.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until the runs have ended; never ready if they are not being ended.
async fn ending(phase: &mut Phase) -> Stopped {
    match phase {
        Phase::Ending(stopping) => stopping.await,
        _ => std::future::pending().await,
    }
}
