//! The Python service that Cronkeep succeeds, on a real Redis: what it writes is what we write, and each reads the other's.
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for its programs as any parent does"
)]

mod fixture;
mod python;
mod reading;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "not all of it is of use here")]
mod redis;
mod service;
mod takeover;
#[expect(dead_code, reason = "one file of vectors is of use here")]
#[path = "../conformance/vectors.rs"]
mod vectors;

use cronkeep::crontab::{self, Crontab, Dialect, Options, Source};
use cronkeep::job::JobTable;
use cronkeep::schedule::Zone;
use cronkeep::store::legacy::{self, Row};
use jiff::Timestamp;

/// A system table, read.
fn read(bytes: &[u8]) -> (Source, Crontab) {
    let source =
        Source { name: "crontab".into(), bytes: bytes.to_vec(), dialect: Dialect::system() };
    let crontab = crontab::parse(&source);
    (source, crontab)
}

/// The rows that we cache of a system table.
fn rows(text: &str) -> Vec<Row> {
    let (source, crontab) = read(text.as_bytes());
    legacy::rows(&[(&source, &crontab)]).into_iter().map(|(_, row)| row).collect()
}

/// The ids of the jobs of a system table, in order.
fn ids(text: &str) -> Vec<String> {
    let (source, crontab) = read(text.as_bytes());
    let (options, before) = (Options::default(), JobTable::default());
    let (table, _, _) = JobTable::build(
        &[(&source, &crontab)],
        &Zone::utc(),
        &options,
        &before,
        Timestamp::UNIX_EPOCH,
    );
    table.jobs().iter().map(|job| job.key.id.to_string()).collect()
}

/// What differs between a system table and rows, in words.
fn differences(text: &str, cached: &[Row]) -> Vec<String> {
    let (source, crontab) = read(text.as_bytes());
    let compared = legacy::compare(&source, &crontab, cached);
    compared.differences.iter().map(ToString::to_string).collect()
}
