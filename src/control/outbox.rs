//! What waits in the outbox, and what is dropped of it, as a client sees it.

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::shape::instant_in;
use crate::job::JobKey;
use crate::outbox::Waits;

/// Where it is asked for.
pub const OUTBOX: &str = "/api/v1/outbox";

/// A message that waits, as `outbox --json` has it; its body is not told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LetterObject {
    /// The message's id.
    pub id: String,
    /// What people call its job, if it is a job's.
    pub job: Option<String>,
    /// That job's key.
    pub key: Option<String>,
    /// The run that it belongs to.
    pub run: Option<String>,
    /// Where it is published; empty: the default exchange.
    pub exchange: String,
    /// Its routing key.
    pub routing_key: String,
    /// Its bytes, as they are kept.
    pub bytes: u64,
    /// When it was accepted; none where that cannot be read.
    pub accepted: Option<String>,
    /// Until when it is sent again.
    pub expires: String,
    /// How often it was sent since the daemon began.
    pub tries: u32,
    /// Whether the broker is being asked to take it.
    pub under_way: bool,
    /// What its last try came to.
    pub last: Option<String>,
    /// The replica that sends it.
    pub replica: String,
}

impl LetterObject {
    /// A message that this replica sends, with the offsets of a zone.
    #[must_use]
    pub fn of(waits: Waits, replica: &str, zone: &TimeZone) -> Self {
        let Waits { sent, job, accepted, expires, bytes, is_under_way, last } = waits;
        LetterObject {
            id: sent.id,
            job: sent.job.map(|job| job.to_string()),
            key: job.map(|key| key.to_string()),
            run: sent.run.map(|run| run.to_string()),
            exchange: sent.exchange,
            routing_key: sent.routing_key,
            bytes,
            accepted: accepted.map(|at| instant_in(at, zone)),
            expires: instant_in(expires, zone),
            tries: sent.tries,
            under_way: is_under_way,
            last,
            replica: replica.to_owned(),
        }
    }
}

/// Which messages are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Meant {
    /// The one with this id.
    pub id: Option<String>,
    /// Those of this job: its name, its id, or the first of its digits.
    pub job: Option<String>,
    /// All, where no other is named: nothing is dropped that nobody has named.
    pub all: bool,
}

/// What was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dropped {
    /// The ids of the messages that are gone.
    pub dropped: Vec<String>,
    /// The ids of those that go unless the broker confirms them.
    pub under_way: Vec<String>,
}

impl Meant {
    /// The same, if it says what to drop.
    ///
    /// # Errors
    /// It does not.
    pub fn to_drop(self) -> Result<Self, Refusal> {
        if self.all || self.id.is_some() || self.job.is_some() {
            return Ok(self);
        }
        let message = "which messages to drop is not said".to_owned();
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "nothing_meant", message);
        Err(refusal.help("name id=, job=, or all=true"))
    }

    /// Those of `letters` that are meant.
    ///
    /// # Errors
    /// There is none with that id, or several jobs may be meant. That a job has none is no error.
    pub fn of(&self, mut letters: Vec<LetterObject>) -> Result<Vec<LetterObject>, Refusal> {
        if let Some(id) = &self.id {
            letters.retain(|letter| letter.id == *id);
            if letters.is_empty() {
                let message = format!("no message {id:?} waits in the outbox");
                let refusal = Refusal::new(StatusCode::NOT_FOUND, "no_message", message);
                return Err(refusal.help("`cronkeep outbox` shows those that do"));
            }
        }
        if let Some(job) = &self.job {
            letters = of_job(letters, job)?;
        }
        Ok(letters)
    }
}

fn of_job(letters: Vec<LetterObject>, text: &str) -> Result<Vec<LetterObject>, Refusal> {
    let is_named = letters.iter().any(|letter| letter.job.as_deref() == Some(text));
    let exact: Option<JobKey> = text.parse().ok();
    let start = text.strip_prefix("crondServiceTask-").unwrap_or(text);
    let is_meant = |letter: &LetterObject| {
        if is_named {
            return letter.job.as_deref() == Some(text);
        }
        let key: Option<JobKey> = letter.key.as_deref().and_then(|key| key.parse().ok());
        key.is_some_and(|key| match exact {
            Some(exact) => key == exact,
            None => !start.is_empty() && key.digits().starts_with(start),
        })
    };
    let meant: Vec<_> = letters.into_iter().filter(is_meant).collect();
    if !is_named && meant.iter().any(|letter| letter.key != meant[0].key) {
        let message = format!("{text:?} may be any of several jobs");
        let refusal = Refusal::new(StatusCode::CONFLICT, "ambiguous", message);
        return Err(refusal.help("give more digits of the id"));
    }
    Ok(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters() -> Vec<LetterObject> {
        let letter = |id: &str, job: Option<(&str, &str)>| LetterObject {
            id: id.to_owned(),
            job: job.map(|(name, _)| name.to_owned()),
            key: job.map(|(_, digits)| format!("crondServiceTask-{digits}")),
            ..LetterObject::default()
        };
        vec![
            letter("a", Some(("mail", "00112233445566ff"))),
            letter("b", Some(("mail", "00112233445566ff"))),
            letter("c", Some(("backup", "0099999999999999"))),
            letter("d", None),
        ]
    }

    fn meant(id: Option<&str>, job: Option<&str>) -> Result<String, String> {
        let (id, job) = (id.map(str::to_owned), job.map(str::to_owned));
        let meant = Meant { id, job, all: false };
        let found = meant.of(letters()).map_err(|refusal| refusal.error)?;
        Ok(found.into_iter().map(|letter| letter.id).collect())
    }

    #[test]
    fn nothing_is_dropped_that_nobody_has_named() {
        assert_eq!(Meant::default().to_drop().unwrap_err().error, "nothing_meant");
        let named = [
            Meant { all: true, ..Meant::default() },
            Meant { id: Some("a".into()), ..Meant::default() },
            Meant { job: Some("a".into()), ..Meant::default() },
        ];
        assert!(named.into_iter().all(|meant| meant.to_drop().is_ok()));
    }

    #[test]
    fn messages_are_meant_by_their_id_their_job_or_the_beginning_of_its_digits() {
        assert_eq!(meant(None, None).unwrap(), "abcd");
        assert_eq!(meant(Some("b"), None).unwrap(), "b");
        assert_eq!(meant(None, Some("mail")).unwrap(), "ab");
        assert_eq!(meant(None, Some("0011")).unwrap(), "ab");
        assert_eq!(meant(None, Some("crondServiceTask-0099")).unwrap(), "c");
        assert_eq!(meant(None, Some("crondServiceTask-0099999999999999")).unwrap(), "c");
        assert_eq!(meant(None, Some("other")).unwrap(), "");
        assert_eq!(meant(None, Some("")).unwrap(), "");
    }

    #[test]
    fn what_does_not_wait_or_may_be_several_is_refused() {
        assert_eq!(meant(Some("e"), None).unwrap_err(), "no_message");
        assert_eq!(meant(None, Some("00")).unwrap_err(), "ambiguous");
    }
}
