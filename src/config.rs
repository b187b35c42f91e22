//! The validated configuration: zone found, sources resolved, durations and levels known.
//!
//! Layer 9, between [`args`](crate::args) (parsed) and the commands and the daemon, which read only this.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use nix::unistd::{User, geteuid};

use crate::args::{CronDNamesArg, DaemonArgs, FormatArg, LogToArg, OnStopArg, ReadingArgs};
use crate::crontab::{Compat, Dialect, Format, Options};
use crate::exit::UsageError;
use crate::schedule::{UnknownZone, Zone};
use crate::sink::record;

/// The crontab of the system, run when none is named.
pub const DEFAULT_CRONTAB: &str = "/etc/crontab";

/// Where crond keeps the tables of users: a file below is a user's table by its name.
pub const SPOOLS: [&str; 2] = ["/var/spool/cron/crontabs", "/var/spool/cron"];

/// What the program is told by its surroundings rather than by its arguments.
#[derive(Debug, Clone)]
pub struct Host {
    /// The name of the user the process runs as; the number where it has no name.
    pub user: String,
    /// The number of that user.
    pub uid: u32,
    /// The process's id; 1 changes what happens at the end.
    pub pid: u32,
    /// The variable `HOME`.
    pub home: Option<PathBuf>,
    /// The variable `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// The variable `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// The variable `TZ`.
    pub tz: Option<OsString>,
    /// The file that says what the local zone is.
    pub localtime: PathBuf,
}

impl Host {
    /// Reads the process's own surroundings.
    #[must_use]
    pub fn of_process() -> Self {
        let folder =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let uid = geteuid();
        let user = User::from_uid(uid).ok().flatten();
        Host {
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            uid: uid.as_raw(),
            pid: std::process::id(),
            home: folder("HOME"),
            state_home: folder("XDG_STATE_HOME"),
            runtime_dir: folder("XDG_RUNTIME_DIR"),
            tz: std::env::var_os("TZ"),
            localtime: PathBuf::from("/etc/localtime"),
        }
    }
}

/// A crontab to read, with the rules it is read by.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// As given; `-` is standard input for the commands that allow it.
    pub path: PathBuf,
    /// Format, user and limits.
    pub dialect: Dialect,
    /// Whether it was named on the command line: its owner and mode are not judged.
    pub named: bool,
}

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

/// The default zone, and what its owner should know about how it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundZone {
    /// The zone.
    pub zone: Zone,
    /// In words, where the zone is a guess.
    pub warning: Option<String>,
}

/// What the daemon runs by.
#[derive(Debug, Clone)]
pub struct Config {
    /// The crontabs, in the order given; at least one.
    pub sources: Vec<SourceSpec>,
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

/// Why there is no default zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// The name is no zone.
    #[error("{origin}: {unknown}{}", similar(unknown))]
    Unknown {
        /// The option or variable that named it.
        origin: &'static str,
        /// The name.
        unknown: UnknownZone,
    },
    /// The variable `TZ` names a file that holds no zone.
    #[error("TZ: {} is no time zone file: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// In words.
        reason: String,
    },
}

fn similar(unknown: &UnknownZone) -> String {
    unknown.similar.as_ref().map_or_else(String::new, |name| format!(" (did you mean {name}?)"))
}

impl From<ZoneError> for UsageError {
    fn from(error: ZoneError) -> Self {
        UsageError(error.to_string())
    }
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
        let mut sources = sources(&args.crontabs, &args.reading, host);
        for source in &mut sources {
            source.dialect.strict = args.strict;
        }
        let mut warnings: Vec<String> = warning.into_iter().collect();
        warnings.extend(drop_repeated(&mut sources));
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
            state_dir: args.state_dir.clone().unwrap_or_else(|| default_state_dir(host)),
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
            warnings,
        })
    }
}

/// Where state is kept unless the options say otherwise.
#[must_use]
pub fn default_state_dir(host: &Host) -> PathBuf {
    if host.uid == 0 {
        return PathBuf::from("/var/lib/cronkeep");
    }
    let home = || host.home.clone().unwrap_or_else(|| PathBuf::from("/")).join(".local/state");
    host.state_home.clone().unwrap_or_else(home).join("cronkeep")
}

/// Where the control socket is unless the options say otherwise.
#[must_use]
pub fn default_control(host: &Host) -> PathBuf {
    if host.uid == 0 {
        return PathBuf::from("/run/cronkeep/control.sock");
    }
    match &host.runtime_dir {
        Some(folder) => folder.join("cronkeep/control.sock"),
        None => default_state_dir(host).join("control.sock"),
    }
}

/// Leaves each file in once, however often and by whatever path it was named; says so where one was named again.
fn drop_repeated(sources: &mut Vec<SourceSpec>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    sources.retain(|source| {
        let path = &source.path;
        let place = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let new = seen.insert(place.unwrap_or_else(|_| path.clone()));
        if !new {
            warnings.push(format!("{} is named twice; it is read once", path.display()));
        }
        new
    });
    warnings
}

/// The crontabs that `paths` name, or the daemon's default where there are none.
#[must_use]
pub fn sources(paths: &[PathBuf], reading: &ReadingArgs, host: &Host) -> Vec<SourceSpec> {
    let default = [PathBuf::from(DEFAULT_CRONTAB)];
    let named = !paths.is_empty();
    let paths = if named { paths } else { &default };
    paths
        .iter()
        .map(|path| SourceSpec { path: path.clone(), dialect: dialect(path, reading, host), named })
        .collect()
}

/// The rules by which the crontab at `path` is read: format `auto` is judged on the path as given.
#[must_use]
pub fn dialect(path: &Path, reading: &ReadingArgs, host: &Host) -> Dialect {
    let owner = || reading.user.as_deref().unwrap_or(&host.user);
    let table_of = || spool_user(path);
    let format = match reading.format {
        FormatArg::System => Format::System,
        FormatArg::Auto if is_below(path, "/etc") => Format::System,
        FormatArg::User | FormatArg::Auto => Format::User,
    };
    let mut dialect = match (format, table_of()) {
        (Format::System, _) => Dialect::system(),
        (Format::User, Some(user)) => Dialect::spool(reading.user.as_deref().unwrap_or(&user)),
        (Format::User, None) => Dialect::user(owner()),
    };
    dialect.compat = reading.compat.map_or(Compat::Cronkeep, Compat::from);
    dialect
}

/// Whose table a file directly in a spool directory is.
fn spool_user(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let name = path.file_name()?.to_str()?;
    SPOOLS.iter().any(|spool| folder == Path::new(spool)).then(|| name.to_owned())
}

/// Whether a path as given, without looking at the disk, lies below `folder`.
fn is_below(path: &Path, folder: &str) -> bool {
    path.starts_with(folder) && !path.components().any(|part| part == Component::ParentDir)
}

/// The zone of entries that name none: `--tz` or `CRONKEEP_TZ`, then `TZ`, then /etc/localtime.
///
/// A machine without /etc/localtime, or with one that cannot be read, is in UTC, with a warning.
///
/// # Errors
/// The option or `TZ` names something that is no zone: running at other times than were asked for is worse than not
/// running.
pub fn default_zone(option: Option<&str>, host: &Host) -> Result<FoundZone, ZoneError> {
    if let Some(name) = option {
        let zone = named("--tz", name)?;
        return Ok(FoundZone { zone, warning: None });
    }
    if let Some(value) = &host.tz {
        let zone = from_variable(&value.to_string_lossy())?;
        return Ok(FoundZone { zone, warning: None });
    }
    Ok(from_localtime(&host.localtime))
}

fn named(origin: &'static str, name: &str) -> Result<Zone, ZoneError> {
    Zone::named(name).map_err(|unknown| ZoneError::Unknown { origin, unknown })
}

/// `TZ` as tzset(3) reads it: empty is UTC, a leading colon is skipped, a path names a file.
fn from_variable(value: &str) -> Result<Zone, ZoneError> {
    let name = value.strip_prefix(':').unwrap_or(value);
    if name.is_empty() {
        return Ok(Zone::utc());
    }
    if !name.starts_with('/') {
        return named("TZ", name);
    }
    let path = Path::new(name);
    if let Some(zone) = zone_of_path(path) {
        return Ok(zone);
    }
    from_file(path).map_err(|reason| ZoneError::File { path: path.to_owned(), reason })
}

fn from_localtime(path: &Path) -> FoundZone {
    // Only the link's text is needed: an image without tzdata has a link that leads nowhere.
    let linked = fs::read_link(path).ok().and_then(|target| zone_of_path(&target));
    if let Some(zone) = linked {
        return FoundZone { zone, warning: None };
    }
    match from_file(path) {
        Ok(zone) => FoundZone { zone, warning: None },
        Err(reason) => FoundZone {
            zone: Zone::utc(),
            warning: Some(format!(
                "no local time zone, using UTC: {}: {reason}; set TZ or --tz",
                path.display()
            )),
        },
    }
}

/// The zone that a path into a zoneinfo tree names: `/usr/share/zoneinfo/Europe/Berlin`.
fn zone_of_path(path: &Path) -> Option<Zone> {
    let (_, name) = path.to_str()?.rsplit_once("zoneinfo/")?;
    let name = name.strip_prefix("posix/").unwrap_or(name);
    Zone::named(name).ok()
}

fn from_file(path: &Path) -> Result<Zone, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let name = path.display().to_string();
    let rules = TimeZone::tzif(&name, &bytes).map_err(|error| error.to_string())?;
    Ok(Zone::from_rules(&name, rules))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn host() -> Host {
        Host {
            user: "alice".into(),
            uid: 1000,
            pid: 7,
            home: Some("/home/alice".into()),
            state_home: None,
            runtime_dir: None,
            tz: None,
            localtime: "/nonexistent/localtime".into(),
        }
    }

    fn daemon_args(arguments: &[&str]) -> DaemonArgs {
        let arguments = std::iter::once("cronkeep").chain(arguments.iter().copied());
        Cli::try_parse_from(arguments).unwrap().daemon
    }

    fn config(arguments: &[&str]) -> Config {
        Config::new(&daemon_args(arguments), &host()).unwrap()
    }

    fn read_as(arguments: &[&str]) -> (Format, String) {
        let config = config(arguments);
        let dialect = &config.sources[0].dialect;
        (dialect.format, dialect.user.to_string())
    }

    #[test]
    fn without_a_name_the_systems_crontab_is_run() {
        let config = config(&[]);
        assert_eq!(config.sources.len(), 1);
        assert_eq!(config.sources[0].path, Path::new("/etc/crontab"));
        assert_eq!(config.sources[0].dialect.format, Format::System);
        assert!(!config.sources[0].named);
    }

    #[test]
    fn a_file_below_etc_has_a_user_column() {
        assert_eq!(read_as(&["/etc/cron.d/x"]).0, Format::System);
        assert_eq!(read_as(&["/etcetera/x"]).0, Format::User);
        assert_eq!(read_as(&["/etc/../tmp/x"]).0, Format::User);
        assert_eq!(read_as(&["--format", "user", "/etc/cron.d/x"]).0, Format::User);
    }

    #[test]
    fn a_file_in_a_spool_is_the_table_of_its_name() {
        let (format, user) = read_as(&["/var/spool/cron/crontabs/bob"]);
        assert_eq!((format, user.as_str()), (Format::User, "bob"));
        assert_eq!(read_as(&["/var/spool/cron/carol"]).1, "carol");
        assert!(config(&["/var/spool/cron/carol"]).sources[0].dialect.is_limited());
    }

    #[test]
    fn any_other_file_belongs_to_the_daemons_user() {
        assert_eq!(read_as(&["jobs"]), (Format::User, "alice".into()));
        assert_eq!(read_as(&["--user", "bob", "jobs"]), (Format::User, "bob".into()));
        assert_eq!(read_as(&["--format", "system", "jobs"]).0, Format::System);
    }

    #[test]
    fn the_options_reach_every_dialect() {
        let config = config(&["--strict", "--compat", "supercronic", "a", "b", "./a"]);
        assert!(config.warnings.contains(&"./a is named twice; it is read once".to_owned()));
        for source in &config.sources {
            assert!(source.dialect.strict);
            assert_eq!(source.dialect.compat, Compat::Supercronic);
        }
    }

    #[test]
    fn the_daemon_reads_no_standard_input() {
        assert!(Config::new(&daemon_args(&["-"]), &host()).is_err());
    }

    #[test]
    fn jobs_are_ended_by_pid_1_and_left_by_any_other() {
        let on_stop = |arguments: &[&str], pid| {
            Config::new(&daemon_args(arguments), &Host { pid, ..host() }).unwrap().on_stop
        };
        assert_eq!(on_stop(&[], 1), OnStop::End);
        assert_eq!(on_stop(&[], 2), OnStop::Leave);
        assert_eq!(on_stop(&["--on-stop", "leave"], 1), OnStop::Leave);
    }

    #[test]
    fn the_stop_grace_is_eight_seconds() {
        assert_eq!(config(&[]).stop_grace, Duration::from_secs(8));
        assert_eq!(config(&["--stop-grace", "1m30s"]).stop_grace, Duration::from_secs(90));
    }

    fn zone_of(option: Option<&str>, tz: Option<&str>) -> Result<String, ZoneError> {
        let host = Host { tz: tz.map(Into::into), ..host() };
        default_zone(option, &host).map(|found| found.zone.name().to_owned())
    }

    #[test]
    fn the_option_wins_over_the_variable() {
        assert_eq!(zone_of(Some("Europe/Berlin"), Some("Asia/Tokyo")).unwrap(), "Europe/Berlin");
        assert_eq!(zone_of(None, Some("Asia/Tokyo")).unwrap(), "Asia/Tokyo");
    }

    #[test]
    fn the_variable_is_read_as_tzset_reads_it() {
        assert_eq!(zone_of(None, Some(":Asia/Tokyo")).unwrap(), "Asia/Tokyo");
        assert_eq!(zone_of(None, Some("")).unwrap(), "UTC");
        assert_eq!(zone_of(None, Some("/usr/share/zoneinfo/Asia/Tokyo")).unwrap(), "Asia/Tokyo");
        assert!(matches!(zone_of(None, Some("/nonexistent/x")), Err(ZoneError::File { .. })));
    }

    #[test]
    fn a_zone_that_does_not_exist_is_an_error_that_names_it() {
        let error = zone_of(Some("Europe/Berln"), None).unwrap_err().to_string();
        assert!(error.starts_with("--tz: ") && error.contains("Europe/Berln"), "{error}");
        assert!(zone_of(None, Some("Nowhere/Land")).is_err());
    }

    #[test]
    fn the_local_zone_is_the_name_in_the_link() {
        let folder = tempfile::tempdir().unwrap();
        let localtime = folder.path().join("localtime");
        symlink("../usr/share/zoneinfo/America/New_York", &localtime).unwrap();
        let found = default_zone(None, &Host { localtime, ..host() }).unwrap();
        assert_eq!(found.zone.name(), "America/New_York");
        assert_eq!(found.warning, None);
    }

    #[test]
    fn without_a_local_zone_it_is_utc_with_a_warning() {
        let found = default_zone(None, &host()).unwrap();
        assert_eq!(found.zone, Zone::utc());
        assert!(found.warning.unwrap().contains("/nonexistent/localtime"));
    }

    #[test]
    fn bytes_that_are_no_zone_are_utc_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let localtime = folder.path().join("localtime");
        std::fs::write(&localtime, "not a zone").unwrap();
        let found = default_zone(None, &Host { localtime, ..host() }).unwrap();
        assert_eq!(found.zone, Zone::utc());
        assert!(found.warning.is_some());
    }
}
