//! Mistakes in a user's text: located, explained, never an error of the program.

use std::fmt;
use std::ops::Range;

/// Whether a fault keeps its line from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The line, or the option named, has no effect.
    Error,
    /// The line runs; it may not do what was meant.
    Warning,
}

/// Declares the codes, their severity and a title each, in one table.
macro_rules! codes {
    ($($code:ident $severity:ident $title:literal,)*) => {
        /// The stable code of a kind of fault: `E…` is an error, `W…` a warning.
        ///
        /// A code keeps its meaning for ever; new kinds get new numbers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $title] $code,)* }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Code] = &[$(Code::$code),*];

            /// What kind of fault it is, in a few words; does not depend on the text at hand.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Code::$code => $title),* }
            }

            /// Whether it is an error or a warning.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Code::$code => Severity::$severity),* }
            }
        }

        impl fmt::Display for Code {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Code::$code => stringify!($code)),* })
            }
        }
    };
}

codes! {
    E001 Error "bad minute",
    E002 Error "bad hour",
    E003 Error "bad day-of-month",
    E004 Error "bad month",
    E005 Error "bad day-of-week",
    E006 Error "bad second",
    E007 Error "bad year",
    E010 Error "bad time specifier",
    E011 Error "bad command",
    E012 Error "bad option",
    E014 Error "bad setting",
    E015 Error "NUL byte",
    E016 Error "command too long",
    E017 Error "too many entries",
    E018 Error "too many settings",
    E020 Error "only privileged users may disable logging",
    E021 Error "unknown time zone",
    E022 Error "ambiguous six fields",
    E030 Error "unknown option in a directive",
    E031 Error "bad value in a directive",
    E032 Error "directive without an entry",
    E033 Error "unknown CRONKEEP_ setting",
    E034 Error "bad value in a CRONKEEP_ setting",
    E035 Error "name already taken",
    E036 Error "cycle of @after jobs",
    E037 Error "@after names no job",
    E040 Error "setting too long",
    E050 Error "bad request",
    W001 Warning "never fires",
    W002 Warning "read with seconds",
    W003 Warning "sixth field is a weekday",
    W004 Warning "user column missing",
    W005 Warning "user column in a user's crontab",
    W006 Warning "unescaped percent sign",
    W007 Warning "unknown user",
    W008 Warning "command not found",
    W009 Warning "both day fields set",
    W010 Warning "uneven step",
    W011 Warning "step above the range",
    W012 Warning "not UTF-8",
    W013 Warning "carriage returns",
    W014 Warning "byte order mark",
    W015 Warning "missing final newline",
    W016 Warning "duplicate entry",
    W017 Warning "same job id",
    W018 Warning "affected by daylight saving",
    W019 Warning "bad random delay",
    W020 Warning "looks like a directive",
    W021 Warning "bad arguments of publish",
}

/// A mistake inside one line, before the line's place in its file is known.
///
/// The grammar makes these; [`Mistake::on_line`] turns them into faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// What kind of mistake it is.
    pub code: Code,
    /// Where, as byte offsets into the line; may be empty, then it points between two characters.
    pub span: Range<usize>,
    /// What is wrong, with the text at hand named: a sentence without capital and full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake without a remedy.
    #[must_use]
    pub fn new(code: Code, span: Range<usize>, message: impl Into<String>) -> Self {
        Mistake { code, span, message: message.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Moves the span right by `bytes`, when the text that was read starts there in the line.
    #[must_use]
    pub fn shifted(mut self, bytes: usize) -> Self {
        self.span = self.span.start + bytes..self.span.end + bytes;
        self
    }

    /// Places the mistake on line `line` (from 1) of a file; `text` is the whole line.
    #[must_use]
    pub fn on_line(self, line: u32, text: &[u8]) -> Fault {
        let start = self.span.start.min(text.len());
        let end = self.span.end.clamp(start, text.len());
        let column = column_of(text, start);
        Fault {
            code: self.code,
            line,
            column,
            end_column: column_of(text, end).max(column),
            message: self.message,
            help: self.help,
        }
    }
}

/// A located mistake in the text of a crontab.
///
/// Columns count characters from 1 (a byte that is not UTF-8 counts as one), the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of fault it is.
    pub code: Code,
    /// Line in its file, from 1.
    pub line: u32,
    /// First character of the mistake.
    pub column: u32,
    /// Character after the last one; equal to `column` where something is missing.
    pub end_column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Fault {
    /// Whether it is an error or a warning.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether it keeps something from having effect.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

/// The column of the character at byte `offset` of a line, from 1.
fn column_of(text: &[u8], offset: usize) -> u32 {
    let before = &text[..offset.min(text.len())];
    let characters: usize = before
        .utf8_chunks()
        .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
        .sum();
    u32::try_from(characters + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_their_severity_by_their_letter() {
        for code in Code::ALL {
            let expected =
                if code.to_string().starts_with('E') { Severity::Error } else { Severity::Warning };
            assert_eq!(code.severity(), expected, "{code}");
        }
    }

    #[test]
    fn columns_count_characters_not_bytes() {
        let line = "é* x".as_bytes();
        let fault = Mistake::new(Code::E001, 2..3, "m").on_line(7, line);
        assert_eq!((fault.line, fault.column, fault.end_column), (7, 2, 3));
    }

    #[test]
    fn a_byte_that_is_not_utf8_counts_as_one_column() {
        let fault = Mistake::new(Code::E011, 2..4, "m").on_line(1, b"\xff\xffab");
        assert_eq!((fault.column, fault.end_column), (3, 5));
    }

    #[test]
    fn a_span_past_the_end_points_behind_the_last_character() {
        let fault = Mistake::new(Code::E011, 9..9, "m").on_line(1, b"ab");
        assert_eq!((fault.column, fault.end_column), (3, 3));
    }
}
