//! `job-ids.json`: the ids that the Python service gives to lines, and the rows that it caches.

use cronkeep::crontab::{self, Dialect, Options, Source};
use cronkeep::job::{Canonical, JobTable};
use cronkeep::schedule::Zone;
use jiff::Timestamp;
use serde_json::Value;

use crate::excuse::Case;
use crate::tally::Tally;
use crate::vectors;

const FILE: &str = "job-ids.json";

#[test]
fn lines_have_the_ids_of_the_python_service() {
    let mut tally = Tally::new(FILE);
    for vector in list("vectors") {
        let line = vector["line"].as_str().expect("a line");
        let case = Case { file: FILE, vector: &vector, line: Some((1, line.as_bytes())) };
        let verdict = match vector["id"].as_str() {
            Some(id) => match ids_of(&format!("{line}\n")).as_slice() {
                [ours] if ours == id => Ok(()),
                ours => Err(format!("{line:?} has {ours:?}, not {id}")),
            },
            None => match Canonical::of_line(line.as_bytes(), None) {
                None => Ok(()),
                Some(job) => Err(format!("{line:?} has {job:?}, and should have no id")),
            },
        };
        tally.count(&case, verdict);
    }
    tally.finish();
}

#[test]
fn lines_have_the_cached_rows_of_the_python_service() {
    for vector in list("vectors") {
        let line = vector["line"].as_str().expect("a line");
        let Some(job) = seed_reading(line) else {
            assert!(vector["id"].is_null(), "{line:?} is a job for the service");
            continue;
        };
        assert_eq!(vector["id"], job.id.to_string(), "{line:?}");
        let row: Vec<String> =
            serde_json::from_str(vector["cached_json_row"].as_str().expect("a row")).expect("JSON");
        let ours: Vec<String> =
            job.fields.into_iter().chain([job.user.to_string(), job.command.to_string()]).collect();
        assert_eq!(ours, row, "{line:?}");
    }
}

#[test]
fn whole_files_have_the_ids_of_the_python_service() {
    for file in list("files") {
        let text = file["text"].as_str().expect("a text");
        let expected: Vec<String> = serde_json::from_value(file["ids"].clone()).expect("ids");
        let jobs: Vec<_> =
            text.lines().filter_map(|line| Some((line, seed_reading(line)?))).collect();
        let ids: Vec<String> = jobs.iter().map(|(_, job)| job.id.to_string()).collect();
        assert_eq!(ids, expected, "{}", file["name"]);
        // The service runs commented lines; we must not.
        let runnable: Vec<String> = jobs
            .iter()
            .filter(|(line, _)| !line.trim_start().starts_with('#'))
            .map(|(_, job)| job.id.to_string())
            .collect();
        assert_eq!(ids_of(text), runnable, "{}", file["name"]);
    }
}

/// What the service makes of a line, commented or not.
fn seed_reading(line: &str) -> Option<Canonical> {
    let line = line.as_bytes();
    Canonical::of_line(line, None).or_else(|| Canonical::of_comment(line))
}

/// The ids of the jobs of a system table.
fn ids_of(text: &str) -> Vec<String> {
    let source =
        Source { name: "-".into(), bytes: text.as_bytes().to_vec(), dialect: Dialect::system() };
    let crontab = crontab::parse(&source);
    let (table, _, _) = JobTable::build(
        &[(&source, &crontab)],
        &Zone::utc(),
        &Options::default(),
        &JobTable::default(),
        Timestamp::UNIX_EPOCH,
    );
    table.jobs().iter().map(|job| job.key.id.to_string()).collect()
}

fn list(key: &str) -> Vec<Value> {
    let Some(text) = vectors::text(FILE) else {
        assert!(!vectors::are_bundled(), "{FILE} is not bundled");
        println!("skipped: {FILE} is not in the folder that CRONKEEP_VECTORS names");
        return Vec::new();
    };
    let vectors: Value = serde_json::from_str(&text).expect("vectors are JSON");
    vectors[key].as_array().expect("a list").clone()
}
