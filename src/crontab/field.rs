//! One time field: `*/5`, `1-5`, `mon,wed`, `10~20`, `L`.
use crate::schedule::Schedule;

/// Fields of which some values are drawn later.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DrawnFields {}

impl DrawnFields {
    /// Draws every `~` from `seed`.
    #[must_use]
    pub fn resolve(&self, seed: u64) -> Schedule {
        let _ = seed;
        todo!()
    }
}
