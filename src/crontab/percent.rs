//! `%` in a command: the end of the command, then lines of standard input (cronie's do_command.c).

/// A command split at its first bare `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What the shell gets; `\%` has become `%`.
    pub command: Vec<u8>,
    /// What the job reads; empty where there is no `%`.
    pub stdin: Vec<u8>,
}

/// Splits a raw command.
#[must_use]
pub fn split(raw: &[u8]) -> Split {
    let _ = raw;
    todo!()
}
