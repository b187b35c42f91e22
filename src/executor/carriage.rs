//! Runs that a [`Courier`] carries out, without a process here: begun, told, ended.
//!
//! To all else they are runs like any other. What differs is their end: there is nothing to signal, so that whoever carries
//! one out is dropped, at once. Its outcome is then [`Outcome::TimedOut`] without a code where it took too long; else
//! [`Outcome::Killed`] by TERM where a worker has it, that ends it so, and [`Outcome::Failed`] with the code 1 where nothing is
//! killed; with the cause. One that panics ends as a program that does: with
//! the code 101, and its words on descriptor 2. Without the daemon they do not live on.

use std::any::Any;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::courier::{Carried, Carrying, Courier, Elsewhere, Lines};
use super::life::{Finish, judged};
use super::mail::Mailer;
use super::output::{Bounds, Relay};
use super::shell::Base;
use super::start::Report;
use super::ticket::Ticket;
use super::told::Untold;
use super::{Core, courier};
use crate::crontab::directive::{Executor, Output};
use crate::event::{Bus, Cause, Ended, Event, Outcome, Run, RunId, Started, Stream};
use crate::job::Job;

/// The exit code of a program that panics.
const PANICKED: u8 = 101;

/// Why a run that is meant for a worker does not start where there is no broker.
const NO_BROKER: &str = "it is for a worker, and there is no broker to send it through (--amqp)";

/// An attempt that is being carried out.
#[derive(Debug)]
pub(super) struct Carriage {
    run: Arc<Run>,
    /// Elapsed time at its start.
    since: Duration,
    /// Comes to its attendance, which then drops whatever carries it out.
    ended: oneshot::Sender<Ended>,
}

impl Core {
    /// Whether the runs of a job are carried out without a process here.
    pub(super) fn is_carried(&self, job: &Job) -> bool {
        self.courier.as_ref().is_some_and(|courier| courier.takes(job))
    }

    /// Has a start made, unless it was given up meanwhile: by a thread that starts children, or without one.
    pub(super) fn make(&mut self, ticket: Arc<Ticket>) {
        match &self.courier {
            Some(courier) if ticket.is_carried(&**courier) => {
                let courier = Arc::clone(courier);
                self.carry(courier, &ticket);
            }
            // What is meant for a worker is never run here for want of one.
            _ if is_for_worker(&ticket.run().fire.job) => {
                if ticket.go() && self.starts.withdraw(&ticket) {
                    self.made(ticket.number);
                    self.not_started(Arc::clone(ticket.run()), NO_BROKER.to_owned());
                }
            }
            _ => self.starts.submit(ticket),
        }
    }

    /// Has an attempt carried out.
    fn carry(&mut self, courier: Arc<dyn Courier>, ticket: &Ticket) {
        // One that was given up is reported.
        if !ticket.go() || !self.starts.withdraw(ticket) {
            return;
        }
        self.made(ticket.number);
        let run = ticket.run();
        let since = self.clock.monotonic();
        let started =
            Started { run: Arc::clone(run), pid: None, since: None, at: self.clock.now() };
        self.bus.publish(Event::RunStarted(started.clone()));
        self.lives(&started);
        let (ended, told) = oneshot::channel();
        let mailer = self.starts.mailer();
        let is_heard = run.fire.job.policy().output == Output::Log;
        let attendance = Attendance {
            run: Arc::clone(run),
            bus: self.bus.clone(),
            courier,
            reports: self.starts.reports(),
            is_heard,
            mail: (is_heard && mailer.is_on())
                .then(|| (mailer, self.starts.starter().base_of(run))),
            ended: told,
            untold: self.untold(run),
        };
        // Boxed: on its way to the runtime it would be copied again and again.
        tokio::spawn(Box::pin(attendance.attend()));
        self.carried.insert(run.id, Carriage { run: Arc::clone(run), since, ended });
    }

    /// An attempt was carried out, and this came of it; nothing if it was ended meanwhile. Where it `is_quiet` its attendance is
    /// over: nothing was printed, and its end is told here.
    pub(super) fn carried_out(
        &mut self,
        id: RunId,
        attempt: u32,
        carried: Carried,
        is_quiet: bool,
    ) {
        if self.carried.get(&id).is_none_or(|carriage| carriage.run.attempt != attempt) {
            return;
        }
        let Some(carriage) = self.carried.remove(&id) else { return };
        let Carried { outcome, cause, usage, elsewhere } = carried;
        let outcome = match outcome {
            Outcome::Succeeded { exit } | Outcome::Failed { exit } => judged(&carriage.run, exit),
            other => other,
        };
        let carried = Carried { outcome, cause, usage, elsewhere };
        let Carriage { run, since, ended } = carriage;
        self.unload(run, since, carried, (!is_quiet).then_some(ended));
    }

    /// Ends an attempt that is being carried out, as its time-out does (no `cause`) or for this cause; false if there is
    /// none.
    pub(super) fn end_carried(&mut self, id: RunId, cause: Option<Cause>) -> bool {
        let Some(carriage) = self.carried.remove(&id) else { return false };
        let outcome = match cause {
            // It is ended there as it would be here.
            Some(_) if is_for_worker(&carriage.run.fire.job) => {
                Outcome::Killed { signal: Signal::SIGTERM as i32 }
            }
            Some(_) => Outcome::Failed { exit: 1 },
            None => Outcome::TimedOut { exit: None, signal: None },
        };
        let Carriage { run, since, ended } = carriage;
        self.unload(run, since, Carried::here(outcome, cause), Some(ended));
        true
    }

    /// The attendance of an attempt has gone before its end.
    pub(super) fn carriage_lost(&mut self, id: RunId) {
        if let Some(Carriage { run, since, ended }) = self.carried.remove(&id) {
            let carried = Carried::here(Outcome::Failed { exit: PANICKED }, None);
            self.unload(run, since, carried, Some(ended));
        }
    }

    /// Ends every attempt that is being carried out, since the daemon ends.
    pub(super) fn end_all_carried(&mut self) {
        let mut carried: Vec<RunId> = self.carried.keys().copied().collect();
        carried.sort_unstable();
        for id in carried {
            self.end_carried(id, Some(Cause::Shutdown));
        }
    }

    /// The runs that are alive and have a process here, or are about to have one.
    pub(super) fn with_processes(&self) -> Vec<RunId> {
        self.lives.keys().copied().filter(|id| !self.carried.contains_key(id)).collect()
    }

    fn unload(
        &mut self,
        run: Arc<Run>,
        since: Duration,
        carried: Carried,
        attendance: Option<oneshot::Sender<Ended>>,
    ) {
        let Carried { outcome, cause, usage, elsewhere } = carried;
        let (worker, measured) =
            elsewhere.map(|Elsewhere { worker, duration }| (worker, duration)).unzip();
        let duration =
            measured.flatten().unwrap_or_else(|| self.clock.monotonic().saturating_sub(since));
        let how = Finish::Carried(outcome, cause, worker);
        self.finish(run, how, (duration, usage), attendance);
    }
}

/// What attends an attempt to its end, as [`Attendant`](super::attend::Attendant) does a process.
struct Attendance<F> {
    run: Arc<Run>,
    bus: Bus,
    courier: Arc<dyn Courier>,
    reports: mpsc::UnboundedSender<Report>,
    /// Whether anybody wants to know what it prints.
    is_heard: bool,
    /// What sends mails, and what those about this run need; none where mail is off.
    mail: Option<(Arc<Mailer>, F)>,
    /// Comes when the attempt has ended.
    ended: oneshot::Receiver<Ended>,
    /// Used up when the end was told.
    untold: Untold,
}

impl<F: FnOnce() -> Option<Base> + Send + 'static> Attendance<F> {
    /// Has the attempt carried out, tells what it prints, then its end. Where nothing was printed there is nothing to wait for
    /// between what came of it and that: the end is left to the executor.
    async fn attend(self) {
        let Attendance { run, bus, courier, reports, is_heard, mail, mut ended, untold } = self;
        let mut relay =
            Relay::new(Arc::clone(&run), bus.clone(), Bounds::default(), mail.is_some());
        let (way, lines) = Lines::new();
        let (over, last) = oneshot::channel();
        let end = {
            let mut telling = pin!(tell(&mut relay, lines, last, is_heard));
            let mut carrying = Some(carry(Arc::clone(&courier), Arc::clone(&run), way));
            // Whether anything was told, once all lines were taken.
            let mut told = None;
            let end = loop {
                tokio::select! {
                    end = &mut ended => break end,
                    carried = done(&mut carrying) => {
                        // What it holds is given back before its end is told.
                        carrying = None;
                        if told.is_none() {
                            told = at_once(telling.as_mut()).await;
                        }
                        if told == Some(false) {
                            // From here on the executor tells an end of its own, too.
                            ended.close();
                            if let Ok(end) = ended.try_recv() {
                                break Ok(end);
                            }
                            untold.leave();
                            let _ = reports.send(Report::Carried(run.id, run.attempt, carried, true));
                            return;
                        }
                        // Without an executor its end is nobody's business.
                        let _ = reports.send(Report::Carried(run.id, run.attempt, carried, false));
                    }
                    is_told = &mut telling, if told.is_none() => told = Some(is_told),
                }
            };
            if let (Some(_), Ok(end)) = (&carrying, &end) {
                courier.ended(end);
            }
            drop(carrying);
            drop(over);
            if told.is_none() {
                telling.await;
            }
            end
        };
        // Without an end the executor has stopped.
        let Ok(end) = end else { return };
        relay.finish().await;
        if let Some((mailer, base)) = mail.filter(|_| !relay.kept().is_empty())
            && let Ok(Some(base)) = spawn_blocking(base).await
        {
            mailer.mail(&run, &base, relay.kept(), &end.outcome);
        }
        let cause = end.cause;
        bus.publish(Event::RunEnded(end));
        untold.told(cause);
    }
}

/// Whether a job's runs are for a worker to carry out.
pub(super) fn is_for_worker(job: &Job) -> bool {
    matches!(job.policy().executor, Executor::Worker(_))
}

/// Begins to carry an attempt out; a panic is an outcome.
fn carry(courier: Arc<dyn Courier>, run: Arc<Run>, lines: Lines) -> Carrying {
    Box::pin(async move {
        let begin = AssertUnwindSafe(|| courier.carry(run, lines.clone()));
        let panic = match catch_unwind(begin) {
            Err(panic) => panic,
            Ok(mut carrying) => {
                let done = poll_fn(|context| {
                    let polled = catch_unwind(AssertUnwindSafe(|| carrying.as_mut().poll(context)));
                    match polled {
                        Ok(polled) => polled.map(Ok),
                        Err(panic) => Poll::Ready(Err(panic)),
                    }
                });
                match done.await {
                    Ok(carried) => return carried,
                    Err(panic) => panic,
                }
            }
        };
        let words = format!("panicked: {}", words_of(&*panic));
        lines.tell(Stream::Stderr, words).await;
        let outcome = Outcome::Failed { exit: PANICKED };
        Carried::here(outcome, None)
    })
}

/// What comes of it, once something does; never where nothing is carried out any more.
async fn done(carrying: &mut Option<Carrying>) -> Carried {
    match carrying {
        Some(carrying) => carrying.await,
        None => pending().await,
    }
}

/// What a future gives if it need not wait.
async fn at_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Tells lines as they come, until nobody can tell any more, or it is the `last` moment: then those that wait. Whether any was
/// told.
async fn tell(
    relay: &mut Relay,
    mut way: oneshot::Receiver<mpsc::Receiver<courier::Handed>>,
    mut last: oneshot::Receiver<()>,
    is_heard: bool,
) -> bool {
    let (mut closed, mut is_told) = (false, false);
    let opened = tokio::select! {
        opened = &mut way => opened.ok(),
        _ = &mut last => {
            closed = true;
            way.try_recv().ok()
        }
    };
    let Some(mut lines) = opened else { return false };
    if closed {
        lines.close();
    }
    loop {
        tokio::select! {
            _ = &mut last, if !closed => {
                lines.close();
                closed = true;
            }
            line = lines.recv() => match line {
                Some(line) if is_heard => {
                    relay.tell(line.0, &line.1, line.2).await;
                    is_told = true;
                }
                Some(_) => {}
                None => return is_told,
            },
        }
    }
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
