//! How the store stands, as it is told.

use jiff::Timestamp;
use tokio::sync::watch;

use super::Writer;
use crate::store::{Standing, StoreError};

/// Whether an error says that the store does not take what it is asked to, however often, though it is there.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    match error {
        StoreError::Refused(_) | StoreError::Corrupt(_) | StoreError::Newer { .. } => true,
        // A full one has a standing of its own.
        StoreError::Down(_) | StoreError::Full(_) => false,
    }
}

impl Writer {
    /// Whether it was refused what it wrote last.
    pub(super) fn is_refused(&self) -> bool {
        let standing = self.standing.borrow();
        matches!(&*standing, Standing::Down { error: StoreError::Refused(_), .. })
    }
}

/// Whether all that is known of the store is that it refuses something, or not even that.
pub(super) fn is_unproved(standing: &Standing) -> bool {
    match standing {
        Standing::Unknown => true,
        Standing::Down { error, .. } => is_refusal(error),
        Standing::Up | Standing::Strained { .. } => false,
    }
}

/// Notes that the store answered, and is not well.
pub(super) fn strain(standing: &watch::Sender<Standing>, error: StoreError) {
    let new = Standing::Strained { error };
    standing.send_if_modified(|standing| {
        let changed = *standing != new;
        *standing = new;
        changed
    });
}

/// Notes that the store answered, or with what error it did not; without `waiting` as many writes wait as before.
pub(in crate::store) fn note(
    standing: &watch::Sender<Standing>,
    now: Timestamp,
    error: Option<&StoreError>,
    waiting: Option<usize>,
) {
    standing.send_if_modified(|standing| {
        let new = match (error, &*standing) {
            (None, _) => Standing::Up,
            (Some(error), Standing::Down { since, waiting: before, .. }) => {
                let waiting = waiting.unwrap_or(*before);
                Standing::Down { since: *since, error: error.clone(), waiting }
            }
            (Some(error), _) => {
                let waiting = waiting.unwrap_or_default();
                Standing::Down { since: now, error: error.clone(), waiting }
            }
        };
        let changed = *standing != new;
        *standing = new;
        changed
    });
}
