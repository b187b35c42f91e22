//! Messages that wait for their broker, and what the Python service keeps to be published.

use jiff::Timestamp;
use redis::ScriptInvocation;

use super::{Redis, replica_word, script};
use crate::job::JobId;
use crate::store::outbox::PAGE_BYTES;
use crate::store::{Done, Owned, Posted, Room, StoreError, Waiting, Which};

/// Where the Python service keeps bodies by job; in a namespace other than `default` its name and `:` stand before it.
pub(super) const BODIES_KEY: &str = "crond_service_schedule";
/// The largest such body.
const LARGEST_BODY: usize = 16 << 20;
/// What stands for a job or a run where there is none.
const NONE: &str = "-";

/// So many ids of messages are read at once.
const PAGE: isize = 1_000;

fn corrupt() -> StoreError {
    StoreError::Corrupt("a script's answer makes no sense".to_owned())
}

fn posted(word: &str) -> Option<Posted> {
    let mut words = word.split(' ');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    Some(match name {
        "kept" => Posted::Kept(number()?),
        "waits" => Posted::Waits,
        "confirmed" => Posted::Confirmed,
        "full" => Posted::Full { count: number()?, bytes: number()? },
        _ => return None,
    })
}

/// A message as it is kept: `ORDER OWNER JOB RUN EXPIRES SIZE`. What makes no sense of it is none: the seal or the form tells.
fn waiting(id: String, header: &str, bytes: Vec<u8>) -> Waiting {
    let words: Vec<&str> = header.split(' ').collect();
    let word = |place: usize| words.get(place).copied().unwrap_or_default();
    let expires = word(4).parse().ok().and_then(|at| Timestamp::from_microsecond(at).ok());
    Waiting {
        id,
        order: word(0).parse().unwrap_or(0),
        job: word(2).parse().ok(),
        run: word(3).parse().ok(),
        expires: expires.unwrap_or(Timestamp::UNIX_EPOCH),
        bytes,
    }
}

impl Redis {
    pub(super) async fn post_all(
        &self,
        owner: String,
        messages: Vec<Waiting>,
        room: Room,
    ) -> Result<Vec<Posted>, StoreError> {
        let words: Vec<String> = self
            .call(&self.rest, &script::POST, |call| {
                call.arg(replica_word(&owner)).arg(room.count).arg(room.bytes);
                for message in &messages {
                    add(call, message);
                }
            })
            .await?;
        words.iter().map(|word| posted(word).ok_or_else(corrupt)).collect()
    }

    pub(super) async fn adopt_from(
        &self,
        owner: String,
        alive: Vec<String>,
    ) -> Result<u64, StoreError> {
        self.call(&self.rest, &script::ADOPT, |call| {
            call.arg(replica_word(&owner));
            for other in &alive {
                call.arg(replica_word(other));
            }
        })
        .await
    }

    pub(super) async fn waiting_of(&self, which: Which) -> Result<Vec<Waiting>, StoreError> {
        let found: Vec<Vec<u8>> = match &which {
            Which::After { owner, order, limit } => {
                self.call(&self.rest, &script::WAITING, |call| {
                    call.arg(replica_word(owner)).arg(order).arg(limit).arg(PAGE_BYTES);
                })
                .await?
            }
            Which::Ids(ids) => {
                self.call(&self.rest, &script::FETCH, |call| {
                    call.arg(ids);
                })
                .await?
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut rows = Vec::with_capacity(found.len() / 3);
        let mut parts = found.into_iter();
        while let (Some(id), Some(header), Some(bytes)) = (parts.next(), parts.next(), parts.next())
        {
            rows.push(waiting(text(&id), &text(&header), bytes));
        }
        rows.sort_by_key(|row| row.order);
        Ok(rows)
    }

    /// As it is read without a script: what is sent meanwhile is missing.
    pub(super) async fn everyones_of(&self, after: u64) -> Result<Vec<Owned>, StoreError> {
        let mut from = after.to_string();
        loop {
            let mut commands = redis::pipe();
            let order = self.key("outbox:order");
            commands.zrangebyscore_limit_withscores(order, format!("({from}"), "+inf", 0, PAGE);
            let (ids,): (Vec<(Vec<u8>, f64)>,) = self.read(&commands).await?;
            let Some((_, last)) = ids.last() else { return Ok(Vec::new()) };
            from = last.to_string();
            let found = self.owned(&ids).await?;
            // Of those all may have gone meanwhile; of others there may be more.
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }

    /// The first of the messages with these ids and places, as many as fit a page.
    async fn owned(&self, ids: &[(Vec<u8>, f64)]) -> Result<Vec<Owned>, StoreError> {
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(self.key("outbox"));
        for (id, _) in ids {
            commands.arg(id);
        }
        let (headers,): (Vec<Option<Vec<u8>>>,) = self.read(&commands).await?;
        let (mut kept, mut bytes) = (Vec::new(), 0);
        for (id, header) in ids.iter().zip(headers) {
            let Some(header) = header else { continue };
            let header = String::from_utf8_lossy(&header).into_owned();
            let size = header.rsplit(' ').next().and_then(|size| size.parse().ok()).unwrap_or(0);
            bytes += size;
            if bytes > PAGE_BYTES && !kept.is_empty() {
                break;
            }
            kept.push((id, header));
        }
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        commands.cmd("HMGET").arg(self.key("outbox:bytes"));
        for ((id, _), _) in &kept {
            commands.arg(id);
        }
        let (bytes,): (Vec<Option<Vec<u8>>>,) = self.read(&commands).await?;
        let size = bytes.iter().flatten().map(Vec::len).sum();
        self.rest.carried(size);
        let owned = kept.into_iter().zip(bytes).filter_map(|(((id, score), header), bytes)| {
            let owner = header.split(' ').nth(1).unwrap_or_default().to_owned();
            let id = String::from_utf8_lossy(id).into_owned();
            // Its place is where it was found, whatever its header says: the next page begins there.
            let order = format!("{score:.0}").parse().unwrap_or(0);
            let waiting = Waiting { order, ..waiting(id, &header, bytes?) };
            Some(Owned { owner, waiting })
        });
        Ok(owned.collect())
    }

    pub(super) async fn unpost_all(&self, done: Done) -> Result<(), StoreError> {
        self.call::<i64>(&self.rest, &script::UNPOST, |call| {
            call.arg(done.confirmed.len()).arg(replica_word(&done.owner));
            call.arg(&done.confirmed).arg(&done.dropped);
        })
        .await
        .map(drop)
    }

    pub(super) async fn body_of(&self, job: JobId) -> Result<Option<Vec<u8>>, StoreError> {
        let id = job.to_string();
        let mut commands = redis::pipe();
        commands.cmd("HSTRLEN").arg(&self.bodies_key).arg(&id);
        let (size,): (usize,) = self.read(&commands).await?;
        if size > LARGEST_BODY {
            let key = &self.bodies_key;
            return Err(StoreError::Corrupt(format!("the body of {id} in {key} has {size} bytes")));
        }
        let (body,) = self.read(redis::pipe().hget(&self.bodies_key, &id)).await?;
        Ok(body)
    }
}

fn add(call: &mut ScriptInvocation<'_>, message: &Waiting) {
    let job = message.job.map_or_else(|| NONE.to_owned(), super::job_word);
    let run = message.run.map_or_else(|| NONE.to_owned(), |run| run.to_string());
    call.arg(&message.id).arg(job).arg(run);
    call.arg(message.expires.as_microsecond().max(0)).arg(&message.bytes);
}
