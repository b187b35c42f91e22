//! What the environment says a message is about.

use std::hash::{BuildHasher as _, RandomState};

use jiff::Timestamp;

use crate::args::PublishArgs;
use crate::clock::{Clock as _, SystemClock};
use crate::control::publish::Attempt;
use crate::event::RunId;
use crate::message::arguments::LONGEST;
use crate::message::{Arguments, Occasion, part_id};
use crate::unix::identity::hostname;

/// The variables that a publish looks at, as far as they have a value.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    amqp: Option<String>,
    has_file: bool,
    message: Option<String>,
    fire: Option<String>,
    run: Option<RunId>,
    job_id: Option<String>,
    job_name: Option<String>,
    scheduled_at: Option<String>,
    attempt: Option<u32>,
}

/// What tells a message from those of the same fire that are alike.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    /// Its number, from 1: another try gives it the same id.
    Nth(u32),
    /// Its id is one that nothing else has.
    Own,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        Surroundings::new(|name| std::env::var(name).ok())
    }

    fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let job_id = variable("CRONKEEP_JOB_ID");
        // A job without a name is called by the digits of its id.
        let digits = job_id.as_deref().and_then(|id| id.rsplit('-').next());
        let is_name = |name: &String| name.split('#').next() != digits;
        Surroundings {
            amqp: variable("CRONKEEP_AMQP"),
            has_file: variable("CRONKEEP_AMQP_FILE").is_some(),
            message: variable("CRONKEEP_MESSAGE_ID").filter(|id| id.len() <= LONGEST),
            fire: variable("CRONKEEP_FIRE_ID").filter(|id| id.len() <= LONGEST / 2),
            run: variable("CRONKEEP_RUN_ID").and_then(|run| run.parse().ok()),
            job_name: variable("CRONKEEP_JOB_NAME").filter(is_name),
            job_id,
            scheduled_at: variable("CRONKEEP_SCHEDULED_AT")
                .filter(|at| at.parse::<Timestamp>().is_ok()),
            attempt: variable("CRONKEEP_ATTEMPT").and_then(|attempt| attempt.parse().ok()),
        }
    }

    /// The broker's URLs, as they are given.
    pub(super) fn amqp<'a>(&'a self, args: &'a PublishArgs) -> Option<&'a str> {
        args.amqp.as_deref().or(self.amqp.as_deref())
    }

    /// Whether the broker that is named is not the daemon's: it is on the command line, or among the settings of an entry,
    /// since the daemon's own never reaches its jobs.
    pub(super) fn is_for_another_broker(&self, args: &PublishArgs) -> bool {
        args.amqp.is_some() || (self.run.is_some() && (self.amqp.is_some() || self.has_file))
    }

    /// The try of a run that publishes, where its messages have ids that are made of their content.
    pub(super) fn attempt(&self) -> Option<Attempt> {
        let is_one_of_several = self.message.is_none() && self.fire.is_some();
        let run = self.run.filter(|_| is_one_of_several)?;
        Some(Attempt { run: run.to_string(), number: self.attempt.unwrap_or(1) })
    }

    /// What a message of `user` is about: the fire, where a daemon of ours started us for one.
    pub(super) fn occasion(
        &self,
        user: &str,
        arguments: &Arguments,
        body: Option<&[u8]>,
        which: Which,
    ) -> Occasion {
        let now = SystemClock.now();
        let fresh = fresh_id(now).to_string();
        let which = match which {
            Which::Nth(1) => None,
            Which::Nth(number) => Some(number.to_string()),
            Which::Own => Some(fresh.clone()),
        };
        let of_fire = || Some(part_id(self.fire.as_deref()?, arguments, body, which.as_deref()));
        let id = self.message.clone().or_else(of_fire).unwrap_or_else(|| fresh.clone());
        Occasion {
            run: self.run.map_or(fresh, |run| run.to_string()),
            job_id: self.job_id.clone(),
            job_name: self.job_name.clone(),
            scheduled_at: self.scheduled_at.clone(),
            attempt: self.attempt,
            user: Some(user.to_owned()),
            ..Occasion::new(id, hostname(), now)
        }
    }
}

/// An id that nothing else has: a command may publish any number of messages.
fn fresh_id(now: Timestamp) -> RunId {
    let half =
        |which: u8| u128::from(RandomState::new().hash_one((now, std::process::id(), which)));
    RunId::new(now, half(0) << 64 | half(1))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: PublishArgs,
    }

    fn args(words: &str) -> PublishArgs {
        Program::parse_from(words.split(' ')).args
    }

    fn with(variables: &[(&str, &str)]) -> Surroundings {
        Surroundings::new(|name| {
            let found = variables.iter().find(|(have, _)| *have == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    const RUN: (&str, &str) = ("CRONKEEP_RUN_ID", "01K9ZD3F6YQ6B2N9R5T8W1X4VA");

    #[test]
    fn a_publish_that_a_daemon_started_tells_of_its_fire() {
        let occasion = with(&[
            RUN,
            ("CRONKEEP_MESSAGE_ID", "crondServiceTask-00112233445566ff#2:1795162680"),
            ("CRONKEEP_JOB_ID", "crondServiceTask-00112233445566ff"),
            ("CRONKEEP_JOB_NAME", "nightly"),
            ("CRONKEEP_SCHEDULED_AT", "2026-11-20T11:38:00+02:00"),
            ("CRONKEEP_ATTEMPT", "2"),
        ])
        .occasion("alice", &args("x e k").message, None, Which::Nth(1));
        assert_eq!(occasion.id, "crondServiceTask-00112233445566ff#2:1795162680");
        assert_eq!(occasion.run, RUN.1);
        assert_eq!(occasion.job_id.as_deref(), Some("crondServiceTask-00112233445566ff"));
        assert_eq!(occasion.job_name.as_deref(), Some("nightly"));
        assert_eq!(occasion.scheduled_at.as_deref(), Some("2026-11-20T11:38:00+02:00"));
        assert_eq!((occasion.attempt, occasion.user.as_deref()), (Some(2), Some("alice")));
    }

    #[test]
    fn digits_are_no_name() {
        let name = |name: &str| {
            let id = ("CRONKEEP_JOB_ID", "crondServiceTask-00112233445566ff");
            let surroundings = with(&[id, ("CRONKEEP_JOB_NAME", name)]);
            surroundings.occasion("a", &args("x e k").message, None, Which::Nth(1)).job_name
        };
        assert_eq!(name("00112233445566ff"), None);
        assert_eq!(name("00112233445566ff#2"), None);
        assert_eq!(name("00112233445566fe").as_deref(), Some("00112233445566fe"));
    }

    #[test]
    fn several_messages_of_one_command_have_ids_of_their_own() {
        let of = |surroundings: &Surroundings, body: &str, number| {
            let which = if number == 0 { Which::Own } else { Which::Nth(number) };
            surroundings.occasion("a", &args("x e k").message, Some(body.as_bytes()), which)
        };
        let fire = ("CRONKEEP_FIRE_ID", "crondServiceTask-00112233445566ff:60");
        let surroundings = with(&[RUN, fire, ("CRONKEEP_ATTEMPT", "2")]);
        let (one, other) = (of(&surroundings, "x", 1), of(&surroundings, "y", 1));
        assert_ne!(one.id, other.id);
        assert_eq!((one.run.as_str(), other.run.as_str()), (RUN.1, RUN.1));
        assert!(one.id.starts_with(fire.1), "{}", one.id);
        assert_eq!(one.id, of(&surroundings, "x", 1).id, "at each try of the run");
        assert_ne!(one.id, of(&surroundings, "x", 2).id);
        let own = || of(&surroundings, "x", 0).id;
        assert!(own().starts_with(&one.id) && own() != own(), "{}", own());
        let attempt = Attempt { run: RUN.1.to_owned(), number: 2 };
        assert_eq!(surroundings.attempt(), Some(attempt));
        // One message has the id that the daemon gives it.
        let sole = with(&[RUN, fire, ("CRONKEEP_MESSAGE_ID", "k:60")]);
        assert_eq!((of(&sole, "x", 1).id.as_str(), sole.attempt()), ("k:60", None));
        let alone = of(&with(&[]), "x", 1);
        assert_eq!((&alone.run, with(&[]).attempt()), (&alone.id, None));
        assert_ne!(alone.id, of(&with(&[]), "x", 1).id);
        assert!(alone.id.parse::<RunId>().is_ok());
    }

    #[test]
    fn what_is_no_value_is_not_passed_on() {
        let long = "x".repeat(256);
        let occasion = with(&[
            ("CRONKEEP_MESSAGE_ID", &long),
            ("CRONKEEP_RUN_ID", "x"),
            ("CRONKEEP_JOB_ID", ""),
            ("CRONKEEP_SCHEDULED_AT", "soon"),
            ("CRONKEEP_ATTEMPT", "first"),
        ])
        .occasion("a", &args("x e k").message, None, Which::Nth(1));
        assert!(occasion.id.parse::<RunId>().is_ok() && occasion.run == occasion.id);
        assert_eq!((occasion.job_id, occasion.scheduled_at, occasion.attempt), (None, None, None));
    }

    #[test]
    fn a_broker_that_is_named_for_one_entry_is_not_the_daemons() {
        let (plain, named) = (args("x e k"), args("x --amqp amqp://a e k"));
        let amqp = ("CRONKEEP_AMQP", "amqp://b");
        assert!(!with(&[amqp]).is_for_another_broker(&plain), "the daemon's own, in a container");
        assert!(with(&[amqp, RUN]).is_for_another_broker(&plain));
        assert!(with(&[RUN, ("CRONKEEP_AMQP_FILE", "/x")]).is_for_another_broker(&plain));
        assert!(!with(&[RUN]).is_for_another_broker(&plain));
        assert!(with(&[]).is_for_another_broker(&named));
        assert_eq!(with(&[amqp]).amqp(&named), Some("amqp://a"));
        assert_eq!(with(&[amqp]).amqp(&plain), Some("amqp://b"));
    }
}
