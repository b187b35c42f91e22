//! What a message tells of: a fire, or somebody's wish.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use sha2::{Digest as _, Sha256};

use super::Arguments;

/// What a message tells of; what is not known is left out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occasion {
    /// The id of the message: see [`message_id`].
    pub id: String,
    /// The id of the run.
    pub run: String,
    /// The job's public id.
    pub job_id: Option<String>,
    /// The name that a directive gives the job.
    pub job_name: Option<String>,
    /// The scheduled instant, in RFC 3339 with the offset of the job's zone.
    pub scheduled_at: Option<String>,
    /// Which try, from 1.
    pub attempt: Option<u32>,
    /// Where the message is made.
    pub host: String,
    /// For whom.
    pub user: Option<String>,
    /// The entry's command.
    pub command: Option<String>,
    /// The entry's schedule, as typed.
    pub schedule: Option<String>,
    /// The wall clock.
    pub now: Timestamp,
    /// For how long the message is worth anything, from `now`, where neither its arguments say so nor it is for ever.
    pub expires: Option<Duration>,
}

impl Occasion {
    /// A wish of nobody in particular.
    #[must_use]
    pub fn new(id: impl Into<String>, host: impl Into<String>, now: Timestamp) -> Self {
        let id = id.into();
        Occasion::of_run(id.clone(), id, host, now)
    }

    /// What a run of this id tells of, of which nothing else is known.
    #[must_use]
    pub fn of_run(run: String, id: String, host: impl Into<String>, now: Timestamp) -> Self {
        Occasion {
            run,
            id,
            job_id: None,
            job_name: None,
            scheduled_at: None,
            attempt: None,
            host: host.into(),
            user: None,
            command: None,
            schedule: None,
            now,
            expires: None,
        }
    }
}

/// What follows the key in the id of a message, as a rule.
const ROOM: usize = 16;

/// The id of the message of a fire: the same whenever it is sent again, and on every replica.
///
/// `<key>:<epoch of the instant>`, plus `-<civil time>` for a minute that a change of the clock skipped and that is made up
/// for: several of them are due at one instant. What somebody asked for has no scheduled instant: its id is the run's.
#[must_use]
pub fn message_id(key: &str, at: Timestamp, made_up: Option<DateTime>) -> String {
    let mut id = String::with_capacity(key.len() + ROOM);
    // Writing to a string does not fail.
    let _ = write!(id, "{key}:{}", at.as_second());
    if let Some(civil) = made_up {
        let _ = write!(
            id,
            "-{}",
            civil.strftime(if civil.second() == 0 { "%FT%H:%M" } else { "%FT%T" })
        );
    }
    id
}

/// The id of one of several messages that the command of a fire may publish: that of the fire, then what tells the message
/// from the others, its content, and from the second of those that are alike on what tells it from these, its number as a
/// rule. In whatever order they are sent, each has the same id whenever the fire is carried out again.
#[must_use]
pub fn part_id(
    fire: &str,
    arguments: &Arguments,
    body: Option<&[u8]>,
    which: Option<&str>,
) -> String {
    let properties = format!("{:?}", arguments.properties);
    let parts = [
        Some(arguments.exchange.as_bytes()),
        Some(arguments.routing_key.as_bytes()),
        arguments.celery.as_deref().map(str::as_bytes),
        arguments.json.then_some(&b"json"[..]),
        Some(properties.as_bytes()),
        body,
    ];
    let mut hash = Sha256::new();
    for part in parts {
        // Each with its length before it, so that nothing moves from one to the next.
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    let digest = hash.finalize();
    let mut id = format!("{fire}:");
    for byte in &digest[..8] {
        let _ = write!(id, "{byte:02x}");
    }
    if let Some(which) = which {
        let _ = write!(id, ":{which}");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_fire_have_ids_by_what_they_are() {
        let id = |words: &[&str], body: Option<&[u8]>, which| {
            let words: Vec<_> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            part_id("k:60", &Arguments::of_words(&words).unwrap(), body, which)
        };
        let first = id(&["e", "k"], Some(b"x"), None);
        assert_eq!(first, id(&["e", "k"], Some(b"x"), None), "whenever it is sent");
        assert!(first.starts_with("k:60:") && first.len() == 21, "{first}");
        assert_eq!(id(&["e", "k"], Some(b"x"), Some("2")), format!("{first}:2"));
        let others = [
            id(&["e", "k"], Some(b"y"), None),
            id(&["e", "k"], Some(b""), None),
            id(&["e", "k"], None, None),
            id(&["ek", ""], Some(b"x"), None),
            id(&["e", "k", "--json"], Some(b"x"), None),
            id(&["e", "k", "--celery", "t"], Some(b"x"), None),
            id(&["e", "k", "--property", "priority=1"], Some(b"x"), None),
            first,
        ];
        let distinct: std::collections::HashSet<_> = others.iter().collect();
        assert_eq!(distinct.len(), others.len(), "{others:?}");
    }

    #[test]
    fn an_id_names_the_job_and_the_instant_and_the_minute_where_that_is_not_enough() {
        let at: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
        let key = "crondServiceTask-00112233445566ff#2";
        assert_eq!(message_id(key, at, None), format!("{key}:1774746000"));
        let civil = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            message_id("k", at, civil("2026-03-29T02:30:00")),
            "k:1774746000-2026-03-29T02:30"
        );
        assert_eq!(
            message_id("k", at, civil("2026-03-29T02:30:05")),
            "k:1774746000-2026-03-29T02:30:05"
        );
    }
}
