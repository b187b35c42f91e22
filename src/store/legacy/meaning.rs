//! What the Python service makes of a row that both have: it runs it at other times, or otherwise.
use std::fmt;

use super::Row;
use crate::crontab::{Entry, percent};

/// In what a job that both have runs otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Weekdays given as numbers: the service counts from Monday, 0.
    Weekday,
    /// Day of month and day of week are both given: the service needs both to fit, cron either.
    BothDays,
    /// The service's scheduler refuses the schedule, and the service stops scheduling.
    Refused,
    /// The user is not root: the service runs everything as its own user.
    User,
    /// There is standard input behind a `%`: the service has none.
    Input,
}

/// The largest difference of two values of each field.
const SPANS: [u32; 5] = [59, 23, 30, 11, 6];

impl Meaning {
    /// All that hold of a row and the entry that it was made of.
    #[must_use]
    pub fn all(row: &Row, entry: &Entry) -> Vec<Self> {
        let [_, _, dom, _, dow, ..] = &row.0;
        let is_refused = row.0[..5]
            .iter()
            .zip(SPANS)
            .any(|(field, span)| field.split(',').any(|part| is_refused(part, span)));
        let holds = [
            (Meaning::Refused, is_refused),
            (Meaning::Weekday, dow.bytes().any(|byte| byte.is_ascii_digit())),
            (Meaning::BothDays, !dom.starts_with('*') && !dow.starts_with('*')),
            (Meaning::User, row.user() != "root"),
            (Meaning::Input, percent::first_bare(entry.command.as_bytes()).is_some()),
        ];
        holds.into_iter().filter_map(|(meaning, holds)| holds.then_some(meaning)).collect()
    }
}

/// Whether the service's scheduler refuses a part of a field: `~`, a range from a number to a name, a step that is
/// longer than its range.
fn is_refused(part: &str, span: u32) -> bool {
    let (range, step) = part.split_once('/').unwrap_or((part, "1"));
    let step: u32 = step.parse().unwrap_or(1);
    if range.contains('~') {
        return true;
    }
    if range == "*" {
        return step > span;
    }
    let Some((from, to)) = range.split_once('-') else { return false };
    match (from.parse::<u32>(), to.parse::<u32>()) {
        (Ok(from), Ok(to)) => step > 1 && step > to.saturating_sub(from),
        (from, to) => from.is_ok() != to.is_ok(),
    }
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Meaning::Weekday => {
                "other days there: the Python service counts weekdays from Monday as 0, cron from Sunday"
            }
            Meaning::BothDays => {
                "fewer days there: the Python service wants day of month and day of week to fit, cron either of them"
            }
            Meaning::Refused => {
                "runs only here: the Python service's scheduler refuses this schedule, and schedules nothing after it"
            }
            Meaning::User => "other user there: the Python service runs every job as its own user",
            Meaning::Input => "no standard input there: the Python service leaves out what follows the %",
        })
    }
}

#[cfg(test)]
mod tests;
