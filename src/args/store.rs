//! The commands that open the store themselves, and how they find it.

use std::path::PathBuf;

use clap::Args;

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
