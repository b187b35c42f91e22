//! Warnings about entries that can be read, but may not do what was meant.
mod comment;
mod percent;

use std::ops::Range;

use super::entry::Draft;
use super::field::quote;
use super::grammar::token;
use super::{Code, Dialect, Format, Mistake};
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
    let mut found = Vec::new();
    if draft.timing.never {
        found.push(never(line, draft));
    }
    if let Some(days) = draft.days() {
        found.push(both_days(line, days));
    }
    found.extend(match dialect.format {
        Format::System => missing_user(line, draft),
        Format::User => surplus_user(line, draft, dialect),
    });
    let percent = percent::doubt(&line[draft.command.clone()]);
    found.extend(percent.map(|mistake| mistake.shifted(draft.command.start)));
    found
}

fn never(line: &[u8], draft: &Draft) -> Mistake {
    let text = quote(&line[draft.schedule()]);
    Mistake::new(Code::W001, draft.schedule(), format!("{text} never comes"))
        .with_help("no year has such a day")
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
