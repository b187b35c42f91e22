//! Every crontab among the examples is one that the program takes without a word.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(clippy::disallowed_methods, reason = "a test stands outside: it waits for the program")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// The files below a folder, with their paths from it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The blocks of text in a YAML file, with their keys: `key: |` and what is indented below it.
fn blocks(yaml: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = yaml.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(key) = line.trim().strip_suffix(": |") else { continue };
        let indent = |line: &str| line.len() - line.trim_start().len();
        let depth = indent(lines.peek().expect("a block has lines"));
        let mut text = String::new();
        while let Some(line) = lines.next_if(|it| it.trim().is_empty() || indent(it) >= depth) {
            text.push_str(line.get(depth..).unwrap_or(""));
            text.push('\n');
        }
        found.push((key.to_owned(), text));
    }
    found
}

/// Has the program check a crontab from standard input; of its warnings only W008, about a program that this machine lacks,
/// may be given.
fn check(name: &str, format: &str, text: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cronkeep"))
        .args(["check", "--format", format, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let warnings = said.matches("warning[").count() - said.matches("warning[W008]").count();
    assert!(output.status.success() && warnings == 0, "{name}:\n{said}");
}

#[test]
fn every_crontab_is_taken_without_a_warning() {
    let mut checked = Vec::new();
    for path in files(&examples()) {
        let name = path.strip_prefix(examples()).unwrap().display().to_string();
        if name.starts_with('.') {
            // What a daemon that ran the tour has left beside it.
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|it| it == "yaml") {
            for (key, block) in blocks(&text) {
                check(&format!("{name}: {key}"), "user", &block);
                checked.push(format!("{name}: {key}"));
            }
        } else if path
            .extension()
            .is_none_or(|it| !["md", "py", "rs"].contains(&it.to_str().unwrap()))
            && !name.contains("Dockerfile")
        {
            check(&name, if name.contains("/etc/") { "system" } else { "user" }, &text);
            checked.push(name);
        }
    }
    checked.sort();
    assert_eq!(
        checked,
        [
            "celery/crontab",
            "compose-messaging/jobs",
            "compose-replicas/jobs",
            "compose/jobs",
            "kubernetes-store.yaml: jobs",
            "kubernetes-store.yaml: jobs",
            "kubernetes.yaml: jobs",
            "migrate-from-cron/etc/cron.d/nightly",
            "migrate-from-cron/etc/crontab",
            "migrate-from-cron/spool/alice",
            "migrate-from-supercronic/crontab",
            "publish.crontab",
            "tour.crontab",
            "worker.crontab",
        ]
    );
}

#[test]
fn what_the_containers_are_started_with_is_understood() {
    let mut started = 0;
    for name in [
        "compose.yaml",
        "compose-replicas.yaml",
        "compose-messaging.yaml",
        "kubernetes.yaml",
        "kubernetes-store.yaml",
        "migrate-from-supercronic/Dockerfile",
    ] {
        let text = fs::read_to_string(examples().join(name)).unwrap();
        for line in text.lines() {
            let Some((key, list)) = line.split_once('[') else { continue };
            if !["command:", "args:", "CMD"]
                .contains(&key.trim().trim_start_matches("HEALTHCHECK "))
            {
                continue;
            }
            let words = list.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"'));
            let mut words: Vec<&str> = words.filter(|word| *word != "cronkeep").collect();
            // Told to help, it reads all of them first, and starts nothing.
            words.push("--help");
            let output =
                Command::new(env!("CARGO_BIN_EXE_cronkeep")).args(&words).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {words:?}: {said}");
            started += 1;
        }
    }
    assert_eq!(started, 9);
}

/// By docker-compose 1.29, as Debian 12 has it, and by the one that is part of docker: whichever is there.
#[test]
fn every_compose_file_is_taken_by_old_and_new_compose() {
    let mut taken = 0;
    for (program, first) in [("docker-compose", None), ("docker", Some("compose"))] {
        let compose = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(first).args(arguments).current_dir(examples()).output()
        };
        if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
            continue;
        }
        for name in ["compose.yaml", "compose-replicas.yaml", "compose-messaging.yaml"] {
            let output = compose(&["-f", name, "config", "--quiet"]).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program} {name}: {said}");
            taken += 1;
        }
    }
    if taken == 0 {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "docker-compose is missing");
        eprintln!("not checked: docker-compose is missing");
    }
}

/// The Python among them; `tests/celery` runs it.
#[test]
fn every_python_program_compiles() {
    let folder = tempfile::tempdir().unwrap();
    let python: Vec<_> = files(&examples())
        .into_iter()
        .filter(|path| path.extension().is_some_and(|it| it == "py"))
        .collect();
    assert_eq!(python.len(), 2);
    let output = Command::new("python3")
        .args(["-m", "py_compile"])
        .args(&python)
        .env("PYTHONPYCACHEPREFIX", folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
