//! Why a row, or a whole cache, is not taken.
use super::json::{MOST_BYTES, MOST_ROWS};

/// Why nothing of a cache is taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is longer than [`MOST_BYTES`].
    #[error("the cached rows take {0} bytes, more than {MOST_BYTES}")]
    TooLong(usize),
    /// It does not begin as an array does.
    #[error("the cached rows are not a JSON array: they begin with {0:?}")]
    NotAnArray(String),
}

/// Why one row is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Not JSON, as the parser says.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but no array of seven strings; says what it is.
    #[error("not seven strings: {0}")]
    NotARow(String),
    /// More bytes of JSON than any line of a crontab can make.
    #[error("longer than any line of a crontab")]
    TooLong,
    /// Beyond the rows that are looked at; the last reason of a cache.
    #[error("more than {MOST_ROWS} rows: the rest is not looked at")]
    TooMany,
    /// A control character other than a tabulator.
    #[error("control character U+{:04X} in the {part}", u32::from(*character))]
    Control {
        /// Where: `schedule`, `user` or `command`.
        part: &'static str,
        /// Which.
        character: char,
    },
    /// There is nothing where a schedule, a user or a command is to be; says which.
    #[error("there is no {0}")]
    Empty(&'static str),
    /// The line would be a comment.
    #[error("its line is a comment")]
    Comment,
    /// The Python service would read another job, or none, from its line: its id does not re-hash.
    #[error("its line reads back as another job than {id}")]
    Rehash {
        /// The id of the row as it stands.
        id: String,
    },
    /// Its line is none that Cronkeep runs; the first fault.
    #[error("its line is an error: {0}")]
    Faulty(String),
    /// The user is not known here.
    #[error("no user {0:?} here")]
    UnknownUser(String),
}
