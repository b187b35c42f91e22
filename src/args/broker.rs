//! The options about the message broker.

use std::path::PathBuf;

use clap::Args;

/// What `--amqp` is.
const AMQP: &str = "The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn";
const AMQP_AND_SECRETS: &str = "\
The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn

With a password in it, better given as CRONKEEP_AMQP or, in a file, as CRONKEEP_AMQP_FILE.";

/// The daemon's options about the message broker.
#[derive(Debug, Clone, Args, Default)]
pub struct BrokerArgs {
    /// The broker's URLs.
    #[arg(long, value_name = "URL", env = "CRONKEEP_AMQP", hide_env_values = true)]
    #[arg(help = AMQP, long_help = AMQP_AND_SECRETS)]
    pub amqp: Option<String>,
    /// Publish what happens to jobs, too, at this exchange
    #[arg(long, value_name = "EXCHANGE", env = "CRONKEEP_EVENTS", hide_env_values = true)]
    pub events: Option<String>,
    /// Users, beside root and the daemon's own, whose entries may publish through the daemon, separated by commas
    #[arg(long, value_name = "LIST", env = "CRONKEEP_PUBLISH_USERS", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub publish_users: Vec<String>,
    /// A file with the key that signs what is sent to workers, who have the same; none: it is not signed
    #[arg(long, value_name = "FILE", env = "CRONKEEP_WORKER_KEY", hide_env_values = true)]
    pub worker_key: Option<PathBuf>,
}
