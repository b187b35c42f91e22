//! The bundled vectors; the conformance tests run all of them against the library, these a sample through the program.

use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

/// Every `step`th vector of a bundled file.
pub(crate) fn sample(name: &str, step: usize) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/vectors");
    let packed = std::fs::read(folder.join(format!("{name}.gz"))).expect("vectors are bundled");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("vectors unpack");
    text.lines()
        .step_by(step)
        .map(|line| serde_json::from_str(line).expect("a vector is JSON"))
        .collect()
}
