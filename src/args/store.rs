//! The commands that open the store themselves, and how they find it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const SNAPSHOT_EXAMPLES: &str = "\
Examples:
  cronkeep snapshot show                the crontabs as they were last accepted
  cronkeep snapshot diff                what the files say now, against that
  cronkeep snapshot forget              the next start takes the files as they are

Exit code: 0 done; 1 there is no snapshot, diff: something differs; 2 usage.";

/// Where the store is.
#[derive(Debug, Clone, Args, Default)]
pub struct StoreArgs {
    /// Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]
    #[arg(long, value_name = "DIRECTORY", env = "CRONKEEP_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// The store, as the daemon was told [default: cronkeep.db in the state directory]
    #[arg(long, value_name = "URL", env = "CRONKEEP_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Whose schedule it is, as the daemon was told
    #[arg(long, value_name = "NAME", env = "CRONKEEP_NAMESPACE", hide_env_values = true)]
    pub namespace: Option<String>,
}

/// What `snapshot` is asked.
#[derive(Debug, Clone, Args)]
pub struct SnapshotArgs {
    /// What to do
    #[arg(value_name = "ACTION", value_enum)]
    pub action: SnapshotArg,
    /// Only these crontabs [default: all that the store holds]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One JSON object per crontab
    #[arg(long)]
    pub json: bool,
    /// Where the store is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// A file with the key that signs what is kept: what is not signed with it is refused, but can be forgotten
    #[arg(long, value_name = "FILE", env = "CRONKEEP_STORE_KEY", hide_env_values = true)]
    pub store_key: Option<PathBuf>,
}

/// What is done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SnapshotArg {
    /// Print it: texts, what the images brought along, when and by whom it was put
    Show,
    /// Print how the files differ from it
    Diff,
    /// Remove it: the next start takes the files as they are
    Forget,
}
