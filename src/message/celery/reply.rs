//! What a worker answers.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::Json;

/// What a worker says of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The task.
    pub task_id: String,
    /// How it is with it.
    pub state: State,
    /// What it returned, as JSON on one line; or why there is no result, in words.
    pub result: String,
    /// Where it failed, as Python tells, on several lines.
    pub traceback: Option<String>,
}

/// How it is with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It returned.
    Succeeded,
    /// It raised an exception, took too long, or its worker's process died.
    Failed,
    /// It was taken back, or had expired.
    Revoked,
    /// It is at work, or will be tried again: there is more to come.
    Pending,
}

/// Why an answer is none.
#[derive(Debug, thiserror::Error)]
#[error("the worker's answer cannot be read: {0}")]
pub struct BadReply(#[from] serde_json::Error);

/// An answer, as it comes in JSON.
#[derive(Debug, Deserialize)]
struct Answer<'a> {
    status: String,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    traceback: Option<String>,
    task_id: String,
}

impl Reply {
    /// Reads the body of an answer: JSON, as workers send it unless they are told otherwise.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8]) -> Result<Self, BadReply> {
        let Answer { status, result, traceback, task_id } = serde_json::from_slice(bytes)?;
        let result = result.map_or(Ok(Json::Null), Json::of)?;
        let state = match status.as_str() {
            "SUCCESS" => State::Succeeded,
            "FAILURE" => State::Failed,
            "REVOKED" | "REJECTED" | "IGNORED" => State::Revoked,
            _ => State::Pending,
        };
        let result = match state {
            State::Succeeded | State::Pending => result.to_string(),
            State::Failed | State::Revoked => reason(&result).unwrap_or(status),
        };
        Ok(Reply { task_id, state, result, traceback })
    }

    /// Whether no further answer comes for the task.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.state != State::Pending
    }

    /// Whether the task returned.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.state == State::Succeeded
    }
}

/// An exception in a line: `ValueError: too large`.
fn reason(result: &Json) -> Option<String> {
    let kind = result.get("exc_type")?.as_text()?;
    let message = match result.get("exc_message") {
        Some(Json::Text(text)) => text.clone(),
        Some(Json::List(parts)) => {
            let words =
                |part: &Json| part.as_text().map_or_else(|| part.to_string(), str::to_owned);
            parts.iter().map(words).collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    };
    Some(if message.is_empty() { kind.to_owned() } else { format!("{kind}: {message}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reply {
        Reply::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_result_is_json_on_one_line() {
        let reply = read(
            r#"{"status": "SUCCESS", "result": {"a": [1, "x\ny"]}, "traceback": null, "children": [],
                "date_done": "2026-11-21T10:00:00.000001+00:00", "task_id": "t"}"#,
        );
        assert!(reply.is_success() && reply.is_final());
        assert_eq!((reply.task_id.as_str(), reply.result.as_str()), ("t", r#"{"a":[1,"x\ny"]}"#));
        let exact =
            r#"{"status": "SUCCESS", "result": [1.10, 18446744073709551617], "task_id": "t"}"#;
        assert_eq!(read(exact).result, "[1.10,18446744073709551617]");
        assert_eq!(read(r#"{"status": "SUCCESS", "result": null, "task_id": "t"}"#).result, "null");
    }

    #[test]
    fn a_failure_is_told_in_words() {
        for (result, words) in [
            (
                r#"{"exc_type": "ValueError", "exc_message": ["too large"], "exc_module": "builtins"}"#,
                "ValueError: too large",
            ),
            (r#"{"exc_type": "KeyError", "exc_message": [1, "b"]}"#, "KeyError: 1, b"),
            (
                r#"{"exc_type": "TimeLimitExceeded", "exc_message": "TimeLimitExceeded(2,)"}"#,
                "TimeLimitExceeded: TimeLimitExceeded(2,)",
            ),
            (r#"{"exc_type": "Error", "exc_message": []}"#, "Error"),
            ("null", "FAILURE"),
        ] {
            let reply = read(&format!(
                r#"{{"status": "FAILURE", "result": {result}, "task_id": "t", "traceback": "x"}}"#
            ));
            assert_eq!((reply.result.as_str(), reply.state), (words, State::Failed));
            assert!(reply.is_final() && !reply.is_success());
        }
        assert_eq!(
            read(r#"{"status": "REVOKED", "result": null, "task_id": "t"}"#).state,
            State::Revoked
        );
    }

    #[test]
    fn a_task_that_is_at_work_has_more_to_say() {
        for status in ["PENDING", "STARTED", "RETRY", "RECEIVED", "SOMETHING"] {
            assert!(!read(&format!(r#"{{"status": "{status}", "task_id": "t"}}"#)).is_final());
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for bytes in [&b""[..], b"{}", b"[1]", b"\xff", br#"{"status": 1, "task_id": "t"}"#] {
            assert!(Reply::read(bytes).unwrap_err().to_string().contains("cannot be read"));
        }
    }
}
