//! `cronkeep next`: when expressions, or the entries of crontabs, fire.

pub mod batch;
mod note;
mod stamp;
mod timeline;

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::civil::DateTime;
use serde::Serialize;

pub(super) use note::note;
pub(super) use stamp::{Stamper, civil_text, has_seconds};
pub(super) use timeline::{Timeline, Track, from_inclusive};

use super::option::duration_text;
use super::{Console, counted, is_standard_input, read_source, span_text};
use crate::args::NextArgs;
use crate::config::{default_zone, sources};
use crate::crontab::render::FaultObject;
use crate::crontab::{Compat, Expression, Fault, FieldCount, Options, expression, parse};
use crate::exit::{ExitCode, UsageError};
use crate::job::{Job, JobTable};
use crate::schedule::{Cursor, Due, Schedule, Zone};
use crate::sink::record::escape;

/// How many fires are shown where nothing limits them.
const DEFAULT_COUNT: usize = 10;

/// The widest an entry is shown in the table for people.
const ENTRY_WIDTH: usize = 44;

/// Shows the fires.
pub(super) fn run(args: &NextArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let found = default_zone(args.reading.tz.as_deref(), console.host).map_err(UsageError::from)?;
    if let Some(path) = &args.batch {
        let defaults = batch::Defaults { zone: found.zone, now: console.now, compat: compat(args) };
        if is_standard_input(path) {
            batch::answer_all(console.input, &defaults, console.out)?;
        } else {
            let mut file: Box<dyn Read> = Box::new(
                File::open(path).with_context(|| format!("failed to read {}", path.display()))?,
            );
            batch::answer_all(&mut file, &defaults, console.out)?;
        }
        return Ok(ExitCode::Success);
    }
    let zone = found.zone;
    let span = Span::new(args, &zone, console.now)?;
    let (targets, code) = if args.expressions.is_empty() {
        of_crontabs(args, &zone, &span, console)?
    } else {
        match of_expressions(args, &zone) {
            Ok(targets) => (targets, ExitCode::Success),
            Err((index, fault)) => return refuse(args, index, &fault, console),
        }
    };
    let tracks = targets.iter().map(|target| target.track(&span));
    let fires = Timeline::new(tracks).take(span.count);
    if args.json {
        write_json(fires, &targets, console.out)?;
    } else {
        write_table(fires, &targets, &zone, console)?;
    }
    Ok(code)
}

fn compat(args: &NextArgs) -> Compat {
    args.reading.compat.map_or(Compat::Cronkeep, Compat::from)
}

/// The part of time that is shown.
struct Span {
    anchor: Timestamp,
    cursor: Cursor,
    until: Option<Timestamp>,
    count: usize,
}

impl Span {
    fn new(args: &NextArgs, zone: &Zone, now: Timestamp) -> Result<Self, UsageError> {
        let read = |option: &str, text: &Option<String>| {
            let text = text.as_ref();
            text.map(|text| if text == "now" { Ok(now) } else { read_instant(text, zone) })
                .transpose()
                .map_err(|error| UsageError(format!("{option}: {error}")))
        };
        let from = read("--from", &args.from)?;
        let until = read("--until", &args.until)?;
        if until.is_some_and(|until| until < from.unwrap_or(now)) {
            let from = if from.is_some() { "--from" } else { "now: give --from, too" };
            return Err(UsageError(format!("--until is before {from}")));
        }
        let default_count = if until.is_some() { usize::MAX } else { DEFAULT_COUNT };
        Ok(Span {
            anchor: from.unwrap_or(now),
            cursor: from.map_or(Cursor::Instant(now), from_inclusive),
            until,
            count: args.count.unwrap_or(default_count),
        })
    }
}

/// An expression or an entry whose fires are shown.
enum Target {
    Expression { schedule: Schedule, zone: Zone, text: String },
    Entry(Arc<Job>),
}

impl Target {
    fn job(&self) -> Option<&Job> {
        match self {
            Target::Expression { .. } => None,
            Target::Entry(job) => Some(job),
        }
    }

    fn schedule(&self) -> &Schedule {
        match self {
            Target::Expression { schedule, .. } => schedule,
            Target::Entry(job) => job.schedule(),
        }
    }

    fn zone(&self) -> &Zone {
        match self {
            Target::Expression { zone, .. } => zone,
            Target::Entry(job) => job.zone(),
        }
    }

    /// The schedule as typed.
    fn expr(&self) -> Cow<'_, str> {
        match self {
            Target::Expression { text, .. } => text.into(),
            Target::Entry(job) => job.schedule_text().to_string_lossy(),
        }
    }

    fn track(&self, span: &Span) -> Track<'_> {
        let policy = self.job().map(Job::policy);
        let from = policy.and_then(|policy| policy.from).filter(|from| *from > span.anchor);
        let until = policy.and_then(|policy| policy.until);
        let until = [span.until, until].into_iter().flatten().min();
        let enabled = policy.is_none_or(|policy| policy.enabled);
        Track {
            schedule: self.schedule(),
            zone: self.zone(),
            anchor: span.anchor,
            cursor: from.map_or(span.cursor, from_inclusive),
            until: if enabled { until } else { Some(Timestamp::MIN) },
        }
    }

    /// What is special about one of its fires, if anything is.
    fn note(&self, due: Due) -> Option<String> {
        let clock = note(due, self.schedule(), self.zone());
        let jitter = self.job().map(|job| job.policy().jitter).filter(|jitter| !jitter.is_zero());
        let jitter = jitter.map(|jitter| format!("up to {} later", duration_text(jitter)));
        let notes: Vec<String> = clock.into_iter().chain(jitter).collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }

    /// What people see in the table: the name, the command, or the expression.
    fn label(&self) -> String {
        let text = match self {
            Target::Expression { text, .. } => escape(text.as_bytes()),
            Target::Entry(job) => job
                .name()
                .map_or_else(|| escape(job.action.command().as_bytes()), ToString::to_string),
        };
        if text.chars().count() <= ENTRY_WIDTH {
            return text;
        }
        let mut text: String = text.chars().take(ENTRY_WIDTH - 1).collect();
        text.push('…');
        text
    }
}

fn of_expressions(args: &NextArgs, zone: &Zone) -> Result<Vec<Target>, (usize, Fault)> {
    let read = |(index, text): (usize, &String)| {
        let expression = expression::parse(text.as_bytes(), FieldCount::Auto, compat(args))
            .map_err(|mistake| (index, mistake.on_line(1, text.as_bytes())))?;
        Ok(Target::Expression {
            schedule: expression.when.resolve(seed_of(&expression)),
            zone: zone.clone(),
            text: expression.text,
        })
    };
    args.expressions.iter().enumerate().map(read).collect()
}

/// The entries of the crontabs that can be had; one that cannot is reported, and hides none of the others.
fn of_crontabs(
    args: &NextArgs,
    zone: &Zone,
    span: &Span,
    console: &mut Console<'_>,
) -> anyhow::Result<(Vec<Target>, ExitCode)> {
    let mut read = Vec::new();
    let mut errors = Vec::new();
    for spec in sources(&args.files, &args.reading, console.host) {
        match read_source(&spec, console) {
            Ok(source) => {
                let crontab = parse(&source);
                read.push((source, crontab));
            }
            Err(error) => errors.push(error),
        }
    }
    let code = if errors.is_empty() { ExitCode::Success } else { ExitCode::Failure };
    // With nothing to show, the last is for the caller to tell.
    let last = if read.is_empty() { errors.pop() } else { None };
    for error in errors {
        let text = escape(format!("{error:#}").as_bytes());
        writeln!(console.err, "cronkeep: error: {text}")?;
    }
    if let Some(last) = last {
        return Err(last);
    }
    let crontabs: Vec<_> = read.iter().map(|(source, crontab)| (source, crontab)).collect();
    let (table, _, faults) =
        JobTable::build(&crontabs, zone, &Options::default(), &JobTable::default(), span.anchor);
    for (source, crontab) in &read {
        let more = faults.iter().filter(|(file, _)| *file == source.name).map(|(_, fault)| fault);
        let errors = crontab.faults.iter().chain(more).filter(|fault| fault.is_error()).count();
        if errors > 0 {
            let name = escape(source.name.as_bytes());
            let errors = counted(errors, "error", "errors");
            writeln!(console.err, "cronkeep: {name}: {errors}; cronkeep check shows them")?;
        }
    }
    let targets = table.jobs().iter().map(|job| Target::Entry(Arc::clone(job))).collect();
    Ok((targets, code))
}

/// Reports an expression that cannot be read: the answer is no.
fn refuse(
    args: &NextArgs,
    index: usize,
    fault: &Fault,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    if args.json {
        let object = FaultObject::from(fault);
        serde_json::to_writer(
            &mut *console.out,
            &serde_json::json!({"error": object, "entry": index}),
        )?;
        writeln!(console.out)?;
    } else {
        super::show_expression_fault(&args.expressions[index], fault, console)?;
    }
    Ok(ExitCode::Failure)
}

/// One fire, as `next --json` writes it; stable.
#[derive(Serialize)]
struct FireObject<'a> {
    at: &'a str,
    civil: &'a str,
    entry: usize,
    line: Option<u32>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    expr: &'a str,
    note: Option<&'a str>,
}

fn write_json(
    fires: impl Iterator<Item = (usize, Due)>,
    targets: &[Target],
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut stampers: Vec<_> = targets.iter().map(|target| Stamper::new(target.zone())).collect();
    let id = |target: &Target| target.job().map(|job| job.key.id.to_string());
    let ids: Vec<Option<String>> = targets.iter().map(id).collect();
    let mut at = Vec::with_capacity(40);
    for (index, due) in fires {
        let target = &targets[index];
        at.clear();
        stampers[index].write_instant(due.at, &mut at)?;
        let note = target.note(due);
        let object = FireObject {
            at: &String::from_utf8_lossy(&at),
            civil: &civil_text(due.civil, has_seconds(target.schedule())),
            entry: index,
            line: target.job().map(|job| job.line),
            id: ids[index].as_deref(),
            name: target.job().and_then(Job::name).map(|name| &**name),
            expr: &target.expr(),
            note: note.as_deref(),
        };
        serde_json::to_writer(&mut *out, &object)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn write_table(
    fires: impl Iterator<Item = (usize, Due)>,
    targets: &[Target],
    zone: &Zone,
    console: &mut Console<'_>,
) -> io::Result<()> {
    let labels: Vec<String> = targets.iter().map(Target::label).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(5);
    let mut any = false;
    for (index, due) in fires {
        if !any {
            let heading = format!("{:<30} {:>12}  {:<width$}  NOTE", "TIME", "IN", "ENTRY");
            writeln!(console.out, "{}", heading.trim_end())?;
            any = true;
        }
        let target = &targets[index];
        let time = due.at.to_zoned(target.zone().rules().clone());
        let time = time.strftime("%a %Y-%m-%d %H:%M:%S %:z").to_string();
        let mut notes: Vec<String> = target.note(due).into_iter().collect();
        if target.zone() != zone {
            notes.push(format!("zone {}", escape(target.zone().name().as_bytes())));
        }
        let label = &labels[index];
        let away = span_text(due.at.duration_since(console.now));
        let row = format!("{time:<30} {away:>12}  {label:<width$}  {}", notes.join("; "));
        writeln!(console.out, "{}", row.trim_end())?;
    }
    if !any {
        let is_timeless =
            |target: &Target| matches!(target.schedule(), Schedule::Reboot | Schedule::After(_));
        let why = if targets.iter().any(is_timeless) {
            "; @reboot and @after have no times of their own"
        } else {
            ""
        };
        writeln!(console.err, "cronkeep: nothing fires in this span{why}")?;
    }
    Ok(())
}

/// What `~` is drawn from where an expression stands alone.
pub(super) fn seed_of(expression: &Expression) -> u64 {
    crate::job::id::expression_seed(expression.text.as_bytes())
}

/// Reads an instant: RFC 3339 with an offset, or a date or a wall-clock time of `zone`.
///
/// A wall-clock time that occurs twice is its first occurrence; one that is skipped is read with the offset before the
/// gap.
///
/// # Errors
/// The text is neither, in words.
pub(super) fn read_instant(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let wrong = || {
        let text = escape(text.as_bytes());
        format!("{text:?} is no time: write 2026-03-29, 2026-03-29T02:30 or 2026-03-29T02:30:00Z")
    };
    let civil: DateTime = text.parse().map_err(|_| wrong())?;
    zone.rules().to_timestamp(civil).map_err(|_| wrong())
}
