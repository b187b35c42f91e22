//! The snapshot is replaced only by who knows what it replaces.

use cronkeep::store::{Put, PutSnapshot, Store, Versioned};

use super::harness::{Place, at, key, state, write};

async fn put(store: &dyn Store, expected: u64, bytes: &[u8]) -> Put {
    let put = PutSnapshot { after: 0, expected, bytes: bytes.to_vec(), seed_rows: None };
    store.put_snapshot(put).await.unwrap()
}

pub(crate) async fn a_snapshot_is_replaced_only_by_who_has_seen_it(place: &dyn Place) {
    let store = place.open();
    assert_eq!(store.snapshot().await.unwrap(), None);
    assert_eq!(put(&*store, 3, b"wrong").await, Put::Conflict(None));
    assert_eq!(put(&*store, 0, b"one").await, Put::Done(1));
    let one = Versioned { version: 1, bytes: b"one".to_vec() };
    assert_eq!(put(&*store, 0, b"other").await, Put::Conflict(Some(one.clone())));
    assert_eq!(place.open().snapshot().await.unwrap(), Some(one));
    assert_eq!(put(&*store, 1, b"two").await, Put::Done(2));
    let two = Versioned { version: 2, bytes: b"two".to_vec() };
    assert_eq!(put(&*store, 1, b"late").await, Put::Conflict(Some(two.clone())));
    assert_eq!(place.open().snapshot().await.unwrap(), Some(two));
}

pub(crate) async fn a_forgotten_snapshot_is_gone_and_its_version_does_not_come_again(
    place: &dyn Place,
) {
    let store = place.open();
    write(&*store, [cronkeep::store::Write::Since(vec![key(1)], at(0))]).await;
    store.forget_snapshot().await.unwrap();
    assert_eq!(put(&*store, 0, b"one").await, Put::Done(1));
    store.forget_snapshot().await.unwrap();
    assert_eq!(place.open().snapshot().await.unwrap(), None);
    // Who has seen the first one must not overwrite the one that came after it.
    assert_eq!(put(&*store, 1, b"late").await, Put::Conflict(None));
    assert_eq!(put(&*store, 0, b"two").await, Put::Done(2));
    assert_eq!(state(&*store, key(1)).await.since, Some(at(0)), "jobs stay");
}

/// So a snapshot that the store has lost is told from one that was forgotten, and does not come back as an old one.
pub(crate) async fn the_version_outlives_a_snapshot_and_goes_on_after_one_that_was_lost(
    place: &dyn Place,
) {
    let store = place.open();
    assert_eq!(store.snapshot_version().await.unwrap(), 0);
    let again = PutSnapshot { after: 7, expected: 0, bytes: b"again".to_vec(), seed_rows: None };
    assert_eq!(store.put_snapshot(again.clone()).await.unwrap(), Put::Done(8));
    assert_eq!(store.snapshot_version().await.unwrap(), 8);
    // One that is there is later already.
    let later = PutSnapshot { expected: 8, ..again };
    assert_eq!(store.put_snapshot(later).await.unwrap(), Put::Done(9));
    store.forget_snapshot().await.unwrap();
    assert_eq!(store.snapshot_version().await.unwrap(), 9);
}

pub(crate) async fn a_snapshot_of_a_mebibyte_reads_back(place: &dyn Place) {
    let store = place.open();
    let bytes: Vec<u8> =
        (0..1_u32 << 20).map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    assert_eq!(put(&*store, 0, &bytes).await, Put::Done(1));
    assert_eq!(place.open().snapshot().await.unwrap().unwrap().bytes, bytes);
}
