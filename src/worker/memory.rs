//! Which orders were taken: kept in a file of this host, or in a server that workers share.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::store::StoreError;
use crate::store::redis::Redis;
use crate::store::sqlite::{Known, Orders};

/// How long an order waits for a file that others have locked, or that cannot be used for now.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an order that waits leaves a file alone that could not be used.
const PAUSE: Duration = Duration::from_millis(100);

/// How long those who do not wait leave it alone.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// Remembers which orders were taken. Clones are one and the same.
#[derive(Debug, Clone)]
pub enum Memory {
    /// For the workers that share a state directory.
    File(Arc<Mutex<Kept>>),
    /// For those that share a server and a namespace.
    Shared(Arc<Redis>),
}

/// A file, and how it stood when it was used last.
#[derive(Debug)]
pub struct Kept {
    orders: Orders,
    /// Why it could not be used, and when that was.
    trouble: Option<(StoreError, Instant)>,
}

impl Memory {
    /// What is kept in a file.
    #[must_use]
    pub fn of_file(orders: Orders) -> Self {
        Memory::File(Arc::new(Mutex::new(Kept { orders, trouble: None })))
    }

    /// Takes an order that holds until `expires`, unless it was taken before.
    pub(super) async fn take(
        &self,
        id: String,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<Known, StoreError> {
        match self {
            Memory::File(kept) => {
                // What failed may have been kept: the next try is the same question.
                let taker = RandomState::new().hash_one(&id).cast_signed();
                on_thread(kept, PATIENCE, move |orders| orders.take(&id, taker, expires, now)).await
            }
            Memory::Shared(redis) => redis.take_order(&id, expires, now).await,
        }
    }

    /// An order was carried out, and its end reported. Where the file is locked that is not kept: nobody waits for it.
    pub(super) async fn end(&self, id: String) -> Result<(), StoreError> {
        match self {
            Memory::File(kept) => {
                on_thread(kept, Duration::ZERO, move |orders| orders.end(&id)).await
            }
            Memory::Shared(redis) => redis.end_order(&id).await,
        }
    }
}

/// Has a question answered by the file, on a thread that may wait for its disk: one at a time, so that however many wait, one
/// thread does. Where the file cannot be used it is asked again, until `patience` has passed; then nobody waits any more.
async fn on_thread<T: Send + 'static>(
    kept: &Arc<Mutex<Kept>>,
    patience: Duration,
    ask: impl Fn(&mut Orders) -> Result<T, StoreError> + Send + Sync + 'static,
) -> Result<T, StoreError> {
    let (begun, ask) = (Instant::now(), Arc::new(ask));
    loop {
        let mut kept = Arc::clone(kept).lock_owned().await;
        if let Some((error, since)) = &kept.trouble
            && since.elapsed() < LEFT_ALONE
            && begun.elapsed() >= patience
        {
            return Err(error.clone());
        }
        let ask = Arc::clone(&ask);
        let asked = tokio::task::spawn_blocking(move || {
            // Every change is one statement or one transaction: nothing is left half done.
            let told = ask(&mut kept.orders);
            kept.trouble = match &told {
                Err(error @ StoreError::Down(_)) => Some((error.clone(), Instant::now())),
                _ => None,
            };
            told
        });
        match asked.await {
            Ok(Err(StoreError::Down(_))) => sleep(PAUSE).await,
            Ok(told) => return told,
            Err(error) => return Err(StoreError::Down(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    #[tokio::test]
    async fn what_cannot_be_kept_for_a_lock_holds_up_nobody_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.db");
        let memory = Memory::of_file(Orders::open(Some(&path)).unwrap());
        let now = SystemClock.now();
        let take = || memory.take("a".to_owned(), now, now);
        assert_eq!(take().await, Ok(Known::New));
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        let ends: Vec<_> = (0..20)
            .map(|_| {
                let memory = memory.clone();
                tokio::spawn(async move { memory.end("a".to_owned()).await })
            })
            .collect();
        for end in ends {
            assert!(end.await.unwrap().is_err());
        }
        // One after the other, each with all its time, they would take twice as long.
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        drop(other);
        // Nobody else has to find out that the file can be used again.
        let begun = Instant::now();
        while memory.end("a".to_owned()).await.is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is left alone for good");
            sleep(PAUSE).await;
        }
        assert_eq!(take().await, Ok(Known::Ended));
    }
}
