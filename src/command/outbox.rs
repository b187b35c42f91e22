//! `cronkeep outbox`: what waits for the broker, and what is no longer to.

use jiff::Timestamp;

use super::control::{ahead, client, since};
use super::table::{Cell, Table, Tint};
use super::{Console, counted};
use crate::args::{OutboxArg, OutboxArgs};
use crate::control::client::{Client, segment};
use crate::control::outbox::{Dropped, LetterObject, OUTBOX};
use crate::executor::output::size;
use crate::exit::{ExitCode, UsageError};
use crate::sink::record::escape;

/// Asks the daemon, and shows what it answers.
pub(super) fn run(args: &OutboxArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let is_drop = args.action == OutboxArg::Drop;
    if is_drop && args.ids.is_empty() && !args.all {
        return Err(UsageError("drop: name the messages, or give --all".to_owned()).into());
    }
    if !is_drop && args.all {
        return Err(UsageError("--all: all are listed; it is for drop".to_owned()).into());
    }
    let client = client(&args.control, console);
    let wishes: Vec<String> = match &args.job {
        Some(job) => vec![format!("?job={}", segment(job))],
        None if args.all => vec!["?all=true".to_owned()],
        None if args.ids.is_empty() => vec![String::new()],
        None => args.ids.iter().map(|id| format!("?id={}", segment(id))).collect(),
    };
    if is_drop {
        discard(&client, &wishes, args, console)
    } else {
        list(&client, &wishes, args, console)
    }
}

fn list(
    client: &Client,
    wishes: &[String],
    args: &OutboxArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let mut letters: Vec<LetterObject> = Vec::new();
    for wish in wishes {
        client.get_lines(&format!("{OUTBOX}{wish}"), |line| {
            if args.json {
                return console.out.write_all(line);
            }
            letters.push(serde_json::from_slice(line)?);
            Ok(())
        })?;
    }
    if args.json {
        return Ok(ExitCode::Success);
    }
    if letters.is_empty() {
        writeln!(console.out, "no messages")?;
    } else {
        table(&letters, console.now).write(console.out, console.coloured, console.width)?;
    }
    Ok(ExitCode::Success)
}

fn discard(
    client: &Client,
    wishes: &[String],
    args: &OutboxArgs,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let mut all = Dropped::default();
    for wish in wishes {
        let mut done: Dropped = client.post(&format!("{OUTBOX}/drop{wish}"))?;
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
        let exchange = if letter.exchange.is_empty() { "''" } else { &letter.exchange };
        table.push([
            escape(letter.id.as_bytes()).into(),
            escape(letter.job.as_deref().unwrap_or_default().as_bytes()).into(),
            escape(format!("{exchange} {}", letter.routing_key).as_bytes()).into(),
            size(letter.bytes).into(),
            since(Some(&letter.accepted), now).unwrap_or_default().into(),
            letter.tries.to_string().into(),
            ahead(Some(&letter.expires), now).unwrap_or_default().into(),
            last(letter),
        ]);
    }
    table
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
            accepted: "2026-01-01T00:00:00Z".to_owned(),
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
}
