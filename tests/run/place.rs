//! A test that needs another place than the one it was started in: fewer capabilities, another user database.

use std::env;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;

use crate::harness::lock;

/// Set in a test that was started again.
const INSIDE: &str = "CRONKEEP_TEST_INSIDE";

/// Whether the calling test, whose full name is `name`, is where it wants to be; else it was carried out there, by `program`
/// and its arguments, which start what follows them.
///
/// Without root it is skipped, and fails where that could have been had.
pub(crate) fn is_inside(name: &str, program: &[&str]) -> bool {
    if env::var_os(INSIDE).is_some() {
        return true;
    }
    if !geteuid().is_root() {
        eprintln!("skipped: {name} needs root");
        assert!(env::var_os("CI").is_none(), "{name} needs root");
        return false;
    }
    let own = env::current_exe().unwrap();
    let own = [own.into_os_string(), name.into(), "--exact".into(), "--nocapture".into()];
    let (program, arguments) = program.split_first().expect("a program");
    let _alone = lock();
    let child = Command::new(program)
        .args(arguments.iter().map(OsString::from).chain(own))
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "{name} is not there:\n{stdout}");
    false
}

/// A shell command that puts files of this folder over those of the user database that are called so, and goes on.
pub(crate) fn with_database(folder: &std::path::Path) -> Vec<String> {
    let folder = folder.display();
    let script = format!(
        "for file in passwd group shadow; do mount --bind {folder}/$file /etc/$file || exit; done; \
         exec \"$@\""
    );
    ["unshare", "--mount", "sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
}
