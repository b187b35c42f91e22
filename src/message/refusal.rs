//! Refusals: a worker tells that it could not take an order for one, so that its sender does not wait in silence.
//!
//! Not signed: whoever has another key cannot prove anything. So nothing follows from one but a line in the run's output, and
//! what it says is one of a few words.

use super::{Message, Properties, order};

/// The type of the message.
pub const KIND: &str = "cronkeep.refusal";

/// What the names of the queues begin with where a refusal is sent: nobody is to have workers write elsewhere.
pub const PREFIX: &str = "cronkeep.reports.";

/// Why an order was refused, as far as somebody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its signature is not that of the worker's key.
    Key,
    /// Its form is of another version.
    Version,
}

impl Why {
    /// What is sent of it.
    fn word(self) -> &'static str {
        match self {
            Why::Key => "key",
            Why::Version => "version",
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Key => "its signature is not that of the worker's key",
            Why::Version => "the worker reads another version of orders",
        })
    }
}

/// The answer to a message that a worker could not take for an order; none if it does not ask for reports.
#[must_use]
pub fn of(message: &Message, refusal: &order::Refusal) -> Option<Message> {
    let why = match refusal {
        order::Refusal::Signature(_) => Why::Key,
        order::Refusal::Version(_) => Why::Version,
        _ => return None,
    };
    let queue = message.properties.reply_to.as_deref()?;
    let is_asked = message.properties.kind.as_deref() == Some(order::KIND)
        && queue.starts_with(PREFIX)
        && !message.id.is_empty();
    is_asked.then(|| Message {
        id: format!("{}/refused", message.id),
        exchange: String::new(),
        routing_key: queue.to_owned(),
        mandatory: false,
        persistent: true,
        properties: Properties {
            correlation_id: Some(message.id.clone()),
            kind: Some(KIND.to_owned()),
            app_id: Some(order::APP.to_owned()),
            ..Properties::default()
        },
        headers: Vec::new(),
        body: why.word().as_bytes().to_vec(),
    })
}

/// The id of the order that somebody says was refused, and why; none if the message is something else.
#[must_use]
pub fn read(message: &Message) -> Option<(&str, Why)> {
    let properties = &message.properties;
    if properties.kind.as_deref() != Some(KIND) {
        return None;
    }
    let why =
        [Why::Key, Why::Version].into_iter().find(|why| why.word().as_bytes() == message.body);
    Some((properties.correlation_id.as_deref()?, why?))
}

#[cfg(test)]
mod tests {
    use super::super::signature::{BadSignature, Key};
    use super::*;
    use crate::message::order::Refusal;

    fn order() -> Message {
        let key = Key::new(b"0123456789abcdef").unwrap();
        order::tests::order().message(Some(&key)).unwrap()
    }

    const WRONG: Refusal = Refusal::Signature(BadSignature::Wrong);

    #[test]
    fn a_sender_hears_why_his_order_was_refused() {
        for (refusal, why) in [(WRONG, Why::Key), (Refusal::Version(2), Why::Version)] {
            let told = of(&order(), &refusal).unwrap();
            assert_eq!((&*told.exchange, &*told.routing_key), ("", "cronkeep.reports.x"));
            assert_eq!(read(&told), Some((&*order().id, why)));
        }
    }

    #[test]
    fn nobody_has_a_worker_write_where_he_likes() {
        let elsewhere = |queue: Option<&str>| {
            let mut message = order();
            message.properties.reply_to = queue.map(str::to_owned);
            of(&message, &WRONG)
        };
        assert_eq!(elsewhere(Some("orders")), None);
        assert_eq!(elsewhere(None), None);
        assert_eq!(of(&Message { id: String::new(), ..order() }, &WRONG), None);
        assert_eq!(of(&order(), &Refusal::Queue("other".to_owned())), None);
        let mut other = order();
        other.properties.kind = None;
        assert_eq!(of(&other, &WRONG), None);
    }

    #[test]
    fn what_is_no_refusal_is_not_taken_for_one() {
        assert_eq!(read(&order()), None);
        let refusal = of(&order(), &WRONG).unwrap();
        assert_eq!(read(&Message { body: b"rm -rf /".to_vec(), ..refusal }), None);
    }
}
