//! The daemon's options.
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::{BrokerArgs, ReadingArgs};
use crate::crontab::directive::{CatchUp, Overlap};
use crate::crontab::expression::{self, DurationError};
use crate::sink::record;

/// What `--store` is.
const STORE: &str = "Where runs, pauses and the schedule are kept: sqlite:PATH, redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER, memory:";
const STORE_AND_SECRETS: &str = "\
Where runs, pauses and the schedule are kept: sqlite:PATH, redis://HOST, rediss://HOST, unix://SOCKET, redis+sentinel://HOST,HOST/MASTER, memory: \
[default: sqlite:cronkeep.db in the state directory]

With a password in it, better given as CRONKEEP_STORE or, in a file, as CRONKEEP_STORE_FILE.";

/// The daemon's options.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct DaemonArgs {
    /// Crontabs to run, or directories of them [default: /etc/crontab, /etc/cron.d and the spools]
    ///
    /// What does not exist yet is waited for.
    #[arg(value_name = "CRONTAB")]
    pub crontabs: Vec<PathBuf>,
    /// How crontabs are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Refuse a crontab with an error in any line; what was in force stays in force
    #[arg(long, env = "CRONKEEP_STRICT", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub strict: bool,
    /// How the log is written
    #[arg(long, value_name = "FORMAT", env = "CRONKEEP_LOG_FORMAT", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogFormatArg::Text)]
    pub log_format: LogFormatArg,
    /// The least level that is logged
    #[arg(long, value_name = "LEVEL", env = "CRONKEEP_LOG_LEVEL", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogLevelArg::Info)]
    pub log_level: LogLevelArg,
    /// Write the jobs' output as it is: no prefix, no escaping
    #[arg(long, env = "CRONKEEP_PASSTHROUGH", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub passthrough: bool,
    /// What happens to running jobs when the daemon stops [default: end as PID 1, else leave]
    #[arg(long, value_name = "WHAT", env = "CRONKEEP_ON_STOP", hide_env_values = true)]
    #[arg(value_enum)]
    pub on_stop: Option<OnStopArg>,
    /// How long jobs may take to end before they are killed, such as 8s or 1m30s
    #[arg(long, value_name = "DURATION", env = "CRONKEEP_STOP_GRACE", hide_env_values = true)]
    #[arg(value_parser = duration, default_value = "8s")]
    pub stop_grace: Duration,
    /// Where state is kept [default: /var/lib/cronkeep for root, else `$XDG_STATE_HOME/cronkeep`]
    #[arg(long, value_name = "DIRECTORY", env = "CRONKEEP_STATE_DIR", hide_env_values = true)]
    pub state_dir: Option<PathBuf>,
    /// Whether it is the environment that says so: then it is said to every daemon of a container, not to this one.
    #[arg(skip)]
    pub state_dir_by_environment: bool,
    /// The control socket; crontab's is beside it (of x.sock x.crontab.sock) [default: /run/cronkeep/control.sock for root, else in `$XDG_RUNTIME_DIR/cronkeep`]
    #[arg(long, value_name = "PATH", env = "CRONKEEP_CONTROL", hide_env_values = true)]
    pub control: Option<PathBuf>,
    /// The store's URL.
    #[arg(long, value_name = "URL", env = "CRONKEEP_STORE", hide_env_values = true)]
    #[arg(help = STORE, long_help = STORE_AND_SECRETS)]
    pub store: Option<String>,
    /// A file with the key that signs kept crontabs, pauses and messages; unsigned ones are refused
    #[arg(long, value_name = "FILE", env = "CRONKEEP_STORE_KEY", hide_env_values = true)]
    pub store_key: Option<PathBuf>,
    /// Whose schedule it is, in a store that several share: replicas of one service say the same
    #[arg(long, value_name = "NAME", env = "CRONKEEP_NAMESPACE", hide_env_values = true)]
    pub namespace: Option<String>,
    /// What is done at the start where the crontabs differ from those that are kept
    #[arg(long, value_name = "HOW", env = "CRONKEEP_RECOVER", hide_env_values = true)]
    #[arg(value_enum, default_value_t = RecoverArg::Auto)]
    pub recover: RecoverArg,
    /// What is done with what is due while a shared store is silent
    #[arg(long, value_name = "WHAT", env = "CRONKEEP_WHEN_STORE_DOWN", hide_env_values = true)]
    #[arg(value_enum, default_value_t = WhenStoreDownArg::Auto)]
    pub when_store_down: WhenStoreDownArg,
    /// Start everything here, whatever other replicas start
    #[arg(long, env = "CRONKEEP_LOCAL", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub local: bool,
    /// Run nothing: compare the jobs with those that the Python service keeps in the store
    #[arg(long, env = "CRONKEEP_SHADOW", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub shadow: bool,
    /// The message broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// How late a run may start after a hold or a queue [default: 60s]
    #[arg(long, value_name = "DURATION", env = "CRONKEEP_GRACE", hide_env_values = true)]
    #[arg(value_parser = duration)]
    pub grace: Option<Duration>,
    /// Which of the instants that passed while nothing could start are started later [default: none]
    #[arg(long, value_name = "WHICH", env = "CRONKEEP_CATCH_UP", hide_env_values = true)]
    #[arg(value_enum)]
    pub catch_up: Option<CatchUpArg>,
    /// What a fire does while an earlier run of its job is alive [default: allow]
    #[arg(long, value_name = "WHAT", env = "CRONKEEP_OVERLAP", hide_env_values = true)]
    #[arg(value_enum)]
    pub overlap: Option<OverlapArg>,
    /// How many runs of one job may be alive at once [default: 3000]
    #[arg(long, value_name = "N", env = "CRONKEEP_MAX_INSTANCES", hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_instances: Option<u32>,
    /// How many runs may be alive at once in all; further ones wait [default: no limit]
    #[arg(long, value_name = "N", env = "CRONKEEP_MAX_JOBS", hide_env_values = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub max_jobs: Option<u32>,
    /// How long an attempt may take before it is ended [default: for ever]
    #[arg(long, value_name = "DURATION", env = "CRONKEEP_TIMEOUT", hide_env_values = true)]
    #[arg(value_parser = duration)]
    pub timeout: Option<Duration>,
    /// Give every job the environment that cron gives it: nothing of the daemon's but LANG, LC_* and TZ
    #[arg(long, env = "CRONKEEP_CLEAN_ENV", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub clean_env: bool,
    /// Names of the daemon's environment that a clean one passes on, too, separated by commas
    #[arg(long, value_name = "LIST", env = "CRONKEEP_ENV_ALLOW", hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub env_allow: Vec<String>,
    /// Take crontabs below /etc and in the spools whatever their owner, mode and links
    #[arg(long, env = "CRONKEEP_PERMISSIVE", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub permissive: bool,
    /// Whose rule for file names holds in /etc/cron.d [default: debian where Debian's cron would be, else cronie]
    #[arg(long, value_name = "RULE", env = "CRONKEEP_CRON_D_NAMES", hide_env_values = true)]
    #[arg(value_enum)]
    pub cron_d_names: Option<CronDNamesArg>,
    /// Start every command through its shell, plain ones too
    #[arg(long, env = "CRONKEEP_ALWAYS_SHELL", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub always_shell: bool,
    /// Mail output: off, or the command that takes a mail [default: sendmail, if there is one]
    #[arg(long, value_name = "off|COMMAND", env = "CRONKEEP_MAIL", hide_env_values = true)]
    pub mail: Option<String>,
    /// Where the log goes [default: stderr; syslog in the background]
    #[arg(long, value_name = "WHERE", env = "CRONKEEP_LOG_TO", hide_env_values = true)]
    #[arg(value_enum)]
    pub log_to: Option<LogToArg>,
    /// Adopt and reap the orphans of jobs, as PID 1 always does
    #[arg(long, env = "CRONKEEP_SUBREAPER", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub subreaper: bool,
    /// Let every user's table use ping and on-failure
    #[arg(long, env = "CRONKEEP_ALLOW_USER_HOOKS", hide_env_values = true)]
    #[arg(value_parser = BoolishValueParser::new())]
    pub allow_user_hooks: bool,
}

/// The value of `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// For people
    Text,
    /// One object a line
    Json,
    /// key=value pairs
    Logfmt,
}

/// The value of `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevelArg {
    /// What did not happen that should have
    Error,
    /// And what somebody should look at
    Warn,
    /// And what happens as a rule
    Info,
    /// And why
    Debug,
    /// And every step
    Trace,
}

/// The value of `--on-stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnStopArg {
    /// Tell them to end, kill those that do not
    End,
    /// Let them run on
    Leave,
}

/// The value of `--catch-up`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CatchUpArg {
    /// As cron
    None,
    /// The latest of them
    Latest,
    /// One after the other
    All,
}

/// The value of `--overlap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverlapArg {
    /// Start another run
    Allow,
    /// Do not start
    Skip,
    /// Start one when the earlier has ended
    Queue,
    /// End the earlier run, then start
    Replace,
}

/// The value of `--cron-d-names`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CronDNamesArg {
    /// Letters, digits, underscores and hyphens only
    Debian,
    /// All but hidden, backup and package manager's files
    Cronie,
}

/// The value of `--log-to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogToArg {
    /// Standard error; output of jobs to standard output
    Stderr,
    /// The system's log
    Syslog,
}

impl From<CatchUpArg> for CatchUp {
    fn from(arg: CatchUpArg) -> Self {
        match arg {
            CatchUpArg::None => CatchUp::None,
            CatchUpArg::Latest => CatchUp::Latest,
            CatchUpArg::All => CatchUp::All,
        }
    }
}

/// What is done at the start where crontabs differ from those that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RecoverArg {
    /// In a new container: what was edited in an earlier one is merged in.
    #[default]
    Auto,
    /// Always merged, also into a file on a mount of its own.
    Merge,
    /// What is kept replaces the file.
    Always,
    /// The file is left as it is; what is kept stays, too, until the file is edited.
    Never,
}

/// What is done with what is due while a shared store is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum WhenStoreDownArg {
    /// Started if no other replica was alive at the last contact, else held.
    #[default]
    Auto,
    /// Started, though other replicas may start it, too.
    Run,
    /// Held within its grace, then missed.
    Hold,
}

impl From<OverlapArg> for Overlap {
    fn from(arg: OverlapArg) -> Self {
        match arg {
            OverlapArg::Allow => Overlap::Allow,
            OverlapArg::Skip => Overlap::Skip,
            OverlapArg::Queue => Overlap::Queue,
            OverlapArg::Replace => Overlap::Replace,
        }
    }
}

impl From<LogFormatArg> for record::Format {
    fn from(format: LogFormatArg) -> Self {
        match format {
            LogFormatArg::Text => record::Format::Text,
            LogFormatArg::Json => record::Format::Json,
            LogFormatArg::Logfmt => record::Format::Logfmt,
        }
    }
}

impl From<LogLevelArg> for record::Level {
    fn from(level: LogLevelArg) -> Self {
        match level {
            LogLevelArg::Error => record::Level::Error,
            LogLevelArg::Warn => record::Level::Warn,
            LogLevelArg::Info => record::Level::Info,
            LogLevelArg::Debug => record::Level::Debug,
            LogLevelArg::Trace => record::Level::Trace,
        }
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    expression::duration(text.as_bytes()).map_err(|error| match error {
        DurationError::NoUnit => {
            format!("it {error}: write {text}s for seconds, {text}m for minutes")
        }
        DurationError::Malformed => format!("it {error}: write one as 90s, 10m or 1h30m"),
        DurationError::Negative | DurationError::TooLong => format!("it {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_crontabs() {
        assert_eq!(duration("8s"), Ok(Duration::from_secs(8)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "8", "s", "8 s", "-8s", "8x", "1..5s", "99999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
        let told = duration("8").unwrap_err();
        assert!(told.contains("8s for seconds"), "{told}");
    }
}
