//! The arguments when called as `crond` or `cron`: cronie's flags, and Debian's where they are free.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Parser};

use super::{Cli, DaemonArgs, LogLevelArg, LogToArg};

const EXAMPLES: &str = "\
Every option of cronkeep holds as its CRONKEEP_… variable: CRONKEEP_LOG_FORMAT=json crond -n.
Exit code: 0 ended in order, 1 anything else, wrong usage included.";

/// The debug flags that cronie and Debian's cron know.
const DEBUG_FLAGS: [&str; 8] = ["ext", "sch", "proc", "pars", "load", "misc", "test", "bit"];

/// What crond is asked.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "crond",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    after_help = EXAMPLES,
    override_usage = "crond [-n|-f] [-sipPl] [-m off|COMMAND] [-x FLAG,...] [-L MASK]\n       crond -V|-h",
    about = "Run the jobs of /etc/crontab, /etc/cron.d and the users' tables",
    args_override_self = true,
    max_term_width = 100
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of cronie's")]
pub(super) struct CrondArgs {
    /// Stay in the foreground, and log to standard error
    #[arg(short = 'n', visible_short_alias = 'f')]
    pub foreground: bool,
    /// Send the jobs' output to syslog, and no mail
    #[arg(short = 's')]
    pub output_to_syslog: bool,
    /// What takes mails: off, or a command that is cut at blanks and reads the mail
    #[arg(short = 'm', value_name = "off|COMMAND")]
    pub mail: Option<String>,
    /// Take crontabs whatever their owner, mode and links
    #[arg(short = 'p')]
    pub permissive: bool,
    /// Let jobs have the daemon's PATH
    #[arg(short = 'P')]
    pub keep_path: bool,
    /// Accepted: crontabs are looked at now and then even where inotify tells nothing
    #[arg(short = 'i')]
    pub without_inotify: bool,
    /// Log every step, in the foreground: ext, sch, proc, pars, load, misc, test, bit
    #[arg(short = 'x', value_name = "FLAG,...", value_delimiter = ',', value_parser = debug_flag)]
    pub debug: Vec<String>,
    /// Refused: one spool for several hosts needs a store that they share
    #[arg(short = 'c', hide = true)]
    pub cluster: bool,
    /// Debian's rule for names in /etc/cron.d
    #[arg(short = 'l')]
    pub lsb_names: bool,
    /// What is logged of jobs, as a sum: 1 start, 2 end, 4 failed, 8 pid; 0 is warnings only
    #[arg(short = 'L', value_name = "MASK")]
    pub log_mask: Option<String>,
    /// Print the version
    #[arg(short = 'V', action = ArgAction::Version)]
    version: Option<bool>,
    /// Print the usage
    #[arg(short = 'h')]
    pub usage: bool,
    /// Print this help
    #[arg(long = "help", action = ArgAction::Help)]
    help: Option<bool>,
    /// What other crons take and this one does not.
    #[arg(hide = true)]
    pub rest: Vec<OsString>,
}

/// A daemon to run as `crond` would.
#[derive(Debug, Clone)]
pub struct Crond {
    /// The daemon's options, the environment's included.
    pub daemon: DaemonArgs,
    /// It stays in the foreground.
    pub foreground: bool,
    /// Output of jobs goes to syslog wherever the log goes.
    pub output_to_syslog: bool,
    /// What its caller should know of the flags.
    pub warnings: Vec<String>,
}

impl CrondArgs {
    /// Makes the daemon's options of the flags; `daemon` is what the environment says. Flags win.
    ///
    /// # Errors
    /// In words: a flag that this program cannot follow.
    pub(super) fn applied_to(self, mut daemon: DaemonArgs) -> Result<Crond, String> {
        if self.cluster {
            return Err("-c: a spool that several hosts share is not supported: give each \
                        host its own"
                .into());
        }
        let mut warnings = Vec::new();
        self.refuse_rest(&mut warnings)?;
        let debugging = !self.debug.is_empty();
        daemon.permissive |= self.permissive;
        if self.keep_path {
            daemon.env_allow.push("PATH".into());
        }
        if self.output_to_syslog {
            daemon.mail = Some("off".into());
        }
        // cronie lets -m decide where both are given.
        daemon.mail = self.mail.or(daemon.mail);
        if self.lsb_names {
            daemon.cron_d_names = Some(super::CronDNamesArg::Debian);
        }
        match self.log_mask.as_deref() {
            None => {}
            Some("0") => daemon.log_level = LogLevelArg::Warn,
            Some("/dev/stdout" | "/dev/stderr" | "/proc/1/fd/1" | "/proc/1/fd/2") => {
                daemon.log_to = Some(LogToArg::Stderr);
            }
            Some(mask) if mask.parse::<u8>().is_ok() => {}
            Some(mask) => {
                return Err(format!(
                    "-L {mask}: not a number; a log file is what standard error is sent to, \
                     in the foreground (-n)"
                ));
            }
        }
        if debugging {
            daemon.log_level = LogLevelArg::Debug;
        }
        let foreground = self.foreground || debugging;
        Ok(Crond { daemon, foreground, output_to_syslog: self.output_to_syslog, warnings })
    }

    /// Busybox's `-l LEVEL` and `-c DIR` leave a word behind: the level is let pass, anything else is a mistake.
    fn refuse_rest(&self, warnings: &mut Vec<String>) -> Result<(), String> {
        for word in &self.rest {
            let text = word.to_string_lossy();
            let is_level = self.lsb_names && text.parse::<u8>().is_ok();
            if !is_level {
                return Err(format!(
                    "unexpected argument '{text}': crond runs the system's crontabs; cronkeep FILE runs another"
                ));
            }
            warnings.push(format!(
                "-l {text}: a level is given with CRONKEEP_LOG_LEVEL; -l is Debian's rule for names"
            ));
        }
        Ok(())
    }
}

/// The name that a process was started by, as far as it decides what the program is.
pub(super) fn is_crond(name: &OsStr) -> bool {
    name == "crond" || name == "cron"
}

/// Reads the flags behind the program's name.
pub(super) fn read(
    arguments: &[OsString],
    is_empty: impl Fn(&OsStr) -> bool,
) -> Result<Crond, clap::Error> {
    use clap::CommandFactory as _;
    use clap::error::ErrorKind;

    let args = CrondArgs::try_parse_from(arguments)?;
    if args.usage {
        // As cronie does: on standard error, and no success.
        let command = CrondArgs::command().arg_required_else_help(true);
        command.try_get_matches_from(["crond"])?;
    }
    let cli = Cli::read([OsString::from("cronkeep")], is_empty)?;
    args.applied_to(cli.daemon)
        .map_err(|reason| CrondArgs::command().error(ErrorKind::InvalidValue, reason))
}

fn debug_flag(text: &str) -> Result<String, String> {
    if DEBUG_FLAGS.contains(&text) || text.parse::<u32>().is_ok() {
        return Ok(text.to_owned());
    }
    Err(format!("no such debug flag; there are {}", DEBUG_FLAGS.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(arguments: &[&str]) -> Result<Crond, clap::Error> {
        let arguments: Vec<OsString> =
            std::iter::once("crond").chain(arguments.iter().copied()).map(OsString::from).collect();
        read(&arguments, |_| true)
    }

    #[test]
    fn the_table_of_flags_is_consistent() {
        CrondArgs::command().debug_assert();
    }

    /// Row 108.
    #[test]
    fn n_and_f_are_the_foreground_and_so_is_debugging() {
        assert!(!parse(&[]).unwrap().foreground);
        for flags in [&["-n"][..], &["-f"], &["-x", "sch,load"], &["-fn"], &["-n", "-s", "-n"]] {
            assert!(parse(flags).unwrap().foreground, "{flags:?}");
        }
        assert_eq!(parse(&["-x", "sch"]).unwrap().daemon.log_level, LogLevelArg::Debug);
        assert!(parse(&["-x", "nonsense"]).is_err());
    }

    /// Row 108.
    #[test]
    fn the_usage_is_no_error_message() {
        let usage = parse(&["-h"]).unwrap_err();
        let text = usage.render().to_string();
        assert!(text.contains("Usage: crond [-n|-f]") && text.ends_with('\n'), "{text}");
        assert!(!text.contains("error:") && usage.use_stderr(), "{text}");
    }

    /// Row 96.
    #[test]
    fn mail_is_off_or_a_command_and_s_turns_it_off() {
        let mail = |flags: &[&str]| parse(flags).unwrap().daemon.mail;
        assert_eq!(mail(&[]), None);
        assert_eq!(mail(&["-m", "off"]).as_deref(), Some("off"));
        assert_eq!(mail(&["-m", "prog a b"]).as_deref(), Some("prog a b"));
        assert_eq!(mail(&["-s"]).as_deref(), Some("off"));
        assert!(parse(&["-s"]).unwrap().output_to_syslog);
    }

    #[test]
    fn every_flag_reaches_its_option() {
        let crond = parse(&["-n", "-p", "-P", "-i", "-l", "-L", "5"]).unwrap();
        assert!(crond.daemon.permissive && crond.warnings.is_empty());
        assert_eq!(crond.daemon.env_allow, ["PATH"]);
        assert_eq!(crond.daemon.cron_d_names, Some(crate::args::CronDNamesArg::Debian));
        assert_eq!(parse(&["-L0"]).unwrap().daemon.log_level, LogLevelArg::Warn);
    }

    /// Row 108: Debian's `-l -L N -n` where cronie's `-n` means another thing.
    #[test]
    fn debians_flags_stand_beside_cronies() {
        let crond = parse(&["-l", "-L", "15", "-n"]).unwrap();
        assert!(crond.foreground);
    }

    #[test]
    fn busyboxs_level_is_let_pass_with_a_word_and_its_folder_is_not() {
        assert_eq!(parse(&["-f", "-l", "8"]).unwrap().warnings.len(), 1);
        assert!(parse(&["-f", "-d", "8"]).is_err());
        assert!(parse(&["-f", "-c", "/etc/crontabs"]).is_err());
        assert!(parse(&["-f", "/etc/crontab"]).is_err());
        assert!(parse(&["-f", "-L", "/var/log/cron"]).is_err());
        let to_stdout = parse(&["-f", "-L", "/dev/stdout"]).unwrap();
        assert_eq!(to_stdout.daemon.log_to, Some(LogToArg::Stderr));
    }
}
