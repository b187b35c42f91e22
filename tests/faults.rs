//! What people and programs are shown for bad crontabs: one snapshot for each file of `tests/crontabs/bad`.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cronkeep::crontab::render::{FaultObject, Lines, caret, line, sarif};
use cronkeep::crontab::{self, Crontab, Dialect, Fault, Options, Source};
use cronkeep::job::JobTable;
use cronkeep::schedule::Zone;
use jiff::Timestamp;

/// The bad crontabs, by name.
fn bad() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crontabs/bad");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "crontab"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

fn read(path: &Path) -> (Source, Crontab) {
    let name: Arc<str> = path.file_name().unwrap().to_str().unwrap().into();
    let source = Source { name, bytes: fs::read(path).unwrap(), dialect: Dialect::system() };
    let crontab = crontab::parse(&source);
    (source, crontab)
}

/// The faults of the file, and those that only its jobs together show, by line.
fn faults(source: &Source, crontab: &Crontab) -> Vec<Fault> {
    let (_, _, across) = JobTable::build(
        &[(source, crontab)],
        &Zone::utc(),
        &Options::default(),
        &JobTable::default(),
        Timestamp::UNIX_EPOCH,
    );
    let mut faults = crontab.faults.clone();
    faults.extend(across.into_iter().map(|(_, fault)| fault));
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults
}

#[test]
fn people_see_the_line_and_the_place() {
    for path in bad() {
        let (source, crontab) = read(&path);
        let lines = Lines::of(&source.bytes);
        let shown: Vec<String> = faults(&source, &crontab)
            .iter()
            .map(|fault| caret(&source.name, &lines, fault, false))
            .collect();
        assert!(!shown.is_empty(), "{} is a bad crontab", path.display());
        insta::assert_snapshot!(format!("caret-{}", name_of(&path)), shown.join("\n\n"));
    }
}

#[test]
fn one_line_of_text_and_one_object_say_the_same() {
    for path in bad() {
        let (source, crontab) = read(&path);
        for fault in faults(&source, &crontab) {
            let text = line(&source.name, &fault);
            let object = serde_json::to_value(FaultObject::from(&fault)).unwrap();
            let place = format!("{}:{}:{}: ", source.name, object["line"], object["column"]);
            assert!(text.starts_with(&place), "{text}");
            let kind = |key: &str| object[key].as_str().unwrap().to_owned();
            assert!(text.contains(&format!("{}[{}]: ", kind("severity"), kind("code"))), "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}

#[test]
fn every_column_lies_within_its_line() {
    for path in bad() {
        let (source, crontab) = read(&path);
        for fault in faults(&source, &crontab) {
            let text = &source.bytes[crontab.lines[fault.line as usize - 1].span.clone()];
            let width = String::from_utf8_lossy(text).chars().count();
            assert!(1 <= fault.column && fault.column <= fault.end_column, "{fault:?}");
            assert!(fault.end_column as usize <= width + 1, "{fault:?}");
        }
    }
}

#[test]
fn tools_get_one_log_for_all_files() {
    let read: Vec<_> = bad().iter().map(|path| read(path)).collect();
    let found: Vec<_> =
        read.iter().map(|(source, crontab)| (&*source.name, faults(source, crontab))).collect();
    let mut log = sarif(found.iter().map(|(name, faults)| (*name, &faults[..])), &[]);
    let driver = &mut log["runs"][0]["tool"]["driver"];
    driver["version"] = "VERSION".into();
    let rules = driver["rules"].as_array_mut().unwrap();
    assert_eq!(rules.len(), crontab::Code::ALL.len());
    rules.truncate(2);
    let results = log["runs"][0]["results"].as_array_mut().unwrap();
    assert_eq!(results.len(), found.iter().map(|(_, faults)| faults.len()).sum::<usize>());
    results.truncate(2);
    insta::assert_snapshot!("sarif", serde_json::to_string_pretty(&log).unwrap());
}
