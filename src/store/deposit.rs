//! A snapshot as it lies in a store: with when it was put there and by whom, and sealed where there is a key.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Versioned;
use super::recovery::snapshot::SCHEMA;
use super::recovery::{BadSnapshot, FileSnapshot, Snapshot};
use super::seal::{BadSeal, Kind, Seal, content};

/// A snapshot, with when it was put and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deposit {
    /// When, wall clock of whoever put it; none where that is not known.
    pub at: Option<Timestamp>,
    /// The host's name; empty where that is not known.
    pub host: String,
    /// The crontabs.
    pub snapshot: Snapshot,
}

/// Why what lies in a store is not taken for a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BadDeposit {
    /// It was not put there by somebody who has the key.
    #[error("the snapshot is refused: {0}")]
    Seal(BadSeal),
    /// It is signed, and there is no key to judge it by: what is put there instead would not be.
    #[error("the snapshot is refused: it is signed, and this daemon has no --store-key")]
    Keyless,
    /// A newer one was there before.
    #[error(
        "the snapshot is refused: it has version {found}, and version {known} was here before (remove {} if that is meant)",
        file.display()
    )]
    Older {
        /// Its version.
        found: u64,
        /// The newest that was seen.
        known: u64,
        /// Where that is kept.
        file: PathBuf,
    },
    /// It is something else, or of a later version.
    #[error(transparent)]
    Snapshot(#[from] BadSnapshot),
}

impl BadDeposit {
    /// Whether another key, or one at all, may be the remedy.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        matches!(self, BadDeposit::Seal(_) | BadDeposit::Keyless)
    }
}

impl From<BadSeal> for BadDeposit {
    fn from(error: BadSeal) -> Self {
        // Its words are part of ours: it is no source that would be told once more.
        BadDeposit::Seal(error)
    }
}

/// Where the newest version is kept that was seen: one that is older may have been put back by somebody who has no key.
#[must_use]
pub fn newest(state_dir: &Path, namespace: &str) -> PathBuf {
    state_dir.join(format!("newest-{namespace}"))
}

/// Compares a version with the newest that is kept in `file`, which is left as it is.
///
/// # Errors
/// A newer one was seen before.
pub fn check_newest(file: PathBuf, found: u64) -> Result<u64, BadDeposit> {
    let text = fs::read_to_string(&file).unwrap_or_default();
    let known = text.trim_end().parse().unwrap_or(0);
    if found < known { Err(BadDeposit::Older { found, known, file }) } else { Ok(known) }
}

/// What is told of a deposit beside the snapshot.
#[derive(Serialize, Deserialize, Default)]
struct Head {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    host: String,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    snapshot: &'a Snapshot,
    #[serde(flatten)]
    head: Head,
}

/// As [`Written`], read back.
#[derive(Deserialize)]
struct Read {
    schema: u32,
    files: BTreeMap<String, FileSnapshot>,
    #[serde(default)]
    attended: Option<i64>,
    #[serde(default)]
    at: Option<String>,
    #[serde(default)]
    host: String,
}

impl Deposit {
    /// The bytes to be put under this version.
    #[must_use]
    pub fn to_bytes(&self, version: u64, seal: Option<&Seal>) -> Vec<u8> {
        let head = Head { at: self.at.map(|at| at.to_string()), host: self.host.clone() };
        let written = Written { snapshot: &self.snapshot, head };
        // Keys are strings, and writing to memory does not fail.
        let bytes = serde_json::to_vec(&written).unwrap_or_default();
        match seal {
            Some(seal) => seal.seal(Kind::Snapshot, version, &bytes),
            None => bytes,
        }
    }

    /// Reads what was put; with a seal only what bears it.
    ///
    /// # Errors
    /// It does not bear it, or is no snapshot that is known here.
    pub fn from_bytes(found: &Versioned, seal: Option<&Seal>) -> Result<Self, BadDeposit> {
        let bytes = match seal {
            Some(seal) => seal.open(Kind::Snapshot, found.version, &found.bytes)?,
            None => content(&found.bytes),
        };
        // Read once where all is well: it may be large.
        let (Head { at, host }, snapshot) = match serde_json::from_slice::<Read>(bytes) {
            Ok(Read { schema, files, attended, at, host }) if schema <= SCHEMA => {
                (Head { at, host }, Snapshot { schema, files, attended })
            }
            _ => {
                let snapshot = Snapshot::from_bytes(bytes)?;
                (serde_json::from_slice(bytes).unwrap_or_default(), snapshot)
            }
        };
        let at = at.and_then(|at| at.parse().ok());
        Ok(Deposit { at, host, snapshot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versioned(version: u64, bytes: Vec<u8>) -> Versioned {
        Versioned { version, bytes }
    }

    #[test]
    fn what_was_put_is_read_again_with_and_without_a_seal() {
        let at = Some(Timestamp::UNIX_EPOCH);
        let deposit = Deposit { at, host: "web-1".to_owned(), ..Deposit::default() };
        let seal = Seal::new(b"0123456789abcdef", "web").unwrap();
        let plain = versioned(1, deposit.to_bytes(1, None));
        assert_eq!(
            plain.bytes,
            br#"{"schema":1,"files":{},"at":"1970-01-01T00:00:00Z","host":"web-1"}"#
        );
        assert_eq!(Deposit::from_bytes(&plain, None).unwrap(), deposit);
        let sealed = versioned(2, deposit.to_bytes(2, Some(&seal)));
        assert_eq!(Deposit::from_bytes(&sealed, Some(&seal)).unwrap(), deposit);
        // Who has no key takes it as it is.
        assert_eq!(Deposit::from_bytes(&sealed, None).unwrap(), deposit);
    }

    #[test]
    fn with_a_key_what_is_not_sealed_or_was_put_under_another_version_is_refused() {
        let deposit = Deposit::default();
        let seal = Seal::new(b"0123456789abcdef", "web").unwrap();
        let plain = versioned(1, deposit.to_bytes(1, None));
        let refused = Deposit::from_bytes(&plain, Some(&seal)).unwrap_err();
        assert_eq!(refused.to_string(), "the snapshot is refused: it is not signed");
        assert!(std::error::Error::source(&refused).is_none() && refused.is_of_key());
        let sealed = versioned(3, deposit.to_bytes(2, Some(&seal)));
        assert!(matches!(Deposit::from_bytes(&sealed, Some(&seal)), Err(BadDeposit::Seal(_))));
    }

    #[test]
    fn when_and_who_may_be_unknown() {
        let found = versioned(1, br#"{"schema":1,"files":{}}"#.to_vec());
        assert_eq!(Deposit::from_bytes(&found, None).unwrap(), Deposit::default());
        let found = versioned(1, b"[]".to_vec());
        assert!(matches!(Deposit::from_bytes(&found, None), Err(BadDeposit::Snapshot(_))));
    }
}
