//! Attending one order: from its arrival to its acknowledgement.
//!
//! The order is acknowledged when its end has been reported and the report is confirmed: until then, should this worker die,
//! the broker hands it to another one. That one asks the sender, since only he knows whether it had been started; without an
//! answer it does not start it, but tells him that it came back. The sender is asked, too, of an order that has waited: he may
//! have withdrawn it, or have heard that it was carried out, and somebody sends it again. He may say so later as well.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::memory::Memory;
use super::printed::Printed;
use super::reporter::{Reporter, Telling};
use super::turn::Turn;
use super::{Settings, run};
use crate::broker::{Publish, Receipt};
use crate::clock::Clock;
use crate::event::{Bus, Cause, Ended, Event, Run, Stream};
use crate::executor::Handle;
use crate::message::Order;
use crate::message::answer::Word as Verdict;
use crate::message::report::{self, News};
use crate::store::StoreError;
use crate::store::sqlite::{Known, REMEMBERED};

/// How long lines may wait for others to be reported with.
const GATHER: Duration = Duration::from_millis(100);

/// The shortest time between two signs of life.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);

/// The sender is asked of orders whose run is older than this, or than the worker.
const FRESH: SignedDuration = SignedDuration::from_secs(2);

/// How long an order may take to be taken when the worker stops.
const LAST_TAKE: Duration = Duration::from_secs(1);

/// Why an order is refused that another worker has.
const TAKEN: &str = "another worker has started it, says its sender";

/// Why an order is refused whose run has ended.
const WITHDRAWN: &str = "its sender has withdrawn it";

/// Why an order is refused that was taken before.
pub(super) const REPLAYED: &str =
    "it was taken before: a message that is sent again is not carried out again";

/// Why a run does not start while another attempt of it is alive.
const ALIVE: &str = "an earlier attempt of the run is still alive at the worker";

/// What all orders are attended with.
pub(super) struct Context {
    pub settings: Settings,
    pub broker: Arc<dyn Publish>,
    pub executor: Handle,
    pub bus: Bus,
    pub clock: Arc<dyn Clock>,
    pub orders: Memory,
    /// The queue where senders answer, while there is one.
    pub answers: watch::Receiver<Option<String>>,
    /// Whether the worker was asked to stop.
    pub stopping: watch::Sender<bool>,
    /// When the worker began: what was sent before may have been withdrawn before.
    pub began: Timestamp,
}

/// What the one who attends an order is told.
#[derive(Debug)]
pub(super) enum Word {
    /// The run printed a line; or so many lines and bytes are missing where it stands.
    Line(Stream, Vec<u8>, (u64, u64)),
    /// The run ended, or could not start.
    Ended(Box<Ended>),
    /// The run is not started, for this reason.
    Passed(String),
    /// The order came again, since the connection was lost: from now on it is this one that is to be acknowledged.
    Again(Receipt),
    /// The sender has answered.
    Answer(Verdict),
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was carried out, or could not start.
    Done,
    /// It was given back, or had been carried out before.
    Returned,
    /// It was refused.
    Refused,
    /// It was not looked at, and stays with the broker.
    Left,
}

/// One order, and how it stands with the broker.
pub(super) struct Attendant {
    pub context: Arc<Context>,
    pub order: Order,
    /// What it asks for, or why that cannot be.
    pub run: Result<Arc<Run>, String>,
    /// Its turn among the orders of its run that are here.
    pub turn: Turn,
    /// What the order is answered with.
    pub receipt: Option<Receipt>,
    /// Whether somebody had it before, perhaps.
    pub is_redelivered: bool,
    pub words: UnboundedReceiver<Word>,
}

impl Attendant {
    /// Attends the order until it needs no more attention; with what was said to whoever attends it since.
    pub(super) async fn attend(mut self) -> (Fate, UnboundedReceiver<Word>) {
        (self.carry_out().await, self.words)
    }

    async fn carry_out(&mut self) -> Fate {
        let now = self.context.clock.now();
        let mut reporter = Reporter::new(
            &self.order,
            Arc::clone(&self.context.broker),
            self.context.settings.key.clone(),
            Arc::clone(&self.context.settings.name),
            self.context.answers.clone(),
        );
        let known = match self.take(now).await {
            Some(Ok(known)) => known,
            // Nobody has started it. It is not acknowledged: the broker gives it to another when this worker has gone.
            None => {
                let reason = "the worker stops, and cannot remember it".to_owned();
                self.context
                    .bus
                    .publish(Event::OrderReturned { id: self.order.id.clone(), reason });
                return Fate::Left;
            }
            // Whether it was carried out before is not known, so it is not.
            Some(Err(error)) => {
                let reason = format!("the worker cannot remember it: {error}");
                return self.not_started(reporter, &reason).await;
            }
        };
        match (known, self.is_redelivered) {
            (Known::New, false) => {}
            (Known::Ended, true) => {
                self.acknowledge().await;
                return Fate::Returned;
            }
            (Known::New | Known::Taken, true) => match self.ask(&mut reporter).await {
                Some(Verdict::Start) => {}
                Some(Verdict::Withdrawn) => return self.drop_withdrawn().await,
                Some(Verdict::Taken) | None => {
                    return self.give_back(reporter, "it had been with another worker").await;
                }
            },
            (Known::Taken | Known::Ended, false) => {
                self.refuse(REPLAYED).await;
                return Fate::Refused;
            }
        }
        if now >= self.order.expires {
            if now.duration_since(self.order.expires) >= REMEMBERED {
                // It may have been carried out, and forgotten since.
                self.refuse("it expired long ago").await;
                return Fate::Refused;
            }
            return self.not_started(reporter, "it expired before a worker started it").await;
        }
        let run = match self.permitted() {
            Ok(run) => run,
            Err(reason) => return self.not_started(reporter, &reason).await,
        };
        if !self.turn.comes().await {
            return self.not_started(reporter, ALIVE).await;
        }
        let now = self.context.clock.now();
        if now >= self.order.expires {
            return self.not_started(reporter, "it expired before a worker started it").await;
        }
        let made = run.id.at();
        let is_old = made <= self.context.began || now.duration_since(made) >= FRESH;
        if !self.is_redelivered && is_old {
            match self.ask(&mut reporter).await {
                // One that cannot be asked cannot be waited for either.
                Some(Verdict::Start) | None => {}
                Some(Verdict::Withdrawn) => return self.drop_withdrawn().await,
                Some(Verdict::Taken) => {
                    self.refuse(TAKEN).await;
                    return Fate::Refused;
                }
            }
        }
        // The sender knows that it is started before it is: whatever happens then, nobody starts it again unasked.
        let mut is_heard = true;
        match reporter.try_tell(News::Started { at: now, expires: self.order.expires }).await {
            Some(Ok(())) => {}
            Some(Err(reason)) => {
                self.tell_lost(&reason);
                is_heard = false;
            }
            None => return self.give_back(reporter, "its start could not be reported").await,
        }
        let reason = match self.context.executor.carry_out(run).await {
            Some(Ok(_)) => {
                self.turn.begin();
                return self.follow(reporter, is_heard).await;
            }
            Some(Err(skip)) => skip.to_string(),
            None => "the worker is about to end".to_owned(),
        };
        self.not_started(reporter, &reason).await
    }

    /// Asks the sender whether the order is to be started; none if he does not answer.
    async fn ask(&mut self, reporter: &mut Reporter) -> Option<Verdict> {
        let (expires, is_again) = (self.order.expires, self.is_redelivered);
        let restarts = if is_again { self.order.restarts } else { 0 };
        let answered = timeout(self.context.settings.answer, async {
            reporter.listen().await;
            if reporter.try_tell(News::Asked { expires, restarts }).await != Some(Ok(())) {
                return None;
            }
            loop {
                match self.words.recv().await? {
                    Word::Answer(verdict) => return Some(verdict),
                    Word::Again(receipt) => self.receipt = Some(receipt),
                    Word::Line(..) | Word::Ended(_) | Word::Passed(_) => {}
                }
            }
        });
        answered.await.ok().flatten()
    }

    /// The run, if it may be carried out here.
    fn permitted(&self) -> Result<Arc<Run>, String> {
        let run = self.run.clone()?;
        let user = run.fire.job.user().to_string_lossy();
        if !self.context.settings.permits(&user) {
            return Err(format!("the worker runs nothing as {user} (--users)"));
        }
        Ok(run)
    }

    /// Follows the run to its end, and reports what comes of it.
    async fn follow(&mut self, mut reporter: Reporter, mut is_heard: bool) -> Fate {
        let beat = Duration::from_millis(self.order.beat_ms).max(SHORTEST_BEAT);
        let mut printed = Printed::default();
        let (mut gathered, mut next_beat) = (None, Instant::now() + beat);
        let mut telling: Option<Telling> = None;
        let mut end: Option<report::Ended> = None;
        let (mut is_last, mut is_ended, mut has_printed) = (false, false, false);
        loop {
            if telling.is_none() && is_heard {
                let now = Instant::now();
                let is_gathered = gathered.is_some_and(|by| now >= by);
                if end.is_some() || (printed.is_waiting() && is_gathered) {
                    telling = printed.next(end.is_some()).map(|news| reporter.tell(news));
                    gathered = None;
                } else if now >= next_beat {
                    telling = Some(reporter.tell(News::Running));
                }
                if telling.is_none()
                    && let Some(end) = end.take()
                {
                    is_last = true;
                    telling = Some(reporter.tell(News::Ended(end)));
                }
                if telling.is_some() {
                    next_beat = now + beat;
                }
            }
            if end.is_some() && !is_heard {
                break;
            }
            let by = gathered.unwrap_or(next_beat).min(next_beat);
            tokio::select! {
                biased;
                word = self.words.recv() => match word {
                    Some(Word::Line(stream, bytes, left_out)) => {
                        has_printed = true;
                        printed.push(stream, &bytes, left_out);
                        if printed.is_waiting() && gathered.is_none() {
                            gathered = Some(Instant::now() + GATHER);
                        }
                    }
                    Some(Word::Ended(ended)) => {
                        let mut told = run::ending(&ended);
                        told.printed = Some(has_printed);
                        if is_ended && ended.cause == Some(Cause::Stopped) {
                            told.cause = Some(Cause::Stopped.to_string());
                        }
                        end = Some(told);
                    }
                    Some(Word::Answer(Verdict::Start)) => {}
                    Some(Word::Answer(verdict)) => {
                        if !std::mem::replace(&mut is_ended, true) {
                            self.end(verdict).await;
                        }
                    }
                    Some(Word::Passed(reason)) => {
                        end = Some(run::not_started(&reason, self.context.clock.now()));
                    }
                    Some(Word::Again(receipt)) => self.receipt = Some(receipt),
                    // The worker has given up.
                    None => return Fate::Done,
                },
                told = heard(telling.as_mut()), if telling.is_some() => {
                    telling = None;
                    if let Err(reason) = told {
                        self.tell_lost(&reason);
                        is_heard = false;
                    }
                    if is_last {
                        break;
                    }
                    if printed.is_waiting() && gathered.is_none() {
                        gathered = Some(Instant::now());
                    }
                }
                () = sleep_until(by), if telling.is_none() && is_heard => {}
            }
        }
        self.settle().await;
        Fate::Done
    }

    /// The sender wants a run to go on no more: all its processes are ended.
    async fn end(&self, verdict: Verdict) {
        let reason = if verdict == Verdict::Taken { TAKEN } else { WITHDRAWN };
        let (id, reason) = (self.order.id.clone(), format!("{reason}: it is ended"));
        self.context.bus.publish(Event::OrderRefused { id, reason });
        if let Ok(run) = &self.run {
            self.context.executor.end(run.id).await;
        }
    }

    /// The sender wants the order to be carried out no more, and waits for nothing.
    async fn drop_withdrawn(&mut self) -> Fate {
        let (id, reason) = (self.order.id.clone(), WITHDRAWN.to_owned());
        self.context.bus.publish(Event::OrderRefused { id, reason });
        self.settle().await;
        Fate::Refused
    }

    /// Reports that the order is not started, and why.
    async fn not_started(&mut self, mut reporter: Reporter, reason: &str) -> Fate {
        let id = self.order.id.clone();
        self.context.bus.publish(Event::OrderRefused { id, reason: reason.to_owned() });
        let end = run::not_started(reason, self.context.clock.now());
        self.tell(&mut reporter, News::Ended(end)).await;
        self.settle().await;
        Fate::Refused
    }

    /// Leaves it to the sender what becomes of the order.
    async fn give_back(&mut self, mut reporter: Reporter, reason: &str) -> Fate {
        let id = self.order.id.clone();
        self.context.bus.publish(Event::OrderReturned { id, reason: reason.to_owned() });
        self.tell(&mut reporter, News::Returned).await;
        // It has not ended: another worker may be carrying it out, and share what is remembered.
        self.catch_up();
        self.acknowledge().await;
        Fate::Returned
    }

    /// Tells it until it is heard; meanwhile the order may come again.
    async fn tell(&self, reporter: &mut Reporter, news: News) {
        if let Err(reason) = reporter.tell(news).await {
            self.tell_lost(&reason);
        }
    }

    /// The order needs no more attention, wherever it came from last.
    async fn settle(&mut self) {
        self.catch_up();
        // What is not remembered as ended counts as taken, and is not carried out again either.
        let _ = self.context.orders.end(self.order.id.clone()).await;
        self.acknowledge().await;
    }

    /// Finds out where the order came from last.
    fn catch_up(&mut self) {
        while let Ok(word) = self.words.try_recv() {
            if let Word::Again(receipt) = word {
                self.receipt = Some(receipt);
            }
        }
    }

    /// The broker may forget the order.
    async fn acknowledge(&mut self) {
        if let Some(receipt) = self.receipt.take() {
            // Where the connection is gone it comes again, and is known.
            let _ = receipt.ack().await;
        }
    }

    /// Does not carry out what came.
    async fn refuse(&mut self, reason: &str) {
        let id = self.order.id.clone();
        self.context.bus.publish(Event::OrderRefused { id, reason: reason.to_owned() });
        if let Some(receipt) = self.receipt.take() {
            let _ = receipt.reject().await;
        }
    }

    fn tell_lost(&self, reason: &str) {
        let (id, reason) = (self.order.id.clone(), reason.to_owned());
        self.context.bus.publish(Event::ReportLost { id, reason });
    }

    /// Takes the order, unless it was taken before; none if the worker stops, and cannot do that soon.
    async fn take(&self, now: Timestamp) -> Option<Result<Known, StoreError>> {
        let (id, mut stopping) = (self.order.id.clone(), self.context.stopping.subscribe());
        let stopped = async {
            // It cannot be gone: we have it, too.
            let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
            sleep(LAST_TAKE).await;
        };
        tokio::select! {
            biased;
            known = self.context.orders.take(id, self.order.expires, now) => Some(known),
            () = stopped => None,
        }
    }
}

/// What comes of telling; never ready if nothing is being told.
async fn heard(telling: Option<&mut Telling>) -> Result<(), String> {
    match telling {
        Some(telling) => telling.await,
        None => std::future::pending().await,
    }
}
