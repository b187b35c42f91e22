//! What the program does besides being the daemon: one file for each command.
//!
//! Receives the parsed arguments, writes to a [`Console`]; layer 9. A command reads files and the user database,
//! asks a daemon over its control socket, opens the store, changes nothing but users' tables and, where it is asked to, a
//! snapshot, and never prints but through its console.

mod archive;
pub mod check;
pub mod completions;
mod control;
pub mod crontab;
pub mod explain;
pub mod health;
pub mod history;
pub mod list;
pub mod logs;
pub mod man;
pub mod next;
pub mod option;
mod outbox;
pub mod pause;
pub mod publish;
pub mod run;
pub mod snapshot;
pub mod status;
mod table;
pub mod worker;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};

use crate::args::Command;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Host, SourceSpec};
use crate::crontab::{Fault, Source, render};
use crate::exit::ExitCode;
use crate::sink::record::is_colour_welcome;
use crate::watch::{Surveyed, read_once};

/// The largest crontab that is read: a file without end must not fill the memory.
const MAX_CRONTAB: u64 = 64 << 20;

/// Where a command reads and writes, and what it knows of its surroundings.
pub struct Console<'a> {
    /// Standard output; commands write their answer here.
    pub out: &'a mut dyn Write,
    /// Standard error; what is not part of the answer.
    pub err: &'a mut dyn Write,
    /// Standard input, for files called `-`.
    pub input: &'a mut dyn Read,
    /// Whether colours may be used in text for people.
    pub coloured: bool,
    /// How many letters a line of text for people may have; any number where nobody looks at it.
    pub width: Option<usize>,
    /// The wall clock when the command began, in whole seconds.
    pub now: Timestamp,
    /// The process's surroundings.
    pub host: &'a Host,
}

/// Carries a command out on the process's own standard streams.
///
/// # Errors
/// What could not be done; [`crate::exit::code_of`] tells the exit code.
pub fn run(command: &Command, host: &Host) -> anyhow::Result<ExitCode> {
    let stdout = io::stdout();
    let now = SystemClock.now();
    let mut console = Console {
        coloured: is_colour_welcome(&stdout),
        width: stdout.is_terminal().then(terminal_width).flatten(),
        out: &mut BufWriter::with_capacity(1 << 16, stdout.lock()),
        err: &mut io::stderr(),
        input: &mut io::stdin(),
        now: Timestamp::from_second(now.as_second()).unwrap_or(now),
        host,
    };
    let code = run_on(command, &mut console)?;
    match console.out.flush() {
        // A reader that left early has what it wanted; the code is the answer's all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        flushed => Ok(flushed.map(|()| code)?),
    }
}

/// Carries a command out on `console`.
///
/// # Errors
/// As [`run`].
pub fn run_on(command: &Command, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(args) => check::run(args, console),
        Command::Next(args) => next::run(args, console),
        Command::Explain(args) => explain::run(args, console),
        Command::List(args) => list::run(args, console),
        Command::Status(args) => status::run(args, console),
        Command::Run(args) => run::run(args, console),
        Command::Stop(args) => run::stop(args, console),
        Command::Pause(args) => pause::pause(args, console),
        Command::Resume(args) => pause::resume(args, console),
        Command::Reload(args) => pause::reload(args, console),
        Command::Health(args) => health::run(args, console),
        Command::History(args) => history::run(args, console),
        Command::Logs(args) => logs::run(args, console),
        Command::Publish(args) => publish::run(args, console),
        Command::Outbox(args) => outbox::run(args, console),
        Command::Worker(args) => worker::run(args, console),
        Command::Snapshot(args) => snapshot::run(args, console),
        Command::Crontab(args) => crontab::run(args, console),
        Command::Completions(args) => completions::run(args, console),
        Command::Man => man::run(console),
    }
}

/// How many letters fit on a line of the terminal.
fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

/// Reads a crontab; the path `-` is standard input.
///
/// # Errors
/// It cannot be read, or has more than 64 MiB.
pub(crate) fn read_source(spec: &SourceSpec, console: &mut Console<'_>) -> anyhow::Result<Source> {
    let name = spec.path.display().to_string();
    let mut bytes = Vec::new();
    let mut read = |from: &mut dyn Read| from.take(MAX_CRONTAB + 1).read_to_end(&mut bytes);
    let outcome = if is_standard_input(&spec.path) {
        read(console.input)
    } else if !spec.named {
        let file = Surveyed { path: spec.path.clone(), trust: spec.trust };
        bytes = read_once(&file).map_err(|trouble| anyhow::anyhow!("{name} {trouble}"))?;
        return Ok(Source { name: name.into(), bytes, dialect: spec.dialect.clone() });
    } else {
        File::open(&spec.path).and_then(|mut file| read(&mut file))
    };
    outcome.with_context(|| format!("failed to read {name}"))?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_CRONTAB, "failed to read {name}: too large");
    Ok(Source { name: name.into(), bytes, dialect: spec.dialect.clone() })
}

/// Whether a path stands for standard input.
pub(crate) fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Shows the fault of an expression that was given as an argument.
pub(crate) fn show_expression_fault(
    text: &str,
    fault: &Fault,
    console: &mut Console<'_>,
) -> io::Result<()> {
    let lines = render::Lines::of(text.as_bytes());
    let text = render::caret("argument", &lines, fault, console.coloured);
    writeln!(console.err, "{text}")
}

/// A number of things, in words.
pub(crate) fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A span of time for people, its two largest units: `3d 4h`, `12m 5s`.
#[must_use]
pub(crate) fn span_text(span: SignedDuration) -> String {
    const UNITS: [(&str, u64); 5] =
        [("y", 31_557_600), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
    let mut seconds = span.unsigned_abs().as_secs();
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if seconds >= size || (unit == "s" && parts.is_empty()) {
            parts.push(format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    parts.truncate(2);
    if span.is_negative() {
        parts.push("ago".to_owned());
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3600, "1h"),
            (90_061, "1d 1h"),
            (725, "12m 5s"),
            (-60, "1m ago"),
            (31_557_600 * 3, "3y"),
        ] {
            assert_eq!(span_text(SignedDuration::from_secs(seconds)), text);
        }
    }
}
