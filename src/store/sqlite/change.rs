//! Changes: each a transaction, for which room is made where the disk is full.

use std::sync::PoisonError;

use rusqlite::{Connection, TransactionBehavior};

use super::super::open::Access;
use super::super::{StoreError, Write};
use super::error::SqlResult as _;
use super::prepared::Prepared;
use super::run::Tally;
use super::trim::Trim;
use super::{Sqlite, job, run};

/// How often room is made for something.
const TRIES: usize = 4;

impl Sqlite {
    /// As [`with`](Sqlite::with), in a transaction that is kept if nothing goes wrong; where there is no room, some is made.
    pub(super) fn change<T>(
        &self,
        call: impl Fn(&Connection, &mut Trim) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.access == Access::Read {
            return Err(StoreError::Refused("it was opened to be read".to_owned()));
        }
        let change = || {
            self.with(|connection, trim| {
                let transaction =
                    connection.transaction_with_behavior(TransactionBehavior::Immediate).told()?;
                let mut moved = trim.clone();
                moved.begin(&transaction, self.clock.now())?;
                let answer = call(&transaction, &mut moved)?;
                transaction.commit().told()?;
                *trim = moved;
                Ok(answer)
            })
        };
        let mut answer = change();
        for _ in 0..TRIES {
            if !(matches!(answer, Err(StoreError::Full(_))) && self.make_room()) {
                break;
            }
            answer = change();
        }
        answer
    }

    /// Makes room on a disk that is full; whether some was made.
    fn make_room(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let Some(open) = state.open.as_mut().filter(|open| open.identity.is_some()) else {
            return false;
        };
        state.space.make_room(&mut open.connection).unwrap_or(false)
    }

    /// Looks how much room is left on the disk.
    pub(super) fn look_at_space(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let open = state.open.as_mut().filter(|open| open.identity.is_some());
        let (Some(path), Some(open)) = (&self.path, open) else { return };
        if let Some(text) = state.space.look(&mut open.connection, path) {
            (self.tell)(text);
        }
    }

    /// Keeps these, in one transaction if there is room for it.
    pub(super) fn keep(&self, batch: &[Write]) -> Result<(), StoreError> {
        let at = self.clock.now();
        let kept = self.change(|connection, trim| {
            let before = Tally::read(connection)?;
            let mut tally = before;
            let mut records = 0;
            let may_owe =
                batch.iter().any(|write| matches!(write, Write::Owe(..))) || job::owes(connection)?;
            let mut prepared = Prepared::new(connection);
            for write in batch {
                match write {
                    Write::Since(keys, since) => job::since(connection, keys, *since, at)?,
                    Write::Mark(key, mark) | Write::Release(key, mark) => {
                        job::mark(&mut prepared, *key, *mark, at)?;
                    }
                    Write::Owe(key, owed) => job::owe(&mut prepared, *key, *owed, at)?,
                    Write::Settle(key, due) if may_owe => job::settle(&mut prepared, *key, *due)?,
                    Write::Settle(..) => {}
                    Write::Pause(key) => {
                        job::pause(&mut prepared, *key, self.pauses.number(*key), at)?;
                    }
                    Write::Resume(key) => job::pause(&mut prepared, *key, 0, at)?,
                    Write::Run(record) => {
                        records += 1;
                        run::put(&mut prepared, record, &mut tally)?;
                    }
                    Write::Output(run, output) => {
                        records += 1;
                        run::put_output(&mut prepared, *run, output, &mut tally)?;
                    }
                }
            }
            drop(prepared);
            if records > 0 {
                trim.step(connection, &self.bounds, records, at, &mut tally)?;
            }
            tally.write(connection, before)
        });
        match (kept, batch) {
            // Piece by piece, in their order.
            (Err(StoreError::Full(_)), [_, _, ..]) => {
                let (first, rest) = batch.split_at(batch.len() / 2);
                self.keep(first).and_then(|()| self.keep(rest))
            }
            // The schedule does not depend on what runs print.
            (Err(StoreError::Full(_)), [Write::Output(..)]) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).space.lose();
                Ok(())
            }
            (kept, _) => kept,
        }
    }
}
