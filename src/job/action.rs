//! What a run does.
use crate::crontab::Text;

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `SHELL -c command`, with this standard input.
    Shell {
        /// After `%` processing.
        command: Text,
        /// Empty where the line has no `%`.
        stdin: Text,
    },
}
