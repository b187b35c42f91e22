//! The crontab language: from the bytes of a file to entries and faults.
//!
//! Receives a [`Source`], hands on a [`Crontab`]: one [`Line`] for each physical line, and the faults. Layer
//! 2: pure; it reads no file, no clock, no user database, and no input makes it fail as a whole.

pub mod directive;
pub mod edit;
pub mod entry;
pub mod expression;
pub mod fault;
pub mod field;
pub mod grammar;
mod hash;
mod line;
pub mod option;
pub mod percent;
mod reader;
mod remark;
pub mod render;
pub mod setting;
pub mod source;
pub mod text;

pub use directive::Options;
pub use entry::{Entry, Flags};
pub use expression::{Expression, When};
pub use fault::{Code, Fault, Mistake, Severity};
pub(crate) use hash::Seeded;
pub use setting::{Setting, Settings};
pub use source::{Compat, Dialect, FieldCount, Format, Origin, Source};
pub use text::Text;

use std::ops::Range;

/// A crontab as read: every line, and every fault, in file order.
#[derive(Debug, Clone)]
pub struct Crontab {
    /// One for each physical line.
    pub lines: Vec<Line>,
    /// What is wrong, by line and column.
    pub faults: Vec<Fault>,
    /// Whether the file counts at all: false above a spool table's limits, and with an error under `strict`.
    pub accepted: bool,
    /// Whether an entry was given a name, or waits for one that has it (`@after`).
    pub(crate) is_related: bool,
}

/// One physical line.
#[derive(Debug, Clone)]
pub struct Line {
    /// From 1.
    pub number: u32,
    /// Bytes of the file, without the line's end.
    pub span: Range<usize>,
    /// What it is.
    pub kind: LineKind,
}

/// What a line is.
#[derive(Debug, Clone)]
pub enum LineKind {
    /// Blanks only.
    Blank,
    /// `# …`
    Comment,
    /// `# cronkeep: …`
    Directive,
    /// `NAME=value`
    Setting(Setting),
    /// A line that runs a command.
    Entry(Box<Entry>),
    /// None of these; the faults say why.
    Error,
}

/// Reads a crontab. Never fails: what cannot be read is a fault.
#[must_use]
pub fn parse(source: &Source) -> Crontab {
    reader::Reader::new(source).read()
}

/// Where each physical line of a file stands, without its line's end: one for each of [`Crontab::lines`].
pub fn spans(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    line::physical(bytes).map(|line| line.span)
}

impl Crontab {
    /// The entries, in file order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| match &line.kind {
            LineKind::Entry(entry) => Some(entry.as_ref()),
            _ => None,
        })
    }

    /// Whether any fault is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.faults.iter().any(Fault::is_error)
    }
}

#[cfg(test)]
mod tests;
