//! Messages that wait for their broker.

use std::time::Duration;

use cronkeep::job::JobId;
use cronkeep::store::{Done, Owned, Posted, Room, Store, Waiting, Which};
use jiff::Timestamp;

use super::harness::{Place, at, key, run_id};

/// The message of that number, of that many bytes.
pub(crate) fn message(number: u32, size: usize) -> Waiting {
    Waiting {
        id: format!("{}:{number}", key(number % 5)),
        order: 0,
        job: (!number.is_multiple_of(3)).then(|| key(number % 5)),
        run: number.is_multiple_of(2).then(|| run_id(60, number)),
        expires: at(3_600) + Duration::from_micros(u64::from(number)),
        bytes: number.to_le_bytes().into_iter().cycle().take(size).collect(),
    }
}

fn id(number: u32) -> String {
    message(number, 0).id
}

/// Has messages kept for an owner, in a room of the usual size.
pub(crate) async fn post(store: &dyn Store, owner: &str, messages: Vec<Waiting>) -> Vec<Posted> {
    store.post(owner.to_owned(), messages, Room::default()).await.unwrap()
}

/// All that waits for an owner, read in pages of so many.
async fn all(store: &dyn Store, owner: &str, limit: usize) -> Vec<Waiting> {
    let (mut found, mut order) = (Vec::new(), 0);
    loop {
        let which = Which::After { owner: owner.to_owned(), order, limit };
        let page = store.waiting(which).await.unwrap();
        let Some(last) = page.last() else { return found };
        assert!(page.len() <= limit && last.order > order);
        order = last.order;
        found.extend(page);
    }
}

/// The ids of what waits for an owner, in order.
async fn ids(store: &dyn Store, owner: &str) -> Vec<String> {
    all(store, owner, 100).await.into_iter().map(|one| one.id).collect()
}

async fn confirm(store: &dyn Store, numbers: impl IntoIterator<Item = u32>) {
    let confirmed = numbers.into_iter().map(id).collect();
    store.unpost(Done { confirmed, ..Done::default() }).await.unwrap();
}

pub(crate) async fn what_is_posted_waits_in_order_until_it_is_done(place: &dyn Place) {
    let store = place.open();
    let messages: Vec<Waiting> = (0..250).map(|number| message(number, 10)).collect();
    for batch in messages.chunks(60) {
        for posted in post(&*store, "me", batch.to_vec()).await {
            assert!(matches!(posted, Posted::Kept(1..)), "{posted:?}");
        }
    }
    for limit in [1, 7, 500] {
        let found = all(&*place.open(), "me", limit).await;
        assert!(found.is_sorted_by(|one, next| one.order < next.order));
        let found: Vec<Waiting> =
            found.into_iter().map(|one| Waiting { order: 0, ..one }).collect();
        assert_eq!(found, messages, "every field reads back");
    }
    let done = Done {
        confirmed: (0..100).map(id).collect(),
        dropped: (100..200).map(id).chain(["nobody's".to_owned()]).collect(),
        owner: "me".to_owned(),
    };
    store.unpost(done).await.unwrap();
    assert_eq!(ids(&*place.open(), "me").await, (200..250).map(id).collect::<Vec<_>>());
    assert_eq!(ids(&*store, "you").await, [""; 0]);
}

pub(crate) async fn of_one_id_one_message_is_kept(place: &dyn Place) {
    let store = place.open();
    let twice = vec![message(1, 5), Waiting { bytes: b"other".to_vec(), ..message(1, 5) }];
    let posted = post(&*store, "me", twice).await;
    assert!(matches!(posted[..], [Posted::Kept(_), Posted::Waits]), "{posted:?}");
    // Whoever has it.
    assert_eq!(post(&*place.open(), "you", vec![message(1, 5)]).await, [Posted::Waits]);
    let [kept] = &all(&*store, "me", 9).await[..] else { panic!("one is kept") };
    assert_eq!(kept.bytes, message(1, 5).bytes, "the first");
}

pub(crate) async fn what_was_confirmed_is_known_and_what_was_dropped_is_not(place: &dyn Place) {
    let store = place.open();
    post(&*store, "me", vec![message(1, 5), message(2, 5)]).await;
    store
        .unpost(Done { confirmed: vec![id(1)], dropped: vec![id(2)], owner: "me".to_owned() })
        .await
        .unwrap();
    let posted = post(&*place.open(), "you", vec![message(1, 5), message(2, 5)]).await;
    assert!(matches!(posted[..], [Posted::Confirmed, Posted::Kept(_)]), "{posted:?}");
    assert_eq!(ids(&*store, "you").await, [id(2)]);
}

pub(crate) async fn what_somebody_else_keeps_is_not_given_up(place: &dyn Place) {
    let store = place.open();
    post(&*store, "you", vec![message(1, 5), message(2, 5)]).await;
    post(&*store, "me", vec![message(3, 5)]).await;
    let given_up =
        Done { confirmed: vec![id(2)], dropped: vec![id(1), id(3)], owner: "me".to_owned() };
    store.unpost(given_up).await.unwrap();
    assert_eq!(ids(&*place.open(), "you").await, [id(1)], "what was confirmed goes");
    assert_eq!(ids(&*store, "me").await, [""; 0]);
    // Once it is ours it goes.
    store.adopt("me".to_owned(), Vec::new()).await.unwrap();
    let dropped = vec![id(1)];
    let ours = Done { dropped, owner: "me".to_owned(), ..Done::default() };
    store.unpost(ours).await.unwrap();
    assert_eq!(ids(&*store, "me").await, [""; 0]);
}

pub(crate) async fn what_is_done_makes_room_for_what_comes_with_it(place: &dyn Place) {
    let store = place.open();
    let room = Room { count: 2, bytes: 100 };
    let exchange = async |done: Done, numbers: [u32; 3]| {
        let messages = numbers.map(|number| message(number, 10)).to_vec();
        store.exchange(done, "me".to_owned(), messages, room).await.unwrap()
    };
    let kept = exchange(Done::default(), [1, 2, 3]).await;
    assert!(matches!(kept[..2], [Posted::Kept(_), Posted::Kept(_)]));
    assert_eq!(kept[2], Posted::Full { count: 2, bytes: 20 });
    let done = Done { confirmed: vec![id(1)], dropped: vec![id(2)], owner: "me".to_owned() };
    assert_eq!((done.len(), done.is_empty()), (2, false));
    let kept = exchange(done, [1, 2, 4]).await;
    assert_eq!(kept[0], Posted::Confirmed);
    assert!(matches!(kept[1..], [Posted::Kept(_), Posted::Kept(_)]), "{kept:?}");
    assert_eq!(ids(&*store, "me").await, [id(2), id(4)]);
}

pub(crate) async fn what_waits_is_bounded_in_number_and_bytes(place: &dyn Place) {
    let store = place.open();
    let room = Room { count: 3, bytes: 100 };
    let post = async |numbers: &[(u32, usize)]| {
        let messages = numbers.iter().map(|(number, size)| message(*number, *size)).collect();
        let posted = store.post("me".to_owned(), messages, room).await.unwrap();
        let kept = |posted: &Posted| match posted {
            Posted::Kept(_) => "kept".to_owned(),
            Posted::Full { count, bytes } => format!("full {count} {bytes}"),
            other => format!("{other:?}"),
        };
        posted.iter().map(kept).collect::<Vec<_>>()
    };
    // What is too large leaves room for what is not.
    assert_eq!(post(&[(1, 50), (2, 51), (3, 50)]).await, ["kept", "full 1 50", "kept"]);
    confirm(&*store, [1]).await;
    assert_eq!(post(&[(4, 25), (5, 25), (6, 0)]).await, ["kept", "kept", "full 3 100"]);
    assert_eq!(post(&[(1, 50), (3, 50)]).await, ["Confirmed", "Waits"], "nothing needs room twice");
    confirm(&*store, [3, 3, 4, 5]).await;
    assert_eq!(post(&[(7, 100), (8, 1)]).await, ["kept", "full 1 100"]);
}

pub(crate) async fn what_the_dead_left_becomes_ours(place: &dyn Place) {
    let store = place.open();
    for (owner, number) in [("dead", 1), ("me", 2), ("alive", 3), ("dead too", 4), ("dead", 5)] {
        post(&*store, owner, vec![message(number, 5)]).await;
    }
    let adopt = async || {
        let alive = ["me".to_owned(), "alive".to_owned()].into();
        place.open().adopt("me".to_owned(), alive).await.unwrap()
    };
    assert_eq!(adopt().await, 3);
    assert_eq!(ids(&*store, "me").await, [1, 2, 4, 5].map(id));
    assert_eq!(ids(&*store, "alive").await, [id(3)]);
    assert_eq!(adopt().await, 0);
    confirm(&*store, 1..=5).await;
    assert_eq!(ids(&*store, "me").await, [""; 0]);
}

pub(crate) async fn messages_are_read_by_their_ids(place: &dyn Place) {
    let store = place.open();
    post(&*store, "me", (0..5).map(|number| message(number, 9)).collect()).await;
    post(&*store, "you", vec![message(7, 9)]).await;
    let wanted = Which::Ids(vec![id(7), id(3), "nobody's".to_owned(), id(1)]);
    let found = place.open().waiting(wanted).await.unwrap();
    let found: Vec<Waiting> = found.into_iter().map(|one| Waiting { order: 0, ..one }).collect();
    assert_eq!(found, [1, 3, 7].map(|number| message(number, 9)));
    assert_eq!(store.waiting(Which::Ids(Vec::new())).await.unwrap(), []);
}

/// All that waits, whosever it is, and in how many pages it was read.
pub(crate) async fn everyones(store: &dyn Store) -> (Vec<Owned>, usize) {
    let (mut found, mut after, mut pages) = (Vec::<Owned>::new(), 0, 0);
    loop {
        let page = store.everyones(after).await.unwrap();
        let Some(last) = page.last() else { return (found, pages) };
        (after, pages) = (last.waiting.order, pages + 1);
        found.extend(page);
    }
}

pub(crate) async fn what_waits_is_read_whosever_it_is(place: &dyn Place) {
    let store = place.open();
    assert_eq!(everyones(&*store).await, (Vec::new(), 0));
    let room = Room { count: 10_000, bytes: 1 << 30 };
    let owner = |number: u32| if number.is_multiple_of(500) { "me" } else { "you" };
    let size = |number: u32| if number.is_multiple_of(500) { 5 << 20 } else { 9 };
    for numbers in [0..1, 1..500, 500..501, 501..1_000, 1_000..1_001, 1_001..1_500, 1_500..1_501] {
        let owner = owner(numbers.start).to_owned();
        let messages = numbers.map(|number| message(number, size(number))).collect();
        store.post(owner, messages, room).await.unwrap();
    }
    confirm(&*store, 1..1_000).await;
    let (found, pages) = everyones(&*place.open()).await;
    assert!(found.is_sorted_by_key(|one| one.waiting.order));
    assert!(pages >= 3, "at most 8 MiB at once: {pages}");
    let found: Vec<Owned> = found
        .into_iter()
        .map(|Owned { owner, waiting }| Owned { owner, waiting: Waiting { order: 0, ..waiting } })
        .collect();
    let expected = std::iter::once(0).chain(1_000..1_501).map(|number| Owned {
        owner: owner(number).to_owned(),
        waiting: message(number, size(number)),
    });
    assert!(found.into_iter().eq(expected), "every field reads back");
}

pub(crate) async fn large_messages_are_read_a_few_at_a_time(place: &dyn Place) {
    let store = place.open();
    let room = Room { count: 100, bytes: 1 << 30 };
    for number in 0..4 {
        let large = vec![message(number, 3 << 20)];
        store.post("me".to_owned(), large, room).await.unwrap();
    }
    store.post("me".to_owned(), vec![message(4, 9 << 20)], room).await.unwrap();
    let page = async |order| {
        let which = Which::After { owner: "me".to_owned(), order, limit: 100 };
        store.waiting(which).await.unwrap()
    };
    let (mut order, mut counts) = (0, Vec::new());
    while let Some(last) = page(order).await.last() {
        counts.push(page(order).await.len());
        order = last.order;
    }
    assert_eq!(counts, [2, 2, 1], "at most 8 MiB, but for one that is larger");
}

pub(crate) async fn a_thousand_messages_are_kept_at_once(place: &dyn Place) {
    let store = place.open();
    let messages: Vec<Waiting> = (0..1_000).map(|number| message(number, 200)).collect();
    let posted = post(&*store, "me", messages).await;
    assert!(posted.iter().all(|posted| matches!(posted, Posted::Kept(_))));
    assert_eq!(all(&*store, "me", 300).await.len(), 1_000);
    confirm(&*store, 0..1_000).await;
    assert_eq!(ids(&*place.open(), "me").await, [""; 0]);
}

pub(crate) async fn an_expiry_of_any_year_is_kept(place: &dyn Place) {
    let store = place.open();
    for (number, expires) in [(1, Timestamp::UNIX_EPOCH), (2, at(0)), (4, far())] {
        let message = Waiting { expires, ..message(number, 1) };
        post(&*store, "me", vec![message.clone()]).await;
        let [found] = &store.waiting(Which::Ids(vec![message.id])).await.unwrap()[..] else {
            panic!("it waits")
        };
        assert_eq!(found.expires, expires);
    }
}

/// The last instant that is so many microseconds after 1970.
fn far() -> Timestamp {
    Timestamp::from_second(Timestamp::MAX.as_second()).unwrap()
}

/// What an embedded store says to somebody who asks for what only the Python service's Redis has.
pub(crate) async fn has_no_bodies_of_the_service(store: &dyn Store) {
    let refused = store.seed_body(JobId::of_mark(b"x")).await.unwrap_err();
    assert!(refused.to_string().contains("behind %"), "{refused}");
}
