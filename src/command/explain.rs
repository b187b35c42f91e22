//! `cronkeep explain`: a schedule, or a line of a crontab, in words.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::check::lookup::HostLookup;
use super::check::{Examined, expiry};
use super::next::{Stamper, note, seed_of};
use super::option::{self, duration_text};
use super::{Console, read_source, show_expression_fault, span_text};
use crate::args::ExplainArgs;
use crate::config::{SourceSpec, default_zone, dialect};
use crate::crontab::render;
use crate::crontab::{Code, Compat, Entry, FieldCount, LineKind, Mistake, expression};
use crate::exit::{ExitCode, UsageError};
use crate::job::Job;
use crate::schedule::describe::{describe, remarks};
use crate::schedule::{Due, Schedule, Zone};
use crate::sink::record::escape;
use crate::watch::Trust;

/// How many fires are shown.
const FIRES: usize = 5;

/// The width of the names on the left.
const NAME_WIDTH: usize = 12;

/// What is explained.
enum Subject {
    Expression(String),
    Line(PathBuf, u32),
}

impl Subject {
    /// `FILE:LINE` if it has that form and cannot be read as a schedule.
    fn new(text: &str, compat: Compat) -> Self {
        let line = text.rsplit_once(':').and_then(|(file, line)| {
            let line: u32 = line.parse().ok()?;
            (!file.is_empty()).then(|| (PathBuf::from(file), line))
        });
        match line {
            Some((file, line))
                if expression::parse(text.as_bytes(), FieldCount::Auto, compat).is_err()
                    && !text.starts_with('@') =>
            {
                Subject::Line(file, line)
            }
            _ => Subject::Expression(text.to_owned()),
        }
    }
}

/// Explains.
pub(super) fn run(args: &ExplainArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let found = default_zone(args.reading.tz.as_deref(), console.host).map_err(UsageError::from)?;
    let text = args.what.to_str().ok_or_else(|| UsageError("not UTF-8".to_owned()))?;
    let compat = args.reading.compat.map_or(Compat::Cronkeep, Compat::from);
    match Subject::new(text, compat) {
        Subject::Expression(text) => explain_expression(&text, compat, &found.zone, console),
        Subject::Line(path, line) => {
            let dialect = dialect(&path, &args.reading, console.host);
            let spec = SourceSpec { path, dialect, named: true, trust: Trust::Named };
            explain_line(&spec, line, &found.zone, console)
        }
    }
}

fn explain_expression(
    text: &str,
    compat: Compat,
    zone: &Zone,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let expression = match expression::parse(text.as_bytes(), FieldCount::Auto, compat) {
        Ok(expression) => expression,
        Err(mistake) => {
            let mistake = pasted_line(text.as_bytes(), compat).unwrap_or(mistake);
            let fault = mistake.on_line(1, text.as_bytes());
            show_expression_fault(text, &fault, console)?;
            return Ok(ExitCode::Failure);
        }
    };
    let schedule = expression.when.resolve(seed_of(&expression));
    row("schedule", &expression.text, console)?;
    let now = console.now;
    explain_schedule(&schedule, zone, now, console)?;
    let dues = schedule.fires(zone, now, now);
    let never = || match schedule {
        Schedule::Reboot | Schedule::After(_) => "",
        _ => expiry::spent(&schedule, zone, now),
    };
    show_dues(dues, &schedule, zone, Duration::ZERO, never, console)?;
    Ok(ExitCode::Success)
}

/// The mistake of a schedule that a command follows, as on a line of a crontab; `None` if it is another one.
fn pasted_line(text: &[u8], compat: Compat) -> Option<Mistake> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let starts: Vec<usize> = (0..text.len())
        .filter(|&place| !is_blank(&text[place]) && (place == 0 || is_blank(&text[place - 1])))
        .collect();
    let is_schedule =
        |end: usize| expression::parse(&text[..end], FieldCount::Auto, compat).is_ok();
    let rest = [7, 6, 5, 2, 1]
        .into_iter()
        .filter_map(|count| starts.get(count).copied())
        .find(|&start| is_schedule(text[..start].trim_ascii_end().len()))?;
    // What begins as a field does is more likely a wrong field than a command.
    if text[rest].is_ascii_digit() || text[rest] == b'*' {
        return None;
    }
    let span = rest..text.trim_ascii_end().len();
    let message = "a command follows the schedule";
    let help = "give the schedule alone, or FILE:LINE";
    Some(Mistake::new(Code::E010, span, message).with_help(help))
}

fn explain_line(
    spec: &SourceSpec,
    number: u32,
    zone: &Zone,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let source = read_source(spec, console)?;
    let examined = Examined::new(source, zone, console.now, &HostLookup::default());
    let name = escape(examined.source.name.as_bytes());
    let index = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
    let Some(line) = examined.crontab.lines.get(index) else {
        let count = examined.crontab.lines.len();
        anyhow::bail!("{name} has no line {number}: it has {count}");
    };
    let mut code = ExitCode::Success;
    match &line.kind {
        LineKind::Entry(entry) => {
            explain_entry(entry, examined.job_of(entry).map(|job| &**job), zone, console)?;
        }
        LineKind::Blank => writeln!(console.out, "a blank line")?,
        LineKind::Comment => writeln!(console.out, "a comment")?,
        LineKind::Directive => {
            writeln!(console.out, "a directive: it sets options of the next entry")?;
        }
        LineKind::Setting(setting) => {
            row("setting", &escape(setting.name.as_bytes()), console)?;
            row("value", &escape(setting.value.as_bytes()), console)?;
        }
        LineKind::Error => {
            code = ExitCode::Failure;
            writeln!(console.out, "a line that does not run")?;
        }
    }
    let lines = render::Lines::of(&examined.source.bytes);
    for fault in examined.faults.iter().filter(|fault| fault.line == number) {
        let text = render::caret(&examined.source.name, &lines, fault, console.coloured);
        writeln!(console.out, "\n{text}")?;
    }
    Ok(code)
}

fn explain_entry(
    entry: &Entry,
    job: Option<&Job>,
    zone: &Zone,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    if let Some(description) = &entry.description {
        row("description", &escape(description.as_bytes()), console)?;
    }
    row("schedule", &escape(entry.schedule_text.as_bytes()), console)?;
    let Some(job) = job else {
        let zone = entry.zone.as_ref().unwrap_or(zone);
        explain_schedule(&entry.when.resolve(0), zone, console.now, console)?;
        return Ok(row("next", "never: the entry does not run", console)?);
    };
    let now = console.now;
    let policy = job.policy();
    let from = policy.from.map_or(now, |from| from.max(now));
    explain_schedule(job.schedule(), job.zone(), from, console)?;
    let never = || expiry::reason(job, now).unwrap_or_default();
    show_dues(job.fires(now), job.schedule(), job.zone(), policy.jitter, never, console)?;
    row("user", &escape(entry.user.as_bytes()), console)?;
    row("command", &escape(job.action.command().as_bytes()), console)?;
    let mut name = "stdin";
    let stdin = job.action.stdin().map_or(&b""[..], |stdin| stdin.as_bytes());
    for line in stdin.split_inclusive(|byte| *byte == b'\n') {
        row(name, &escape(line.strip_suffix(b"\n").unwrap_or(line)), console)?;
        name = "";
    }
    let mut name = "settings";
    for setting in &entry.settings.0 {
        let text =
            format!("{}={}", escape(setting.name.as_bytes()), escape(setting.value.as_bytes()));
        row(name, &text, console)?;
        name = "";
    }
    let mut name = "options";
    for (option, value) in option::pairs(&entry.options) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        row(name, &format!("{option}={}", escape(value.as_bytes())), console)?;
        name = "";
    }
    let marks = [
        (entry.flags.dont_log, "starts and ends are not logged"),
        (entry.flags.mail_when_err, "output is reported only when the run fails"),
        (entry.flags.single_job, "no second run while one is alive"),
    ];
    let mut name = "marks";
    for (_, text) in marks.into_iter().filter(|(set, _)| *set) {
        row(name, text, console)?;
        name = "";
    }
    if let Some(name) = job.name() {
        row("name", name, console)?;
    }
    row("id", &job.key.to_string(), console)?;
    Ok(())
}

/// The words, the zone, and what its clock changes do.
fn explain_schedule(
    schedule: &Schedule,
    zone: &Zone,
    from: Timestamp,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    row("in words", &escape(describe(schedule).as_bytes()), console)?;
    row("zone", &escape(zone.name().as_bytes()), console)?;
    let mut name = "remarks";
    for remark in remarks(schedule, zone, from) {
        row(name, &remark, console)?;
        name = "";
    }
    Ok(())
}

/// The next fires, or why there is none.
fn show_dues(
    dues: impl Iterator<Item = Due>,
    schedule: &Schedule,
    zone: &Zone,
    jitter: Duration,
    never: impl Fn() -> &'static str,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let mut stamper = Stamper::new(zone);
    let mut name = "next";
    for due in dues.take(FIRES) {
        let mut at = Vec::new();
        stamper.write_instant(due.at, &mut at)?;
        let away = span_text(due.at.duration_since(console.now));
        let mut text = format!("{}  in {away}", String::from_utf8_lossy(&at));
        if let Some(note) = note(due, schedule, zone) {
            text.push_str("  ");
            text.push_str(&note);
        }
        if !jitter.is_zero() {
            text.extend(["  up to ", &duration_text(jitter), " later"]);
        }
        row(name, &text, console)?;
        name = "";
    }
    if name == "next" {
        let waits = match schedule {
            Schedule::Reboot => Some("at the start"),
            Schedule::After(_) => Some("when the other job has ended"),
            _ => None,
        };
        // An entry that is not enabled waits for nothing.
        let text = match (waits, never()) {
            (Some(waits), "") => waits.to_owned(),
            (_, reason) => format!("never: {reason}"),
        };
        row("next", &text, console)?;
    }
    Ok(())
}

/// One `name  value` line; the value is printable.
fn row(name: &str, value: &str, console: &mut Console<'_>) -> std::io::Result<()> {
    writeln!(console.out, "{}", format!("{name:<NAME_WIDTH$} {value}").trim_end())
}
