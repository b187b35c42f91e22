//! A worker that dies.

use cronkeep::message::report::News;
use nix::sys::signal::Signal;

use crate::rabbit;
use crate::sent::{QUEUE, Sender};

const WAIT: &str = "echo ran >> {dir}/ran; while ! test -e {dir}/go; do sleep 0.02; done";

#[test]
fn what_was_with_a_worker_that_died_is_not_started_again_and_the_sender_hears_of_it() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let one = sender.worker("one").start();
    let id = sender.send(&sender.order(WAIT));
    sender.expect_file("ran", "ran\n");
    let mut two = sender.worker("two").start();
    one.signal(Signal::SIGKILL);
    drop(one.wait());
    let returned = two.expect("order.returned");
    assert_eq!(returned["order"], *id);
    sender.expect(&id, |reports| reports.contains(&News::Returned).then_some(()));
    // The next one is carried out, so this one was dealt with.
    std::fs::write(sender.path().join("go"), "").unwrap();
    let next = sender.send(&sender.order("true"));
    assert_eq!(sender.end(&next).outcome, "succeeded");
    assert_eq!(sender.read("ran"), "ran\n");
    two.stop();
    assert_eq!(sender.vhost.depth(QUEUE), 0);
}

#[test]
fn a_worker_that_is_started_again_does_not_start_again_what_it_had_started() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").start();
    let id = sender.send(&sender.order(WAIT));
    sender.expect_file("ran", "ran\n");
    worker.signal(Signal::SIGKILL);
    drop(worker.wait());
    let worker = sender.worker("state").start();
    sender.expect(&id, |reports| reports.contains(&News::Returned).then_some(()));
    std::fs::write(sender.path().join("go"), "").unwrap();
    worker.stop();
    assert_eq!((&*sender.read("ran"), sender.vhost.depth(QUEUE)), ("ran\n", 0));
}
