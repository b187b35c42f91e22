//! Messages as the client library has them.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldArray, FieldTable, ShortString};

use crate::message::{Message, Properties, Value};

/// The longest that a broker lets a message wait, in milliseconds.
const LONGEST: i64 = u32::MAX as i64;
/// What a frame of properties has beside them: its own frame, class, weight, size of the body, flags.
const FRAME: usize = 8 + 2 + 2 + 8 + 2;

/// A message as it is published.
pub(super) struct Packed {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
}

/// Makes a message ready; what is left until it expires counts from `now`.
///
/// # Errors
/// It has a part that is longer than the protocol allows: sent nevertheless, it would cost the connection. In words.
pub(super) fn pack(message: &Message, now: Timestamp, frame: u32) -> Result<Packed, String> {
    let size = FRAME + properties_size(message);
    let limit = usize::try_from(frame).unwrap_or(usize::MAX);
    if size > limit {
        return Err(format!(
            "its properties and headers have {size} bytes, and {limit} are the limit of the connection"
        ));
    }
    let own = &message.properties;
    let mut properties = BasicProperties::default()
        .with_message_id(short("id", &message.id)?)
        .with_delivery_mode(if message.persistent { 2 } else { 1 });
    if let Some(text) = &own.content_type {
        properties = properties.with_content_type(short("content type", text)?);
    }
    if let Some(text) = &own.content_encoding {
        properties = properties.with_content_encoding(short("content encoding", text)?);
    }
    if let Some(text) = &own.correlation_id {
        properties = properties.with_correlation_id(short("correlation id", text)?);
    }
    if let Some(text) = &own.reply_to {
        properties = properties.with_reply_to(short("reply-to", text)?);
    }
    if let Some(text) = &own.kind {
        properties = properties.with_type(short("type", text)?);
    }
    if let Some(text) = &own.app_id {
        properties = properties.with_app_id(short("app id", text)?);
    }
    if let Some(at) = own.timestamp {
        properties = properties.with_timestamp(u64::try_from(at.as_second()).unwrap_or_default());
    }
    if let Some(at) = own.expires {
        let left = at.as_millisecond().saturating_sub(now.as_millisecond()).clamp(0, LONGEST);
        properties = properties.with_expiration(short("expiration", &left.to_string())?);
    }
    if let Some(priority) = own.priority {
        properties = properties.with_priority(priority);
    }
    if !message.headers.is_empty() {
        properties = properties.with_headers(table(&message.headers)?);
    }
    Ok(Packed {
        exchange: short("exchange", &message.exchange)?,
        routing_key: short("routing key", &message.routing_key)?,
        properties,
    })
}

/// A message as it was received; what it says of its expiry is not kept: the broker has seen to that.
pub(super) fn unpack(delivery: &mut Delivery) -> Message {
    let read = &delivery.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    let second = |second: u64| {
        i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok())
    };
    Message {
        id: text(read.message_id()).unwrap_or_default(),
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        mandatory: false,
        persistent: *read.delivery_mode() == Some(2),
        properties: Properties {
            content_type: text(read.content_type()),
            content_encoding: text(read.content_encoding()),
            correlation_id: text(read.correlation_id()),
            reply_to: text(read.reply_to()),
            kind: text(read.kind()),
            app_id: text(read.app_id()),
            timestamp: read.timestamp().and_then(second),
            expires: None,
            priority: *read.priority(),
        },
        headers: read.headers().as_ref().map(untable).unwrap_or_default(),
        body: std::mem::take(&mut delivery.data),
    }
}

/// A text of at most 255 bytes.
fn short(what: &str, text: &str) -> Result<ShortString, String> {
    ShortString::try_new(text)
        .map_err(|_| format!("its {what} has {} bytes, at most 255 are allowed", text.len()))
}

fn table(values: &[(String, Value)]) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in values {
        table.insert(short("header's name", name)?, pack_value(value)?);
    }
    Ok(table)
}

fn pack_value(value: &Value) -> Result<AMQPValue, String> {
    Ok(match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(truth) => AMQPValue::Boolean(*truth),
        Value::Integer(number) => match i32::try_from(*number) {
            Ok(number) => AMQPValue::LongInt(number),
            Err(_) => AMQPValue::LongLongInt(*number),
        },
        Value::Text(text) => AMQPValue::LongString(text.as_str().into()),
        Value::List(values) => {
            let values = values.iter().map(pack_value).collect::<Result<Vec<_>, _>>()?;
            AMQPValue::FieldArray(FieldArray::from(values))
        }
        Value::Table(values) => AMQPValue::FieldTable(table(values)?),
    })
}

fn untable(table: &FieldTable) -> Vec<(String, Value)> {
    table.into_iter().map(|(name, value)| (name.to_string(), unpack_value(value))).collect()
}

/// A value of any type that a broker hands on; what has no type of ours becomes text.
fn unpack_value(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Void => Value::Null,
        AMQPValue::Boolean(truth) => Value::Bool(*truth),
        AMQPValue::ShortShortInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortShortUInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortInt(number) => Value::Integer((*number).into()),
        AMQPValue::ShortUInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongUInt(number) => Value::Integer((*number).into()),
        AMQPValue::LongLongInt(number) => Value::Integer(*number),
        AMQPValue::Timestamp(second) => match i64::try_from(*second) {
            Ok(second) => Value::Integer(second),
            Err(_) => Value::Text(second.to_string()),
        },
        AMQPValue::Float(number) => Value::Text(number.to_string()),
        AMQPValue::Double(number) => Value::Text(number.to_string()),
        AMQPValue::DecimalValue(number) => {
            Value::Text(format!("{}e-{}", number.value, number.scale))
        }
        AMQPValue::ShortString(text) => Value::Text(text.to_string()),
        AMQPValue::LongString(text) => {
            Value::Text(String::from_utf8_lossy(text.as_bytes()).into_owned())
        }
        AMQPValue::ByteArray(bytes) => {
            Value::Text(String::from_utf8_lossy(bytes.as_slice()).into_owned())
        }
        AMQPValue::FieldArray(values) => {
            Value::List(values.as_slice().iter().map(unpack_value).collect())
        }
        AMQPValue::FieldTable(table) => Value::Table(untable(table)),
    }
}

/// How many bytes the properties have on the wire.
fn properties_size(message: &Message) -> usize {
    let own = &message.properties;
    let texts = [
        Some(&message.id),
        own.content_type.as_ref(),
        own.content_encoding.as_ref(),
        own.correlation_id.as_ref(),
        own.reply_to.as_ref(),
        own.kind.as_ref(),
        own.app_id.as_ref(),
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| 1 + text.len()).sum();
    // Delivery mode, priority, timestamp and expiration, whether they are there or not.
    let fixed = 1 + 1 + 8 + 1 + LONGEST.to_string().len();
    let headers = if message.headers.is_empty() { 0 } else { table_size(&message.headers) };
    texts + fixed + headers
}

fn table_size(values: &[(String, Value)]) -> usize {
    4 + values.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
}

fn value_size(value: &Value) -> usize {
    1 + match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Integer(number) if i32::try_from(*number).is_ok() => 4,
        Value::Integer(_) => 8,
        Value::Text(text) => 4 + text.len(),
        Value::List(values) => 4 + values.iter().map(value_size).sum::<usize>(),
        Value::Table(values) => table_size(values),
    }
}

#[cfg(test)]
mod tests;
