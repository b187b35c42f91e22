//! `cronkeep list`: the jobs in force.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::Console;
use super::control::{ahead, client, ending, label, since};
use super::table::{Cell, Table, Tint};
use crate::args::ListArgs;
use crate::control::client::segment;
use crate::control::shape::RunObject;
use crate::exit::ExitCode;
use crate::sink::record::escape;

/// A job, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    key: String,
    name: Option<String>,
    user: Value,
    schedule: Value,
    command: Value,
    next: Option<String>,
    last: Option<RunObject>,
    paused: bool,
    enabled: bool,
    shadow: bool,
}

/// Asks the daemon, and shows what it answers.
pub(super) fn run(args: &ListArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let client = client(&args.control, console);
    let target = match &args.job {
        Some(job) => format!("/api/v1/jobs/{}", segment(job)),
        None => "/api/v1/jobs".to_owned(),
    };
    if args.json {
        client.get_lines(&target, |line| console.out.write_all(line))?;
        return Ok(ExitCode::Success);
    }
    let mut rows: Vec<Row> = Vec::new();
    client.get_lines(&target, |line| {
        rows.push(serde_json::from_slice(line)?);
        Ok(())
    })?;
    if rows.is_empty() {
        writeln!(console.out, "no jobs")?;
        return Ok(ExitCode::Success);
    }
    let table = table(&rows, console.now);
    table.write(console.out, console.coloured, console.width)?;
    Ok(ExitCode::Success)
}

fn table(rows: &[Row], now: Timestamp) -> Table<6> {
    let heads = ["JOB", "USER", "SCHEDULE", "NEXT", "LAST", "COMMAND"];
    let mut table = Table::new(heads, [20, 12, 16, 12, 20, usize::MAX]);
    // A column that says the same in each row is no help.
    let is_of_several = rows.iter().any(|row| row.user != rows[0].user);
    for row in rows {
        let user = if is_of_several { text(&row.user) } else { String::new() };
        table.push([
            label(row.name.as_deref(), &row.key).into(),
            user.into(),
            text(&row.schedule).into(),
            next(row, now),
            row.last.as_ref().map_or_else(Cell::default, |run| last(run, now)),
            text(&row.command).into(),
        ]);
    }
    table
}

fn next(row: &Row, now: Timestamp) -> Cell {
    if row.paused {
        return Cell::new("paused", Tint::Faint);
    }
    if !row.enabled {
        return Cell::new("disabled", Tint::Faint);
    }
    if row.shadow {
        return Cell::new("shadow", Tint::Faint);
    }
    ahead(row.next.as_deref(), now).map_or_else(|| Cell::new("-", Tint::Faint), Cell::from)
}

fn last(run: &RunObject, now: Timestamp) -> Cell {
    let (word, is_good) = ending(run);
    let ago =
        since(run.ended.as_deref(), now).map_or_else(String::new, |ago| format!(" {ago} ago"));
    Cell::new(format!("{word}{ago}"), if is_good { Tint::Good } else { Tint::Bad })
}

/// Text for people; what is not UTF-8 is shown as in the log.
fn text(value: &Value) -> String {
    let coded = value.get("b64").and_then(Value::as_str);
    if let Some(bytes) = coded.and_then(|coded| BASE64_STANDARD.decode(coded).ok()) {
        return escape(&bytes);
    }
    match value {
        Value::String(text) => escape(text.as_bytes()),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(objects: &[Value]) -> String {
        let rows: Vec<Row> =
            objects.iter().map(|object| serde_json::from_value(object.clone()).unwrap()).collect();
        let mut out = Vec::new();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        table(&rows, now).write(&mut out, false, Some(80)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn jobs_are_shown_in_columns_that_fit_a_terminal() {
        let jobs = [
            serde_json::json!({
                "key": "crondServiceTask-00112233445566ff", "name": "backup", "user": "root",
                "schedule": "30 2 * * *", "command": "/usr/local/bin/backup --all --verbose --to /srv",
                "next": "2026-01-01T02:30:00Z", "enabled": true,
                "last": { "outcome": "failed", "exit": 3, "ended": "2025-12-31T02:30:05Z" },
            }),
            serde_json::json!({
                "key": "crondServiceTask-aa112233445566ff#2", "user": "root",
                "schedule": "@reboot", "command": { "b64": "ZWNobyD/" }, "enabled": true,
            }),
            serde_json::json!({
                "key": "crondServiceTask-bb112233445566ff", "name": "quiet", "user": "root",
                "schedule": "* * * * *", "command": "true", "enabled": true, "paused": true,
                "last": { "outcome": "succeeded", "exit": 0, "ended": "2025-12-31T23:59:00Z" },
            }),
        ];
        let expected = "\
JOB                 SCHEDULE    NEXT       LAST                COMMAND
backup              30 2 * * *  in 2h 30m  exit 3 21h 29m ago  /usr/local/bin/b…
aa112233445566ff#2  @reboot     -                              echo \\377
quiet               * * * * *   paused     ok 1m ago           true
";
        assert_eq!(shown(&jobs), expected);
    }

    #[test]
    fn nothing_is_next_where_nothing_is_started() {
        let job = |shadow: bool| {
            serde_json::json!({
                "key": "k", "user": "root", "schedule": "x", "command": "true",
                "next": "2026-01-01T02:30:00Z", "enabled": true, "shadow": shadow,
            })
        };
        assert!(shown(&[job(false)]).contains("in 2h 30m"));
        let shadow = shown(&[job(true)]);
        assert!(shadow.contains("shadow") && !shadow.contains("2h"), "{shadow}");
    }

    #[test]
    fn the_user_is_shown_where_there_are_several() {
        let job = |user: &str| serde_json::json!({ "key": "k", "user": user, "schedule": "x" });
        assert!(!shown(&[job("root"), job("root")]).contains("root"));
        assert!(shown(&[job("root"), job("games")]).contains("games"));
    }
}
