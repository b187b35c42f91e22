//! Entries whose command is `cronkeep publish`: their messages go through the daemon's outbox.
//!
//! Taken are those that mean the same as running the program: their users may use the daemon's connection, the command needs
//! no more of a shell than quoting, and no setting names another broker. The run lives until the outbox knows what the
//! broker says of the message, [`CONFIRM`] at most. What has failed by then stays in the outbox, and is sent again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Permission;
use super::task::{Ending, Tasks};
use crate::broker::Delivery;
use crate::clock::Clock;
use crate::crontab::directive::Await;
use crate::event::{Cause, Outcome, Run, Stream};
use crate::executor::occasion::{brief, occasion};
use crate::executor::{Carried, Lines};
use crate::job::{Job, Policy};
use crate::message::{
    Arguments, Message, Occasion, compose_own, is_publish, is_publish_here, publish_words,
};
use crate::outbox::{Letter, Outbox, Refused};
use crate::store::{self, StoreError};

/// How long a run waits for what becomes of its message.
pub const CONFIRM: Duration = Duration::from_secs(30);

/// How long the store may take to say what the Python service would publish.
const SEED: Duration = Duration::from_secs(5);

/// The settings that name another broker than the daemon's.
const ELSEWHERE: [&str; 2] = ["CRONKEEP_AMQP", "CRONKEEP_AMQP_FILE"];

/// Publishes messages.
#[derive(Clone)]
pub struct Publishing {
    /// Where they are kept, and sent.
    pub outbox: Outbox,
    /// Celery tasks whose result is waited for.
    pub tasks: Arc<Tasks>,
    /// What the Python service shares with us.
    pub store: store::Handle,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Whose messages.
    pub permission: Permission,
    /// The name of this host.
    pub host: Arc<str>,
}

impl std::fmt::Debug for Publishing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publishing").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Why no message was handed over, as the program would tell: words, exit code, cause.
struct Failure {
    text: String,
    exit: u8,
    cause: Option<Cause>,
}

/// What is to be done for a run.
enum Prepared {
    /// This is to be sent.
    Letter(Box<Letter>),
    /// Its body is to be asked for first.
    Seeded(Box<Arguments>),
    /// This task is to be sent, and its result waited for.
    Awaited(Box<Message>),
}

impl Failure {
    fn new(text: impl std::fmt::Display, cause: Option<Cause>) -> Self {
        Failure { text: format!("cronkeep: error: {text}"), exit: 1, cause }
    }
}

impl Publishing {
    /// Whether the runs of a job are messages to be published here.
    pub(super) fn takes(&self, job: &Job) -> bool {
        is_taken(job, &self.permission)
    }

    /// Carries an attempt out.
    pub(super) async fn carry(&self, run: &Run, lines: &Lines) -> Carried {
        // Before anything is waited for: what a run holds while it waits is little so, and a burst has many of them.
        let sent = match self.prepared(run) {
            Ok(Prepared::Letter(letter)) => self.send(letter).await,
            // Apart: what they need is much, and few runs'.
            Ok(Prepared::Seeded(arguments)) => Box::pin(self.send_seed(run, *arguments)).await,
            Ok(Prepared::Awaited(message)) => {
                return Box::pin(self.wait(run, *message, lines)).await;
            }
            Err(failure) => Err(failure),
        };
        let failure = match sent {
            Ok(Delivery::Confirmed) => {
                let outcome = Outcome::Succeeded { exit: 0 };
                return Carried::here(outcome, None);
            }
            Ok(delivery) => Failure::new(words_of(&delivery), cause_of(&delivery)),
            Err(failure) => failure,
        };
        lines.tell(Stream::Stderr, failure.text.trim_end()).await;
        let outcome = Outcome::Failed { exit: failure.exit };
        Carried::here(outcome, failure.cause)
    }

    /// Sends a task, and waits for its result.
    async fn wait(&self, run: &Run, message: Message, lines: &Lines) -> Carried {
        let Ending { lines: printed, outcome, cause } = self.tasks.carry(run, message).await;
        for (stream, line) in printed {
            lines.tell(stream, line).await;
        }
        Carried::here(outcome, cause)
    }

    /// What the command of a run asks for, as far as nothing is to be waited for.
    fn prepared(&self, run: &Run) -> Result<Prepared, Failure> {
        let arguments = arguments_of(run)?;
        let job = &*run.fire.job;
        let input = job.action.stdin().map_or(&[][..], |text| text.as_bytes());
        let body = arguments.body(input);
        // Events and tasks mean something without one.
        if body.is_none() && !arguments.json && arguments.celery.is_none() {
            return Ok(Prepared::Seeded(Box::new(arguments)));
        }
        let message = self.message_of(run, &arguments, body)?;
        Ok(if arguments.wait {
            Prepared::Awaited(Box::new(message))
        } else {
            Prepared::Letter(self.letter_of(run, message))
        })
    }

    /// Hands the message of a run to the outbox, and waits for what becomes of it.
    async fn send(&self, letter: Box<Letter>) -> Result<Delivery, Failure> {
        let expires = letter.expires;
        let fate = self.outbox.accept(letter).await.map_err(|refused| {
            let cause = match refused {
                Refused::Stopping => Cause::Shutdown,
                _ => Cause::NotKept,
            };
            Failure::new(refused, Some(cause))
        })?;
        Ok(settled(fate.next(CONFIRM).await, expires, self.clock.now()))
    }

    /// As [`send`](Publishing::send), of a message whose body the Python service has.
    async fn send_seed(&self, run: &Run, arguments: Arguments) -> Result<Delivery, Failure> {
        let body = self.seed_body(&run.fire.job).await?;
        let message = self.message_of(run, &arguments, Some(body))?;
        self.send(self.letter_of(run, message)).await
    }

    /// The message of a run, as it is handed to the outbox.
    fn letter_of(&self, run: &Run, message: Message) -> Box<Letter> {
        let job = &*run.fire.job;
        let now = self.clock.now();
        let kept = now.saturating_add(job.policy().expires).unwrap_or(Timestamp::MAX);
        let expires = message.properties.expires.unwrap_or(kept);
        let job = Some((job.key, job.label().into()));
        Box::new(Letter { expires, message, job, run: Some(run.id) })
    }

    /// The message of a run.
    fn message_of(
        &self,
        run: &Run,
        arguments: &Arguments,
        body: Option<Vec<u8>>,
    ) -> Result<Message, Failure> {
        let is_plain = !arguments.json && arguments.celery.is_none();
        let mut occasion = self.occasion(run, is_plain);
        if arguments.wait {
            occasion.id = self.tasks.message_id(run, occasion.id);
        }
        compose_own(arguments, occasion, body).map_err(|error| Failure::new(error, None))
    }

    /// What the Python service would publish.
    async fn seed_body(&self, job: &Job) -> Result<Vec<u8>, Failure> {
        let id = job.key.id;
        match self.store.seed_body(id, SEED).await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => {
                let text = format!(
                    "there is no body: none is given, and crond_service_schedule has none for {id}"
                );
                Err(Failure::new(text, Some(Cause::NoBody)))
            }
            Err(error @ StoreError::Refused(_)) => {
                let text = format!("there is no body: none is given, and {error}");
                Err(Failure::new(text, Some(Cause::NoBody)))
            }
            Err(error) => {
                let text = format!("there is no body: the store does not tell: {error}");
                Err(Failure::new(text, Some(Cause::NoBody)))
            }
        }
    }

    /// What the message of a run tells of.
    fn occasion(&self, run: &Run, is_plain: bool) -> Occasion {
        let of_run = if is_plain { brief } else { occasion };
        let expires = run.fire.job.policy().expires;
        Occasion {
            // The usual one bounds how long it is sent, not how long it may wait in a queue.
            expires: (expires != Policy::default().expires).then_some(expires),
            ..of_run(run, &self.host, self.clock.now())
        }
    }
}

/// What the command of a run asks for; the option `result` may ask for more.
fn arguments_of(run: &Run) -> Result<Arguments, Failure> {
    let job = &*run.fire.job;
    let words = publish_words(job.action.command().as_bytes()).unwrap_or_default();
    let mut arguments = Arguments::of_words(&words).map_err(|usage| Failure {
        text: usage.to_string(),
        exit: 2,
        cause: None,
    })?;
    arguments.wait |= arguments.celery.is_some() && job.policy().result == Await::Wait;
    Ok(arguments)
}

/// Whether a job's command means the same in-process, for a user who may publish so.
fn is_taken(job: &Job, permission: &Permission) -> bool {
    let command = job.action.command().as_bytes();
    // In this order: nearly all commands are no publish.
    is_publish(command)
        && permission.is_given(job.user().as_bytes())
        && !ELSEWHERE.iter().any(|name| job.settings().get(name).is_some())
        && is_publish_here(command)
}

/// What became of a message of which this much was known by now: what has expired is not sent again, whatever its last try
/// may come to.
#[must_use]
pub fn settled(delivery: Delivery, expires: Timestamp, now: Timestamp) -> Delivery {
    if delivery == Delivery::Confirmed || delivery.is_given_up() || now < expires {
        return delivery;
    }
    Delivery::Expired { reason: delivery.to_string() }
}

/// What became of a message, and what will, in words.
#[must_use]
pub fn words_of(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Confirmed
        | Delivery::Expired { .. }
        | Delivery::Dropped { .. }
        | Delivery::Discarded { .. } => delivery.to_string(),
        Delivery::Stopped => format!("{delivery}; it is kept, and sent after the next start"),
        _ => format!("{delivery}; it is kept, and sent again"),
    }
}

/// Why a message was not confirmed, as the cause of its run's end; none if it was.
#[must_use]
pub fn cause_of(delivery: &Delivery) -> Option<Cause> {
    Some(match delivery {
        Delivery::Confirmed => return None,
        Delivery::Returned { .. } => Cause::Returned,
        Delivery::NoExchange { .. } => Cause::NoExchange,
        Delivery::Forbidden { .. } => Cause::Forbidden,
        Delivery::Nacked => Cause::Nacked,
        Delivery::TimedOut => Cause::Unconfirmed,
        Delivery::Blocked { .. } => Cause::Blocked,
        Delivery::Away { .. } => Cause::BrokerAway,
        Delivery::Stopped => Cause::Shutdown,
        Delivery::Expired { .. } => Cause::Expired,
        Delivery::Dropped { .. } => Cause::Dropped,
        Delivery::Discarded { .. } => Cause::Discarded,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::job::JobTable;
    use crate::schedule::Zone;
    use crate::unix::Account;

    fn taken(crontab: &str) -> Vec<bool> {
        let source =
            Source { name: "tab".into(), bytes: crontab.into(), dialect: Dialect::system() };
        let crontab = parse(&source);
        let (zone, options, none) = (Zone::utc(), Options::default(), JobTable::default());
        let pairs = [(&source, &crontab)];
        let now = Timestamp::UNIX_EPOCH;
        let (table, ..) = JobTable::build(&pairs, &zone, &options, &none, now);
        let account = Account { uid: 0, name: "root".to_owned(), ..Account::current() };
        let permission = Permission::new(account, vec!["alice".to_owned()]);
        table.jobs().iter().map(|job| is_taken(job, &permission)).collect()
    }

    #[test]
    fn what_means_the_same_in_process_is_taken_for_those_who_may() {
        let yes = "* * * * * root cronkeep publish e k%body\n\
                   * * * * * root /usr/bin/cronkeep publish '' 'q q' \"x\"\n\
                   * * * * * alice cronkeep publish e k x\n\
                   CRONKEEP_TIMEOUT=5s\n* * * * * root cronkeep publish e k x\n";
        assert_eq!(taken(yes), [true; 4]);
        let no = "* * * * * bob cronkeep publish e k x\n\
                  * * * * * root true\n\
                  * * * * * root cronkeep publish e k $HOME\n\
                  * * * * * root cronkeep publish e k x && true\n\
                  * * * * * root cronkeep publish --amqp amqp://h e k x\n\
                  CRONKEEP_AMQP=amqp://h\n* * * * * root cronkeep publish e k x\n\
                  CRONKEEP_AMQP=\nCRONKEEP_AMQP_FILE=/x\n* * * * * root cronkeep publish e k x\n";
        assert_eq!(taken(no), [false; 7]);
        let again =
            "CRONKEEP_AMQP=amqp://h\nCRONKEEP_AMQP=\n* * * * * root cronkeep publish e k x\n";
        assert_eq!(taken(again), [true], "none is named any more");
    }

    #[test]
    fn what_has_expired_by_the_time_of_the_answer_is_not_said_to_be_kept() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + Duration::from_secs(1);
        assert_eq!(settled(Delivery::TimedOut, later, now), Delivery::TimedOut);
        assert_eq!(settled(Delivery::Confirmed, now, later), Delivery::Confirmed);
        let expired = settled(Delivery::TimedOut, now, later);
        assert_eq!(
            words_of(&expired),
            "the message expired, and was dropped: not confirmed in time"
        );
        assert_eq!(settled(expired.clone(), now, later), expired, "it is said once");
    }

    #[test]
    fn each_way_in_which_a_message_fails_has_a_cause_of_its_own() {
        let text = || "x".to_owned();
        let deliveries = [
            Delivery::Returned { code: 312, text: text() },
            Delivery::NoExchange { text: text() },
            Delivery::Forbidden { text: text() },
            Delivery::Nacked,
            Delivery::TimedOut,
            Delivery::Blocked { reason: text() },
            Delivery::Away { reason: text() },
            Delivery::Stopped,
            Delivery::Expired { reason: text() },
            Delivery::Dropped { reason: text() },
            Delivery::Discarded { by: text() },
        ];
        let causes: Vec<_> =
            deliveries.iter().filter_map(cause_of).map(|it| it.to_string()).collect();
        assert_eq!(causes.len(), deliveries.len());
        let distinct: std::collections::HashSet<_> = causes.iter().collect();
        assert_eq!(distinct.len(), causes.len(), "{causes:?}");
        assert_eq!(cause_of(&Delivery::Confirmed), None);
        for one in &deliveries {
            let is_kept = words_of(one).contains("; it is kept, and sent a");
            assert_ne!(is_kept, one.is_given_up(), "{one}");
        }
    }
}
