//! The commands that speak to a daemon that runs.

use std::path::PathBuf;

use clap::Args;

use super::StoreArgs;

pub(super) const LIST_EXAMPLES: &str = "\
Examples:
  cronkeep list                         what runs when, and how it went last
  cronkeep list backup                  one job
  cronkeep list --json | jq -r 'select(.last.exit != 0).name'

A JOB is a name, an id, or the first of its sixteen digits. A shadow (--shadow) starts nothing: NEXT
says so there, and in JSON `next` is when the Python service starts it.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  cronkeep status
  cronkeep status --json | jq .health";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  cronkeep run backup                   prints the run's id
  cronkeep run --wait backup && echo done

Exit code: 0 it was started; 1 it could not start; 2 usage; with --wait the job's own, or 128 and the
number of the signal that killed it.";

pub(super) const STOP_EXAMPLES: &str = "\
Examples:
  cronkeep stop 01K9ZD3F6YQ6B2N9R5T8W1X4VA
  cronkeep stop 1X4VA                   the end of the id is enough";

pub(super) const PAUSE_EXAMPLES: &str = "\
Example:
  cronkeep pause backup                 until `cronkeep resume backup`";

pub(super) const RESUME_EXAMPLES: &str = "\
Example:
  cronkeep resume backup";

pub(super) const RELOAD_EXAMPLES: &str = "\
Example:
  cronkeep reload                       as SIGHUP; edits are noticed without it";

pub(super) const HEALTH_EXAMPLES: &str = "\
Examples:
  cronkeep health
  HEALTHCHECK CMD [\"cronkeep\", \"health\"]

Exit code: 0 schedules are kept, even if something needs a look; 1 they are not, or no daemon answers; 2 usage.";

pub(super) const LOGS_EXAMPLES: &str = "\
Examples:
  cronkeep logs backup                  what its last runs printed
  cronkeep logs -f backup               and what it prints from now on
  cronkeep logs 1X4VA                   one run, by the end of its id

Without a daemon, and for runs that it does not hold any more, the store is read, which has what a
run printed once it has ended. At least four letters of the end of an id name a run: of several one
of the last hour, else of the last day.";

/// How the daemon is reached.
#[derive(Debug, Clone, Args, Default)]
pub struct ControlArgs {
    /// The daemon's control socket [default: /run/cronkeep/control.sock for root, else the caller's own]
    #[arg(long, value_name = "PATH", env = "CRONKEEP_CONTROL", hide_env_values = true)]
    pub control: Option<PathBuf>,
}

/// What `list` is asked.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only this job
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// One JSON object per job
    #[arg(long)]
    pub json: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `status` is asked.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `run` is asked.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The job: a name, an id, or the first of its digits
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Wait until it has ended, and exit with its code
    #[arg(long)]
    pub wait: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `stop` is asked.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// The run: its id, or the end of it
    #[arg(value_name = "RUN")]
    pub run: String,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `pause` and `resume` are asked.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// The job: a name, an id, or the first of its digits
    #[arg(value_name = "JOB")]
    pub job: String,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `health` is asked.
#[derive(Debug, Clone, Args)]
pub struct HealthArgs {
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}

/// What `logs` is asked.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// A job or a run
    #[arg(value_name = "JOB|RUN")]
    pub what: String,
    /// Go on with what is printed from now on; needs the daemon
    #[arg(short, long)]
    pub follow: bool,
    /// One JSON object per line
    #[arg(long)]
    pub json: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
}
