use jiff::Timestamp;

use super::super::passed::Passed;
use super::*;
use crate::clock::ManualClock;
use crate::schedule::Due;
use crate::store::redis::Redis;
use crate::store::{Lease, Store, WhenDown};

/// A gate whose store nobody reaches, what it reads the time from, and where what it hands on and tells goes.
struct Scene {
    gate: Gate,
    clock: ManualClock,
    handed_on: mpsc::UnboundedReceiver<Fire>,
    told: mpsc::UnboundedReceiver<Arc<Event>>,
}

fn scene() -> Scene {
    let manual = ManualClock::new(Timestamp::UNIX_EPOCH);
    let clock: Arc<dyn Clock> = Arc::new(manual.clone());
    let mut bus = Bus::builder();
    let told = bus.subscribe();
    let open = || Arc::new(Redis::new("redis://127.0.0.1:1", "test")) as Arc<dyn Store>;
    let store = Handle::start(open, Arc::clone(&clock), Arc::new(|_| {})).unwrap();
    let (granted, handed_on) = mpsc::unbounded_channel();
    let conditions = Conditions {
        lease: Lease::default(),
        within: Duration::ZERO,
        when_down: WhenDown::Hold,
        until: None,
    };
    let ports = Ports {
        clock,
        store,
        bus: bus.build(),
        tables: watch::channel(Arc::default()).1,
        fires: mpsc::unbounded_channel().1,
        passed: mpsc::unbounded_channel().1,
        granted,
        settled: mpsc::unbounded_channel().1,
        duties: Box::new(|_| {}),
        conditions: watch::channel(conditions).0,
        replicas: watch::channel(Vec::new()).0,
        held: watch::channel(None).0,
        leave: oneshot::channel().1,
    };
    let settings = Settings {
        replica: "here".into(),
        host: "host".into(),
        zone: Zone::utc(),
        silence: Silence::Auto,
        linger: Duration::ZERO,
    };
    Scene { gate: Gate::new(ports, settings), clock: manual, handed_on, told }
}

fn fire(second: i64) -> Fire {
    let key = "crondServiceTask-0123456789abcdef".parse().unwrap();
    let job = Arc::new(Job::remembered(key, "job", &Zone::utc()));
    let at = Timestamp::from_second(second).unwrap();
    passed::orphan(&job, Due { at, civil: Zone::utc().civil(at) }, 0)
}

#[test]
fn what_was_taken_over_and_is_about_to_be_started_is_not_claimed_for_the_scheduler_too() {
    let Scene { mut gate, mut handed_on, .. } = scene();
    let fire = fire(60);
    let at = fire.due.at;
    gate.hand_on(fire.clone());
    assert_eq!(handed_on.try_recv().unwrap().due.at, at);
    // Its own clock is behind the one of the replica that had claimed it.
    gate.take(fire.clone(), at);
    assert!(gate.waiting.is_empty(), "it would be granted twice");
    // If it is given back it is claimed again.
    gate.settle(Settlement::Returned(fire));
    assert!(!gate.waiting.is_empty() && gate.out.is_empty());
}

#[test]
fn what_was_claimed_to_be_listed_is_claimed_again_after_a_stop_that_the_lease_may_not_have_outlived()
 {
    let Scene { mut gate, clock, mut told, .. } = scene();
    let lease = Lease { replica: "here".into(), fencing: 7 };
    let late = |fire| Passed { fire, reason: "late".into(), is_skipped: false };
    gate.member.heard(clock.monotonic(), &Peers { lease: lease.clone(), ..Peers::default() });
    clock.advance(EXPIRY);
    gate.list(vec![late(fire(60))]);
    assert!(told.try_recv().is_err(), "another may have started it");
    assert!(gate.waiting.has_ready());
    gate.member.heard(clock.monotonic(), &Peers { lease, ..Peers::default() });
    clock.advance(EXPIRY / 2);
    gate.list(vec![late(fire(120))]);
    let event = told.try_recv().unwrap();
    assert!(
        matches!(&*event, Event::RunMissed { first, .. } if first.at.as_second() == 120),
        "{event:?}"
    );
}
