//! `check --json`: a crontab line by line, as one object; stable.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::Examined;
use crate::command::option;
use crate::crontab::render::FaultObject;
use crate::crontab::{Compat, Entry, Format, Line, LineKind, Text};
use crate::job::Job;
use crate::schedule::{Days, Schedule, Years};

/// One crontab.
#[derive(Serialize)]
struct FileObject<'a> {
    file: &'a str,
    format: &'static str,
    ok: bool,
    lines: Vec<LineObject<'a>>,
    faults: Vec<FaultObject<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// One line.
#[derive(Serialize)]
struct LineObject<'a> {
    line: u32,
    #[serde(flatten)]
    kind: KindObject<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum KindObject<'a> {
    Blank,
    Comment,
    Directive,
    Setting { name: &'a Text, value: &'a Text },
    Entry(Box<EntryObject<'a>>),
    Error,
}

#[derive(Serialize)]
struct EntryObject<'a> {
    id: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<Field>,
    minute: Field,
    hour: Field,
    dom: Field,
    month: Field,
    dow: Field,
    #[serde(skip_serializing_if = "Option::is_none")]
    year: Option<Field>,
    schedule: &'a Text,
    flags: Vec<&'static str>,
    user: &'a Text,
    command: &'a Text,
    env: Vec<(&'a Text, &'a Text)>,
    options: serde_json::Map<String, serde_json::Value>,
    tz: &'a str,
}

/// The values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    All,
    Values(Vec<u16>),
    /// Of a day field whose days depend on the month.
    Typed(String),
}

impl Serialize for Field {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Field::All => serializer.serialize_str("all"),
            Field::Values(values) => values.serialize(serializer),
            Field::Typed(text) => serializer.serialize_str(text),
        }
    }
}

impl Field {
    /// The bits of `mask` from `first` to `last`.
    fn of_mask(mask: u64, first: u16, last: u16) -> Self {
        let values: Vec<u16> = (first..=last).filter(|bit| mask >> bit & 1 == 1).collect();
        if values.len() == usize::from(last - first) + 1 {
            Field::All
        } else {
            Field::Values(values)
        }
    }

    const NONE: Field = Field::Values(Vec::new());
}

/// Whether the fields of an extended schedule begin with the seconds: only supercronic's six do not.
fn has_seconds(entry: &Entry, compat: Compat) -> bool {
    let text = entry.schedule_text.as_bytes();
    !(compat == Compat::Supercronic && text.split(|byte| *byte == b' ').count() == 6)
}

/// The calendar fields of a schedule, as sets.
struct Fields {
    second: Option<Field>,
    minute: Field,
    hour: Field,
    dom: Field,
    month: Field,
    dow: Field,
    year: Option<Field>,
}

impl Fields {
    fn of(schedule: &Schedule, entry: &Entry, compat: Compat) -> Self {
        let text = entry.schedule_text.to_string_lossy();
        let tokens: Vec<&str> = text.split(' ').collect();
        match schedule {
            Schedule::Calendar(calendar) => Fields {
                second: None,
                minute: Field::of_mask(calendar.minutes, 0, 59),
                hour: Field::of_mask(calendar.hours.into(), 0, 23),
                dom: days_of_month(&calendar.days, tokens.get(2)),
                month: Field::of_mask(calendar.months.into(), 1, 12),
                dow: days_of_week(&calendar.days, tokens.get(4)),
                year: None,
            },
            Schedule::Extended(extended) => {
                let fields = extended.fields();
                let has_seconds = has_seconds(entry, compat);
                let first = usize::from(has_seconds);
                Fields {
                    second: has_seconds.then(|| Field::of_mask(fields.seconds, 0, 59)),
                    minute: Field::of_mask(fields.minutes, 0, 59),
                    hour: Field::of_mask(fields.hours.into(), 0, 23),
                    dom: days_of_month(&fields.days, tokens.get(first + 2)),
                    month: Field::of_mask(fields.months.into(), 1, 12),
                    dow: days_of_week(&fields.days, tokens.get(first + 4)),
                    year: fields.years.map(|years| years_of(&years)),
                }
            }
            Schedule::Every(_) | Schedule::At(_) | Schedule::Reboot | Schedule::After(_) => {
                Fields {
                    second: None,
                    minute: Field::NONE,
                    hour: Field::NONE,
                    dom: Field::NONE,
                    month: Field::NONE,
                    dow: Field::NONE,
                    year: None,
                }
            }
        }
    }
}

fn days_of_month(days: &Days, token: Option<&&str>) -> Field {
    match token {
        Some(token) if days.special.as_ref().is_some_and(|special| special.in_month()) => {
            Field::Typed((*token).to_owned())
        }
        _ => Field::of_mask(days.dom.into(), 1, 31),
    }
}

/// Sunday is both 0 and 7, as in cronie.
fn days_of_week(days: &Days, token: Option<&&str>) -> Field {
    match token {
        Some(token) if days.special.as_ref().is_some_and(|special| special.in_week()) => {
            Field::Typed((*token).to_owned())
        }
        _ => Field::of_mask(u64::from(days.dow) | u64::from(days.dow & 1) << 7, 0, 7),
    }
}

fn years_of(years: &Years) -> Field {
    if *years == Years::all() {
        return Field::All;
    }
    Field::Values(years.iter().filter_map(|year| u16::try_from(year).ok()).collect())
}

/// The marks of an entry by their names in cronie.
fn flags(entry: &Entry, schedule: &Schedule, compat: Compat) -> Vec<&'static str> {
    let text = entry.schedule_text.as_bytes();
    let tokens: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    let is_star = |index: usize| tokens.get(index).is_some_and(|token| token.starts_with(b"*"));
    let stars = match schedule {
        Schedule::Calendar(calendar) => {
            let days = &calendar.days;
            [calendar.minute_star, calendar.hour_star, days.dom_star, days.dow_star]
        }
        Schedule::Extended(extended) => {
            let days = &extended.fields().days;
            let first = usize::from(has_seconds(entry, compat));
            [is_star(first), is_star(first + 1), days.dom_star, days.dow_star]
        }
        _ => [false; 4],
    };
    let names = ["MIN_STAR", "HR_STAR", "DOM_STAR", "DOW_STAR"];
    let mut flags: Vec<&'static str> =
        names.into_iter().zip(stars).filter_map(|(name, star)| star.then_some(name)).collect();
    let marks = [
        ("WHEN_REBOOT", matches!(schedule, Schedule::Reboot)),
        ("DONT_LOG", entry.flags.dont_log),
        ("MAIL_WHEN_ERR", entry.flags.mail_when_err),
        ("SINGLE_JOB", entry.flags.single_job),
    ];
    flags.extend(marks.into_iter().filter_map(|(name, set)| set.then_some(name)));
    flags
}

fn entry_object<'a>(entry: &'a Entry, job: &'a Job, compat: Compat) -> EntryObject<'a> {
    let schedule = job.schedule();
    let fields = Fields::of(schedule, entry, compat);
    EntryObject {
        id: job.key.id.to_string(),
        key: job.key.to_string(),
        second: fields.second,
        minute: fields.minute,
        hour: fields.hour,
        dom: fields.dom,
        month: fields.month,
        dow: fields.dow,
        year: fields.year,
        schedule: &entry.schedule_text,
        flags: flags(entry, schedule, compat),
        user: &entry.user,
        command: &entry.command,
        env: entry.settings.0.iter().map(|setting| (&setting.name, &setting.value)).collect(),
        options: option::pairs(&entry.options).into_iter().collect(),
        tz: job.zone().name(),
    }
}

fn line_object<'a>(line: &'a Line, examined: &'a Examined) -> LineObject<'a> {
    let kind = match &line.kind {
        LineKind::Blank => KindObject::Blank,
        LineKind::Comment => KindObject::Comment,
        LineKind::Directive => KindObject::Directive,
        LineKind::Setting(setting) => {
            KindObject::Setting { name: &setting.name, value: &setting.value }
        }
        LineKind::Entry(entry) => {
            let compat = examined.source.dialect.compat;
            // An entry that waits for nothing, or for itself, became no job: it does not run.
            examined.job_of(entry).map_or(KindObject::Error, |job| {
                KindObject::Entry(Box::new(entry_object(entry, job, compat)))
            })
        }
        LineKind::Error => KindObject::Error,
    };
    LineObject { line: line.number, kind }
}

fn format_name(format: Format) -> &'static str {
    match format {
        Format::System => "system",
        Format::User => "user",
    }
}

/// Writes the object of one crontab, and a newline.
pub(super) fn write(examined: &Examined, ok: bool, out: &mut dyn Write) -> io::Result<()> {
    let object = FileObject {
        file: &examined.source.name,
        format: format_name(examined.source.dialect.format),
        ok,
        lines: examined.crontab.lines.iter().map(|line| line_object(line, examined)).collect(),
        faults: examined.faults.iter().map(FaultObject::from).collect(),
        error: None,
    };
    write_line(&object, out)
}

/// Writes the object of a crontab that could not be read, and a newline.
pub(super) fn write_unreadable(
    file: &str,
    format: Format,
    error: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    let object = FileObject {
        file,
        format: format_name(format),
        ok: false,
        lines: Vec::new(),
        faults: Vec::new(),
        error: Some(error),
    };
    write_line(&object, out)
}

fn write_line(object: &FileObject<'_>, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    out.write_all(b"\n")
}
