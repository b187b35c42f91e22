//! Where state outlives the daemon, as the options say.

use std::path::{Path, PathBuf};

use super::{Host, default_state_dir};
use crate::args::{DaemonArgs, RecoverArg, StoreArgs, WhenStoreDownArg};
use crate::exit::UsageError;
use crate::store::Address;

/// The file in the state directory.
const FILE: &str = "cronkeep.db";

/// A store, and whose state is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The store.
    pub address: Address,
    /// Whether somebody named it.
    pub named: bool,
    /// Whose state it is.
    pub namespace: String,
}

impl Located {
    /// Finds the store that a command is to open, as the daemon with the same options would.
    ///
    /// # Errors
    /// As [`StoreConfig::new`].
    pub fn of(args: &StoreArgs, host: &Host) -> Result<Self, UsageError> {
        let state_dir = args.state_dir.clone().unwrap_or_else(|| default_state_dir(host));
        let (store, namespace) = (args.store.as_deref(), args.namespace.as_deref());
        Located::new(store, namespace, &state_dir, &mut Vec::new())
    }

    pub(super) fn new(
        store: Option<&str>,
        namespace: Option<&str>,
        state_dir: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let text = named(store, warnings)?;
        let address = match &text {
            Some(text) => {
                Address::parse(text).map_err(|error| UsageError(format!("--store: {error}")))?
            }
            None => Address::Sqlite(state_dir.join(FILE)),
        };
        let namespace = match namespace {
            Some(name) if is_name(name) => name.to_owned(),
            Some(name) => {
                return Err(UsageError(format!(
                    "--namespace {name:?}: a namespace has 1 to 64 letters, digits, dots, hyphens and underscores"
                )));
            }
            None if address.is_shared() => {
                return Err(UsageError(
                    "--namespace says whose schedule it is in a store that others may share: replicas of one service \
                     give the same name, other services another; `default` takes over from the Python service"
                        .to_owned(),
                ));
            }
            None => "default".to_owned(),
        };
        Ok(Located { address, named: text.is_some(), namespace })
    }
}

/// What of a store the options named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreChoice {
    /// Nothing: it is the one in the usual state directory, which the environment may name to all that is started there.
    Nobody,
    /// The state directory that it is in, by an option of this daemon.
    StateDir,
    /// The store.
    Store,
}

/// Where state outlives the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The store.
    pub address: Address,
    /// What of it the options named.
    pub choice: StoreChoice,
    /// Why it is not the one that would have been taken, if another daemon has that.
    pub forgone: Option<String>,
    /// Whose state it is.
    pub namespace: String,
    /// A file with the key that signs what is kept.
    pub key: Option<PathBuf>,
    /// What is done at the start where crontabs differ from those that are kept.
    pub recover: RecoverArg,
    /// What is done with what is due while the store is silent.
    pub when_down: WhenStoreDownArg,
    /// Whether other replicas are left out of account.
    pub local: bool,
}

impl StoreConfig {
    /// Validates the options that are about the store.
    ///
    /// # Errors
    /// No such store; a shared one without a namespace; a namespace that cannot be part of a key.
    pub fn new(
        args: &DaemonArgs,
        state_dir: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Self, UsageError> {
        let (store, namespace) = (args.store.as_deref(), args.namespace.as_deref());
        let Located { address, named, namespace } =
            Located::new(store, namespace, state_dir, warnings)?;
        if args.store_key.is_none() && address.is_open() {
            let text = format!(
                "whoever can write to the store {address} can run commands here: give it a password or TLS, or sign what is kept (--store-key)"
            );
            warnings.push(text);
        }
        if !address.is_shared() {
            let is_given = [
                (args.local, "--local"),
                (args.when_store_down != WhenStoreDownArg::Auto, "--when-store-down"),
            ];
            for (_, option) in is_given.into_iter().filter(|(is_given, _)| *is_given) {
                warnings.push(format!(
                    "{option} says nothing here: it is about a store that replicas share, a Redis, and {address} is this \
                     daemon's own"
                ));
            }
        }
        let choice = match (named, &args.state_dir) {
            (true, _) => StoreChoice::Store,
            (false, Some(_)) if !args.state_dir_by_environment => StoreChoice::StateDir,
            (false, _) => StoreChoice::Nobody,
        };
        Ok(StoreConfig {
            address,
            choice,
            forgone: None,
            namespace,
            key: args.store_key.clone(),
            recover: args.recover,
            when_down: args.when_store_down,
            local: args.local,
        })
    }
}

/// The store that the options or the file of `CRONKEEP_STORE_FILE` name.
fn named(given: Option<&str>, warnings: &mut Vec<String>) -> Result<Option<String>, UsageError> {
    if let Some(text) = given {
        if Address::has_secret(text)
            && std::env::args_os().any(|word| word.as_encoded_bytes().ends_with(text.as_bytes()))
        {
            let text = "the store's password is on the command line, where every user of this host can read it: \
                        CRONKEEP_STORE_FILE names a file instead";
            warnings.push(text.to_owned());
        }
        return Ok(Some(text.to_owned()));
    }
    let Some(path) = std::env::var_os("CRONKEEP_STORE_FILE") else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        UsageError(format!("CRONKEEP_STORE_FILE {}: {error}", Path::new(&path).display()))
    })?;
    Ok(Some(text.trim_end().to_owned()))
}

fn is_name(text: &str) -> bool {
    let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    (1..=64).contains(&text.len()) && text.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_can_be_part_of_a_key() {
        for name in ["default", "a", "web-1.prod_eu", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a b", "a:b", "{a}", "é", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
