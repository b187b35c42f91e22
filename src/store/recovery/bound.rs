//! How many crontabs a snapshot knows: those that no daemon names any more go, where there are many.

use jiff::Timestamp;

use super::snapshot::Snapshot;

/// Up to so many crontabs none is ever forgotten.
const MOST_FILES: usize = 1_000;

const DAY: i64 = 24 * 60 * 60;
/// For how long nobody has named a crontab that may be forgotten, in seconds.
const FORGOTTEN: i64 = 35 * DAY;
/// How long ago a daemon may have named its crontabs before it does so again, in seconds.
const AGAIN: i64 = 10 * DAY;
/// From when on nobody can have been there, or a clock leapt, in seconds: daemons that live name theirs more often.
const LEFT: i64 = 15 * DAY;
/// For how long those that come back then may take to name theirs, in seconds.
const RETURN: i64 = 2 * DAY;

impl Snapshot {
    /// Whether a daemon whose crontabs these are is to name them again; `now` by the wall clock.
    #[must_use]
    pub fn is_stale(&self, is_ours: &dyn Fn(&str) -> bool, now: Timestamp) -> bool {
        let now = now.as_second();
        let is_stale = |named: Option<i64>| {
            named.is_none_or(|named| now.saturating_sub(named).saturating_abs() > AGAIN)
        };
        self.files.iter().any(|(path, file)| is_stale(file.named) && is_ours(path))
    }

    /// Notes that a daemon names these crontabs, and forgets of too many those that nobody has named for 35 days, for the
    /// longest first; `now` by the wall clock.
    ///
    /// One that a daemon names is never forgotten, however many there are. Where nobody has named anything for long, those
    /// that come back have two days to do so.
    pub fn name(&mut self, is_ours: &dyn Fn(&str) -> bool, now: Timestamp) {
        let now = now.as_second();
        let newest = self.files.values().filter_map(|file| file.named).max();
        if newest.is_none_or(|newest| {
            now.saturating_sub(newest) > LEFT || newest.saturating_sub(now) > DAY
        }) {
            self.attended = Some(now);
        }
        for (path, file) in &mut self.files {
            // What is in the future was said by a clock that was wrong.
            if file.named.is_none_or(|named| named > now) || is_ours(path) {
                file.named = Some(now);
            }
        }
        let is_settled =
            self.attended.is_none_or(|attended| now >= attended.saturating_add(RETURN));
        let excess = self.files.len().saturating_sub(MOST_FILES);
        if excess == 0 || !is_settled {
            return;
        }
        let old = self.files.iter().filter_map(|(path, file)| Some((file.named?, path)));
        let mut old: Vec<_> =
            old.filter(|&(named, _)| now.saturating_sub(named) > FORGOTTEN).collect();
        old.sort();
        let gone: Vec<String> =
            old.into_iter().take(excess).map(|(_, path)| path.clone()).collect();
        for path in gone {
            self.files.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::{Columns, FileSnapshot};

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + day * DAY).unwrap()
    }

    /// So many crontabs, named on that day.
    fn crontabs(prefix: &str, count: usize, named: i64) -> Vec<(String, FileSnapshot)> {
        let file = FileSnapshot {
            text: Some("0 1 * * * x\n".into()),
            base: Vec::new().into(),
            instances: Vec::new(),
            undecided: Vec::new(),
            access: None,
            columns: Columns::User,
            user: "root".to_owned(),
            named: Some(day(named).as_second()),
        };
        (0..count).map(|number| (format!("{prefix}{number:04}"), file.clone())).collect()
    }

    fn snapshot(parts: [Vec<(String, FileSnapshot)>; 2]) -> Snapshot {
        Snapshot { files: parts.into_iter().flatten().collect(), ..Snapshot::default() }
    }

    /// How many crontabs of each kind are left.
    fn left(snapshot: &Snapshot) -> (usize, usize) {
        let count = |prefix| snapshot.files.keys().filter(|path| path.starts_with(prefix)).count();
        (count("a"), count("b"))
    }

    fn is_b(path: &str) -> bool {
        path.starts_with('b')
    }

    #[test]
    fn of_more_than_a_thousand_crontabs_those_go_that_nobody_names_any_more_oldest_first() {
        let mut snapshot = snapshot([crontabs("a", 1_200, 0), crontabs("b", 1, 30)]);
        for file in snapshot.files.values_mut().take(50) {
            file.named = Some(day(-9).as_second());
        }
        snapshot.name(&is_b, day(30));
        assert_eq!(left(&snapshot), (1_150, 1), "those that none has named for 39 days");
        snapshot.name(&is_b, day(36));
        assert_eq!(left(&snapshot), (999, 1), "as many as there are too many");
        assert_eq!(snapshot.files.keys().next().unwrap(), "a0201");
        snapshot.name(&is_b, day(47));
        assert_eq!(left(&snapshot), (999, 1), "however old they are");
    }

    #[test]
    fn what_a_daemon_names_is_never_forgotten_and_it_names_it_in_time() {
        let mut snapshot = snapshot([crontabs("a", 1_100, 0), crontabs("b", 1_100, 0)]);
        let is_a = |path: &str| path.starts_with('a');
        for now in 1..200 {
            // The other one is away for a while, too.
            for is_ours in [&is_b as &dyn Fn(&str) -> bool, &is_a] {
                if snapshot.is_stale(is_ours, day(now)) && !(40..60).contains(&now) {
                    snapshot.name(is_ours, day(now));
                }
            }
        }
        assert_eq!(left(&snapshot), (1_100, 1_100));
    }

    #[test]
    fn those_that_come_back_after_long_have_two_days_to_name_theirs() {
        let mut snapshot = snapshot([crontabs("a", 1_000, 0), crontabs("b", 1, 0)]);
        snapshot.name(&is_b, day(100));
        snapshot.name(&is_b, day(101));
        assert_eq!(left(&snapshot), (1_000, 1));
        let is_first = |path: &str| path == "a0000";
        snapshot.name(&is_first, day(101));
        snapshot.name(&is_b, day(102));
        assert_eq!(left(&snapshot), (999, 1));
        assert!(snapshot.files.contains_key("a0000"));
    }

    #[test]
    fn what_earlier_programs_have_put_counts_as_named_now_and_so_does_what_is_in_the_future() {
        let mut snapshot = snapshot([crontabs("a", 1_000, 500), crontabs("b", 2, 0)]);
        snapshot.files.get_mut("b0000").unwrap().named = None;
        assert!(snapshot.is_stale(&is_b, day(0)));
        snapshot.name(&|_| false, day(60));
        snapshot.name(&|_| false, day(63));
        assert_eq!(left(&snapshot), (1_000, 1));
        assert!(snapshot.files.values().all(|file| file.named == Some(day(60).as_second())));
    }
}
