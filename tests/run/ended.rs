//! How runs end, and that nothing of them stays behind.

use std::path::Path;
use std::time::Duration;

use cronkeep::event::{Event, Outcome};
use cronkeep::job::Policy;
use cronkeep::unix::Account;
use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{WaitPidFlag, waitpid};

use crate::harness::{alone, descriptors, job, job_with, of_user, start, under, until};

#[test]
fn an_end_is_an_exit_code_or_a_signal() {
    alone(async {
        let mut daemon = start();
        let cases = [
            ("true", Outcome::Succeeded { exit: 0 }),
            ("exit 3", Outcome::Failed { exit: 3 }),
            ("exit 255", Outcome::Failed { exit: 255 }),
            ("kill -KILL $$", Outcome::Killed { signal: 9 }),
            ("kill -TERM $$", Outcome::Killed { signal: 15 }),
            ("/no/such/program", Outcome::Failed { exit: 127 }),
            ("/etc/passwd", Outcome::Failed { exit: 126 }),
        ];
        for (command, outcome) in cases {
            let told = daemon.run(job(command)).await;
            assert_eq!(told.end.outcome, outcome, "{command}");
        }
    });
}

#[test]
fn the_codes_that_count_as_success_are_the_jobs_own() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { success_codes: [3].into(), ..Policy::default() };
        let told = daemon.run(under(policy.clone(), job("exit 3"))).await;
        assert_eq!(told.end.outcome, Outcome::Succeeded { exit: 3 });
        let told = daemon.run(under(policy, job("exit 0"))).await;
        assert_eq!(told.end.outcome, Outcome::Failed { exit: 0 });
    });
}

#[test]
fn an_end_tells_what_was_used() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")).await;
        assert!(!(told.end.usage.user + told.end.usage.system).is_zero(), "{:?}", told.end);
        assert!(told.end.duration >= told.end.usage.user, "{:?}", told.end);
    });
}

#[test]
fn memory_is_told_of_a_run_that_has_used_more_than_we_and_is_not_known_of_others() {
    alone(async {
        let mut daemon = start();
        // The kernel tells of each of them what this process has had.
        for command in ["true", "exec /bin/true", "exit 3", "/no/such/program"] {
            let told = daemon.run(job(command)).await;
            assert_eq!(told.end.usage.max_rss_kib, None, "{command}: {:?}", told.end);
        }
        for command in [
            "dd if=/dev/zero of=/dev/null bs=300M count=1",
            "dd if=/dev/zero of=/dev/null bs=300M count=1; true",
        ] {
            let told = daemon.run(job(command)).await;
            let kib = told.end.usage.max_rss_kib.unwrap();
            assert!((300 << 10..330 << 10).contains(&kib), "{command}: {kib} KiB");
        }
        let told = daemon.run(job("true")).await;
        assert_eq!(told.end.usage.max_rss_kib, None, "{:?}", told.end);
    });
}

#[test]
fn what_cannot_be_started_says_why_and_the_executor_lives() {
    alone(async {
        let mut daemon = start();
        let reason = |told: crate::harness::Told| match told.end.outcome {
            Outcome::CouldNotStart { reason } => reason,
            other => panic!("{other:?}"),
        };
        let missing = job_with(&[("HOME", "/"), ("SHELL", "/no/such/shell")], "true");
        assert_eq!(reason(daemon.run(missing).await), "/no/such/shell: No such file or directory");
        let text = job_with(&[("HOME", "/"), ("SHELL", "/etc/passwd")], "true");
        assert_eq!(reason(daemon.run(text).await), "/etc/passwd: Permission denied");
        let long = "x".repeat(200_000);
        assert_eq!(reason(daemon.run(job(&long)).await), "/bin/sh: Argument list too long");
        let told = reason(daemon.run(of_user("nobody-we-know", job("true"))).await);
        let refused = if Account::current().uid == 0 {
            told == "unknown user nobody-we-know"
        } else {
            told.starts_with("it belongs to nobody-we-know, and we are ")
        };
        assert!(refused, "{told}");
        assert!(daemon.run(job("true")).await.end.outcome.is_success());
    });
}

#[test]
fn a_thousand_quick_runs_all_end_and_leave_nothing_behind() {
    alone(async {
        let mut daemon = start();
        daemon.run(job("true")).await;
        let before = descriptors();
        for number in 0..1000 {
            daemon.fire(job(&format!("echo {number}; exit {}", number % 2)));
        }
        let (mut ended, mut printed) = ([0; 2], 0);
        while ended[0] + ended[1] < 1000 {
            match &*daemon.next().await {
                Event::RunOutput(_) => printed += 1,
                Event::RunEnded(end) => {
                    let exit = end.outcome.exit().unwrap_or_else(|| panic!("{end:?}"));
                    ended[usize::from(exit)] += 1;
                }
                _ => {}
            }
        }
        assert_eq!((ended, printed), ([500, 500], 1000));
        assert_eq!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Err(Errno::ECHILD), "a zombie");
        // The first run's pipes may have been counted in.
        until(|| descriptors() <= before).await;
        assert!(daemon.handle.state().await.running.is_empty());
    });
}

#[test]
fn descriptors_that_run_out_cost_a_run_when_its_grace_is_over_and_not_the_daemon() {
    alone(async {
        let mut daemon = start();
        daemon.run(job("true")).await;
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let policy = Policy { grace: Duration::from_millis(100), ..Policy::default() };
        setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
        let refused = daemon.run(under(policy, job("true"))).await;
        let reason = "no pipe: Too many open files".to_owned();
        assert_eq!(refused.end.outcome, Outcome::CouldNotStart { reason });
        // One with a longer grace starts as soon as there are descriptors again.
        daemon.fire(job("true"));
        assert!(daemon.handle.state().await.running.is_empty());
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert!(daemon.end().await.outcome.is_success());
        assert!(daemon.run(job("true")).await.end.outcome.is_success());
    });
}

#[test]
fn adopted_orphans_are_reaped_and_counted() {
    alone(async {
        set_child_subreaper(true).unwrap();
        let mut daemon = start();
        let told = daemon.run(job("(sleep 0.1 & echo $!) | cat")).await;
        let orphan = format!("/proc/{}", told.stdout()[0]);
        until(|| !Path::new(&orphan).exists()).await;
        set_child_subreaper(false).unwrap();
        assert_eq!(daemon.handle.state().await.orphans, 1);
    });
}

#[test]
fn the_executor_ends_when_nobody_is_left_to_ask_for_anything() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("echo last"));
        drop((daemon.fires, daemon.handle));
        daemon.task.await.unwrap();
        let mut told = Vec::new();
        while let Ok(event) = daemon.events.try_recv() {
            told.push(event.name());
        }
        assert_eq!(told, ["run.started", "run.output", "run.ended"]);
    });
}
