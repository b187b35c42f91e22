//! A broker that dies, or takes nothing, while a run goes on.

use cronkeep::message::report::News;

use crate::rabbit;
use crate::sent::{QUEUE, Sender, printed};

const WAIT: &str =
    "echo ran >> {dir}/ran; while ! test -e {dir}/go; do sleep 0.02; done; echo done";

#[test]
fn a_run_outlives_its_broker_and_is_reported_to_the_next_one() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    let worker = sender.worker("state").start();
    let id = sender.send(&sender.order(WAIT));
    sender.expect_file("ran", "ran\n");
    rabbit.kill();
    std::fs::write(sender.path().join("go"), "").unwrap();
    rabbit.restart();
    assert_eq!(sender.end(&id).outcome, "succeeded");
    assert_eq!(printed(&sender.reports(&id)).0, ["out: done"]);
    // What is sent from then on is carried out, and what was is not carried out again.
    let next = sender.send(&sender.order("true"));
    assert_eq!(sender.end(&next).outcome, "succeeded");
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn a_run_that_is_still_going_when_its_broker_is_back_goes_on() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    let worker = sender.worker("state").start();
    let id = sender.send(&sender.order(WAIT));
    sender.expect_file("ran", "ran\n");
    rabbit.close_connections();
    let next = sender.send(&sender.order("true"));
    assert_eq!(sender.end(&next).outcome, "succeeded");
    std::fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(sender.end(&id).outcome, "succeeded");
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}

#[test]
fn nothing_is_started_of_which_the_broker_takes_no_report() {
    let Some(rabbit) = rabbit::victim() else { return };
    let sender = Sender::new(&rabbit);
    let id = sender.send(&sender.order("echo ran >> {dir}/ran"));
    rabbit.block();
    let mut worker = sender.worker("state").start();
    worker.expect("order.returned");
    rabbit.unblock();
    sender.expect(&id, |reports| reports.contains(&News::Returned).then_some(()));
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("", 0));
}
