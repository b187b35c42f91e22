//! The command lines that people have in their Dockerfiles.

use super::{cronkeep, folder_with, stderr, stdout};

#[test]
fn test_is_a_check() {
    let folder = folder_with("good", b"* * * * * true\n");
    cronkeep(&["-test", "good"]).current_dir(folder.path()).assert().success();
    cronkeep(&["-debug", "-test", "good"]).current_dir(folder.path()).assert().success();
    let folder = folder_with("bad", b"61 * * * * true\n");
    let outcome = cronkeep(&["-test", "bad"]).current_dir(folder.path()).assert().code(1);
    assert!(stdout(&outcome).contains("61 is not a minute"), "{}", stdout(&outcome));
}

#[test]
fn what_there_is_not_is_a_usage_error_that_names_what_to_say_instead() {
    for (arguments, instead) in [
        (&["-no-reap", "jobs"][..], "docker run --init"),
        (&["-prometheus-listen-address", ":9746", "jobs"], "cronkeep health"),
        (&["-sentry-dsn", "https://key@host/1", "jobs"], "on-failure"),
    ] {
        let outcome = cronkeep(arguments).assert().code(2);
        let text = stderr(&outcome);
        assert!(text.contains(arguments[0]) && text.contains(instead), "{text}");
        assert!(!text.contains("key@host"), "{text}");
    }
}

#[test]
fn its_version_switch_is_ours() {
    let outcome = cronkeep(&["-version"]).assert().success();
    assert!(stdout(&outcome).starts_with("cronkeep "));
}
