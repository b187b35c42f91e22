//! `cronkeep check`: what is wrong with crontabs, for people, scripts and code hosts.

pub mod expiry;
pub mod lookup;
mod publish;
pub mod record;

use std::sync::Arc;

use jiff::Timestamp;

use super::{Console, counted, read_source};
use crate::args::CheckArgs;
use crate::config::{default_zone, sources};
use crate::crontab::render;
use crate::crontab::{Code, Crontab, Entry, Fault, LineKind, Mistake, Options, Source, parse};
use crate::exit::{ExitCode, UsageError};
use crate::job::{Job, JobTable};
use crate::schedule::Zone;
use crate::schedule::describe;
use crate::sink::record::escape;
use lookup::Lookup;

/// A crontab with everything that can be said about it.
#[derive(Debug)]
pub struct Examined {
    /// As read from the file.
    pub source: Source,
    /// Its lines.
    pub crontab: Crontab,
    /// Its entries as jobs.
    pub table: JobTable,
    /// Every fault, by line and column: of the grammar, of the set of jobs, of the host.
    pub faults: Vec<Fault>,
}

impl Examined {
    /// Reads a crontab and looks up what its text alone does not tell.
    ///
    /// `now` is where the year begins of which daylight saving is judged, and what expired entries lie behind.
    #[must_use]
    pub fn new(source: Source, zone: &Zone, now: Timestamp, lookup: &dyn Lookup) -> Self {
        let crontab = parse(&source);
        let (table, _, of_table) = JobTable::build(
            &[(&source, &crontab)],
            zone,
            &Options::default(),
            &JobTable::default(),
            now,
        );
        let mut faults = crontab.faults.clone();
        faults.extend(of_table.into_iter().map(|(_, fault)| fault));
        faults.extend(lookup::faults(&source, &crontab, lookup));
        faults.extend(expiry::faults(&source, &crontab, (&table, now), |_| false));
        faults.extend(clock_changes(&source, &crontab, &table, now));
        faults.sort_by_key(|fault| (fault.line, fault.column, fault.code));
        Examined { source, crontab, table, faults }
    }

    /// How many entries that run, errors and warnings there are.
    #[must_use]
    pub fn counts(&self) -> [usize; 3] {
        let errors = self.faults.iter().filter(|fault| fault.is_error()).count();
        [self.table.len(), errors, self.faults.len() - errors]
    }

    /// Whether it passes: no error, and with `strict` no warning.
    #[must_use]
    pub fn passes(&self, strict: bool) -> bool {
        if strict { self.faults.is_empty() } else { !self.faults.iter().any(Fault::is_error) }
    }

    /// The job that an entry became.
    #[must_use]
    pub fn job_of(&self, entry: &Entry) -> Option<&Arc<Job>> {
        let jobs = self.table.jobs();
        let index = jobs.binary_search_by_key(&entry.line, |job| job.line).ok()?;
        Some(&jobs[index])
    }
}

/// A warning for each entry that daylight saving moves, repeats or leaves out within a year.
fn clock_changes(
    source: &Source,
    crontab: &Crontab,
    table: &JobTable,
    now: Timestamp,
) -> Vec<Fault> {
    let lines = crontab.lines.iter().filter_map(|line| match &line.kind {
        LineKind::Entry(entry) => Some((line, entry)),
        _ => None,
    });
    lines
        .filter_map(|(line, entry)| {
            let jobs = table.jobs();
            let job = &jobs[jobs.binary_search_by_key(&entry.line, |job| job.line).ok()?];
            // A wildcard entry is meant to follow the clock, wherever the clock goes.
            if job.is_wildcard() {
                return None;
            }
            let remark = describe::remarks(job.schedule(), job.zone(), now).into_iter().next()?;
            let start = entry.schedule_span.start.saturating_sub(line.span.start);
            let end = entry.schedule_span.end.saturating_sub(line.span.start);
            let text = &source.bytes[line.span.clone()];
            let help = "choose a time outside the change of the clock, or a zone without one";
            let mistake = Mistake::new(Code::W018, start..end, remark);
            Some(mistake.with_help(help).on_line(entry.line, text))
        })
        .collect()
}

/// Reads every crontab and reports; exit code 1 where one does not pass or cannot be read.
pub(super) fn run(args: &CheckArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let found = default_zone(args.reading.tz.as_deref(), console.host).map_err(UsageError::from)?;
    let lookup = lookup::HostLookup::default();
    let mut examined = Vec::new();
    let mut unread = Vec::new();
    let mut read_any = false;
    let mut code = ExitCode::Success;
    let mut totals = [0; 3];
    for spec in sources(&args.files, &args.reading, console.host) {
        let source = match read_source(&spec, console) {
            Ok(source) => source,
            Err(error) => {
                code = ExitCode::Failure;
                let text = escape(format!("{error:#}").as_bytes());
                writeln!(console.err, "cronkeep: error: {text}")?;
                let name = spec.path.display().to_string();
                if args.json {
                    record::write_unreadable(&name, spec.dialect.format, &text, console.out)?;
                }
                unread.push((name, text));
                continue;
            }
        };
        read_any = true;
        let one = Examined::new(source, &found.zone, console.now, &lookup);
        let passes = one.passes(args.strict);
        if !passes {
            code = ExitCode::Failure;
        }
        for (total, count) in totals.iter_mut().zip(one.counts()) {
            *total += count;
        }
        if args.json {
            record::write(&one, passes, console.out)?;
        } else if args.sarif {
            examined.push(one);
        } else {
            show(&one, console)?;
        }
    }
    if args.sarif {
        let files = examined.iter().map(|one| (&*one.source.name, &one.faults[..]));
        serde_json::to_writer_pretty(&mut *console.out, &render::sarif(files, &unread))?;
        writeln!(console.out)?;
    } else if !args.json && (read_any || unread.is_empty()) {
        let [entries, errors, warnings] = totals;
        let entries = counted(entries, "entry", "entries");
        let errors = counted(errors, "error", "errors");
        let warnings = counted(warnings, "warning", "warnings");
        writeln!(console.out, "{entries}, {errors}, {warnings}")?;
    }
    Ok(code)
}

/// Writes the faults of one crontab, each with its line and a caret.
fn show(examined: &Examined, console: &mut Console<'_>) -> anyhow::Result<()> {
    let name = &examined.source.name;
    let lines = render::Lines::of(&examined.source.bytes);
    for fault in &examined.faults {
        let text = render::caret(name, &lines, fault, console.coloured);
        writeln!(console.out, "{text}\n")?;
    }
    Ok(())
}
