//! A start is kept before there is a process.

use cronkeep::event::Trigger;
use cronkeep::store::{Mark, Owed, Start, Write};

use super::harness::{Place, a_start, all, at, due, key, lease, mark, start, state, write};

pub(crate) async fn a_start_moves_the_watermark_and_leaves_an_open_run(place: &dyn Place) {
    let store = place.open();
    let lease = lease(&*store).await;
    start(&*store, &lease, vec![a_start(1, 60)]).await;
    let loaded = place.open().load().await.unwrap();
    assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(60)));
    let [open] = &loaded.open[..] else { panic!("{:?}", loaded.open) };
    let Start { run, attempt, key, name, mark, trigger, queued } = a_start(1, 60);
    assert_eq!((open.run, open.attempt, open.key, &open.name), (run, attempt, key, &name));
    assert_eq!((open.due, open.trigger, open.queued), (mark.due(), trigger, Some(queued)));
    assert_eq!((open.outcome, open.ended, open.process), (None, None, None));
    assert_eq!(open.replica, lease.replica);
    assert_eq!(store.runs(all(9)).await.unwrap().runs, loaded.open);
}

pub(crate) async fn a_start_on_demand_leaves_the_watermark(place: &dyn Place) {
    let store = place.open();
    let lease = lease(&*store).await;
    write(&*store, [Write::Mark(key(1), mark(60))]).await;
    for (number, trigger) in [(1, Trigger::Manual), (3, Trigger::After), (5, Trigger::Reboot)] {
        start(&*store, &lease, vec![Start { trigger, ..a_start(number, 90) }]).await;
    }
    let loaded = store.load().await.unwrap();
    assert_eq!(loaded.open.len(), 3);
    assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(60)));
    assert_eq!(loaded.jobs.get(&key(3)).and_then(|job| job.mark), None);
}

pub(crate) async fn a_start_settles_what_was_owed(place: &dyn Place) {
    let store = place.open();
    let lease = lease(&*store).await;
    let owed = |second| Owed { due: due(second), trigger: Trigger::CatchUp };
    write(
        &*store,
        [
            Write::Mark(key(1), mark(120)),
            Write::Owe(key(1), owed(60)),
            Write::Owe(key(1), owed(120)),
            Write::Owe(key(2), owed(60)),
        ],
    )
    .await;
    start(&*store, &lease, vec![Start { trigger: Trigger::CatchUp, ..a_start(1, 60) }]).await;
    let loaded = place.open().load().await.unwrap();
    assert_eq!(loaded.jobs[&key(1)].owed, [owed(120)]);
    assert_eq!(loaded.jobs[&key(2)].owed, [owed(60)]);
    assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(120)));
}

pub(crate) async fn a_watermark_that_comes_late_does_not_lower_that_of_a_start(place: &dyn Place) {
    let store = place.open();
    let lease = lease(&*store).await;
    start(&*store, &lease, vec![a_start(1, 120)]).await;
    write(&*store, [Write::Mark(key(1), mark(60)), Write::Since(vec![key(1)], at(0))]).await;
    assert_eq!(state(&*store, key(1)).await.mark, Some(mark(120)));
    let set_back = Mark { generation: 1, ..mark(60) };
    start(&*store, &lease, vec![Start { mark: set_back, ..a_start(1, 60) }]).await;
    assert_eq!(state(&*store, key(1)).await.mark, Some(set_back));
}

pub(crate) async fn a_thousand_starts_are_permitted_in_their_order(place: &dyn Place) {
    let store = place.open();
    let lease = lease(&*store).await;
    start(&*store, &lease, (0..1_000).map(|number| a_start(number, 60)).collect()).await;
    let loaded = place.open().load().await.unwrap();
    assert_eq!((loaded.open.len(), loaded.jobs.len()), (1_000, 1_000));
    assert!(loaded.open.is_sorted_by_key(|record| record.run));
}
