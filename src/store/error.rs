//! What can be wrong with a store.

/// What can be wrong with a store. None of it ends the daemon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or did not answer in time.
    #[error("{0}")]
    Down(String),
    /// There is no space left where it is.
    #[error("{0}")]
    Full(String),
    /// It does not take what it is asked to: a wrong password, a replica that only reads, no memory.
    #[error("{0}")]
    Refused(String),
    /// A later version of this program has written to it.
    #[error(
        "its schema has version {found}, this program knows up to {known}: use a later cronkeep, or another store or namespace"
    )]
    Newer {
        /// The version found.
        found: u32,
        /// The latest that is known.
        known: u32,
    },
    /// What it holds makes no sense.
    #[error("{0}")]
    Corrupt(String),
}
