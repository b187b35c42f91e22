//! Jobs in force are not forgotten: the store hears of them once a day.
//!
//! It cannot tell a job that is due once a year from one that nobody has any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::job::{JobKey, JobTable};
use crate::store::{Handle, Standing, Write};

/// How long after the store has answered it is told first: what it says of earlier lives has come into force by then.
pub(super) const SETTLING: Duration = Duration::from_secs(60);
/// How often it is told.
pub(super) const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Tells the store of the jobs in force, again and again.
pub(super) async fn touch(
    store: Handle,
    tables: watch::Receiver<Arc<JobTable>>,
    settling: Duration,
    again: Duration,
) {
    let mut standing = store.standing();
    let mut pause = Duration::ZERO;
    loop {
        sleep(pause).await;
        if standing.wait_for(|standing| *standing == Standing::Up).await.is_err() {
            // There is no store any more.
            return;
        }
        sleep(settling).await;
        let mut by_time: HashMap<Timestamp, Vec<JobKey>> = HashMap::new();
        for job in tables.borrow().jobs() {
            by_time.entry(job.since).or_default().push(job.key);
        }
        for (since, keys) in by_time {
            store.write(Write::Since(keys, since));
        }
        pause = again;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::schedule::Zone;
    use crate::store::open::{Access, Opening};
    use crate::store::{self, Address};

    const WITHIN: Duration = Duration::from_secs(20);

    fn store() -> Handle {
        let opening = Opening {
            address: Address::Memory,
            namespace: "default".into(),
            access: Access::Default,
            clock: Arc::new(SystemClock),
            tell: Arc::new(|_| {}),
        };
        let tell = Arc::clone(&opening.tell);
        Handle::start(|| store::open(opening), Arc::new(SystemClock), tell).unwrap()
    }

    fn table(since: Timestamp) -> JobTable {
        let bytes = b"0 0 1 1 * true\n".to_vec();
        let source = Source { name: "crontab".into(), bytes, dialect: Dialect::user("root") };
        let crontab = parse(&source);
        let (zone, none) = (Zone::utc(), JobTable::default());
        JobTable::build(&[(&source, &crontab)], &zone, &Options::default(), &none, since).0
    }

    async fn expect(store: &Handle, key: JobKey, since: Timestamp) {
        let told = async {
            loop {
                let loaded = store.load(WITHIN).await.unwrap();
                if loaded.jobs.get(&key).and_then(|state| state.since) == Some(since) {
                    return;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(WITHIN, told).await.expect("the store is not told");
    }

    #[tokio::test]
    async fn the_store_hears_of_the_jobs_in_force_once_it_has_answered_and_again_later() {
        let (store, since) = (store(), Timestamp::from_second(1_800_000_000).unwrap());
        let table = table(since);
        let key = table.jobs()[0].key;
        let (_tables, receiver) = watch::channel(Arc::new(table));
        store.hold();
        let soon = Duration::from_millis(1);
        let touching = tokio::spawn(touch(store.clone(), receiver, soon, soon));
        assert_eq!(store.load(WITHIN).await.unwrap().jobs.len(), 0);
        store.go_on();
        expect(&store, key, since).await;
        // Somebody else's word is not the last.
        store.write(Write::Since(vec![key], Timestamp::UNIX_EPOCH));
        expect(&store, key, since).await;
        touching.abort();
    }
}
