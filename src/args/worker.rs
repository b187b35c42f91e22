//! The worker's options.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::daemon::{LogFormatArg, LogLevelArg, duration};

pub(super) const EXAMPLES: &str = "\
Examples:
  CRONKEEP_AMQP_FILE=/run/secrets/amqp cronkeep worker --queue batch --key /run/secrets/key
  cronkeep worker --queue batch --key key --users app,backup --prefetch 4 --timeout 1h
  # cronkeep: executor=worker:batch     above an entry, where the daemon has --amqp and --worker-key

Exit code: 0 it was told to stop; 1 something had to be killed then, or it failed; 2 usage.";

/// What `--amqp` is.
const AMQP: &str = "The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn";
const AMQP_AND_SECRETS: &str = "\
The message broker: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn

With a password in it, better given as CRONKEEP_AMQP or, in a file, as CRONKEEP_AMQP_FILE.";

/// What `--store` is.
const STORE: &str = "A Redis where workers of several hosts keep which orders were taken: redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER";
const STORE_AND_SECRETS: &str = "\
A Redis where workers of several hosts keep which orders were taken: redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER

Without it each state directory has its own. With a password in it, better given as CRONKEEP_STORE or, in a file, as CRONKEEP_STORE_FILE.";

/// What `worker` is asked.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// The queue to read, which exists: what an entry names as executor=worker:NAME
    #[arg(long, value_name = "NAME", env = "CRONKEEP_QUEUE", hide_env_values = true)]
    pub queue: String,
    /// The broker's URLs.
    #[arg(long, value_name = "URL", env = "CRONKEEP_AMQP", hide_env_values = true)]
    #[arg(help = AMQP, long_help = AMQP_AND_SECRETS)]
    pub amqp: Option<String>,
    /// A file with the key that orders are signed with, as the daemon's --worker-key
    #[arg(long, value_name = "FILE", env = "CRONKEEP_WORKER_KEY", hide_env_values = true)]
    pub key: Option<PathBuf>,
    /// Carry out what anybody sends who may publish to the queue
    #[arg(long, env = "CRONKEEP_INSECURE", hide_env_values = true, conflicts_with = "key")]
    #[arg(value_parser = BoolishValueParser::new())]
    pub insecure: bool,
    /// Users to run commands as, separated by commas [default: its own user alone]
    #[arg(long, value_name = "LIST", env = "CRONKEEP_USERS", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub users: Vec<String>,
    /// Names of the worker's environment that commands see, too, separated by commas
    ///
    /// Of the worker's environment they see LANG, LC_* and TZ; the settings of the entry come with the order.
    #[arg(long, value_name = "LIST", env = "CRONKEEP_ENV_ALLOW", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub env_allow: Vec<String>,
    /// How many commands run at once, and how many orders are fetched [default: the number of processors]
    #[arg(long, value_name = "N", env = "CRONKEEP_PREFETCH", hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub prefetch: Option<u16>,
    /// How long a command may take, whatever its entry says [default: as long as that]
    #[arg(long, value_name = "DURATION", env = "CRONKEEP_TIMEOUT", hide_env_values = true)]
    #[arg(value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How long commands may go on when the worker is told to stop, before they are ended
    #[arg(long, value_name = "DURATION", env = "CRONKEEP_STOP_GRACE", hide_env_values = true)]
    #[arg(value_parser = duration, default_value = "8s")]
    pub stop_grace: Duration,
    /// Where it is kept which orders were taken [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]
    #[arg(long, value_name = "DIRECTORY", env = "CRONKEEP_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// Where it is asked for its `health` [default: as the first process of a container where a daemon is, else nowhere]
    ///
    /// The variable counts for the first process of a container alone: elsewhere it names a daemon's.
    #[arg(long, value_name = "PATH", env = "CRONKEEP_CONTROL", hide_env_values = true)]
    pub control: Option<PathBuf>,
    /// Whether the environment says so.
    #[arg(skip)]
    pub control_by_environment: bool,
    /// The URL of the Redis.
    #[arg(long, value_name = "URL", env = "CRONKEEP_STORE", hide_env_values = true)]
    #[arg(help = STORE, long_help = STORE_AND_SECRETS)]
    pub store: Option<String>,
    /// Whose orders those are, in that Redis: workers of one queue say the same
    #[arg(long, value_name = "NAME", env = "CRONKEEP_NAMESPACE", hide_env_values = true)]
    pub namespace: Option<String>,
    /// Start every command through its shell, plain ones too
    #[arg(long, env = "CRONKEEP_ALWAYS_SHELL", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub always_shell: bool,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", env = "CRONKEEP_LOG_FORMAT", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogFormatArg::Text)]
    pub log_format: LogFormatArg,
    /// The least level that is logged
    #[arg(long, value_name = "LEVEL", env = "CRONKEEP_LOG_LEVEL", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogLevelArg::Info)]
    pub log_level: LogLevelArg,
    /// The zone of times in the log [default: TZ, then /etc/localtime]
    #[arg(long, value_name = "ZONE", env = "CRONKEEP_TZ", hide_env_values = true)]
    pub tz: Option<String>,
}
