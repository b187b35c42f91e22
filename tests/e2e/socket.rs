//! The control socket itself: whose it is, what becomes of it, and hostile clients that a daemon must not mind.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::client::{TWO, client, client_at, objects, refused, told};
use crate::harness::{Crond, PATIENCE};

#[test]
fn the_socket_is_the_owners_alone_and_goes_with_the_daemon() {
    let crond = Crond::new().crontab(TWO).start();
    let socket = crond.socket();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o600);
    let folder = socket.parent().unwrap().to_owned();
    let keep = crond.keep_folder();
    crond.stop();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");
    drop(keep);
}

/// Runs as another user, where that can be; a test of it is skipped, with its reason, where we are not root.
fn as_nobody(command: &mut Command) -> Option<Output> {
    use std::os::unix::process::CommandExt;
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs this as root");
        eprintln!("skipped: only root can ask as somebody else");
        return None;
    }
    Some(command.uid(65534).gid(65534).output().unwrap())
}

#[test]
fn other_users_are_refused_by_the_file_system_and_by_the_daemon() {
    let crond = Crond::new().crontab(TWO).start();
    // The folders on the way are open, the socket itself is not.
    for folder in [crond.folder(), crond.socket().parent().unwrap()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = crond.path("cronkeep");
    crate::program::copy(env!("CARGO_BIN_EXE_cronkeep"), &program);
    let asking = || {
        let mut command = Command::new(&program);
        command.args(["list", "--control"]).arg(crond.socket()).current_dir("/");
        command
    };
    let Some(output) = as_nobody(&mut asking()) else { return };
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("permission denied") && text.contains("only root"), "{text}");
    // Even if somebody opened the socket itself.
    fs::set_permissions(crond.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let output = as_nobody(&mut asking()).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("only root and the daemon's own user"), "{text}");
    crond.stop();
}

#[test]
fn the_second_socket_is_open_to_all_and_controls_nothing() {
    let crond = Crond::new().crontab(TWO).start();
    if !nix::unistd::geteuid().is_root() {
        assert!(!crond.socket().with_file_name("crontab.sock").exists());
        crond.stop();
        return;
    }
    let socket = crond.socket().with_file_name("crontab.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o666);
    for request in ["GET /api/v1/jobs", "POST /api/v1/jobs/backup/run", "GET /healthz"] {
        let answer = raw(&socket, format!("{request} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 404"), "{request}: {answer}");
    }
    crond.stop();
}

#[test]
fn daemons_whose_control_sockets_lie_in_one_folder_do_not_get_in_each_others_way() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = |name: &str| {
        let crond = Crond::new().env("CRONKEEP_CONTROL", folder.path().join(name)).crontab(TWO);
        let crond = crond.start();
        crond.wait_for_socket();
        crond
    };
    let daemons = ["a.sock", "b.sock", "control.sock"].map(daemon);
    let others = ["a.crontab.sock", "b.crontab.sock", "crontab.sock"];
    let others = others.map(|name| folder.path().join(name));
    // Only root's serve everybody.
    let is_root = nix::unistd::geteuid().is_root();
    for (place, crond) in daemons.into_iter().enumerate() {
        told(&crond, &["list"]);
        for other in &others[place..] {
            assert_eq!(UnixStream::connect(other).is_ok(), is_root, "{}", other.display());
        }
        let events = crond.stop();
        let is_in_the_way = |event: &Value| event.to_string().contains("another daemon listens");
        assert!(!events.iter().any(is_in_the_way), "{events:#?}");
        assert!(!others[place].exists());
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of them");
}

/// Sends bytes, and returns everything that comes back until the other end closes.
fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is cut off while still sending is answered all the same.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn garbage_is_answered_with_an_error_or_not_at_all() {
    let mut crond = Crond::new().crontab("* * * * * * echo tick\n").start();
    let socket = crond.socket();
    let long = [b"GET /".as_slice(), &b"a".repeat(100_000), b" HTTP/1.1\r\n\r\n"].concat();
    let heads = [b"GET / HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(10_000), b"\r\n"].concat();
    let cases: [&[u8]; 8] = [
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"\xff\xfe garbage \r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /api/v1/jobs/%ff%00/x HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PUT /api/v1/status HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /api/v1/jobs/x/run HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\nxx",
        &long,
        &heads,
    ];
    for case in cases {
        let answer = raw(&socket, case);
        let head = answer.lines().next().unwrap_or_default();
        assert!(head.is_empty() || head.starts_with("HTTP/1.1 4"), "{head:?}");
    }
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    crond.expect("run.started");
    crond.expect("run.started");
    crond.stop();
}

#[test]
fn a_thousand_clients_that_hang_leave_the_schedule_and_others_alone() {
    let mut crond = Crond::new().crontab("* * * * * * echo tick\n").start();
    let socket = crond.socket();
    let hanging: Vec<UnixStream> = (0..1_000)
        .map(|number| {
            let mut stream = UnixStream::connect(&socket).unwrap();
            if number % 2 == 0 {
                let _ = stream.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nhost:");
            }
            stream
        })
        .collect();
    assert_eq!(objects(&told(&crond, &["list", "--json"])).len(), 1);
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    let open = fs::read_dir(format!("/proc/{}/fd", crond.pid())).unwrap().count();
    assert!(open < 150, "{open} descriptors are open");
    crond.expect("run.started");
    crond.expect("run.started");
    drop(hanging);
    crond.stop();
}

#[test]
fn two_clients_at_once_are_both_answered() {
    let crond = Crond::new().crontab(TWO).start();
    let socket = crond.socket();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let listed = client_at(&socket, &["list", "--json"]).output().unwrap();
                    assert_eq!(listed.stdout.split(|byte| *byte == b'\n').count(), 3, "{listed:?}");
                    assert!(client_at(&socket, &["status"]).output().unwrap().status.success());
                }
            });
        }
    });
    crond.stop();
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let lines: Vec<String> = (0..5_000).map(|n| format!("0 0 1 1 * echo {n}\n")).collect();
    let lines = lines.concat();
    let mut crond = Crond::new().crontab(&format!("{lines}* * * * * * echo tick\n")).start();
    let mut deaf = UnixStream::connect(crond.socket()).unwrap();
    deaf.write_all(b"GET /api/v1/jobs HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    assert_eq!(told(&crond, &["health"]), "healthy\n");
    assert_eq!(told(&crond, &["list", "--json"]).lines().count(), 5_001);
    crond.expect("run.started");
    crond.expect("run.started");
    crond.stop();
}

#[test]
fn a_daemon_that_cannot_have_its_socket_goes_on_without() {
    let first = Crond::new().crontab(TWO).start();
    let mut second =
        Crond::new().env("CRONKEEP_CONTROL", first.socket()).crontab("* * * * * * true\n").spawn();
    let notice = second.expect_where("crontab.notice", |event| {
        event["message"].as_str().is_some_and(|text| {
            text.contains("another daemon listens") && text.contains("--control PATH")
        })
    });
    assert_eq!(notice["level"], "warn");
    second.expect("run.started");
    second.stop();
    assert_eq!(told(&first, &["health"]), "healthy\n", "the first one keeps it");
    first.stop();

    let mut without = Crond::new()
        .env("CRONKEEP_CONTROL", "/proc/no/control.sock")
        .crontab("* * * * * * true\n")
        .spawn();
    without.expect_where("crontab.notice", |event| {
        event["message"].as_str().is_some_and(|text| text.contains("/proc/no"))
    });
    without.expect("run.started");
    without.stop();
}

#[test]
fn the_socket_of_a_daemon_that_was_killed_is_taken_over() {
    let first = Crond::new().crontab(TWO).start();
    let socket = first.socket();
    let keep = first.keep_folder();
    first.signal(Signal::SIGKILL);
    first.wait();
    assert!(socket.exists());
    let second = Crond::new().env("CRONKEEP_CONTROL", &socket).crontab(TWO).start();
    assert_eq!(told(&second, &["health"]), "healthy\n");
    second.stop();
    assert!(!socket.exists());
    drop(keep);
}

#[test]
fn while_the_daemon_ends_requests_are_refused_and_waiting_clients_are_answered() {
    let mut crond = Crond::new()
        .arg("--on-stop")
        .arg("end")
        .crontab(
            "# cronkeep: name=stubborn\n\
             0 0 1 1 * trap 'while [ ! -e {dir}/go ]; do sleep 0.02; done; exit 9' TERM; echo up; while :; do sleep 0.05; done\n",
        )
        .start();
    let waiting = client(&crond, &["run", "--wait", "stubborn"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    crond.expect_where("run.output", |event| event["line"] == "up");
    crond.signal(Signal::SIGTERM);
    crond.expect("daemon.stopping");
    let text = refused(&crond, &["health"], 1);
    assert!(text.contains("about to end"), "{text}");
    fs::write(crond.path("go"), "").unwrap();
    let waited = waiting.wait_with_output().unwrap();
    assert_eq!(waited.status.code(), Some(9), "{waited:?}");
    let (status, _) = crond.wait();
    assert_eq!(status.code(), Some(0));
}
