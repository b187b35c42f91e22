//! The time part of an entry, on its own: `*/5 * * * *`, `@daily`, `@every 90s`.
use crate::schedule::Schedule;

use super::field::DrawnFields;
use super::{Compat, FieldCount, Mistake};

/// When an entry is due, as far as its text says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum When {
    /// The text says it all.
    Fixed(Schedule),
    /// The text has `~`: some values are drawn when the job is known.
    Drawn(Box<DrawnFields>),
}

impl When {
    /// The schedule, with every `~` drawn from `seed`: the same seed gives the same schedule, always.
    #[must_use]
    pub fn resolve(&self, seed: u64) -> Schedule {
        match self {
            When::Fixed(schedule) => schedule.clone(),
            When::Drawn(fields) => fields.resolve(seed),
        }
    }
}

/// A schedule that stands alone, as on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Expression {
    /// When it is due.
    pub when: When,
    /// The tokens with one blank between them.
    pub text: String,
}

/// Reads an expression: five, six or seven fields, a nickname, `@every`, `@at`.
///
/// # Errors
/// The first mistake; its span counts bytes of `text`.
pub fn parse(text: &[u8], fields: FieldCount, compat: Compat) -> Result<Expression, Mistake> {
    let _ = (text, fields, compat);
    todo!()
}
