//! A `%` that was to be a percent sign, and ends the command instead.
use crate::crontab::grammar::is_blank;
use crate::crontab::percent;
use crate::crontab::{Code, Mistake};

/// Commands whose arguments have `%` signs of their own.
const FORMATTERS: &[&[u8]] = &[b"date", b"strftime", b"printf"];

/// Warns about the first bare `%` of a command, unless it looks meant: `mail bob%Hello%Bye`.
///
/// The span counts bytes of `command`.
pub(super) fn doubt(command: &[u8]) -> Option<Mistake> {
    let at = percent::first_bare(command)?;
    let (before, behind) = (&command[..at], command[at + 1..].trim_ascii());
    let message = if before.is_empty() {
        "the command is empty: what follows this % is its standard input"
    } else if behind.is_empty() {
        "the command ends at this %; its standard input is empty"
    } else {
        let open = Open::of(before);
        let slip = open.quoted || follows_number(before) || {
            let word = &before[open.word..];
            is_format(word, &before[open.first..open.word], behind[0]) || is_address(word, behind)
        };
        if !slip {
            return None;
        }
        "the command ends at this %; what follows is its standard input"
    };
    Some(Mistake::new(Code::W006, at..at + 1, message).with_help("write \\% for a percent sign"))
}

/// What of a shell's text is not closed yet.
#[derive(Default)]
struct Open {
    /// A quotation mark or a backtick.
    quoted: bool,
    /// Where the word begins that is read.
    word: usize,
    /// Where the simple command begins that the word belongs to.
    first: usize,
}

impl Open {
    fn of(text: &[u8]) -> Self {
        let (mut open, mut mark, mut ticks, mut escaped) = (Open::default(), None, false, false);
        for (at, &byte) in text.iter().enumerate() {
            if escaped {
                escaped = false;
                continue;
            }
            match (mark, byte) {
                (None | Some(b'"'), b'\\') => escaped = true,
                (Some(quote), byte) if quote == byte => mark = None,
                (None, b'"' | b'\'') => mark = Some(byte),
                (None, b'`') => ticks = !ticks,
                (None, b';' | b'&' | b'|' | b'(') => (open.word, open.first) = (at + 1, at + 1),
                (None, byte) if is_blank(byte) => open.word = at + 1,
                _ => {}
            }
        }
        open.quoted = mark.is_some() || ticks;
        open
    }
}

/// Whether a number stands before the sign: `100%`, but not `python3%`.
fn follows_number(before: &[u8]) -> bool {
    let head = before.iter().rev().find(|byte| !byte.is_ascii_digit() && **byte != b'.');
    before.last().is_some_and(u8::is_ascii_digit)
        && !head.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
}

/// Whether the sign begins a field of a date or of a number: `+%F`, `printf %s`.
fn is_format(word: &[u8], words_before: &[u8], next: u8) -> bool {
    let field = next.is_ascii_alphanumeric() || b"-_^#:.".contains(&next);
    let formatter = || {
        words_before
            .split(|&byte| is_blank(byte))
            .filter_map(|word| word.rsplit(|&byte| byte == b'/').next())
            .any(|name| FORMATTERS.contains(&name))
    };
    field && (word.starts_with(b"+") || formatter())
}

/// Whether the sign is part of an address: `http://host/a%20b`.
fn is_address(word: &[u8], behind: &[u8]) -> bool {
    word.windows(3).any(|three| three == b"://")
        && behind.len() > 1
        && behind[1].is_ascii_hexdigit()
        && (behind[0].is_ascii_digit()
            || behind[..2].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_that_is_no_standard_input_is_doubted() {
        for command in [
            "echo 'a %x b'",
            "echo \"50 %x\" y",
            "awk \"{ print \\\"%d\\\" }\"",
            "x `date -d now %F` y",
            "echo 100%",
            "echo 100% done",
            "test 9.5% x",
            "df --limit=80% /x",
            "cat%",
            "cat % ",
            "%cat",
            "%",
            "date +%F",
            "date +%-d",
            "x >log-$(date -u +\\%Y%m)",
            "x; /bin/date --date=now %s",
            "cd /x && printf %s a",
            "curl http://h/a%20b",
        ] {
            let found = doubt(command.as_bytes());
            let found = found.unwrap_or_else(|| panic!("{command}"));
            assert_eq!(found.code, Code::W006);
            assert_eq!(&command[found.span], "%");
        }
    }

    #[test]
    fn a_sign_before_lines_of_input_is_not() {
        for command in [
            "cat%line one%line two",
            "mail -s hi root%body 100%",
            "mail -s 'hi you' root %Dear root",
            "python3%print(1)",
            "mysql db_1%select 1;",
            "echo it\\'s%x",
            "date; cat%from here",
            "date +\\%F | cat %now",
            "date%x",
            "echo 100\\%",
            "update-date x%line",
            "curl http://h/a%Dear you",
            "true",
            "",
        ] {
            assert_eq!(doubt(command.as_bytes()), None, "{command}");
        }
    }

    #[test]
    fn what_is_left_of_the_command_is_said() {
        let message = |command: &str| doubt(command.as_bytes()).unwrap().message;
        assert!(message("echo 5%").ends_with("its standard input is empty"));
        assert!(message("%x").starts_with("the command is empty"));
        assert!(message("date +%F").ends_with("what follows is its standard input"));
    }
}
