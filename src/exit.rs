//! How the program ends: three codes, and the error that means a usage mistake.
//!
//! Layer 9, first of it: every command hands an [`ExitCode`] or an error to `main`.

use std::error::Error;
use std::io;
use std::process;

/// The program's exit code; stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitCode {
    /// 0: done, the answer is yes.
    Success,
    /// 1: the answer is no, or it failed; an unreadable file included.
    Failure,
    /// 2: the command line, or its environment form, is wrong.
    Usage,
    /// That of the job that was waited for.
    Job(u8),
}

impl ExitCode {
    /// The number that the caller sees.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Success => 0,
            ExitCode::Failure => 1,
            ExitCode::Usage => 2,
            ExitCode::Job(code) => code,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        process::ExitCode::from(code.number())
    }
}

/// A mistake in what was asked for, found after the command line was split into its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// The exit code that an error ends the program with.
///
/// A [`UsageError`] anywhere in the chain is [`ExitCode::Usage`]; a reader that went away (`cronkeep next | head`) is
/// [`ExitCode::Success`]: it has what it wanted.
#[must_use]
pub fn code_of(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(<dyn Error>::is::<UsageError>) {
        ExitCode::Usage
    } else if error.chain().any(is_broken_pipe) {
        ExitCode::Success
    } else {
        ExitCode::Failure
    }
}

/// Whether the error says that nobody reads what we write.
fn is_broken_pipe(cause: &(dyn Error + 'static)) -> bool {
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    kind.or(json) == Some(io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_usage_error_is_two_however_deep_it_is() {
        let error = anyhow::Error::new(UsageError("x".into())).context("outer");
        assert_eq!(code_of(&error), ExitCode::Usage);
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(broken()).context("failed to write").unwrap_err();
        assert_eq!(code_of(&error), ExitCode::Success);
        let error = anyhow::Error::new(serde_json::Error::io(broken()));
        assert_eq!(code_of(&error), ExitCode::Success);
    }

    #[test]
    fn anything_else_is_one() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::NotFound));
        assert_eq!(code_of(&error).number(), 1);
    }
}
