//! Faults for people and programs: caret, one line, JSON, SARIF.
//!
//! What comes from a crontab is shown to a terminal, so no character of it may act on one: control
//! characters appear as their pictures, and each stays one column wide.

mod caret;
mod json;
mod line;
mod sarif;

pub use caret::{Lines, caret};
pub use json::FaultObject;
pub use line::line;
pub use sarif::sarif;

use std::borrow::Cow;

/// `character` as a terminal may see it.
fn legible(character: char) -> char {
    match character {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\x7f' => '\u{2421}',
        // C1 controls, and what turns the direction of writing: both can make a line look like another.
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        other => other,
    }
}

/// `text` as a terminal may see it, as long as before.
fn legible_text(text: &str) -> Cow<'_, str> {
    if text.chars().all(|character| legible(character) == character) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.chars().map(legible).collect())
    }
}

/// The characters of a line by which columns count: a byte that is not UTF-8 is one.
fn characters(line: &[u8]) -> impl Iterator<Item = char> {
    line.utf8_chunks().flat_map(|chunk| {
        let invalid = chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(invalid)
    })
}

#[cfg(test)]
mod tests;
