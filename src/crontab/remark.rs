//! Warnings about entries that can be read, but may not do what was meant.
mod comment;
mod percent;

use std::ops::Range;

use jiff::civil::DateTime;

use super::entry::Draft;
use super::field::quote;
use super::grammar::token;
use super::{Code, Dialect, Format, Mistake, When};
use crate::schedule::Schedule;
pub(super) use comment::near_directive;

/// Accounts that no command is called like.
const ACCOUNTS: &[&str] = &["root", "nobody", "daemon", "www-data", "apache", "nginx", "postgres"];

/// Commands that no account is called like.
const COMMANDS: &[&str] = &[
    "[",
    "awk",
    "bash",
    "bundle",
    "cat",
    "cd",
    "certbot",
    "chmod",
    "chown",
    "composer",
    "cp",
    "curl",
    "date",
    "echo",
    "env",
    "export",
    "false",
    "find",
    "flock",
    "gzip",
    "kill",
    "ls",
    "make",
    "mv",
    "mysqldump",
    "nice",
    "npm",
    "perl",
    "pg_dump",
    "php",
    "python",
    "python2",
    "python3",
    "rake",
    "rm",
    "rsync",
    "run-parts",
    "sed",
    "service",
    "sh",
    "sleep",
    "source",
    "sudo",
    "systemctl",
    "tar",
    "test",
    "timeout",
    "touch",
    "true",
    "wget",
    "zsh",
];

/// What may not be meant by the entry on `line`, in bytes of the line.
pub(super) fn remarks(line: &[u8], draft: &Draft, dialect: &Dialect) -> Vec<Mistake> {
    [
        never(line, draft),
        draft.days.clone().map(|span| both_days(line, span)),
        match dialect.format {
            Format::System => missing_user(line, draft),
            Format::User => surplus_user(line, draft, dialect),
        },
        percent::doubt(&line[draft.command.clone()])
            .map(|mistake| mistake.shifted(draft.command.start)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn never(line: &[u8], draft: &Draft) -> Option<Mistake> {
    let When::Fixed(schedule) = &draft.when else { return None };
    let start = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let fires = match schedule {
        Schedule::Calendar(calendar) if calendar.days.special.is_none() => {
            let days = &calendar.days;
            // Where either day counts, weekdays come in every month; and each date sees each weekday.
            !days.is_and()
                || (1..=12).any(|month| {
                    let longest = match month {
                        2 => 29,
                        4 | 6 | 9 | 11 => 30,
                        _ => 31,
                    };
                    calendar.months >> month & 1 == 1
                        && days.dom & (u32::MAX >> (31 - longest)) != 0
                })
        }
        Schedule::Calendar(calendar) => calendar.next_after(start).is_some(),
        Schedule::Extended(extended) => extended.next_after(start).is_some(),
        _ => true,
    };
    (!fires).then(|| {
        let text = quote(&line[draft.schedule.clone()]);
        Mistake::new(Code::W001, draft.schedule.clone(), format!("{text} never comes"))
            .with_help("no year has such a day")
    })
}

fn both_days(line: &[u8], span: Range<usize>) -> Mistake {
    let dom = token(line, span.start);
    let dow = token(line, span.end - trailing(line, span.end));
    let (dom, dow) = (quote(&line[dom]), quote(&line[dow]));
    let message = format!(
        "this runs when the day of the month is {dom}, and also when the day of the week is {dow}"
    );
    Mistake::new(Code::W009, span, message).with_help(
        "cron takes either day where both are set; write * in the field that is not meant",
    )
}

/// The length of the token that ends at `end`.
fn trailing(line: &[u8], end: usize) -> usize {
    line[..end].iter().rev().take_while(|&&byte| !super::grammar::is_blank(byte)).count()
}

fn missing_user(line: &[u8], draft: &Draft) -> Option<Mistake> {
    let span = draft.user.clone()?;
    let user = &line[span.clone()];
    let command = user.iter().any(|byte| b"/$=(\"'`;|&>".contains(byte))
        || user.starts_with(b"-")
        || COMMANDS.iter().any(|name| name.as_bytes() == user);
    command.then(|| {
        let message = format!("{} stands where the user belongs", quote(user));
        Mistake::new(Code::W004, span, message)
            .with_help("in a system crontab the user stands before the command: write root")
    })
}

fn surplus_user(line: &[u8], draft: &Draft, dialect: &Dialect) -> Option<Mistake> {
    let first = token(line, draft.command.start);
    let word = &line[first.clone()];
    let account =
        word == dialect.user.as_bytes() || ACCOUNTS.iter().any(|name| name.as_bytes() == word);
    (account && !token(line, first.end).is_empty()).then(|| {
        let message = format!("{} is run as a command", quote(word));
        Mistake::new(Code::W005, first, message)
            .with_help("a user's crontab has no user column: leave it out")
    })
}
