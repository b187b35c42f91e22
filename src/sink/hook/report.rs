//! What a failed run is reported with.

use std::collections::VecDeque;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::{Ended, Outcome};
use crate::schedule::Zone;

/// Bytes of a run's output that are kept for its end: the last ones.
const TAIL: usize = 10_000;

/// What is known of a run before its end.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) started: Option<Timestamp>,
    /// Line ends included.
    printed: u64,
    tail: VecDeque<u8>,
}

impl Told {
    /// Adds a line of output.
    pub(super) fn add(&mut self, line: &[u8]) {
        self.printed = self.printed.saturating_add(u64::try_from(line.len()).unwrap_or(0) + 1);
        let line = &line[line.len().saturating_sub(TAIL - 1)..];
        let surplus = (self.tail.len() + line.len() + 1).saturating_sub(TAIL);
        self.tail.drain(..surplus);
        self.tail.extend(line);
        self.tail.push_back(b'\n');
    }

    /// The last bytes of output.
    pub(super) fn tail(&self) -> Vec<u8> {
        self.tail.iter().copied().collect()
    }
}

/// The report of a failed run: the fields of its history, and the end of what it printed.
pub(super) fn of(end: &Ended, told: &Told, replica: &str) -> String {
    let run = &end.run;
    let (job, due) = (&run.fire.job, run.fire.due);
    let stamp = |at: Timestamp| stamp(at, job.zone());
    let reason = match (&end.outcome, end.cause) {
        (Outcome::CouldNotStart { reason } | Outcome::Lost { reason }, _) => {
            Value::from(reason.as_str())
        }
        (_, Some(cause)) => cause.to_string().into(),
        (outcome, None) => outcome.cause().map_or(Value::Null, |cause| cause.to_string().into()),
    };
    let milliseconds = |span: std::time::Duration| u64::try_from(span.as_millis()).ok();
    json!({
        "run": run.id.to_string(),
        "key": job.key.to_string(),
        "name": job.name().map(|name| &**name),
        "scheduled": stamp(due.at),
        "trigger": run.fire.trigger.name(),
        "attempt": run.attempt,
        "queued": null,
        "started": told.started.map(stamp),
        "ended": stamp(end.at),
        "outcome": end.outcome.name(),
        "exit": end.outcome.exit(),
        "signal": end.outcome.signal(),
        "reason": reason,
        "user_cpu_ms": milliseconds(end.usage.user),
        "system_cpu_ms": milliseconds(end.usage.system),
        "max_rss_kib": end.usage.max_rss_kib,
        "replica": replica,
        "output_bytes": told.printed,
        "output": String::from_utf8_lossy(&told.tail()),
    })
    .to_string()
}

/// RFC 3339 to the millisecond, with the zone's offset.
fn stamp(at: Timestamp, zone: &Zone) -> String {
    format!("{:.3}", at.display_with_offset(zone.offset(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept_within_bounds() {
        let mut told = Told::default();
        told.add(b"first");
        assert_eq!(told.tail(), b"first\n");
        told.add(&vec![b'x'; 20_000]);
        assert_eq!(told.tail().len(), TAIL);
        for n in 0..10_000 {
            told.add(n.to_string().as_bytes());
        }
        let tail = told.tail();
        assert!(tail.len() <= TAIL && tail.ends_with(b"\n9998\n9999\n"));
        assert_eq!(told.printed, 6 + 20_001 + 48_890);
    }
}
