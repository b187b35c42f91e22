//! `# cronkeep: key=value …` and `CRONKEEP_KEY=value`: the table of options and how their values are written.

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::expression::{DurationError, duration};
use super::field::quote;
use super::grammar;
use super::{Code, Mistake};
use crate::schedule::Zone;
use crate::schedule::spelling::closest;

pub(crate) use refusal::{Refusal, Searches};

pub use super::option::{Await, CatchUp, Executor, Options, Output, Overlap};

/// The most mistakes of one line that are told.
const MOST_MISTAKES: usize = 100;

/// One option.
pub(super) struct Key {
    /// As in a directive: `catch-up`.
    pub(super) name: &'static str,
    /// A bad value keeps the entry from running: without the option it would run when or where it must not.
    pub(super) vital: bool,
    /// Whether `CRONKEEP_NAME=` exists.
    pub(super) setting: bool,
    read: fn(&mut Options, Option<&str>) -> Result<(), Refusal>,
}

impl Key {
    /// Reads a value into its place; `None` empties it. A refused value leaves the place as it was.
    pub(super) fn read(&self, options: &mut Options, value: Option<&str>) -> Result<(), Refusal> {
        (self.read)(options, value)
    }
}

macro_rules! keys {
    ($($name:literal $kind:ident $field:ident $read:expr,)*) => {
        &[$(Key {
            name: $name,
            vital: keys!(@vital $kind),
            setting: keys!(@setting $kind),
            read: |options, value| {
                options.$field = value.map($read).transpose()?;
                Ok(())
            },
        },)*]
    };
    (@vital plain) => { false };
    (@vital vital) => { true };
    (@vital own) => { false };
    (@vital vital_own) => { true };
    (@setting plain) => { true };
    (@setting vital) => { true };
    (@setting own) => { false };
    (@setting vital_own) => { false };
}

/// Every option. `own` options belong to one entry: no setting gives them to all.
pub(super) const KEYS: &[Key] = keys! {
    "name" own name name,
    "enabled" vital enabled |v| word(v, &[("yes", true), ("no", false)]),
    "timeout" plain timeout positive,
    "kill-after" plain kill_after length,
    "overlap" vital overlap |v| word(v, &[
        ("allow", Overlap::Allow),
        ("skip", Overlap::Skip),
        ("queue", Overlap::Queue),
        ("replace", Overlap::Replace),
    ]),
    "max-instances" plain max_instances |v| count(v, 1),
    "grace" plain grace length,
    "catch-up" plain catch_up |v| word(v, &[
        ("none", CatchUp::None),
        ("latest", CatchUp::Latest),
        ("all", CatchUp::All),
    ]),
    "catch-up-window" plain catch_up_window length,
    "catch-up-max" plain catch_up_max |v| count(v, 1),
    "retries" plain retries |v| count(v, 0),
    "retry-delay" plain retry_delay length,
    "retry-backoff" plain retry_backoff factor,
    "jitter" plain jitter length,
    "success-codes" plain success_codes codes,
    "from" vital_own from instant,
    "until" vital_own until instant,
    "tz" vital tz zone,
    "ping" plain ping url,
    "on-failure" plain on_failure url,
    "executor" vital executor executor,
    "expires" plain expires length,
    "result" plain result |v| word(v, &[("none", Await::None), ("wait", Await::Wait)]),
    "output" plain output |v| word(v, &[("log", Output::Log), ("none", Output::None)]),
};

/// The option that a `CRONKEEP_` setting names by the rest of its name: `CATCH_UP`.
pub(super) fn of_setting(name: &str) -> Option<&'static Key> {
    KEYS.iter().filter(|key| key.setting).find(|key| spelled(key.name).eq(name.chars()))
}

/// The name of an existing setting that is most like `CRONKEEP_` and `name`.
pub(super) fn similar_setting(name: &str) -> Option<String> {
    let mut names: Vec<String> = ["FIELDS", "AMQP", "AMQP_FILE"].map(str::to_owned).to_vec();
    names.extend(KEYS.iter().filter(|key| key.setting).map(|key| spelled(key.name).collect()));
    closest(name, names.iter().map(String::as_str)).map(|name| format!("CRONKEEP_{name}"))
}

fn spelled(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_uppercase() })
}

/// What one directive says.
#[derive(Debug, Default)]
pub(super) struct Directive {
    /// The options it gives.
    pub(super) options: Options,
    /// Where the name it gives stands, in bytes of the line.
    pub(super) name: Option<std::ops::Range<usize>>,
    /// Whether a vital option is wrong, so that the entry must not run.
    pub(super) blocks: bool,
    /// Whether nothing stands behind the colon, so that no entry need follow.
    pub(super) is_empty: bool,
    /// What is wrong, in bytes of the line.
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads the options at and behind `from` of a directive's line.
pub(super) fn read(line: &[u8], from: usize, searches: &mut Searches) -> Directive {
    let mut directive = Directive::default();
    if grammar::remainder(line, from).is_empty() {
        directive.is_empty = true;
        let mistake = Mistake::new(
            Code::W020,
            grammar::remainder(line, 0).start..from,
            "the directive is empty",
        )
        .with_help("write options behind it, such as timeout=10m, or leave it out");
        directive.mistakes.push(mistake);
    }
    let mut from = from;
    let mut limit = 0..0;
    let mut seen = Vec::new();
    while let Some(item) = grammar::item(line, from) {
        from = item.end;
        let word = &line[item.key.clone()];
        let Some(key) = KEYS.iter().find(|key| key.name.as_bytes() == word) else {
            if directive.mistakes.len() < MOST_MISTAKES {
                directive.mistakes.push(unknown(word, item.key, searches));
            }
            continue;
        };
        let again = seen.contains(&key.name);
        seen.push(key.name);
        let value = item.value.clone().filter(|_| !again);
        let span = value.clone().unwrap_or_else(|| item.key.clone());
        let outcome = match &value {
            None if again => Err(Refusal::new(
                format!("{} is given twice", key.name),
                "leave one of the two out: the first holds",
            )),
            None => Err(Refusal::new(
                format!("{} has no value", key.name),
                format!("write {}=VALUE, without blanks around the equals sign", key.name),
            )),
            Some(_) if item.misquoted => Err(Refusal::new(
                format!("the quotes of {} do not match", quote(&line[span.clone()])),
                "put double quotes around the whole value",
            )),
            Some(value) => match str::from_utf8(&line[value.clone()]) {
                Ok("") => Err(Refusal::new(
                    format!("{} has no value", key.name),
                    format!("leave {} out for its default", key.name),
                )),
                Ok(value) => key.read(&mut directive.options, Some(value)),
                Err(_) => Err(Refusal::new(
                    format!("the value of {} is not UTF-8", key.name),
                    "write it in UTF-8",
                )),
            },
        };
        match outcome {
            Ok(()) => match key.name {
                "name" => directive.name = Some(span),
                "from" | "until" => limit = span,
                _ => {}
            },
            Err(mut refusal) => {
                if key.vital {
                    directive.blocks = true;
                    let joint = if refusal.help.ends_with('?') { " " } else { "; " };
                    refusal.help.push_str(joint);
                    refusal.help.push_str("until then the entry does not run");
                }
                if directive.mistakes.len() < MOST_MISTAKES {
                    directive.mistakes.push(refusal.at(Code::E031, span, searches));
                }
            }
        }
    }
    if let (Some(from), Some(until)) = (directive.options.from, directive.options.until)
        && until <= from
    {
        let help = "write a later time; until then the entry does not run";
        let refusal = Refusal::new("until is not after from", help);
        directive.mistakes.push(refusal.at(Code::E031, limit, searches));
        directive.blocks = true;
    }
    directive
}

fn unknown(word: &[u8], span: std::ops::Range<usize>, searches: &mut Searches) -> Mistake {
    let text = String::from_utf8_lossy(word);
    let message = format!("{} is not an option", quote(word));
    let mistake = Mistake::new(Code::E030, span, message);
    let meant = searches.take().then(|| closest(&text, KEYS.iter().map(|key| key.name))).flatten();
    match meant {
        Some(name) => mistake.with_help(format!("{}: did you mean {name}?", quote(word))),
        None => mistake.with_help("write options as key=value, such as timeout=10m overlap=skip"),
    }
}

fn name(value: &str) -> Result<Arc<str>, Refusal> {
    let begins = value.starts_with(|c: char| c.is_ascii_alphanumeric());
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if begins && value.len() <= 64 && value.chars().all(legal) {
        return Ok(value.into());
    }
    Err(Refusal::new(
        format!("{} is not a name", quote(value.as_bytes())),
        "a name begins with a letter or digit and has up to 64 letters, digits, dots, dashes and underscores",
    ))
}

fn word<T: Copy>(value: &str, words: &[(&str, T)]) -> Result<T, Refusal> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == value) {
        return Ok(*meaning);
    }
    let list: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let message = format!("{} is not one of {}", quote(value.as_bytes()), list.join(", "));
    let help = match closest(value, list.iter().copied()) {
        Some(word) => format!("did you mean {word}?"),
        None => format!("write {}", list.join(" or ")),
    };
    Err(Refusal::new(message, help))
}

fn length(value: &str) -> Result<Duration, Refusal> {
    duration(value.as_bytes()).map_err(|error| {
        let text = quote(value.as_bytes());
        let help = match error {
            DurationError::NoUnit => format!("write {text}s for seconds, {text}m for minutes"),
            _ => "write 90s, 5m, 1h30m, 2d or 1w".to_owned(),
        };
        Refusal::new(format!("{text} {error}"), help)
    })
}

fn positive(value: &str) -> Result<Duration, Refusal> {
    let length = length(value)?;
    if length.is_zero() {
        return Err(Refusal::new(
            format!("{} leaves a run no time", quote(value.as_bytes())),
            "leave the option out for no limit",
        ));
    }
    Ok(length)
}

fn count(value: &str, least: u32) -> Result<u32, Refusal> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|count| digits && *count >= least).ok_or_else(|| {
        Refusal::new(
            format!("{} is not a count", quote(value.as_bytes())),
            format!("write a whole number from {least} on"),
        )
    })
}

fn factor(value: &str) -> Result<f64, Refusal> {
    let plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    value
        .parse()
        .ok()
        .filter(|factor: &f64| plain && factor.is_finite() && *factor >= 1.0)
        .ok_or_else(|| {
            Refusal::new(
                format!("{} is not a factor", quote(value.as_bytes())),
                "write a number from 1 on, such as 2 or 1.5",
            )
        })
}

fn codes(value: &str) -> Result<Arc<[u8]>, Refusal> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|_| digits)
    };
    let range = |item: &str| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(number(first)?..=number(last)?).filter(|range| !range.is_empty())
    };
    let mut codes = Vec::new();
    for item in value.split(',') {
        let range = range(item).ok_or_else(|| {
            Refusal::new(
                format!("{} is not an exit code", quote(item.as_bytes())),
                "write codes of 0-255 and ranges with commas between them, such as 0,2,10-12",
            )
        })?;
        codes.extend(range);
    }
    codes.sort_unstable();
    codes.dedup();
    Ok(codes.into())
}

fn instant(value: &str) -> Result<Timestamp, Refusal> {
    value.parse().map_err(|_| {
        Refusal::new(
            format!("{} is not a time with an offset", quote(value.as_bytes())),
            "write 2026-12-01T10:00:00+08:00, or Z for universal time",
        )
    })
}

/// Looks a zone up, for `tz=`, `CRONKEEP_TZ` and `CRON_TZ`.
pub(crate) fn zone(value: &str) -> Result<Zone, Refusal> {
    Zone::known(value).map_err(|unknown| {
        let message = format!("{} is not a time zone", quote(value.as_bytes()));
        if let Some(similar) = unknown.similar {
            return Refusal::new(message, format!("did you mean {similar}?"));
        }
        let help = "write an IANA name such as Europe/Berlin, or a POSIX string such as CET-1";
        Refusal::new(message, help).about_zone(unknown.name)
    })
}

fn url(value: &str) -> Result<Arc<str>, Refusal> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let legal = value.chars().all(|c| !c.is_whitespace() && !c.is_control());
    if legal && !host.is_empty() && !host.starts_with(':') {
        return Ok(value.into());
    }
    Err(Refusal::new(
        format!("{} is not a URL", quote(value.as_bytes())),
        "write http:// or https:// and a host",
    ))
}

fn executor(value: &str) -> Result<Executor, Refusal> {
    match value.strip_prefix("worker:") {
        Some(queue) if !queue.is_empty() && queue.len() <= 255 => {
            Ok(Executor::Worker(queue.into()))
        }
        None if value == "shell" => Ok(Executor::Shell),
        _ => Err(Refusal::new(
            format!("{} is not an executor", quote(value.as_bytes())),
            "write shell, or worker: and the name of a queue",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(directive: &str) -> Result<Options, Mistake> {
        let mut read = read(directive.as_bytes(), 0, &mut Searches::default());
        match read.mistakes.len() {
            0 => Ok(read.options),
            1 => Err(read.mistakes.remove(0)),
            _ => panic!("{directive:?}: {:?}", read.mistakes),
        }
    }

    #[test]
    fn every_option_has_good_and_bad_values() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("name", &["a", "nightly-dump.2_x"], &["-a", ".a", "a/b", "\u{e9}", &"x".repeat(65)]),
            ("enabled", &["yes", "no"], &["true", "Yes", "1"]),
            ("timeout", &["10m", "1h30m", "500ms"], &["10", "0s", "-5s", "soon"]),
            ("kill-after", &["10s", "0s"], &["10", "x"]),
            ("overlap", &["allow", "skip", "queue", "replace"], &["skop", "ALLOW"]),
            ("max-instances", &["1", "3000"], &["0", "-1", "+1", "many", "4294967296"]),
            ("grace", &["60s"], &["60"]),
            ("catch-up", &["none", "latest", "all"], &["yes"]),
            ("catch-up-window", &["1d", "2w"], &["1y"]),
            ("catch-up-max", &["1", "100"], &["0", "1.5"]),
            ("retries", &["0", "3"], &["-1", "three"]),
            ("retry-delay", &["5s"], &["5"]),
            ("retry-backoff", &["1", "1.5", "2"], &["0.5", "-2", "inf", "NaN", "1e3", ""]),
            ("jitter", &["5m"], &["5"]),
            ("success-codes", &["0", "0,2,10-12", "0-255"], &["256", "a", "1,", "5-2", "+1"]),
            ("from", &["2026-12-01T10:00:00+08:00"], &["2026-12-01", "now", "2026-12-01T10:00:00"]),
            ("until", &["2026-12-01T10:00:00Z"], &["2026-13-01T10:00:00Z"]),
            ("tz", &["Europe/Berlin", "CET-1"], &["Mars/Olympus"]),
            (
                "ping",
                &["https://example.com/x", "http://h:8080"],
                &["example.com", "ftp://x", "https://", "http://:80"],
            ),
            ("on-failure", &["http://example.com/?a=b#c"], &["https:///x"]),
            ("executor", &["shell", "worker:fast"], &["worker:", "worker", "docker"]),
            ("expires", &["1d"], &["1"]),
            ("result", &["none", "wait"], &["yes"]),
            ("output", &["log", "none"], &["mail"]),
        ];
        let names: Vec<_> = cases.iter().map(|case| case.0).collect();
        assert_eq!(names, KEYS.iter().map(|key| key.name).collect::<Vec<_>>());
        for (key, good, bad) in cases {
            for value in *good {
                let options = only(&format!("{key}={value}")).unwrap();
                assert_ne!(options, Options::default(), "{key}={value}");
                assert_eq!(options, only(&format!("{key}=\"{value}\"")).unwrap());
            }
            for value in *bad {
                let mistake = only(&format!("{key}={value}")).unwrap_err();
                assert_eq!(mistake.code, Code::E031, "{key}={value}");
                assert_eq!(mistake.span, key.len() + 1..key.len() + 1 + value.len());
                assert!(mistake.help.is_some());
            }
        }
    }

    #[test]
    fn several_options_add_up() {
        let options = only("timeout=10m overlap=skip retries=3").unwrap();
        assert_eq!(options.timeout, Some(Duration::from_secs(600)));
        assert_eq!(options.overlap, Some(Overlap::Skip));
        assert_eq!(options.retries, Some(3));
    }

    #[test]
    fn exit_codes_are_sorted_and_counted_once() {
        let options = only("success-codes=3,1-2,2").unwrap();
        assert_eq!(options.success_codes.as_deref(), Some(&[1, 2, 3][..]));
    }

    #[test]
    fn an_unknown_option_is_told_what_it_resembles() {
        let mistake = only("timout=5m").unwrap_err();
        assert_eq!((mistake.code, mistake.span), (Code::E030, 0..6));
        assert_eq!(mistake.help.as_deref(), Some("timout: did you mean timeout?"));
    }

    #[test]
    fn one_wrong_option_leaves_the_others() {
        let read = read(b"timeout=5 retries=2", 0, &mut Searches::default());
        assert_eq!(read.options.retries, Some(2));
        assert_eq!(read.options.timeout, None);
        assert!(!read.blocks);
        assert_eq!(read.mistakes.len(), 1);
    }

    #[test]
    fn a_wrong_vital_option_blocks_the_entry() {
        let blocks = |text: &str| read(text.as_bytes(), 0, &mut Searches::default()).blocks;
        let reversed = "from=2026-12-02T00:00:00Z until=2026-12-01T00:00:00Z";
        assert!(blocks(reversed));
        for text in
            ["enabled=maybe", "executor=x", "tz=x/y", "from=x", "until=x", "overlap=x", "tz"]
        {
            assert!(blocks(text), "{text}");
        }
        let read = read(b"overlap=Skip", 0, &mut Searches::default());
        let help = read.mistakes[0].help.as_deref();
        assert_eq!(help, Some("did you mean skip? until then the entry does not run"));
    }

    #[test]
    fn settings_have_the_options_names_in_capitals() {
        assert_eq!(of_setting("CATCH_UP_MAX").map(|key| key.name), Some("catch-up-max"));
        assert!(of_setting("timeout").is_none());
        for own in ["NAME", "FROM", "UNTIL"] {
            assert!(of_setting(own).is_none(), "{own}");
        }
        assert_eq!(similar_setting("TIMOUT").as_deref(), Some("CRONKEEP_TIMEOUT"));
        assert_eq!(similar_setting("FIELD").as_deref(), Some("CRONKEEP_FIELDS"));
        assert_eq!(similar_setting("ZZZZZZ"), None);
    }
}
