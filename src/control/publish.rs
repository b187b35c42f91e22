//! A message that is handed to the daemon: `POST /api/v1/publish`.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::Message;

/// How long the daemon may take to answer: it waits for the broker's answer for half a minute.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// What the daemon's refusal is called where it has no broker: then the client looks for one itself.
pub const NO_BROKER: &str = "no broker";

/// What the daemon's refusal is called where the same try of a run has handed over a message with this id.
pub const TAKEN: &str = "taken";

/// What the daemon's refusal is called where it does not know whether the same try of a run has handed over a message with this
/// id: it may have done so to an earlier life of the daemon.
pub const UNSURE: &str = "unsure";

/// What a client asks to be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Publication {
    /// Everything but its body.
    pub message: Message,
    /// The body, in base64.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub body: Vec<u8>,
    /// The job whose fire it tells of, by its public id, if it is a job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The try of a run that hands it over, where its id is made of its content: of two that are alike the second is refused as
    /// [`TAKEN`], and is to have another id; one that may be a second is refused as [`UNSURE`], and is to have an id that
    /// nothing else has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
}

/// A try of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The run's id.
    pub run: String,
    /// Which try, from 1.
    pub number: u32,
}

/// What became of it, as far as it is known by the time of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// [`Delivery::name`](crate::broker::Delivery::name): `confirmed`, or why not.
    pub result: String,
    /// The same, in words; and whether it is kept and sent again.
    pub words: String,
    /// The message's id.
    pub message_id: String,
}

impl Publication {
    /// What asks for a message to be published.
    #[must_use]
    pub fn new(mut message: Message) -> Self {
        let body = std::mem::take(&mut message.body);
        Publication { message, body, job_id: None, attempt: None }
    }

    /// The message with its body.
    #[must_use]
    pub fn into_message(self) -> Message {
        Message { body: self.body, ..self.message }
    }
}

impl Published {
    /// Whether the broker has it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.result == "confirmed"
    }
}

fn write<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(body))
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Properties, Value};

    #[test]
    fn a_message_arrives_as_it_was_sent() {
        let message = Message {
            id: "k:1".to_owned(),
            exchange: String::new(),
            routing_key: "q".to_owned(),
            mandatory: true,
            persistent: true,
            properties: Properties {
                timestamp: Some("2026-11-21T10:00:00Z".parse().unwrap()),
                priority: Some(3),
                ..Properties::default()
            },
            headers: vec![
                (
                    "a".to_owned(),
                    Value::List(vec![Value::Null, Value::Integer(5), Value::Bool(true)]),
                ),
                ("b".to_owned(), Value::Table(Vec::new())),
                ("c".to_owned(), Value::Table(vec![("d".to_owned(), Value::Text("x".to_owned()))])),
            ],
            body: b"\xff\x00body".to_vec(),
        };
        let text = serde_json::to_vec(&Publication::new(message.clone())).unwrap();
        let read: Publication = serde_json::from_slice(&text).unwrap();
        assert_eq!(read.into_message(), message);
    }
}
