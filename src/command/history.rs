//! `cronkeep history`: what was run, and what was not.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::archive::{Archive, everything};
use super::control::{ending, label};
use super::next::read_instant;
use super::table::{Cell, Table, Tint};
use super::{Console, span_text};
use crate::args::HistoryArgs;
use crate::config::default_zone;
use crate::control::shape::RunObject;
use crate::event::Trigger;
use crate::exit::{ExitCode, UsageError};
use crate::schedule::Zone;
use crate::sink::record::escape;
use crate::store::record::RecordedOutcome;
use crate::store::{Query, RunRecord};

/// Reads the store, and shows what it has kept.
pub(super) fn run(args: &HistoryArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let zone = default_zone(None, console.host).map_err(UsageError::from)?.zone;
    let query = query(args, &zone, console.now)?;
    let archive = Archive::open(&args.store, console.host)?;
    let jobs = match args.job.as_ref().or(args.named_job.as_ref()) {
        Some(job) => archive.jobs(job)?,
        None => Vec::new(),
    };
    let (runs, cursor) = archive.runs(&jobs, &query)?;
    if args.json {
        for record in &runs {
            serde_json::to_writer(&mut *console.out, &RunObject::recorded(record, zone.rules()))?;
            console.out.write_all(b"\n")?;
        }
    } else if runs.is_empty() {
        // Of none that were asked for nothing can be said.
        if args.limit > 0 {
            writeln!(console.out, "no runs")?;
        }
    } else {
        table(&runs, zone.rules()).write(console.out, console.coloured, console.width)?;
    }
    if let Some(cursor) = cursor {
        // Nothing of it stands in the answer itself.
        console.out.flush()?;
        writeln!(console.err, "there are more: --cursor {cursor}")?;
    }
    Ok(ExitCode::Success)
}

fn query(args: &HistoryArgs, zone: &Zone, now: Timestamp) -> Result<Query, UsageError> {
    let instant = |option: &str, text: &Option<String>| match text.as_deref() {
        None => Ok(None),
        Some("now") => Ok(Some(now)),
        Some(text) => read_instant(text, zone)
            .map(Some)
            .map_err(|error| UsageError(format!("{option}: {error}"))),
    };
    Ok(Query {
        outcomes: args.outcomes.iter().copied().map(RecordedOutcome::from).collect(),
        since: instant("--since", &args.since)?,
        until: instant("--until", &args.until)?,
        cursor: args.cursor.clone(),
        ..everything(args.limit)
    })
}

fn table(runs: &[RunRecord], zone: &TimeZone) -> Table<7> {
    let heads = ["WHEN", "JOB", "RUN", "HOW", "TOOK", "WORKER", "WHY"];
    let mut table = Table::new(heads, [19, 20, 9, 16, 12, 30, usize::MAX]);
    for record in runs {
        let object = RunObject::recorded(record, zone);
        table.push([
            when(record, zone).into(),
            label(record.job_name(), &object.key).into(),
            name_of_run(record).into(),
            how(record, &object),
            took(record).into(),
            escape(record.worker.as_deref().unwrap_or_default().as_bytes()).into(),
            why(record, zone).into(),
        ]);
    }
    table
}

/// When it started; of what did not, when it was due.
fn when(record: &RunRecord, zone: &TimeZone) -> String {
    instant(record.started.unwrap_or(record.due.at), zone)
}

fn instant(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The end of its id, and which attempt it was after the first.
fn name_of_run(record: &RunRecord) -> String {
    match record.attempt {
        0 => String::new(),
        1 => record.run.short(),
        attempt => format!("{}/{attempt}", record.run.short()),
    }
}

fn how(record: &RunRecord, object: &RunObject) -> Cell {
    let (word, is_good) = ending(object);
    let word = match record.range {
        None | Some((_, 1)) => word,
        Some((_, count)) => format!("{word} {count} times"),
    };
    let tint = match record.outcome {
        None => Tint::Plain,
        Some(RecordedOutcome::Skipped) => Tint::Faint,
        Some(_) if is_good => Tint::Good,
        Some(_) => Tint::Bad,
    };
    Cell::new(word, tint)
}

fn took(record: &RunRecord) -> String {
    let Some((from, to)) = record.started.zip(record.ended) else { return String::new() };
    let took = to.duration_since(from).max(SignedDuration::ZERO);
    if took < SignedDuration::from_secs(1) {
        format!("{} ms", took.as_millis())
    } else {
        span_text(took)
    }
}

/// What the other columns do not tell.
fn why(record: &RunRecord, zone: &TimeZone) -> String {
    let reason = reason(record);
    // The other columns tell of the first.
    let up_to = record
        .range
        .filter(|&(_, count)| count > 1)
        .map(|(last, _)| format!("the last at {}", instant(last.at, zone)));
    // It started at another time than the one it was for.
    let for_which = (record.trigger == Trigger::CatchUp && record.started.is_some())
        .then(|| format!("catch-up of {}", instant(record.due.at, zone)));
    let parts = [up_to, for_which, Some(reason).filter(|reason| !reason.is_empty())];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn reason(record: &RunRecord) -> String {
    let reason = record.reason.as_deref().unwrap_or_default();
    let text = match record.outcome {
        None | Some(RecordedOutcome::Succeeded | RecordedOutcome::TimedOut) => "",
        // Behind the exit code or the signal.
        Some(RecordedOutcome::Failed | RecordedOutcome::Killed) => {
            reason.split_once(", ").map_or("", |(_, cause)| cause)
        }
        Some(RecordedOutcome::CouldNotStart) => {
            reason.strip_prefix("could not start: ").unwrap_or(reason)
        }
        Some(_) => reason,
    };
    escape(text.as_bytes())
}

#[cfg(test)]
mod tests;
