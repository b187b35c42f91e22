//! Texts that are in force though their files say something else, since those could not be written; and what becomes of
//! them when the files are edited.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::config::PlaceSpec;
use crate::crontab::{self, Dialect, Source};
use crate::daemon::standing::Key;
use crate::store::recovery::merge;
use crate::watch::{Change, Edit, Notice, Text};

/// A text that is in force though the file says something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FromMemory {
    pub(super) key: Key,
    /// What the file says; none: it is missing.
    pub(super) found: Option<Vec<u8>>,
    pub(super) text: Vec<u8>,
}

/// All of them.
pub(super) struct Memory {
    places: Arc<[PlaceSpec]>,
    texts: BTreeMap<Key, FromMemory>,
    /// With which texts edits that were taken in are to be compared to tell what they changed.
    before: HashMap<Key, Vec<u8>>,
}

impl Memory {
    pub(super) fn new(places: Arc<[PlaceSpec]>) -> Self {
        Memory { places, texts: BTreeMap::new(), before: HashMap::new() }
    }

    /// Takes those of a recovery, and forgets the ones before.
    pub(super) fn replace(&mut self, texts: Vec<FromMemory>) {
        self.before.clear();
        self.texts = texts.into_iter().map(|memory| (memory.key.clone(), memory)).collect();
    }

    /// The text in force from memory for a crontab, with what its file says.
    pub(super) fn get(&self, key: &Key) -> Option<&FromMemory> {
        self.texts.get(key)
    }

    /// What puts them in force, but for those that are `done`.
    pub(super) fn edits(&self, done: &[Edit]) -> Vec<Edit> {
        let is_done =
            |key: &Key| done.iter().any(|edit| (edit.place, &edit.path) == (key.0, &key.1));
        let all = self.texts.iter().filter(|(key, _)| !is_done(key));
        all.map(|((place, path), memory)| {
            let text = Some(Text::of(memory.text.clone()));
            Edit { place: *place, path: Arc::clone(path), text }
        })
        .collect()
    }

    /// Merges what files say now with what is in force from memory.
    ///
    /// A file that is emptied, or removed from its directory, has nothing in memory any more: what else could that mean.
    pub(super) fn amend(&mut self, change: &mut Change) {
        for edit in &mut change.edits {
            let key = (edit.place, Arc::clone(&edit.path));
            let Some(memory) = self.texts.get_mut(&key) else { continue };
            let found = edit.text.as_ref().map(|text| &text.bytes[..]);
            if found == memory.found.as_deref() {
                edit.text = Some(Text::of(memory.text.clone()));
                continue;
            }
            let is_away = |notice: &Notice| matches!(notice, Notice::Degraded { place, path, .. } if (*place, path) == (key.0, &key.1));
            match found {
                // It may come back as it was.
                None if change.notices.iter().any(is_away) => {}
                None | Some(b"") => {
                    if let Some(memory) = self.texts.remove(&key) {
                        self.before.insert(key, memory.text);
                    }
                }
                Some(file) => {
                    let spec = self.places.get(key.0);
                    let dialect = spec.map_or_else(Dialect::system, |it| it.dialect(&key.1));
                    // What is refused as a whole changes nothing.
                    if !is_accepted(file, &dialect) {
                        continue;
                    }
                    let ancestor = memory.found.take().unwrap_or_default();
                    let merged = merge(file, &memory.text, &ancestor, &dialect).text;
                    self.before.entry(key.clone()).or_insert(ancestor);
                    if merged == file {
                        self.texts.remove(&key);
                    } else {
                        memory.found = Some(file.to_vec());
                        memory.text.clone_from(&merged);
                        edit.text = Some(Text::of(merged));
                    }
                }
            }
        }
    }

    /// With what the text of a crontab that was taken in last is to be compared, if not with what its marker says.
    pub(super) fn take_before(&mut self, key: &Key) -> Option<Vec<u8>> {
        self.before.remove(key)
    }
}

fn is_accepted(text: &[u8], dialect: &Dialect) -> bool {
    let source = Source { name: "".into(), bytes: text.to_vec(), dialect: dialect.clone() };
    crontab::parse(&source).accepted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Occasion;
    use std::path::Path;

    const X: &str = "0 1 * * * root x\n";
    const Y: &str = "0 2 * * * root y\n";
    const Z: &str = "0 3 * * * root z\n";

    fn key() -> Key {
        (0, Path::new("/etc/crontab").into())
    }

    /// The file says X; X and Y are in force.
    fn memory() -> Memory {
        let mut memory = Memory::new(Arc::new([]));
        let text = format!("{X}{Y}").into_bytes();
        memory.replace(vec![FromMemory { key: key(), found: Some(X.into()), text }]);
        memory
    }

    /// What is in force when the file says this.
    fn put(memory: &mut Memory, text: Option<&str>, notices: Vec<Notice>) -> Option<String> {
        let (place, path) = key();
        let text = text.map(|text| Text::of(text.into()));
        let edits = vec![Edit { place, path, text }];
        let mut change = Change { occasion: Occasion::Edit, notices, edits, reloads: 0 };
        memory.amend(&mut change);
        let text = change.edits.remove(0).text;
        text.map(|text| String::from_utf8(text.bytes).unwrap())
    }

    #[test]
    fn what_the_file_says_as_before_leaves_all_in_force() {
        let mut memory = memory();
        assert_eq!(put(&mut memory, Some(X), Vec::new()).unwrap(), format!("{X}{Y}"));
        assert_eq!(memory.take_before(&key()), None);
    }

    #[test]
    fn edits_are_merged_and_compared_with_the_text_before_the_first_that_was_not_kept() {
        let mut memory = memory();
        let both = format!("{X}{Z}");
        assert_eq!(put(&mut memory, Some(&both), Vec::new()).unwrap(), format!("{X}{Z}{Y}"));
        assert_eq!(put(&mut memory, Some(Z), Vec::new()).unwrap(), format!("{Z}{Y}"));
        assert_eq!(memory.take_before(&key()).as_deref(), Some(X.as_bytes()));
        assert_eq!(put(&mut memory, Some(X), Vec::new()).unwrap(), format!("{X}{Y}"));
        assert_eq!(memory.take_before(&key()).as_deref(), Some(Z.as_bytes()));
    }

    #[test]
    fn a_file_that_has_it_all_needs_no_memory() {
        let mut memory = memory();
        let both = format!("{X}{Y}");
        assert_eq!(put(&mut memory, Some(&both), Vec::new()).unwrap(), both);
        assert_eq!(memory.get(&key()), None);
        assert_eq!(memory.take_before(&key()).as_deref(), Some(X.as_bytes()));
    }

    #[test]
    fn a_file_that_is_away_comes_back_and_one_that_is_gone_does_not() {
        let (place, path) = key();
        let trouble = crate::watch::Trouble::Missing;
        let away = Notice::Degraded { place, path, trouble, kept: false };
        let mut memory = memory();
        assert_eq!(put(&mut memory, None, vec![away]), None);
        assert_eq!(put(&mut memory, Some(X), Vec::new()).unwrap(), format!("{X}{Y}"));
        assert_eq!(put(&mut memory, None, Vec::new()), None);
        let before = format!("{X}{Y}");
        assert_eq!(memory.take_before(&key()).as_deref(), Some(before.as_bytes()));
        assert_eq!(put(&mut memory, Some(X), Vec::new()).unwrap(), X);
    }
}
