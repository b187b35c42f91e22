//! Pages of runs, newest first.
//!
//! Every query is a walk down an index that has the order of the page. Outcomes and jobs have no common order, so there is
//! one walk for each outcome; the walks are merged.

use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use super::super::record::RecordedOutcome;
use super::super::{Page, Query, RunRecord, StoreError};
use super::error::SqlResult as _;
use super::run::{COLUMNS, record_of};
use crate::event::RunId;

/// Records on one page, at most.
const LARGEST: usize = 1_000;

/// Where a record stands among all: the later the newer.
type Place = (RunId, u32);

/// Which runs a walk passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// All.
    Any,
    /// Those that have not ended.
    Open,
    /// Those that ended so.
    This(RecordedOutcome),
}

impl Outcome {
    /// Whether it is one of instants that were not started.
    fn is_of_instants(self) -> bool {
        matches!(self, Outcome::This(outcome) if outcome.is_of_instants())
    }
}

/// The runs between two places, the upper one not included.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: RunId,
    below: Place,
}

pub(super) fn page(connection: &Connection, query: &Query) -> Result<Page, StoreError> {
    let spans = (span(query, query.until)?, span(query, None)?);
    let limit = query.limit.min(LARGEST);
    if limit == 0 {
        return Ok(Page::default());
    }
    // One more tells whether there is another page.
    let is_of_all = query.job.is_none() && query.outcomes.is_empty() && query.id_end.is_none();
    let mut places = if is_of_all && query.since.is_none() && query.until.is_none() {
        walk(connection, query, Outcome::Any, spans.0, limit + 1)?
    } else {
        let mut outcomes: Vec<_> = query.outcomes.iter().copied().map(Outcome::This).collect();
        if outcomes.is_empty() {
            outcomes.push(Outcome::Open);
            outcomes.extend(RecordedOutcome::ALL.map(Outcome::This));
        }
        let mut places = Vec::new();
        for outcome in outcomes {
            let span = if outcome.is_of_instants() { spans.1 } else { spans.0 };
            places.extend(walk(connection, query, outcome, span, limit + 1)?);
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.dedup();
        places
    };
    let more = places.len() > limit;
    places.truncate(limit);
    let cursor = places.last().filter(|_| more).map(|(run, attempt)| format!("{run}-{attempt}"));
    Ok(Page { runs: records(connection, &places)?, cursor })
}

/// Between which places the query's runs are that arrived before `until`; none: there can be no such run.
fn span(query: &Query, until: Option<Timestamp>) -> Result<Option<Span>, StoreError> {
    let least = |at: Timestamp| RunId::of_bits(u128::from(milliseconds_from(at)) << 80);
    let mut from = query.since.map_or(RunId::of_bits(0), least);
    let mut below = (RunId::of_bits(u128::MAX), u32::MAX);
    if let Some(until) = until {
        below = below.min((least(until), 0));
    }
    if let Some(cursor) = &query.cursor {
        let refused = || StoreError::Refused(format!("{cursor:?} is no cursor of a page of runs"));
        let (run, attempt) = cursor.split_once('-').ok_or_else(refused)?;
        let (run, attempt) = run.parse().ok().zip(attempt.parse().ok()).ok_or_else(refused)?;
        below = below.min((run, attempt));
    }
    if let Some(end) = &query.id_end {
        let is_end = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        if end.len() > 26 || !end.bytes().all(is_end) {
            return Ok(None);
        }
        if end.len() == 26 {
            let Ok(run) = end.parse() else { return Ok(None) };
            from = from.max(run);
            below = below.min((run, u32::MAX));
        }
    }
    Ok((from <= below.0).then_some(Span { from, below }))
}

/// The first millisecond that does not lie before an instant, as ids count them.
fn milliseconds_from(at: Timestamp) -> u64 {
    let millisecond = at.as_millisecond();
    let later = Timestamp::from_millisecond(millisecond).is_ok_and(|floor| floor < at);
    // Of 48 bits.
    u64::try_from(millisecond + i64::from(later)).unwrap_or(0).min((1 << 48) - 1)
}

/// The first microsecond that does not lie before an instant.
fn micros_from(at: Timestamp) -> i64 {
    let micros = at.as_microsecond();
    micros + i64::from(Timestamp::from_microsecond(micros).is_ok_and(|floor| floor < at))
}

/// The newest places of those that fit.
fn walk(
    connection: &Connection,
    query: &Query,
    outcome: Outcome,
    span: Option<Span>,
    limit: usize,
) -> Result<Vec<Place>, StoreError> {
    let Some(span) = span else { return Ok(Vec::new()) };
    let (from, below, attempt) = (span.from.to_string(), span.below.0.to_string(), span.below.1);
    let job = query.job.map(|key| (key.id.seed().cast_signed(), key.occurrence));
    let name = match outcome {
        Outcome::This(outcome) => Some(outcome.name()),
        Outcome::Any | Outcome::Open => None,
    };
    let end_from = query.id_end.as_ref().map(|end| -i64::try_from(end.len()).unwrap_or(0));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut values: Vec<(&str, &dyn ToSql)> =
        vec![(":from", &from), (":below", &below), (":attempt", &attempt), (":limit", &limit)];
    if outcome != Outcome::Any {
        values.push((":outcome", &name));
    }
    if let Some((id, occurrence)) = &job {
        values.extend([(":job", id as &dyn ToSql), (":occurrence", occurrence)]);
    }
    if let (Some(end), Some(end_from)) = (&query.id_end, &end_from)
        && !end.is_empty()
    {
        values.extend([(":end_from", end_from as &dyn ToSql), (":end", end)]);
    }
    let (since, until) = (query.since.map(micros_from), query.until.map(micros_from));
    if outcome.is_of_instants() {
        let bounds = [(":since", &since), (":until", &until)];
        let bounds = bounds.into_iter().filter(|(_, bound)| bound.is_some());
        values.extend(bounds.map(|(name, bound)| (name, bound as &dyn ToSql)));
    }
    let sql = sql(query, outcome);
    let mut statement = connection.prepare(&sql).told()?;
    let mut rows = statement.query(&values[..]).told()?;
    let mut places = Vec::new();
    while let Some(row) = rows.next().told()? {
        let run = row.get_ref(0).told()?.as_str().ok().and_then(|text| text.parse().ok());
        // A row that makes no sense is passed over here and everywhere.
        if let (Some(run), Ok(attempt)) = (run, row.get(1)) {
            places.push((run, attempt));
        }
    }
    Ok(places)
}

/// The query of a walk.
fn sql(query: &Query, outcome: Outcome) -> String {
    let mut sql = "SELECT run, attempt FROM runs".to_owned();
    if outcome != Outcome::Any {
        sql.push_str(" INDEXED BY ");
        sql.push_str(if query.job.is_some() { "runs_by_job" } else { "runs_by_outcome" });
    }
    sql.push_str(" WHERE run >= :from AND (run, attempt) < (:below, :attempt)");
    if outcome != Outcome::Any {
        sql.push_str(" AND outcome IS :outcome");
    }
    if query.job.is_some() {
        sql.push_str(" AND job = :job AND occurrence = :occurrence");
    }
    if query.id_end.as_ref().is_some_and(|end| !end.is_empty()) {
        sql.push_str(" AND substr(run, :end_from) = :end");
    }
    if outcome.is_of_instants() {
        if query.since.is_some() {
            sql.push_str(" AND coalesce(last_at, due_at) >= :since");
        }
        if query.until.is_some() {
            sql.push_str(" AND due_at < :until");
        }
    }
    sql.push_str(" ORDER BY run DESC, attempt DESC LIMIT :limit");
    sql
}

/// The records at these places.
fn records(connection: &Connection, places: &[Place]) -> Result<Vec<RunRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM runs WHERE run = ?1 AND attempt = ?2");
    let mut statement = connection.prepare(&sql).told()?;
    let mut found = Vec::with_capacity(places.len());
    for (run, attempt) in places {
        let record = statement.query_row(params![run.to_string(), attempt], record_of).told()?;
        found.extend(record);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanosecond: i128) -> Timestamp {
        Timestamp::from_nanosecond(nanosecond).unwrap()
    }

    #[test]
    fn the_end_of_an_id_is_looked_for_in_a_range_of_an_index_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection).unwrap();
        let query = |job| Query {
            job,
            outcomes: Vec::new(),
            since: None,
            until: None,
            id_end: Some("0123".to_owned()),
            limit: 1,
            cursor: None,
        };
        let key = "crondServiceTask-0123456789abcdef".parse().ok();
        for (job, start) in [
            (None, "SEARCH runs USING COVERING INDEX runs_by_outcome (outcome=? AND run>?"),
            (
                key,
                "SEARCH runs USING COVERING INDEX runs_by_job (job=? AND occurrence=? AND outcome=? AND run>?",
            ),
        ] {
            let sql = format!("EXPLAIN QUERY PLAN {}", sql(&query(job), Outcome::Open));
            let mut statement = connection.prepare(&sql).unwrap();
            // Without values: the plan is the same for all.
            let mut rows = statement.raw_query();
            let mut steps: Vec<String> = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                steps.push(row.get(3).unwrap());
            }
            assert!(steps.len() == 1 && steps[0].starts_with(start), "{steps:?}");
        }
    }

    #[test]
    fn a_part_of_a_millisecond_begins_with_the_next() {
        assert_eq!(milliseconds_from(at(5_000_000)), 5);
        assert_eq!(milliseconds_from(at(5_000_001)), 6);
        assert_eq!(milliseconds_from(at(-5_000_001)), 0);
        assert_eq!(milliseconds_from(Timestamp::MIN), 0);
    }
}
