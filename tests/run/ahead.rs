//! What is announced is made ready for, without a trace.

use std::fs;
use std::sync::Arc;

use cronkeep::event::Outcome;
use cronkeep::job::Job;

use crate::harness::{alone, descriptors, job, of_user, reader, start, until};

/// The threads of this process that start children.
pub(crate) fn starters() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    // One may end meanwhile.
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "starter").count()
}

#[test]
fn an_announcement_has_a_thread_at_hand_and_starts_nothing() {
    alone(async {
        let mut daemon = start();
        until(|| starters() == 0).await;
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace");
        let job = reader(&format!("cat >> {}", trace.display()), "line\n");
        daemon.ahead.send(Arc::new(job)).unwrap();
        until(|| starters() == 1).await;
        // Whatever it does is over when it ends.
        daemon.task.abort();
        until(|| starters() == 0).await;
        drop((daemon.fires, daemon.handle));
        assert!(daemon.events.recv().await.is_none(), "nothing was told");
        assert!(!trace.exists());
    });
}

#[test]
fn announcements_leave_no_descriptor_open_and_change_no_run() {
    alone(async {
        let mut daemon = start();
        daemon.run(job("exit 0")).await;
        let before = descriptors();
        for number in 0..20 {
            let text = format!("{number}\n");
            daemon.ahead.send(Arc::new(reader("cat", &text))).unwrap();
            let told = daemon.run(reader("cat", &text)).await;
            assert_eq!(told.stdout(), [number.to_string()]);
            assert!(told.end.outcome.is_success());
        }
        // A second thread may have been needed, with what it has open.
        until(|| descriptors() <= before + 2).await;
        daemon.finish().await;
    });
}

#[test]
fn a_user_who_is_unknown_is_told_of_by_the_run_and_not_before() {
    alone(async {
        let mut daemon = start();
        let lost = || -> Job { of_user("nobody-of-that-name", job("exit 0")) };
        daemon.ahead.send(Arc::new(lost())).unwrap();
        until(|| starters() == 1).await;
        let told = daemon.run(lost()).await;
        assert!(told.lines.is_empty() && told.notices.is_empty() && told.pid.is_none());
        let Outcome::CouldNotStart { reason } = &told.end.outcome else { panic!("{told:?}") };
        assert!(reason.contains("nobody-of-that-name"), "{reason}");
        daemon.finish().await;
    });
}
