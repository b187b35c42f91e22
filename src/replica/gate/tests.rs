use jiff::Timestamp;

use super::super::passed::Passed;
use super::super::verdict::Round;
use super::*;
use crate::clock::ManualClock;
use crate::schedule::Due;
use crate::store::redis::Redis;
use crate::store::{Lease, Store, Verdict, WhenDown};

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

/// What comes of a fire whose run was ended before its start, once the store has answered its claim like this, and that run.
fn ended(scene: &mut Scene, verdict: &Verdict) -> (Round, RunId) {
    let Scene { gate, clock, .. } = scene;
    let lease = Lease { replica: "here".into(), fencing: 7 };
    gate.member.heard(clock.monotonic(), &Peers { lease, ..Peers::default() });
    let fire = fire(60);
    let place = (Mark::of(fire.due, fire.generation), fire.job.key);
    gate.hand_on(fire.clone());
    scene.handed_on.try_recv().unwrap();
    // The lease is another one since.
    let waits = Waits::new(fire.clone(), fire.due.at);
    gate.waiting.add(Waits { aim: Aim::Renew, was_granted: true, ..waits });
    let run = RunId::new(fire.due.at, 1);
    gate.settle(Settlement::Ended(fire.clone(), run));
    // It came late from the scheduler.
    gate.take(fire.clone(), fire.due.at);
    assert!(gate.waiting.has_ready() && gate.waiting.starts() == 0 && gate.out.is_empty());
    let mut round = Round::default();
    gate.heed(place, verdict, &mut round);
    assert!(gate.waiting.is_empty() && round.granted.is_empty(), "nobody starts it");
    (round, run)
}

#[test]
fn what_was_ended_before_its_start_is_claimed_to_be_told_under_its_own_run() {
    for verdict in [Verdict::Granted, Verdict::Late, Verdict::Paused] {
        let mut scene = scene();
        let (round, ended) = ended(&mut scene, &verdict);
        scene.gate.list(round.passed);
        let event = scene.told.try_recv().unwrap();
        let Event::RunSkipped { run, count, reason, .. } = &*event else { panic!("{event:?}") };
        assert_eq!((*run, *count), (Some(ended), 1));
        assert_eq!(reason, "it was ended before its start");
        assert!(scene.told.try_recv().is_err(), "it is told once");
    }
}

#[test]
fn what_was_ended_before_its_start_and_is_anothers_is_left_to_what_that_one_says_of_it() {
    for verdict in [Verdict::Taken, Verdict::Belongs("there".into())] {
        let mut scene = scene();
        let (round, _) = ended(&mut scene, &verdict);
        assert!(round.passed.is_empty(), "{verdict:?}");
    }
}

#[test]
fn runs_that_were_ended_before_their_starts_are_told_one_by_one() {
    let Scene { mut gate, clock, mut told, .. } = scene();
    let lease = Lease { replica: "here".into(), fencing: 7 };
    gate.member.heard(clock.monotonic(), &Peers { lease, ..Peers::default() });
    let ended = |fire: Fire, number| {
        let run = Some(RunId::new(fire.due.at, number));
        Passed { fire, reason: "ended".into(), is_skipped: true, run }
    };
    gate.list(vec![ended(fire(60), 1), ended(fire(120), 2)]);
    for _ in 0..2 {
        let event = told.try_recv().unwrap();
        assert!(matches!(&*event, Event::RunSkipped { count: 1, run: Some(_), .. }), "{event:?}");
    }
}

#[test]
fn what_was_claimed_to_be_listed_is_claimed_again_after_a_stop_that_the_lease_may_not_have_outlived()
 {
    let Scene { mut gate, clock, mut told, .. } = scene();
    let lease = Lease { replica: "here".into(), fencing: 7 };
    let late = |fire| Passed { fire, reason: "late".into(), is_skipped: false, run: None };
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
