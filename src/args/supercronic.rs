//! supercronic's switches, as they stand in people's Dockerfiles: turned into ours, or answered with what to say instead.
//!
//! They begin with one dash and are words (Go's `flag`), which the other options never are: so they are replaced before
//! the command line is parsed, and nothing else changes.

use std::ffi::{OsStr, OsString};

/// What becomes of a switch.
enum Meaning {
    /// It is what happens anyway.
    Given,
    /// It is this of ours.
    Ours(&'static [&'static str]),
    /// It is the command `check`.
    Check,
    /// The version is asked for.
    Version,
    /// There is nothing like it here: what to say instead.
    Refused(&'static str),
}

/// A switch that supercronic takes.
struct Switch {
    name: &'static str,
    takes_value: bool,
    meaning: Meaning,
}

const fn flag(name: &'static str, meaning: Meaning) -> Switch {
    Switch { name, takes_value: false, meaning }
}

const fn with_value(name: &'static str, meaning: Meaning) -> Switch {
    Switch { name, takes_value: true, meaning }
}

const NO_SENTRY: &str =
    "failures are not sent to Sentry: an entry's on-failure=URL posts each one, or send the log on";

/// Every switch of supercronic 0.2.
const SWITCHES: [Switch; 15] = [
    flag("inotify", Meaning::Given),
    flag("overlapping", Meaning::Given),
    flag("split-logs", Meaning::Given),
    flag("json", Meaning::Ours(&["--log-format", "json"])),
    flag("debug", Meaning::Ours(&["--log-level", "debug"])),
    flag("quiet", Meaning::Ours(&["--log-level", "warn"])),
    flag("passthrough-logs", Meaning::Ours(&["--passthrough"])),
    flag("test", Meaning::Check),
    flag("version", Meaning::Version),
    flag(
        "no-reap",
        Meaning::Refused(
            "orphans are always reaped by PID 1 and by nobody else: leave it out, or do not run \
             as PID 1 (docker run --init)",
        ),
    ),
    with_value(
        "prometheus-listen-address",
        Meaning::Refused("there are no metrics over HTTP: leave it out, and ask `cronkeep health`"),
    ),
    with_value("sentry-dsn", Meaning::Refused(NO_SENTRY)),
    with_value("sentryDsn", Meaning::Refused(NO_SENTRY)),
    with_value("sentry-environment", Meaning::Refused(NO_SENTRY)),
    with_value("sentry-release", Meaning::Refused(NO_SENTRY)),
];

/// Replaces supercronic's switches in a command line, the program's name first.
///
/// `called_so` tells that the program was started under supercronic's name: then `--switch` is one, too, and six fields are
/// read as supercronic reads them. Everything behind a command or `--` stays as it is.
///
/// # Errors
/// In words: a switch that nothing here corresponds to, and what to say instead.
pub(super) fn translated(
    arguments: Vec<OsString>,
    called_so: bool,
    is_command: impl Fn(&OsStr) -> bool,
) -> Result<Vec<OsString>, String> {
    let mut given = arguments.into_iter();
    let mut translated: Vec<OsString> = given.next().into_iter().collect();
    let mut checks = false;
    let mut rest = Vec::new();
    while let Some(argument) = given.next() {
        if argument == "--" || (rest.is_empty() && is_command(&argument)) {
            rest.push(argument);
            break;
        }
        let Some((switch, value)) = find(&argument, called_so) else {
            rest.push(argument);
            continue;
        };
        let shown = format!("-{}", switch.name);
        let is_off = value.as_deref().is_some_and(|value| matches!(value, "false" | "0" | "f"));
        if switch.takes_value && value.is_none() {
            given.next();
        }
        if is_off && !switch.takes_value {
            continue;
        }
        match switch.meaning {
            Meaning::Given => {}
            Meaning::Ours(options) => rest.extend(options.iter().map(OsString::from)),
            Meaning::Check => checks = true,
            Meaning::Version => rest.push("--version".into()),
            Meaning::Refused(instead) => return Err(format!("{shown}: {instead}")),
        }
    }
    rest.extend(given);
    if checks {
        translated.push("check".into());
        // What concerns the daemon's log alone is no option of the check.
        rest = without_log_options(rest);
    }
    if called_so {
        translated.extend(["--compat".into(), "supercronic".into()]);
    }
    translated.extend(rest);
    Ok(translated)
}

/// The switch that an argument is: `-name`, `-name=value`.
fn find(argument: &OsStr, called_so: bool) -> Option<(&'static Switch, Option<String>)> {
    let text = argument.to_str()?.strip_prefix('-')?;
    let text = if called_so { text.strip_prefix('-').unwrap_or(text) } else { text };
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let switch = SWITCHES.iter().find(|switch| switch.name == name)?;
    Some((switch, value))
}

fn without_log_options(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--log-format" | "--log-level") => {
                arguments.next();
            }
            Some("--passthrough") => {}
            _ => kept.push(argument),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, called_so: bool) -> Result<String, String> {
        let arguments = text.split_whitespace().map(OsString::from).collect();
        let is_command = |word: &OsStr| word == "check" || word == "next";
        let words = translated(arguments, called_so, is_command)?;
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        Ok(words.join(" "))
    }

    #[test]
    fn what_happens_anyway_is_left_out_and_the_rest_is_ours() {
        for (given, expected) in [
            ("c -inotify -overlapping -split-logs jobs", "c jobs"),
            ("c -json -debug jobs", "c --log-format json --log-level debug jobs"),
            ("c -quiet -passthrough-logs j", "c --log-level warn --passthrough j"),
            ("c -json=false -inotify=true j", "c j"),
            ("c -test jobs", "c check jobs"),
            ("c -json -test jobs", "c check jobs"),
            ("c -version", "c --version"),
        ] {
            assert_eq!(words(given, false).unwrap(), expected);
        }
    }

    #[test]
    fn other_arguments_stay_as_they_are() {
        for given in [
            "c --strict a b",
            "c check -json",
            "c -- -json",
            "c --json",
            "c",
            "c -x -inotif",
            "c next --json",
        ] {
            assert_eq!(words(given, false).unwrap(), given);
        }
    }

    #[test]
    fn what_there_is_not_names_what_to_say_instead() {
        for (given, instead) in [
            ("c -no-reap j", "--init"),
            ("c -prometheus-listen-address :9746 j", "cronkeep health"),
            ("c -prometheus-listen-address=:9746 j", "cronkeep health"),
            ("c -sentry-dsn https://x j", "on-failure"),
        ] {
            let reason = words(given, false).unwrap_err();
            assert!(reason.contains(instead) && reason.starts_with('-'), "{reason}");
        }
    }

    #[test]
    fn under_its_name_two_dashes_do_as_well_and_six_fields_are_its_own() {
        assert_eq!(
            words("supercronic --json jobs", true).unwrap(),
            "supercronic --compat supercronic --log-format json jobs"
        );
        assert_eq!(
            words("supercronic -test jobs", true).unwrap(),
            "supercronic check --compat supercronic jobs"
        );
        assert_eq!(
            words("supercronic --version", true).unwrap(),
            "supercronic --compat supercronic --version"
        );
    }
}
