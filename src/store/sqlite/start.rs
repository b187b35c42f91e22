//! Starts: the watermark, what was owed, the run, in one go.

use jiff::Timestamp;
use jiff::civil::DateTime;

use super::super::{Mark, Start, StoreError};
use super::prepared::Prepared;
use super::run::Tally;
use super::{job, run};
use crate::event::{RunId, Trigger};
use crate::job::{JobId, JobKey};

/// Records one start.
pub(super) fn put(
    prepared: &mut Prepared<'_>,
    start: &Start,
    replica: &str,
    now: Timestamp,
    tally: &mut Tally,
) -> Result<(), StoreError> {
    if start.trigger.is_of_schedule() {
        job::mark(prepared, start.key, start.mark, now)?;
    }
    job::settle(prepared, start.key, start.mark.due())?;
    run::put_start(prepared, start, replica, tally)
}

/// A start that is never made, as late as one that is made now.
pub(super) fn of_nothing(now: Timestamp) -> Start {
    Start {
        run: RunId::new(now, 0),
        attempt: 0,
        key: JobKey { id: JobId([0; 8]), occurrence: 0 },
        name: String::new(),
        mark: Mark { generation: 0, at: now, civil: DateTime::ZERO },
        trigger: Trigger::Schedule,
        queued: now,
    }
}
