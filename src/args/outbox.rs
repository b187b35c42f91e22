//! The command about messages that wait.

use clap::{Args, ValueEnum};

use super::{ControlArgs, StoreArgs};

pub(super) const EXAMPLES: &str = "\
Examples:
  cronkeep outbox                       what waits for the broker, the oldest first
  cronkeep outbox --json | jq -r 'select(.tries > 10).id'
  cronkeep outbox drop 01K9ZD3F6YQ6B2N9R5T8W1X4VA
  cronkeep outbox drop --all --job report

Without a daemon the store is read, of replicas what waits for all of them; only a daemon drops.

Exit code: 0 done; 1 no such message waits, or neither daemon nor store answers; 2 usage.";

/// What `outbox` is asked.
#[derive(Debug, Clone, Args)]
pub struct OutboxArgs {
    /// What to do
    #[arg(value_name = "ACTION", value_enum, default_value_t = OutboxArg::List)]
    pub action: OutboxArg,
    /// Only the messages with these ids
    #[arg(value_name = "ID", conflicts_with = "all")]
    pub ids: Vec<String>,
    /// drop: all that wait, or all of one job
    #[arg(long)]
    pub all: bool,
    /// Only those of this job: a name, an id, or the first of its digits
    #[arg(long, value_name = "JOB", conflicts_with = "ids")]
    pub job: Option<String>,
    /// list: one JSON object per message; drop: one object of what was dropped
    #[arg(long)]
    pub json: bool,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// What is done with what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutboxArg {
    /// Print what waits, without its bodies
    List,
    /// Send it no more: the run that waits for it ends
    Drop,
}
