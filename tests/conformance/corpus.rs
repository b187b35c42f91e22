//! Crontabs found in public repositories, against what cronie's own parser made of them.
//!
//! They are not ours to hand on, so they are not in the repository: `CRONKEEP_CORPUS` names their folder.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::parse;
use crate::tally::Tally;

fn folder() -> PathBuf {
    match std::env::var_os("CRONKEEP_CORPUS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
    }
}

#[test]
fn real_crontabs_are_read_as_cronie_reads_them() {
    let folder = folder();
    let Ok(text) = std::fs::read_to_string(folder.join("expected.jsonl")) else {
        println!("skipped: {} is not there, CRONKEEP_CORPUS names the corpus", folder.display());
        return;
    };
    let mut tally = Tally::new("corpus");
    for line in text.lines() {
        let vector: Value = serde_json::from_str(line).expect("JSON");
        let path = folder.join(vector["file"].as_str().expect("a file"));
        let bytes = std::fs::read(&path).expect("a crontab");
        parse::compare(&mut tally, "corpus", &vector, &vector, &bytes);
    }
    tally.finish();
}
