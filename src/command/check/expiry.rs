//! What only the clock tells: whether an entry's time is over.

use std::collections::HashSet;

use jiff::Timestamp;

use crate::crontab::expression::When;
use crate::crontab::{Code, Crontab, Entry, Fault, LineKind, Mistake, Source};
use crate::job::{Job, JobTable};
use crate::schedule::{Schedule, Zone};
use crate::sink::record::escape;

/// A warning for each entry of a crontab that is enabled and has nothing due after `now`.
///
/// `table` holds the crontab's jobs, perhaps among others. Entries of which the grammar has said so already, and those
/// that wait for the start or for another job, are left out, and so are jobs that `starts` says are started all the same: one
/// that is caught up is not over.
#[must_use]
pub fn faults(
    source: &Source,
    crontab: &Crontab,
    (table, now): (&JobTable, Timestamp),
    starts: impl Fn(&Job) -> bool,
) -> Vec<Fault> {
    let may_end = |line: &&crate::crontab::Line| matches!(&line.kind, LineKind::Entry(entry) if can_expire(entry));
    // Few crontabs have such an entry: the others need no look at their jobs.
    if !crontab.lines.iter().any(|line| may_end(&line)) {
        return Vec::new();
    }
    let known: HashSet<u32> =
        crontab.faults.iter().filter(|fault| fault.code == Code::W001).map(|f| f.line).collect();
    let jobs = table.jobs().iter().filter(|job| *job.file() == source.name);
    jobs.filter(|job| job.policy().enabled && !known.contains(&job.line) && !starts(job))
        .filter_map(|job| {
            let line = crontab.lines.get((job.line as usize).checked_sub(1)?)?;
            let LineKind::Entry(entry) = &line.kind else { return None };
            if !can_expire(entry) {
                return None;
            }
            let why = reason(job, now)?;
            let start = entry.schedule_span.start.saturating_sub(line.span.start);
            let end = entry.schedule_span.end.saturating_sub(line.span.start);
            let schedule = escape(entry.schedule_text.as_bytes());
            let message = format!("{schedule} never fires from now on: {why}");
            let mistake = Mistake::new(Code::W001, start..end, message)
                .with_help("remove the entry, or give it a time to come");
            Some(mistake.on_line(entry.line, &source.bytes[line.span.clone()]))
        })
        .collect()
}

/// Why nothing of a job is due after `now`, in words; `None` if something is, and for `@reboot` and `@after`.
#[must_use]
pub fn reason(job: &Job, now: Timestamp) -> Option<&'static str> {
    let policy = job.policy();
    if !policy.enabled {
        return Some("it is not enabled");
    }
    if matches!(job.schedule(), Schedule::Reboot | Schedule::After(_))
        || job.next_after(now).is_some()
    {
        return None;
    }
    Some(match policy.until {
        Some(until) if until <= now => "its until has passed",
        Some(_) if job.schedule().next_after(job.zone(), job.since, now).is_some() => {
            "nothing is due before its until"
        }
        _ => spent(job.schedule(), job.zone(), now),
    })
}

/// Why a schedule that has nothing due after `now` has nothing, in words.
#[must_use]
pub fn spent(schedule: &Schedule, zone: &Zone, now: Timestamp) -> &'static str {
    let past = schedule.prev_before(zone, Timestamp::MIN, now).is_some();
    match schedule {
        Schedule::At(_) => "its time has passed",
        _ if past => "its last year has passed",
        _ => "no such day comes",
    }
}

/// Whether an entry's time can be over at all, or is drawn and was not judged with its text.
fn can_expire(entry: &Entry) -> bool {
    entry.options.until.is_some()
        || match &*entry.when {
            When::Fixed(Schedule::At(_)) | When::Drawn(_) => true,
            When::Fixed(Schedule::Extended(extended)) => extended.fields().years.is_some(),
            When::Fixed(_) => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, parse};

    fn read(text: &str) -> (Source, Crontab, JobTable, Timestamp) {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let source = Source { name: "x".into(), bytes: text.into(), dialect: Dialect::system() };
        let crontab = parse(&source);
        let (table, ..) = JobTable::build(
            &[(&source, &crontab)],
            &Zone::utc(),
            &Options::default(),
            &JobTable::default(),
            now,
        );
        (source, crontab, table, now)
    }

    fn found(text: &str) -> Vec<(u32, u32, u32, String)> {
        let (source, crontab, table, now) = read(text);
        faults(&source, &crontab, (&table, now), |_| false)
            .into_iter()
            .map(|fault| {
                assert_eq!(fault.code, Code::W001);
                let why = fault.message.rsplit(": ").next().unwrap().to_owned();
                (fault.line, fault.column, fault.end_column, why)
            })
            .collect()
    }

    #[test]
    fn years_a_time_and_an_end_that_have_passed_are_told() {
        let year = "its last year has passed".to_owned();
        assert_eq!(found("0 0 0 1 1 * 2020 root x\n"), [(1, 1, 17, year)]);
        let time = "its time has passed".to_owned();
        assert_eq!(found("# c\n@at 2020-01-01T00:00:00Z root x\n"), [(2, 1, 25, time)]);
        let text = "# cronkeep: until=2020-01-01T00:00:00Z\n0 0 * * * root x\n";
        assert_eq!(found(text), [(2, 1, 10, "its until has passed".to_owned())]);
        let text = "# cronkeep: until=2026-06-02T00:00:00Z\n0 0 1 1 * root x\n";
        assert_eq!(found(text), [(2, 1, 10, "nothing is due before its until".to_owned())]);
    }

    #[test]
    fn what_is_still_due_or_waits_for_no_clock_is_not_told() {
        for text in [
            "0 0 0 1 1 * 2026,2027 root x\n",
            "@at 2027-01-01T00:00:00Z root x\n",
            "# cronkeep: until=2026-06-03T00:00:00Z\n0 0 * * * root x\n",
            "# cronkeep: until=2020-01-01T00:00:00Z\n@reboot root x\n",
            "# cronkeep: enabled=no\n@at 2020-01-01T00:00:00Z root x\n",
            "0~59 0 * * * root x\n",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn what_the_grammar_has_said_is_not_said_again() {
        for text in ["0 0 0 31 2 * 2020 root x\n", "0 0 31 2 * root x\n"] {
            let (_, crontab, ..) = read(text);
            assert!(crontab.faults.iter().any(|fault| fault.code == Code::W001), "{text}");
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn jobs_of_other_crontabs_are_not_looked_at() {
        let (mut source, crontab, table, now) = read("@at 2020-01-01T00:00:00Z root x\n");
        source.name = "y".into();
        assert_eq!(faults(&source, &crontab, (&table, now), |_| false), []);
    }

    #[test]
    fn a_job_that_is_about_to_be_started_is_not_over() {
        let (source, crontab, table, now) = read("@at 2020-01-01T00:00:00Z root x\n");
        assert_eq!(faults(&source, &crontab, (&table, now), |job| job.line == 1), []);
    }
}
