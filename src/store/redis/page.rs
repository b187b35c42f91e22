//! Pages of runs, newest first: a walk down an index whose members sort as runs do.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;

use super::{Redis, form};
use crate::event::RunId;
use crate::store::{Page, Query, RunRecord, StoreError};

/// Records on one page, at most.
const LARGEST: usize = 1_000;
/// Members that are looked at in one step.
const STEP: usize = 1_000;

/// What lies between two bounds of `ZREVRANGEBYLEX`.
struct Span {
    from: String,
    below: String,
}

impl Redis {
    /// The runs that a query asks for.
    pub(super) async fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let mut page = Page::default();
        let Some(mut span) = span(query)? else { return Ok(page) };
        let limit = query.limit.min(LARGEST);
        if limit == 0 {
            return Ok(page);
        }
        let index = match query.job {
            Some(key) => self.key(&format!("runs:{}", super::job_word(key))),
            None => self.key("runs"),
        };
        let filters = query.id_end.is_some()
            || !query.outcomes.is_empty()
            || query.since.is_some()
            || query.until.is_some();
        // One more tells whether there is another page.
        let step = if filters { STEP } else { limit + 1 };
        loop {
            let members = self.members(&index, &span, step).await?;
            let Some(last) = members.last() else { return Ok(page) };
            span.below = format!("({last}");
            let is_end = |member: &&String| {
                let end = query.id_end.as_deref().unwrap_or_default();
                member.split(' ').next().is_some_and(|run| run.ends_with(end))
            };
            let wanted: Vec<&String> = members.iter().filter(is_end).collect();
            let is_full = self.fill(&mut page, query, limit, &wanted).await?;
            if is_full.is_break() || members.len() < step {
                return Ok(page);
            }
        }
    }

    /// Adds the records of these members; whether the page is full.
    async fn fill(
        &self,
        page: &mut Page,
        query: &Query,
        limit: usize,
        members: &[&String],
    ) -> Result<ControlFlow<()>, StoreError> {
        if members.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let names = members.iter().map(|member| name(member));
        let records = self.records(names.map(str::to_owned).collect()).await?;
        for record in records {
            let fits = query.outcomes.is_empty()
                || record.outcome.is_some_and(|outcome| query.outcomes.contains(&outcome));
            if !fits || !query.spans(&record) {
                continue;
            }
            if page.runs.len() == limit {
                let last = page.runs.last().expect("a full page has a run");
                page.cursor = Some(format!("{}-{}", last.run, last.attempt));
                return Ok(ControlFlow::Break(()));
            }
            page.runs.push(record);
        }
        Ok(ControlFlow::Continue(()))
    }

    async fn members(
        &self,
        index: &str,
        span: &Span,
        count: usize,
    ) -> Result<Vec<String>, StoreError> {
        let count = isize::try_from(count).unwrap_or(isize::MAX);
        let mut commands = redis::pipe();
        commands.zrevrangebylex_limit(index, &span.below, &span.from, 0, count);
        let (members,) = self.read(&commands).await?;
        Ok(members)
    }

    /// The records of these `RUN ATTEMPT`, as far as they are kept.
    pub(super) async fn records(&self, names: Vec<String>) -> Result<Vec<RunRecord>, StoreError> {
        let key = self.key("records");
        let mut records = Vec::with_capacity(names.len());
        for names in names.chunks(STEP) {
            let mut commands = redis::pipe();
            commands.cmd("HMGET").arg(&key).arg(names);
            let (found,): (Vec<Option<Vec<u8>>>,) = self.read(&commands).await?;
            // A record that makes no sense hides no others.
            records.extend(found.iter().flatten().filter_map(|json| form::record(json).ok()));
        }
        Ok(records)
    }
}

/// `RUN ATTEMPT` of a member `RUN ATTEMPT JOB`.
fn name(member: &str) -> &str {
    member.rsplit_once(' ').map_or(member, |(name, _)| name)
}

/// Between which members the query's runs are; none: there can be no such run.
fn span(query: &Query) -> Result<Option<Span>, StoreError> {
    let mut from = query.since.map_or_else(String::new, least);
    // What was not started is recorded later than it was due.
    let mut below = query.until.filter(|_| !query.wants_instants()).map(least);
    if let Some(cursor) = &query.cursor {
        let refused = || StoreError::Refused(format!("{cursor:?} is no cursor of a page of runs"));
        let (run, attempt) = cursor.split_once('-').ok_or_else(refused)?;
        let run: RunId = run.parse().map_err(|_| refused())?;
        let attempt: u32 = attempt.parse().map_err(|_| refused())?;
        let place = format!("{run} {attempt:010}");
        below = Some(below.map_or(place.clone(), |below| below.min(place)));
    }
    if let Some(end) = &query.id_end {
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
        if end.len() > 26 || !end.bytes().all(is_digit) {
            return Ok(None);
        }
        if end.len() == 26 {
            from = from.max(end.clone());
            let past = format!("{end}~");
            below = Some(below.map_or(past.clone(), |below| below.min(past)));
        }
    }
    if below.as_ref().is_some_and(|below| *below <= from) {
        return Ok(None);
    }
    let from = if from.is_empty() { "-".to_owned() } else { format!("[{from}") };
    let below = below.map_or_else(|| "+".to_owned(), |below| format!("({below}"));
    Ok(Some(Span { from, below }))
}

/// The least id of a run that arrived at an instant or later.
fn least(at: Timestamp) -> String {
    let floor = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
    let at = if floor < at {
        floor.checked_add(Duration::from_millis(1)).unwrap_or(floor)
    } else {
        floor
    };
    // Ids have 48 bits of milliseconds: no run is later.
    let last = Timestamp::from_millisecond((1 << 48) - 1).unwrap_or(Timestamp::MAX);
    RunId::new(at.min(last), 0).to_string()
}
