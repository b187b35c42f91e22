use jiff::Timestamp;

use super::*;
use crate::clock::ManualClock;
use crate::schedule::Due;
use crate::store::redis::Redis;
use crate::store::{Lease, Store, WhenDown};

/// A gate whose store nobody reaches, and where what it hands on goes.
fn gate() -> (Gate, mpsc::UnboundedReceiver<Fire>) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
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
        bus: Bus::builder().build(),
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
    (Gate::new(ports, settings), handed_on)
}

#[test]
fn what_was_taken_over_and_is_about_to_be_started_is_not_claimed_for_the_scheduler_too() {
    let (mut gate, mut handed_on) = gate();
    let key = "crondServiceTask-0123456789abcdef".parse().unwrap();
    let job = Arc::new(Job::remembered(key, "job", &Zone::utc()));
    let at = Timestamp::from_second(60).unwrap();
    let fire = passed::orphan(&job, Due { at, civil: Zone::utc().civil(at) }, 0);
    gate.hand_on(fire.clone());
    assert_eq!(handed_on.try_recv().unwrap().due.at, at);
    // Its own clock is behind the one of the replica that had claimed it.
    gate.take(fire.clone(), at);
    assert!(gate.waiting.is_empty(), "it would be granted twice");
    // If it is given back it is claimed again.
    gate.settle(Settlement::Returned(fire));
    assert!(!gate.waiting.is_empty() && gate.out.is_empty());
}
