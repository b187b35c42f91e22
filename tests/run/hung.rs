//! Starts that hang, that end too early, and that find nothing left to be made of.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use cronkeep::event::{Event, Outcome};
use cronkeep::executor::{Host, Stop};
use cronkeep::job::Policy;
use cronkeep::unix::{Account, limit};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::harness::{alone, job, job_with, of_user, reader, start, start_on, under, until};

/// Says which signal tells that somebody waits for a lease (fcntl(2)).
const F_SETSIG: libc::c_int = 10;

/// A lease on a file: whoever executes it hangs until the lease is given back.
struct Lease(File);

impl Lease {
    fn take(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let lease = Lease(file);
        // Told by a signal that does nothing.
        lease.control(F_SETSIG, libc::SIGWINCH);
        lease.control(libc::F_SETLEASE, libc::F_WRLCK);
        lease
    }

    fn control(&self, command: libc::c_int, argument: libc::c_int) {
        // SAFETY: both commands take a number.
        #[expect(unsafe_code, reason = "fcntl's leases have no safe wrapper")]
        let done = unsafe { libc::fcntl(self.0.as_raw_fd(), command, argument) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
}

/// A shell of its own, which hangs as long as the lease lives.
fn hanging_shell(folder: &Path) -> (String, Lease) {
    let shell = folder.join("shell");
    fs::copy("/bin/sh", &shell).unwrap();
    (shell.to_str().unwrap().to_owned(), Lease::take(&shell))
}

#[test]
fn starts_that_hang_hold_up_no_other() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let mut daemon = start();
        for _ in 0..10 {
            daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "exit 9"));
        }
        for number in 0..20 {
            let told = daemon.run(job(&format!("exec echo {number}"))).await;
            assert_eq!(told.stdout(), [number.to_string()]);
        }
        assert!(daemon.handle.state().await.running.is_empty(), "those that hang do not run yet");
        drop(lease);
        for _ in 0..10 {
            assert_eq!(daemon.end().await.outcome, Outcome::Failed { exit: 9 });
        }
    });
}

#[test]
fn starts_that_hang_keep_no_pipe_of_others_open() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let mut daemon = start();
        for _ in 0..20 {
            daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "exit 9"));
            for _ in 0..10 {
                daemon.fire(reader("exec cat", "text"));
            }
        }
        for _ in 0..200 {
            let ended = tokio::time::timeout(Duration::from_secs(20), daemon.end()).await;
            assert!(ended.expect("its standard input ends").outcome.is_success());
        }
        drop(lease);
        for _ in 0..20 {
            assert_eq!(daemon.end().await.outcome, Outcome::Failed { exit: 9 });
        }
    });
}

#[test]
fn nobody_waits_for_a_start_that_hangs_though_it_has_asked_for_their_user() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        for _ in 0..20 {
            let mut daemon = start();
            // Nobody has asked for the user yet: the first does, and the second waits for the answer.
            daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "exit 9"));
            daemon.fire(job("true"));
            let ended = tokio::time::timeout(Duration::from_secs(20), daemon.end()).await;
            assert!(ended.expect("it is started").outcome.is_success());
            daemon.handle.stop(Stop::End { grace: Duration::ZERO }).await;
        }
        drop(lease);
    });
}

#[test]
fn starts_that_hang_make_the_others_no_slower() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let mut daemon = start();
        for _ in 0..5 {
            daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "exit 9"));
        }
        let begun = tokio::time::Instant::now();
        for _ in 0..300 {
            daemon.fire(job("true"));
        }
        for _ in 0..300 {
            assert!(daemon.end().await.outcome.is_success());
        }
        // Fifteen seconds if each of them had to find out.
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(12), "{taken:?}");
        drop(lease);
        daemon.handle.stop(Stop::End { grace: Duration::ZERO }).await;
    });
}

/// Whether a thread that makes starts waits without a limit: it finds no start that it may take. Those that hang are in
/// another system call, and those that are about to take one wait for milliseconds.
fn a_starter_has_nothing_to_do() -> bool {
    let futex = libc::SYS_futex.to_string();
    let mut tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    tasks.any(|task| {
        let read = |name| fs::read_to_string(task.join(name)).unwrap_or_default();
        let call = read("syscall");
        // The number, then the arguments; the fourth is the time limit (futex(2)).
        let words: Vec<&str> = call.split_ascii_whitespace().collect();
        read("comm").trim() == "starter"
            && words.first() == Some(&futex.as_str())
            && words.get(4) == Some(&"0x0")
    })
}

#[test]
fn one_user_whose_starts_all_hang_leaves_room_for_the_others() {
    if Account::current().uid != 0 {
        println!("skipped: only root starts jobs of others");
        assert!(std::env::var_os("CI").is_none(), "the tests can run as root");
        return;
    }
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let mut daemon = start();
        for _ in 0..100 {
            let hanging = job_with(&[("HOME", "/"), ("SHELL", &shell)], "exit 9");
            daemon.fire(of_user("nobody", hanging));
        }
        for user in ["root", "daemon"] {
            // With no room left for others every thread would hang, and none find nothing to do.
            until(a_starter_has_nothing_to_do).await;
            daemon.fire(of_user(user, job("id -un")));
            let line = tokio::time::timeout(Duration::from_secs(10), daemon.line()).await;
            assert_eq!(line.expect("there is room"), user);
            daemon.end().await;
        }
        drop(lease);
        for _ in 0..100 {
            assert_eq!(daemon.end().await.outcome, Outcome::Failed { exit: 9 });
        }
    });
}

#[test]
fn a_user_who_ends_a_child_at_its_start_gets_no_memory_of_the_daemons() {
    if Account::current().uid != 0 {
        println!("skipped: only root starts jobs of others");
        assert!(std::env::var_os("CI").is_none(), "the tests can run as root");
        return;
    }
    alone(async {
        let mut daemon = start();
        assert!(daemon.run(of_user("nobody", job("true"))).await.end.outcome.is_success());
        // Shared with the child: what it was at last there, it still is here. With fs.suid_dumpable at 2, as systemd sets it,
        // the kernel alone would leave the child's memory to whatever collects cores.
        assert!(!nix::sys::prctl::get_dumpable().unwrap());
    });
}

#[test]
fn a_child_that_is_killed_at_its_start_is_told_of() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let mut daemon = start();
        daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "true"));
        let own = std::process::id().to_string();
        let child = || {
            let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
                let pid = entry.unwrap().file_name().into_string().ok()?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                // It has the name of the thread that starts it until it executes its program.
                let mut fields = stat.split_once("(starter) ")?.1.split_ascii_whitespace();
                (fields.nth(1)? == own).then(|| pid.parse::<i32>().ok())?
            });
            children.last()
        };
        until(|| child().is_some()).await;
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child().unwrap()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        assert_eq!(daemon.end().await.outcome, Outcome::Killed { signal: 9 });
        drop(lease);
        assert!(daemon.run(job("true")).await.end.outcome.is_success());
        assert_eq!(daemon.handle.state().await.orphans, 0);
    });
}

#[test]
fn a_daemon_stops_even_while_a_start_hangs() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let (shell, lease) = hanging_shell(folder.path());
        let daemon = start();
        daemon.fire(job_with(&[("HOME", "/"), ("SHELL", &shell)], "true"));
        let grace = Duration::from_millis(50);
        let stopped = daemon.handle.stop(Stop::End { grace });
        tokio::time::timeout(Duration::from_secs(20), stopped).await.expect("it stops");
        drop(lease);
    });
}

#[test]
fn four_hundred_runs_at_once_need_more_descriptors_than_they_get_themselves() {
    alone(async {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert!(hard > 2048, "the test needs a hard limit above 2048");
        setrlimit(Resource::RLIMIT_NOFILE, 1024, hard).unwrap();
        let descriptors = limit::raise_descriptors();
        let host = Host { descriptors, ..Host::new(Account::current(), []) };
        let mut daemon = start_on(host);
        let gate = tempfile::tempdir().unwrap();
        let path = gate.path().join("gate");
        let command =
            format!("ulimit -Sn; ulimit -Hn; until [ -e {} ]; do sleep 0.2; done", path.display());
        let policy = Policy { grace: Duration::ZERO, ..Policy::default() };
        for _ in 0..420 {
            daemon.fire(under(policy.clone(), job(&command)));
        }
        let (mut started, mut ended, mut lines) = (0, 0, Vec::new());
        while ended < 420 {
            match &*daemon.next().await {
                Event::RunStarted(_) => {
                    started += 1;
                    if started == 420 {
                        fs::write(&path, "").unwrap();
                    }
                }
                Event::RunOutput(line) => {
                    lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
                }
                Event::RunEnded(end) => {
                    assert!(end.outcome.is_success(), "{end:?}");
                    ended += 1;
                }
                _ => {}
            }
        }
        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        assert_eq!((started, lines.len()), (420, 840));
        let expected = ["1024".to_owned(), hard.to_string()];
        assert!(lines.iter().all(|line| expected.contains(line)), "{:?}", lines.first());
        assert_eq!(lines.iter().filter(|line| **line == expected[0]).count(), 420);
    });
}
