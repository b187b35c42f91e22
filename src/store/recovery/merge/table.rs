//! A crontab taken apart into its jobs, each with all that its text says about it.
use std::rc::Rc;

use super::ambient::Ambient;
use crate::crontab::{Crontab, Dialect, Entry, LineKind, Source, parse};
use crate::job::{Canonical, JobId};

/// A crontab and its jobs.
pub(in crate::store::recovery) struct Table {
    pub(in crate::store::recovery) source: Source,
    pub(in crate::store::recovery) crontab: Crontab,
    pub(in crate::store::recovery) jobs: Vec<Job>,
}

/// A line that runs a command, or that was meant to: one that cannot be read is kept as carefully as the others.
pub(in crate::store::recovery) struct Job {
    pub(in crate::store::recovery) id: JobId,
    /// Its place among the lines.
    pub(super) place: usize,
    /// Where the comments directly above it begin; its own place if there are none.
    pub(super) run: usize,
    /// The comment that says what it is for.
    pub(super) description: Option<usize>,
    /// Its directives.
    pub(super) directives: Vec<usize>,
    /// The settings in force.
    pub(super) ambient: Rc<Ambient>,
    /// Whether it was read as an entry.
    pub(in crate::store::recovery) is_entry: bool,
}

/// A job's description, directives and settings.
pub(super) type Surroundings<'a> = (Option<&'a [u8]>, Vec<&'a [u8]>, &'a Ambient);

impl Table {
    pub(in crate::store::recovery) fn of(bytes: &[u8], dialect: &Dialect) -> Self {
        let source = Source { name: "-".into(), bytes: bytes.to_vec(), dialect: dialect.clone() };
        let crontab = parse(&source);
        let mut jobs = Vec::new();
        let mut ambient = Rc::new(Ambient::default());
        let mut run = None;
        for (place, line) in crontab.lines.iter().enumerate() {
            let text = &source.bytes[line.span.clone()];
            match &line.kind {
                LineKind::Comment | LineKind::Directive => {
                    run.get_or_insert(place);
                    continue;
                }
                LineKind::Blank => {}
                LineKind::Setting(setting) => Ambient::set(&mut ambient, setting),
                LineKind::Error if Ambient::refuse(&mut ambient, text) => {}
                LineKind::Error | LineKind::Entry(_) => {
                    let entry = match &line.kind {
                        LineKind::Entry(entry) => Some(entry.as_ref()),
                        _ => None,
                    };
                    let run = run.unwrap_or(place);
                    let directives = (run..place)
                        .filter(|&at| matches!(crontab.lines[at].kind, LineKind::Directive))
                        .collect();
                    jobs.push(Job {
                        id: id_of(text, entry, dialect),
                        place,
                        run,
                        description: entry
                            .and_then(|entry| description(&source, &crontab, run, place, entry)),
                        directives,
                        ambient: ambient.clone(),
                        is_entry: entry.is_some(),
                    });
                }
            }
            run = None;
        }
        Table { source, crontab, jobs }
    }

    /// A line's text, without its end.
    pub(in crate::store::recovery) fn text(&self, place: usize) -> &[u8] {
        &self.source.bytes[self.crontab.lines[place].span.clone()]
    }

    /// The texts of a job's directives.
    pub(super) fn directives(&self, job: &Job) -> Vec<&[u8]> {
        job.directives.iter().map(|&place| self.text(place).trim_ascii()).collect()
    }

    /// What a job's description says, without the sign and blanks around it.
    pub(super) fn description(&self, job: &Job) -> Option<&[u8]> {
        job.description.map(|place| words(self.text(place)))
    }

    /// All that is said about a job above its line.
    pub(super) fn surroundings<'a>(&'a self, job: &'a Job) -> Surroundings<'a> {
        (self.description(job), self.directives(job), &job.ambient)
    }

    /// Whom a job runs as.
    pub(super) fn user_of(&self, job: &Job) -> &[u8] {
        match &self.crontab.lines[job.place].kind {
            LineKind::Entry(entry) => entry.user.as_bytes(),
            _ => self.source.dialect.user.as_bytes(),
        }
    }

    /// When the entry is due, as far as its line says.
    pub(super) fn when(&self, job: &Job) -> Option<&crate::crontab::When> {
        match &self.crontab.lines[job.place].kind {
            LineKind::Entry(entry) => Some(&entry.when),
            _ => None,
        }
    }
}

fn id_of(line: &[u8], entry: Option<&Entry>, dialect: &Dialect) -> JobId {
    if let Some(entry) = entry {
        return JobId::of_entry(line, entry, dialect);
    }
    // An entry that a directive keeps from running is still the same job.
    let owner = super::owner(dialect);
    Canonical::of_line(line, owner)
        .map_or_else(|| JobId::of_mark(line.trim_ascii()), |canonical| canonical.id)
}

/// The last comment of a run that says what the entry was given as its description.
fn description(
    source: &Source,
    crontab: &Crontab,
    run: usize,
    place: usize,
    entry: &Entry,
) -> Option<usize> {
    let said = entry.description.as_ref()?;
    (run..place).rev().find(|&at| {
        let line = &crontab.lines[at];
        matches!(line.kind, LineKind::Comment)
            && words(&source.bytes[line.span.clone()]) == said.as_bytes()
    })
}

/// A comment's text without the signs and blanks around it, and that of any other line.
pub(super) fn words(comment: &[u8]) -> &[u8] {
    let edge = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'#');
    let start = comment.iter().position(|byte| !edge(byte)).unwrap_or(comment.len());
    let end = comment.iter().rposition(|byte| !edge(byte)).map_or(start, |last| last + 1);
    &comment[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_with_all_that_stands_above_it() {
        let text = "A=1\n# heading\n\n# Dump\n# cronkeep: name=dump\n# again\n0 2 * * * root x\n1 2 * * * root y\n";
        let table = Table::of(text.as_bytes(), &Dialect::system());
        let [x, y] = &table.jobs[..] else { panic!("two jobs") };
        assert_eq!((x.place, x.run, x.directives.as_slice()), (6, 3, &[4][..]));
        assert_eq!(table.description(x), Some(&b"again"[..]));
        assert_eq!((y.place, y.run, y.description), (7, 7, None));
        assert!(Rc::ptr_eq(&x.ambient, &y.ambient));
    }

    #[test]
    fn an_entry_that_its_directive_blocks_is_the_same_job() {
        let of = |text: &str| Table::of(text.as_bytes(), &Dialect::system());
        let blocked = of("# cronkeep: enabled=perhaps\n0 2 * * * root x\n");
        let fine = of("0 2 * * * root x\n");
        assert!(!blocked.jobs[0].is_entry && fine.jobs[0].is_entry);
        assert_eq!(blocked.jobs[0].id, fine.jobs[0].id);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_no_less_a_line() {
        let of = |text: &str| Table::of(text.as_bytes(), &Dialect::system()).jobs[0].id;
        assert_eq!(of("61 * * * * root x\n"), of("61 * * * * root x\r\n"));
        assert_ne!(of("61 * * * * root x\n"), of("62 * * * * root x\n"));
        let settings = "CRON_TZ=Mars/X\nCRONKEEP_TIMOUT=5m\nCRONKEEP_TIMEOUT=5\n";
        assert_eq!(Table::of(settings.as_bytes(), &Dialect::system()).jobs.len(), 0);
    }
}
