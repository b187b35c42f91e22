//! What a server forgets: jobs that nobody has any more, with their pauses and what they owe.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::redis::{Bounds, Redis as Scripts};
use cronkeep::store::{Lease, Owed, Store, Write};

use super::harness::{a_start, at, due, key, mark, state, write};
use super::redis::Reply;
use super::server::{server, with};

/// In seconds.
const DAY: i64 = 24 * 3_600;

#[test]
fn jobs_that_nobody_has_any_more_are_forgotten_a_few_at_a_time() {
    with(server(), async |server| {
        let now = Arc::new(AtomicI64::new(at(0).as_millisecond()));
        let bounds = Bounds { forgotten: Duration::from_secs(1_000), ..Bounds::default() };
        let store = server.store("default").with_bounds(bounds).with_time(Arc::clone(&now));
        let keys: Vec<_> = (0..60).map(key).collect();
        let owed = Owed { due: due(120), trigger: Trigger::CatchUp };
        let passed =
            keys.iter().flat_map(|&key| [Write::Owe(key, owed), Write::Mark(key, mark(180))]);
        write(&store, std::iter::once(Write::Since(keys.clone(), at(-5))).chain(passed)).await;
        // Some replica still has two of them.
        now.store(at(900).as_millisecond(), Ordering::SeqCst);
        write(&store, [Write::Since(vec![key(0), key(59)], at(-5))]).await;
        assert_eq!(store.load().await.unwrap().jobs.len(), 60);
        now.store(at(1_001).as_millisecond(), Ordering::SeqCst);
        write(&store, [Write::Since(vec![key(7)], at(-5))]).await;
        let remembered = async || {
            let Reply::Number(count) = server.redis.command(["HLEN", "{cronkeep:default}:claims"])
            else {
                panic!("no number");
            };
            count
        };
        assert_eq!(remembered().await, 40, "one write forgets a few");
        for _ in 0..10 {
            write(&store, [Write::Settle(key(0), due(0))]).await;
        }
        let jobs = store.load().await.unwrap().jobs;
        let mut left: Vec<_> = jobs.keys().copied().collect();
        left.sort();
        let mut kept = vec![key(0), key(7), key(59)];
        kept.sort();
        assert_eq!(left, kept);
        for state in jobs.values() {
            assert_eq!(
                (state.since, state.mark, state.owed.len()),
                (Some(at(-5)), Some(mark(180)), 1)
            );
        }
        for (command, name) in [("HLEN", "claims"), ("HLEN", "owed"), ("ZCARD", "touched")] {
            let key = format!("{{cronkeep:default}}:{name}");
            assert_eq!(server.redis.command([command, &key]), Reply::Number(3), "{name}");
        }
    });
}

/// Which of these jobs are paused, by their numbers.
async fn paused(store: &dyn Store, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let jobs = store.load().await.unwrap().jobs;
    let is_paused = |number: &u32| jobs.get(&key(*number)).is_some_and(|state| state.paused);
    numbers.filter(is_paused).collect()
}

#[test]
fn pauses_go_with_their_jobs_and_stay_with_those_that_somebody_has() {
    with(server(), async |server| {
        let now = Arc::new(AtomicI64::new(at(0).as_millisecond()));
        let store = server.store("default").with_time(Arc::clone(&now));
        // An earlier program has kept the pause of a job of which nothing else is known any more.
        let unknown = key(9).id.digits() + "#2";
        server.redis.command(["SADD", "{cronkeep:default}:paused", &unknown]);
        write(&store, (0..8).map(|number| Write::Pause(key(number)))).await;
        assert_eq!(paused(&store, 0..10).await, [0, 1, 2, 3, 4, 5, 6, 7, 9]);
        for day in 1..=34 {
            now.store(at(day * DAY).as_millisecond(), Ordering::SeqCst);
            write(&store, [Write::Since(vec![key(1), key(6)], at(-5))]).await;
        }
        assert_eq!(paused(&store, 0..10).await, [0, 1, 2, 3, 4, 5, 6, 7, 9]);
        now.store(at(35 * DAY + 1).as_millisecond(), Ordering::SeqCst);
        write(&store, [Write::Since(vec![key(1), key(6)], at(-5))]).await;
        assert_eq!(paused(&store, 0..10).await, [1, 6]);
        assert_eq!(server.redis.command(["SCARD", "{cronkeep:default}:paused"]), Reply::Number(2));
    });
}

#[test]
fn nothing_is_forgotten_of_jobs_whose_replicas_were_all_away_for_long_and_come_back() {
    with(server(), async |server| {
        let now = Arc::new(AtomicI64::new(at(0).as_millisecond()));
        let store = server.store("default").with_time(Arc::clone(&now));
        let keys: Vec<_> = (0..30).map(key).collect();
        write(&store, [Write::Since(keys.clone(), at(-5)), Write::Pause(key(3))]).await;
        now.store(at(100 * DAY).as_millisecond(), Ordering::SeqCst);
        // It records what it does before it says which jobs it has.
        for number in 0..9 {
            write(&store, [Write::Mark(key(90), mark(60 + i64::from(number)))]).await;
        }
        now.fetch_add(60_000, Ordering::SeqCst);
        write(&store, [Write::Since(keys[..20].to_vec(), at(-5))]).await;
        let jobs = store.load().await.unwrap().jobs;
        assert_eq!((jobs.len(), jobs[&key(3)].paused), (31, true));
        assert!(keys.iter().all(|key| jobs[key].since == Some(at(-5))));
        // Those that nobody has after all go.
        for day in [101, 102, 103] {
            now.store(at(day * DAY).as_millisecond(), Ordering::SeqCst);
            write(&store, [Write::Since(keys[..20].to_vec(), at(-5))]).await;
        }
        let jobs = store.load().await.unwrap().jobs;
        assert_eq!((jobs.len(), jobs[&key(3)].paused), (21, true), "the job of the mark is new");
    });
}

#[test]
fn of_too_many_jobs_those_go_that_nobody_has_had_for_the_longest() {
    with(server(), async |server| {
        let now = Arc::new(AtomicI64::new(at(0).as_millisecond()));
        let bounds = Bounds { jobs: 100, ..Bounds::default() };
        let store = server.store("default").with_bounds(bounds).with_time(Arc::clone(&now));
        let known = || server.redis.command(["ZCARD", "{cronkeep:default}:touched"]);
        let ours: Vec<_> = (0..120).map(key).collect();
        for day in 0_i64..10 {
            now.store(at(day * DAY).as_millisecond(), Ordering::SeqCst);
            let first = 1_000 + 50 * u32::try_from(day).unwrap();
            write(&store, (first..first + 50).map(|number| Write::Pause(key(number)))).await;
            write(&store, [Write::Since(ours.clone(), at(-5)), Write::Pause(key(7))]).await;
        }
        // Those that somebody has, though they are too many, and those of the last four days.
        assert_eq!(known(), Reply::Number(120 + 5 * 50));
        assert_eq!(paused(&store, 0..120).await, [7]);
        let Reply::Number(paused) = server.redis.command(["SCARD", "{cronkeep:default}:paused"])
        else {
            panic!("no number")
        };
        assert_eq!(paused, 1 + 5 * 50);
    });
}

#[test]
fn of_too_many_jobs_none_goes_that_somebody_has_who_was_away_for_less_than_two_days() {
    with(server(), async |server| {
        let now = Arc::new(AtomicI64::new(at(0).as_millisecond()));
        let bounds = Bounds { jobs: 10, ..Bounds::default() };
        let store = server.store("default").with_bounds(bounds).with_time(Arc::clone(&now));
        let ours: Vec<_> = (0..20).map(key).collect();
        write(&store, [Write::Since(ours.clone(), at(-5)), Write::Pause(key(7))]).await;
        // Just before they say it again, a day later, all replicas stop, for almost two days.
        now.store(at(DAY - 60).as_millisecond(), Ordering::SeqCst);
        write(&store, [Write::Settle(key(0), due(0))]).await;
        now.store(at(3 * DAY - 120).as_millisecond(), Ordering::SeqCst);
        for number in 0..9 {
            write(&store, [Write::Mark(key(90), mark(60 + i64::from(number)))]).await;
        }
        assert_eq!(paused(&store, 0..20).await, [7]);
        let jobs = store.load().await.unwrap().jobs;
        assert!(ours.iter().all(|key| jobs[key].since == Some(at(-5))));
    });
}

#[test]
fn what_is_owed_by_one_that_shares_no_starts_is_its_own() {
    with(server(), async |server| {
        let here = server.store("default").local("my host");
        let there = server.store("default").local("other");
        let shared = server.store("default");
        let owed = |second| Owed { due: due(second), trigger: Trigger::CatchUp };
        write(&here, [Write::Owe(key(1), owed(60)), Write::Owe(key(1), owed(120))]).await;
        write(&there, [Write::Owe(key(1), owed(60))]).await;
        let kept = async |store: &Scripts| state(store, key(1)).await.owed;
        assert_eq!(kept(&here).await, [owed(60), owed(120)]);
        assert_eq!(kept(&there).await, [owed(60)]);
        assert_eq!(kept(&shared).await, []);
        let lease = Lease::local("my host".to_owned());
        let start = a_start(1, 60);
        here.start(lease, vec![start]).await.unwrap();
        assert_eq!((kept(&here).await, kept(&there).await), (vec![owed(120)], vec![owed(60)]));
        write(&here, [Write::Settle(key(1), due(120))]).await;
        assert_eq!((kept(&here).await, kept(&there).await), (vec![], vec![owed(60)]));
        // What bears no name is theirs who share their starts, or of an earlier program: it may be another daemon's.
        write(&shared, [Write::Owe(key(1), owed(180)), Write::Owe(key(1), owed(240))]).await;
        assert_eq!((kept(&here).await, kept(&there).await), (vec![], vec![owed(60)]));
        write(&here, [Write::Settle(key(1), due(180))]).await;
        here.start(Lease::local("my host".to_owned()), vec![a_start(1, 240)]).await.unwrap();
        assert_eq!(kept(&shared).await, [owed(180), owed(240)]);
    });
}
