//! Whose fault it is that the broker closed a channel.

use std::collections::HashMap;

use lapin::{Error, ErrorKind};

use super::flight::Parcel;
use super::{Delivery, reason};

/// After a refusal that was about one message so many others must go well before its exchange is trusted again.
const WARY: u32 = 1000;

/// Which exchanges take messages, as far as is known.
///
/// What the broker refuses closes the channel with all that is under way on it. So whatever goes to an exchange of which nothing
/// is known goes on a channel of its own, one message at a time; what goes to one that is trusted goes with all the others.
#[derive(Debug, Default)]
pub(super) struct Trust(HashMap<String, u32>);

impl Trust {
    /// Whether messages to an exchange may go with others.
    pub(super) fn has(&self, exchange: &str) -> bool {
        self.0.get(exchange) == Some(&0)
    }

    /// A message to an exchange was dealt with. Says whether that makes it trusted.
    pub(super) fn note(&mut self, exchange: &str) -> bool {
        let missing = self.0.entry(exchange.to_owned()).or_insert(1);
        *missing = missing.saturating_sub(1);
        *missing == 0
    }

    /// A message to an exchange was perhaps refused: for what it is, not only for where it goes, if `for_itself`.
    fn lose(&mut self, exchange: &str, for_itself: bool) {
        if for_itself {
            self.0.insert(exchange.to_owned(), WARY);
        } else if self.has(exchange) {
            self.0.remove(exchange);
        }
    }

    /// A connection has ended: exchanges may come and go before the next.
    pub(super) fn begin_again(&mut self) {
        self.0.retain(|_, missing| *missing > 0);
    }
}

/// Messages that were under way when the broker closed their channel.
#[derive(Default)]
pub(super) struct Sorted {
    /// Refused, for certain.
    pub(super) refused: Vec<Parcel>,
    /// Refused, perhaps.
    pub(super) suspects: Vec<Parcel>,
    /// Not refused.
    pub(super) others: Vec<Parcel>,
}

/// Sorts the messages that somebody waits for, of `count` that were under way, after the broker has closed their channel.
pub(super) fn sort(flying: Vec<Parcel>, count: usize, error: &Error, trust: &mut Trust) -> Sorted {
    let ErrorKind::ProtocolError(told) = error.kind() else {
        // What became of one that was alone is not known; alone once more, it would be no better.
        return if count == 1 {
            Sorted { refused: flying, ..Sorted::default() }
        } else {
            Sorted { suspects: flying, ..Sorted::default() }
        };
    };
    let text = told.get_message().as_str();
    let is_missing = told.get_id() == 404;
    let before = if is_missing { "no exchange " } else { "" };
    let is_named =
        |parcel: &Parcel| text.contains(&format!("{before}'{}'", parcel.message.exchange));
    let is_of_exchange = is_missing || text.contains("access to exchange '");
    let (named, others): (Vec<_>, Vec<_>) = flying.into_iter().partition(is_named);
    let (named, others) = if named.is_empty() { (others, named) } else { (named, others) };
    for parcel in &named {
        trust.lose(&parcel.message.exchange, !is_of_exchange);
    }
    let is_certain = count == 1 || is_missing && named.iter().all(is_named);
    let (refused, suspects) = if is_certain { (named, Vec::new()) } else { (Vec::new(), named) };
    Sorted { refused, suspects, others }
}

/// What the broker says of a message for which it closed the channel.
pub(super) fn refusal(error: &Error) -> Delivery {
    match error.kind() {
        ErrorKind::ProtocolError(told) if told.get_id() == 404 => {
            Delivery::NoExchange { text: reason::words(told) }
        }
        ErrorKind::ProtocolError(told) => Delivery::Forbidden { text: reason::words(told) },
        _ => Delivery::Away { reason: reason::of_loss(error) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lapin::protocol::{AMQPError, AMQPSoftError};
    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::super::flight::Teller;
    use super::*;
    use crate::message::{Message, Properties};

    fn parcel(id: &str, exchange: &str) -> Parcel {
        let message = Message {
            id: id.to_owned(),
            exchange: exchange.to_owned(),
            routing_key: String::new(),
            mandatory: true,
            persistent: true,
            properties: Properties::default(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        Parcel {
            message: Arc::new(message),
            answer: Teller::one(oneshot::channel().0),
            deadline: Instant::now(),
        }
    }

    fn told(kind: AMQPSoftError, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    /// The ids of those refused, suspected and neither, of messages `1` to `a` and `2` to `b` among `count`.
    fn sorted(error: &Error, count: usize, trust: &mut Trust) -> [String; 3] {
        let sorted = sort(vec![parcel("1", "a"), parcel("2", "b")], count, error, trust);
        [sorted.refused, sorted.suspects, sorted.others].map(|parcels| {
            parcels.iter().map(|parcel| parcel.message.id.as_str()).collect::<String>()
        })
    }

    #[test]
    fn an_exchange_that_is_not_there_is_named_by_the_broker() {
        let mut trust = Trust::default();
        let error = told(AMQPSoftError::NOTFOUND, "NOT_FOUND - no exchange 'a' in vhost 'b'");
        assert_eq!(sorted(&error, 2, &mut trust), ["1", "", "2"]);
        assert!(matches!(refusal(&error), Delivery::NoExchange { .. }));
    }

    #[test]
    fn a_refusal_that_names_an_exchange_makes_its_messages_suspect() {
        let mut trust = Trust::default();
        let text = "ACCESS_REFUSED - access to topic 'k' in exchange 'b' in vhost '/' refused";
        let error = told(AMQPSoftError::ACCESSREFUSED, text);
        assert_eq!(sorted(&error, 2, &mut trust), ["", "2", "1"]);
        assert!(matches!(refusal(&error), Delivery::Forbidden { .. }));
    }

    #[test]
    fn a_refusal_that_names_nobody_makes_all_suspect_and_one_alone_guilty() {
        let mut trust = Trust::default();
        let error = told(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED - too large");
        assert_eq!(sorted(&error, 2, &mut trust), ["", "12", ""]);
        let alone = sort(vec![parcel("1", "a")], 1, &error, &mut trust);
        assert_eq!((alone.refused.len(), alone.suspects.len()), (1, 0));
        // Beside one whose time was up, one that is waited for is not guilty yet.
        let beside = sort(vec![parcel("1", "a")], 2, &error, &mut trust);
        assert_eq!((beside.refused.len(), beside.suspects.len()), (0, 1));
    }

    #[test]
    fn an_exchange_is_trusted_after_one_message_and_after_a_refused_message_only_after_many() {
        let mut trust = Trust::default();
        assert!(!trust.has("a"));
        assert!(trust.note("a") && trust.has("a"));
        let missing = told(AMQPSoftError::NOTFOUND, "NOT_FOUND - no exchange 'a' in vhost '/'");
        sorted(&missing, 2, &mut trust);
        assert!(!trust.has("a"));
        assert!(trust.note("a"));
        let precondition = told(AMQPSoftError::PRECONDITIONFAILED, "PRECONDITION_FAILED");
        sorted(&precondition, 2, &mut trust);
        assert!((1..WARY).all(|_| !trust.note("a")) && trust.note("a"));
    }

    #[test]
    fn only_doubts_outlive_a_connection() {
        let mut trust = Trust::default();
        trust.note("a");
        trust.lose("b", true);
        trust.begin_again();
        assert!(!trust.has("a") && trust.note("a"));
        assert!(!trust.note("b"));
    }
}
