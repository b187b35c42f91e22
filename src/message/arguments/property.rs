//! What `--property NAME=VALUE` sets.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// The longest text that AMQP has room for where it is no body and no header's value, in bytes.
pub const LONGEST: usize = 255;

/// What the names of headers of ours begin with.
const OURS: [&str; 3] = ["cronkeep-", "cloudEvents_", "cloudEvents:"];

/// The names, as a message for people has them.
const NAMES: &str =
    "content-type, content-encoding, priority, expires, type, app-id, reply-to, header.NAME";

/// A property of a message, or a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Property {
    /// `content-type`
    ContentType(String),
    /// `content-encoding`
    ContentEncoding(String),
    /// `priority`: 0 to 255.
    Priority(u8),
    /// `expires`, or `expiration`: for how long the message is worth anything, from when it is made.
    Expires(Duration),
    /// `type`
    Kind(String),
    /// `app-id`
    AppId(String),
    /// `reply-to`
    ReplyTo(String),
    /// `header.NAME`, or `headers.NAME`
    Header(String, String),
}

impl Property {
    /// Reads `NAME=VALUE`.
    ///
    /// # Errors
    /// In words: there is no such property, or no such value of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("a property is written NAME=VALUE")?;
        if let Some(header) = name.strip_prefix("header.").or(name.strip_prefix("headers.")) {
            return Self::header(header, value);
        }
        let text = || short(name, value);
        Ok(match name {
            "content-type" => Property::ContentType(text()?),
            "content-encoding" => Property::ContentEncoding(text()?),
            "priority" => Property::Priority(
                value.parse().map_err(|_| "a priority is a number from 0 to 255")?,
            ),
            "expires" | "expiration" => Property::Expires(length(value)?),
            "type" => Property::Kind(text()?),
            "app-id" => Property::AppId(text()?),
            "reply-to" => Property::ReplyTo(text()?),
            _ => return Err(unknown(name)),
        })
    }

    fn header(name: &str, value: &str) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a header is written header.NAME=VALUE".to_owned());
        }
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            return Err(format!("the header {name} is not to be set: it tells of the fire"));
        }
        Ok(Property::Header(short("the name of a header", name)?, value.to_owned()))
    }

    /// Its name, as on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Property::ContentType(_) => "content-type",
            Property::ContentEncoding(_) => "content-encoding",
            Property::Priority(_) => "priority",
            Property::Expires(_) => "expires",
            Property::Kind(_) => "type",
            Property::AppId(_) => "app-id",
            Property::ReplyTo(_) => "reply-to",
            Property::Header(..) => "header",
        }
    }
}

/// Names that are meant as often as they are mistaken.
fn unknown(name: &str) -> String {
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let meant = match plain.as_str() {
        "contenttype" | "mimetype" | "datacontenttype" => "content-type",
        "contentencoding" | "encoding" | "charset" => "content-encoding",
        "expire" | "expires" | "expiration" | "expiry" | "ttl" => "expires",
        "priority" | "prio" => "priority",
        "type" | "messagetype" | "kind" => "type",
        "appid" | "app" => "app-id",
        "replyto" => "reply-to",
        "header" | "headers" => "header.NAME",
        _ => return format!("there is no such property: it is one of {NAMES}"),
    };
    format!("there is no such property: did you mean {meant}?")
}

/// A text that AMQP has room for.
pub(super) fn short(what: &str, text: &str) -> Result<String, String> {
    if text.len() > LONGEST {
        return Err(format!("{what} has {} bytes, at most {LONGEST} fit", text.len()));
    }
    Ok(text.to_owned())
}

/// `90s`, `1h30m`, `2d`: a day has 24 hours here.
fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is written 90s, 5m, 1h30m, 2d or 1w".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    let length = Duration::try_from(length)
        .map_err(|_| "a message cannot have expired before it is made")?;
    if length.is_zero() {
        return Err("a message that expires at once is never seen".to_owned());
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_is_read() {
        let text = |text: &str| text.to_owned();
        for (given, expected) in [
            ("content-type=text/csv", Property::ContentType(text("text/csv"))),
            ("content-encoding=gzip", Property::ContentEncoding(text("gzip"))),
            ("priority=9", Property::Priority(9)),
            ("expires=90s", Property::Expires(Duration::from_secs(90))),
            ("expiration=1h30m", Property::Expires(Duration::from_secs(5400))),
            ("expires=2d", Property::Expires(Duration::from_secs(2 * 86_400))),
            ("expires=1w", Property::Expires(Duration::from_secs(7 * 86_400))),
            ("expires=500ms", Property::Expires(Duration::from_millis(500))),
            ("type=a.b", Property::Kind(text("a.b"))),
            ("app-id=", Property::AppId(String::new())),
            ("reply-to=q", Property::ReplyTo(text("q"))),
            ("header.x=a=b", Property::Header(text("x"), text("a=b"))),
            ("headers.a.b=", Property::Header(text("a.b"), String::new())),
        ] {
            let read = Property::parse(given).unwrap();
            assert_eq!(read, expected);
            assert!(given.starts_with(read.name()) || given.starts_with("expiration"), "{given}");
        }
    }

    #[test]
    fn a_mistake_is_told_with_what_to_write() {
        let long = "x".repeat(256);
        for (given, told) in [
            ("priority", "NAME=VALUE"),
            ("priority=256", "0 to 255"),
            ("priority=-1", "0 to 255"),
            ("expires=90", "90s"),
            ("expires=1mo", "90s"),
            ("expires=-5s", "expired before"),
            ("expires=0s", "never seen"),
            ("contentType=a", "did you mean content-type?"),
            ("content_type=a", "did you mean content-type?"),
            ("ttl=5s", "did you mean expires?"),
            ("message-id=5", "one of content-type"),
            ("header.=a", "header.NAME=VALUE"),
            ("header=a", "did you mean header.NAME?"),
            ("header.cronkeep-host=a", "not to be set"),
            (&format!("header.{long}=a"), "256 bytes"),
            (&format!("type={long}"), "256 bytes"),
        ] {
            let error = Property::parse(given).unwrap_err();
            assert!(error.contains(told), "{given}: {error}");
        }
        assert!(Property::parse(&format!("type={}", &long[1..])).is_ok());
    }
}
