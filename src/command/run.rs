//! `cronkeep run` and `stop`: a run now, and its end.

use std::io;

use super::Console;
use super::control::{client, label};
use crate::args::{RunArgs, StopArgs};
use crate::control::client::segment;
use crate::control::shape::RunObject;
use crate::exit::ExitCode;

/// Has a job run; prints the run's id, and waits for its end on request.
pub(super) fn run(args: &RunArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let client = client(&args.control, console);
    let wait = if args.wait { "?wait=true" } else { "" };
    let target = format!("/api/v1/jobs/{}/run{wait}", segment(&args.job));
    let mut last: Option<RunObject> = None;
    client.post_lines(&target, |line| {
        let run: RunObject = serde_json::from_slice(line)?;
        if last.is_none() {
            // Whoever waits for the end wants to know at once what it waits for.
            let written = writeln!(console.out, "{}", run.run).and_then(|()| console.out.flush());
            // The end is waited for even where nobody wants to know the id.
            written.or_else(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => Ok(()),
                _ => Err(error),
            })?;
        }
        last = Some(run);
        Ok(())
    })?;
    let Some(run) = last else { anyhow::bail!("the daemon did not say what became of it") };
    if !args.wait {
        return Ok(ExitCode::Success);
    }
    anyhow::ensure!(run.outcome.is_some(), "the run never started, or its end was not seen");
    tell_end(&run, console)?;
    Ok(code_of(&run))
}

fn tell_end(run: &RunObject, console: &mut Console<'_>) -> io::Result<()> {
    if run.outcome.as_deref() == Some("succeeded") {
        return Ok(());
    }
    let label = label(run.name.as_deref(), &run.key);
    writeln!(console.err, "cronkeep: {label} {}", run.reason.as_deref().unwrap_or("failed"))
}

/// The job's code, as a shell would have it.
fn code_of(run: &RunObject) -> ExitCode {
    let signal = run.signal.and_then(|signal| u8::try_from(128 + signal).ok());
    let succeeded = run.outcome.as_deref() == Some("succeeded");
    match (run.exit.or(signal), succeeded) {
        // A job that ran out of time and then ended well has failed all the same.
        (Some(0), false) | (None, _) => ExitCode::Failure,
        (Some(code), _) => ExitCode::Job(code),
    }
}

/// Ends a run.
pub(super) fn stop(args: &StopArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let target = format!("/api/v1/runs/{}/stop", segment(&args.run));
    let run: RunObject = client(&args.control, console).post(&target)?;
    let label = label(run.name.as_deref(), &run.key);
    writeln!(console.out, "{} of {label} is being stopped", run.run)?;
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_jobs() {
        let run = |outcome: &str, exit, signal| {
            let outcome = Some(outcome.to_owned());
            code_of(&RunObject { outcome, exit, signal, ..RunObject::default() }).number()
        };
        assert_eq!(run("succeeded", Some(0), None), 0);
        assert_eq!(run("succeeded", Some(9), None), 9);
        assert_eq!(run("failed", Some(3), None), 3);
        assert_eq!(run("killed", None, Some(15)), 143);
        assert_eq!(run("timed out", Some(0), None), 1);
        assert_eq!(run("timed out", None, Some(9)), 137);
        assert_eq!(run("could not start", None, None), 1);
    }
}
