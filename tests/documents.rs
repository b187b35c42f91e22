//! What the documents say holds: the README's commands run, the tables name what there is.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it waits for the programs that it starts"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cronkeep");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The commands in the shell blocks below a heading of the README.
fn commands_below(heading: &str) -> Vec<String> {
    let readme = read("README.md");
    let (_, section) = readme.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

#[test]
fn the_first_minute_works_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands_below("The first minute");
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        // The program under test is built already, and /tmp is shared with others.
        let here = command
            .replace("cargo build --release", "true")
            .replace("target/release/cronkeep", PROGRAM)
            .replace("/tmp/crontab", folder.path().join("crontab").to_str().unwrap());
        let output = Command::new("sh").args(["-c", &here]).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_tour_runs_until_it_is_interrupted() {
    assert_eq!(commands_below("Run it"), ["cargo run --release -- examples/tour.crontab"]);
    let mut child = Command::new(PROGRAM)
        .arg("examples/tour.crontab")
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let greeting = lines.map_while(Result::ok).find(|line| line.contains("hello from the crontab"));
    assert!(greeting.is_some_and(|line| line.starts_with("[greet ")));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_test_command_is_the_one_that_ci_runs() {
    assert_eq!(commands_below("Test it"), ["make test"]);
    assert!(read(".ci/run").ends_with("\nmake test\n"));
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let reasons = read("docs/decisions/0007-dependencies.md");
    let (mut section, mut seen) = ("", 0);
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let ("[dependencies]" | "[dev-dependencies]", Some((name, _))) =
            (section, line.split_once(" = "))
        {
            assert!(reasons.contains(name), "{name} has no reason in docs/decisions");
            seen += 1;
        }
    }
    assert!(seen > 20);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut documents: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(PathBuf::from).into();
    for folder in ["docs", "docs/decisions"] {
        for item in fs::read_dir(root().join(folder)).unwrap() {
            let path = item.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                documents.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    for document in documents {
        for target in read(&document).split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = root().join(&document).parent().unwrap().join(target);
            assert!(path.exists(), "{} leads to {target}", document.display());
        }
    }
}

#[test]
fn the_map_of_rooms_names_files_that_exist() {
    let map = read("docs/architecture.md");
    let (_, table) = map.split_once("## Which room is mine?").unwrap();
    let table = table.split("\n## ").next().unwrap();
    for line in table.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let places = line.rsplit(" | ").next().unwrap();
        let mut folder = PathBuf::from("src");
        for name in places.split('`').skip(1).step_by(2) {
            let path = if name.contains('/') || root().join("src").join(name).exists() {
                PathBuf::from("src").join(name)
            } else {
                folder.join(name)
            };
            assert!(root().join(&path).exists(), "{line}: {}", path.display());
            folder = path.parent().unwrap().to_owned();
        }
    }
}
