//! Values as Erlang writes them.

use std::path::Path;

/// A text as an Erlang binary.
pub(super) fn binary(text: &str) -> String {
    bytes(text.as_bytes())
}

/// Bytes as an Erlang binary.
pub(super) fn bytes(bytes: &[u8]) -> String {
    let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

/// A path as an Erlang string.
pub(super) fn path(path: &Path) -> String {
    format!("{:?}", path.to_str().expect("a path of a test is text"))
}
