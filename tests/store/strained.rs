//! What a store refuses, though it is there: it stands as strained, and does not go and come.

use cronkeep::job::JobId;
use cronkeep::store::{PutSnapshot, Standing, StoreError, Which, Write};

use super::harness::{key, mark};
use super::writer::{Fault, LONG, post, with};

#[test]
fn a_store_that_refuses_the_snapshot_is_strained_whatever_it_answers_until_it_takes_one() {
    with(async |bench| {
        let handle = &bench.handle;
        // Starts are recorded before they are made: it is there for them.
        let is_strained = |standing: &Standing| matches!(standing, Standing::Strained { .. });
        let put = |expected| {
            let (bytes, seed_rows) = (b"x".to_vec(), None);
            handle.put_snapshot(PutSnapshot { expected, after: 0, bytes, seed_rows }, LONG)
        };
        let no_memory = StoreError::Refused("no memory".to_owned());
        bench.store.fail(Fault::Puts(no_memory.clone()));
        assert!(put(0).await.is_err());
        bench.stands(is_strained).await;
        let mut told = handle.standing();
        told.mark_unchanged();
        for _ in 0..3 {
            // Each is taken note of before the next is asked.
            handle.snapshot(LONG).await.unwrap();
            handle.write(Write::Mark(key(1), mark(10)));
            assert!(handle.flush(LONG).await);
            assert!(put(0).await.is_err());
        }
        assert!(!told.has_changed().unwrap(), "{:?}", *told.borrow());
        bench.store.fail(Fault::None);
        put(0).await.unwrap();
        bench.stands(|standing| *standing == Standing::Up).await;
        // It is not to be put any more: it may have been an edit that was taken back.
        bench.store.fail(Fault::Puts(no_memory));
        assert!(put(1).await.is_err());
        bench.stands(is_strained).await;
        handle.nothing_to_put();
        bench.stands(|standing| *standing == Standing::Up).await;
    });
}

#[test]
fn that_a_store_has_no_bodies_of_the_service_does_not_take_it_away() {
    with(async |bench| {
        bench.handle.load(LONG).await.unwrap();
        let answer = bench.handle.seed_body(JobId::of_mark(b"x"), LONG).await;
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
        assert_eq!(*bench.handle.standing().borrow(), Standing::Up);
    });
}

#[test]
fn a_store_that_refuses_messages_is_strained_whatever_it_answers_until_it_takes_one() {
    with(async |bench| {
        let handle = &bench.handle;
        handle.load(LONG).await.unwrap();
        bench.stands(|standing| *standing == Standing::Up).await;
        let another_type = StoreError::Corrupt("a key of another type".to_owned());
        bench.store.fail(Fault::Outbox(another_type.clone()));
        assert!(post(handle, 1, LONG).await.is_err());
        // Starts are recorded, and runs are: it is there for them.
        let strained = Standing::Strained { error: another_type };
        bench.stands(|standing| *standing == strained).await;
        let mut told = handle.standing();
        told.mark_unchanged();
        for number in 0..3 {
            // Each is taken note of before the next is asked.
            handle.snapshot(LONG).await.unwrap();
            handle.waiting(Which::Ids(Vec::new()), LONG).await.unwrap();
            handle.write(Write::Mark(key(1), mark(10)));
            assert!(handle.flush(LONG).await);
            assert!(post(handle, number, LONG).await.is_err());
        }
        assert!(!told.has_changed().unwrap(), "{:?}", *told.borrow());
        bench.store.fail(Fault::None);
        post(handle, 1, LONG).await.unwrap();
        bench.stands(|standing| *standing == Standing::Up).await;
    });
}

#[test]
fn bodies_of_the_service_that_cannot_be_read_do_not_take_the_store_away() {
    with(async |bench| {
        bench.handle.load(LONG).await.unwrap();
        bench.stands(|standing| *standing == Standing::Up).await;
        let mut told = bench.handle.standing();
        told.mark_unchanged();
        bench.store.fail(Fault::Outbox(StoreError::Corrupt("a key of another type".to_owned())));
        for _ in 0..2 {
            assert!(bench.handle.seed_body(JobId::of_mark(b"x"), LONG).await.is_err());
            bench.handle.snapshot(LONG).await.unwrap();
        }
        assert!(!told.has_changed().unwrap(), "{:?}", *told.borrow());
    });
}
