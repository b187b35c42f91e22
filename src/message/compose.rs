//! From arguments and an occasion to a message.

use jiff::Timestamp;

use super::arguments::{Arguments, LONGEST, Property};
use super::occasion::Occasion;
use super::{Message, Properties, Value, celery, cloud, kind};

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// AMQP has no room for a text.
    #[error("the {property} has {bytes} bytes, at most {LONGEST} fit")]
    TooLong {
        /// Which text.
        property: String,
        /// How long it is.
        bytes: usize,
    },
    /// A header is given twice.
    #[error("the header {header} is given twice")]
    Repeated {
        /// Its name.
        header: String,
    },
    /// The arguments of a task are none.
    #[error(transparent)]
    Task(#[from] celery::BadTask),
    /// There is nothing to be sent.
    #[error("there is no body: give one as an argument, or on standard input")]
    NoBody,
}

/// The message of a publish.
///
/// `body`: see [`Arguments::body`]; an event without one tells of the occasion, a task without one has no arguments.
///
/// # Errors
/// There is no message of these.
pub fn compose(
    arguments: &Arguments,
    occasion: &Occasion,
    body: Option<Vec<u8>>,
) -> Result<Message, BadMessage> {
    compose_own(arguments, occasion.clone(), body)
}

/// As [`compose`], of an occasion that nobody else needs.
///
/// # Errors
/// There is no message of these.
pub fn compose_own(
    arguments: &Arguments,
    mut occasion: Occasion,
    body: Option<Vec<u8>>,
) -> Result<Message, BadMessage> {
    // Events and tasks tell more of it.
    let is_last = !arguments.json && arguments.celery.is_none();
    let mut told = Told { is_last };
    let mut message = Message {
        id: told.take(&mut occasion.id),
        exchange: arguments.exchange.clone(),
        routing_key: arguments.routing_key.clone(),
        mandatory: true,
        persistent: true,
        properties: Properties {
            correlation_id: Some(told.take(&mut occasion.run)),
            kind: Some("cronkeep.fire".to_owned()),
            app_id: Some("cronkeep".to_owned()),
            timestamp: Some(occasion.now),
            expires: expiry(arguments, &occasion),
            ..Properties::default()
        },
        headers: about(&mut occasion, &mut told),
        body: Vec::new(),
    };
    if let Some(task) = &arguments.celery {
        celery::fill(&mut message, task, arguments.wait, &occasion, body)?;
    } else {
        let body = match body {
            None if arguments.json => Some(cloud::data(&occasion)),
            body => body,
        };
        message.body = body.ok_or(BadMessage::NoBody)?;
        let (content_type, encoding) = kind::of(&message.body);
        message.properties.content_type = Some(content_type.to_owned());
        message.properties.content_encoding = encoding.map(str::to_owned);
    }
    set(&mut message, &arguments.properties)?;
    if arguments.json {
        // What the type is may have been set.
        cloud::fill(&mut message, arguments, &occasion);
    }
    check(&message)?;
    Ok(message)
}

/// Takes texts of an occasion.
struct Told {
    /// Whether nobody needs them any more.
    is_last: bool,
}

impl Told {
    fn take(&mut self, text: &mut String) -> String {
        if self.is_last { std::mem::take(text) } else { text.clone() }
    }
}

/// The headers of every message: what fire it tells of.
fn about(occasion: &mut Occasion, told: &mut Told) -> Vec<(String, Value)> {
    let mut text =
        |text: &mut Option<String>| text.as_mut().map(|text| Value::Text(told.take(text)));
    let headers = [
        ("cronkeep-job-id", text(&mut occasion.job_id)),
        ("cronkeep-job-name", text(&mut occasion.job_name)),
        ("cronkeep-scheduled-at", text(&mut occasion.scheduled_at)),
        ("cronkeep-attempt", occasion.attempt.map(|attempt| Value::Integer(attempt.into()))),
        ("cronkeep-host", Some(Value::Text(told.take(&mut occasion.host)))),
    ];
    let mut given = Vec::with_capacity(headers.len());
    given.extend(headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    given
}

/// Until when the message is worth anything.
fn expiry(arguments: &Arguments, occasion: &Occasion) -> Option<Timestamp> {
    let given = arguments.properties.iter().rev().find_map(|property| match property {
        Property::Expires(length) => Some(*length),
        _ => None,
    });
    let length = given.or(occasion.expires)?;
    // Further ahead than the calendar goes is for ever.
    occasion.now.checked_add(length).ok()
}

/// Sets what was asked for; the last of several wins, as with other options, but a header is given once.
fn set(message: &mut Message, given: &[Property]) -> Result<(), BadMessage> {
    let properties = &mut message.properties;
    for property in given {
        match property {
            Property::ContentType(text) => {
                properties.content_type = Some(text.clone());
                // What was found by looking at the body may be wrong for this one.
                properties.content_encoding = None;
            }
            Property::Kind(text) => properties.kind = Some(text.clone()),
            Property::AppId(text) => properties.app_id = Some(text.clone()),
            Property::ReplyTo(text) => properties.reply_to = Some(text.clone()),
            Property::Priority(priority) => properties.priority = Some(*priority),
            Property::Header(name, value) => {
                if message.headers.iter().any(|(have, _)| have == name) {
                    return Err(BadMessage::Repeated { header: name.clone() });
                }
                message.headers.push((name.clone(), Value::Text(value.clone())));
            }
            Property::ContentEncoding(_) | Property::Expires(_) => {}
        }
    }
    for property in given {
        if let Property::ContentEncoding(text) = property {
            properties.content_encoding = Some(text.clone());
        }
    }
    Ok(())
}

/// Whether AMQP has room for every text.
fn check(message: &Message) -> Result<(), BadMessage> {
    let properties = &message.properties;
    let texts = [
        ("message id", Some(&message.id)),
        ("name of the exchange", Some(&message.exchange)),
        ("routing key", Some(&message.routing_key)),
        ("content-type", properties.content_type.as_ref()),
        ("content-encoding", properties.content_encoding.as_ref()),
        ("correlation id", properties.correlation_id.as_ref()),
        ("reply-to", properties.reply_to.as_ref()),
        ("type", properties.kind.as_ref()),
        ("app-id", properties.app_id.as_ref()),
    ];
    let names = message.headers.iter().map(|(name, _)| ("name of a header", Some(name)));
    for (property, text) in texts.into_iter().chain(names) {
        if let Some(bytes) = text.map(String::len).filter(|&bytes| bytes > LONGEST) {
            return Err(BadMessage::TooLong { property: property.to_owned(), bytes });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
