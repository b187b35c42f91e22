//! `cronkeep logs`: what a job or a run printed.

use std::io::{self, Write};

use serde::Deserialize;

use super::control::{client, label};
use super::{Console, counted};
use crate::args::LogsArgs;
use crate::control::client::segment;
use crate::control::shape::RunObject;
use crate::exit::ExitCode;
use crate::sink::record::escape;

/// One thing that the daemon tells of a run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    run: Option<String>,
    key: String,
    name: Option<String>,
    line: Option<String>,
    left_out: Option<u64>,
    ended: Option<RunObject>,
}

/// Prints lines as the daemon tells them.
pub(super) fn run(args: &LogsArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let follow = if args.follow { "?follow=true" } else { "" };
    let target = format!("/api/v1/logs/{}{follow}", segment(&args.what));
    let mut reader = Reader { coloured: console.coloured, ..Reader::default() };
    client(&args.control, console).get_lines(&target, |line| {
        if args.json {
            console.out.write_all(line)?;
        } else {
            reader.write(&serde_json::from_slice(line)?, console.out)?;
        }
        if args.follow { console.out.flush() } else { Ok(()) }
    })?;
    Ok(ExitCode::Success)
}

/// Tells the lines of one run from those of the next.
#[derive(Debug, Default)]
struct Reader {
    coloured: bool,
    /// The run whose line came last.
    run: Option<String>,
}

impl Reader {
    fn write(&mut self, told: &Told, out: &mut dyn Write) -> io::Result<()> {
        if let Some(run) = &told.run
            && (told.line.is_some() || told.left_out.is_some())
            && self.run.as_deref() != Some(run)
        {
            let label = label(told.name.as_deref(), &told.key);
            self.remark(out, &format!("{label} run {run}"))?;
            self.run = Some(run.clone());
        }
        if let Some(line) = &told.line {
            // The daemon has escaped it; whoever answers in its place may not have.
            writeln!(out, "{}", escape(line.as_bytes()))?;
        }
        if let Some(count) = told.left_out {
            let lines = counted(usize::try_from(count).unwrap_or(usize::MAX), "line", "lines");
            self.remark(out, &format!("{lines} left out"))?;
        }
        if let Some(ended) = &told.ended {
            let words = escape(ended.reason.as_deref().unwrap_or("ended").as_bytes());
            let label = label(ended.name.as_deref(), &ended.key);
            self.remark(out, &format!("{label} run {} {words}", ended.run))?;
        }
        Ok(())
    }

    /// Something that the job did not print.
    fn remark(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        let (faint, plain) = if self.coloured { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        writeln!(out, "{faint}-- {text}{plain}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_two_runs_are_told_apart() {
        let told = [
            r#"{"run":"01A","key":"k","name":"job","line":"one"}"#,
            r#"{"run":"01A","key":"k","name":"job","line":"two"}"#,
            r#"{"run":"01A","left_out":7}"#,
            r#"{"run":"01A","ended":{"run":"01A","name":"job","reason":"succeeded"}}"#,
            r#"{"run":"01B","key":"k","name":"job","line":"\u001b[2J"}"#,
            r#"{"run":"01C","key":"k","name":"job","left_out":1}"#,
        ];
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        for line in told {
            reader.write(&serde_json::from_str(line).unwrap(), &mut out).unwrap();
        }
        let expected = "\
-- job run 01A
one
two
-- 7 lines left out
-- job run 01A succeeded
-- job run 01B
^[[2J
-- job run 01C
-- 1 line left out
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
