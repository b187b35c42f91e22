//! The bounds of what is kept, a little at a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Row, params};

use super::super::StoreError;
use super::error::SqlResult as _;
use super::job;
use super::run::Tally;
use crate::event::RunId;

/// How much is kept of what can grow.
///
/// A batch of writes removes about as much as it brings, so that what is over a bound goes soon and nothing stops for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Records of runs; up to twice as many where [`each`](Bounds::each) says so.
    pub runs: u32,
    /// How long records are kept.
    pub age: Duration,
    /// The last so many records of a job are kept although there are too many in all, or they are too old.
    pub each: u32,
    /// Bytes of output, as packed; the oldest goes first.
    pub output_bytes: u64,
    /// How long a job is remembered of which nothing is heard any more, and records at most.
    pub forgotten: Duration,
    /// So many jobs are remembered of which nothing was heard for some for 60 days; the others all are.
    pub jobs: usize,
}

impl Default for Bounds {
    /// 100 000 runs, 90 days, 10 of each job, 64 MiB of output, 400 days, 100 000 jobs.
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Bounds {
            runs: 100_000,
            age: 90 * day,
            each: 10,
            output_bytes: 64 << 20,
            forgotten: 400 * day,
            jobs: 100_000,
        }
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A job that somebody has is heard of more often than that: who has it says so daily, that is written if it was not for ten
/// days, and after he was [`AWAY`] nothing is forgotten until he has said it. An earlier program said it monthly.
const SILENT: Duration = Duration::from_secs(60 * 24 * 3600);
/// Where nothing was heard for that long, it was for somebody who was away, or for a clock that is not what it was.
const AWAY: Duration = Duration::from_secs(15 * 24 * 3600);
/// How long those that come back after that have to say which jobs they have.
const COMING_BACK: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long those that begin have: what they said last may bear a time of a clock that was wrong.
const BEGINNING: Duration = Duration::from_secs(3600);

/// Rows that are looked at even if nothing was added.
const LEAST: usize = 64;

/// How far the walk from the oldest to the newest has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Trim {
    /// The last record that was looked at; those before it are kept for their jobs.
    runs: Option<(String, i64)>,
    /// Records that were looked at since the walk began, and when that was.
    looked_at: u64,
    began: Option<Timestamp>,
    /// The last job that was looked at.
    jobs: Option<(i64, i64)>,
    /// How many jobs were kept since that walk began, and in the whole walk before it.
    counted: usize,
    known: usize,
    /// When something was changed last, and until when no job is forgotten, for nobody could say that he has it.
    last: Option<Timestamp>,
    rests_until: Option<Timestamp>,
}

/// After so long the walk begins anew: what was kept for its job may be too old, or not be among its last any more.
const AGAIN: Duration = Duration::from_secs(24 * 3600);

/// A record at the old end.
struct Old {
    run: String,
    attempt: i64,
    job: i64,
    occurrence: i64,
    is_open: bool,
}

impl Old {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Old {
            run: row.get(0)?,
            attempt: row.get(1)?,
            job: row.get(2)?,
            occurrence: row.get(3)?,
            is_open: row.get(4)?,
        })
    }
}

impl Trim {
    /// To be called before anything is written: where nobody was there for long, or the clock has leapt, nobody could say which
    /// jobs he has.
    pub(super) fn begin(
        &mut self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rest = if let Some(last) = self.last {
            let has_leapt = last < before(now, AWAY) || before(last, DAY) > now;
            has_leapt.then_some(COMING_BACK)
        } else {
            let latest = job::latest(connection)?;
            let was_away = latest.is_some_and(|latest| latest < before(now, AWAY).as_second());
            Some(if was_away { COMING_BACK } else { BEGINNING })
        };
        if let Some(rest) = rest {
            self.rests_until = now.checked_add(rest).ok();
        }
        self.last = Some(now);
        Ok(())
    }

    /// Removes what is beyond the bounds, after so many records were written.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        written: usize,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let budget = 2 * written + LEAST;
        trim_outputs(connection, bounds, budget, tally)?;
        self.trim_runs(connection, bounds, budget, now, tally)?;
        self.forget_jobs(connection, bounds, written, now)
    }

    fn forget_jobs(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        written: usize,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let age = if self.known.max(self.counted) > bounds.jobs {
            bounds.forgotten.min(SILENT)
        } else {
            bounds.forgotten
        };
        let (place, kept) = job::forget(connection, self.jobs, before(now, age), written)?;
        self.jobs = place;
        self.counted += kept;
        if place.is_none() {
            self.known = std::mem::take(&mut self.counted);
        }
        Ok(())
    }

    fn trim_runs(
        &mut self,
        connection: &Connection,
        bounds: &Bounds,
        budget: usize,
        now: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), StoreError> {
        let first_of = |at| RunId::new(at, 0).to_string();
        let too_old = first_of(before(now, bounds.age));
        let forgotten = first_of(before(now, bounds.forgotten));
        let bound = i64::from(bounds.runs);
        let has_aged = self.began.is_none_or(|began| began < before(now, AGAIN));
        if self.looked_at > u64::from(bounds.runs) || has_aged {
            (self.runs, self.looked_at, self.began) = (None, 0, Some(now));
        }
        // As a rule there is nothing to do, and one record tells.
        if tally.runs <= bound
            && self.oldest(connection, 1)?.first().is_none_or(|old| old.run >= too_old)
        {
            return Ok(());
        }
        for old in self.oldest(connection, budget)? {
            if tally.runs <= bound && old.run >= too_old {
                return Ok(());
            }
            self.looked_at += 1;
            let must_go = tally.runs > 2 * bound || old.run < forgotten;
            if must_go || !(old.is_open || is_needed(connection, &old, bounds.each)?) {
                remove(connection, &old, tally)?;
            }
            self.runs = Some((old.run, old.attempt));
        }
        Ok(())
    }

    /// The oldest records that were not looked at; from the beginning, the next time, if there are no more.
    fn oldest(&mut self, connection: &Connection, budget: usize) -> Result<Vec<Old>, StoreError> {
        let sql = "SELECT run, attempt, job, occurrence, outcome IS NULL FROM runs \
                   WHERE (run, attempt) > (?1, ?2) ORDER BY run, attempt LIMIT ?3";
        let mut statement = connection.prepare_cached(sql).told()?;
        let (run, attempt) = self.runs.as_ref().map_or(("", 0), |(run, attempt)| (run, *attempt));
        let limit = i64::try_from(budget).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![run, attempt, limit], Old::of).told()?;
        let rows: Vec<Old> = rows.collect::<Result<_, _>>().told()?;
        if rows.is_empty() {
            (self.runs, self.looked_at) = (None, 0);
        }
        Ok(rows)
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(age).unwrap_or(Timestamp::MIN).max(Timestamp::UNIX_EPOCH)
}

/// Whether a record is among the last `each` of its job.
fn is_needed(connection: &Connection, old: &Old, each: u32) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM runs INDEXED BY runs_by_job WHERE job = ?1 AND occurrence = ?2 \
               AND (run, attempt) > (?3, ?4) LIMIT ?5)";
    let mut statement = connection.prepare_cached(sql).told()?;
    let values = params![old.job, old.occurrence, old.run, old.attempt, each];
    let newer: i64 = statement.query_row(values, |row| row.get(0)).told()?;
    Ok(newer < i64::from(each))
}

/// Removes the oldest outputs, at most so many, or, where there is none, the oldest runs that have ended; how many.
pub(super) fn remove_oldest(
    connection: &Connection,
    most: usize,
    tally: &mut Tally,
) -> Result<usize, StoreError> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let sql = "SELECT run FROM outputs ORDER BY run LIMIT ?1";
    let mut statement = connection.prepare(sql).told()?;
    let rows = statement.query_map([limit], |row| row.get(0)).told()?;
    let outputs: Vec<String> = rows.collect::<Result<_, _>>().told()?;
    for run in &outputs {
        remove_output(connection, run, tally)?;
    }
    if !outputs.is_empty() {
        return Ok(outputs.len());
    }
    let sql = "SELECT run, attempt, job, occurrence, 0 FROM runs WHERE outcome IS NOT NULL \
               ORDER BY run, attempt LIMIT ?1";
    let mut statement = connection.prepare(sql).told()?;
    let rows: Vec<Old> =
        statement.query_map([limit], Old::of).told()?.collect::<Result<_, _>>().told()?;
    for old in &rows {
        remove(connection, old, tally)?;
    }
    Ok(rows.len())
}

fn remove(connection: &Connection, old: &Old, tally: &mut Tally) -> Result<(), StoreError> {
    let sql = "DELETE FROM runs WHERE run = ?1 AND attempt = ?2";
    let removed =
        connection.prepare_cached(sql).told()?.execute(params![old.run, old.attempt]).told()?;
    tally.runs -= i64::from(removed > 0);
    remove_output(connection, &old.run, tally)
}

fn remove_output(connection: &Connection, run: &str, tally: &mut Tally) -> Result<(), StoreError> {
    let sql = "DELETE FROM outputs WHERE run = ?1 RETURNING length(packed)";
    let mut statement = connection.prepare_cached(sql).told()?;
    let mut rows = statement.query([run]).told()?;
    while let Some(row) = rows.next().told()? {
        tally.output_bytes -= row.get::<_, i64>(0).told()?;
    }
    Ok(())
}

fn trim_outputs(
    connection: &Connection,
    bounds: &Bounds,
    budget: usize,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let bound = i64::try_from(bounds.output_bytes).unwrap_or(i64::MAX);
    for _ in 0..budget {
        if tally.output_bytes <= bound {
            break;
        }
        let sql = "SELECT run FROM outputs ORDER BY run LIMIT 1";
        let mut statement = connection.prepare_cached(sql).told()?;
        let mut rows = statement.query([]).told()?;
        let Some(row) = rows.next().told()? else {
            tally.output_bytes = 0;
            break;
        };
        let run: String = row.get(0).told()?;
        drop(rows);
        remove_output(connection, &run, tally)?;
    }
    Ok(())
}
