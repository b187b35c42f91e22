//! `NAME=value` lines.
use super::Text;

/// One `NAME=value` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Setting {
    /// Left of the equals sign, quotes removed.
    pub name: Text,
    /// Right of it, quotes and outer blanks removed.
    pub value: Text,
}

/// The settings in force at some line, each name once, in the order in which the names first appeared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Settings(pub Vec<Setting>);

impl Settings {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Text> {
        self.0
            .iter()
            .find(|setting| setting.name.as_bytes() == name.as_bytes())
            .map(|setting| &setting.value)
    }
}
