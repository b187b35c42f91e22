//! What the program is, by the name it was started under.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{CommandFactory as _, Parser};

use super::crond::{self, Crond};
use super::{Cli, Command, CrontabArgs, crontab, supercronic};
use crate::exit::ExitCode;

/// What was asked for.
#[derive(Debug)]
pub enum Called {
    /// `cronkeep` and whatever other name.
    Cronkeep(Box<Cli>),
    /// `crond` or `cron`: the name, and its flags made options.
    Crond(&'static str, Box<Crond>),
    /// `crontab`, or `cronkeep crontab`: its mistakes of usage are code 1.
    Crontab(CrontabArgs),
}

/// A command line that asks for nothing that can be done, or for help or the version.
#[derive(Debug)]
pub struct Refused {
    error: clap::Error,
    code: ExitCode,
}

/// `crontab` as a program of its own.
#[derive(Debug, Parser)]
#[command(
    name = "crontab",
    args_override_self = true,
    about = "Maintain the crontabs of users",
    override_usage = "crontab [-u USER] FILE|-\n       crontab [-u USER] -l|-e|-r [-i]\n       crontab -T FILE|-",
    after_help = crontab::EXAMPLES,
    max_term_width = 100
)]
struct Crontab {
    #[command(flatten)]
    args: CrontabArgs,
}

impl Called {
    /// Reads the process's name, command line and `CRONKEEP_…` environment.
    ///
    /// # Errors
    /// A usage mistake, or a wish for help or the version.
    pub fn from_process() -> Result<Self, Refused> {
        let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
        // A link that leads nowhere yet is a crontab to wait for, too.
        let exists = |path: &Path| path.symlink_metadata().is_ok();
        Called::read(std::env::args_os().collect(), is_empty, exists)
    }

    /// Reads a command line, the program's name first. A variable for which `is_empty` holds counts as absent, and where
    /// there is a crontab by `exists`, a word is that crontab and no mistyped command.
    ///
    /// # Errors
    /// A usage mistake, or a wish for help or the version.
    pub fn read(
        arguments: Vec<OsString>,
        is_empty: impl Fn(&OsStr) -> bool,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, Refused> {
        let name = arguments.first().and_then(|name| Path::new(name).file_name());
        let name = name.unwrap_or_default().to_owned();
        // A login shell's name for what it starts: -crond.
        if crond::is_crond(&name) {
            let name = if name == "cron" { "cron" } else { "crond" };
            let crond = crond::read(&arguments, is_empty).map_err(Refused::with_one)?;
            return Ok(Called::Crond(name, Box::new(crond)));
        }
        if name == "crontab" {
            let crontab = Crontab::try_parse_from(&arguments).map_err(Refused::with_one)?;
            return Ok(Called::Crontab(crontab.args));
        }
        let is_crontab = arguments.get(1).is_some_and(|word| word == "crontab");
        let refused = if is_crontab { Refused::with_one } else { Refused::with_two };
        let command = Cli::command();
        let is_command = |word: &OsStr| command.find_subcommand(word).is_some() || word == "help";
        let arguments = supercronic::translated(arguments, name == "supercronic", is_command)
            .map_err(|text| Refused::with_two(command.clone().error(KIND, text)))?;
        let mut cli = Cli::read_by(command, arguments, is_empty).map_err(refused)?;
        if let Some(mistake) = cli.mistyped_command(exists) {
            return Err(Refused::with_two(mistake));
        }
        match cli.command.take() {
            Some(Command::Crontab(args)) => Ok(Called::Crontab(args)),
            other => {
                cli.command = other;
                Ok(Called::Cronkeep(Box::new(cli)))
            }
        }
    }
}

const KIND: clap::error::ErrorKind = clap::error::ErrorKind::UnknownArgument;

impl Refused {
    fn with_one(error: clap::Error) -> Self {
        Refused { error, code: ExitCode::Failure }
    }

    fn with_two(error: clap::Error) -> Self {
        Refused { error, code: ExitCode::Usage }
    }

    /// Prints the mistake to standard error, or the help or version to standard output.
    pub fn print(&self) {
        // Nobody is left to tell where standard output and standard error are gone.
        let _ = self.error.print();
    }

    /// What the program ends with.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        if self.error.use_stderr() { self.code } else { ExitCode::Success }
    }
}

/// The usage of `crontab` in a few lines.
#[must_use]
pub fn crontab_usage() -> String {
    Crontab::command().render_usage().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Called, Refused> {
        let words = words.split_whitespace().map(OsString::from).collect();
        Called::read(words, |_| true, |path| path == Path::new("chek"))
    }

    #[test]
    fn the_name_decides_what_the_program_is() {
        assert!(matches!(read("/usr/sbin/crond -n"), Ok(Called::Crond("crond", _))));
        assert!(matches!(read("cron -f"), Ok(Called::Crond("cron", _))));
        assert!(matches!(read("/usr/bin/crontab -l"), Ok(Called::Crontab(_))));
        assert!(matches!(read("cronkeep crontab -l"), Ok(Called::Crontab(_))));
        assert!(matches!(read("/usr/local/bin/cronkeep"), Ok(Called::Cronkeep(_))));
        assert!(matches!(read("supercronic -test x"), Ok(Called::Cronkeep(_))));
    }

    #[test]
    fn a_word_near_a_commands_name_is_a_crontab_where_it_can_be_nothing_else() {
        for words in ["cronkeep stauts", "cronkeep --strict runn jobs", "supercronic helth"] {
            assert_eq!(read(words).unwrap_err().code(), ExitCode::Usage, "{words}");
        }
        for words in [
            "cronkeep chek",
            "cronkeep ./stauts",
            "cronkeep stat.us",
            "cronkeep jobs",
            "cronkeep jobs stauts",
            "cronkeep cron",
        ] {
            assert!(matches!(read(words), Ok(Called::Cronkeep(_))), "{words}");
        }
    }

    /// Rows 108 and 112.
    #[test]
    fn a_mistake_is_one_where_cron_says_one_and_two_elsewhere() {
        for (words, code) in [
            ("crond --nonsense", ExitCode::Failure),
            ("crond -Z", ExitCode::Failure),
            ("crond -h", ExitCode::Failure),
            ("crond -V", ExitCode::Success),
            ("crond --help", ExitCode::Success),
            ("crontab -l -r", ExitCode::Failure),
            ("crontab -l x", ExitCode::Failure),
            ("crontab -T", ExitCode::Failure),
            ("crontab -Z", ExitCode::Failure),
            ("cronkeep crontab -Z", ExitCode::Failure),
            ("cronkeep crontab --help", ExitCode::Success),
            ("cronkeep -Z", ExitCode::Usage),
            ("cronkeep -no-reap x", ExitCode::Usage),
        ] {
            assert_eq!(read(words).unwrap_err().code(), code, "{words}");
        }
    }

    #[test]
    fn every_operation_of_crontab_is_read() {
        for words in [
            "crontab -",
            "crontab file",
            "crontab -u bob -l",
            "crontab -T -",
            "crontab -ri",
            "crontab",
        ] {
            assert!(matches!(read(words), Ok(Called::Crontab(_))), "{words}");
        }
    }
}
