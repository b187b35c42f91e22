//! A letter as bytes that a store keeps: a line of JSON, then the message's body; sealed where there is a key.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Letter;
use crate::job::JobKey;
use crate::message::Message;
use crate::store::Waiting;
use crate::store::seal::{Kind, Seal};

/// The number of this form.
const FORM: u32 = 1;

/// What stands before the body.
#[derive(Serialize, Deserialize)]
struct Head<M> {
    form: u32,
    accepted: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// Without its body, which is never among what is serialised.
    message: M,
}

/// What the head of most letters fits in.
const HEAD: usize = 768;

/// To the microsecond, as stores keep it, and not before 1970.
pub(super) fn rounded(at: Timestamp) -> Timestamp {
    // The last second of time has no microseconds.
    Timestamp::from_microsecond(at.as_microsecond().max(0))
        .or_else(|_| Timestamp::from_second(at.as_second()))
        .unwrap_or(at)
}

/// What the seal holds beside the bytes: until when they are sent.
fn version(expires: Timestamp) -> u64 {
    u64::try_from(expires.as_microsecond()).unwrap_or(0)
}

/// A letter as it is kept; its expiry is [`rounded`].
pub(super) fn pack(letter: &Letter, accepted: Timestamp, seal: Option<&Seal>) -> Waiting {
    let Letter { message, job, run, expires } = letter;
    let head = Head {
        form: FORM,
        accepted,
        job: job.as_ref().map(|(key, _)| key.digits()),
        label: job.as_ref().map(|(_, label)| label.to_string()),
        run: run.map(|run| run.to_string()),
        message,
    };
    let mut bytes = Vec::with_capacity(HEAD + message.body.len());
    serde_json::to_writer(&mut bytes, &head).expect("text and numbers are JSON");
    bytes.push(b'\n');
    bytes.extend_from_slice(&message.body);
    if let Some(seal) = seal {
        bytes = seal.seal(Kind::Outbox, version(*expires), &bytes);
    }
    Waiting {
        id: message.id.clone(),
        order: 0,
        job: job.as_ref().map(|(key, _)| *key),
        run: *run,
        expires: *expires,
        bytes,
    }
}

/// The letter that is kept as this, and when it was accepted.
///
/// # Errors
/// Why it is none, in words.
pub(super) fn unpack(row: &Waiting, seal: Option<&Seal>) -> Result<(Letter, Timestamp), String> {
    let refused =
        |why: &dyn std::fmt::Display| format!("what the store keeps of it is refused: {why}");
    let unread = || refused(&"it cannot be read");
    let content = match seal {
        Some(seal) => seal
            .open(Kind::Outbox, version(row.expires), &row.bytes)
            .map_err(|error| refused(&error))?,
        None => crate::store::seal::content(&row.bytes),
    };
    let end = memchr::memchr(b'\n', content).ok_or_else(unread)?;
    let head: Head<Message> = serde_json::from_slice(&content[..end]).map_err(|_| unread())?;
    if head.form != FORM {
        return Err(refused(&format_args!("its form is {}, known is {FORM}", head.form)));
    }
    let job = match (head.job, head.label) {
        (Some(job), label) => {
            let key: JobKey = job.parse().map_err(|_| unread())?;
            Some((key, label.unwrap_or(job).into()))
        }
        (None, _) => None,
    };
    let run = head.run.map(|run| run.parse()).transpose().map_err(|_| unread())?;
    let is_it =
        head.message.id == row.id && job.as_ref().map(|(key, _)| *key) == row.job && run == row.run;
    if !is_it {
        return Err(refused(&"it is another message's"));
    }
    let message = Message { body: content[end + 1..].to_vec(), ..head.message };
    Ok((Letter { message, job, run, expires: row.expires }, head.accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RunId;
    use crate::message::{Properties, Value};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn letter() -> Letter {
        let headers = [
            ("n", Value::Null),
            ("b", Value::Bool(true)),
            ("i", Value::Integer(-5)),
            ("s", Value::from("text\nwith a line")),
            (
                "l",
                Value::List(vec![Value::from(1), Value::List(vec![Value::from("x"), Value::Null])]),
            ),
            ("t", Value::Table(vec![("a".to_owned(), Value::Table(Vec::new()))])),
            ("e", Value::List(Vec::new())),
        ];
        let message = Message {
            id: "job:1800000000".to_owned(),
            exchange: "x".to_owned(),
            routing_key: "a.b".to_owned(),
            mandatory: true,
            persistent: false,
            properties: Properties {
                content_type: Some("application/json".to_owned()),
                timestamp: Some(at(0)),
                priority: Some(9),
                ..Properties::default()
            },
            headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
            body: vec![0, b'\n', 0xff, b'\n'],
        };
        let key = "crondServiceTask-00112233445566ff#2".parse().unwrap();
        let run = Some(RunId::new(at(0), 7));
        Letter { message, job: Some((key, "a job".into())), run, expires: at(60) }
    }

    fn seal(key: &[u8]) -> Seal {
        Seal::new(key, "shop").unwrap()
    }

    #[test]
    fn a_letter_reads_back_to_the_byte() {
        let key = seal(b"0123456789abcdef");
        for seal in [None, Some(&key)] {
            let row = pack(&letter(), at(1), seal);
            let (back, accepted) = unpack(&row, seal).unwrap();
            assert_eq!(back.message, letter().message);
            assert_eq!((back.job, back.run, back.expires), (letter().job, letter().run, at(60)));
            assert_eq!(accepted, at(1));
        }
        // Who has no key any more still sends what was signed.
        unpack(&pack(&letter(), at(1), Some(&key)), None).unwrap();
    }

    #[test]
    fn what_is_not_signed_by_our_key_or_was_changed_is_refused() {
        let key = seal(b"0123456789abcdef");
        let good = pack(&letter(), at(1), Some(&key));
        let unsigned = pack(&letter(), at(1), None);
        let other = pack(&letter(), at(1), Some(&seal(b"0123456789abcdeX")));
        let later = Waiting { expires: at(61), ..good.clone() };
        let mut changed = good.clone();
        *changed.bytes.last_mut().unwrap() ^= 1;
        for row in [unsigned, other, later, changed] {
            let reason = unpack(&row, Some(&key)).unwrap_err();
            assert!(reason.contains("sign"), "{reason}");
        }
        let elsewhere = Waiting { id: "another".to_owned(), ..good.clone() };
        let moved = Waiting { job: None, ..good };
        for row in [elsewhere, moved] {
            assert!(unpack(&row, Some(&key)).unwrap_err().contains("another message's"));
        }
    }

    #[test]
    fn every_expiry_is_one_that_a_store_gives_back() {
        let late = Timestamp::MAX;
        for at in [Timestamp::MIN, at(0) + std::time::Duration::from_nanos(1_999), late] {
            let kept = rounded(at);
            assert_eq!(Timestamp::from_microsecond(kept.as_microsecond()).unwrap(), kept);
        }
    }

    #[test]
    fn garbage_is_refused_in_words() {
        let row = pack(&letter(), at(1), None);
        for bytes in [&b""[..], b"\n", b"{}\n", b"[1]\nx", b"\xff\xfe\n"] {
            let row = Waiting { bytes: bytes.to_vec(), ..row.clone() };
            assert!(unpack(&row, None).unwrap_err().contains("cannot be read"));
        }
        let text = String::from_utf8_lossy(&row.bytes).replace("\"form\":1", "\"form\":2");
        let newer = Waiting { bytes: text.into_bytes(), ..row };
        assert!(unpack(&newer, None).unwrap_err().contains("form is 2"));
    }
}
