//! What became of each instant of a soak: by what the jobs wrote, and by what is listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::redis::Redis as Store;
use cronkeep::store::{Query, RunRecord, Store as _};
use jiff::{SignedDuration, Timestamp};

use crate::harm::{Fire, Service};
use crate::soak::MARGINS;

/// What became of a soak.
pub struct Outcome {
    /// Of how many jobs anything was heard.
    pub jobs: usize,
    pub due: usize,
    pub started: usize,
    pub twice: usize,
    pub lost: usize,
    pub missed: usize,
    /// Neither started nor listed.
    pub unlisted: Vec<Fire>,
    /// Started, and listed as missed all the same.
    pub both: Vec<Fire>,
    /// What a replica had claimed when it was struck, and another one started.
    pub take_overs: usize,
    /// Take-overs that the daemons told of.
    pub told: usize,
}

/// Who started each instant.
fn starts(service: &Service) -> BTreeMap<Fire, Vec<String>> {
    let text = fs::read_to_string(service.folder.path().join("runs")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut starts: BTreeMap<Fire, Vec<String>> = BTreeMap::new();
    for line in whole.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let fire = (words[0].to_owned(), words[1].parse().unwrap());
        starts.entry(fire).or_default().push(words[2].to_owned());
    }
    starts
}

/// Instants that were started more than once.
pub fn doubles(service: &Service) -> usize {
    starts(service).values().filter(|who| who.len() > 1).count()
}

/// What others started that a replica had claimed when it was struck; and how much of such the daemons told of.
pub fn take_overs(service: &Service) -> (usize, usize) {
    let starts = starts(service);
    let taken = service.left.iter().filter(|(fire, owner)| {
        starts.get(fire).is_some_and(|who| who.iter().any(|who| who != owner))
    });
    let told = service.logs().map(|text| text.matches("taken over from a replica").count()).sum();
    (taken.count(), told)
}

/// What is recorded in a Redis of runs and of instants that were not started.
pub fn records(url: &str, namespace: &str) -> Vec<RunRecord> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store: Arc<Store> = Arc::new(Store::new(url, namespace));
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let query = Query {
            job: None,
            outcomes: Vec::new(),
            since: None,
            until: None,
            id_end: None,
            limit: 1_000,
            cursor,
        };
        let page = runtime.block_on(store.runs(query)).unwrap();
        records.extend(page.runs);
        cursor = page.cursor;
        if cursor.is_none() {
            return records;
        }
    }
}

/// The outcomes that are listed of each instant.
fn listed(records: Vec<RunRecord>) -> BTreeMap<Fire, Vec<RecordedOutcome>> {
    let mut listed: BTreeMap<Fire, Vec<RecordedOutcome>> = BTreeMap::new();
    for record in records {
        let Some(outcome) = record.outcome else { continue };
        let job = record.key.id.to_string();
        let Some((end, count)) = record.range else {
            listed.entry((job, record.due.at)).or_default().push(outcome);
            continue;
        };
        // Only the job of each second has ranges here, or one of each minute has.
        let span = end.at.duration_since(record.due.at).as_secs();
        let step = if count > 1 { span / i64::try_from(count - 1).unwrap() } else { 1 };
        for number in 0..i64::try_from(count).unwrap() {
            let at = record.due.at + SignedDuration::from_secs(number * step);
            listed.entry((job.clone(), at)).or_default().push(outcome);
        }
    }
    listed
}

impl Outcome {
    /// Judges what was due from when all were there to when the last harm was done.
    pub fn of(service: &Service, first: Timestamp, last: Timestamp) -> Self {
        let starts = starts(service);
        let listed = listed(records(&service.redis.url(), "soak"));
        let (from, to) = (first.as_second() + MARGINS.0, last.as_second() - MARGINS.1);
        let mut jobs: BTreeSet<&String> = starts.keys().map(|(job, _)| job).collect();
        jobs.extend(listed.keys().map(|(job, _)| job));
        let each_second = jobs
            .iter()
            .max_by_key(|job| starts.keys().filter(|(of, _)| of == **job).count())
            .map(|job| (*job).clone())
            .unwrap_or_default();
        let is_due =
            |job: &str, at: i64| (from..=to).contains(&at) && (at % 60 == 0 || *job == each_second);
        let due: Vec<Fire> = jobs
            .iter()
            .flat_map(|job| {
                (from..=to)
                    .filter(|at| is_due(job, *at))
                    .map(|at| ((*job).clone(), Timestamp::from_second(at).unwrap()))
            })
            .collect();
        let is = |fire: &Fire, wanted| listed.get(fire).is_some_and(|all| all.contains(&wanted));
        let unstarted = || due.iter().filter(|fire| !starts.contains_key(*fire));
        let accounted = |fire: &&Fire| {
            [RecordedOutcome::Lost, RecordedOutcome::Missed]
                .into_iter()
                .any(|outcome| is(fire, outcome))
        };
        let (take_overs, told) = take_overs(service);
        Outcome {
            jobs: jobs.len(),
            due: due.len(),
            started: due.iter().filter(|fire| starts.contains_key(*fire)).count(),
            twice: doubles(service),
            lost: unstarted().filter(|fire| is(fire, RecordedOutcome::Lost)).count(),
            missed: unstarted()
                .filter(|fire| {
                    is(fire, RecordedOutcome::Missed) && !is(fire, RecordedOutcome::Lost)
                })
                .count(),
            both: due
                .iter()
                .filter(|fire| starts.contains_key(*fire) && is(fire, RecordedOutcome::Missed))
                .cloned()
                .collect(),
            unlisted: unstarted().filter(|fire| !accounted(fire)).cloned().collect(),
            take_overs,
            told,
        }
    }
}
