//! Where the tables are: the spool, for who may write there, else behind the daemon.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use nix::unistd::User;

use super::spool::Spool;
use crate::config::{Host, default_control};
use crate::control::client::{Client, Error};
use crate::control::socket::for_everybody;

/// The largest table that the daemon takes from a user, in bytes.
pub const MOST_SENT: usize = 2 << 20;

/// What of a table the daemon is asked for.
pub const TARGET: &str = "/crontab";

/// The users' tables, as far as the caller may touch them.
#[derive(Debug)]
pub enum Tables {
    /// In a directory that the caller may write to.
    Spool(Spool),
    /// Behind a daemon, which knows its caller and serves just that user's table.
    Daemon {
        /// Where it listens.
        client: Client,
        /// Why the spool itself was no choice.
        instead_of: String,
    },
}

impl Tables {
    /// The spool where the caller may write to it, else the daemon.
    ///
    /// # Errors
    /// The caller is root and there is no spool to be had.
    pub fn for_caller(host: &Host) -> anyhow::Result<Self> {
        let instead_of = match Spool::open() {
            Ok(spool) if host.uid == 0 || spool.is_writable() => return Ok(Tables::Spool(spool)),
            Ok(spool) => format!("{}: permission denied", spool.path().display()),
            Err(error) if host.uid == 0 => return Err(error).context("failed to open the spool"),
            Err(error) => format!("the spool: {error}"),
        };
        Ok(Tables::Daemon { client: Client::new(&socket(host)), instead_of })
    }

    /// The table of `user`; none where there is none.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn read(&self, user: &User) -> anyhow::Result<Option<Vec<u8>>> {
        match self {
            Tables::Spool(spool) => {
                spool.read(&user.name).with_context(|| failed("read", &user.name))
            }
            Tables::Daemon { .. } => match self.ask("GET", Vec::new()) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if is_none(&error) => Ok(None),
                Err(error) => Err(self.explained(error)),
            },
        }
    }

    /// Makes `bytes` the table of `user`.
    ///
    /// # Errors
    /// It was not installed; the old table stays.
    pub fn install(&self, user: &User, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Tables::Spool(spool) => spool
                .install(&user.name, user.uid.as_raw(), bytes)
                .with_context(|| failed("install", &user.name)),
            Tables::Daemon { .. } if bytes.len() > MOST_SENT => {
                anyhow::bail!("the crontab has more than {} MiB", MOST_SENT >> 20)
            }
            Tables::Daemon { .. } => {
                self.ask("PUT", bytes.to_vec()).map_err(|error| self.explained(error))?;
                Ok(())
            }
        }
    }

    /// Removes the table of `user`; whether there was one.
    ///
    /// # Errors
    /// It was not removed.
    pub fn remove(&self, user: &User) -> anyhow::Result<bool> {
        match self {
            Tables::Spool(spool) => {
                spool.remove(&user.name).with_context(|| failed("remove", &user.name))
            }
            Tables::Daemon { .. } => match self.ask("DELETE", Vec::new()) {
                Ok(_) => Ok(true),
                Err(error) if is_none(&error) => Ok(false),
                Err(error) => Err(self.explained(error)),
            },
        }
    }

    fn ask(&self, method: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        match self {
            Tables::Daemon { client, .. } => client.send(method, TARGET, body),
            Tables::Spool(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    /// Where nobody listens: what would have been needed, too.
    fn explained(&self, error: Error) -> anyhow::Error {
        match (self, error) {
            (Tables::Daemon { instead_of, .. }, Error::Nobody { path, .. }) => anyhow::anyhow!(
                "{instead_of}, and no daemon of root's listens at {} that would write there",
                path.display()
            ),
            (_, error) => error.into(),
        }
    }
}

/// The socket for everybody beside the control socket that `CRONKEEP_CONTROL` names, else beside that of root's daemon.
pub(in crate::command) fn socket(host: &Host) -> PathBuf {
    let named = std::env::var_os("CRONKEEP_CONTROL").filter(|path| !path.is_empty());
    let control =
        named.map_or_else(|| default_control(&Host { uid: 0, ..host.clone() }), PathBuf::from);
    for_everybody(&control)
}

fn is_none(error: &Error) -> bool {
    matches!(error, Error::Refused { refusal } if refusal.error == "none")
}

fn failed(what: &str, user: &str) -> String {
    format!("failed to {what} the crontab of {user}")
}
