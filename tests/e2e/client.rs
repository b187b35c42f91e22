//! The real commands, as clients of a daemon that a test has started.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::Running;

/// The program as a client of this daemon.
pub fn client(crond: &Running, arguments: &[&str]) -> Command {
    client_at(&crond.socket(), arguments)
}

/// The program as a client of the daemon that listens there.
pub fn client_at(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
    command.args(arguments).env("CRONKEEP_CONTROL", socket).env("TZ", "UTC");
    command.stdin(Stdio::null());
    command
}

/// How the program ends as a client of this daemon, and what it says.
pub fn ask(crond: &Running, arguments: &[&str]) -> Output {
    client(crond, arguments).output().unwrap()
}

/// What a client prints that succeeds.
pub fn told(crond: &Running, arguments: &[&str]) -> String {
    let output = ask(crond, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What a client says that fails with this code.
pub fn refused(crond: &Running, arguments: &[&str], code: i32) -> String {
    let output = ask(crond, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// The JSON objects of a text, one a line.
pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Two jobs that never come by themselves.
pub const TWO: &str = "\
# Saves what matters
# cronkeep: name=backup
0 0 1 1 * echo saved; exit ${CODE:-3}
# cronkeep: name=sleeper
0 0 1 1 * echo begun; exec sleep 1000
";
