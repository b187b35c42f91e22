//! The snapshot that the store held last, as far as is known here: to be put again where the store has lost it.

use super::hash_of;
use crate::store::Versioned;
use crate::store::recovery::{Content, Snapshot};

/// A snapshot with its version.
pub(super) struct Last {
    pub(super) version: u64,
    /// What tells the bytes that the store held from others.
    hash: u64,
    /// What they said; none: nothing that can be put again.
    packed: Option<Packed>,
}

/// A snapshot in little memory: nobody needs it as long as all is well.
struct Packed {
    /// But for what is said twice.
    bytes: Box<[u8]>,
    /// The crontabs that say what the image brought along.
    unchanged: Vec<String>,
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
    /// Of the bytes that lie in the store under a version, and the snapshot that they are, if they are one.
    pub(super) fn new(version: u64, bytes: &[u8], snapshot: Option<&Snapshot>) -> Self {
        Last { version, hash: hash_of(bytes), packed: snapshot.cloned().map(Packed::new) }
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
        self.packed.as_ref()?.snapshot()
    }
}

impl Packed {
    fn new(mut snapshot: Snapshot) -> Self {
        let mut unchanged = Vec::new();
        for (path, file) in &mut snapshot.files {
            if file.text.as_ref() == Some(&file.base) {
                file.base = Content::default();
                unchanged.push(path.clone());
            }
        }
        Packed { bytes: lz4_flex::compress_prepend_size(&snapshot.to_bytes()).into(), unchanged }
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let bytes = lz4_flex::decompress_size_prepended(&self.bytes).ok()?;
        let mut snapshot = Snapshot::from_bytes(&bytes).ok()?;
        for path in &self.unchanged {
            let file = snapshot.files.get_mut(path)?;
            file.base = file.text.clone()?;
        }
        Some(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::recovery::{Columns, FileSnapshot, Instance};

    /// A crontab that says this, and that the image brought along saying that.
    fn file(text: Option<&str>, base: &str) -> FileSnapshot {
        let content = |text: &str| Content(Arc::new(text.as_bytes().to_vec()));
        FileSnapshot {
            text: text.map(content),
            base: content(base),
            instances: vec![Instance("one".to_owned())],
            undecided: Vec::new(),
            access: None,
            columns: Columns::User,
            user: "root".to_owned(),
            named: Some(1),
        }
    }

    #[test]
    fn a_snapshot_is_the_same_when_it_is_put_again() {
        let files = [
            ("/edited", file(Some("* * * * * a\n"), "* * * * * b\n")),
            ("/gone", file(None, "* * * * * b\n")),
            ("/made", file(Some("* * * * * a\n"), "")),
            ("/never", file(None, "")),
            ("/nothing", file(Some(""), "")),
            ("/unchanged", file(Some("* * * * * b\n"), "* * * * * b\n")),
        ];
        let files = files.map(|(path, file)| (path.to_owned(), file)).into();
        let snapshot = Snapshot { files, attended: Some(7), ..Snapshot::default() };
        let last = Last::new(4, &snapshot.to_bytes(), Some(&snapshot));
        assert_eq!((last.version, last.snapshot()), (4, Some(snapshot)));
        assert_eq!(Last::new(4, b"x", None).snapshot(), None);
    }

    #[test]
    fn what_the_image_brought_along_takes_no_memory_of_its_own() {
        let line =
            |number: u32| format!("{} * * * * job {}\n", number % 60, number * 7919 % 10_007);
        let text: String = (0..10_000).map(line).collect();
        let packed = |base: &str| {
            let files = [("/x".to_owned(), file(Some(&text), base))].into();
            Packed::new(Snapshot { files, ..Snapshot::default() }).bytes.len()
        };
        assert!(packed(&text) <= packed(""));
    }

    #[test]
    fn it_is_told_from_others_by_version_and_bytes() {
        let bytes = br#"{"schema":1,"files":{}}"#.to_vec();
        let last = Last::new(4, &bytes, None);
        let other = br#"{"schema":1,"files":{} }"#.to_vec();
        assert!(last.is(&Versioned { version: 4, bytes: bytes.clone() }));
        assert!(!last.is(&Versioned { version: 5, bytes }));
        assert!(!last.is(&Versioned { version: 4, bytes: other }));
    }
}
