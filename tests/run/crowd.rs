//! Amid a burst whoever asks is answered, and what has ended is taken.

use std::sync::Arc;

use cronkeep::event::Event;

use crate::harness::{Daemon, alone, job, start};

/// So many starts take some tenths of a second.
const CROWD: i64 = 1_000;

/// With so many runs that are due at once, of which the first has started.
async fn crowded() -> Daemon {
    let mut daemon = start();
    let job = Arc::new(job("exit 0"));
    for second in 0..CROWD {
        daemon.fire_at(&job, second);
    }
    while !matches!(&*daemon.next().await, Event::RunStarted(_)) {}
    daemon
}

#[test]
fn a_question_is_answered_while_starts_wait() {
    alone(async {
        let mut daemon = crowded().await;
        daemon.handle.state().await;
        let mut started = 1;
        while let Ok(event) = daemon.events.try_recv() {
            started += i64::from(matches!(&*event, Event::RunStarted(_)));
        }
        assert!(started < CROWD, "{started} had started by then");
        daemon.finish().await;
    });
}

#[test]
fn runs_end_while_starts_wait() {
    alone(async {
        let mut daemon = crowded().await;
        let (mut started, mut ended) = (1, 0);
        while started < CROWD {
            match &*daemon.next().await {
                Event::RunStarted(_) => started += 1,
                Event::RunEnded(_) => ended += 1,
                _ => {}
            }
            if started == CROWD / 2 {
                assert!(ended > CROWD / 10, "{ended} of {started} had ended by then");
            }
        }
        daemon.finish().await;
    });
}
