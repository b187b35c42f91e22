//! `cronkeep health`: whether schedules are kept.

use std::time::Duration;

use super::Console;
use super::control::client;
use crate::args::HealthArgs;
use crate::control::shape::Health;
use crate::exit::ExitCode;
use crate::sink::record::escape;

/// A daemon that takes longer to answer is not well: its own parts have a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the daemon; says no where it does not answer.
pub(super) fn run(args: &HealthArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let client = client(&args.control, console).patience(PATIENCE);
    let health: Health = client.get_health("/healthz")?;
    if args.json {
        serde_json::to_writer(&mut *console.out, &health)?;
        writeln!(console.out)?;
    } else {
        writeln!(console.out, "{}", text(&health))?;
    }
    Ok(if health.healthy { ExitCode::Success } else { ExitCode::Failure })
}

fn text(health: &Health) -> String {
    let reasons = escape(health.reasons.join("; ").as_bytes());
    if reasons.is_empty() {
        health.word().to_owned()
    } else {
        format!("{}: {reasons}", health.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_one_line() {
        let health = |healthy, degraded, reasons: &[&str]| {
            let reasons = reasons.iter().map(ToString::to_string).collect();
            text(&Health { healthy, degraded, reasons })
        };
        assert_eq!(health(true, false, &[]), "healthy");
        assert_eq!(health(true, true, &["a\nb", "c"]), "degraded: a^Jb; c");
        assert_eq!(health(false, true, &["a"]), "unhealthy: a");
    }
}
