//! `cronkeep completions SHELL`: the shell's completion script, from the table of options.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Console;
use crate::args::{Cli, CompletionsArgs};
use crate::exit::ExitCode;

/// Writes the script.
pub(super) fn run(args: &CompletionsArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    console.out.write_all(&script(args.shell.into()))?;
    Ok(ExitCode::Success)
}

/// The completion script for a shell.
#[must_use]
pub fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cronkeep", &mut script);
    script
}
