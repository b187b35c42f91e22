//! What a command gets: descriptors, session, signals, directory, environment, standard input.

use std::os::fd::AsRawFd;

use cronkeep::unix::{Account, Signal, process, spawn};
use nix::sys::signal::SigSet;

use crate::harness::{Daemon, alone, job, job_with, reader, start, start_with};

#[test]
fn a_run_leads_a_session_and_a_group_of_its_own() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("cat /proc/$$/stat")).await;
        let fields: Vec<&str> = told.stdout()[0].split(' ').collect();
        let pid = told.pid.unwrap().to_string();
        // pid, group, session and terminal.
        assert_eq!([fields[0], fields[4], fields[5], fields[6]], [&pid, &pid, &pid, "0"]);
    });
}

#[test]
fn no_signal_is_ignored_or_blocked() {
    alone(async {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGUSR1);
        blocked.thread_block().unwrap();
        let mut daemon = start();
        let told = daemon.run(job("exec grep -E '^Sig(Blk|Ign)' /proc/self/status")).await;
        blocked.thread_unblock().unwrap();
        assert_eq!(told.stdout(), ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]);
    });
}

#[test]
fn no_descriptor_above_two_is_inherited() {
    alone(async {
        // As a container runtime might leave one.
        let left_open = nix::unistd::dup(std::io::stdin()).unwrap();
        assert!(left_open.as_raw_fd() > 2);
        spawn::seal_descriptors().unwrap();
        let mut daemon = start();
        let told = daemon.run(job("ls /proc/$$/fd; true")).await;
        assert_eq!(told.stdout(), ["0", "1", "2"]);
    });
}

#[test]
fn row_90_the_umask_is_022_whatever_the_daemons_is() {
    alone(async {
        process::set_umask(0o077);
        let mut daemon = start();
        let told = daemon.run(job("umask")).await;
        process::set_umask(0o022);
        assert_eq!(told.stdout(), ["0022"]);
    });
}

#[test]
fn a_run_stands_in_its_home() {
    alone(async {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().canonicalize().unwrap();
        let path = path.to_str().unwrap();
        let mut daemon = start();
        let told = daemon.run(job_with(&[("HOME", path)], "pwd -P")).await;
        assert_eq!(told.stdout(), [path]);
        assert!(told.notices.is_empty());
    });
}

#[test]
fn without_its_home_a_run_stands_in_the_root_and_a_warning_says_so() {
    alone(async {
        let mut daemon = start();
        for (home, why) in [
            ("/no/such/home", "No such file or directory"),
            ("/etc/passwd", "Not a directory"),
            ("", "No such file or directory"),
        ] {
            let told = daemon.run(job_with(&[("HOME", home)], "pwd -P; echo $HOME")).await;
            assert_eq!(told.stdout(), ["/", home]);
            let warning = format!("line 7: no home directory {home:?}: {why}; the job runs in /");
            assert_eq!(told.notices, [warning]);
        }
    });
}

#[test]
fn a_missing_shell_is_told_even_where_the_home_is_missing_too() {
    alone(async {
        let mut daemon = start();
        let settings = [("HOME", "/no/such/home"), ("SHELL", "/no/such/shell")];
        let told = daemon.run(job_with(&settings, "true")).await;
        assert_eq!(
            told.end.outcome.to_string(),
            "could not start: /no/such/shell: No such file or directory"
        );
    });
}

#[test]
fn the_environment_is_exactly_what_was_composed() {
    alone(async {
        let mut daemon = start_with(&[("DB", "one"), ("CRONKEEP_STORE", "x"), ("HOME", "/x")]);
        let settings = [("HOME", "/"), ("MAILTO", ""), ("A", "$HOME")];
        let told = daemon.run(job_with(&settings, "tr '\\0' '\\n' </proc/$$/environ")).await;
        let me = Account::current().name;
        let expected = [
            "DB=one".to_owned(),
            "HOME=/".to_owned(),
            "MAILTO=".to_owned(),
            "A=$HOME".to_owned(),
            "SHELL=/bin/sh".to_owned(),
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin".to_owned(),
            format!("LOGNAME={me}"),
            format!("USER={me}"),
            "CRONKEEP_JOB_ID=crondServiceTask-1212121212121212".to_owned(),
            "CRONKEEP_JOB_NAME=probe".to_owned(),
            format!("CRONKEEP_RUN_ID={}", told.end.run.id),
            "CRONKEEP_SCHEDULED_AT=1970-01-01T00:00:00+00:00".to_owned(),
            "CRONKEEP_ATTEMPT=1".to_owned(),
            "CRONKEEP_FIRE_ID=crondServiceTask-1212121212121212:0-0000-01-01T00:00".to_owned(),
        ];
        assert_eq!(told.stdout(), expected);
    });
}

#[test]
fn standard_input_is_at_its_end_where_there_is_none() {
    alone(async {
        let mut daemon = start();
        assert_eq!(daemon.run(job("cat; echo done")).await.stdout(), ["done"]);
    });
}

#[test]
fn standard_input_of_any_size_arrives_whole() {
    alone(async {
        let mut daemon = start();
        assert_eq!(daemon.run(reader("cat", "one\ntwo\n")).await.stdout(), ["one", "two"]);
        let large = "0123456789abcde\n".repeat(1 << 16);
        let told = daemon.run(reader("sleep 0.05; md5sum; wc -c", &large)).await;
        assert_eq!(told.stdout(), ["f6671daa02ca47d12016abc835ca4a4d  -", "0"], "{told:?}");
    });
}

#[test]
fn standard_input_need_not_be_read() {
    alone(async {
        let mut daemon = start();
        let large = "0123456789abcde\n".repeat(1 << 16);
        assert!(daemon.run(reader("true", &large)).await.end.outcome.is_success());
        assert_eq!(daemon.run(reader("head -n 1", &large)).await.stdout(), ["0123456789abcde"]);
    });
}

/// The least time that a start and its end have taken, of many: what others do to the machine only adds to it.
async fn least(daemon: &mut Daemon, command: &str) -> std::time::Duration {
    let mut least = std::time::Duration::MAX;
    for _ in 0..40 {
        let begun = tokio::time::Instant::now();
        assert!(daemon.run(job(command)).await.end.outcome.is_success());
        least = least.min(begun.elapsed());
    }
    least
}

#[test]
fn starts_take_no_longer_when_the_daemon_has_grown() {
    alone(async {
        let mut daemon = start();
        let commands = ["true", "true; true"];
        let mut small = Vec::new();
        for command in commands {
            small.push(least(&mut daemon, command).await);
        }
        // Copying the tables of so many pages takes a fork some 20 ms.
        let ballast = vec![1_u8; 512 << 20];
        for (command, small) in commands.into_iter().zip(small) {
            let grown = least(&mut daemon, command).await;
            assert!(grown < small + std::time::Duration::from_millis(8), "{small:?}, {grown:?}");
        }
        assert_eq!(std::hint::black_box(&ballast).len(), 512 << 20);
        daemon.finish().await;
    });
}
