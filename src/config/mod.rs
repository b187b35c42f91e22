//! The validated configuration: zone found, sources resolved, durations and levels known.
//!
//! Layer 9, between [`args`](crate::args) (parsed) and the commands and the daemon, which read only this.

mod broker;
mod host;
mod source;
mod store;
mod variable;
mod worker;
mod zone;

use std::path::PathBuf;
use std::time::Duration;

use crate::args::{CronDNamesArg, DaemonArgs, LogToArg, OnStopArg};
use crate::crontab::Options;
use crate::exit::UsageError;
use crate::schedule::Zone;
use crate::sink::record;

pub use broker::{BrokerConfig, addresses};
pub use host::{Host, ROOTS_CONTROL, default_control, default_state_dir};
pub use source::{CRON_D, DEFAULT_CRONTAB, PlaceSpec, SPOOLS, SourceSpec, dialect, sources};
use source::{Strictness, drop_repeated, places};
pub use store::{Located, StoreChoice, StoreConfig};
pub use worker::{Listening, WorkerConfig};
pub use zone::{FoundZone, ZoneError, default_zone};

/// What happens to running jobs when the daemon stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStop {
    /// They are told to end; those that do not are killed after the grace.
    End,
    /// They run on.
    Leave,
}

/// The log's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// How a record is written.
    pub format: record::Format,
    /// Records below it are dropped.
    pub level: record::Level,
}

/// What the daemon runs by.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Config {
    /// Where crontabs are, in the order given; at least one.
    pub sources: Vec<PlaceSpec>,
    /// The zone of entries that name none.
    pub zone: Zone,
    /// The log.
    pub log: LogConfig,
    /// Job output is written as it is.
    pub passthrough: bool,
    /// What happens to running jobs at the end.
    pub on_stop: OnStop,
    /// From TERM to KILL at the end; elapsed time.
    pub stop_grace: Duration,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// The control socket.
    pub control: PathBuf,
    /// Whether it is where the options say, and not where every client looks for it.
    pub is_control_named: bool,
    /// The options of entries that say nothing of their own.
    pub defaults: Options,
    /// How many runs may be alive at once in all.
    pub max_jobs: Option<u32>,
    /// Every job gets a clean environment.
    pub clean_env: bool,
    /// Names of the daemon's environment that a clean one passes on.
    pub env_allow: Vec<String>,
    /// Owner, mode and links of crontabs are not judged.
    pub permissive: bool,
    /// Whose rule for names holds in /etc/cron.d; none: as the host suggests.
    pub cron_d_names: Option<CronDNamesArg>,
    /// Every command goes through its shell.
    pub always_shell: bool,
    /// What takes mails.
    pub mail: Mail,
    /// Where the log goes; none: as the way of starting suggests.
    pub log_to: Option<LogToArg>,
    /// Orphans are adopted and reaped.
    pub subreaper: bool,
    /// Every user's table may use hooks.
    pub allow_user_hooks: bool,
    /// Where state outlives the daemon.
    pub store: StoreConfig,
    /// Where messages go.
    pub broker: BrokerConfig,
    /// Nothing is run; the jobs are compared with those of the Python service.
    pub shadow: bool,
    /// What the log should say at the start.
    pub warnings: Vec<String>,
}

/// What takes the mails that tell of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mail {
    /// Sendmail, if the host has it when a mail is due.
    Sendmail,
    /// Nothing.
    Off,
    /// This command, cut at blanks; it reads the mail.
    Command(String),
}

impl Config {
    /// Validates the daemon's options.
    ///
    /// # Errors
    /// A zone that does not exist, a file called `-`.
    pub fn new(args: &DaemonArgs, host: &Host) -> Result<Self, UsageError> {
        let FoundZone { zone, warning } = default_zone(args.reading.tz.as_deref(), host)?;
        if args.crontabs.iter().any(|path| path.as_os_str() == "-") {
            let text = "the daemon cannot read a crontab from standard input: name a file";
            return Err(UsageError(text.into()));
        }
        let strictness = Strictness {
            permissive: args.permissive,
            strict: args.strict,
            cron_d_names: args.cron_d_names,
        };
        let mut sources = places(&args.crontabs, &args.reading, host, strictness);
        let mut warnings: Vec<String> = warning.into_iter().collect();
        warnings.extend(drop_repeated(&mut sources));
        warnings.extend(variable::warning(&host.variables));
        let state_dir = args.state_dir.clone().unwrap_or_else(|| default_state_dir(host));
        let store = StoreConfig::new(args, &state_dir, &mut warnings)?;
        let broker = BrokerConfig::new(&args.broker, &mut warnings)?;
        if args.shadow && !store.address.is_shared() {
            return Err(UsageError(
                "--shadow compares with what the Python service cached in Redis: --store says where that is".to_owned(),
            ));
        }
        let default_on_stop = if host.pid == 1 { OnStop::End } else { OnStop::Leave };
        Ok(Config {
            sources,
            zone,
            log: LogConfig { format: args.log_format.into(), level: args.log_level.into() },
            passthrough: args.passthrough,
            on_stop: args.on_stop.map_or(default_on_stop, |arg| match arg {
                OnStopArg::End => OnStop::End,
                OnStopArg::Leave => OnStop::Leave,
            }),
            stop_grace: args.stop_grace,
            state_dir,
            is_control_named: args.control.is_some(),
            control: args.control.clone().unwrap_or_else(|| default_control(host)),
            defaults: Options {
                grace: args.grace,
                catch_up: args.catch_up.map(Into::into),
                overlap: args.overlap.map(Into::into),
                max_instances: args.max_instances,
                timeout: args.timeout,
                ..Options::default()
            },
            max_jobs: args.max_jobs,
            clean_env: args.clean_env,
            env_allow: args.env_allow.clone(),
            permissive: args.permissive,
            cron_d_names: args.cron_d_names,
            always_shell: args.always_shell,
            mail: match args.mail.as_deref() {
                None => Mail::Sendmail,
                Some("off") => Mail::Off,
                Some(command) => Mail::Command(command.to_owned()),
            },
            log_to: args.log_to,
            subreaper: host.pid == 1 || args.subreaper,
            allow_user_hooks: args.allow_user_hooks,
            store,
            broker,
            shadow: args.shadow,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests;
