//! The snapshot that the store held last, as far as is known here: to be put again where the store has lost it.

use crate::store::recovery::Snapshot;

/// A snapshot with its version.
pub(super) struct Last {
    pub(super) version: u64,
    /// Packed: nobody needs it as long as all is well.
    packed: Box<[u8]>,
}

/// What became of it.
pub(super) enum Fate {
    /// It is there, or a later one.
    Kept,
    /// Somebody had it forgotten.
    Forgotten,
    /// There is something that is not taken for a snapshot.
    Refused,
    /// The store has lost it, and holds an older one of this version; 0: none.
    Lost(u64),
}

impl Last {
    pub(super) fn new(version: u64, snapshot: &Snapshot) -> Self {
        // Keys are strings, and writing to memory does not fail.
        let bytes = serde_json::to_vec(snapshot).unwrap_or_default();
        Last { version, packed: lz4_flex::compress_prepend_size(&bytes).into() }
    }

    /// It as it was.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let bytes = lz4_flex::decompress_size_prepended(&self.packed).ok()?;
        Snapshot::from_bytes(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_the_same_when_it_is_put_again() {
        let bytes = br#"{"schema":1,"files":{}}"#;
        let snapshot = Snapshot::from_bytes(bytes).unwrap();
        let last = Last::new(4, &snapshot);
        assert_eq!((last.version, last.snapshot()), (4, Some(snapshot)));
    }
}
