//! Whom a command runs as, and that it never runs as anybody else.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;

use cronkeep::crontab::Origin;
use cronkeep::event::Outcome;
use cronkeep::executor::Host;
use cronkeep::job::{Job, Terms};
use cronkeep::unix::{Account, Command, Errno, Spawner, Step, Strings, Subject, spawn};
use tempfile::TempDir;

use crate::harness::{Daemon, alone, job, job_with, of_user, start, start_on, start_with, until};
use crate::place::{is_inside, with_database};

/// Runs the test under setpriv(1).
fn is_under(name: &str, options: &[&str]) -> bool {
    let name = format!("identity::{name}");
    is_inside(&name, &[&["setpriv"], options].concat())
}

/// Runs the test where there are these users and groups besides root.
fn is_among(name: &str, passwd: &str, group: &str, shadow: &str) -> bool {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path();
    let path = folder.join(name);
    fs::create_dir(&path).unwrap();
    let root = "root:x:0:0:root:/root:/bin/sh\n";
    fs::write(path.join("passwd"), format!("{root}{passwd}")).unwrap();
    fs::write(path.join("group"), format!("root:x:0:\n{group}")).unwrap();
    fs::write(path.join("shadow"), format!("root:*:19000::::::\n{shadow}")).unwrap();
    let program = with_database(&path);
    let program: Vec<&str> = program.iter().map(String::as_str).collect();
    is_inside(&format!("identity::{name}"), &program)
}

/// Why a job could not start.
async fn refusal(daemon: &mut Daemon, job: Job) -> String {
    match daemon.run(job).await.end.outcome {
        Outcome::CouldNotStart { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// The numbers behind one word of `/proc/self/status`, as a job sees them.
fn status(told: &[&str], word: &str) -> Vec<u32> {
    let line =
        told.iter().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{told:?}"));
    line.split_ascii_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn row_90_a_command_is_its_user_in_every_way() {
    let alice = "alice:x:5001:5002::/tmp:/bin/false\n";
    let groups = "alice:x:5002:\nteam:x:5003:bob,alice\nbig:x:70000:alice\nother:x:5004:bob\n";
    if !is_among("row_90_a_command_is_its_user_in_every_way", alice, groups, "") {
        return;
    }
    alone(async {
        spawn::seal_descriptors().unwrap();
        let mut daemon = start();
        for command in ["cat /proc/self/status", "exec cat /proc/self/status; true"] {
            let told = daemon.run(of_user("alice", job_with(&[], command))).await;
            assert!(told.end.outcome.is_success(), "{told:?}");
            let seen = told.stdout();
            assert_eq!(status(&seen, "Uid:"), [5001; 4]);
            assert_eq!(status(&seen, "Gid:"), [5002; 4]);
            let mut groups = status(&seen, "Groups:");
            groups.sort_unstable();
            assert_eq!(groups, [5002, 5003, 70000]);
            for word in ["SigBlk:", "SigIgn:", "SigCgt:", "CapPrm:", "CapEff:"] {
                let line = seen.iter().find_map(|line| line.strip_prefix(word)).unwrap();
                assert_eq!(line.trim(), "0000000000000000", "{word}");
            }
        }
        let command =
            "umask; pwd; echo $USER $LOGNAME $HOME $SHELL; ls /proc/$$/fd; cat /proc/$$/stat";
        let told = daemon.run(of_user("alice", job_with(&[], command))).await;
        let seen = told.stdout();
        assert_eq!(seen[..6], ["0022", "/tmp", "alice alice /tmp /bin/sh", "0", "1", "2"]);
        let pid = told.pid.unwrap().to_string();
        let stat: Vec<&str> = seen[6].split(' ').collect();
        assert_eq!([stat[0], stat[4], stat[5], stat[6]], [&pid, &pid, &pid, "0"]);
        // The daemon itself has not changed.
        assert_eq!(daemon.run(job("id -u; id -g")).await.stdout(), ["0", "0"]);
    });
}

#[test]
fn row_91_without_the_right_to_change_groups_nothing_runs_as_somebody_else() {
    let name = "row_91_without_the_right_to_change_groups_nothing_runs_as_somebody_else";
    if !is_under(name, &["--bounding-set=-setgid"]) {
        return;
    }
    alone(async {
        let mut daemon = start();
        let told = refusal(&mut daemon, of_user("nobody", job("id"))).await;
        assert_eq!(told, "setgroups: Operation not permitted");
        assert_eq!(daemon.run(job("id -u")).await.stdout(), ["0"]);
    });
}

#[test]
fn row_91_without_the_right_to_change_the_user_nothing_runs_as_somebody_else() {
    let name = "row_91_without_the_right_to_change_the_user_nothing_runs_as_somebody_else";
    if !is_under(name, &["--bounding-set=-setuid"]) {
        return;
    }
    alone(async {
        let mut daemon = start();
        let told = refusal(&mut daemon, of_user("nobody", job("id"))).await;
        assert_eq!(told, "setuid: Operation not permitted");
        assert_eq!(daemon.run(job("id -u")).await.stdout(), ["0"]);
    });
}

#[test]
fn row_91_a_change_that_could_be_taken_back_is_none() {
    let name = "row_91_a_change_that_could_be_taken_back_is_none";
    if !is_under(name, &["--securebits=+no_setuid_fixup"]) {
        return;
    }
    alone(async {
        let mut daemon = start();
        let told = refusal(&mut daemon, of_user("nobody", job("id"))).await;
        assert_eq!(told, "the change of user did not hold: Operation not permitted");
    });
}

#[test]
fn row_91_a_group_that_cannot_be_taken_is_told() {
    let name = "identity::row_91_a_group_that_cannot_be_taken_is_told";
    // A user namespace that knows the user and the group 0 alone, and lets groups be set.
    let script = "unshare --user sleep 1000 & \
                  while [ /proc/$!/ns/user -ef /proc/self/ns/user ]; do :; done; \
                  echo 0 0 1 >/proc/$!/gid_map && echo 0 0 1 >/proc/$!/uid_map && \
                  nsenter --user --preserve-credentials --target $! \"$@\"; code=$?; kill $!; exit $code";
    if !is_inside(name, &["sh", "-c", script, "sh"]) {
        return;
    }
    alone(async {
        let failed = spawn_as(&Subject { uid: 0, gid: 5, groups: vec![] }).unwrap_err();
        assert_eq!((failed.step, failed.errno), (Step::MainGroup, Errno::EINVAL));
        let failed = spawn_as(&Subject { uid: 5, gid: 0, groups: vec![] }).unwrap_err();
        assert_eq!((failed.step, failed.errno), (Step::User, Errno::EINVAL));
        let failed = spawn_as(&Subject { uid: 5, gid: 0, groups: vec![5] }).unwrap_err();
        assert_eq!((failed.step, failed.errno), (Step::Groups, Errno::EINVAL));
    });
}

/// Starts `true` as somebody.
fn spawn_as(subject: &Subject) -> Result<spawn::Spawned, spawn::NotSpawned> {
    let null = fs::File::open("/dev/null").unwrap();
    let mut arguments = Strings::default();
    arguments.push(&[b"true"]).unwrap();
    let none = Strings::default();
    let command = Command {
        direct: None,
        program: c"/bin/true",
        arguments: &arguments,
        environment: [&none, &none],
        cwd: c"/",
        streams: [(); 3].map(|()| std::os::fd::AsFd::as_fd(&null)),
        subject: Some(subject),
        descriptors: None,
    };
    Spawner::new().unwrap().spawn(&command, &AtomicI32::new(0))
}

#[test]
fn without_any_capability_jobs_of_ones_own_run() {
    let name = "without_any_capability_jobs_of_ones_own_run";
    let options = ["--bounding-set=-all", "--inh-caps=-all", "--groups=5,6"];
    if !is_under(name, &options) {
        return;
    }
    alone(async {
        let mut daemon = start();
        let told = daemon.run(of_user("root", job("id -u; id -G"))).await;
        assert_eq!(told.stdout(), ["0", "0 5 6"]);
    });
}

#[test]
fn a_number_without_an_account_runs_its_own_jobs() {
    let name = "a_number_without_an_account_runs_its_own_jobs";
    let options = ["--reuid=4711", "--regid=0", "--clear-groups"];
    if !is_under(name, &options) {
        return;
    }
    alone(async {
        let account = Account { home: b"/tmp".to_vec(), ..Account::current() };
        let mut daemon = start_on(Host::new(account, []));
        let told =
            daemon.run(of_user("4711", job_with(&[], "id -u; id -g; pwd; echo $USER"))).await;
        assert_eq!(told.stdout(), ["4711", "0", "/tmp", "4711"]);
        // Row 107.
        let told = refusal(&mut daemon, of_user("root", job("id"))).await;
        assert_eq!(told, "it belongs to root, and we are 4711");
    });
}

#[test]
fn row_57_a_number_is_a_user_where_no_name_is() {
    let alice = "alice:x:5001:5002::/tmp:/bin/false\n5001:x:5005:5005::/:/bin/false\n";
    let name = "row_57_a_number_is_a_user_where_no_name_is";
    if !is_among(name, alice, "", "") {
        return;
    }
    alone(async {
        let mut daemon = start();
        let command = "echo $(id -u) $(id -g) $USER";
        for (user, seen) in
            [("5001", "5005 5005 5001"), ("5005", "5005 5005 5001"), ("7777", "7777 65534 7777")]
        {
            let told = daemon.run(of_user(user, job(command))).await;
            assert_eq!(told.stdout(), [seen], "{told:?}");
        }
        assert_eq!(refusal(&mut daemon, of_user("05001", job("id"))).await, "unknown user 05001");
    });
}

#[test]
fn an_expired_account_is_refused() {
    let users =
        "old:x:5001:5001::/:/bin/sh\nnew:x:5002:5002::/:/bin/sh\nfar:x:5003:5003::/:/bin/sh\n";
    let shadow =
        "old:*:19000:0:99999:7::19001:\nnew:*:19000:0:99999:7:::\nfar:*:19000:::::99999:\n";
    if !is_among("an_expired_account_is_refused", users, "", shadow) {
        return;
    }
    alone(async {
        let mut daemon = start();
        let told = refusal(&mut daemon, of_user("old", job("id"))).await;
        assert_eq!(told, "user old: the account has expired");
        for user in ["new", "far"] {
            assert!(daemon.run(of_user(user, job("true"))).await.end.outcome.is_success());
        }
    });
}

#[test]
fn rows_55_and_56_a_user_who_comes_later_is_found() {
    if !is_among("rows_55_and_56_a_user_who_comes_later_is_found", "", "", "") {
        return;
    }
    alone(async {
        let mut daemon = start();
        let late = || of_user("late", job("id -u"));
        assert_eq!(refusal(&mut daemon, late()).await, "unknown user late");
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).unwrap();
        fs::write(passwd, format!("{text}late:x:5001:5001::/:/bin/sh\n")).unwrap();
        loop {
            let told = daemon.run(late()).await;
            if told.end.outcome.is_success() {
                break assert_eq!(told.stdout(), ["5001"]);
            }
        }
    });
}

#[test]
fn a_user_database_that_does_not_answer_holds_up_nobody_who_is_known() {
    let name = "a_user_database_that_does_not_answer_holds_up_nobody_who_is_known";
    let users = "alice:x:5001:5001::/:/bin/sh\n";
    if !is_among(name, users, "", "") {
        return;
    }
    alone(async {
        let mut daemon = start();
        daemon.run(job("true")).await;
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mount = format!("mount --bind {} /etc/passwd", fifo.display());
        // Made before: making one asks who we are.
        let alices: Vec<Job> = (0..100).map(|_| of_user("alice", job("true"))).collect();
        let roots: Vec<Job> = (0..20).map(|_| job("echo root\\'s")).collect();
        let unmount = job("umount /etc/passwd");
        assert!(daemon.run(job(&mount)).await.end.outcome.is_success());
        for alice in alices {
            daemon.fire(alice);
        }
        for root in roots {
            let told = daemon.run(root).await;
            assert_eq!(told.stdout(), ["root's"], "{told:?}");
        }
        // One thread asks for all of them; those that started root's jobs meanwhile leave one by one.
        until(|| fs::read_dir("/proc/self/task").unwrap().count() < 12).await;
        // It answers at last.
        drop(fs::OpenOptions::new().write(true).open(&fifo).unwrap());
        for _ in 0..100 {
            let reason = daemon.end().await.outcome.to_string();
            assert_eq!(reason, "could not start: unknown user alice");
        }
        assert!(daemon.run(unmount).await.end.outcome.is_success());
    });
}

#[test]
fn row_47_a_users_own_table_gets_nothing_of_the_daemons_environment() {
    let alice = "alice:x:5001:5001::/tmp:/bin/false\n";
    let name = "row_47_a_users_own_table_gets_nothing_of_the_daemons_environment";
    if !is_among(name, alice, "", "") {
        return;
    }
    alone(async {
        let environment =
            [("DB_PASSWORD", "x"), ("LANG", "C"), ("TZ", "UTC"), ("CRONKEEP_STORE", "y")];
        let mut daemon = start_with(&environment);
        let own = of_user("alice", job_with(&[("A", "b")], "tr '\\0' '\\n' </proc/self/environ"));
        let terms = Terms { origin: Origin::Spool, ..(*own.terms).clone() };
        let told = daemon.run(Job { terms: terms.into(), ..own }).await;
        let mut seen = told.stdout();
        seen.retain(|line| !line.starts_with("CRONKEEP_"));
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                "A=b",
                "HOME=/tmp",
                "LANG=C",
                "LOGNAME=alice",
                "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
                "SHELL=/bin/sh",
                "TZ=UTC",
                "USER=alice"
            ]
        );
    });
}

#[test]
fn where_memory_cannot_be_shared_with_another_user_it_is_not() {
    let name = "identity::where_memory_cannot_be_shared_with_another_user_it_is_not";
    let script = "mount -t tmpfs none /proc/sys && mkdir /proc/sys/fs && \
                  echo 1 >/proc/sys/fs/suid_dumpable && exec \"$@\"";
    if !is_inside(name, &["unshare", "--mount", "sh", "-c", script, "sh"]) {
        return;
    }
    alone(async {
        assert_eq!(fs::read_to_string("/proc/sys/fs/suid_dumpable").unwrap(), "1\n");
        let mut daemon = start();
        let told = daemon.run(of_user("nobody", job("id -u; id -G"))).await;
        assert_eq!(told.stdout(), ["65534", "65534"]);
        let missing = job_with(&[("SHELL", "/no/such/shell")], "true");
        let told = refusal(&mut daemon, of_user("nobody", missing)).await;
        assert_eq!(told, "/no/such/shell: No such file or directory");
        until(|| {
            nix::sys::wait::waitpid(None, Some(nix::sys::wait::WaitPidFlag::WNOHANG))
                == Err(Errno::ECHILD)
        })
        .await;
    });
}
