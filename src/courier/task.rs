//! Celery tasks whose result is waited for, as the outcome of a run.
//!
//! Such a message does not go through the outbox: its run lives until there is a result, so that nothing is lost unseen, and
//! a message that is sent later could be answered to nobody.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::cause_of;
use super::reply::{Expected, Replies};
use crate::broker::{Delivery, Publish};
use crate::clock::Clock;
use crate::event::{Cause, Outcome, Run, RunId, Stream};
use crate::message::Message;
use crate::message::celery::{Reply, State};

/// Runs whose tasks are counted; more than that are waiting for another attempt only where something is very wrong.
const RUNS: usize = 10_000;

/// How long a result is waited for after the message has expired: a worker that finds it expired says so then.
const LINGER: Duration = Duration::from_secs(2);

/// What a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What its run prints.
    pub lines: Vec<(Stream, String)>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, where it failed.
    pub cause: Option<Cause>,
}

/// Has tasks carried out, and waits for their results.
pub struct Tasks {
    broker: Arc<dyn Publish>,
    replies: Replies,
    clock: Arc<dyn Clock>,
    /// How many tasks a run has started whose next attempt is still to come.
    started: Mutex<HashMap<RunId, u32>>,
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("replies", &self.replies).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Tasks that are started through `broker` and answered through `replies`.
    #[must_use]
    pub fn new(broker: Arc<dyn Publish>, replies: Replies, clock: Arc<dyn Clock>) -> Self {
        Tasks { broker, replies, clock, started: Mutex::default() }
    }

    /// The id of the message of a run's next task: that of the fire, and from the second task on its number.
    ///
    /// A message that was not confirmed started no task, as far as anybody knows: the next attempt has its id.
    #[must_use]
    pub fn message_id(&self, run: &Run, id: String) -> String {
        match self.started().get(&run.id) {
            Some(count) => format!("{id}:{}", count + 1),
            None => id,
        }
    }

    /// Sends the message of a run's attempt, and waits for the result of its task.
    pub async fn carry(&self, run: &Run, message: Message) -> Ending {
        let policy = run.fire.job.policy();
        let last = run.attempt > policy.retries;
        let mut is_started = false;
        let ending = self.send(message, policy.expires, || is_started = true).await;
        let mut started = self.started();
        if last || ending.outcome.is_success() {
            started.remove(&run.id);
        } else if is_started {
            if started.len() >= RUNS {
                started.clear();
            }
            *started.entry(run.id).or_default() += 1;
        }
        ending
    }

    /// Sends a message once, and waits for the result of its task until the message expires, or as long as `usual` where it
    /// does not.
    pub async fn call(&self, message: Message, usual: Duration) -> Ending {
        self.send(message, usual, || {}).await
    }

    /// The same; `confirmed` is called in between.
    async fn send(
        &self,
        mut message: Message,
        usual: Duration,
        confirmed: impl FnOnce(),
    ) -> Ending {
        let id = message.properties.correlation_id.clone().unwrap_or_default();
        let expected = match self.replies.expect(&id).await {
            Ok(expected) => expected,
            Err(reason) => return Ending::unsent(&Delivery::Away { reason }),
        };
        message.properties.reply_to = Some(expected.queue().to_owned());
        let expires = message.properties.expires;
        match self.broker.publish(Arc::new(message)).await {
            Delivery::Confirmed => confirmed(),
            delivery => return Ending::unsent(&delivery),
        }
        let left = expires.map_or(usual, |at| {
            Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default()
        });
        result(expected, left).await
    }

    fn started(&self) -> MutexGuard<'_, HashMap<RunId, u32>> {
        // Nothing is left half done by a panic: there is none.
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the result of a task whose message expires after `left`.
async fn result(mut expected: Expected, left: Duration) -> Ending {
    let answers = async {
        while let Some(answer) = expected.next().await {
            match Reply::read(&answer.body) {
                Ok(reply) if !reply.is_final() => {}
                Ok(reply) => return ending(&reply),
                Err(error) => return Ending::failed(Cause::Task, None, &error.to_string()),
            }
        }
        let words = "the connection to the broker broke: the result is lost, and the task may be carried out all the same";
        Ending::failed(Cause::ResultLost, None, words)
    };
    timeout(left.saturating_add(LINGER), answers).await.unwrap_or_else(|_| {
        let words = "no result came until the message expired: no worker is there, or the task takes longer";
        Ending::failed(Cause::NoResult, None, words)
    })
}

/// What a final answer means.
fn ending(reply: &Reply) -> Ending {
    match reply.state {
        State::Succeeded => {
            // A task that returns nothing prints nothing.
            let printed = Some(&reply.result).filter(|result| *result != "null");
            Ending {
                lines: printed.map(|line| (Stream::Stdout, line.clone())).into_iter().collect(),
                outcome: Outcome::Succeeded { exit: 0 },
                cause: None,
            }
        }
        State::Revoked => {
            let words = format!("the task was revoked: {}", reply.result);
            Ending::failed(Cause::Revoked, None, &words)
        }
        State::Failed | State::Pending => {
            let words = format!("the task failed: {}", reply.result);
            Ending::failed(Cause::Task, reply.traceback.as_deref(), &words)
        }
    }
}

impl Ending {
    /// The message was not confirmed.
    fn unsent(delivery: &Delivery) -> Self {
        let cause = cause_of(delivery).unwrap_or(Cause::Unconfirmed);
        Ending::failed(cause, None, &delivery.to_string())
    }

    /// What the program would print of it: where the task failed, and why there is no result.
    fn failed(cause: Cause, traceback: Option<&str>, words: &str) -> Self {
        let traceback = traceback.unwrap_or_default().trim_end().lines().map(str::to_owned);
        let words = format!("cronkeep: error: {words}");
        let lines = traceback.chain(std::iter::once(words));
        let lines = lines.map(|line| (Stream::Stderr, line)).collect();
        Ending { lines, outcome: Outcome::Failed { exit: 1 }, cause: Some(cause) }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::sync::{mpsc, watch};

    use super::*;
    use crate::broker::{Answer, Standing};
    use crate::clock::ManualClock;
    use crate::courier::reply::tests::{answer, replies};
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::event::{Fire, Trigger};
    use crate::job::JobTable;
    use crate::schedule::Zone;

    /// What a run comes to whose worker sends these answers, and then, if asked to, is lost.
    async fn ends(answers: &[&str], is_lost: bool, left: Duration) -> Ending {
        let (replies, mut queues) = replies();
        let expected = replies.expect("t").await.unwrap();
        let queue = queues.recv().await.unwrap();
        for text in answers {
            queue.send(answer("t", text)).unwrap();
        }
        let _kept = (!is_lost).then_some(queue);
        result(expected, left).await
    }

    async fn ends_so(answer: &str) -> Ending {
        ends(&[answer], false, Duration::from_secs(60)).await
    }

    fn lines(ending: &Ending) -> Vec<&str> {
        ending.lines.iter().map(|(_, line)| line.as_str()).collect()
    }

    #[tokio::test]
    async fn a_result_is_printed_and_none_is_not() {
        let ending = ends_so(r#"{"status": "SUCCESS", "result": {"a": 1}, "task_id": "t"}"#).await;
        assert_eq!(ending.outcome, Outcome::Succeeded { exit: 0 });
        assert_eq!(ending.lines, [(Stream::Stdout, r#"{"a":1}"#.to_owned())]);
        let ending = ends_so(r#"{"status": "SUCCESS", "result": null, "task_id": "t"}"#).await;
        assert_eq!((ending.outcome, ending.lines.len()), (Outcome::Succeeded { exit: 0 }, 0));
    }

    #[tokio::test]
    async fn a_failure_prints_its_traceback_and_the_exception() {
        let exception = r#""result": {"exc_type": "ValueError", "exc_message": ["a\nb"]}"#;
        let bare =
            format!(r#"{{"status": "FAILURE", {exception}, "task_id": "t", "traceback": null}}"#);
        let ending = ends_so(&bare).await;
        assert_eq!(lines(&ending), ["cronkeep: error: the task failed: ValueError: a\nb"]);
        let whole = bare.replace("null", r#""Traceback:\n  x\nValueError: a\nb\n""#);
        let ending = ends_so(&whole).await;
        assert_eq!(lines(&ending)[..4], ["Traceback:", "  x", "ValueError: a", "b"]);
        assert_eq!(lines(&ending).len(), 5);
        assert!(ending.lines.iter().all(|(stream, _)| *stream == Stream::Stderr));
        assert_eq!(
            (ending.outcome, ending.cause),
            (Outcome::Failed { exit: 1 }, Some(Cause::Task))
        );
    }

    #[tokio::test]
    async fn what_is_not_the_end_is_waited_past() {
        let states = ["STARTED", "RETRY", "SUCCESS"];
        let answers =
            states.map(|it| format!(r#"{{"status": "{it}", "result": 7, "task_id": "t"}}"#));
        let ending =
            ends(&answers.each_ref().map(String::as_str), false, Duration::from_secs(60)).await;
        assert_eq!(lines(&ending), ["7"]);
    }

    #[tokio::test]
    async fn a_revoked_task_a_lost_result_silence_and_nonsense_are_failures_in_words() {
        let revoked = r#"{"status": "REVOKED", "result": {"exc_type": "TaskRevokedError", "exc_message": ["expired"]}, "task_id": "t"}"#;
        let ending = ends_so(revoked).await;
        assert_eq!(ending.cause, Some(Cause::Revoked));
        assert_eq!(
            lines(&ending),
            ["cronkeep: error: the task was revoked: TaskRevokedError: expired"]
        );

        let ending = ends(&[], true, Duration::from_secs(60)).await;
        assert_eq!(ending.cause, Some(Cause::ResultLost));
        assert!(lines(&ending)[0].contains("the result is lost"));

        let ending = ends_so("[1]").await;
        assert_eq!(ending.cause, Some(Cause::Task));
        assert!(lines(&ending)[0].contains("cannot be read"));
    }

    /// A broker of which each message gets the next of these deliveries, and each that is confirmed is answered.
    struct Fake {
        deliveries: Mutex<Vec<Delivery>>,
        queue: mpsc::UnboundedSender<Message>,
        sent: Mutex<Vec<Message>>,
        status: &'static str,
    }

    impl Publish for Fake {
        fn publish(&self, message: Arc<Message>) -> Answer {
            let delivery = self.deliveries.lock().unwrap().remove(0);
            let id = message.properties.correlation_id.clone().unwrap();
            if delivery == Delivery::Confirmed {
                let status = self.status;
                let text = format!(r#"{{"status": "{status}", "result": 1, "task_id": "{id}"}}"#);
                self.queue.send(answer(&id, &text)).unwrap();
            }
            self.sent.lock().unwrap().push(Message::clone(&message));
            Box::pin(async { delivery })
        }

        fn standing(&self) -> watch::Receiver<Standing> {
            watch::channel(Standing::Unknown).1
        }
    }

    /// Tasks whose messages get these deliveries.
    async fn tasks(status: &'static str, deliveries: &[Delivery]) -> (Tasks, Arc<Fake>) {
        let (replies, mut queues) = replies();
        drop(replies.expect("first").await.unwrap());
        let (queue, sent) = (queues.recv().await.unwrap(), Mutex::default());
        let deliveries = Mutex::new(deliveries.to_vec());
        let fake = Arc::new(Fake { deliveries, queue, sent, status });
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        (Tasks::new(Arc::clone(&fake) as _, replies, clock), fake)
    }

    fn run(attempt: u32) -> Run {
        let bytes = b"# cronkeep: retries=3\n* * * * * x\n".to_vec();
        let source = Source { name: "test".into(), bytes, dialect: Dialect::user("root") };
        let (zone, now) = (Zone::utc(), Timestamp::UNIX_EPOCH);
        let (table, _, _) = JobTable::build(
            &[(&source, &parse(&source))],
            &zone,
            &Options::default(),
            &JobTable::default(),
            now,
        );
        let job = Arc::clone(&table.jobs()[0]);
        let due = job.next_after(now).unwrap();
        let fire = Fire { job, due, trigger: Trigger::Schedule, generation: 0 };
        Run { id: RunId::new(now, 1), fire, attempt }
    }

    fn away() -> Delivery {
        Delivery::Away { reason: "gone".to_owned() }
    }

    #[tokio::test]
    async fn a_message_says_where_its_answer_is_expected_and_the_answer_is_the_end() {
        let (tasks, fake) = tasks("SUCCESS", &[Delivery::Confirmed]).await;
        let ending = tasks.carry(&run(1), answer("t", "[]")).await;
        assert_eq!(ending.outcome, Outcome::Succeeded { exit: 0 });
        assert_eq!(lines(&ending), ["1"]);
        let sent = fake.sent.lock().unwrap();
        assert_eq!(sent[0].properties.reply_to.as_deref(), Some("queue-0"));
    }

    #[tokio::test]
    async fn what_is_not_confirmed_is_a_failure_with_that_reason() {
        let returned = Delivery::Returned { code: 312, text: "NO_ROUTE".to_owned() };
        let cases = [
            (returned, Cause::Returned),
            (Delivery::TimedOut, Cause::Unconfirmed),
            (Delivery::Nacked, Cause::Nacked),
            (away(), Cause::BrokerAway),
        ];
        for (delivery, cause) in cases {
            let words = format!("cronkeep: error: {delivery}");
            let (tasks, _) = tasks("SUCCESS", &[delivery]).await;
            let ending = tasks.carry(&run(1), answer("t", "[]")).await;
            assert_eq!(ending.outcome, Outcome::Failed { exit: 1 });
            assert_eq!((ending.cause, lines(&ending)), (Some(cause), vec![&*words]));
        }
    }

    #[tokio::test]
    async fn an_attempt_after_a_failed_task_starts_another_and_one_after_a_lost_message_the_same() {
        let deliveries = [away(), Delivery::Confirmed, away(), Delivery::Confirmed];
        let (tasks, _) = tasks("FAILURE", &deliveries).await;
        let mut ids = Vec::new();
        for attempt in 1..=4 {
            let run = run(attempt);
            ids.push(tasks.message_id(&run, "k:60".to_owned()));
            tasks.carry(&run, answer("t", "[]")).await;
        }
        assert_eq!(ids, ["k:60", "k:60", "k:60:2", "k:60:2"]);
        assert!(tasks.started().is_empty(), "nothing is kept after the last attempt");
    }

    #[tokio::test]
    async fn a_wait_ends_a_little_after_the_message_has_expired() {
        let begun = tokio::time::Instant::now();
        let ending = ends(&[], false, Duration::ZERO).await;
        assert_eq!(ending.cause, Some(Cause::NoResult));
        assert!(begun.elapsed() >= LINGER);
        assert!(lines(&ending)[0].contains("no result came"));
    }
}
