//! `cronkeep outbox`: what waits for the broker, and what is no longer to.

use std::io;

use jiff::Timestamp;

use super::archive::Archive;
use super::control::{ahead, client, path, since};
use super::table::{Cell, Table, Tint};
use super::{Console, counted};
use crate::args::{OutboxArg, OutboxArgs};
use crate::config::default_zone;
use crate::control::client::{Client, Error, segment};
use crate::control::outbox::{Dropped, LetterObject, Meant, OUTBOX};
use crate::executor::output::size;
use crate::exit::{ExitCode, UsageError};
use crate::outbox::Waits;
use crate::sink::record::escape;
use crate::store::Owned;

/// How what waits is dropped where no daemon runs.
const REMEDY: &str =
    "messages are dropped by a daemon alone, and one without --amqp sends nothing of them before";

/// Asks the daemon, and shows what it answers; what waits, as the store has it, where no daemon runs.
pub(super) fn run(args: &OutboxArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let is_drop = args.action == OutboxArg::Drop;
    if is_drop && args.ids.is_empty() && !args.all {
        return Err(UsageError("drop: name the messages, or give --all".to_owned()).into());
    }
    if !is_drop && args.all {
        return Err(UsageError("--all: all are listed; it is for drop".to_owned()).into());
    }
    let client = client(&args.control, console);
    let meant: Vec<Meant> = if args.ids.is_empty() {
        vec![Meant { id: None, job: args.job.clone(), all: args.all && args.job.is_none() }]
    } else {
        args.ids.iter().map(|id| Meant { id: Some(id.clone()), ..Meant::default() }).collect()
    };
    if is_drop {
        discard(&client, &meant, args, console)
    } else {
        list(&client, &meant, args, console)
    }
}

fn list(
    client: &Client,
    meant: &[Meant],
    args: &OutboxArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let mut letters: Vec<LetterObject> = Vec::new();
    for (number, one) in meant.iter().enumerate() {
        let told = client.get_lines(&format!("{OUTBOX}{}", wish(one)), |line| {
            if args.json {
                return console.out.write_all(line);
            }
            letters.push(serde_json::from_slice(line)?);
            Ok(())
        });
        match told {
            Err(away @ Error::Nobody { .. }) if number == 0 => {
                return list_kept(meant, args, console).map_err(|error| error.context(away));
            }
            told => told?,
        }
    }
    if !args.json {
        let table = table(&letters, console.now);
        write(&table, letters.is_empty(), console)?;
    }
    Ok(ExitCode::Success)
}

/// Lists what waits in the store, while no daemon runs that would tell; that is said first.
fn list_kept(
    meant: &[Meant],
    args: &OutboxArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(&args.store, console.host)?;
    let zone = default_zone(None, console.host).map_err(UsageError::from)?.zone;
    let mut all = Vec::new();
    archive.letters(|Owned { owner, waiting }| {
        all.push(LetterObject::of(Waits::unsent(&waiting), &owner, zone.rules()));
    })?;
    let mut letters = Vec::new();
    for one in meant {
        letters.extend(one.of(all.clone()).map_err(|refusal| Error::Refused { refusal })?);
    }
    writeln!(
        console.err,
        "cronkeep: no daemon listens at {}: this is what waits in the store {}, until one runs that uses it",
        path(&args.control, console).display(),
        archive.name()
    )?;
    if args.json {
        for letter in &letters {
            serde_json::to_writer(&mut *console.out, letter)?;
            console.out.write_all(b"\n")?;
        }
        return Ok(ExitCode::Success);
    }
    write(&kept_table(&letters, console.now), letters.is_empty(), console)?;
    Ok(ExitCode::Success)
}

fn write(table: &Table<8>, is_empty: bool, console: &mut Console<'_>) -> io::Result<()> {
    if is_empty {
        return writeln!(console.out, "no messages");
    }
    table.write(console.out, console.coloured, console.width)
}

/// What is meant, as a request says it.
fn wish(meant: &Meant) -> String {
    match meant {
        Meant { id: Some(id), .. } => format!("?id={}", segment(id)),
        Meant { job: Some(job), .. } => format!("?job={}", segment(job)),
        Meant { all: true, .. } => "?all=true".to_owned(),
        Meant { .. } => String::new(),
    }
}

fn discard(
    client: &Client,
    meant: &[Meant],
    args: &OutboxArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let mut all = Dropped::default();
    for meant in meant {
        let done = client.post(&format!("{OUTBOX}/drop{}", wish(meant)));
        let mut done: Dropped = match done {
            Err(error @ Error::Nobody { .. }) => return Err(anyhow::anyhow!("{error}; {REMEDY}")),
            done => done?,
        };
        all.dropped.append(&mut done.dropped);
        all.under_way.append(&mut done.under_way);
    }
    if args.json {
        serde_json::to_writer(&mut *console.out, &all)?;
        writeln!(console.out)?;
        return Ok(ExitCode::Success);
    }
    let dropped = counted(all.dropped.len(), "message", "messages");
    writeln!(console.out, "{dropped} dropped")?;
    if !all.under_way.is_empty() {
        let under_way = counted(all.under_way.len(), "message is", "messages are");
        writeln!(
            console.out,
            "{under_way} under way, and dropped unless the broker confirms them"
        )?;
    }
    Ok(ExitCode::Success)
}

fn table(letters: &[LetterObject], now: Timestamp) -> Table<8> {
    let heads = ["ID", "JOB", "TO", "SIZE", "SINCE", "TRIES", "EXPIRES", "LAST"];
    // An id that is cut is of no use.
    let mut table = Table::new(heads, [usize::MAX, 20, 30, 9, 12, 5, 12, usize::MAX]);
    for letter in letters {
        let tries = letter.tries.to_string().into();
        let [id, job, to, size, since, expires] = cells(letter, now);
        table.push([id, job, to, size, since, tries, expires, last(letter)]);
    }
    table
}

/// What nobody sends: whose it is in place of how it went.
fn kept_table(letters: &[LetterObject], now: Timestamp) -> Table<8> {
    let heads = ["ID", "JOB", "TO", "SIZE", "SINCE", "EXPIRES", "REPLICA", "REMARK"];
    let mut table = Table::new(heads, [usize::MAX, 20, 30, 9, 12, 12, 30, usize::MAX]);
    for letter in letters {
        let replica = escape(letter.replica.as_bytes()).into();
        let [id, job, to, size, since, expires] = cells(letter, now);
        table.push([id, job, to, size, since, expires, replica, last(letter)]);
    }
    table
}

/// What is told of each: its id, its job, where it goes, its size, since and until when it waits.
fn cells(letter: &LetterObject, now: Timestamp) -> [Cell; 6] {
    let exchange = if letter.exchange.is_empty() { "''" } else { &letter.exchange };
    // What cannot be read has neither.
    let to = letter.accepted.as_ref().map(|_| format!("{exchange} {}", letter.routing_key));
    [
        escape(letter.id.as_bytes()).into(),
        escape(letter.job.as_deref().unwrap_or_default().as_bytes()).into(),
        escape(to.unwrap_or_default().as_bytes()).into(),
        size(letter.bytes).into(),
        since(letter.accepted.as_deref(), now).unwrap_or_default().into(),
        ahead(Some(&letter.expires), now).unwrap_or_default().into(),
    ]
}

/// How it stands with the broker.
fn last(letter: &LetterObject) -> Cell {
    if letter.under_way {
        return "under way".into();
    }
    let last = letter.last.as_deref().unwrap_or_default();
    Cell::new(escape(last.as_bytes()), Tint::Bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_of_each_message_what_an_operator_decides_by() {
        let letter = LetterObject {
            id: "01K9ZD3F6YQ6B2N9R5T8W1X4VA-1".to_owned(),
            job: Some("report\x1b".to_owned()),
            routing_key: "batch".to_owned(),
            bytes: 1_200,
            accepted: Some("2026-01-01T00:00:00Z".to_owned()),
            expires: "2026-01-02T00:00:00Z".to_owned(),
            tries: 3,
            last: Some("the broker is away: refused".to_owned()),
            ..LetterObject::default()
        };
        let way = LetterObject { exchange: "x".to_owned(), under_way: true, ..letter.clone() };
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let mut out = Vec::new();
        table(&[letter, way], now).write(&mut out, false, None).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|it| !it.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], ["ID", "JOB", "TO", "SIZE", "SINCE", "TRIES", "EXPIRES", "LAST"]);
        let row = |to, last| {
            ["01K9ZD3F6YQ6B2N9R5T8W1X4VA-1", "report^[", to, "1.2 kB", "1h", "3", "in 23h", last]
        };
        assert_eq!(lines[1], row("'' batch", "the broker is away: refused"));
        assert_eq!(lines[2], row("x batch", "under way"));
    }

    #[test]
    fn what_nobody_sends_is_told_with_whose_it_is_and_what_cannot_be_read_says_so() {
        let letter = LetterObject {
            id: "a".to_owned(),
            routing_key: "batch".to_owned(),
            accepted: Some("2026-01-01T00:00:00Z".to_owned()),
            expires: "2026-01-01T00:30:00Z".to_owned(),
            replica: "web-1".to_owned(),
            ..LetterObject::default()
        };
        let last = Some("it cannot be read".to_owned());
        let bad = LetterObject { id: "b".to_owned(), accepted: None, last, ..letter.clone() };
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let mut out = Vec::new();
        kept_table(&[letter, bad], now).write(&mut out, false, None).unwrap();
        let text = String::from_utf8(out).unwrap();
        let words: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["a", "''", "batch", "0", "bytes", "1h", "now", "web-1"]);
        assert_eq!(words[2], ["b", "0", "bytes", "now", "web-1", "it", "cannot", "be", "read"]);
    }
}
