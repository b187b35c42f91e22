//! The command line, as parsed: nothing is resolved or opened here.
//!
//! One table of options serves parsing, `--help`, the man page and the completions. [`config`](crate::config) turns the
//! daemon's part into a validated configuration.

mod broker;
mod called;
mod completions;
mod control;
mod crond;
mod crontab;
mod daemon;
mod history;
mod outbox;
mod publish;
mod store;
mod supercronic;
mod worker;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, Resettable, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgGroup, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::crontab::Compat;
use crate::schedule::spelling::closest;
pub use broker::BrokerArgs;
pub use called::{Called, Refused, crontab_usage};
pub use completions::{CompletionsArgs, ShellArg};
pub use control::{
    ControlArgs, HealthArgs, JobArgs, ListArgs, LogsArgs, RunArgs, StatusArgs, StopArgs,
};
pub use crond::Crond;
pub use crontab::CrontabArgs;
pub use daemon::{
    CatchUpArg, CronDNamesArg, DaemonArgs, LogFormatArg, LogLevelArg, LogToArg, OnStopArg,
    OverlapArg, RecoverArg, WhenStoreDownArg,
};
pub use history::{HistoryArgs, OutcomeArg};
pub use outbox::{OutboxArg, OutboxArgs};
pub use publish::PublishArgs;
pub use store::{SnapshotArg, SnapshotArgs, StoreArgs};
pub use worker::WorkerArgs;

const EXAMPLES: &str = "\
Examples:
  cronkeep                              run the crontabs of the host
  cronkeep jobs.crontab                 run one file, as yourself
  cronkeep --format system jobs.cron    the same, with a user column in it
  cronkeep check                        find the mistakes in them
  cronkeep next --expr '0 2 * * *'      when will it run?

A crontab that is called like a command, or nearly, is given as ./check.";

const CHECK_EXAMPLES: &str = "\
Examples:
  cronkeep check                        the crontabs the daemon would run
  cronkeep check jobs.crontab           a user's crontab
  crontab -l | cronkeep check -         from standard input
  cronkeep check --strict --sarif /etc/crontab > faults.sarif

Exit code: 0 no error, 1 an error (with --strict: or a warning) or an unreadable file, 2 usage.";

const NEXT_EXAMPLES: &str = "\
Examples:
  cronkeep next                         the next ten fires of the host's crontabs
  cronkeep next --expr '30 2 * * *' --tz Europe/Berlin --from 2026-03-28 --until 2026-03-31
  cronkeep next --json --count 100 jobs.crontab
  echo '{\"expr\":\"@daily\",\"tz\":\"UTC\",\"count\":3}' | cronkeep next --batch -";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  cronkeep explain '*/15 9-17 * * mon-fri'
  cronkeep explain /etc/crontab:7";

const MAN_EXAMPLES: &str = "\
Example:
  cronkeep man | man -l -";

/// A crond for containers and hosts that keeps what others lose
///
/// Without a command: runs the jobs of the crontabs in the foreground, until it is told to stop. An edit of a crontab
/// applies at once. As PID 1 it reaps orphans and ends its jobs when it is stopped.
#[derive(Debug, Parser)]
#[command(
    name = "cronkeep",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
    override_usage = "cronkeep [OPTIONS] [CRONTAB]...\n       cronkeep <COMMAND>",
    max_term_width = 100
)]
pub struct Cli {
    /// What to do; the daemon if nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The daemon's options.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

/// A command of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Find mistakes in crontabs
    ///
    /// Reads crontabs as the daemon would and reports each mistake with its line, its column and what to write instead.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Show when entries fire next
    ///
    /// Computed by the daemon's own code: what is printed is what will run. Without --expr and files: the crontabs the
    /// daemon would run.
    #[command(after_help = NEXT_EXAMPLES)]
    Next(NextArgs),
    /// Say in words what an entry does
    ///
    /// When it fires, what daylight saving does to it, and, for a line of a crontab, as whom and with which settings.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// List the jobs in force: when they run next, how they went last
    ///
    /// Asks the daemon that runs.
    #[command(after_help = control::LIST_EXAMPLES)]
    List(ListArgs),
    /// Show what the daemon is at
    ///
    /// Its crontabs, the runs that are alive, its health and why.
    #[command(after_help = control::STATUS_EXAMPLES)]
    Status(StatusArgs),
    /// Run a job now, whatever its schedule says
    ///
    /// By the daemon, as its user, with its settings and its output in the log; also while the job is paused.
    #[command(after_help = control::RUN_EXAMPLES)]
    Run(RunArgs),
    /// End a run, as its time-out would
    #[command(after_help = control::STOP_EXAMPLES)]
    Stop(StopArgs),
    /// Start no run of a job until it is resumed
    ///
    /// What it would have run meanwhile is skipped, not caught up. Runs that are alive go on.
    #[command(after_help = control::PAUSE_EXAMPLES)]
    Pause(JobArgs),
    /// End a job's pause
    #[command(after_help = control::RESUME_EXAMPLES)]
    Resume(JobArgs),
    /// Have the daemon read its crontabs now
    #[command(after_help = control::RELOAD_EXAMPLES)]
    Reload(ControlArgs),
    /// Say whether schedules are kept
    ///
    /// For HEALTHCHECK: a fault in a crontab, or a store that is down, is said, and no failure.
    #[command(after_help = control::HEALTH_EXAMPLES)]
    Health(HealthArgs),
    /// Show what was run, and what was not and why
    ///
    /// From the store, newest first: beside a daemon, and without one.
    #[command(after_help = history::EXAMPLES)]
    History(HistoryArgs),
    /// Show what a job or a run printed
    ///
    /// The beginning and the end of the last runs that printed something: as the daemon knows it, else from the store.
    #[command(after_help = control::LOGS_EXAMPLES)]
    Logs(LogsArgs),
    /// Send a message to RabbitMQ, and see that it arrives
    ///
    /// Through the daemon that runs, which keeps it until the broker has confirmed it; else straight to the broker. As the
    /// command of an entry of root or of the daemon's user it is carried out by the daemon, without a process.
    #[command(after_help = publish::EXAMPLES, override_usage = crate::message::arguments::USAGE)]
    Publish(PublishArgs),
    /// List what waits for the broker, or drop it
    ///
    /// Asks the daemon that runs: of replicas each knows what it sends itself. Also a daemon without a broker tells, and
    /// drops, what an earlier life has left.
    #[command(after_help = outbox::EXAMPLES)]
    Outbox(OutboxArgs),
    /// Carry out what other daemons send to a queue
    ///
    /// Entries with the option executor=worker:NAME are sent to the queue NAME. A worker that reads it runs their commands
    /// under the rules of a local run, and what they print and how they end comes back to the sender. Orders are signed with
    /// a key that both have. The queue must exist.
    #[command(after_help = worker::EXAMPLES)]
    Worker(WorkerArgs),
    /// Show, compare or forget the crontabs that the store holds
    ///
    /// What was last accepted, to be recovered in the next container. Opens the store itself, beside a daemon or without.
    #[command(after_help = store::SNAPSHOT_EXAMPLES)]
    Snapshot(SnapshotArgs),
    /// Maintain the crontabs of users
    ///
    /// The table of the caller, or with -u of another user. What is wrong with it is told, and installed it is not. The
    /// daemon takes it over by itself. Who may not write there goes through the daemon, which writes their own table.
    #[command(after_help = crontab::EXAMPLES)]
    Crontab(CrontabArgs),
    /// Print a shell's completion script
    #[command(after_help = completions::EXAMPLES)]
    Completions(CompletionsArgs),
    /// Print the manual page
    #[command(after_help = MAN_EXAMPLES)]
    Man,
}

/// How crontabs are read: the same for the daemon and for the commands that look at crontabs.
#[derive(Debug, Clone, Args, Default)]
pub struct ReadingArgs {
    /// The crontabs' format: with or without a user column
    ///
    /// auto: system below /etc, else a user's crontab; in a spool directory the file's name is the user.
    #[arg(long, value_name = "FORMAT", env = "CRONKEEP_FORMAT", hide_env_values = true)]
    #[arg(value_enum, default_value_t = FormatArg::Auto)]
    pub format: FormatArg,
    /// Whose crontab a named file without a user column is [default: the caller's]
    #[arg(long, value_name = "NAME", env = "CRONKEEP_USER", hide_env_values = true)]
    pub user: Option<String>,
    /// The default time zone, an IANA name or a POSIX TZ string [default: TZ, then /etc/localtime]
    #[arg(long, value_name = "ZONE", env = "CRONKEEP_TZ", hide_env_values = true)]
    pub tz: Option<String>,
    /// Follow another program's habits where they contradict ours
    #[arg(long, value_name = "PROGRAM", env = "CRONKEEP_COMPAT", hide_env_values = true)]
    #[arg(value_enum)]
    pub compat: Option<CompatArg>,
}

/// What `check` is asked.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("check_output").args(["json", "sarif"]))]
pub struct CheckArgs {
    /// Crontabs to check, - for standard input [default: the daemon's]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How crontabs are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Let warnings fail, too
    #[arg(long)]
    pub strict: bool,
    /// One JSON object per file: every line as it was read, and the faults
    #[arg(long)]
    pub json: bool,
    /// The faults as one SARIF log, for code hosts and editors
    #[arg(long)]
    pub sarif: bool,
}

/// What `next` is asked.
#[derive(Debug, Clone, Args)]
pub struct NextArgs {
    /// Crontabs whose entries to show, - for standard input [default: the daemon's]
    #[arg(value_name = "FILE", conflicts_with = "expressions")]
    pub files: Vec<PathBuf>,
    /// A schedule, such as '*/5 * * * *' or '@daily'; may be given several times
    #[arg(long = "expr", value_name = "EXPR")]
    pub expressions: Vec<String>,
    /// Where to begin, inclusive: RFC 3339, a date or time in the zone, or now [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Where to end, exclusive: as --from
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How many fires in all [default: 10; with --until no limit]
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// How crontabs are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// One JSON object per fire
    #[arg(long)]
    pub json: bool,
    /// Answer each JSON line of FILE (- for standard input) with one JSON line
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["files", "expressions", "from", "until", "count"])]
    pub batch: Option<PathBuf>,
}

/// What `explain` is asked.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A schedule; or a crontab's name, a colon, and the number of a line
    ///
    /// The crontab may be -, for standard input.
    #[arg(value_name = "EXPR|FILE:LINE", allow_hyphen_values = true, value_parser = subject())]
    pub what: OsString,
    /// How crontabs are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// The value of `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum FormatArg {
    /// Judged by the path
    #[default]
    Auto,
    /// With a user column, as /etc/crontab
    System,
    /// Without, as crontab -l shows it
    User,
}

/// The value of `--compat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompatArg {
    /// Six fields have the year last
    Supercronic,
}

impl From<CompatArg> for Compat {
    fn from(compat: CompatArg) -> Self {
        match compat {
            CompatArg::Supercronic => Compat::Supercronic,
        }
    }
}

impl Cli {
    /// Reads `arguments`, the program's name first; a variable for which `is_empty` holds counts as absent.
    fn read(
        arguments: impl IntoIterator<Item = OsString>,
        is_empty: impl Fn(&OsStr) -> bool,
    ) -> Result<Self, clap::Error> {
        Cli::read_by(Cli::command(), arguments, is_empty)
    }

    /// As [`read`](Self::read), by the table of options as it was made already: that takes a good part of a millisecond.
    fn read_by(
        command: clap::Command,
        arguments: impl IntoIterator<Item = OsString>,
        is_empty: impl Fn(&OsStr) -> bool,
    ) -> Result<Self, clap::Error> {
        let command = without_empty_variables(command, &is_empty);
        let mut matches = command.try_get_matches_from(arguments)?;
        let is_by_environment = matches.value_source("state_dir") == Some(ValueSource::EnvVariable);
        let is_workers_by_environment = matches
            .subcommand_matches("worker")
            .is_some_and(|worker| worker.value_source("control") == Some(ValueSource::EnvVariable));
        let mut cli = Cli::from_arg_matches_mut(&mut matches)?;
        cli.daemon.state_dir_by_environment = is_by_environment;
        if let Some(Command::Worker(worker)) = &mut cli.command {
            worker.control_by_environment = is_workers_by_environment;
        }
        match cli.misplaced_command() {
            None => Ok(cli),
            Some(name) => Err(Cli::command().error(
                ErrorKind::ArgumentConflict,
                format!(
                    "'{name}' is a command and comes first; a crontab of that name is ./{name}"
                ),
            )),
        }
    }

    /// A command behind the daemon's options or crontabs, where it would be waited for as a file.
    fn misplaced_command(&self) -> Option<String> {
        // Making every command takes a while, and no command is called like a path.
        let is_word = |name: &&str| !name.contains(['/', '.']);
        let words = self.daemon.crontabs.iter().filter_map(|path| path.to_str().filter(is_word));
        let mut words = words.peekable();
        words.peek()?;
        let command = Cli::command();
        let mut found = words.filter_map(|name| command.find_subcommand(name));
        found.next().map(|found| found.get_name().to_owned())
    }

    /// The mistake of a first word that is no crontab that `exists`, and nearly a command: the daemon would wait for it as
    /// for a file.
    fn mistyped_command(&self, exists: impl Fn(&Path) -> bool) -> Option<clap::Error> {
        let path = self.daemon.crontabs.first().filter(|_| self.command.is_none())?;
        let word = path.to_str().filter(|word| !word.contains(['/', '.']))?;
        let command = Cli::command();
        let meant = closest(word, command.get_subcommands().map(clap::Command::get_name))?;
        if exists(path) {
            return None;
        }
        let way_out = format!("a crontab of that name is given as './{word}'");
        let mut error = clap::Error::new(ErrorKind::InvalidSubcommand).with_cmd(&command);
        for (kind, value) in [
            (ContextKind::InvalidSubcommand, ContextValue::String(word.to_owned())),
            (ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant.to_owned()])),
            (ContextKind::Suggested, ContextValue::StyledStrs(vec![way_out.into()])),
            (ContextKind::Usage, ContextValue::StyledStr(Cli::command().render_usage())),
        ] {
            error.insert(kind, value);
        }
        Some(error)
    }
}

/// Secrets that are no option's own variable: those in files, and those that a crontab hands to a publisher among its
/// entries.
const SECRETS: [&str; 2] = ["CRONKEEP_AMQP_FILE", "CRONKEEP_STORE_FILE"];

/// The variables that set options, of the daemon or of a command, in no order.
#[must_use]
pub fn variables() -> Vec<String> {
    fn of(command: &clap::Command, names: &mut Vec<String>) {
        let set = command.get_arguments().filter_map(|arg| arg.get_env()?.to_str());
        names.extend(set.map(str::to_owned));
        for command in command.get_subcommands() {
            of(command, names);
        }
    }
    let mut names = SECRETS.map(str::to_owned).to_vec();
    of(&Cli::command(), &mut names);
    names
}

/// Compose files pass `CRONKEEP_TZ=${TZ}` on as an empty variable: that is no value, not a bad one.
fn without_empty_variables(
    command: clap::Command,
    is_empty: &impl Fn(&OsStr) -> bool,
) -> clap::Command {
    command
        .mut_args(|arg| {
            if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg }
        })
        .mut_subcommands(|inner| without_empty_variables(inner, is_empty))
}

/// What `explain` is asked: `-:7` is a line of standard input, anything else with a hyphen a mistyped option.
fn subject() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|text| match text.as_encoded_bytes() {
        [b'-', b':', ..] => Ok(text),
        [b'-', ..] => Err("there is no such option"),
        _ => Ok(text),
    })
}

#[cfg(test)]
mod tests;
