//! Statements that one transaction runs again and again.

use rusqlite::{CachedStatement, Connection};

use super::super::StoreError;
use super::error::SqlResult as _;

/// The statements of a transaction, each looked up once: the connection finds them by their whole text.
pub(super) struct Prepared<'c> {
    connection: &'c Connection,
    statements: Vec<(&'static str, CachedStatement<'c>)>,
}

impl<'c> Prepared<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Prepared { connection, statements: Vec::new() }
    }

    /// The statement of this text; of equal texts in two places each has its own.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn get(
        &mut self,
        sql: &'static str,
    ) -> Result<&mut CachedStatement<'c>, StoreError> {
        let known = self.statements.iter().position(|(known, _)| std::ptr::eq(*known, sql));
        let place = known.unwrap_or(self.statements.len());
        if known.is_none() {
            self.statements.push((sql, self.connection.prepare_cached(sql).told()?));
        }
        Ok(&mut self.statements[place].1)
    }

    /// The number of the row that was put last.
    pub(super) fn last_place(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}
