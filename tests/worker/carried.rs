//! What a worker carries out, and what comes back.

use cronkeep::message::Order;
use cronkeep::message::report::News;

use crate::rabbit;
use crate::sent::{QUEUE, Sender, printed};

#[test]
fn an_order_is_carried_out_and_everything_comes_back() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let mut worker = sender.worker("state").start();
    let command = "dd if=/dev/zero of=/dev/null bs=300M count=1 2>&-; echo out; cat >&2; echo \"$A $CRONKEEP_JOB_NAME $CRONKEEP_RUN_ID $CRONKEEP_ATTEMPT $CRONKEEP_SCHEDULED_AT\"; exit 3";
    let order = Order {
        stdin: "in\n".into(),
        environment: vec![("A".into(), "a b".into())],
        success_codes: vec![3],
        ..sender.order(command)
    };
    let id = sender.send(&order);
    let ended = sender.end(&id);
    assert_eq!((&*ended.outcome, ended.exit, ended.cause), ("succeeded", Some(3), None));
    assert!(ended.max_rss_kib >= 300 << 10, "{} KiB", ended.max_rss_kib);
    let mut reports = sender.reports(&id);
    // An order that is as old as the worker is asked for first.
    reports.retain(|news| !matches!(news, News::Asked { .. }));
    assert!(matches!(reports[0], News::Started { .. }), "{reports:#?}");
    let mut lines = printed(&reports).0;
    lines.sort();
    let subject = &order.subject;
    let at = subject.at.display_with_offset(jiff::tz::offset(1));
    let about = format!("out: a b {} {} 1 {at}", subject.name, subject.run);
    assert_eq!(lines, ["err: in", &about, "out: out"]);
    let run = worker.expect("run.ended");
    assert_eq!((run["run"].as_str(), run["job"].as_str()), (Some(&*subject.run), Some("job-1")));
    let events = worker.stop();
    assert!(events.iter().any(|event| event["event"] == "worker.stopped" && event["done"] == 1));
    assert_eq!(sender.vhost.depth(QUEUE), 0, "it was acknowledged");
}

#[test]
fn a_command_sees_a_clean_environment_and_what_is_allowed() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender
        .worker("state")
        .arg("--env-allow")
        .arg("LET_IN")
        .env("LET_IN", "1")
        .env("KEPT_OUT", "2")
        .start();
    let id = sender.send(&sender.order("env | cut -d= -f1 | sort | tr '\\n' ' '"));
    assert_eq!(sender.end(&id).outcome, "succeeded");
    let (lines, _) = printed(&sender.reports(&id));
    let names: Vec<&str> = lines[0].split_whitespace().skip(1).collect();
    for name in ["LET_IN", "HOME", "PATH", "SHELL", "USER", "CRONKEEP_RUN_ID"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    for name in ["KEPT_OUT", "CRONKEEP_AMQP", "CRONKEEP_STATE_DIR"] {
        assert!(!names.contains(&name), "{name}: {names:?}");
    }
    worker.stop();
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_its_processes() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").arg("--timeout").arg("300ms").start();
    // Their output would keep the pipe open, were one of them left.
    let order = sender.order("sh -c 'echo $$ > {dir}/child; exec sleep 1000' & sleep 1000");
    let id = sender.send(&Order { timeout_ms: Some(600_000), ..order });
    let ended = sender.end(&id);
    assert_eq!((&*ended.outcome, ended.exit), ("timed out", None));
    let child: i32 = sender.read("child").trim().parse().unwrap();
    let is_alive = || std::path::Path::new(&format!("/proc/{child}")).exists();
    for _ in 0..500 {
        if !is_alive() {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    }
    assert!(!is_alive(), "its child was left");
    worker.stop();
}

#[test]
fn of_a_flood_the_beginning_and_the_end_come_back_and_the_rest_is_counted() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").start();
    // The second is more than the worker reads line by line: it has left out most of that before it reports.
    for count in [100_000, 3_000_000] {
        let id = sender.send(&sender.order(&format!("seq 1 {count}")));
        assert_eq!(sender.end(&id).outcome, "succeeded");
        let (lines, left_out) = printed(&sender.reports(&id));
        assert_eq!(lines.len() as u64 + left_out, count);
        assert!(left_out > 10_000, "{left_out}");
        assert_eq!((&*lines[0], lines.last()), ("out: 1", Some(&format!("out: {count}"))));
    }
    worker.stop();
}

#[test]
fn nothing_of_the_output_comes_back_that_nobody_wants() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").start();
    let id = sender.send(&Order { output: false, ..sender.order("echo secret; exit 127") });
    let ended = sender.end(&id);
    assert_eq!((&*ended.outcome, ended.exit), ("failed", Some(127)));
    assert!(printed(&sender.reports(&id)).0.is_empty());
    worker.stop();
}

#[test]
fn a_run_gives_signs_of_life() {
    let Some(rabbit) = rabbit::shared() else { return };
    let sender = Sender::new(rabbit);
    let worker = sender.worker("state").start();
    let order = sender.order("while ! test -e {dir}/go; do sleep 0.05; done");
    let id = sender.send(&Order { beat_ms: 100, ..order });
    let beats = |reports: &[News]| {
        let beats = reports.iter().filter(|news| matches!(news, News::Running)).count();
        (beats >= 3).then_some(())
    };
    sender.expect(&id, beats);
    std::fs::write(sender.path().join("go"), "").unwrap();
    assert_eq!(sender.end(&id).outcome, "succeeded");
    worker.stop();
}
