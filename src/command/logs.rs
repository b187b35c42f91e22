//! `cronkeep logs`: what a job or a run printed.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Value, json};

use super::archive::{Archive, everything};
use super::control::{client, label};
use super::{Console, counted};
use crate::args::LogsArgs;
use crate::config::default_zone;
use crate::control::client::{Error, segment};
use crate::control::shape::RunObject;
use crate::exit::{ExitCode, UsageError};
use crate::schedule::Zone;
use crate::sink::record::escape;
use crate::store::record::{OutputLine, RecordedOutcome};
use crate::store::{Output, RunRecord};

/// One thing that the daemon tells of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    run: Option<String>,
    key: String,
    name: Option<String>,
    line: Option<String>,
    left_out: Option<u64>,
    unknown: bool,
    going: bool,
    ended: Option<RunObject>,
}

/// Runs of a job whose output is read from the store.
const RUNS: usize = 10;
/// Among how many of its last runs those that printed something are looked for.
const LOOKED_AT: usize = 1_000;

/// Prints lines as the daemon tells them; what it does not know, as the store has kept it.
pub(super) fn run(args: &LogsArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let follow = if args.follow { "?follow=true" } else { "" };
    let target = format!("/api/v1/logs/{}{follow}", segment(&args.what));
    let mut reader =
        Reader { coloured: console.coloured, is_json: args.json, is_away: false, run: None };
    let mut is_known = false;
    let told = client(&args.control, console).get_lines(&target, |line| {
        is_known = true;
        reader.read(line, console.out)?;
        if args.follow { console.out.flush() } else { Ok(()) }
    });
    if is_known || args.follow {
        told?;
        return Ok(ExitCode::Success);
    }
    reader.is_away = told.is_err();
    let what = escape(args.what.as_bytes());
    let more = match (told, kept(args, &mut reader, console)) {
        (_, Ok(1..)) => return Ok(ExitCode::Success),
        (_, Ok(0)) => format!("; `cronkeep history {what}` lists its runs"),
        // If it is only the daemon that knows the job, nobody holds anything that it has printed.
        (Ok(()), Err(_)) => String::new(),
        // A mistake in what was asked for, which it can name best.
        (Err(refused @ Error::Refused { .. }), Err(_)) => return Err(refused.into()),
        (Err(away), Err(error)) => return Err(error.context(away)),
    };
    // Whoever sees nothing would not know whether there is nothing.
    writeln!(console.err, "cronkeep: nothing that {what} has printed is known{more}")?;
    Ok(ExitCode::Success)
}

/// Prints what the store has kept of the job or the run; says of how many runs.
fn kept(args: &LogsArgs, reader: &mut Reader, console: &mut Console<'_>) -> anyhow::Result<usize> {
    let archive = Archive::open(&args.store, console.host)?;
    let zone = default_zone(None, console.host).map_err(UsageError::from)?.zone;
    let of_jobs = |jobs: &[_]| anyhow::Ok((archive.runs(jobs, &everything(LOOKED_AT))?.0, false));
    let (mut runs, is_run) = match archive.late_jobs(&args.what) {
        Ok(found) if !found.jobs.is_empty() => of_jobs(&Vec::from_iter(found.jobs))?,
        late => {
            let attempts = archive.run(&args.what)?;
            if attempts.is_empty() {
                of_jobs(&archive.named(&args.what, late?)?)?
            } else {
                (attempts, true)
            }
        }
    };
    // The last attempt of each run tells how it ended.
    // One that goes on may be recorded a moment before it is known to have started.
    let is_worth = |record: &RunRecord| record.started.is_some() || record.outcome.is_none();
    runs.retain(|record| record.attempt > 0 && (is_run || is_worth(record)));
    runs.dedup_by_key(|record| record.run);
    let mut found = Vec::new();
    for record in runs {
        if found.len() == RUNS {
            break;
        }
        let output = archive.output(record.run)?;
        if output.is_some() || is_run || is_unknown(&record) || record.outcome.is_none() {
            found.push((record, output.unwrap_or_default()));
        }
    }
    for (record, output) in found.iter().rev() {
        for told in told(record, output, &zone) {
            reader.read(told.to_string().as_bytes(), console.out)?;
        }
    }
    Ok(found.len())
}

/// Whether a run may have printed what nobody has kept: it had started, and its daemon died.
fn is_unknown(record: &RunRecord) -> bool {
    record.outcome == Some(RecordedOutcome::Lost) && record.started.is_some()
}

/// What a daemon would tell of a run.
fn told(record: &RunRecord, output: &Output, zone: &Zone) -> Vec<Value> {
    let run = record.run.to_string();
    let line = |line: &OutputLine| {
        json!({
            "run": run,
            "key": record.key.to_string(),
            "name": record.job_name(),
            "stream": if line.is_error { "stderr" } else { "stdout" },
            "detached": line.detached,
            "line": escape(&line.bytes),
        })
    };
    let mut told: Vec<Value> = output.head.iter().map(line).collect();
    if output.left_out > 0 {
        let (key, name) = (record.key.to_string(), record.job_name());
        told.push(json!({ "run": run, "key": key, "name": name, "left_out": output.left_out }));
    }
    told.extend(output.tail.iter().map(line));
    if told.is_empty() && is_unknown(record) {
        let (key, name) = (record.key.to_string(), record.job_name());
        told.push(json!({ "run": run, "key": key, "name": name, "unknown": true }));
    }
    if record.outcome.is_none() {
        let (key, name) = (record.key.to_string(), record.job_name());
        told.push(json!({ "run": run, "key": key, "name": name, "going": true }));
    } else {
        told.push(json!({ "run": run, "ended": RunObject::recorded(record, zone.rules()) }));
    }
    told
}

/// Tells the lines of one run from those of the next.
#[derive(Debug, Default)]
struct Reader {
    coloured: bool,
    is_json: bool,
    /// Whether the daemon that was asked is not there, or is another one.
    is_away: bool,
    /// The run whose line came last.
    run: Option<String>,
}

impl Reader {
    /// Prints one thing that is told, as people read it or as it is.
    fn read(&mut self, line: &[u8], out: &mut dyn Write) -> io::Result<()> {
        if !self.is_json {
            return self.write(&serde_json::from_slice(line)?, out);
        }
        out.write_all(line.strip_suffix(b"\n").unwrap_or(line))?;
        out.write_all(b"\n")
    }

    fn write(&mut self, told: &Told, out: &mut dyn Write) -> io::Result<()> {
        if let Some(run) = &told.run
            && (told.line.is_some() || told.left_out.is_some() || told.unknown || told.going)
            && self.run.as_deref() != Some(run)
        {
            let label = label(told.name.as_deref(), &told.key);
            self.remark(out, &format!("{label} run {run}"))?;
            self.run = Some(run.clone());
        }
        if let Some(line) = &told.line {
            // The daemon has escaped it; whoever answers in its place may not have.
            writeln!(out, "{}", escape(line.as_bytes()))?;
        }
        if let Some(count) = told.left_out {
            let lines = counted(usize::try_from(count).unwrap_or(usize::MAX), "line", "lines");
            self.remark(out, &format!("{lines} left out"))?;
        }
        if told.unknown {
            self.remark(out, "what it printed was not kept")?;
        }
        if told.going {
            let text = "it has not ended; what it prints is kept when it has";
            let where_else = if self.is_away {
                ", and told before by the daemon that runs it alone: --control names its socket"
            } else {
                ""
            };
            self.remark(out, &format!("{text}{where_else}"))?;
        }
        if let Some(ended) = &told.ended {
            let words = escape(ended.reason.as_deref().unwrap_or("ended").as_bytes());
            let is_lost = ended.outcome.as_deref() == Some(RecordedOutcome::Lost.name());
            // Its record has the reason alone.
            let before = if is_lost && !words.starts_with("lost") { "lost: " } else { "" };
            let label = label(ended.name.as_deref(), &ended.key);
            self.remark(out, &format!("{label} run {} {before}{words}", ended.run))?;
        }
        Ok(())
    }

    /// Something that the job did not print.
    fn remark(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        let (faint, plain) = if self.coloured { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        writeln!(out, "{faint}-- {text}{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_two_runs_are_told_apart() {
        let told = [
            r#"{"run":"01A","key":"k","name":"job","line":"one"}"#,
            r#"{"run":"01A","key":"k","name":"job","line":"two"}"#,
            r#"{"run":"01A","left_out":7}"#,
            r#"{"run":"01A","ended":{"run":"01A","name":"job","reason":"succeeded"}}"#,
            r#"{"run":"01B","key":"k","name":"job","line":"\u001b[2J"}"#,
            r#"{"run":"01C","key":"k","name":"job","left_out":1}"#,
            r#"{"run":"01D","key":"k","name":"job","unknown":true}"#,
            r#"{"run":"01E","key":"k","name":"job","going":true}"#,
            r#"{"run":"01D","ended":{"run":"01D","name":"job","outcome":"lost","reason":"ended unobserved"}}"#,
        ];
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        for line in told {
            reader.write(&serde_json::from_str(line).unwrap(), &mut out).unwrap();
        }
        let expected = "\
-- job run 01A
one
two
-- 7 lines left out
-- job run 01A succeeded
-- job run 01B
^[[2J
-- job run 01C
-- 1 line left out
-- job run 01D
-- what it printed was not kept
-- job run 01E
-- it has not ended; what it prints is kept when it has
-- job run 01D lost: ended unobserved
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
