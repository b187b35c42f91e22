//! `--help` of every command, word for word.

use snapbox::Data;

use crate::{cronkeep, stdout};

fn transcript(name: &str) -> Data {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/transcripts");
    Data::read_from(&path.join(format!("{name}.txt")), None).raw()
}

#[test]
fn help_is_as_in_the_transcripts() {
    cronkeep(&["--help"]).assert().success().stdout_eq(transcript("help"));
    cronkeep(&["-h"]).assert().success().stdout_eq(transcript("help-short"));
    for command in [
        "check",
        "next",
        "explain",
        "list",
        "status",
        "run",
        "stop",
        "pause",
        "resume",
        "reload",
        "health",
        "history",
        "logs",
        "publish",
        "outbox",
        "worker",
        "snapshot",
        "completions",
        "man",
    ] {
        let name = format!("help-{command}");
        cronkeep(&[command, "--help"]).assert().success().stdout_eq(transcript(&name));
    }
}

#[test]
fn the_version_is_the_packages() {
    let outcome = cronkeep(&["--version"]).assert().success();
    assert_eq!(stdout(&outcome), format!("cronkeep {}\n", env!("CARGO_PKG_VERSION")));
}
