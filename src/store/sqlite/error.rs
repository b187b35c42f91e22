//! What SQLite says, in our terms.

use rusqlite::ErrorCode;

use super::super::StoreError;

/// A result of SQLite that is to be told in our terms.
pub(super) trait SqlResult<T> {
    /// The same result in our terms.
    fn told(self) -> Result<T, StoreError>;
}

impl<T> SqlResult<T> for rusqlite::Result<T> {
    fn told(self) -> Result<T, StoreError> {
        self.map_err(|error| {
            let text = match &error {
                rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
                other => other.to_string(),
            };
            let Some(code) = error.sqlite_error_code() else {
                // A value of a type that no version of ours has put there.
                return match error {
                    // A statement of ours that is wrong says nothing about the file.
                    rusqlite::Error::InvalidParameterCount(..)
                    | rusqlite::Error::InvalidParameterName(_)
                    | rusqlite::Error::InvalidColumnIndex(_)
                    | rusqlite::Error::InvalidColumnName(_)
                    | rusqlite::Error::ToSqlConversionFailure(_)
                    | rusqlite::Error::ExecuteReturnedResults
                    | rusqlite::Error::MultipleStatement => StoreError::Refused(text),
                    _ => StoreError::Corrupt(text),
                };
            };
            match code {
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(text),
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::CannotOpen
                | ErrorCode::SystemIoFailure
                // Opened while nothing could be written there, though that was asked for.
                | ErrorCode::ReadOnly
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory => StoreError::Down(text),
                ErrorCode::DiskFull => StoreError::Full(text),
                _ => StoreError::Refused(text),
            }
        })
    }
}

/// The same error with the file named.
pub(super) fn of_file(error: StoreError, path: &std::path::Path) -> StoreError {
    let named = |text: String| format!("{}: {text}", path.display());
    match error {
        StoreError::Down(text) => StoreError::Down(named(text)),
        StoreError::Full(text) => StoreError::Full(named(text)),
        StoreError::Refused(text) => StoreError::Refused(named(text)),
        StoreError::Corrupt(text) => StoreError::Corrupt(named(text)),
        newer @ StoreError::Newer { .. } => newer,
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params};

    use super::*;

    #[test]
    fn a_statement_that_is_wrong_says_nothing_about_the_file() {
        let connection = Connection::open_in_memory().unwrap();
        let too_many = connection.execute("SELECT ?1", params![1, 2]).told();
        assert!(matches!(too_many, Err(StoreError::Refused(_))), "{too_many:?}");
        let rows = connection.query_row("SELECT 'text'", [], |row| row.get::<_, i64>(0)).told();
        assert!(matches!(rows, Err(StoreError::Corrupt(_))), "{rows:?}");
    }
}
