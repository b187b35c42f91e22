//! The layers hold: no room uses a room above it, or beside it.
//!
//! Reads every `crate::…` path of `src/` and compares it with the table in `src/lib.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms by layer, lowest first; a room may use the rooms of the layers before its own.
const LAYERS: &[&[&str]] = &[
    &["clock", "unix"],
    &["schedule", "message"],
    &["crontab"],
    &["job"],
    &["event"],
    &["store", "watch", "broker"],
    &["scheduler", "replica", "executor", "outbox"],
    &["sink", "courier", "worker"],
    &["control"],
    &["exit"],
    &["args"],
    &["config"],
    &["telemetry"],
    &["command"],
    &["daemon"],
    &["main"],
];

/// Rooms that take no room below them for granted: what they may use, where it is less than the layers below.
const NARROW: &[(&str, &[&str])] = &[
    ("unix", &[]),
    ("clock", &[]),
    ("schedule", &[]),
    ("message", &[]),
    ("crontab", &["schedule"]),
    ("job", &["crontab", "schedule"]),
    ("event", &["job", "crontab", "schedule"]),
    (
        "sink",
        &["event", "store", "broker", "message", "job", "crontab", "schedule", "unix", "clock"],
    ),
];

/// Rooms that read no file, no clock and no environment.
const PURE: &[&str] = &["schedule", "message", "crontab", "job"];

/// What a pure room never names.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::thread",
    "tokio",
    "nix::",
    "libc::",
    "Timestamp::now",
    "Zoned::now",
    "Instant::now",
    "SystemTime",
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Every Rust file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The room a file belongs to: the first part of its path below `src/`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(source_root()).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines that are code: no comments, nothing of the unit tests at the end of a file.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

/// The rooms that a line of code names: what follows `crate::`, or each name in `crate::{…}`.
fn rooms_named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("crate::").chain(line.match_indices("cronkeep::")) {
        let rest = &line[at..];
        let rest = &rest[rest.find("::").unwrap() + 2..];
        let names = rest.strip_prefix('{').map_or(rest, |inner| inner.split('}').next().unwrap());
        for name in names.split(',') {
            let room: String = name
                .trim()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            found.push(room);
            if !rest.starts_with('{') {
                break;
            }
        }
    }
    found
}

/// What is wrong with one use, if anything is.
fn offence(room: &str, used: &str) -> Option<String> {
    let own = layer_of(room)?;
    let other = layer_of(used)?;
    if room == used {
        return None;
    }
    if other >= own {
        let direction = if other > own { "up" } else { "sideways" };
        return Some(format!("{room} uses {used}: {direction}"));
    }
    let narrow = NARROW.iter().find(|(narrow, _)| *narrow == room);
    narrow
        .filter(|(_, allowed)| !allowed.contains(&used))
        .map(|_| format!("{room} uses {used}: more than its layer needs"))
}

#[test]
fn no_room_uses_a_room_above_or_beside_it() {
    let mut offences = Vec::new();
    for file in files(&source_root()) {
        let room = room_of(&file);
        if room == "lib" {
            continue;
        }
        assert!(layer_of(&room).is_some(), "{room} is in no layer: {}", file.display());
        for (number, line) in code(&fs::read_to_string(&file).unwrap()) {
            for used in rooms_named(line) {
                if let Some(what) = offence(&room, &used) {
                    offences.push(format!("{}:{number}: {what}", file.display()));
                }
            }
        }
    }
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn pure_rooms_stay_pure() {
    for file in files(&source_root()) {
        if !PURE.contains(&room_of(&file).as_str()) {
            continue;
        }
        for (number, line) in code(&fs::read_to_string(&file).unwrap()) {
            for name in IMPURE {
                // `std::os::unix::ffi` is not `nix::…`.
                let named = line.match_indices(name).any(|(place, _)| {
                    !line[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                });
                assert!(!named, "{}:{number}: {name}", file.display());
            }
        }
    }
}

#[test]
fn only_unix_has_unsafe_code() {
    for file in files(&source_root()) {
        if room_of(&file) == "unix" {
            continue;
        }
        for (number, line) in code(&fs::read_to_string(&file).unwrap()) {
            assert!(
                !line.contains("unsafe ") && !line.contains("unsafe{"),
                "{}:{number}",
                file.display()
            );
        }
    }
}

#[test]
fn only_the_clock_reads_a_clock() {
    for file in files(&source_root()) {
        if room_of(&file) == "clock" {
            continue;
        }
        for (number, line) in code(&fs::read_to_string(&file).unwrap()) {
            for name in ["Timestamp::now", "SystemTime::now", "std::time::Instant", "Zoned::now"] {
                // `std::os::unix::ffi` is not `nix::…`.
                let named = line.match_indices(name).any(|(place, _)| {
                    !line[..place].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                });
                assert!(!named, "{}:{number}: {name}", file.display());
            }
        }
    }
}

#[test]
fn the_map_in_the_library_names_every_room() {
    let map = fs::read_to_string(source_root().join("lib.rs")).unwrap();
    for file in files(&source_root()) {
        let room = room_of(&file);
        if room != "lib" && room != "main" {
            assert!(map.contains(&format!("[`{room}`]")), "{room} is not in the table of lib.rs");
        }
    }
}

#[test]
fn an_upward_or_sideways_use_is_an_offence() {
    assert!(offence("schedule", "crontab").is_some());
    assert!(offence("scheduler", "executor").is_some());
    assert!(offence("event", "unix").is_some());
    assert!(offence("daemon", "scheduler").is_none());
}

#[test]
fn every_form_of_a_use_is_seen() {
    assert_eq!(rooms_named("use crate::job::Job;"), ["job"]);
    assert_eq!(rooms_named("use crate::{clock::Clock, unix};"), ["clock", "unix"]);
    assert_eq!(
        rooms_named("    let x = crate::daemon::run(crate::args::parse());"),
        ["daemon", "args"]
    );
}
