//! The arguments of crontab(1).

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// What the help of `crontab` ends with.
pub(super) const EXAMPLES: &str = "\
Examples:
  cronkeep crontab -e                   edit your table
  cronkeep crontab -l > backup          save it
  cronkeep crontab backup               install a file as your table
  echo '@daily backup' | cronkeep crontab -
  cronkeep crontab -T jobs              only look for mistakes
  cronkeep crontab -u alice -r -i       remove another's table, after a question

Also when called as crontab. Exit code: 0 done, 1 not done or wrong usage.";

/// What `crontab` is asked.
///
/// At most one of `-l -e -r -T`; without one, a file or standard input becomes the table.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of cronie's")]
#[command(group = ArgGroup::new("operation").args(["list", "edit", "remove", "test"]))]
#[command(group = ArgGroup::new("without_file").args(["list", "edit", "remove"]).conflicts_with("file"))]
pub struct CrontabArgs {
    /// The file to install or to test; - for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Whose table [default: the caller's]
    #[arg(short = 'u', value_name = "USER")]
    pub user: Option<String>,
    /// Print the table
    #[arg(short = 'l')]
    pub list: bool,
    /// Edit the table with $VISUAL or $EDITOR
    #[arg(short = 'e')]
    pub edit: bool,
    /// Remove the table
    #[arg(short = 'r')]
    pub remove: bool,
    /// Ask before it is removed
    #[arg(short = 'i')]
    pub ask: bool,
    /// Look for mistakes in FILE and install nothing
    #[arg(short = 'T', requires = "file")]
    pub test: bool,
    /// Accepted, as cronie's: no backup is made, so none is told of
    #[arg(short = 'b', hide = true)]
    pub no_backup_notice: bool,
    /// Print the version
    #[arg(short = 'V')]
    pub version: bool,
}
