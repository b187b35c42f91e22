//! Our reading of thousands of lines and of found crontabs beside python-crontab's own.

use std::path::{Path, PathBuf};

use cronkeep::store::legacy::{self, Difference, Found, Meaning, Misreading, Row};
use serde_json::Value;

use crate::{ids, python, read, vectors};

/// Every row that the service makes of a crontab: of comments and of what it misreads, too.
fn rows_there(bytes: &[u8]) -> Vec<Row> {
    let (source, crontab) = read(bytes);
    legacy::readings(&source, &crontab).filter_map(|reading| reading.row).collect()
}

/// Whether we say that a line ends the service's parser.
fn ends(bytes: &[u8]) -> bool {
    let (source, crontab) = read(bytes);
    legacy::compare(&source, &crontab, &[]).differences.iter().any(|difference| {
        matches!(
            difference,
            Difference::Ends(..)
                | Difference::Misread(_, Misreading::Ends | Misreading::NotUtf8, _)
        )
    })
}

/// Compares one crontab; `name` is for the message.
fn compare(name: &str, bytes: &[u8], answer: &Value) {
    let Some(cached) = answer["cached"].as_str() else {
        assert!(ends(bytes), "{name}: {answer} ends the service, and we did not say so");
        return;
    };
    assert!(!ends(bytes), "{name}: we say that the service ends, and it does not");
    let there = rows_there(bytes);
    assert_eq!(legacy::dumps(&there), cached, "{name}");
    for row in legacy::loads(cached.as_bytes()).expect("an array") {
        let known = row.as_ref().is_ok_and(|row| there.contains(row));
        let is_told = row.as_ref().is_err_and(|reason| !reason.to_string().is_empty());
        assert!(known || is_told, "{name}: {row:?}");
    }
}

/// The lines of `job-ids.json` in whose lists python-crontab's order contradicts itself.
///
/// The vectors hash its second text. The service hashes the first, caches the third, and after a recovery hashes that.
const INCONSISTENT: [&str; 4] = [
    "*,5 * * * * root /bin/starlist",
    "5,* * * * * root /bin/starlist",
    "*/10,5,15-20 * * * * root /bin/weave",
    "5,*/10,15-20 * * * * root /bin/weave",
];

#[test]
fn each_line_of_the_vectors_is_cached_as_python_caches_it_and_has_its_id() {
    let Some(text) = vectors::text("job-ids.json") else { return };
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let lines = vectors["vectors"].as_array().expect("a list");
    let lines: Vec<&str> =
        lines.iter().map(|line| line["line"].as_str().expect("a line")).collect();
    let texts: Vec<Vec<u8>> = lines.iter().map(|line| format!("{line}\n").into_bytes()).collect();
    let Some(answers) = python::cached(&texts) else { return };
    let mut inconsistent = Vec::new();
    for ((line, text), answer) in lines.iter().zip(&texts).zip(&answers) {
        compare(line, text, answer);
        let (source, crontab) = read(text);
        let reading = legacy::readings(&source, &crontab).next();
        let is_same = reading.is_some_and(|reading| reading.found == Found::Same);
        if is_same && answer["ids"] != serde_json::json!(ids(&format!("{line}\n"))) {
            inconsistent.push(*line);
        }
    }
    assert_eq!(inconsistent, INCONSISTENT);
}

#[test]
fn whole_files_of_the_vectors_are_cached_as_python_caches_them() {
    let Some(text) = vectors::text("job-ids.json") else { return };
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let files = vectors["files"].as_array().expect("a list");
    let texts: Vec<Vec<u8>> =
        files.iter().map(|file| file["text"].as_str().expect("a text").into()).collect();
    for (file, text) in files.iter().zip(&texts) {
        assert_eq!(legacy::dumps(&rows_there(text)), file["cached_json"], "{}", file["name"]);
    }
    let Some(answers) = python::cached(&texts) else { return };
    for ((file, text), answer) in files.iter().zip(&texts).zip(&answers) {
        compare(file["name"].as_str().expect("a name"), text, answer);
    }
}

/// The corpus is not ours to hand on: `CRONKEEP_CORPUS` names its folder.
#[test]
fn found_crontabs_are_cached_as_python_caches_them() {
    let folder = match std::env::var_os("CRONKEEP_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    };
    let Ok(files) = std::fs::read_dir(folder.join("files")) else {
        println!("skipped: {} is not there, CRONKEEP_CORPUS names the corpus", folder.display());
        return;
    };
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let texts: Vec<Vec<u8>> =
        paths.iter().map(|path| std::fs::read(path).expect("a file")).collect();
    let Some(answers) = python::cached(&texts) else { return };
    for ((path, text), answer) in paths.iter().zip(&texts).zip(&answers) {
        compare(&path.display().to_string(), text, answer);
    }
    let cached = answers.iter().filter(|answer| answer["cached"].is_string()).count();
    assert!(cached > answers.len() / 2, "{cached} of {} files are cached", answers.len());
}

#[test]
fn what_ends_the_services_parser_is_known_line_by_line() {
    let lines = [
        "MAILTO=\n",
        "#MAILTO=\n",
        "0 0 * * mon,1 root x\n",
        "0 0 * * MON-5 root x\n",
        "0 0 * * mon-7 root x\n",
    ];
    let mut texts: Vec<Vec<u8>> = lines.map(Vec::from).into();
    texts.push(b"# caf\xe9\n".to_vec());
    texts.push(b"0 0 * * * root \xff\n".to_vec());
    let Some(answers) = python::cached(&texts) else { return };
    for (text, answer) in texts.iter().zip(&answers) {
        let text = String::from_utf8_lossy(text);
        assert!(answer["error"].is_string(), "{text:?} does not end it: {answer}");
    }
    for (text, answer) in texts.iter().zip(&answers) {
        compare(&String::from_utf8_lossy(text), text, answer);
        // The line is lost, and nothing else: another job is cached all the same.
        let more = [text.as_slice(), b"5 5 * * * root good\n"].concat();
        let (source, crontab) = read(&more);
        let rows = legacy::rows(&[(&source, &crontab)]);
        assert_eq!(rows.last().map(|(_, row)| row.command()), Some("good"), "{answer}");
    }
}

/// The vectors say what the service's scheduler, `APScheduler`, makes of each row.
#[test]
fn what_the_services_scheduler_refuses_is_known() {
    let Some(text) = vectors::text("job-ids.json") else { return };
    let vectors: Value = serde_json::from_str(&text).expect("JSON");
    let mut refused = 0;
    for vector in vectors["vectors"].as_array().expect("a list") {
        let Some(theirs) = vector["apscheduler"].as_str() else { continue };
        let line = vector["line"].as_str().expect("a line");
        let (source, crontab) = read(line.as_bytes());
        let rows: Vec<Row> =
            legacy::rows(&[(&source, &crontab)]).into_iter().map(|(_, row)| row).collect();
        let compared = legacy::compare(&source, &crontab, &rows);
        let ours = compared.meanings.iter().any(|(_, meaning)| *meaning == Meaning::Refused);
        if !rows.is_empty() {
            assert_eq!(ours, theirs != "ok", "{line}: {theirs}");
            refused += u32::from(ours);
        }
    }
    assert!(refused > 3, "{refused} of the vectors are refused");
}
