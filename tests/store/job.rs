//! What is kept of jobs.

use std::collections::HashMap;
use std::sync::Arc;

use cronkeep::event::Trigger;
use cronkeep::job::JobKey;
use cronkeep::store::{JobState, Mark, Owed, Start, Store, Write};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::harness::{Place, a_start, at, due, key, lease, mark, start, state, write};

pub(crate) async fn nothing_is_kept_at_first(place: &dyn Place) {
    let store = place.open();
    let loaded = store.load().await.unwrap();
    assert!(loaded.jobs.is_empty() && loaded.open.is_empty());
    assert_eq!(store.snapshot().await.unwrap(), None);
    assert_eq!(store.seed_rows().await.unwrap(), None);
}

pub(crate) async fn the_load_time_of_many_jobs_is_kept(place: &dyn Place) {
    let store = place.open();
    let keys = |numbers: std::ops::Range<u32>| numbers.map(key).collect::<Vec<_>>();
    write(&*store, [Write::Since(keys(0..1_000), at(5))]).await;
    write(&*store, [Write::Since(keys(10..20), at(7))]).await;
    let jobs = place.open().load().await.unwrap().jobs;
    assert_eq!(jobs.len(), 1_000);
    assert_eq!(jobs[&key(9)], JobState { since: Some(at(5)), ..JobState::default() });
    assert_eq!(jobs[&key(10)].since, Some(at(7)));
}

pub(crate) async fn a_watermark_moves_on_within_and_over_generations_and_never_back(
    place: &dyn Place,
) {
    let store = place.open();
    let marked = async |mark: Mark| {
        write(&*store, [Write::Mark(key(1), mark)]).await;
        state(&*place.open(), key(1)).await.mark.unwrap()
    };
    let minute_of_a_gap = Mark { civil: due(3_600).civil, ..mark(60) };
    let set_back = Mark { generation: 1, ..mark(30) };
    assert_eq!(marked(mark(60)).await, mark(60));
    assert_eq!(marked(mark(0)).await, mark(60));
    assert_eq!(marked(minute_of_a_gap).await, minute_of_a_gap);
    assert_eq!(marked(mark(60)).await, minute_of_a_gap);
    assert_eq!(marked(set_back).await, set_back);
    assert_eq!(marked(mark(600)).await, set_back);
}

pub(crate) async fn what_is_owed_is_kept_by_instant_until_it_is_settled(place: &dyn Place) {
    let store = place.open();
    let owed = |second, trigger| Owed { due: due(second), trigger };
    let gap = Owed {
        due: cronkeep::schedule::Due { civil: due(3_600).civil, ..due(60) },
        ..owed(60, Trigger::Schedule)
    };
    write(
        &*store,
        [
            Write::Owe(key(1), owed(120, Trigger::CatchUp)),
            Write::Owe(key(1), gap),
            Write::Owe(key(1), owed(60, Trigger::Schedule)),
            Write::Owe(key(2), owed(60, Trigger::Reboot)),
        ],
    )
    .await;
    let jobs = place.open().load().await.unwrap().jobs;
    assert_eq!(jobs[&key(1)].owed, [owed(60, Trigger::Schedule), gap, owed(120, Trigger::CatchUp)]);
    assert_eq!(jobs[&key(2)].owed, [owed(60, Trigger::Reboot)]);
    write(&*store, [Write::Settle(key(1), due(60)), Write::Settle(key(1), due(61))]).await;
    assert_eq!(state(&*place.open(), key(1)).await.owed, [gap, owed(120, Trigger::CatchUp)]);
}

pub(crate) async fn a_pause_lasts_until_it_is_resumed(place: &dyn Place) {
    let store = place.open();
    write(&*store, [Write::Pause(key(1)), Write::Pause(key(2))]).await;
    write(&*store, [Write::Since(vec![key(1)], at(0)), Write::Resume(key(2))]).await;
    let jobs = place.open().load().await.unwrap().jobs;
    assert!(jobs[&key(1)].paused);
    assert!(jobs.get(&key(2)).is_none_or(|job| !job.paused));
}

pub(crate) async fn all_of_a_large_batch_is_kept(place: &dyn Place) {
    let store = place.open();
    write(&*store, (0..5_000).map(|n| Write::Mark(key(n), mark(i64::from(n))))).await;
    let jobs = place.open().load().await.unwrap().jobs;
    assert_eq!(jobs.len(), 5_000);
    assert!((0..5_000).all(|n| jobs[&key(n)].mark == Some(mark(i64::from(n)))));
}

/// Something that is done to a store.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Write>),
    Start(Start),
    Reopen,
}

fn any_write() -> impl Strategy<Value = Write> {
    let any_key = || (0_u32..4).prop_map(key);
    let second = || 0_i64..10;
    let trigger = prop::sample::select(&Trigger::ALL[..]);
    prop_oneof![
        (prop::collection::vec(any_key(), 0..4), second())
            .prop_map(|(keys, second)| Write::Since(keys, at(second))),
        (any_key(), second(), 0_u64..3).prop_map(|(key, second, generation)| Write::Mark(
            key,
            Mark { generation, ..mark(second) }
        )),
        (any_key(), second(), trigger)
            .prop_map(|(key, second, trigger)| Write::Owe(key, Owed { due: due(second), trigger })),
        (any_key(), second()).prop_map(|(key, second)| Write::Settle(key, due(second))),
        any_key().prop_map(Write::Pause),
        any_key().prop_map(Write::Resume),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(any_write(), 0..6).prop_map(Step::Write),
        // Each start is of a fire of its own, later than all that any job was marked with.
        2 => (0_u32..4, 3_u64..6).prop_map(|(number, generation)| {
            let start = a_start(number, 0);
            Step::Start(Start { mark: Mark { generation, ..start.mark }, ..start })
        }),
        1 => Just(Step::Reopen),
    ]
}

/// What a store is to have kept after these steps.
fn follow(jobs: &mut HashMap<JobKey, JobState>, step: &Step) {
    let writes = match step {
        Step::Write(writes) => writes,
        Step::Start(start) => {
            let job = jobs.entry(start.key).or_default();
            if start.trigger.is_of_schedule() {
                job.mark = job.mark.max(Some(start.mark));
            }
            return job.owed.retain(|owed| owed.due != start.mark.due());
        }
        Step::Reopen => return,
    };
    for write in writes {
        match write {
            Write::Since(keys, since) => {
                for key in keys {
                    jobs.entry(*key).or_default().since = Some(*since);
                }
            }
            Write::Mark(key, mark) | Write::Release(key, mark) => {
                let job = jobs.entry(*key).or_default();
                job.mark = job.mark.max(Some(*mark));
            }
            Write::Owe(key, owed) => {
                let job = jobs.entry(*key).or_default();
                job.owed.retain(|other| other.due != owed.due);
                job.owed.push(*owed);
                job.owed.sort_by_key(|owed| owed.due);
            }
            Write::Settle(key, due) => {
                if let Some(job) = jobs.get_mut(key) {
                    job.owed.retain(|owed| owed.due != *due);
                }
            }
            Write::Pause(key) => jobs.entry(*key).or_default().paused = true,
            Write::Resume(key) => jobs.entry(*key).or_default().paused = false,
            Write::Run(_) | Write::Output(..) => {
                unreachable!("not among them")
            }
        }
    }
}

/// One store for all sequences: each goes on from what the ones before it have left.
pub(crate) async fn any_sequence_leaves_what_a_map_would_have(place: &dyn Place) {
    let mut runner = TestRunner::default();
    let mut expected = HashMap::new();
    let mut store: Arc<dyn Store> = place.open();
    let lease = lease(&*store).await;
    let mut generation = 10;
    for _ in 0..runner.config().cases.min(300) {
        let steps =
            prop::collection::vec(any_step(), 1..8).new_tree(&mut runner).unwrap().current();
        for step in steps {
            let step = match step {
                Step::Start(mut one) => {
                    // A fire is started once.
                    generation += one.mark.generation;
                    one.mark.generation = generation;
                    one.run = super::harness::run_id(0, u32::try_from(generation).unwrap());
                    // What is paused is not started.
                    let resume = Step::Write(vec![Write::Resume(one.key)]);
                    follow(&mut expected, &resume);
                    write(&*store, [Write::Resume(one.key)]).await;
                    Step::Start(one)
                }
                step => step,
            };
            follow(&mut expected, &step);
            match step {
                Step::Write(writes) => store.write(writes).await.unwrap(),
                Step::Start(one) => start(&*store, &lease, vec![one]).await,
                Step::Reopen => store = place.open(),
            }
        }
        let mut kept = store.load().await.unwrap().jobs;
        // A job of which nothing is kept may be there or not.
        kept.retain(|_, job| *job != JobState::default());
        expected.retain(|_, job| *job != JobState::default());
        assert_eq!(kept, expected);
    }
}
