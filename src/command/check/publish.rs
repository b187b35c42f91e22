//! Entries that publish: what is wrong with their arguments, before they are due.

use crate::crontab::{Code, Entry, Line, Mistake, percent};
use crate::message::{Arguments, is_publish, publish_words};
use crate::sink::record::escape;

/// What is wrong with an entry that the daemon would carry out itself; `text` is its line.
pub(super) fn mistake(entry: &Entry, line: &Line, text: &[u8]) -> Option<Mistake> {
    let raw = entry.command.as_bytes();
    if !is_publish(raw) {
        return None;
    }
    let words = publish_words(&percent::split(raw).command)?;
    let start = entry.command_span.start.saturating_sub(line.span.start).min(text.len());
    let end = entry.command_span.end.saturating_sub(line.span.start).clamp(start, text.len());
    let command = &text[start..end];
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
            "cronkeep publish $E",
            "cronkeep publish e && true",
            "cronkeep check e f --json",
            "true",
        ] {
            assert_eq!(found(command), None, "{command}");
        }
    }
}
