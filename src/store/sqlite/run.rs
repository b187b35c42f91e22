//! Runs and their output, row by row.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::record::RecordedOutcome;
use super::super::{Output, RunRecord, Start, StoreError};
use super::error::SqlResult as _;
use super::prepared::Prepared;
use super::value::{due_of, instant, key_of, micros, micros_of_civil, number, trigger_of};
use crate::event::RunId;

/// How much the runs and their output take, as it stands in `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// Rows of runs.
    pub(super) runs: i64,
    /// Bytes of packed output.
    pub(super) output_bytes: i64,
}

impl Tally {
    /// What is written there.
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT (SELECT value FROM meta WHERE name = 'runs'), \
                   (SELECT value FROM meta WHERE name = 'output_bytes')";
        let mut statement = connection.prepare_cached(sql).told()?;
        let [runs, output_bytes] = statement
            .query_row([], |row| Ok([0, 1].map(|column| row.get::<_, i64>(column).unwrap_or(0))))
            .told()?;
        Ok(Tally { runs, output_bytes })
    }

    /// Writes it there, if it is not `before`.
    pub(super) fn write(self, connection: &Connection, before: Tally) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        for (name, now, before) in [
            ("runs", self.runs, before.runs),
            ("output_bytes", self.output_bytes, before.output_bytes),
        ] {
            if now != before {
                connection.prepare_cached(sql).told()?.execute(params![name, now]).told()?;
            }
        }
        Ok(())
    }
}

/// The columns of a record, in the order in which [`record_of`] reads them.
pub(super) const COLUMNS: &str = "run, attempt, job, occurrence, name, due_at, due_civil, last_at, last_civil, count, \
    trigger, queued, started, ended, outcome, exit, signal, reason, user_cpu, system_cpu, max_rss_kib, replica, \
    output_bytes, pid, pid_start, worker";

/// The record of a row; none if it makes no sense.
pub(super) fn record_of(row: &Row<'_>) -> rusqlite::Result<Option<RunRecord>> {
    let get = |column: usize| row.get::<_, Option<i64>>(column);
    let moment = |column| get(column).map(|micros| micros.and_then(instant));
    let span = |column| get(column).map(|micros| Duration::from_micros(count(micros)));
    let text = |column: usize| row.get::<_, String>(column);
    let (Ok(run), Some(key)) = (row.get_ref(0)?.as_str()?.parse(), key_of(get(2)?, get(3)?)) else {
        return Ok(None);
    };
    let (Some(due), Some(trigger)) = (due_of(get(5)?, get(6)?), trigger_of(row.get_ref(10)?))
    else {
        return Ok(None);
    };
    let outcome = row.get::<_, Option<String>>(14)?;
    let known = outcome.as_deref().and_then(RecordedOutcome::of_name);
    if outcome.is_some() && known.is_none() {
        return Ok(None);
    }
    let process = (get(23)?.and_then(|pid| i32::try_from(pid).ok()), get(24)?);
    Ok(Some(RunRecord {
        run,
        attempt: u32::try_from(count(get(1)?)).unwrap_or(u32::MAX),
        key,
        name: text(4)?,
        due,
        range: due_of(get(7)?, get(8)?).zip(get(9)?.map(|number| count(Some(number)))),
        trigger,
        queued: moment(11)?,
        started: moment(12)?,
        ended: moment(13)?,
        outcome: known,
        exit: get(15)?.and_then(|exit| u8::try_from(exit).ok()),
        signal: get(16)?.and_then(|signal| i32::try_from(signal).ok()),
        reason: row.get(17)?,
        user_cpu: span(18)?,
        system_cpu: span(19)?,
        max_rss_kib: Some(count(get(20)?)).filter(|&kib| kib > 0),
        replica: text(21)?,
        output_bytes: count(get(22)?),
        worker: row.get(25)?,
        process: process.0.zip(process.1.map(|start| count(Some(start)))),
    }))
}

fn count(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
}

fn micros_of(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Those without an end, by start.
pub(super) fn open(connection: &Connection) -> Result<Vec<RunRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE outcome IS NULL ORDER BY run, attempt");
    let mut statement = connection.prepare(&sql).told()?;
    let records = statement.query_map([], record_of).told()?;
    records.filter_map(|record| record.told().transpose()).collect()
}

/// Records a run, as it stands.
pub(super) fn put(
    prepared: &mut Prepared<'_>,
    record: &RunRecord,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    // A record that has ended is not opened again by one that comes late.
    let update = "UPDATE runs SET name = ?5, due_at = ?6, due_civil = ?7, last_at = ?8, last_civil = ?9, count = ?10, trigger = ?11, \
        queued = ?12, started = ?13, ended = ?14, outcome = ?15, exit = ?16, signal = ?17, reason = ?18, \
        user_cpu = ?19, system_cpu = ?20, max_rss_kib = ?21, replica = ?22, output_bytes = ?23, pid = ?24, \
        pid_start = ?25, worker = ?26 \
        WHERE run = ?1 AND attempt = ?2 AND job = ?3 AND occurrence = ?4 \
        AND (outcome IS NULL OR ?15 IS NOT NULL)";
    // What is in an index is left alone where it does not change.
    let update_open = "UPDATE runs SET name = ?5, due_at = ?6, due_civil = ?7, last_at = ?8, last_civil = ?9, count = ?10, trigger = ?11, \
        queued = ?12, started = ?13, ended = ?14, exit = ?16, signal = ?17, reason = ?18, \
        user_cpu = ?19, system_cpu = ?20, max_rss_kib = ?21, replica = ?22, output_bytes = ?23, pid = ?24, \
        pid_start = ?25, worker = ?26 \
        WHERE run = ?1 AND attempt = ?2 AND job = ?3 AND occurrence = ?4 \
        AND outcome IS NULL AND ?15 IS NULL";
    let update = if record.outcome.is_some() { update } else { update_open };
    let insert = "INSERT OR IGNORE INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
        ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)";
    let mut text = [0; ulid::ULID_LEN];
    let values = params![
        record.run.text(&mut text),
        record.attempt,
        record.key.id.seed().cast_signed(),
        record.key.occurrence,
        record.name,
        micros(record.due.at),
        micros_of_civil(record.due.civil),
        record.range.map(|(last, _)| micros(last.at)),
        record.range.map(|(last, _)| micros_of_civil(last.civil)),
        record.range.map(|(_, count)| number(count)),
        record.trigger.name(),
        record.queued.map(micros),
        record.started.map(micros),
        record.ended.map(micros),
        record.outcome.map(RecordedOutcome::name),
        record.exit,
        record.signal,
        record.reason,
        micros_of(record.user_cpu),
        micros_of(record.system_cpu),
        number(record.max_rss_kib.unwrap_or(0)),
        record.replica,
        number(record.output_bytes),
        record.process.map(|(pid, _)| pid),
        record.process.map(|(_, start)| number(start)),
        record.worker,
    ];
    // Most are written once, with their end.
    let inserted = prepared.get(insert)?.execute(values).told()?;
    tally.runs += i64::from(inserted > 0);
    if inserted == 0 {
        prepared.get(update)?.execute(values).told()?;
    }
    Ok(())
}

/// Records a start, unless there is a record of the attempt already.
pub(super) fn put_start(
    prepared: &mut Prepared<'_>,
    start: &Start,
    replica: &str,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let sql = "INSERT OR IGNORE INTO runs (run, attempt, job, occurrence, name, due_at, due_civil, trigger, queued, \
               user_cpu, system_cpu, max_rss_kib, replica, output_bytes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 0, 0, ?10, 0)";
    let mut text = [0; ulid::ULID_LEN];
    let values = params![
        start.run.text(&mut text),
        start.attempt,
        start.key.id.seed().cast_signed(),
        start.key.occurrence,
        start.name,
        micros(start.mark.at),
        micros_of_civil(start.mark.civil),
        start.trigger.name(),
        micros(start.queued),
        replica,
    ];
    let inserted = prepared.get(sql)?.execute(values).told()?;
    tally.runs += i64::from(inserted > 0);
    Ok(())
}

/// Keeps what a run printed.
pub(super) fn put_output(
    prepared: &mut Prepared<'_>,
    run: RunId,
    output: &Output,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    let mut text = [0; ulid::ULID_LEN];
    let run = run.text(&mut text);
    let sql = "SELECT length(packed) FROM outputs WHERE run = ?1";
    let statement = prepared.get(sql)?;
    let before: Option<i64> = statement.query_row([run], |row| row.get(0)).optional().told()?;
    let packed = output.pack();
    let sql = "INSERT OR REPLACE INTO outputs VALUES (?1, ?2)";
    prepared.get(sql)?.execute(params![run, packed]).told()?;
    tally.output_bytes += number(packed.len() as u64) - before.unwrap_or(0);
    Ok(())
}

/// What a run printed.
pub(super) fn output(connection: &Connection, run: RunId) -> Result<Option<Output>, StoreError> {
    let mut text = [0; ulid::ULID_LEN];
    let run = run.text(&mut text);
    let sql = "SELECT packed FROM outputs WHERE run = ?1";
    let mut statement = connection.prepare(sql).told()?;
    let packed: Option<Vec<u8>> = statement.query_row([run], |row| row.get(0)).optional().told()?;
    packed.map(|packed| Output::unpack(&packed)).transpose()
}
