//! The program: reads the command line, does what it says, prints one error, ends with a code.

use std::io::{self, Write as _};
use std::path::Path;
use std::process;
use std::sync::Arc;

use cronkeep::args::{Called, Cli, Command, Crond, CrontabArgs, DaemonArgs, LogToArg};
use cronkeep::config::{Config, Host};
use cronkeep::daemon::{Launch, PID_FILE};
use cronkeep::exit::{self, ExitCode, UsageError};
use cronkeep::sink::record::escape;
use cronkeep::sink::syslog::{DEV_LOG, Syslog};
use cronkeep::unix::background::{Side, detach};
use cronkeep::{command, daemon, telemetry};

fn main() -> process::ExitCode {
    let called = match Called::from_process() {
        Ok(called) => called,
        Err(refused) => {
            refused.print();
            return refused.code().into();
        }
    };
    let (name, outcome) = match called {
        Called::Cronkeep(cli) => ("cronkeep", run(&cli)),
        Called::Crond(name, crond) => (name, run_crond(name, *crond).map_err(without_usage)),
        Called::Crontab(args) => ("crontab", run_crontab(args).map_err(without_usage)),
    };
    let code = outcome.unwrap_or_else(|error| {
        let code = exit::code_of(&error);
        if code != ExitCode::Success {
            let text = escape(format!("{error:#}").as_bytes());
            let _ = writeln!(io::stderr(), "{name}: error: {text}");
        }
        code
    });
    code.into()
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let host = Host::of_process();
    match &cli.command {
        Some(command) => command::run(command, &host),
        None => run_daemon("cronkeep", &cli.daemon, &host, Launch::default()),
    }
}

fn run_crontab(args: CrontabArgs) -> anyhow::Result<ExitCode> {
    command::run(&Command::Crontab(args), &Host::of_process())
}

/// Runs as `crond` would: in the background, unless told otherwise or nobody is left to go to the foreground for.
fn run_crond(name: &'static str, crond: Crond) -> anyhow::Result<ExitCode> {
    let Crond { mut daemon, foreground, output_to_syslog, warnings } = crond;
    let mut launch = Launch { warnings, ..Launch::default() };
    let mut complaint = None;
    if !foreground && process::id() != 1 {
        match detach()? {
            Side::Caller(Ok(())) => return Ok(ExitCode::Success),
            Side::Caller(Err(reason)) if reason.is_empty() => {
                anyhow::bail!("the daemon ended before it was up")
            }
            Side::Caller(Err(reason)) => anyhow::bail!(reason),
            Side::Background(pending, told) => {
                launch.pending = Some(pending);
                complaint = Some(told);
            }
        }
        launch.pid_file = Some(PID_FILE.into());
        daemon.log_to = daemon.log_to.or(Some(LogToArg::Syslog));
    }
    if output_to_syslog {
        launch.output = Some(Arc::new(Syslog::new(Path::new(DEV_LOG), name)));
    }
    let outcome = run_daemon(name, &daemon, &Host::of_process(), launch);
    if let (Err(error), Some(complaint)) = (&outcome, complaint) {
        complaint.tell(&format!("{error:#}"));
    }
    outcome
}

fn run_daemon(
    name: &str,
    args: &DaemonArgs,
    host: &Host,
    mut launch: Launch,
) -> anyhow::Result<ExitCode> {
    let config = Config::new(args, host)?;
    let in_background = launch.pending.is_some();
    let mut syslog = launch.output.clone();
    if config.log_to == Some(LogToArg::Syslog) {
        syslog = syslog.or_else(|| Some(Arc::new(Syslog::new(Path::new(DEV_LOG), name))));
        launch.output.clone_from(&syslog);
    }
    let silent = syslog.as_ref().is_some_and(|syslog| !syslog.is_listening());
    if silent {
        let meanwhile = if in_background {
            "what is logged is lost until somebody does"
        } else {
            (syslog, launch.output) = (None, None);
            "the log goes to standard error, output of jobs to standard output"
        };
        launch.warnings.push(format!("nobody listens at {DEV_LOG}: {meanwhile}"));
    }
    let log = syslog.filter(|_| config.log_to == Some(LogToArg::Syslog));
    telemetry::init(config.log, &config.zone, log)?;
    daemon::run(config, launch)
}

/// cron knows one code for whatever is wrong.
fn without_usage(error: anyhow::Error) -> anyhow::Error {
    if error.is::<UsageError>() { anyhow::anyhow!("{error:#}") } else { error }
}
