//! The options of an entry by their names in a crontab, for people and for JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::crontab::Options;
use crate::crontab::directive::{Await, CatchUp, Executor, Output, Overlap};

/// The options that the crontab gives, with their names as in a directive; durations in its syntax.
#[must_use]
pub fn pairs(options: &Options) -> Vec<(String, Value)> {
    let duration = |value: &Option<Duration>| value.map(|value| json!(duration_text(value)));
    let overlap = options.overlap.map(|overlap| match overlap {
        Overlap::Allow => "allow",
        Overlap::Skip => "skip",
        Overlap::Queue => "queue",
        Overlap::Replace => "replace",
    });
    let catch_up = options.catch_up.map(|catch_up| match catch_up {
        CatchUp::None => "none",
        CatchUp::Latest => "latest",
        CatchUp::All => "all",
    });
    let executor = options.executor.as_ref().map(|executor| match executor {
        Executor::Shell => "shell".to_owned(),
        Executor::Worker(queue) => format!("worker:{queue}"),
    });
    let result = options.result.map(|result| match result {
        Await::None => "none",
        Await::Wait => "wait",
    });
    let output = options.output.map(|output| match output {
        Output::Log => "log",
        Output::None => "none",
    });
    let table = [
        ("name", options.name.as_deref().map(Value::from)),
        ("enabled", options.enabled.map(|enabled| json!(if enabled { "yes" } else { "no" }))),
        ("timeout", duration(&options.timeout)),
        ("kill-after", duration(&options.kill_after)),
        ("overlap", overlap.map(Value::from)),
        ("max-instances", options.max_instances.map(Value::from)),
        ("grace", duration(&options.grace)),
        ("catch-up", catch_up.map(Value::from)),
        ("catch-up-window", duration(&options.catch_up_window)),
        ("catch-up-max", options.catch_up_max.map(Value::from)),
        ("retries", options.retries.map(Value::from)),
        ("retry-delay", duration(&options.retry_delay)),
        ("retry-backoff", options.retry_backoff.map(Value::from)),
        ("jitter", duration(&options.jitter)),
        ("success-codes", options.success_codes.as_deref().map(|codes| json!(codes))),
        ("from", options.from.map(|from| json!(from.to_string()))),
        ("until", options.until.map(|until| json!(until.to_string()))),
        ("tz", options.tz.as_ref().map(|tz| json!(tz.name()))),
        ("ping", options.ping.as_deref().map(Value::from)),
        ("on-failure", options.on_failure.as_deref().map(Value::from)),
        ("executor", executor.map(Value::from)),
        ("expires", duration(&options.expires)),
        ("result", result.map(Value::from)),
        ("output", output.map(Value::from)),
    ];
    table.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A duration in the crontab's syntax, its largest units first: `1h30m`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    // Writing to a string does not fail.
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if seconds >= size {
            let _ = write!(text, "{}{unit}", seconds / size);
            seconds %= size;
        }
    }
    for (unit, size) in [("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
        let part = duration.subsec_nanos() / size % 1_000;
        if part > 0 {
            let _ = write!(text, "{part}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_crontab_gives_is_listed() {
        assert!(pairs(&Options::default()).is_empty());
        let options = Options {
            timeout: Some(Duration::from_secs(600)),
            enabled: Some(false),
            success_codes: Some([0, 3][..].into()),
            ..Options::default()
        };
        assert_eq!(
            pairs(&options),
            [
                ("enabled".to_owned(), json!("no")),
                ("timeout".to_owned(), json!("10m")),
                ("success-codes".to_owned(), json!([0, 3])),
            ]
        );
    }

    #[test]
    fn durations_read_as_they_are_written() {
        for (millis, text) in
            [(0, "0s"), (1500, "1s500ms"), (5_400_000, "1h30m"), (90_000_000, "1d1h")]
        {
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
    }
}
