//! Has runs carried out by workers (`executor=worker:QUEUE`), and follows them to their end.
//!
//! An order goes out through the outbox, so that it survives whatever happens to the broker and to us; that sends it once what
//! comes of it can be heard. A worker reports that it starts it before it does; from then on nobody starts it again, but a further attempt (`retries`), as after any failure.
//! One that came back to the queue unstarted is sent again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::leaves::{self, Leaves};
use super::order;
use super::permission::Permission;
use super::queue::ReportQueue;
use super::replies::{Heard, Replies, Reports, told};
use super::report::carried;
use crate::broker::{Broker, Delivery, Publish as _, Standing};
use crate::clock::Clock;
use crate::crontab::directive::Await;
use crate::event::{Bus, Cause, Ended, Event, Outcome, Run, Stream};
use crate::executor::{Carried, Carrying, Elsewhere, Lines};
use crate::message::Report;
use crate::message::report::News;
use crate::message::signature::Key;
use crate::outbox::{Fate, Letter, Outbox};

/// How often something is heard of a run as a rule.
pub const BEAT: Duration = Duration::from_secs(10);

/// After so many beats without a sign of life a run is lost that no broker holds any more.
const BEATS: u32 = 3;

/// Without a sign of life for so long a run is lost whose order has expired.
const SILENCE: Duration = Duration::from_secs(5 * 60);

/// How much later than its expiry it may still be heard that an order was started: clocks differ.
const SLACK: Duration = Duration::from_secs(5);

/// How long the broker may take to confirm an order before it is said that it has not.
const CONFIRM: Duration = Duration::from_secs(30);

/// How soon it is asked again what became of an order that the broker has refused.
const REFUSED: Duration = Duration::from_secs(5);
/// How rarely that is asked at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How soon an order that came back is sent again; twice as late each time, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(100);

/// How late at most.
const LONGEST: Duration = Duration::from_secs(30);

/// How orders are signed.
#[derive(Debug, Clone)]
pub enum Signing {
    /// There is no key: nothing is sent.
    Missing,
    /// With this key.
    With(Arc<Key>),
    /// Not at all, as was asked for: only workers that are insecure take them.
    Not,
}

/// Has runs carried out by workers. Clones are one and the same.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Inner>);

struct Inner {
    outbox: Outbox,
    replies: Arc<Replies>,
    signing: Signing,
    permission: Permission,
    bus: Bus,
    clock: Arc<dyn Clock>,
    beat: Duration,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workers").field("signing", &self.signing).finish_non_exhaustive()
    }
}

/// What is known of an order that was sent.
struct Progress {
    /// The worker that has started it.
    started: Option<String>,
    /// When it was heard of last, or could have been.
    heard: Instant,
    /// Whether no broker holds it any more: it came back from another worker than the one that has started it.
    is_adrift: bool,
    /// Whether somebody has said that it was refused.
    is_refused: bool,
    /// The next report of each worker.
    next: HashMap<String, u64>,
}

/// What follows an order.
enum Turn {
    Over(Carried),
    /// It is sent again.
    Again,
}

impl Workers {
    /// Sends orders through `outbox`, which holds them back behind the gate of `queue`, where reports come. Something is to be
    /// heard of each run every `beat`. What has become of orders is kept in `folder`. To be called inside a tokio runtime.
    #[must_use]
    pub fn new(
        (outbox, broker): (Outbox, Broker),
        signing: Signing,
        permission: Permission,
        (queue, folder): (ReportQueue, &Path),
        (bus, clock): (Bus, Arc<dyn Clock>),
        beat: Duration,
    ) -> Self {
        let key = match &signing {
            Signing::With(key) => Some(Arc::clone(key)),
            Signing::Missing | Signing::Not => None,
        };
        let leaves = Leaves::new(folder.join(leaves::FILE), bus.clone(), Arc::clone(&clock));
        let replies = Replies::new((outbox.clone(), broker), (queue, leaves), key, bus.clone());
        Workers(Arc::new(Inner { outbox, replies, signing, permission, bus, clock, beat }))
    }

    /// Begins to hear of runs of an earlier life of the daemon, once it is known what has become of them as far as we know.
    pub fn resume(&self) {
        self.0.replies.resume();
    }

    /// From now on workers go on with what they have, though nobody here waits for it any more; else an order is withdrawn.
    pub fn leave(&self) {
        self.0.replies.leave();
    }

    /// Returns once the next life of the daemon will know which orders are withdrawn: as long as another process has the file
    /// locked, it waits.
    pub async fn settled(&self) {
        self.0.replies.settled().await;
    }

    /// An attempt has ended here: what a worker reports of its end then has this cause.
    pub fn ended(&self, end: &Ended) {
        self.0.replies.ended(end);
    }

    /// Has an attempt carried out by a worker that reads `queue`.
    #[must_use]
    pub fn carry(&self, run: Arc<Run>, queue: Arc<str>, lines: Lines) -> Carrying {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.carry(&run, &queue, &lines).await })
    }
}

impl Inner {
    async fn carry(&self, run: &Run, queue: &str, lines: &Lines) -> Carried {
        let job = &run.fire.job;
        let user = job.user();
        if matches!(self.signing, Signing::Missing) {
            return not_started("no key signs what is sent to workers (--worker-key)");
        }
        if !self.permission.is_given(user.as_bytes()) {
            return not_started(&format!("{user} may not send to workers (--publish-users)"));
        }
        let now = self.clock.now();
        let span = job.policy().expires;
        let expires = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        let expires = now.saturating_add(expires).unwrap_or(Timestamp::MAX);
        let began = Instant::now();
        let by = began.checked_add(span).unwrap_or(began + SILENCE * 100_000);
        let mut turn = 1;
        loop {
            match self.send(run, (queue, turn), (expires, by), lines).await {
                Turn::Over(carried) => return carried,
                Turn::Again => {
                    let delay = SHORTEST.saturating_mul(1 << turn.min(10)).min(LONGEST);
                    sleep(delay).await;
                    turn += 1;
                }
            }
        }
    }

    /// Sends an order, and follows it.
    async fn send(
        &self,
        run: &Run,
        (queue, turn): (&str, u32),
        (expires, by): (Timestamp, Instant),
        lines: &Lines,
    ) -> Turn {
        let order = order::of(run, (queue, turn), self.replies.name(), self.beat, expires);
        let message = match order.message(self.replies.key()) {
            Ok(message) => message,
            Err(refusal) => {
                return Turn::Over(not_started(&format!("no worker would take it: {refusal}")));
            }
        };
        let mut reports = self.replies.of(&order.id, expires);
        let letter = || {
            let job = &run.fire.job;
            Letter {
                message: message.clone(),
                job: Some((job.key, job.label().into())),
                run: Some(run.id),
                expires,
            }
        };
        let fate = match self.outbox.accept(letter()).await {
            Ok(fate) => fate,
            Err(refused) => {
                reports.over();
                return Turn::Over(not_started(&refused.to_string()));
            }
        };
        let discarded = self.outbox.discarded(&order.id);
        let confirmed = self.confirm(fate, &letter, by, lines);
        if run.fire.job.policy().result == Await::None {
            let carried = tokio::select! {
                () = confirmed => Carried::here(Outcome::Succeeded { exit: 0 }, None),
                by = discarded => dropped(&by),
                () = sleep_until(by) => not_started("the broker did not confirm it before it expired"),
            };
            reports.over();
            return Turn::Over(carried);
        }
        let turn = {
            let mut followed = std::pin::pin!(self.follow(run, &mut reports, by, lines));
            tokio::select! {
                turn = &mut followed => turn,
                // The broker may have it all the same: it is withdrawn.
                by = discarded => return Turn::Over(dropped(&by)),
                () = confirmed => followed.await,
            }
        };
        match &turn {
            Turn::Over(_) => reports.over(),
            // Whoever finds this one in the queue is not to start it beside the next one.
            Turn::Again => reports.supersede().await,
        }
        turn
    }

    /// Waits until the order is confirmed, however often it is sent until then; says once that it is not.
    async fn confirm(&self, fate: Fate, letter: &impl Fn() -> Letter, by: Instant, lines: &Lines) {
        let mut fate = Some(fate);
        let (mut is_told, mut pause) = (false, SHORTEST);
        while let Some(next) = fate.take() {
            let delivery = next.next(CONFIRM).await;
            match delivery {
                Delivery::Confirmed => return,
                // Whoever waits for the run is told by the outbox itself.
                Delivery::Discarded { .. } => break,
                _ => {}
            }
            if !is_told {
                is_told = true;
                let words =
                    format!("cronkeep: the order is not confirmed, and sent again: {delivery}");
                lines.tell(Stream::Stderr, words).await;
            }
            // Asking has it sent at once, so it is asked for no more often than the outbox would send it by itself.
            pause = if delivery.is_refusal() { pause.max(REFUSED) } else { pause };
            if Instant::now() + pause >= by {
                break;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // Of one id there is never a second letter: this one's fate is that of the first.
            fate = self.outbox.accept(letter()).await.ok();
        }
        std::future::pending::<()>().await;
    }

    /// Follows an order until its end is reported, or nobody will ever report it.
    async fn follow(&self, run: &Run, reports: &mut Reports, by: Instant, lines: &Lines) -> Turn {
        let mut standing = self.replies.broker().standing();
        let mut progress = Progress {
            started: None,
            heard: Instant::now(),
            is_adrift: false,
            is_refused: false,
            next: HashMap::new(),
        };
        loop {
            let deadline = self.deadline(&progress, by);
            tokio::select! {
                biased;
                heard = reports.next() => match heard {
                    Heard::Report(report) => {
                        if let Some(turn) = self.hear(run, &mut progress, *report, lines).await {
                            return turn;
                        }
                    }
                    Heard::Refused(why) => {
                        if !std::mem::replace(&mut progress.is_refused, true) {
                            let words = format!(
                                "cronkeep: a worker has refused the order, as somebody says: {why}; the run waits for another one"
                            );
                            lines.tell(Stream::Stderr, words).await;
                        }
                    }
                },
                Ok(()) = standing.changed() => {
                    // Nothing could be heard while it was away.
                    if is_up(&standing) {
                        progress.heard = Instant::now();
                    }
                }
                () = sleep_until(deadline) => {
                    let Some(worker) = &progress.started else {
                        return Turn::Over(not_started("no worker has started it before it expired"));
                    };
                    if is_up(&standing) {
                        return Turn::Over(Self::lost(worker));
                    }
                    progress.heard = Instant::now();
                }
            }
        }
    }

    /// Until when something has to be heard.
    fn deadline(&self, progress: &Progress, by: Instant) -> Instant {
        if progress.started.is_none() {
            by + SLACK
        } else if progress.is_adrift {
            progress.heard + self.beat * BEATS
        } else {
            (by + SLACK).max(progress.heard + SILENCE.max(self.beat * BEATS))
        }
    }

    /// Takes a report; what follows from it, if anything does.
    async fn hear(
        &self,
        run: &Run,
        progress: &mut Progress,
        report: Report,
        lines: &Lines,
    ) -> Option<Turn> {
        let Report { worker, sequence, news, .. } = report;
        let next = progress.next.entry(worker.clone()).or_default();
        if sequence < *next {
            // It was confirmed to us, and not to the worker.
            return None;
        }
        *next = sequence + 1;
        let is_other = progress.started.as_ref().is_some_and(|started| *started != worker);
        if !is_other {
            progress.heard = Instant::now();
        }
        match news {
            News::Started { .. } if is_other => {
                let started = progress.started.as_deref().unwrap_or_default();
                let text = format!(
                    "run {} of {} was started by two workers, {started} and {worker}: its order was sent twice",
                    run.id,
                    run.fire.job.label()
                );
                self.bus.publish(Event::Notice { file: None, text, warning: true });
            }
            News::Started { .. } => progress.started = Some(worker),
            News::Asked { .. } | News::Running => {}
            News::Output { left_out, lines: printed } => {
                for (stream, line, left_out) in told(left_out, printed) {
                    lines.tell_or_count(stream, line, left_out).await;
                }
            }
            // Of an order that another has started: it has refused its copy.
            News::Ended(_) if is_other => {}
            News::Ended(ended) => return Some(Turn::Over(carried(&worker, &ended))),
            News::Returned if is_other => {
                // The one that has started it may be out of reach for a moment.
                progress.is_adrift = true;
                progress.heard = Instant::now();
            }
            News::Returned => return Some(Turn::Again),
        }
        None
    }

    fn lost(worker: &str) -> Carried {
        let reason = format!("nothing more was heard of the worker {worker}");
        let elsewhere = Some(Elsewhere { worker: worker.into(), duration: None });
        Carried { elsewhere, ..Carried::here(Outcome::Lost { reason }, None) }
    }
}

fn not_started(reason: &str) -> Carried {
    let outcome = Outcome::CouldNotStart { reason: reason.to_owned() };
    Carried::here(outcome, None)
}

fn dropped(by: &str) -> Carried {
    let carried = not_started(&format!("its order was dropped by {by}"));
    Carried { cause: Some(Cause::Discarded), ..carried }
}

fn is_up(standing: &watch::Receiver<Standing>) -> bool {
    matches!(*standing.borrow(), Standing::Up { .. } | Standing::Blocked { .. })
}
