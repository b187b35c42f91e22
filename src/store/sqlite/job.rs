//! Jobs: watermarks, what is owed, pauses.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::super::pause::Pauses;
use super::super::seal::Seal;
use super::super::{JobState, Loaded, Mark, Owed, StoreError};
use super::Sqlite;
use super::error::SqlResult as _;
use super::prepared::Prepared;
use super::run;
use super::value::{civil, due_of, instant, key_of, micros, micros_of_civil, number, trigger_of};
use crate::job::JobKey;
use crate::schedule::Due;

/// States of jobs that are looked at each time for whether they are too old, or as many as were written.
const LOOKED_AT: usize = 16;

/// Who says again that he has a job need not have it written, in seconds.
const LATELY: i64 = 10 * 24 * 3600;

impl Sqlite {
    /// Signs pauses, and takes only those that are signed, if there is a key.
    #[must_use]
    pub fn sealed(mut self, seal: Option<Seal>) -> Self {
        self.pauses = Pauses::new(seal, Arc::clone(&self.tell));
        self
    }
}

pub(super) fn load(connection: &Connection, pauses: &Pauses) -> Result<Loaded, StoreError> {
    let mut loaded = Loaded::default();
    let mut statement = connection
        .prepare("SELECT job, occurrence, since, generation, marked_at, marked_civil FROM jobs")
        .told()?;
    let mut rows = statement.query([]).told()?;
    while let Some(row) = rows.next().told()? {
        let get = |column| row.get::<_, Option<i64>>(column).told();
        let Some(key) = key_of(get(0)?, get(1)?) else { continue };
        let mark = match (get(3)?, get(4)?, get(5)?) {
            (Some(generation), Some(at), Some(civil_time)) => mark_of(generation, at, civil_time),
            _ => None,
        };
        let since = get(2)?.and_then(instant);
        loaded.jobs.insert(key, JobState { since, mark, owed: Vec::new(), paused: false });
    }
    for key in paused(connection, pauses)? {
        loaded.jobs.entry(key).or_default().paused = true;
    }
    let sql =
        "SELECT job, occurrence, at, civil, trigger FROM owed ORDER BY job, occurrence, at, civil";
    let mut statement = connection.prepare(sql).told()?;
    let mut rows = statement.query([]).told()?;
    while let Some(row) = rows.next().told()? {
        let get = |column| row.get::<_, Option<i64>>(column).told();
        let (key, due) = (key_of(get(0)?, get(1)?), due_of(get(2)?, get(3)?));
        let trigger = trigger_of(row.get_ref(4).told()?);
        if let (Some(key), Some(due), Some(trigger)) = (key, due, trigger) {
            loaded.jobs.entry(key).or_default().owed.push(Owed { due, trigger });
        }
    }
    loaded.open = run::open(connection)?;
    Ok(loaded)
}

fn mark_of(generation: i64, at: i64, civil_time: i64) -> Option<Mark> {
    let generation = u64::try_from(generation).ok()?;
    Some(Mark { generation, at: instant(at)?, civil: civil(civil_time)? })
}

/// Runs a statement whose first three values are the key and the time at which it was touched.
fn touch(
    prepared: &mut Prepared<'_>,
    sql: &'static str,
    key: JobKey,
    now: Timestamp,
    values: [i64; 3],
) -> Result<(), StoreError> {
    let statement = prepared.get(sql)?;
    let (id, [a, b, c]) = (key.id.seed().cast_signed(), values);
    let now = now.as_second();
    match statement.parameter_count() {
        3 => statement.execute(params![id, key.occurrence, now]),
        4 => statement.execute(params![id, key.occurrence, now, a]),
        _ => statement.execute(params![id, key.occurrence, now, a, b, c]),
    }
    .map(drop)
    .told()
}

pub(super) fn since(
    connection: &Connection,
    keys: &[JobKey],
    since: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO jobs (job, occurrence, touched, since) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO UPDATE SET since = excluded.since, touched = excluded.touched \
               WHERE jobs.since IS NOT excluded.since OR jobs.touched < excluded.touched - ?5 \
               OR jobs.touched > excluded.touched";
    let mut statement = connection.prepare_cached(sql).told()?;
    let (now, since) = (now.as_second(), micros(since));
    keys.iter().try_for_each(|key| {
        let values = params![key.id.seed().cast_signed(), key.occurrence, now, since, LATELY];
        statement.execute(values).map(drop).told()
    })
}

/// Moves a watermark on; one that is not later changes nothing.
pub(super) fn mark(
    prepared: &mut Prepared<'_>,
    key: JobKey,
    mark: Mark,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO jobs (job, occurrence, touched, generation, marked_at, marked_civil) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET generation = excluded.generation, \
               marked_at = excluded.marked_at, marked_civil = excluded.marked_civil, touched = excluded.touched \
               WHERE jobs.generation IS NULL OR (jobs.generation, jobs.marked_at, jobs.marked_civil) \
               < (excluded.generation, excluded.marked_at, excluded.marked_civil)";
    let values = [number(mark.generation), micros(mark.at), micros_of_civil(mark.civil)];
    touch(prepared, sql, key, now, values)
}

/// The jobs whose pauses are taken.
pub(super) fn paused(connection: &Connection, pauses: &Pauses) -> Result<Vec<JobKey>, StoreError> {
    let sql = "SELECT job, occurrence, paused FROM jobs WHERE paused <> 0";
    let mut statement = connection.prepare(sql).told()?;
    let mut rows = statement.query([]).told()?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().told()? {
        let get = |column| row.get::<_, Option<i64>>(column).told();
        let Some(key) = key_of(get(0)?, get(1)?) else { continue };
        found.push((key, get(2)? == Some(pauses.number(key))));
    }
    Ok(pauses.judge(found))
}

/// What `paused` says of a job: 0 once it is resumed.
pub(super) fn pause(
    prepared: &mut Prepared<'_>,
    key: JobKey,
    paused: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO jobs (job, occurrence, touched, paused) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT DO UPDATE SET paused = excluded.paused, touched = excluded.touched";
    touch(prepared, sql, key, now, [paused, 0, 0])
}

pub(super) fn owe(
    prepared: &mut Prepared<'_>,
    key: JobKey,
    owed: Owed,
    now: Timestamp,
) -> Result<(), StoreError> {
    // What is owed is forgotten with its job, and so needs one.
    let sql = "INSERT INTO jobs (job, occurrence, touched) VALUES (?1, ?2, ?3) \
               ON CONFLICT DO UPDATE SET touched = excluded.touched";
    touch(prepared, sql, key, now, [0; 3])?;
    let sql = "INSERT OR REPLACE INTO owed VALUES (?1, ?2, ?3, ?4, ?5)";
    let (id, Due { at, civil }) = (key.id.seed().cast_signed(), owed.due);
    let values =
        params![id, key.occurrence, micros(at), micros_of_civil(civil), owed.trigger.name()];
    prepared.get(sql)?.execute(values).map(drop).told()
}

/// Whether anything is owed.
pub(super) fn owes(connection: &Connection) -> Result<bool, StoreError> {
    connection.prepare_cached("SELECT 1 FROM owed").told()?.exists([]).told()
}

pub(super) fn settle(prepared: &mut Prepared<'_>, key: JobKey, due: Due) -> Result<(), StoreError> {
    let sql = "DELETE FROM owed WHERE job = ?1 AND occurrence = ?2 AND at = ?3 AND civil = ?4";
    let id = key.id.seed().cast_signed();
    let values = params![id, key.occurrence, micros(due.at), micros_of_civil(due.civil)];
    prepared.get(sql)?.execute(values).map(drop).told()
}

/// When something was last written of any job, in seconds since 1970.
pub(super) fn latest(connection: &Connection) -> Result<Option<i64>, StoreError> {
    connection.query_row("SELECT max(touched) FROM jobs", [], |row| row.get(0)).told()
}

/// Forgets jobs that nothing was written of since `before`, a few each time; the place to go on from the next time, if there are
/// more, and how many stay of those that were looked at.
pub(super) fn forget(
    connection: &Connection,
    after: Option<(i64, i64)>,
    before: Timestamp,
    written: usize,
) -> Result<(Option<(i64, i64)>, usize), StoreError> {
    let most = LOOKED_AT.max(written);
    let sql = "SELECT job, occurrence, touched FROM jobs WHERE (job, occurrence) > (?1, ?2) \
               ORDER BY job, occurrence LIMIT ?3";
    let (id, occurrence) = after.unwrap_or((i64::MIN, 0));
    let mut place = after;
    let mut old = Vec::new();
    let mut count = 0;
    {
        let mut statement = connection.prepare_cached(sql).told()?;
        let mut rows = statement.query(params![id, occurrence, number(most as u64)]).told()?;
        while let Some(row) = rows.next().told()? {
            let key = (row.get(0).told()?, row.get(1).told()?);
            place = Some(key);
            count += 1;
            if row.get::<_, i64>(2).told()? < before.as_second() {
                old.push(key);
            }
        }
    }
    let kept = count - old.len();
    for (id, occurrence) in old {
        for sql in [
            "DELETE FROM jobs WHERE job = ?1 AND occurrence = ?2",
            "DELETE FROM owed WHERE job = ?1 AND occurrence = ?2",
        ] {
            connection.prepare_cached(sql).told()?.execute([id, occurrence]).told()?;
        }
    }
    Ok((if count < most { None } else { place }, kept))
}
