//! What the documents say holds: the README's commands run, the tables name what there is.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it waits for the programs that it starts"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cronkeep::broker::PARAMETERS;
use cronkeep::event::Cause;
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
fn the_schedule_survives_as_printed() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("survives");
    let commands = commands_below("The schedule survives");
    let mut told = String::new();
    for command in &commands {
        let here = command
            .replace("target/release/cronkeep", PROGRAM)
            .replace("/tmp/survives", place.to_str().unwrap());
        let output = Command::new("sh")
            .args(["-c", &here])
            .env("CRONKEEP_CONTROL", folder.path().join("control.sock"))
            .env_remove("CRONKEEP_STORE")
            .current_dir(root())
            .output()
            .unwrap();
        told = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        assert!(
            !command.starts_with("timeout") || told.contains("still here"),
            "{command}: {said}"
        );
    }
    assert!(commands.iter().any(|command| command.starts_with("rm ")), "{commands:?}");
    assert!(read(place.join("crontab")).contains("echo still here"));
    assert!(told.lines().filter(|line| line.contains("  ok  ")).count() >= 2, "{told}");
}

#[test]
fn the_tour_runs_until_it_is_interrupted() {
    assert_eq!(commands_below("Run it"), ["cargo run --release -- examples/tour.crontab"]);
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(PROGRAM)
        .arg("examples/tour.crontab")
        .current_dir(root())
        .env("CRONKEEP_STATE_DIR", state.path())
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

/// Why runs fail that are not messages, or are tasks whose result is waited for.
const NOT_OF_MESSAGES: [Cause; 12] = [
    Cause::NotExecutable,
    Cause::NotFound,
    Cause::OutOfMemory,
    Cause::NoSpace,
    Cause::Stopped,
    Cause::Replaced,
    Cause::Worker,
    Cause::WorkerStopped,
    Cause::Task,
    Cause::Revoked,
    Cause::NoResult,
    Cause::ResultLost,
];

#[test]
fn each_reason_why_a_message_is_not_sent_stands_in_the_table_of_reasons_as_it_is_told() {
    let text = read("docs/messaging.md");
    let (_, text) = text.split_once("| reason | what to do |\n|---|---|\n").unwrap();
    let rows = text.lines().take_while(|line| line.starts_with("| "));
    let mut told: Vec<&str> = rows.map(|row| row.split(" | ").next().unwrap()).collect();
    let of_messages = Cause::ALL.into_iter().filter(|cause| !NOT_OF_MESSAGES.contains(cause));
    let mut expected: Vec<String> = of_messages.map(|cause| format!("| {cause}")).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn each_parameter_of_a_brokers_url_stands_in_the_table_of_parameters() {
    let text = read("docs/messaging.md");
    let (_, text) = text.split_once("| parameter | what it says |\n|---|---|\n").unwrap();
    let rows = text.lines().take_while(|line| line.starts_with("| "));
    let told: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(told, PARAMETERS);
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

/// The numbers of rows that a line of source names: `row 84: …`, `rows 55 and 56: …`, `fn row_84_…`.
fn rows_named(line: &str) -> Vec<u32> {
    let (text, ends_in_colon) = match line.trim_start() {
        line if line.starts_with("//") => (line.to_owned(), true),
        line => match line.split_once("fn row") {
            Some((_, name)) => (format!(" row{}", name.replace('_', " ")), false),
            None => return Vec::new(),
        },
    };
    let mut named = Vec::new();
    for (at, _) in text.match_indices("row").filter(|(at, _)| text[..*at].ends_with([' ', '('])) {
        let rest = text[at + 3..].trim_start_matches('s');
        let rest = if ends_in_colon {
            let Some((rest, _)) = rest.split_once(':') else { continue };
            rest
        } else {
            rest
        };
        let words = rest.split([' ', ',']).filter(|word| !word.is_empty() && *word != "and");
        let mut numbers: Vec<u32> = Vec::new();
        for word in words {
            match word.parse() {
                Ok(number) => numbers.push(number),
                Err(_) if ends_in_colon => numbers = Vec::new(),
                Err(_) => break,
            }
            if numbers.is_empty() {
                break;
            }
        }
        named.extend(numbers);
    }
    named
}

#[test]
fn rows_are_named_in_comments_and_in_names_of_tests() {
    assert_eq!(rows_named("    /// row 84: a fold; row 85: another."), [84, 85]);
    assert_eq!(rows_named("//! rows 55, 56 and 61: users"), [55, 56, 61]);
    assert_eq!(rows_named("async fn row_47_a_clean_one() {"), [47]);
    assert_eq!(rows_named("fn rows_96_and_108_in_the_background() {"), [96, 108]);
    assert_eq!(rows_named("/// A row of 3: no. The first row 3 of"), [0; 0]);
}

/// The sources that name each row, below the repository's root.
fn sources_of_rows() -> BTreeMap<u32, BTreeSet<String>> {
    let mut found = BTreeMap::<u32, BTreeSet<String>>::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with(file!()) {
                let name = path.strip_prefix(root()).unwrap().with_extension("");
                for row in read(&path).lines().flat_map(rows_named) {
                    found.entry(row).or_default().insert(name.display().to_string());
                }
            }
        }
    }
    found
}

/// Rows that the design decides otherwise, so that there is nothing to test.
const OVERRULED: [u32; 2] = [26, 109];

/// `CRONKEEP_TEST_WRITE_DOCUMENTS=1` writes the last column anew.
#[test]
fn every_row_of_a_drop_in_crond_is_in_the_table_and_has_its_test() {
    let page = read("docs/compatibility.md");
    let (head, rest) = page.split_once("<!-- rows -->\n").unwrap();
    let (table, tail) = rest.split_once("<!-- /rows -->").unwrap();
    let sources = sources_of_rows();
    let (mut lines, mut rows) = (Vec::new(), Vec::new());
    for (index, line) in table.lines().enumerate() {
        if index < 2 {
            lines.push(line.to_owned());
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, what, debian, busybox, tests] = cells[..] else { panic!("{line}") };
        let row: u32 = number.parse().unwrap();
        rows.push(row);
        let none = BTreeSet::new();
        let named = sources.get(&row).unwrap_or(&none);
        if OVERRULED.contains(&row) {
            assert!(what.starts_with("**otherwise:**"), "{line}");
        } else {
            assert!(!named.is_empty(), "no test names row {row}: {what}");
        }
        for test in tests.split(", ").filter(|test| !test.is_empty()) {
            let test = test.trim_matches('`');
            assert!(named.contains(test) || writing(), "row {row}: {test} does not name it");
        }
        // A column of all of them would be wide; the tests from outside come first.
        let mut shown: Vec<&String> = named.iter().collect();
        shown.sort_by_key(|name| !name.starts_with("tests/rows/"));
        let shown: Vec<String> = shown.iter().take(2).map(|name| format!("`{name}`")).collect();
        let tests = shown.join(", ");
        lines.push(format!("| {number} | {what} | {debian} | {busybox} | {tests} |"));
    }
    assert_eq!(rows, (1..=118).collect::<Vec<u32>>());
    if writing() {
        let table = lines.join("\n");
        let page = format!("{head}<!-- rows -->\n{table}\n<!-- /rows -->{tail}");
        fs::write(root().join("docs/compatibility.md"), page).unwrap();
    } else {
        for line in table.lines().skip(2).filter(|line| line.contains("|  |")) {
            assert!(OVERRULED.iter().any(|row| line.starts_with(&format!("| {row} |"))), "{line}");
        }
    }
}

/// Whether documents are to be written rather than checked.
fn writing() -> bool {
    std::env::var_os("CRONKEEP_TEST_WRITE_DOCUMENTS").is_some()
}
