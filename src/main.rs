//! The program: reads the command line, does what it says, prints one error, ends with a code.

use std::io::{self, Write as _};
use std::process;

use cronkeep::args::Cli;
use cronkeep::config::{Config, Host};
use cronkeep::exit::{self, ExitCode};
use cronkeep::sink::record::escape;
use cronkeep::{command, daemon, telemetry};

fn main() -> process::ExitCode {
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody is left to tell where standard output and standard error are gone.
            let _ = usage.print();
            return if usage.use_stderr() { ExitCode::Usage } else { ExitCode::Success }.into();
        }
    };
    let code = run(&cli).unwrap_or_else(|error| {
        let code = exit::code_of(&error);
        if code != ExitCode::Success {
            let text = escape(format!("{error:#}").as_bytes());
            let _ = writeln!(io::stderr(), "cronkeep: error: {text}");
        }
        code
    });
    code.into()
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let host = Host::of_process();
    if let Some(command) = &cli.command {
        return command::run(command, &host);
    }
    let config = Config::new(&cli.daemon, &host)?;
    telemetry::init(config.log, &config.zone)?;
    daemon::run(config)
}
