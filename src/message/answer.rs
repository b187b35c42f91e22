//! Answers: what a sender says to a worker that has reported on one of his orders.
//!
//! JSON, signed as a whole with the key of the orders ([`signature`](super::signature)); sent to the queue that the report
//! names. An answer holds for one order at one worker, so that it is of no use to anybody who sends it again.

use serde::{Deserialize, Serialize};

use super::order::{Refusal, VERSION, about, read};
use super::signature::{Key, Kind};
use super::{Message, Report};

/// The largest content of an answer, in bytes.
pub const LARGEST: usize = 64 << 10;

/// The type of the message.
pub const KIND: &str = "cronkeep.answer";

/// What a sender says of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`].
    pub version: u32,
    /// The order's id.
    pub order: String,
    /// The worker that it is for.
    pub worker: String,
    /// What it is to do.
    pub word: Word,
}

/// What a worker is to do with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Start it.
    Start,
    /// Neither start it nor go on with it: another worker has it.
    Taken,
    /// Neither start it nor go on with it: its run has ended for its sender.
    Withdrawn,
}

impl Word {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Word::Start => "start",
            Word::Taken => "taken",
            Word::Withdrawn => "withdrawn",
        }
    }
}

impl Answer {
    /// The answer to whoever made a report.
    #[must_use]
    pub fn to(report: &Report, word: Word) -> Self {
        let (order, worker) = (report.order.clone(), report.worker.clone());
        Answer { version: VERSION, order, worker, word }
    }

    /// The answer as a message to this queue, signed where there is a key.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: it cannot be written.
    pub fn message(&self, key: Option<&Key>, queue: &str) -> Result<Message, Refusal> {
        let about = about(&self.order, queue, (Kind::Answer, KIND), self, key)?;
        let id = format!("{}/{}/{}", self.order, self.worker, self.word.name());
        Ok(Message { id, persistent: false, ..about })
    }

    /// The answer that a message is, if it is one. Without a key whoever could send it is believed.
    ///
    /// # Errors
    /// It is none, or was not made with our key.
    pub fn read(message: &Message, key: Option<&Key>) -> Result<Self, Refusal> {
        read(message, key, Kind::Answer, LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::BadSignature;
    use super::*;

    fn answer() -> Answer {
        let (order, worker) = ("01K9-1".to_owned(), "host-00ff".to_owned());
        Answer { version: VERSION, order, worker, word: Word::Withdrawn }
    }

    #[test]
    fn an_answer_reads_back_from_its_message_and_its_form_is_as_documented() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let message = answer().message(Some(&key), "back").unwrap();
        assert_eq!((&*message.exchange, &*message.routing_key), ("", "back"));
        assert_eq!(Answer::read(&message, Some(&key)), Ok(answer()));
        let body = r#"{"version":1,"order":"01K9-1","worker":"host-00ff","word":"withdrawn"}"#;
        assert_eq!(String::from_utf8(message.body).unwrap(), body);
        assert_eq!([Word::Start, Word::Taken].map(Word::name), ["start", "taken"]);
    }

    #[test]
    fn what_is_not_signed_as_an_answer_is_none() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let mut message = answer().message(Some(&key), "back").unwrap();
        message.body[50] ^= 1;
        let wrong = Err(Refusal::Signature(BadSignature::Wrong));
        assert_eq!(Answer::read(&message, Some(&key)), wrong);
        let unsigned = answer().message(None, "back").unwrap();
        let missing = Err(Refusal::Signature(BadSignature::Missing));
        assert_eq!(Answer::read(&unsigned, Some(&key)), missing);
        assert_eq!(Answer::read(&unsigned, None), Ok(answer()));
    }
}
