//! Where the vectors come from: the bundled ones, or the folder that `CRONKEEP_VECTORS` names.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of other vectors of the same form, if one was named.
pub fn other_folder() -> Option<PathBuf> {
    std::env::var_os("CRONKEEP_VECTORS").map(PathBuf::from)
}

/// Whether the vectors are the bundled ones, whose counts docs/compatibility.md states.
pub fn are_bundled() -> bool {
    other_folder().is_none()
}

/// The text of `name`; `None` where another folder was named and does not have it.
pub fn text(name: &str) -> Option<String> {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/vectors");
    let folder = other_folder().unwrap_or(bundled);
    let plain = folder.join(name);
    if plain.exists() {
        return Some(std::fs::read_to_string(plain).expect("vectors are UTF-8"));
    }
    let packed = std::fs::read(folder.join(format!("{name}.gz"))).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("vectors unpack");
    Some(text)
}

/// The vectors of `name`, one JSON object a line; empty, with one printed reason, where another folder lacks them.
pub fn lines(name: &str) -> Vec<Value> {
    let Some(text) = text(name) else {
        assert!(!are_bundled(), "{name} is not bundled");
        println!("skipped: {name} is not in the folder that CRONKEEP_VECTORS names");
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).expect("a vector is JSON")).collect()
}
