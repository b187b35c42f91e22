//! Entries that publish: what is wrong with their arguments, before they are due.

use std::ops::Range;

use crate::crontab::{Code, Entry, Line, Mistake, percent};
use crate::message::{Arguments, is_publish, publish_words};
use crate::sink::record::escape;

/// What is wrong with an entry that publishes; `text` is its line.
pub(super) fn mistake(entry: &Entry, line: &Line, text: &[u8]) -> Option<Mistake> {
    let raw = entry.command.as_bytes();
    if !is_publish(raw) {
        return None;
    }
    let start = entry.command_span.start.saturating_sub(line.span.start).min(text.len());
    let end = entry.command_span.end.saturating_sub(line.span.start).clamp(start, text.len());
    let command = &text[start..end];
    let is_told = |place: &Range<usize>| has_password(&command[place.clone()]);
    if let Some(place) = brokers(command).find(is_told) {
        let message = "publish: the broker's password stands in the command, which the log shows, and the list of \
                       processes to every user of the host";
        let help = "leave out --amqp, and name a file with the URL above the entry: CRONKEEP_AMQP_FILE=FILE";
        let place = start + place.start..start + place.end;
        return Some(Mistake::new(Code::W021, place, message).with_help(help));
    }
    let words = publish_words(&percent::split(raw).command)?;
    let arguments = match Arguments::of_words(&words) {
        Ok(arguments) => arguments,
        Err(told) => {
            let place = told.word().and_then(|word| Some((find(command, word)?, word.len())));
            let (from, length) = place.unwrap_or((0, command.trim_ascii_end().len()));
            let message = format!("publish: {}", escape(told.message().as_bytes()));
            let mistake = Mistake::new(Code::W021, start + from..start + from + length, message);
            let help = told.help().map_or_else(
                || "the entry fails whenever it is due; see cronkeep publish --help".to_owned(),
                |help| escape(help.as_bytes()),
            );
            return Some(mistake.with_help(help));
        }
    };
    let percent = percent::first_bare(raw)?;
    if arguments.reads_input() {
        return None;
    }
    let at = start + percent;
    let message = "publish: the text behind % is not sent, since there is a BODY before it";
    Some(
        Mistake::new(Code::W021, at..end, message)
            .with_help("give the body once; % in an argument is written \\%"),
    )
}

/// Where the URLs of the broker that a command names stand in it.
fn brokers(command: &[u8]) -> impl Iterator<Item = Range<usize>> {
    const NAME: &[u8] = b"--amqp";
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"'\"".contains(byte);
    let names = command.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    names.map(move |(at, _)| {
        let behind = at + NAME.len();
        let is_between = |byte: &u8| is_end(byte) || *byte == b'=';
        let from = behind + command[behind..].iter().take_while(|byte| is_between(byte)).count();
        let length = command[from..].iter().take_while(|byte| !is_end(byte)).count();
        from..from + length
    })
}

/// Whether one of some URLs has a password in it.
fn has_password(urls: &[u8]) -> bool {
    let urls = String::from_utf8_lossy(urls);
    let mut authorities = urls.split("://").skip(1).filter_map(|rest| rest.split('/').next());
    authorities
        .any(|authority| authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')))
}

/// Where a word stands in a command as it is written, if it stands there without quotes in it.
fn find(command: &[u8], word: &str) -> Option<usize> {
    if word.is_empty() {
        return None;
    }
    // The first words are the program's own.
    let behind = command.windows(7).position(|window| window == b"publish").map_or(0, |at| at + 7);
    let rest = &command[behind..];
    let place = rest.windows(word.len()).position(|window| window == word.as_bytes())?;
    Some(behind + place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, LineKind, Source, parse};

    fn found(command: &str) -> Option<(String, String, Option<String>)> {
        let text = format!("0 0 * * * {command}\n");
        let source =
            Source { name: "x".into(), bytes: text.clone().into(), dialect: Dialect::user("root") };
        let crontab = parse(&source);
        let line = &crontab.lines[0];
        let LineKind::Entry(entry) = &line.kind else {
            unreachable!("{text}: {:?}", crontab.faults)
        };
        let mistake = mistake(entry, line, text.as_bytes())?;
        assert_eq!(mistake.code, Code::W021);
        Some((text[mistake.span.clone()].to_owned(), mistake.message, mistake.help))
    }

    #[test]
    fn bad_arguments_are_pointed_at() {
        for (command, place, told) in [
            ("cronkeep publish e", "cronkeep publish e", "<ROUTING_KEY>"),
            ("/bin/cronkeep publish e k --jsno", "--jsno", "unexpected argument '--jsno'"),
            ("cronkeep publish --property prio=1 e k x", "prio=1", "did you mean priority?"),
            (
                "cronkeep publish --celery t '' q '{'",
                "cronkeep publish --celery t '' q '{'",
                "no JSON",
            ),
            ("cronkeep publish e k x%body", "%body", "not sent"),
            (
                "cronkeep publish --amqp amqp://me:s3cret@h,amqp://i e k x%body",
                "amqp://me:s3cret@h,amqp://i",
                "the broker's password stands in the command, which the log shows",
            ),
            ("cronkeep publish e k --amqp='amqps://me:pw@h'", "amqps://me:pw@h", "password"),
        ] {
            let (at, message, help) = found(command).unwrap_or_else(|| panic!("{command}"));
            assert_eq!(at, place);
            assert!(message.contains(told), "{message}");
            assert!(help.is_some_and(|help| !help.is_empty()));
        }
    }

    #[test]
    fn what_is_right_or_is_for_a_shell_is_left_alone() {
        for command in [
            "cronkeep publish e k",
            "cronkeep publish e k%body",
            "cronkeep publish e k -%body%more",
            "cronkeep publish e k '50\\%'",
            "cronkeep publish --celery t '' q '[1]'",
            "cronkeep publish --amqp amqp://me@h e k",
            "cronkeep publish --amqp amqp://h e k amqp://me:pw@h",
            "cronkeep publish $E",
            "cronkeep publish e && true",
            "cronkeep check e f --json",
            "true",
        ] {
            assert_eq!(found(command), None, "{command}");
        }
    }
}
