//! `cronkeep status`: the daemon, its crontabs, what it is at.

use std::io;

use jiff::Timestamp;

use super::control::{ahead, client, label, since};
use super::{Console, counted, span_text};
use crate::args::StatusArgs;
use crate::control::shape::{JobCounts, OutboxObject, SourceObject, Status};
use crate::executor::output::size;
use crate::exit::ExitCode;
use crate::sink::record::escape;

/// Asks the daemon, and shows what it answers.
pub(super) fn run(args: &StatusArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let client = client(&args.control, console);
    if args.json {
        let status: serde_json::Value = client.get("/api/v1/status")?;
        serde_json::to_writer(&mut *console.out, &status)?;
        writeln!(console.out)?;
    } else {
        let status = client.get("/api/v1/status")?;
        for (head, text) in lines(&status, console.now) {
            write_line(console, head, &text)?;
        }
    }
    Ok(ExitCode::Success)
}

fn write_line(console: &mut Console<'_>, head: &str, text: &str) -> io::Result<()> {
    let (bold, plain) = if console.coloured { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    writeln!(console.out, "{bold}{head:<9}{plain} {text}")
}

/// What is said of a daemon, line by line: what about, and what. `now` is the wall clock.
#[must_use]
pub fn lines(status: &Status, now: Timestamp) -> Vec<(&'static str, String)> {
    let uptime = i64::try_from(status.uptime_s).unwrap_or(i64::MAX);
    let mut lines = vec![(
        "cronkeep",
        format!(
            "{}, up {}, pid {}, as {}, in {}",
            status.version,
            span_text(jiff::SignedDuration::from_secs(uptime)),
            status.pid,
            status.user,
            status.tz
        ),
    )];
    let mut health = status.health.word().to_owned();
    if !status.health.reasons.is_empty() {
        health = format!("{health}: {}", escape(status.health.reasons.join("; ").as_bytes()));
    }
    lines.push(("health", health));
    let JobCounts { total, refused, paused } = status.jobs;
    let jobs = [
        Some(total.to_string()),
        (paused > 0).then(|| format!("{paused} paused")),
        (refused > 0).then(|| format!("{refused} more cannot run here")),
        ahead(status.next.as_deref(), now).map(|next| format!("next {next}")),
    ];
    let jobs = jobs.into_iter().flatten().collect::<Vec<_>>().join(", ");
    lines.push(("jobs", jobs));
    let crontabs = status.sources.iter().map(|source| source_text(source, now));
    lines.extend(headed("crontabs", crontabs.collect()));
    lines.push(("watch", status.watch.clone()));
    let active = status.active.iter().map(|run| {
        let pid = run.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        let since = since(run.started.as_deref(), now).unwrap_or_default();
        format!("{} {}{pid} for {since}", run.run, label(run.name.as_deref(), &run.key))
    });
    lines.extend(headed("active", active.collect()));
    let waiting = status.waiting.iter().map(|run| {
        let reason = run.reason.as_deref().unwrap_or_default();
        format!("{} {} {reason}", run.run, label(run.name.as_deref(), &run.key))
    });
    if waiting.len() > 0 {
        lines.extend(headed("waiting", waiting.collect()));
    }
    lines.push(("store", status.store.clone()));
    lines.push(("broker", broker_text(status, now)));
    lines.extend(status.outbox.as_ref().map(|outbox| ("outbox", outbox_text(outbox, now))));
    lines.push(("replicas", status.replicas.join(", ")));
    lines
}

fn broker_text(status: &Status, now: Timestamp) -> String {
    let Some(stands) = &status.broker_standing else { return status.broker.clone() };
    let since = since(stands.since.as_deref(), now).map(|since| format!(" for {since}"));
    let reason = stands.reason.as_ref().map(|why| format!(": {}", escape(why.as_bytes())));
    let at = stands.address.as_ref().filter(|address| **address != status.broker);
    let at = at.map(|address| format!(" at {}", escape(address.as_bytes())));
    let more: String = [at, since, reason].into_iter().flatten().collect();
    format!("{}, {}{more}", escape(status.broker.as_bytes()), stands.standing)
}

fn outbox_text(outbox: &OutboxObject, now: Timestamp) -> String {
    if outbox.count == 0 {
        return "empty".to_owned();
    }
    let parts = [
        Some(counted(usize::try_from(outbox.count).unwrap_or(usize::MAX), "message", "messages")),
        Some(size(outbox.bytes)),
        since(outbox.oldest.as_deref(), now).map(|age| format!("the oldest for {age}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The first of several lines has the head.
fn headed(head: &'static str, mut texts: Vec<String>) -> Vec<(&'static str, String)> {
    if texts.is_empty() {
        texts.push("none".to_owned());
    }
    let heads = std::iter::once(head).chain(std::iter::repeat(""));
    heads.zip(texts).collect()
}

fn source_text(source: &SourceObject, now: Timestamp) -> String {
    let hash = source.hash.as_ref().map(|hash| format!(" {hash}")).unwrap_or_default();
    let counts = [(source.errors, "error", "errors"), (source.warnings, "warning", "warnings")];
    let counts = counts.into_iter().filter(|(count, ..)| *count > 0);
    let parts: Vec<String> = std::iter::once(format!("{}{hash}", escape(source.file.as_bytes())))
        .chain(since(source.loaded.as_deref(), now).map(|age| format!("loaded {age} ago")))
        .chain(counts.map(|(count, one, many)| counted(count, one, many)))
        .collect();
    let text = parts.join(", ");
    let Some(trouble) = &source.trouble else { return text };
    let comma = if parts.len() > 1 { "," } else { "" };
    format!("{text}{comma} {}", escape(trouble.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::shape::{BrokerObject, Health, RunObject};

    #[test]
    fn the_status_is_told_in_a_few_lines() {
        let status = Status {
            version: "1.2.3".into(),
            pid: 7,
            user: "root".into(),
            uptime_s: 90_061,
            tz: "UTC".into(),
            sources: vec![
                SourceObject {
                    file: "/etc/crontab".into(),
                    hash: Some("0123456789abcdef".into()),
                    loaded: Some("2025-12-31T22:00:00Z".into()),
                    errors: 1,
                    ..SourceObject::default()
                },
                SourceObject {
                    file: "/srv/jobs".into(),
                    trouble: Some("is gone".into()),
                    ..SourceObject::default()
                },
                SourceObject {
                    file: "/srv/more".into(),
                    hash: Some("0123456789abcdef".into()),
                    loaded: Some("2025-12-31T22:00:00Z".into()),
                    trouble: Some("is missing".into()),
                    ..SourceObject::default()
                },
            ],
            watch: "inotify".into(),
            jobs: JobCounts { total: 3, refused: 1, paused: 2 },
            active: vec![RunObject {
                run: "01K9".into(),
                name: Some("backup".into()),
                started: Some("2025-12-31T23:55:00Z".into()),
                pid: Some(42),
                ..RunObject::default()
            }],
            store: "memory".into(),
            broker: "none".into(),
            replicas: vec!["here".into()],
            next: Some("2026-01-01T00:00:30Z".into()),
            health: Health { healthy: true, degraded: true, reasons: vec!["a".into(), "b".into()] },
            ..Status::default()
        };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let lines = lines(&status, now);
        let text: Vec<String> =
            lines.iter().map(|(head, text)| format!("{head:<9} {text}")).collect();
        let expected = [
            "cronkeep  1.2.3, up 1d 1h, pid 7, as root, in UTC",
            "health    degraded: a; b",
            "jobs      3, 2 paused, 1 more cannot run here, next in 30s",
            "crontabs  /etc/crontab 0123456789abcdef, loaded 2h ago, 1 error",
            "          /srv/jobs is gone",
            "          /srv/more 0123456789abcdef, loaded 2h ago, is missing",
            "watch     inotify",
            "active    01K9 backup pid 42 for 5m",
            "store     memory",
            "broker    none",
            "replicas  here",
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn a_broker_is_told_with_how_it_stands_and_what_waits_for_it() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let told = |broker: BrokerObject, outbox: OutboxObject| {
            let status = Status {
                broker: "amqp://one, amqp://two".into(),
                broker_standing: Some(broker),
                outbox: Some(outbox),
                ..Status::default()
            };
            let lines = lines(&status, now);
            let of =
                |wanted: &str| lines.iter().find(|(head, _)| *head == wanted).unwrap().1.clone();
            (of("broker"), of("outbox"))
        };
        let up = BrokerObject {
            standing: "up".into(),
            address: Some("amqp://two".into()),
            ..BrokerObject::default()
        };
        let told_up = told(up, OutboxObject::default());
        assert_eq!(told_up, ("amqp://one, amqp://two, up at amqp://two".into(), "empty".into()));
        let down = BrokerObject {
            standing: "down".into(),
            since: Some("2025-12-31T23:55:00Z".into()),
            reason: Some("connection refused".into()),
            ..BrokerObject::default()
        };
        let oldest = Some("2025-12-31T22:00:00Z".into());
        let (broker, outbox) = told(down, OutboxObject { count: 3, bytes: 1_234, oldest });
        assert_eq!(broker, "amqp://one, amqp://two, down for 5m: connection refused");
        assert_eq!(outbox, "3 messages, 1.2 kB, the oldest for 2h");
    }
}
