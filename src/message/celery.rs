//! Tasks for Celery workers: its message protocol 2.
//!
//! A worker trusts its broker: a message without `id`, without a content type, or with a body of other than three parts
//! ends the worker's process, and comes back when it is started again. Here is the only place that makes such messages.

mod json;
mod python;
mod reply;

pub use reply::{BadReply, Reply, State};

use jiff::Timestamp;
use uuid::Uuid;

use self::json::Json;
use super::occasion::Occasion;
use super::{Message, Value, kind};

/// The namespace of the ids of tasks: an id is the `UUIDv5` of the message's id in it.
pub const NAMESPACE: Uuid = Uuid::from_u128(0x3d0b_9c1e_7a64_4f0e_9b52_c2a1_64d8_e07f);

/// The headers of a task: none of them may be set otherwise.
pub const HEADERS: [&str; 19] = [
    "lang",
    "task",
    "id",
    "shadow",
    "eta",
    "expires",
    "group",
    "group_index",
    "retries",
    "timelimit",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "replaced_task_nesting",
    "stamped_headers",
    "stamps",
];

/// What stands behind the arguments in the body: nothing follows the task.
const EMBED: &str = r#"{"callbacks": null, "errbacks": null, "chain": null, "chord": null}"#;

/// Why a text is not taken for the arguments of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTask {
    /// It is no JSON.
    #[error("the arguments of a task are a JSON array or object, and this is no JSON: {0}")]
    NoJson(String),
    /// It is another value.
    #[error(
        "the arguments of a task are a JSON array, or an object of keyword arguments, and not {0}"
    )]
    NoArguments(&'static str),
}

/// The arguments of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskArguments<'a> {
    /// As given, without blanks around it.
    text: &'a str,
    value: Json,
}

impl<'a> TaskArguments<'a> {
    /// Reads a JSON array, the arguments by their place, or an object, those by their name; nothing but blanks is none at
    /// all.
    ///
    /// # Errors
    /// It is neither.
    pub fn read(body: &'a [u8]) -> Result<Self, BadTask> {
        let text = std::str::from_utf8(body).map_err(|error| BadTask::NoJson(error.to_string()))?;
        let text = text.trim_matches([' ', '\t', '\n', '\r']);
        if text.is_empty() {
            return Ok(TaskArguments { text: "[]", value: Json::List(Vec::new()) });
        }
        let value = Json::read(text).map_err(|error| BadTask::NoJson(error.to_string()))?;
        match value {
            Json::List(_) | Json::Table(_) => Ok(TaskArguments { text, value }),
            Json::Null => Err(BadTask::NoArguments("null")),
            Json::Bool(_) => Err(BadTask::NoArguments("a truth value")),
            Json::Number(_) => Err(BadTask::NoArguments("a number: write it as [5]")),
            Json::Text(_) => Err(BadTask::NoArguments("a string: write it as [\"text\"]")),
        }
    }

    /// The body. The arguments stand in it as they were given: a number of any length stays what it is.
    fn body(&self) -> Vec<u8> {
        let text = self.text;
        match self.value {
            Json::List(_) => format!("[{text}, {{}}, {EMBED}]").into_bytes(),
            _ => format!("[[], {text}, {EMBED}]").into_bytes(),
        }
    }

    /// How Python shows them, for people who watch.
    fn representations(&self) -> [String; 2] {
        match &self.value {
            Json::List(items) => [python::tuple(items), python::dict(&[])],
            Json::Table(items) => [python::tuple(&[]), python::dict(items)],
            _ => [python::tuple(&[]), python::dict(&[])],
        }
    }
}

/// The id of the task that a message starts: the same on every resend and on every replica.
#[must_use]
pub fn task_id(message_id: &str) -> String {
    Uuid::new_v5(&NAMESPACE, message_id.as_bytes()).to_string()
}

/// Makes a message the start of a task.
pub(super) fn fill(
    message: &mut Message,
    task: &str,
    wait: bool,
    occasion: &Occasion,
    body: Option<Vec<u8>>,
) -> Result<(), BadTask> {
    let body = body.unwrap_or_default();
    let arguments = TaskArguments::read(&body)?;
    let [positional, keyword] = arguments.representations();
    let id = task_id(&message.id);
    let none = || Value::Null;
    let expires = message.properties.expires.map_or(Value::Null, |at| Value::Text(iso(at)));
    let headers: [(&str, Value); HEADERS.len()] = [
        ("lang", "py".into()),
        ("task", task.into()),
        ("id", id.clone().into()),
        ("shadow", none()),
        ("eta", none()),
        ("expires", expires),
        ("group", none()),
        ("group_index", none()),
        ("retries", Value::Integer(0)),
        ("timelimit", Value::List(vec![none(), none()])),
        ("root_id", id.clone().into()),
        ("parent_id", none()),
        ("argsrepr", positional.into()),
        ("kwargsrepr", keyword.into()),
        ("origin", format!("cronkeep@{}", occasion.host).into()),
        ("ignore_result", (!wait).into()),
        ("replaced_task_nesting", Value::Integer(0)),
        ("stamped_headers", none()),
        ("stamps", Value::Table(Vec::new())),
    ];
    message.headers.splice(0..0, headers.map(|(name, value)| (name.to_owned(), value)));
    message.properties.content_type = Some(kind::JSON.to_owned());
    message.properties.content_encoding = Some(kind::UTF_8.to_owned());
    // A worker that sends a result names the task by it.
    message.properties.correlation_id = Some(id);
    message.body = arguments.body();
    Ok(())
}

/// As Python writes an instant.
fn iso(at: Timestamp) -> String {
    let format = if at.subsec_nanosecond() == 0 { "%FT%T+00:00" } else { "%FT%T%.6f+00:00" };
    at.strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_the_arguments_and_an_object_those_by_name() {
        let body = |text: &str| {
            let bytes = TaskArguments::read(text.as_bytes()).unwrap().body();
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let parts = value.as_array().unwrap().clone();
            assert_eq!(parts.len(), 3, "a worker dies of any other number");
            assert_eq!(parts[2], serde_json::from_str::<serde_json::Value>(EMBED).unwrap());
            format!("{} {}", parts[0], parts[1])
        };
        assert_eq!(body(" [1, \"x\"]\n"), r#"[1,"x"] {}"#);
        assert_eq!(body("{\"a\": [1]}"), r#"[] {"a":[1]}"#);
        assert_eq!(body(""), "[] {}");
        assert_eq!(body(" \r\n\t"), "[] {}");
        for text in [
            "null",
            "true",
            "5",
            "\"x\"",
            "[1",
            "{a: 1}",
            "[1] [2]",
            "[NaN]",
            "[\"\\ud800\"]",
            "\u{a0}[]",
        ] {
            assert!(TaskArguments::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(TaskArguments::read(b"[\"\xff\"]").is_err());
    }

    #[test]
    fn numbers_go_through_as_they_were_given() {
        let text = "[123456789012345678901234567890, 1.10, \"\\u00fc\u{fc}\"]";
        let arguments = TaskArguments::read(text.as_bytes()).unwrap();
        assert!(String::from_utf8(arguments.body()).unwrap().contains(text));
        let shown = "(123456789012345678901234567890, 1.1, 'üü')";
        assert_eq!(arguments.representations()[0], shown);
    }

    #[test]
    fn arguments_as_deep_as_a_stack_are_refused() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(TaskArguments::read(deep.as_bytes()).is_err());
    }

    #[test]
    fn the_id_of_a_task_is_that_of_its_message_and_no_other() {
        let id = task_id("crondServiceTask-00112233445566ff:1795162680");
        assert_eq!(id, task_id("crondServiceTask-00112233445566ff:1795162680"));
        assert_ne!(id, task_id("crondServiceTask-00112233445566ff:1795162681"));
        let parsed: Uuid = id.parse().unwrap();
        assert_eq!(parsed.get_version_num(), 5);
    }

    #[test]
    fn an_instant_is_written_as_python_writes_it() {
        let at = |text: &str| iso(text.parse().unwrap());
        assert_eq!(at("2026-11-22T10:00:00Z"), "2026-11-22T10:00:00+00:00");
        assert_eq!(at("2026-11-22T10:00:00.5Z"), "2026-11-22T10:00:00.500000+00:00");
    }
}
