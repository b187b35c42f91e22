//! A log that nobody reads.

use std::sync::Arc;
use std::time::Duration;

use cronkeep::event::{Bus, Ended, Event, Fire, Outcome, Run, RunId, Started, Trigger, Usage};
use cronkeep::schedule::Due;
use jiff::Timestamp;
use jiff::civil::DateTime;

use crate::harness::{alone, job};
use crate::output::memory;

#[test]
fn a_log_that_nobody_reads_costs_a_bounded_amount_of_memory_and_tells_what_is_missing() {
    alone(async {
        let mut builder = Bus::builder();
        let mut log = builder.subscribe_bounded();
        let bus = builder.build();
        let job = Arc::new(job("true"));
        let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
        let before = memory();
        let mut half = 0;
        for number in 0..100_000_u128 {
            let fire =
                Fire { job: Arc::clone(&job), due, trigger: Trigger::Schedule, generation: 0 };
            let id = RunId::new(Timestamp::UNIX_EPOCH, number);
            let run = Arc::new(Run { id, fire, attempt: 1 });
            let at = Timestamp::UNIX_EPOCH;
            bus.publish(Event::RunStarted(Started {
                run: Arc::clone(&run),
                pid: Some(1),
                since: None,
                at,
            }));
            bus.publish(Event::RunEnded(Ended {
                run,
                outcome: Outcome::Failed { exit: 1 },
                cause: None,
                retry: None,
                at,
                duration: Duration::ZERO,
                worker: None,
                usage: Usage::default(),
            }));
            if number == 50_000 {
                half = memory();
            }
        }
        let after = memory();
        assert!(after - before < 12 << 10, "{} KiB", after - before);
        assert!(after.saturating_sub(half) < 512, "{} KiB more", after - half);
        let mut fetched = 0;
        let missing = loop {
            match *log.try_recv().unwrap() {
                Event::LeftOut { count, warnings } => break (count, warnings),
                _ => fetched += 1,
            }
        };
        assert_eq!(missing.0 + fetched, 200_000);
        assert!(missing.1 < 100_000, "some warnings went in longer: {missing:?}");
        assert!(log.try_recv().is_none());
    });
}
