//! What the commands share that speak to a daemon: its socket, its jobs' names, its times.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::{Console, span_text};
use crate::args::ControlArgs;
use crate::config::{ROOTS_CONTROL, default_control};
use crate::control::client::Client;
use crate::control::shape::RunObject;
use crate::sink::record::escape;

/// The client for the daemon that `args` mean.
pub(super) fn client(args: &ControlArgs, console: &Console<'_>) -> Client {
    let client = Client::new(&path(args, console));
    match &args.control {
        None if console.host.uid != 0 => client.hint(Path::new(ROOTS_CONTROL)),
        _ => client,
    }
}

/// The socket of the daemon that `args` mean.
pub(super) fn path(args: &ControlArgs, console: &Console<'_>) -> PathBuf {
    args.control.clone().unwrap_or_else(|| default_control(console.host))
}

/// What people call a job: its name, or the digits of its id.
pub(super) fn label(name: Option<&str>, key: &str) -> String {
    let digits = key.strip_prefix("crondServiceTask-").unwrap_or(key);
    escape(name.unwrap_or(digits).as_bytes())
}

/// How far an instant is from now: `4m 3s`, whichever side of it; none if the text is no instant.
pub(super) fn distance(at: Option<&str>, now: Timestamp) -> Option<SignedDuration> {
    let at: Timestamp = at?.parse().ok()?;
    Some(at.duration_since(now))
}

/// `in 4m 3s`, `now`.
pub(super) fn ahead(at: Option<&str>, now: Timestamp) -> Option<String> {
    let distance = distance(at, now)?;
    let is_now = distance.as_secs() <= 0;
    Some(if is_now { "now".to_owned() } else { format!("in {}", span_text(distance)) })
}

/// `4m 3s`: how long ago.
pub(super) fn since(at: Option<&str>, now: Timestamp) -> Option<String> {
    let distance = distance(at, now)?;
    Some(span_text(-distance.min(SignedDuration::ZERO)))
}

/// How a run ended, in a word or two; and whether that is good.
pub(super) fn ending(run: &RunObject) -> (String, bool) {
    match (run.outcome.as_deref(), run.exit, run.signal) {
        (None, ..) => ("running".to_owned(), true),
        (Some("succeeded"), ..) => ("ok".to_owned(), true),
        (Some("failed"), Some(exit), _) => (format!("exit {exit}"), false),
        (Some("killed"), _, Some(signal)) => (format!("signal {signal}"), false),
        (Some(outcome), ..) => (outcome.to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_without_a_name_is_called_by_its_digits() {
        assert_eq!(label(Some("backup"), "crondServiceTask-00ff"), "backup");
        assert_eq!(label(None, "crondServiceTask-00ff#2"), "00ff#2");
        assert_eq!(label(Some("\x1b[2J"), ""), "^[[2J");
    }

    #[test]
    fn times_are_told_from_now() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(ahead(Some("2026-01-01T01:05:00+01:00"), now).unwrap(), "in 5m");
        assert_eq!(ahead(Some("2026-01-01T00:00:00Z"), now).unwrap(), "now");
        assert_eq!(since(Some("2025-12-31T23:59:58.500Z"), now).unwrap(), "1s");
        assert_eq!(since(Some("2026-01-01T00:00:01Z"), now).unwrap(), "0s");
        assert_eq!(since(Some("soon"), now), None);
    }

    #[test]
    fn an_end_is_told_in_a_word_or_two() {
        let run = |outcome: &str, exit, signal| RunObject {
            outcome: Some(outcome.to_owned()),
            exit,
            signal,
            ..RunObject::default()
        };
        assert_eq!(ending(&run("succeeded", Some(0), None)), ("ok".to_owned(), true));
        assert_eq!(ending(&run("failed", Some(3), None)), ("exit 3".to_owned(), false));
        assert_eq!(ending(&run("killed", None, Some(9))), ("signal 9".to_owned(), false));
        assert_eq!(ending(&run("timed out", Some(1), None)), ("timed out".to_owned(), false));
        assert_eq!(ending(&RunObject::default()), ("running".to_owned(), true));
    }
}
