//! The rules, one by one.

use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::{Beat, Claim, Generation, Lease, Mark, Permission, Start, Verdict};

use super::scene::{EXPIRY, GRACE, Scene, beat, claim, key, mark, run_id, start};

/// Two replicas that live, and may claim.
fn pair() -> (Scene, Lease, Lease) {
    let mut scene = Scene::new();
    let a = scene.join("a");
    let b = scene.join("b");
    scene.pass(EXPIRY, &[&a, &b]);
    (scene, a, b)
}

fn belongs(replica: &str) -> Verdict {
    Verdict::Belongs(replica.to_owned())
}

#[test]
fn of_two_replicas_one_has_the_fire() {
    let (mut scene, a, b) = pair();
    let fire = claim(key(1), mark(10_000));
    assert_eq!(scene.claim(&a, &fire), Verdict::Granted);
    assert_eq!(scene.claim(&b, &fire), belongs("a"));
    assert_eq!(scene.claim(&a, &fire), Verdict::Granted, "an answer that was lost is given again");
    assert_eq!(scene.start(&b, &start(key(1), mark(10_000), 2)), Permission::Taken);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Granted);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Granted);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 3)), Permission::Taken);
    assert_eq!(scene.claim(&b, &fire), Verdict::Taken);
    assert_eq!(scene.claim(&a, &fire), Verdict::Taken);
}

#[test]
fn a_clock_that_is_seconds_off_doubles_nothing() {
    let (mut scene, fast, slow) = pair();
    // The same fires, asked for ten seconds of the store's clock apart.
    let fires = [mark(20_000), mark(21_000)];
    for (fire, run) in fires.into_iter().zip(1..) {
        assert_eq!(scene.claim(&fast, &claim(key(1), fire)), Verdict::Granted);
        assert_eq!(scene.start(&fast, &start(key(1), fire, run)), Permission::Granted);
    }
    scene.pass(10_000, &[&fast, &slow]);
    for fire in fires {
        assert_eq!(scene.claim(&slow, &claim(key(1), fire)), Verdict::Taken);
    }
}

#[test]
fn minutes_that_a_gap_made_up_are_fires_of_their_own() {
    let (mut scene, a, b) = pair();
    let noon = mark(10_000);
    let later = Mark { civil: mark(70_000).civil, ..noon };
    assert_eq!(scene.claim(&a, &claim(key(1), noon)), Verdict::Granted);
    assert_eq!(scene.claim(&b, &claim(key(1), later)), Verdict::Granted);
    assert_eq!(scene.claim(&b, &claim(key(1), noon)), belongs("a"));
}

#[test]
fn a_fire_before_the_last_claimed_one_is_taken() {
    let (mut scene, a, b) = pair();
    assert_eq!(scene.claim(&a, &claim(key(1), mark(20_000))), Verdict::Granted);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), Verdict::Taken);
    assert_eq!(scene.claim(&b, &claim(key(2), mark(10_000))), Verdict::Granted);
}

#[test]
fn what_a_dead_replica_claimed_is_taken_over_within_the_grace() {
    let (mut scene, a, b) = pair();
    let fire = claim(key(1), mark(10_000));
    assert_eq!(scene.claim(&a, &fire), Verdict::Granted);
    scene.pass(EXPIRY - 1, &[&b]);
    assert_eq!(scene.claim(&b, &fire), belongs("a"));
    scene.pass(1, &[&b]);
    assert_eq!(scene.beat(&b).orphans, [(key(1), mark(10_000))]);
    assert_eq!(scene.claim(&b, &fire), Verdict::Granted);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Fenced);
    assert_eq!(scene.start(&b, &start(key(1), mark(10_000), 2)), Permission::Granted);
}

#[test]
fn past_its_grace_what_a_dead_replica_claimed_is_listed_by_one() {
    let (mut scene, a, b) = pair();
    let c = scene.join("c");
    let fire = claim(key(1), mark(10_000));
    assert_eq!(scene.claim(&a, &fire), Verdict::Granted);
    let wait = 10_000 + GRACE - scene.now + 1;
    scene.pass(wait, &[&b, &c]);
    assert_eq!(scene.claim(&b, &fire), Verdict::Late);
    assert_eq!(scene.claim(&c, &fire), belongs("b"));
    assert_eq!(scene.start(&b, &start(key(1), mark(10_000), 1)), Permission::Taken);
    scene.board.settle(key(1), mark(10_000));
    assert_eq!(scene.claim(&c, &fire), Verdict::Taken);
    assert_eq!(scene.beat(&c).orphans, []);
}

#[test]
fn what_was_started_is_never_taken_over() {
    let (mut scene, a, b) = pair();
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Granted);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 7)), Permission::Granted);
    scene.pass(EXPIRY, &[&b]);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), Verdict::Taken);
    // It is told as lost to one, once nobody on its host has asked for long.
    assert_eq!(scene.beat(&b).lost, []);
    scene.pass(30_000, &[&b]);
    assert_eq!(scene.told, [(run_id(7), 1)]);
}

#[test]
fn a_run_is_told_until_its_new_owner_has_said_something_of_it() {
    let (mut scene, a, b) = pair();
    let c = scene.join("c");
    for (job, run) in [(1, 7), (2, 8)] {
        scene.claim(&a, &claim(key(job), mark(10_000)));
        scene.start(&a, &start(key(job), mark(10_000), run));
    }
    // Whatever of this is heard.
    scene.pass(EXPIRY + 30_000, &[&b, &c]);
    let owner = if scene.beat(&b).lost.is_empty() { &c } else { &b };
    let other = if owner == &b { &c } else { &b };
    assert_eq!(scene.beat(owner).lost, [(run_id(7), 1), (run_id(8), 1)]);
    assert_eq!(scene.beat(other).lost, [], "they are not its own");
    scene.board.end(key(1), run_id(7), 1);
    assert_eq!(scene.beat(owner).lost, [(run_id(8), 1)]);
    scene.board.going(key(2), run_id(8), 1, &owner.replica);
    assert_eq!(scene.beat(owner).lost, []);
    assert_eq!(scene.beat(other).lost, []);
}

#[test]
fn a_run_that_a_dead_replica_left_goes_to_its_host_first() {
    let (mut scene, a, b) = pair();
    scene.claim(&a, &claim(key(1), mark(10_000)));
    scene.start(&a, &start(key(1), mark(10_000), 7));
    scene.pass(EXPIRY, &[&b]);
    assert_eq!(scene.beat(&b).lost, []);
    let moment = scene.moment();
    let again = Beat { host: "a-host".into(), ..beat("a2", 0) };
    let heard = scene.board.beat(&moment, &again);
    assert_eq!(heard.lost, [(run_id(7), 1)]);
    assert_eq!(scene.beat(&b).lost, [], "it is a2's now");
}

#[test]
fn an_owner_that_was_stopped_starts_nothing() {
    let (mut scene, a, b) = pair();
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Granted);
    scene.pass(EXPIRY, &[&b]);
    // Nobody has taken it over yet, and still.
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Fenced);
    assert_eq!(scene.claim(&a, &claim(key(1), mark(11_000))), Verdict::Fenced);
    assert_eq!(scene.beat(&a).lease.fencing, 0);
    let a = scene.join("a");
    scene.pass(EXPIRY, &[&a, &b]);
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Granted);
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Granted);
}

#[test]
fn a_lease_that_was_followed_by_another_is_worth_nothing() {
    let mut scene = Scene::new();
    let first = scene.join("a");
    let second = scene.join("a");
    assert!(second.fencing > first.fencing);
    assert_eq!(scene.claim(&first, &claim(key(1), mark(10_000))), Verdict::Fenced);
    assert_eq!(scene.claim(&second, &claim(key(1), mark(10_000))), Verdict::Granted);
}

#[test]
fn a_replica_that_joins_others_waits_before_it_claims() {
    let mut scene = Scene::new();
    let a = scene.join("a");
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Granted);
    let b = scene.join("b");
    scene.pass(1_000, &[&a, &b]);
    let wait = Verdict::Wait(Duration::from_secs(5));
    assert_eq!(scene.claim(&b, &claim(key(2), mark(10_000))), wait);
    scene.pass(5_000, &[&a, &b]);
    assert_eq!(scene.claim(&b, &claim(key(2), mark(10_000))), Verdict::Granted);
}

#[test]
fn after_a_return_of_the_server_all_leases_end_and_new_ones_wait() {
    let (mut scene, a, b) = pair();
    scene.claim(&a, &claim(key(1), mark(10_000)));
    scene.start(&a, &start(key(1), mark(10_000), 1));
    // It comes back empty.
    scene.board = cronkeep::store::claim::Board::default();
    scene.life += 1;
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), Verdict::Fenced);
    let moment = scene.moment();
    let b = scene.board.beat(&moment, &beat("b", 0)).lease;
    assert_eq!(
        scene.claim(&b, &claim(key(1), mark(10_000))),
        Verdict::Wait(Duration::from_secs(6))
    );
    scene.board.assert_marks(&moment, &[(key(1), mark(10_000))]);
    scene.pass(EXPIRY, &[&b]);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), Verdict::Taken);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(11_000))), Verdict::Granted);
}

#[test]
fn a_run_that_went_to_another_and_is_said_to_go_on_is_listed_once() {
    let (mut scene, a, b) = pair();
    let first = Start { attempt: 2, ..start(key(1), mark(10_000), 7) };
    assert_eq!(scene.start(&a, &first), Permission::Granted);
    scene.pass(EXPIRY + 30_000, &[&b]);
    assert_eq!(scene.told, [(run_id(7), 2)], "it is b's now");
    // What a has asked long ago arrives, or a has only been away.
    let a = scene.join("a");
    assert_eq!(scene.start(&a, &first), Permission::Granted);
    scene.pass(EXPIRY + 30_000, &[&a]);
    assert_eq!(scene.told, [(run_id(7), 2)], "it is no more what b has left");
    scene.board.end(key(1), run_id(7), 2);
    let c = scene.join("c");
    scene.pass(EXPIRY + 30_000, &[&c]);
    assert_eq!(scene.told, [(run_id(7), 2)], "nothing of it is left");
}

#[test]
fn what_is_recorded_as_ended_is_never_lost() {
    let (mut scene, a, b) = pair();
    let manual = Start { trigger: Trigger::Manual, ..start(key(1), mark(10_000), 7) };
    scene.board.end(key(1), run_id(7), 1);
    // It was started though the store had not answered; the question arrives all the same.
    assert_eq!(scene.start(&a, &manual), Permission::Granted);
    scene.board.going(key(1), run_id(7), 1, "a");
    assert_eq!(scene.start(&a, &Start { attempt: 2, ..manual }), Permission::Granted);
    scene.pass(EXPIRY + 30_000, &[&b]);
    assert_eq!(scene.told, [(run_id(7), 2)], "another attempt has not ended");
}

#[test]
fn a_job_that_must_not_overlap_belongs_to_who_runs_it() {
    let (mut scene, a, b) = pair();
    let once = |at| Claim { instances: Some(1), ..claim(key(1), mark(at)) };
    assert_eq!(scene.claim(&a, &once(10_000)), Verdict::Granted);
    assert_eq!(scene.claim(&b, &once(11_000)), belongs("a"), "claimed is as good as going");
    scene.start(&a, &start(key(1), mark(10_000), 1));
    assert_eq!(scene.claim(&b, &once(11_000)), belongs("a"));
    assert_eq!(scene.claim(&a, &once(11_000)), Verdict::Granted, "its owner decides");
    scene.board.settle(key(1), mark(11_000));
    scene.board.end(key(1), run_id(1), 1);
    assert_eq!(scene.claim(&b, &once(12_000)), Verdict::Granted);
}

#[test]
fn who_runs_a_job_decides_no_longer_when_it_has_died() {
    let (mut scene, a, b) = pair();
    let once = |at| Claim { instances: Some(1), ..claim(key(1), mark(at)) };
    scene.claim(&a, &once(10_000));
    scene.start(&a, &start(key(1), mark(10_000), 1));
    assert_eq!(scene.claim(&b, &once(11_000)), belongs("a"));
    scene.pass(EXPIRY, &[&b]);
    assert_eq!(scene.claim(&b, &once(11_000)), Verdict::Granted);
}

#[test]
fn at_most_so_many_runs_of_a_job_are_going_over_all_replicas() {
    let (mut scene, a, b) = pair();
    let few = |at| Claim { instances: Some(2), ..claim(key(1), mark(at)) };
    assert_eq!(scene.claim(&a, &few(10_000)), Verdict::Granted);
    scene.start(&a, &start(key(1), mark(10_000), 1));
    assert_eq!(scene.claim(&b, &few(11_000)), Verdict::Granted);
    assert_eq!(scene.claim(&b, &few(12_000)), Verdict::Full);
    assert_eq!(scene.claim(&a, &few(12_000)), belongs("b"), "it is b's to list");
    assert_eq!(scene.start(&b, &start(key(1), mark(12_000), 2)), Permission::Taken);
    scene.board.settle(key(1), mark(12_000));
    scene.board.end(key(1), run_id(1), 1);
    assert_eq!(scene.claim(&a, &few(13_000)), Verdict::Granted);
}

#[test]
fn a_paused_job_is_listed_by_one() {
    let (mut scene, a, b) = pair();
    scene.board.pause(key(1), true);
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Paused);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), belongs("a"));
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Taken);
    scene.board.pause(key(1), false);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(11_000))), Verdict::Granted);
}

#[test]
fn what_is_owed_may_be_claimed_though_the_job_is_past_it_but_once() {
    let (mut scene, a, b) = pair();
    let late = Claim { trigger: Trigger::CatchUp, ..claim(key(1), mark(10_000)) };
    scene.board.owe(key(1), mark(10_000).due());
    scene.board.settle(key(1), mark(20_000));
    assert_eq!(scene.claim(&a, &late), Verdict::Granted);
    assert_eq!(scene.claim(&b, &late), belongs("a"));
    assert_eq!(scene.start(&a, &start(key(1), mark(10_000), 1)), Permission::Granted);
    // Somebody's word about it comes late.
    scene.board.owe(key(1), mark(10_000).due());
    assert_eq!(scene.claim(&b, &late), Verdict::Taken);
}

#[test]
fn later_attempts_and_runs_on_demand_need_a_lease_and_no_claim() {
    let (mut scene, a, b) = pair();
    let again = Start { attempt: 2, ..start(key(1), mark(10_000), 1) };
    let asked = Start { trigger: Trigger::Manual, ..start(key(1), mark(99_000), 2) };
    assert_eq!(scene.start(&a, &again), Permission::Granted);
    assert_eq!(scene.start(&a, &asked), Permission::Granted);
    assert_eq!(scene.board.watermark(key(1)), Some(mark(10_000)));
    scene.pass(EXPIRY, &[&b]);
    assert_eq!(scene.start(&a, &Start { attempt: 3, ..again }), Permission::Fenced);
}

#[test]
fn without_a_lease_nothing_is_granted() {
    let mut scene = Scene::new();
    let nobody = Lease { replica: "a".into(), fencing: 0 };
    assert_eq!(scene.claim(&nobody, &claim(key(1), mark(10_000))), Verdict::Fenced);
    assert_eq!(scene.start(&nobody, &start(key(1), mark(10_000), 1)), Permission::Fenced);
}

#[test]
fn with_a_local_lease_everything_is_granted() {
    let mut scene = Scene::new();
    let nobody = Lease::local("a".into());
    for run in 0..2 {
        assert_eq!(scene.claim(&nobody, &claim(key(1), mark(10_000))), Verdict::Granted);
        assert_eq!(scene.start(&nobody, &start(key(1), mark(10_000), run)), Permission::Granted);
    }
}

#[test]
fn a_clock_that_was_set_back_opens_a_generation_only_for_who_is_alone() {
    let (mut scene, a, b) = pair();
    scene.claim(&a, &claim(key(1), mark(20_000)));
    let moment = scene.moment();
    assert_eq!(scene.board.step_back(&moment, &a, 0), Generation::Kept(0));
    assert_eq!(scene.claim(&a, &claim(key(1), mark(10_000))), Verdict::Taken);
    scene.pass(EXPIRY, &[&a]);
    let moment = scene.moment();
    assert_eq!(scene.board.step_back(&moment, &a, 0), Generation::Opened(1));
    let repeated = Mark { generation: 1, ..mark(10_000) };
    assert_eq!(scene.claim(&a, &claim(key(1), repeated)), Verdict::Granted);
    assert_eq!(scene.beat(&a).generation, 1);
    drop(b);
}

#[test]
fn who_leaves_is_gone_at_once() {
    let (mut scene, a, b) = pair();
    scene.claim(&a, &claim(key(1), mark(10_000)));
    let moment = scene.moment();
    let heard = scene.board.beat(&moment, &Beat { leaving: true, ..beat("a", a.fencing) });
    assert_eq!(heard.lease.fencing, 0);
    let heard = scene.beat(&b);
    assert_eq!(heard.others, Vec::<String>::new());
    assert_eq!(heard.orphans, [(key(1), mark(10_000))]);
    assert_eq!(scene.claim(&b, &claim(key(1), mark(10_000))), Verdict::Granted);
}
