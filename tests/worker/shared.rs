//! Several orders, several workers.

use cronkeep::message::report::News;

use crate::rabbit;
use crate::sent::{QUEUE, Sender};

#[test]
fn two_workers_share_a_queue() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").arg("--prefetch").arg("1").start();
    let two = sender.worker("two").arg("--prefetch").arg("1").start();
    // Neither ends before the other has begun.
    let meet = |own: &str, other: &str| {
        sender.order(&format!(
            "touch {{dir}}/{own}; while ! test -e {{dir}}/{other}; do sleep 0.02; done"
        ))
    };
    let ids = [sender.send(&meet("a", "b")), sender.send(&meet("b", "a"))];
    for id in &ids {
        assert_eq!(sender.end(id).outcome, "succeeded");
    }
    let done = [one.stop(), two.stop()]
        .map(|events| events.iter().filter(|event| event["event"] == "run.ended").count());
    assert_eq!(done, [1, 1]);
}

#[test]
fn a_worker_runs_as_many_as_it_fetches_and_leaves_the_rest_in_the_queue() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--prefetch").arg("2").start();
    let wait = "while ! test -e {dir}/go; do sleep 0.02; done";
    let ids: Vec<String> = (0..5).map(|_| sender.send(&sender.order(wait))).collect();
    let is_started = |reports: &[News]| {
        reports.iter().find_map(|news| matches!(news, News::Started { .. }).then_some(()))
    };
    for id in &ids[..2] {
        sender.expect(id, is_started);
    }
    assert_eq!(sender.vhost.depth(QUEUE), 3);
    assert!(ids[2..].iter().all(|id| sender.reports(id).is_empty()));
    std::fs::write(sender.path().join("go"), "").unwrap();
    for id in &ids {
        assert_eq!(sender.end(id).outcome, "succeeded");
    }
    worker.stop();
}
