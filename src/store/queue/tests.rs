use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::event::Trigger;
use crate::job::JobId;
use crate::store::record::{OutputLine, RecordedOutcome};
use crate::store::{Mark, Owed};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn key(number: u32) -> JobKey {
    JobKey { id: JobId::of_mark(&number.to_be_bytes()), occurrence: 1 }
}

fn due(second: i64) -> Due {
    Due { at: at(second), civil: jiff::tz::TimeZone::UTC.to_datetime(at(second)) }
}

fn mark(number: u32, second: i64) -> Write {
    Write::Mark(key(number), Mark::of(due(second), 0))
}

fn owe(number: u32, second: i64) -> Write {
    Write::Owe(key(number), Owed { due: due(second), trigger: Trigger::Schedule })
}

fn run(number: u32, outcome: Option<RecordedOutcome>) -> Write {
    Write::Run(Arc::new(RunRecord {
        run: RunId::new(at(0), u128::from(number)),
        attempt: 1,
        key: key(number),
        name: String::new(),
        due: due(0),
        range: None,
        trigger: Trigger::Schedule,
        queued: None,
        started: None,
        ended: None,
        outcome,
        exit: None,
        signal: None,
        reason: None,
        user_cpu: Duration::ZERO,
        system_cpu: Duration::ZERO,
        max_rss_kib: None,
        replica: String::new(),
        worker: None,
        output_bytes: 0,
        process: None,
    }))
}

fn output(number: u32, bytes: usize) -> Write {
    let line = OutputLine { is_error: false, detached: false, bytes: vec![b'x'; bytes] };
    let output = Output { head: vec![line], ..Output::default() };
    Write::Output(RunId::new(at(0), u128::from(number)), output)
}

fn queue(writes: impl IntoIterator<Item = Write>) -> Queue {
    let mut queue = Queue::default();
    writes.into_iter().for_each(|write| queue.push(write));
    queue
}

fn all(queue: &mut Queue) -> Vec<Write> {
    queue.take(usize::MAX).writes()
}

const ENDED: Option<RecordedOutcome> = Some(RecordedOutcome::Succeeded);

#[test]
fn the_newest_of_each_thing_is_written_and_at_its_own_time() {
    // What a job owes is written before, or with, the watermark that passes it.
    let mut queue = queue([mark(1, 60), owe(1, 120), mark(1, 120), mark(2, 60)]);
    assert_eq!(all(&mut queue), [owe(1, 120), mark(1, 120), mark(2, 60)]);
    assert!(queue.is_empty() && queue.bytes == 0 && queue.slots.is_empty());
}

#[test]
fn an_earlier_watermark_does_not_replace_a_later_one() {
    assert_eq!(all(&mut queue([mark(1, 60), mark(1, 30)])), [mark(1, 60)]);
}

#[test]
fn a_run_that_ended_is_not_opened_again() {
    assert_eq!(all(&mut queue([run(1, None), run(1, ENDED)])), [run(1, ENDED)]);
    assert_eq!(all(&mut queue([run(1, ENDED), run(1, None)])), [run(1, ENDED)]);
}

#[test]
fn what_is_settled_is_not_owed_any_more() {
    let settle = || Write::Settle(key(1), due(60));
    // The store may know of it from an earlier write.
    assert_eq!(all(&mut queue([owe(1, 60), owe(1, 90), settle()])), [owe(1, 90), settle()]);
    let mut started = queue([owe(1, 60), mark(1, 60)]);
    started.started(key(1), due(60));
    started.started(key(2), due(60));
    assert_eq!(all(&mut started), [mark(1, 60), settle()]);
}

#[test]
fn the_last_word_on_a_pause_counts() {
    let (pause, resume) = (Write::Pause(key(1)), Write::Resume(key(1)));
    let mut queue = queue([pause.clone(), resume, pause.clone()]);
    assert_eq!(all(&mut queue), [pause]);
}

#[test]
fn many_jobs_are_written_piece_by_piece_in_the_order_of_a_table() {
    let mut keys: Vec<JobKey> = (0..2_500).map(key).collect();
    let mut queue = queue([Write::Since(keys.clone(), at(0))]);
    let mut written = Vec::new();
    while !queue.is_empty() {
        let batch = queue.take(512);
        assert!(batch.rows() <= JOBS);
        for write in batch.writes() {
            let Write::Since(keys, _) = write else { panic!("{write:?}") };
            written.extend(keys);
        }
    }
    keys.sort_unstable_by_key(|key| (key.id.seed().cast_signed(), key.occurrence));
    assert_eq!(written, keys);
}

#[test]
fn what_was_not_written_goes_back_to_its_place_unless_something_newer_came() {
    let mut queue = queue([run(1, None), mark(1, 60), mark(2, 60), owe(3, 60)]);
    let batch = queue.take(3);
    queue.push(mark(1, 120));
    queue.push(run(1, ENDED));
    queue.push(mark(4, 60));
    queue.give_back(batch);
    let expected = [mark(2, 60), owe(3, 60), mark(1, 120), run(1, ENDED), mark(4, 60)];
    assert_eq!(all(&mut queue), expected);
    assert_eq!(queue.bytes, 0);
}

#[test]
fn what_waits_from_before_a_point_is_known_though_it_was_replaced_since() {
    let mut queue = queue([mark(1, 60)]);
    let point = queue.now();
    queue.push(mark(2, 60));
    queue.push(mark(1, 120));
    assert!(queue.has_before(point));
    let batch = queue.take(1);
    assert_eq!(batch.writes(), [mark(2, 60)]);
    assert!(queue.has_before(point), "the watermark of the first job still waits");
    queue.take(1);
    assert!(!queue.has_before(point));
}

#[test]
fn of_too_many_the_oldest_outputs_go_first_then_the_oldest_runs_and_watermarks_stay() {
    let mut queue = Queue::default();
    queue.push(mark(0, 60));
    for number in 0..u32::try_from(RECORDS).unwrap() + 10 {
        queue.push(run(number, ENDED));
        if number < 5 {
            queue.push(output(number, 10));
        }
    }
    assert_eq!(queue.take_dropped(), 15);
    let writes = all(&mut queue);
    assert_eq!(writes[..2], [mark(0, 60), run(10, ENDED)]);
    assert_eq!(writes.len(), RECORDS + 1);
}

#[test]
fn of_too_large_outputs_the_oldest_go() {
    let mut queue = queue((0..20).map(|number| output(number, 1 << 20)));
    assert!(queue.bytes <= BYTES);
    assert_eq!(queue.take_dropped(), 5);
    assert_eq!(all(&mut queue)[0], output(5, 1 << 20));
}

#[test]
fn of_what_was_refused_no_more_writes_are_taken_than_rows() {
    let mut queue = Queue::default();
    let settle = |number| Write::Settle(key(number), due(60));
    for number in 0..9 {
        queue.push(mark(number, 60));
        queue.push(settle(number));
    }
    assert_eq!(queue.take(1).writes(), [mark(0, 60)]);
    assert_eq!(queue.take(3).writes(), [settle(0), mark(1, 60), settle(1)]);
    // As a rule nothing is owed, and it costs nothing to find that out.
    assert_eq!(queue.take(ROWS).len(), 14);
}
