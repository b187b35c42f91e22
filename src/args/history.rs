//! What was run: the command that reads it.

use clap::{Args, ValueEnum};

use super::StoreArgs;
use crate::store::record::RecordedOutcome;

pub(super) const EXAMPLES: &str = "\
Examples:
  cronkeep history                      the last runs of all jobs
  cronkeep history backup --limit 200   of one job
  cronkeep history --outcome failed --outcome missed --since 2026-03-29
  cronkeep history --json | jq -r 'select(.exit == 127).name'

A JOB is a name, an id, or the first of its sixteen digits. Instants in a row that were not started
stand in one line: the first, how many, and the last. It is shown if any of them was at or after
--since, and any before --until; runs count by when they arrived.";

/// What `history` is asked.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// Only this job
    #[arg(value_name = "JOB", conflicts_with = "named_job")]
    pub job: Option<String>,
    /// The same
    #[arg(long = "job", value_name = "JOB", id = "named_job")]
    pub named_job: Option<String>,
    /// Only what ended like this; may be given several times
    #[arg(long = "outcome", value_name = "OUTCOME", value_enum)]
    pub outcomes: Vec<OutcomeArg>,
    /// Only what arrived, or was due and not started, at or after: RFC 3339, a date or time in the default zone, or now
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what arrived, or was due and not started, before: as --since
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Go on where an earlier answer ended
    #[arg(long, value_name = "CURSOR")]
    pub cursor: Option<String>,
    /// One JSON object per run
    #[arg(long)]
    pub json: bool,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// The value of `--outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutcomeArg {
    /// Its exit code counts as success
    Succeeded,
    /// It exited with another code
    Failed,
    /// A signal ended it
    Killed,
    /// It took longer than its timeout
    TimedOut,
    /// No process came to be
    CouldNotStart,
    /// The daemon chose not to start it
    Skipped,
    /// It could not start in time
    Missed,
    /// Nobody saw its end
    Lost,
}

impl From<OutcomeArg> for RecordedOutcome {
    fn from(arg: OutcomeArg) -> Self {
        match arg {
            OutcomeArg::Succeeded => RecordedOutcome::Succeeded,
            OutcomeArg::Failed => RecordedOutcome::Failed,
            OutcomeArg::Killed => RecordedOutcome::Killed,
            OutcomeArg::TimedOut => RecordedOutcome::TimedOut,
            OutcomeArg::CouldNotStart => RecordedOutcome::CouldNotStart,
            OutcomeArg::Skipped => RecordedOutcome::Skipped,
            OutcomeArg::Missed => RecordedOutcome::Missed,
            OutcomeArg::Lost => RecordedOutcome::Lost,
        }
    }
}
