//! Which job or run a client means, and what to say where it is none.

use std::sync::Arc;

use axum::http::StatusCode;

use super::Refusal;
use crate::event::RunId;
use crate::job::{Job, JobTable, Lookup};
use crate::schedule::spelling::closest;

/// What helps whoever named a run that is not known.
pub const RUNS_WITH_OUTPUT: &str =
    "`cronkeep list` shows the jobs; of runs, the last ones that printed something are known";

/// Letters of the end of a run's id that are enough to name it.
const ENOUGH: usize = 4;
/// Jobs that a refusal names.
const NAMED: usize = 5;

/// What a text was found to mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Find<T> {
    /// This.
    One(T),
    /// Nothing.
    None,
    /// One of several.
    Several,
}

/// The job that `text` means.
///
/// # Errors
/// None, or several; the refusal says what was likely meant.
pub fn job(table: &JobTable, text: &str) -> Result<Arc<Job>, Refusal> {
    match table.find(text) {
        Lookup::One(job) => Ok(Arc::clone(job)),
        Lookup::None => Err(unknown(table, text)),
        Lookup::Ambiguous(jobs) => {
            let mut named: Vec<String> = jobs.iter().take(NAMED).map(|job| describe(job)).collect();
            if jobs.len() > NAMED {
                named.push(format!("{} more", jobs.len() - NAMED));
            }
            let message = format!("{text:?} may be any of {}", named.join(", "));
            let refusal = Refusal::new(StatusCode::CONFLICT, "ambiguous", message);
            Err(refusal.help("give more digits of the id"))
        }
    }
}

fn describe(job: &Job) -> String {
    format!("{} ({}:{})", job.key.id.digits(), job.file(), job.line)
}

fn unknown(table: &JobTable, text: &str) -> Refusal {
    let message = format!("there is no job {text:?}");
    let names = table.jobs().iter().filter_map(|job| job.name()).map(|name| &**name);
    let help = match closest(text, names) {
        Some(name) => format!("did you mean {name:?}?"),
        None => "`cronkeep list` shows the jobs".to_owned(),
    };
    Refusal::new(StatusCode::NOT_FOUND, "unknown", message).help(help)
}

/// The run whose id is `text`, or ends with it.
pub fn run<'a, T>(runs: &'a [T], text: &str, id: impl Fn(&T) -> RunId) -> Find<&'a T> {
    let text = text.to_ascii_uppercase();
    if text.len() < ENOUGH {
        return Find::None;
    }
    let mut found = runs.iter().filter(|run| id(run).to_string().ends_with(&text));
    match (found.next(), found.next()) {
        (Some(run), None) => Find::One(run),
        (None, _) => Find::None,
        (Some(_), Some(_)) => Find::Several,
    }
}

/// There is no such run.
#[must_use]
pub fn no_run(text: &str, table: &JobTable) -> Refusal {
    let help = match table.find(text) {
        Lookup::None => "`cronkeep status` shows the runs that are alive",
        _ => "that is a job; `cronkeep status` shows its runs that are alive",
    };
    let message = format!("no run {text:?} is alive");
    Refusal::new(StatusCode::NOT_FOUND, "unknown", message).help(help)
}

/// There are several.
#[must_use]
pub fn several_runs(text: &str) -> Refusal {
    let message = format!("the ids of several runs end with {text:?}");
    Refusal::new(StatusCode::CONFLICT, "ambiguous", message).help("give more letters")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::schedule::Zone;

    fn table(text: &str) -> JobTable {
        let bytes = text.as_bytes().to_vec();
        let source = Source { name: "tab".into(), bytes, dialect: Dialect::system() };
        let crontab = parse(&source);
        let (zone, options, empty) = (Zone::utc(), Options::default(), JobTable::default());
        let now = Timestamp::UNIX_EPOCH;
        JobTable::build(&[(&source, &crontab)], &zone, &options, &empty, now).0
    }

    #[test]
    fn a_name_that_is_nearly_right_is_suggested() {
        let table = table("# cronkeep: name=backup\n* * * * * root true\n");
        assert_eq!(&**job(&table, "backup").unwrap().name().unwrap(), "backup");
        let refusal = job(&table, "bakcup").unwrap_err();
        assert_eq!(refusal.status, 404);
        assert_eq!(refusal.help.unwrap(), "did you mean \"backup\"?");
        assert!(job(&table, "other").unwrap_err().help.unwrap().contains("cronkeep list"));
    }

    #[test]
    fn a_name_of_two_users_is_refused_with_both() {
        let table = table(
            "# cronkeep: name=x\n* * * * * root true\n# cronkeep: name=x\n* * * * * games true\n",
        );
        let refusal = job(&table, "x").unwrap_err();
        assert_eq!(refusal.status, 409);
        assert!(refusal.message.contains("tab:2") && refusal.message.contains("tab:4"));
    }

    #[test]
    fn a_run_is_named_by_the_end_of_its_id() {
        let ids =
            [1_u128, 2, 34, 2 + (1 << 30)].map(|random| RunId::new(Timestamp::UNIX_EPOCH, random));
        let found = |text: &str| run(&ids, text, |id| *id);
        assert_eq!(found(&ids[1].to_string()), Find::One(&ids[1]));
        assert_eq!(found(&ids[1].to_string().to_lowercase()), Find::One(&ids[1]));
        assert_eq!(found("000002"), Find::Several);
        assert_eq!(found("000012"), Find::One(&ids[2]));
        assert_eq!(found("2"), Find::None);
        assert_eq!(found(""), Find::None);
    }
}
