//! In the place of cronie's or Debian's cron: its name, its flags, its files, on a machine of its own mounts.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use super::harness::PATIENCE;
use super::machine::{ALICE, Foreground, Log, Machine, said};

/// Waits until a condition holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn row_108_flags_that_end_at_once() {
    let machine = Machine::new("");
    for (arguments, code) in
        [(&["-V"][..], 0), (&["-h"], 1), (&["-Z"], 1), (&["--nonsense"], 1), (&["-n", "extra"], 1)]
    {
        for name in ["crond", "cron"] {
            let output = machine.command(name, arguments).output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{name} {arguments:?}: {output:?}");
        }
    }
}

#[test]
fn rows_96_and_108_in_the_background_it_logs_to_syslog_and_tells_its_pid_until_it_ends() {
    let machine = Machine::new("@every 1s root echo hello; echo there >&2\n");
    let mut log = machine.syslog();
    fs::write(machine.inside("/run/crond.pid"), "99999999\n").unwrap();
    let output = machine.command("crond", &[]).output().unwrap();
    // Not even the descriptors of whoever called it are kept: else this would still wait.
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!((&*output.stdout, &*said(&output)), (&b""[..], ""));
    let pid = machine.pid_in_file();
    let message = log.expect("1 job is in force");
    assert!(
        message.starts_with("<78>") && message.contains(&format!(" crond[{pid}]: ")),
        "{message}"
    );
    let start = log.expect(") CMD (");
    assert!(start.ends_with("]: (root) CMD (echo hello; echo there >&2)"), "{start}");
    log.expect("]: (root) CMDOUT (hello)");
    log.expect("]: (root) CMDOUT (there)");
    log.expect("]: (root) CMDEND (echo hello; echo there >&2) ");

    let session = nix::unistd::getsid(Some(pid)).unwrap();
    assert_eq!(session, pid);
    for descriptor in 0..3 {
        let target = fs::read_link(format!("/proc/{pid}/fd/{descriptor}")).unwrap();
        assert_eq!(target, PathBuf::from("/dev/null"));
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), PathBuf::from("/"));

    kill(pid, Signal::SIGTERM).unwrap();
    log.expect("stopped");
    until("the pid file goes", || !machine.inside("/run/crond.pid").exists());
    until("the daemon goes", || kill(pid, None).is_err());
}

#[test]
fn row_105_the_second_one_says_who_holds_it_and_ends_with_1() {
    let machine = Machine::new("");
    let _log = machine.syslog();
    assert!(machine.command("cron", &[]).status().unwrap().success());
    let pid = machine.pid_in_file();
    for (name, arguments) in [("crond", &[][..]), ("cron", &["-f"]), ("cronkeep", &[])] {
        let output = machine.command(name, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
        let words = said(&output);
        assert!(words.starts_with(&format!("{name}: error: can't lock /")), "{words}");
        assert!(words.contains(&format!("otherpid may be {pid} (cron)")), "{words}");
    }
    assert_eq!(machine.pid_in_file(), pid);
    // Named files are nobody's but theirs.
    fs::write(machine.path("jobs"), "").unwrap();
    let jobs = machine.path("jobs");
    let mut log = Log::of(UnixDatagram::bind(machine.path("notify")).unwrap());
    let mut named = machine.command("cronkeep", &[jobs.to_str().unwrap()]);
    let named = Foreground::start({
        named.env("NOTIFY_SOCKET", machine.path("notify"));
        named
    });
    log.expect("READY=1");
    named.signal(Signal::SIGTERM);
    assert_eq!(named.wait().0, Some(0));
    // Killed, it leaves a stale file and no lock.
    kill(pid, Signal::SIGKILL).unwrap();
    until("the daemon goes", || kill(pid, None).is_err());
    assert!(machine.command("cron", &[]).status().unwrap().success());
    assert_ne!(machine.pid_in_file(), pid);
}

#[test]
fn a_user_who_locks_what_all_may_read_keeps_no_daemon_from_starting() {
    let machine = Machine::new("");
    fs::write(machine.inside("/run/crond.pid"), "99999999\n").unwrap();
    fs::create_dir(machine.inside("/run/cronkeep")).unwrap();
    let id = ALICE.to_string();
    let locks = "for name in /var/spool/cron /var/spool/cron/crontabs /run/crond.pid /run/cronkeep; do \
                 flock -n \"$name\" sleep 1000 & done; sleep 0.2; echo held; wait";
    let mut user = machine
        .any("setpriv", &["--reuid", &id, "--regid", &id, "--clear-groups", "sh", "-c", locks])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(user.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let output = machine.command("cron", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let health = || machine.command("cronkeep", &["health"]).output().unwrap();
    until("it can be asked", || health().status.success());
    user.kill().unwrap();
    user.wait().unwrap();
}

#[test]
fn the_spool_is_locked_by_itself_where_no_pid_file_is() {
    let machine = Machine::new("");
    let mut log = Log::of(UnixDatagram::bind(machine.path("notify")).unwrap());
    let mut command = machine.command("cronkeep", &[]);
    command.env("NOTIFY_SOCKET", machine.path("notify"));
    let first = Foreground::start(command);
    log.expect("READY=1");
    let output = machine.command("cronkeep", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = said(&output);
    let holder = format!("otherpid may be {} (cronkeep)", first.child.id());
    assert!(
        words.contains("can't lock /var/spool/cron/crontabs: ") && words.contains(&holder),
        "{words}"
    );
    first.signal(Signal::SIGTERM);
    assert_eq!(first.wait().0, Some(0));
}

#[test]
fn row_95_in_the_foreground_the_log_is_standard_error_and_output_is_standard_output() {
    let machine = Machine::new("@every 1s root echo hello\n");
    for arguments in [&["-n"][..], &["-f", "-s"]] {
        // Nobody listens at /dev/log: -s has nowhere to send to, and nothing is lost.
        let mut command = machine.command("crond", arguments);
        let notify = machine.path("notify");
        let mut log = Log::of(UnixDatagram::bind(&notify).unwrap());
        command.env("NOTIFY_SOCKET", &notify);
        let mut crond = Foreground::start(command);
        log.expect("READY=1");
        let mut line = String::new();
        let mut reader = BufReader::new(crond.child.stdout.take().unwrap());
        reader.read_line(&mut line).unwrap();
        assert!(line.starts_with('[') && line.ends_with("] hello\n"), "{line}");
        crond.signal(Signal::SIGTERM);
        std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        let (code, _, log) = crond.wait();
        assert_eq!(code, Some(0));
        assert!(log.contains("(root) CMD (echo hello)"), "{log}");
        assert_eq!(log.contains("nobody listens at /dev/log"), arguments.len() == 2, "{log}");
        assert!(!machine.inside("/run/crond.pid").exists());
        fs::remove_file(notify).unwrap();
    }
}

#[test]
fn row_96_s_sends_output_to_syslog_in_the_foreground_too() {
    let machine = Machine::new("@every 1s root echo hello\n");
    let mut log = machine.syslog();
    let crond = Foreground::start(machine.command("crond", &["-n", "-s"]));
    let line = log.expect("CMDOUT");
    assert!(line.ends_with("]: (root) CMDOUT (hello)"), "{line}");
    crond.signal(Signal::SIGTERM);
    let (code, output, log) = crond.wait();
    assert_eq!((code, &*output), (Some(0), ""));
    assert!(log.contains("(root) CMD (echo hello)"), "{log}");
}

#[test]
fn row_106_without_a_writable_run_there_is_a_warning_and_no_pid_file() {
    let machine = Machine::new("");
    let mut log = machine.syslog();
    assert!(machine.any("mount", &["-o", "remount,ro", "/run"]).status().unwrap().success());
    let output = machine.command("crond", &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let warning = log.expect("no pid file");
    assert!(warning.starts_with("<76>") && warning.contains("/run/crond.pid"), "{warning}");
}

#[test]
fn the_service_manager_is_told_of_start_reload_and_end() {
    let machine = Machine::new("@daily root true\n");
    let notify = machine.path("notify");
    let mut told = Log::of(UnixDatagram::bind(&notify).unwrap());
    let mut command = machine.command("crond", &["-n"]);
    command.env("NOTIFY_SOCKET", &notify);
    let crond = Foreground::start(command);
    let ready = told.expect("READY=1");
    assert!(ready.contains("STATUS=1 job in force") && !ready.contains("MAINPID"), "{ready}");
    crond.signal(Signal::SIGHUP);
    let reloading = told.expect("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    told.expect("READY=1");
    crond.signal(Signal::SIGTERM);
    told.expect("STOPPING=1");
    assert_eq!(crond.wait().0, Some(0));
    // In the background the manager learns whom to watch.
    let _log = machine.syslog();
    let mut command = machine.command("crond", &[]);
    assert!(command.env("NOTIFY_SOCKET", &notify).status().unwrap().success());
    let ready = told.expect("READY=1");
    assert!(ready.contains(&format!("MAINPID={}", machine.pid_in_file())), "{ready}");
}

/// Rows 110-112, 116: through the daemon.
#[test]
fn a_user_who_may_not_write_to_the_spool_has_their_own_table_through_the_daemon() {
    let machine = Machine::new("");
    let spool = machine.path("spool/crontabs");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(spool.join("root"), "@daily secret\n").unwrap();
    let notify = machine.path("notify");
    let mut told = Log::of(UnixDatagram::bind(&notify).unwrap());
    let mut command = machine.command("crond", &["-n"]);
    command.env("NOTIFY_SOCKET", &notify);
    let crond = Foreground::start(command);
    told.expect("READY=1");

    let install = |text: &[u8]| {
        let mut command = machine.as_alice(&["-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(text);
        child.wait_with_output().unwrap()
    };
    let list = || machine.as_alice(&["-l"]).output().unwrap();
    assert_eq!((list().status.code(), &*said(&list())), (Some(1), "no crontab for alice\n"));
    let output = install(b"@daily \xff\n");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(list().stdout, b"@daily \xff\n");
    // And it runs, without anybody being asked to.
    told.expect("STATUS=2 jobs in force");
    let found = fs::metadata(spool.join("alice")).unwrap();
    assert_eq!((found.uid(), found.mode() & 0o7777), (ALICE, 0o600));
    let output = install(b"61 * * * * x\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("\"-\":1: bad minute"), "{output:?}");
    assert_eq!(list().stdout, b"@daily \xff\n");
    let output = install(&vec![b'#'; 9 << 20]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(list().stdout, b"@daily \xff\n");

    // Past the program: the daemon judges by itself, and knows who asks.
    let socket = machine.inside("/run/cronkeep/crontab.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o666);
    let ask = |head: &str, body: &str| {
        let request = format!(
            "{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let perl = r#"
            use IO::Socket::UNIX; use Socket;
            my $s = IO::Socket::UNIX->new(Peer => "/run/cronkeep/crontab.sock") or die "$!";
            print $s $ARGV[0]; $s->flush; print while <$s>;"#;
        let id = ALICE.to_string();
        let output = machine
            .any(
                "setpriv",
                &[
                    "--reuid",
                    &id,
                    "--regid",
                    &id,
                    "--clear-groups",
                    "/usr/bin/perl",
                    "-e",
                    perl,
                    &request,
                ],
            )
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output))
    };
    let answer = ask("GET /crontab", "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(ask("PUT /crontab", "61 * * * * x\n").starts_with("HTTP/1.1 422 "));
    assert!(ask("PUT /crontab", &"\n".repeat(40_001)).starts_with("HTTP/1.1 413 "));
    for head in ["GET /crontab/root", "GET /api/v1/jobs", "PUT /", "GET /crontab/../root"] {
        let answer = ask(head, "");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{head}: {answer}");
    }
    assert!(!ask("GET /crontab?user=root", "").contains("secret"));

    assert_eq!(machine.as_alice(&["-r"]).status().unwrap().code(), Some(0));
    assert!(!spool.join("alice").exists());
    told.expect("STATUS=1 job in force");
    assert_eq!(machine.as_alice(&["-r"]).status().unwrap().code(), Some(1));
    assert_eq!(fs::read(spool.join("root")).unwrap(), b"@daily secret\n");
    crond.signal(Signal::SIGTERM);
    assert_eq!(crond.wait().0, Some(0));
}

/// Row 116.
#[test]
fn a_list_that_only_root_may_read_is_judged_by_the_daemon() {
    let machine = Machine::new("");
    fs::set_permissions(machine.path("spool/crontabs"), fs::Permissions::from_mode(0o700)).unwrap();
    let list = machine.path("etc/cron.deny");
    fs::write(&list, "alice").unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    let notify = machine.path("notify");
    let mut told = Log::of(UnixDatagram::bind(&notify).unwrap());
    let mut command = machine.command("crond", &["-n"]);
    command.env("NOTIFY_SOCKET", &notify);
    let _crond = Foreground::start(command);
    told.expect("READY=1");
    let output = machine.as_alice(&["-l"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("You (alice) are not allowed"), "{output:?}");
}

#[test]
fn on_a_bare_read_only_root_it_runs_and_says_what_is_missing_in_one_warning() {
    let machine = Machine::new("");
    let script = r#"
      set -e; root=$1/root; mkdir -p "$root"
      mount -t tmpfs tmpfs "$root"
      for name in lib lib64 usr/lib; do
        [ ! -e "/$name" ] || { mkdir -p "$root/$name"; mount --bind "/$name" "$root/$name"; }
      done
      mkdir "$root/proc" "$root/dev"
      mount --bind /proc "$root/proc"; mount --bind /dev "$root/dev"
      cp "$1/bin/cronkeep" "$root/cronkeep"
      printf '@every 1s true\n' > "$root/jobs"
      mount -o remount,ro "$root"
      exec chroot "$root" /cronkeep --log-format json /jobs
    "#;
    let folder = machine.folder.path().to_str().unwrap();
    let mut daemon = Foreground::start(machine.any("sh", &["-c", script, "sh", folder]));
    let mut lines = BufReader::new(daemon.child.stderr.take().unwrap()).lines();
    let mut log = Vec::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        let is_loaded = line.contains("crontab.loaded");
        log.push(line);
        if is_loaded {
            break;
        }
    }
    let text = log.join("\n");
    assert!(text.contains("\"jobs\":1"), "{text}");
    let missing: Vec<&String> =
        log.iter().filter(|line| line.contains("this system has no")).collect();
    assert_eq!(missing.len(), 1, "{text}");
    assert!(missing[0].contains("no /bin/sh") && missing[0].contains("no /etc/passwd"), "{text}");
    daemon.signal(Signal::SIGTERM);
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(daemon.wait().0, Some(0));
}
