//! The source line with a caret under the mistake.
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{characters, legible, legible_text};
use crate::crontab::{Fault, Severity};

/// How many characters of a mistake are underlined at most.
const WIDEST: usize = 80;

/// A file's text with the places of its lines: many faults of one file find theirs at once.
#[derive(Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Finds the lines of `bytes`, the whole file.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        let breaks = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(place, _)| place + 1)).collect();
        Lines { bytes, starts }
    }

    /// Line `number`, from 1, without its end; empty where there is none.
    fn line(&self, number: usize) -> &'a [u8] {
        let index = number.max(1) - 1;
        let Some(&start) = self.starts.get(index) else { return &[] };
        let end = self.starts.get(index + 1).map_or(self.bytes.len(), |next| next - 1);
        let line = &self.bytes[start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line }
    }
}

/// A fault as people read it: message, place, source line with carets, help. Ends without line break.
///
/// `lines` are those of the file; `colour` tells whether escape sequences for a terminal are wanted. A line wider than
/// 140 columns is shown around the mistake only.
#[must_use]
pub fn caret(name: &str, lines: &Lines<'_>, fault: &Fault, colour: bool) -> String {
    let number = fault.line as usize;
    let view = View::of(lines.line(number), fault);
    let level = match fault.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let name = legible_text(name);
    let snippet = Snippet::source(view.text.as_str())
        .path(name.as_ref())
        .line_start(number)
        .annotation(AnnotationKind::Primary.span(view.span.clone()));
    let message = legible_text(&fault.message);
    let help = fault.help.as_deref().map(legible_text);
    let mut group =
        level.primary_title(message.as_ref()).id(fault.code.to_string()).element(snippet);
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_ref()));
    }
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// A line as it is shown, and where the mistake is in it, in bytes.
struct View {
    text: String,
    span: Range<usize>,
}

impl View {
    fn of(line: &[u8], fault: &Fault) -> Self {
        let start = fault.column.max(1) as usize - 1;
        let end = (fault.end_column.max(1) as usize - 1).clamp(start, start + WIDEST);
        let mut view = View { text: String::with_capacity(line.len()), span: 0..0 };
        for (place, character) in characters(line).enumerate() {
            if place == start {
                view.span.start = view.text.len();
            }
            if place == end {
                view.span.end = view.text.len();
            }
            // One column for each character, or the carets would stand elsewhere.
            view.text.push(if character == '\t' { ' ' } else { legible(character) });
            if place < start {
                view.span.start = view.text.len();
            }
            if place < end {
                view.span.end = view.text.len();
            }
        }
        view.span.end = view.span.end.max(view.span.start);
        view
    }
}
