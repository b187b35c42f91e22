//! `cronkeep pause`, `resume` and `reload`: one word to the daemon each.

use super::Console;
use super::control::client;
use crate::args::{ControlArgs, JobArgs};
use crate::control::Switched;
use crate::control::client::segment;
use crate::exit::ExitCode;
use crate::sink::record::escape;

/// Starts no run of a job until it is resumed.
pub(super) fn pause(args: &JobArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    switch(args, console, "pause", ["is paused", "was paused already"])
}

/// Ends a pause.
pub(super) fn resume(args: &JobArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    switch(args, console, "resume", ["is resumed", "was not paused"])
}

fn switch(
    args: &JobArgs,
    console: &mut Console<'_>,
    verb: &str,
    [changed, unchanged]: [&str; 2],
) -> anyhow::Result<ExitCode> {
    let target = format!("/api/v1/jobs/{}/{verb}", segment(&args.job));
    let switched: Switched = client(&args.control, console).post(&target)?;
    let what = if switched.changed { changed } else { unchanged };
    writeln!(console.out, "{} {what}", escape(switched.label.as_bytes()))?;
    Ok(ExitCode::Success)
}

/// Has the daemon look at its crontabs now.
pub(super) fn reload(args: &ControlArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let _: serde_json::Value = client(args, console).post("/api/v1/reload")?;
    Ok(ExitCode::Success)
}
