//! CloudEvents 1.0, binary mode: the attributes are headers, the data is the body.
//!
//! The names begin with `cloudEvents_`, as the binding for AMQP has it; `datacontenttype` is the property `content-type`.

use std::fmt::Write as _;

use serde::Serialize;

use super::arguments::{Arguments, Property};
use super::occasion::Occasion;
use super::{Message, Value};

/// What kind of event it is, unless the arguments say.
const TYPE: &str = "io.cronkeep.job.fired.v1";

/// What an event tells where no body is given.
#[derive(Debug, Serialize)]
struct Fired<'a> {
    job_id: Option<&'a str>,
    name: Option<&'a str>,
    scheduled_at: Option<&'a str>,
    #[serde(rename = "fired_at")]
    now: String,
    attempt: Option<u32>,
    user: Option<&'a str>,
    command: Option<&'a str>,
    schedule: Option<&'a str>,
    host: &'a str,
}

/// The data of an event without a body: what the fire is about, as JSON; what is not known is null.
pub(super) fn data(occasion: &Occasion) -> Vec<u8> {
    let fired = Fired {
        job_id: occasion.job_id.as_deref(),
        name: occasion.job_name.as_deref(),
        scheduled_at: occasion.scheduled_at.as_deref(),
        now: occasion.now.to_string(),
        attempt: occasion.attempt,
        user: occasion.user.as_deref(),
        command: occasion.command.as_deref(),
        schedule: occasion.schedule.as_deref(),
        host: &occasion.host,
    };
    // Texts and numbers always have a form in JSON.
    serde_json::to_vec(&fired).unwrap_or_default()
}

/// Adds the attributes.
pub(super) fn fill(message: &mut Message, arguments: &Arguments, occasion: &Occasion) {
    let kind = arguments.properties.iter().rev().find_map(|property| match property {
        Property::Kind(kind) => Some(kind.clone()),
        _ => None,
    });
    let time = occasion.scheduled_at.clone().unwrap_or_else(|| occasion.now.to_string());
    let attributes = [
        ("specversion", Some("1.0".to_owned())),
        ("id", Some(message.id.clone())),
        ("source", Some(source(&occasion.host))),
        ("type", Some(kind.unwrap_or_else(|| TYPE.to_owned()))),
        ("subject", occasion.job_id.clone()),
        ("time", Some(time)),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            message.headers.push((format!("cloudEvents_{name}"), Value::Text(value)));
        }
    }
}

/// Where events of a host come from: a reference to a resource, so what means something in one is escaped.
fn source(host: &str) -> String {
    let mut source = "/cronkeep/".to_owned();
    for byte in host.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            source.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(source, "%{byte:02X}");
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_reference_whatever_the_host_is_called() {
        assert_eq!(source("web-1.example.org"), "/cronkeep/web-1.example.org");
        assert_eq!(source("a b/ü"), "/cronkeep/a%20b%2F%C3%BC");
    }
}
