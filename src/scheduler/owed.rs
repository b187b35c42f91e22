//! What becomes of instants that cron's rules drop: caught up, or missed. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::crontab::directive::CatchUp;
use crate::job::{Job, Policy};
use crate::schedule::Due;

/// Passed instants of one job that are walked one by one; beyond, a count is a lower bound.
pub(super) const COUNTED: usize = 10_000;

/// Instants of a job that passed and are never started: a contiguous range of its dues.
#[derive(Debug, Clone)]
pub struct Missed {
    /// The job.
    pub job: Arc<Job>,
    /// The first instant.
    pub first: Due,
    /// The last instant.
    pub last: Due,
    /// How many; a lower bound above 10 000.
    pub count: u64,
}

/// Divides a job's dues from `first` up to and including `horizon` into those that its `catch-up` has started now, in
/// order, and those before them, which are missed.
///
/// Caught up are the latest ones: one, or as many as `catch-up-max` says, and none that lies further back from `now` than
/// `catch-up-window`.
pub(super) fn passed(
    job: &Arc<Job>,
    first: Due,
    horizon: Timestamp,
    now: Timestamp,
) -> (VecDeque<Due>, Option<Missed>) {
    let most = most(job.policy());
    let earliest = earliest(job.policy(), now);
    let mut range = Range { first, last: None, count: 0 };
    let mut kept = VecDeque::new();
    let dues = std::iter::successors(Some(first), |due| job.next_after(*due));
    let mut walked = 0;
    for due in dues.take_while(|due| due.at <= horizon).take(COUNTED) {
        walked += 1;
        if due.at < earliest || most == 0 {
            range.add(due);
            continue;
        }
        if kept.len() >= most
            && let Some(oldest) = kept.pop_front()
        {
            range.add(oldest);
        }
        kept.push_back(due);
    }
    if walked >= COUNTED {
        // Too many to walk: the latest ones are found from the end.
        let whole = u64::try_from(walked).unwrap_or(u64::MAX);
        kept = latest(job, first, horizon, earliest, most);
        let end = kept.front().map_or(after(horizon), |due| due.at);
        range.last = job.prev_before(end).filter(|last| last.at >= first.at);
        range.count = whole.saturating_sub(u64::try_from(kept.len()).unwrap_or(0)).max(1);
    }
    let missed = range.last.map(|last| Missed {
        job: Arc::clone(job),
        first: range.first,
        last,
        count: range.count,
    });
    (kept, missed)
}

/// The dues of a job from `first` up to and including `until`, none of which starts; none if there is none.
pub(super) fn all(job: &Arc<Job>, first: Due, until: Timestamp) -> Option<Missed> {
    let mut range = Range { first, last: None, count: 0 };
    let dues = std::iter::successors(Some(first), |due| job.next_after(*due));
    for due in dues.take_while(|due| due.at <= until).take(COUNTED) {
        range.add(due);
    }
    if range.count >= COUNTED as u64 {
        range.last = job.prev_before(after(until));
    }
    range.last.map(|last| Missed { job: Arc::clone(job), first, last, count: range.count })
}

/// The earliest instant that is caught up.
pub(super) fn earliest(policy: &Policy, now: Timestamp) -> Timestamp {
    SignedDuration::try_from(policy.catch_up_window)
        .ok()
        .and_then(|window| now.checked_sub(window).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Dues one after the other.
struct Range {
    first: Due,
    last: Option<Due>,
    count: u64,
}

impl Range {
    fn add(&mut self, due: Due) {
        self.last = Some(due);
        self.count += 1;
    }
}

/// How many instants a policy catches up at most: what waits for its turn takes memory.
pub(super) fn most(policy: &Policy) -> usize {
    match policy.catch_up {
        CatchUp::None => 0,
        CatchUp::Latest => 1,
        CatchUp::All => usize::try_from(policy.catch_up_max).unwrap_or(COUNTED).min(COUNTED),
    }
}

/// The latest dues from `first` to `horizon`, found backwards; of several at one instant only the last.
pub(super) fn latest(
    job: &Job,
    first: Due,
    horizon: Timestamp,
    earliest: Timestamp,
    most: usize,
) -> VecDeque<Due> {
    let mut found = VecDeque::new();
    let mut end = after(horizon);
    while found.len() < most {
        let due = job.prev_before(end).filter(|due| due.at >= first.at && due.at >= earliest);
        let Some(due) = due else { break };
        end = due.at;
        found.push_front(due);
    }
    found
}

fn after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::job::JobTable;
    use crate::schedule::Zone;

    /// The civil times caught up, and the missed range with its count, of what passed from midnight to `now`.
    fn split(text: &str, now: &str) -> (Vec<String>, Option<(String, String, u64)>) {
        let source = Source {
            name: "test".into(),
            bytes: text.as_bytes().to_vec(),
            dialect: Dialect::user("root"),
        };
        let crontab = parse(&source);
        assert!(!crontab.has_errors(), "{:?}", crontab.faults);
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let (table, _, _) = JobTable::build(
            &[(&source, &crontab)],
            &Zone::utc(),
            &Options::default(),
            &JobTable::default(),
            start,
        );
        let job = &table.jobs()[0];
        let now: Timestamp = now.parse().unwrap();
        let (kept, missed) = passed(job, job.next_after(start).unwrap(), now, now);
        let words = |due: &Due| due.civil.strftime("%d %H:%M:%S").to_string();
        (
            kept.iter().map(words).collect(),
            missed.map(|missed| (words(&missed.first), words(&missed.last), missed.count)),
        )
    }

    fn range(first: &str, last: &str, count: u64) -> (String, String, u64) {
        (first.to_owned(), last.to_owned(), count)
    }

    #[test]
    fn without_catch_up_every_passed_instant_is_missed() {
        let (kept, missed) = split("*/10 * * * * a\n", "2026-01-01T01:05:00Z");
        assert!(kept.is_empty());
        assert_eq!(missed, Some(range("01 00:10:00", "01 01:00:00", 6)));
    }

    #[test]
    fn latest_catches_up_one_and_misses_those_before_it() {
        let text = "# cronkeep: catch-up=latest\n*/10 * * * * a\n";
        let (kept, missed) = split(text, "2026-01-01T01:05:00Z");
        assert_eq!(kept, ["01 01:00:00"]);
        assert_eq!(missed, Some(range("01 00:10:00", "01 00:50:00", 5)));
        assert_eq!(split(text, "2026-01-01T00:10:00Z"), (vec!["01 00:10:00".to_owned()], None));
    }

    #[test]
    fn all_catches_up_the_latest_within_window_and_maximum() {
        let text = "# cronkeep: catch-up=all catch-up-max=3\n*/10 * * * * a\n";
        let (kept, missed) = split(text, "2026-01-01T01:05:00Z");
        assert_eq!(kept, ["01 00:40:00", "01 00:50:00", "01 01:00:00"]);
        assert_eq!(missed, Some(range("01 00:10:00", "01 00:30:00", 3)));
        let text = "# cronkeep: catch-up=all catch-up-window=15m\n*/10 * * * * a\n";
        let (kept, missed) = split(text, "2026-01-01T01:05:00Z");
        assert_eq!(kept, ["01 00:50:00", "01 01:00:00"]);
        assert_eq!(missed, Some(range("01 00:10:00", "01 00:40:00", 4)));
    }

    #[test]
    fn nothing_outside_the_window_is_caught_up() {
        let text = "# cronkeep: catch-up=latest catch-up-window=1h\n0 3 1 1 * a\n";
        let (kept, missed) = split(text, "2026-01-01T05:00:00Z");
        assert!(kept.is_empty());
        assert_eq!(missed, Some(range("01 03:00:00", "01 03:00:00", 1)));
    }

    #[test]
    fn no_job_catches_up_more_than_can_be_walked() {
        let text = "# cronkeep: catch-up=all catch-up-max=4294967295 catch-up-window=52w\n\
                    * * * * * * a\n";
        let (kept, missed) = split(text, "2026-01-03T00:00:00Z");
        assert_eq!((kept.len(), &kept[COUNTED - 1][..]), (COUNTED, "03 00:00:00"));
        assert_eq!(missed, Some(range("01 00:00:01", "02 21:13:20", 1)));
    }

    #[test]
    fn of_more_than_can_be_walked_the_latest_are_caught_up() {
        let text = "# cronkeep: catch-up=all catch-up-max=2 catch-up-window=52w\n* * * * * * a\n";
        let (kept, missed) = split(text, "2026-01-03T00:00:00Z");
        assert_eq!(kept, ["02 23:59:59", "03 00:00:00"]);
        assert_eq!(missed, Some(range("01 00:00:01", "02 23:59:58", 9_998)));
        let (kept, missed) = split("* * * * * * a\n", "2026-01-03T00:00:00Z");
        assert!(kept.is_empty());
        assert_eq!(missed, Some(range("01 00:00:01", "03 00:00:00", 10_000)));
    }
}
