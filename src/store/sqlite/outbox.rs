//! Messages that wait for their broker, and the ids of those that were confirmed lately.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::outbox::{KNOWN, MOST_KNOWN, Owned, PAGE_BYTES};
use super::super::{Done, Posted, Room, StoreError, Waiting, Which};
use super::error::SqlResult as _;
use super::prepared::Prepared;
use super::value::{instant, key_of, micros, number};

/// The columns of a message, in the order in which [`waiting_of`] reads them.
const COLUMNS: &str = "id, place, job, occurrence, run, expires, bytes";

/// Counts of all that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    messages: u64,
    bytes: u64,
}

impl Tally {
    fn read(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT (SELECT value FROM meta WHERE name = 'messages'), \
                   (SELECT value FROM meta WHERE name = 'message_bytes')";
        let mut statement = connection.prepare_cached(sql).told()?;
        let count = |row: &Row<'_>, column| {
            row.get::<_, i64>(column).ok().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
        };
        statement
            .query_row([], |row| Ok(Tally { messages: count(row, 0), bytes: count(row, 1) }))
            .told()
    }

    fn write(self, connection: &Connection) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO meta VALUES ('messages', ?1), ('message_bytes', ?2)";
        let mut statement = connection.prepare_cached(sql).told()?;
        statement.execute(params![number(self.messages), number(self.bytes)]).told().map(drop)
    }
}

pub(super) fn post(
    connection: &Connection,
    owner: &str,
    messages: &[Waiting],
    room: Room,
    now: Timestamp,
) -> Result<Vec<Posted>, StoreError> {
    forget(connection, now)?;
    let mut tally = Tally::read(connection)?;
    let mut posted = Vec::with_capacity(messages.len());
    let mut prepared = Prepared::new(connection);
    for message in messages {
        posted.push(put(&mut prepared, owner, message, room, &mut tally)?);
    }
    drop(prepared);
    tally.write(connection)?;
    Ok(posted)
}

/// Whether there is a row with this id.
const OUTBOX: &str = "SELECT 1 FROM outbox WHERE id = ?1";
const CONFIRMED: &str = "SELECT 1 FROM confirmed WHERE id = ?1";

/// What becomes of a message whose id is known.
fn known(prepared: &mut Prepared<'_>, id: &str) -> Result<Option<Posted>, StoreError> {
    for (sql, answer) in [(OUTBOX, Posted::Waits), (CONFIRMED, Posted::Confirmed)] {
        if prepared.get(sql)?.exists([id]).told()? {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

fn put(
    prepared: &mut Prepared<'_>,
    owner: &str,
    message: &Waiting,
    room: Room,
    tally: &mut Tally,
) -> Result<Posted, StoreError> {
    let Waiting { id, job, run, expires, .. } = message;
    let bytes = tally.bytes.saturating_add(message.bytes.len() as u64);
    if tally.messages >= room.count || bytes > room.bytes {
        let full = Posted::Full { count: tally.messages, bytes: tally.bytes };
        return Ok(known(prepared, id)?.unwrap_or(full));
    }
    // Apart: what puts rows that a query makes copies each page before it changes it, for there could be several.
    if prepared.get(CONFIRMED)?.exists([id]).told()? {
        return Ok(known(prepared, id)?.unwrap_or(Posted::Confirmed));
    }
    let sql = "INSERT INTO outbox (id, owner, job, occurrence, run, expires, bytes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
    let mut text = [0; ulid::ULID_LEN];
    let values = params![
        id,
        owner,
        job.map(|key| key.id.seed().cast_signed()),
        job.map(|key| key.occurrence),
        run.as_ref().map(|run| run.text(&mut text)),
        micros(*expires),
        message.bytes,
    ];
    if prepared.get(sql)?.execute(values).told()? == 0 {
        return Ok(known(prepared, id)?.unwrap_or(Posted::Waits));
    }
    *tally = Tally { messages: tally.messages + 1, bytes };
    Ok(Posted::Kept(u64::try_from(prepared.last_place()).unwrap_or(0)))
}

/// Makes the messages of all others ours, but for those that live; how many.
pub(super) fn adopt(
    connection: &Connection,
    owner: &str,
    alive: &[String],
) -> Result<u64, StoreError> {
    let sql = "SELECT DISTINCT owner FROM outbox WHERE owner <> ?1";
    let mut statement = connection.prepare(sql).told()?;
    let owners = statement.query_map([owner], |row| row.get(0)).told()?;
    let owners: Vec<String> = owners.collect::<Result<_, _>>().told()?;
    let mut adopted = 0;
    for dead in owners.iter().filter(|other| !alive.contains(other)) {
        let sql = "UPDATE outbox SET owner = ?1 WHERE owner = ?2";
        adopted += connection.execute(sql, params![owner, dead]).told()?;
    }
    Ok(adopted as u64)
}

pub(super) fn waiting(connection: &Connection, which: &Which) -> Result<Vec<Waiting>, StoreError> {
    match which {
        Which::After { owner, order, limit } => {
            let sql = format!(
                "SELECT {COLUMNS} FROM outbox WHERE place > ?1 AND owner = ?2 ORDER BY place LIMIT ?3"
            );
            let mut statement = connection.prepare_cached(&sql).told()?;
            let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
            let mut rows = statement.query(params![number(*order), owner, limit]).told()?;
            let (mut found, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next().told()? {
                let one = waiting_of(row).told()?;
                bytes += one.bytes.len() as u64;
                if bytes > PAGE_BYTES && !found.is_empty() {
                    break;
                }
                found.push(one);
            }
            Ok(found)
        }
        Which::Ids(ids) => {
            let sql = format!("SELECT {COLUMNS} FROM outbox WHERE id = ?1");
            let mut statement = connection.prepare_cached(&sql).told()?;
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                found.extend(statement.query_row([id], waiting_of).optional().told()?);
            }
            found.sort_by_key(|one| one.order);
            Ok(found)
        }
    }
}

/// Messages of all behind a place, as many as fit a page.
pub(super) fn everyones(connection: &Connection, after: u64) -> Result<Vec<Owned>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, owner FROM outbox WHERE place > ?1 ORDER BY place");
    let mut statement = connection.prepare_cached(&sql).told()?;
    let mut rows = statement.query([number(after)]).told()?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next().told()? {
        let waiting = waiting_of(row).told()?;
        bytes += waiting.bytes.len() as u64;
        if bytes > PAGE_BYTES && !found.is_empty() {
            break;
        }
        found.push(Owned { owner: row.get(7).told()?, waiting });
    }
    Ok(found)
}

/// What stands in a row; where job, run or expiry make no sense they are none, and the seal or the form tells.
fn waiting_of(row: &Row<'_>) -> rusqlite::Result<Waiting> {
    let run: Option<String> = row.get(4)?;
    Ok(Waiting {
        id: row.get(0)?,
        order: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
        job: key_of(row.get(2)?, row.get(3)?),
        run: run.and_then(|run| run.parse().ok()),
        expires: instant(row.get(5)?).unwrap_or(Timestamp::UNIX_EPOCH),
        bytes: row.get(6)?,
    })
}

pub(super) fn unpost(
    connection: &Connection,
    done: &Done,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tally = Tally::read(connection)?;
    // What was confirmed goes whosever it is; what is given up goes unless somebody else has it.
    let sql =
        "DELETE FROM outbox WHERE id = ?1 AND (?2 IS NULL OR owner = ?2) RETURNING length(bytes)";
    let mut statement = connection.prepare_cached(sql).told()?;
    let confirmed = done.confirmed.iter().map(|id| (id, None));
    let dropped = done.dropped.iter().map(|id| (id, Some(&done.owner)));
    for (id, owner) in confirmed.chain(dropped) {
        let size: Option<i64> =
            statement.query_row(params![id, owner], |row| row.get(0)).optional().told()?;
        if let Some(size) = size {
            tally.messages = tally.messages.saturating_sub(1);
            tally.bytes = tally.bytes.saturating_sub(u64::try_from(size).unwrap_or(0));
        }
    }
    let sql = "INSERT OR IGNORE INTO confirmed (id, at) VALUES (?1, ?2)";
    let mut statement = connection.prepare_cached(sql).told()?;
    for id in &done.confirmed {
        statement.execute(params![id, micros(now)]).told()?;
    }
    forget(connection, now)?;
    tally.write(connection)
}

/// Forgets ids that were confirmed too long ago, or are too many.
fn forget(connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
    let sql = "DELETE FROM confirmed WHERE place <= (SELECT max(place) FROM confirmed) - ?1";
    connection.prepare_cached(sql).told()?.execute([MOST_KNOWN]).told()?;
    let known = SignedDuration::try_from(KNOWN).unwrap_or(SignedDuration::MAX);
    let since = micros(now.saturating_sub(known).unwrap_or(Timestamp::MIN));
    // As a rule there is none: the oldest few say so. They are not in order where the clock was set back.
    let among =
        |count: u32| format!("(SELECT place, at FROM confirmed ORDER BY place LIMIT {count})");
    let sql = format!("SELECT 1 FROM {} WHERE at < ?1", among(16));
    if connection.prepare_cached(&sql).told()?.exists([since]).told()? {
        let sql = format!(
            "DELETE FROM confirmed WHERE place IN (SELECT place FROM {} WHERE at < ?1)",
            among(1_000)
        );
        connection.prepare_cached(&sql).told()?.execute([since]).told()?;
    }
    Ok(())
}
