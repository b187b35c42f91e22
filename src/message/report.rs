//! Reports: what came of an order, as messages.
//!
//! JSON, signed as a whole with the key of the orders ([`signature`](super::signature)); sent to the queue that the order
//! names, with the order's id as the correlation id.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Message;
use super::bytes::Bytes;
use super::order::{Refusal, Subject, about, read};
use super::signature::{Key, Kind};

/// The largest content of a report, in bytes.
pub const LARGEST: usize = 4 << 20;

/// The type of the message.
pub const KIND: &str = "cronkeep.report";

/// What a worker says of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`](super::order::VERSION).
    pub version: u32,
    /// The order's id.
    pub order: String,
    /// The name of the worker, new with each of its starts; at most 100 letters.
    pub worker: String,
    /// Counts the worker's reports of this order from 0; the same when it is sent again.
    pub sequence: u64,
    /// What the order is about.
    pub subject: Subject,
    /// The queue where the worker hears of what the sender answers, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_to: Option<String>,
    /// What there is to say.
    pub news: News,
}

/// What there is to say of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum News {
    /// It may have been with another worker, or have waited for long: whether it is to be started still.
    Asked {
        /// When it expires.
        expires: Timestamp,
        /// How often it may be started once more after a worker has died with it; 0 unless one may have.
        restarts: u32,
    },
    /// It is started once this has arrived.
    Started {
        /// Wall time at the worker.
        at: Timestamp,
        /// When it expires.
        expires: Timestamp,
    },
    /// It still runs.
    Running,
    /// It printed lines.
    Output {
        /// So many lines and bytes before these are left out.
        left_out: (u64, u64),
        /// The lines, in order.
        lines: Vec<Printed>,
    },
    /// It has ended, or could not start.
    Ended(Ended),
    /// It came to the worker after it had been with another that has died or has given it back; the worker has not started
    /// it, and does not hold it any more.
    Returned,
}

/// A line that was printed: whether to standard error, and the line without its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed(pub bool, pub Bytes);

/// How an order ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ended {
    /// The outcome's stable name.
    pub outcome: String,
    /// The exit code, if it exited.
    pub exit: Option<u8>,
    /// The number of the signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Why it could not start.
    pub reason: Option<String>,
    /// Why, in the words that causes have, where the outcome alone does not tell.
    pub cause: Option<String>,
    /// Wall time of the end at the worker.
    pub at: Timestamp,
    /// From start to end, in milliseconds.
    pub duration_ms: u64,
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set of any one process, KiB; 0: not known.
    pub max_rss_kib: u64,
    /// Whether it has printed anything that was to be sent; none: the worker does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub printed: Option<bool>,
}

impl Report {
    /// The report as a message to this queue, signed where there is a key.
    ///
    /// # Errors
    /// [`Refusal::Malformed`]: it cannot be written.
    pub fn message(&self, key: Option<&Key>, reply_to: &str) -> Result<Message, Refusal> {
        let about = about(&self.order, reply_to, (Kind::Report, KIND), self, key)?;
        let id = format!("{}/{}/{}", self.order, self.worker, self.sequence);
        Ok(Message { id, persistent: !matches!(self.news, News::Running), ..about })
    }

    /// The report that a message is, if it is one. Without a key whoever could send it is believed.
    ///
    /// # Errors
    /// It is none, or was not made with our key.
    pub fn read(message: &Message, key: Option<&Key>) -> Result<Self, Refusal> {
        read(message, key, Kind::Report, LARGEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::order::VERSION;
    use super::super::signature::BadSignature;
    use super::*;

    fn report(news: News) -> Report {
        Report {
            version: VERSION,
            order: "01K9ZD3F6YQ6B2N9R5T8W1X4VA-1".to_owned(),
            worker: "host-00ff".to_owned(),
            sequence: 3,
            subject: super::super::order::tests::subject(),
            answer_to: None,
            news,
        }
    }

    fn all() -> [News; 6] {
        let printed = Printed(true, b"a\xff"[..].into());
        [
            News::Started { at: Timestamp::UNIX_EPOCH, expires: Timestamp::UNIX_EPOCH },
            News::Running,
            News::Output { left_out: (1, 2), lines: vec![printed] },
            News::Ended(Ended {
                outcome: "killed".to_owned(),
                signal: Some(9),
                printed: Some(true),
                ..Ended::default()
            }),
            News::Returned,
            News::Asked { expires: Timestamp::UNIX_EPOCH, restarts: 2 },
        ]
    }

    fn key() -> Key {
        Key::new(b"0123456789abcdef").unwrap()
    }

    #[test]
    fn a_report_reads_back_from_its_message() {
        for news in all() {
            let message = report(news.clone()).message(Some(&key()), "back").unwrap();
            assert_eq!((&*message.exchange, &*message.routing_key), ("", "back"));
            let order = message.properties.correlation_id.as_deref();
            assert_eq!(order, Some("01K9ZD3F6YQ6B2N9R5T8W1X4VA-1"));
            assert_eq!(Report::read(&message, Some(&key())), Ok(report(news)));
        }
    }

    #[test]
    fn the_form_of_a_report_is_as_documented() {
        let text = |news| String::from_utf8(report(news).message(None, "b").unwrap().body).unwrap();
        let [_, running, output, ended, _, asked] = all();
        let head = r#"{"version":1,"order":"01K9ZD3F6YQ6B2N9R5T8W1X4VA-1","worker":"host-00ff","sequence":3,"subject":{"run":"#;
        assert!(text(running.clone()).starts_with(head), "{}", text(running));
        assert!(text(running.clone()).ends_with(r#","news":{"kind":"running"}}"#));
        let lines = r#""news":{"kind":"output","left_out":[1,2],"lines":[[true,[97,255]]]}}"#;
        assert!(text(output.clone()).ends_with(lines), "{}", text(output));
        let end = r#""news":{"kind":"ended","outcome":"killed","exit":null,"signal":9,"reason":null,"cause":null,"at":"1970-01-01T00:00:00Z","duration_ms":0,"user_us":0,"system_us":0,"max_rss_kib":0,"printed":true}}"#;
        assert!(text(ended.clone()).ends_with(end), "{}", text(ended));
        let ask = r#""news":{"kind":"asked","expires":"1970-01-01T00:00:00Z","restarts":2}}"#;
        assert!(text(asked.clone()).ends_with(ask), "{}", text(asked));
    }

    #[test]
    fn an_order_is_no_report() {
        let message = report(News::Running).message(None, "b").unwrap();
        let signed = key().sign(Kind::Order, &message.body);
        let headers = vec![(super::super::signature::HEADER.to_owned(), signed.into())];
        let told = Report::read(&Message { headers, ..message }, Some(&key()));
        assert_eq!(told, Err(Refusal::Signature(BadSignature::Wrong)));
    }

    #[test]
    fn a_sign_of_life_need_not_outlive_the_broker_and_everything_else_does() {
        let kept = all().map(|news| report(news).message(None, "b").unwrap().persistent);
        assert_eq!(kept, [true, false, true, true, true, true]);
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused(place: prop::sample::Index, bit in 0..8u8, which in 0..6usize) {
            let mut message = report(all()[which].clone()).message(Some(&key()), "b").unwrap();
            let place = place.index(message.body.len());
            message.body[place] ^= 1 << bit;
            let told = Report::read(&message, Some(&key()));
            prop_assert_eq!(told, Err(Refusal::Signature(BadSignature::Wrong)));
        }
    }
}
