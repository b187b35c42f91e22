//! The snapshot that the store held last, as far as is known here: to be put again where the store has lost it.

use super::hash_of;
use crate::store::Versioned;
use crate::store::deposit::Deposit;
use crate::store::recovery::Snapshot;

/// A snapshot with its version.
pub(super) struct Last {
    pub(super) version: u64,
    /// What tells the bytes that the store held from others.
    hash: u64,
    /// Those bytes, packed: nobody needs them as long as all is well.
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
    /// Of the bytes that lie in the store under a version.
    pub(super) fn new(version: u64, bytes: &[u8]) -> Self {
        let packed = lz4_flex::compress_prepend_size(bytes).into();
        Last { version, hash: hash_of(bytes), packed }
    }

    /// The same, under the version that the store gave it.
    pub(super) fn under(self, version: u64) -> Self {
        Last { version, ..self }
    }

    /// Whether it is what lies in the store, byte by byte.
    pub(super) fn is(&self, found: &Versioned) -> bool {
        self.version == found.version && self.hash == hash_of(&found.bytes)
    }

    /// It as it was.
    pub(super) fn snapshot(&self) -> Option<Snapshot> {
        let bytes = lz4_flex::decompress_size_prepended(&self.packed).ok()?;
        // It was read with its seal, or sealed here.
        let found = Versioned { version: self.version, bytes };
        Deposit::from_bytes(&found, None).ok().map(|deposit| deposit.snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_the_same_when_it_is_put_again() {
        let bytes = br#"{"schema":1,"files":{}}"#;
        let snapshot = Snapshot::from_bytes(bytes).unwrap();
        let last = Last::new(4, bytes);
        assert_eq!((last.version, last.snapshot()), (4, Some(snapshot)));
    }

    #[test]
    fn it_is_told_from_others_by_version_and_bytes() {
        let bytes = br#"{"schema":1,"files":{}}"#.to_vec();
        let last = Last::new(4, &bytes);
        let other = br#"{"schema":1,"files":{} }"#.to_vec();
        assert!(last.is(&Versioned { version: 4, bytes: bytes.clone() }));
        assert!(!last.is(&Versioned { version: 5, bytes }));
        assert!(!last.is(&Versioned { version: 4, bytes: other }));
    }
}
