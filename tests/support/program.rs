//! Copies of programs, to be run from elsewhere or under another name.

use std::path::Path;
use std::process::Command;

/// Copies a program.
///
/// Another process writes it: a file that this one has open for writing in the moment in which another test starts
/// something is open there, too, until that is executed, and cannot be executed itself meanwhile (ETXTBSY).
pub(crate) fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    let output = Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
