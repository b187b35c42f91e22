//! Commands that are executed without a shell: nobody can tell.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use cronkeep::event::Outcome;
use cronkeep::executor::Host;
use cronkeep::unix::Account;
use tempfile::TempDir;

use crate::harness::{Daemon, Told, alone, job_with, start_on};

const DASH: &str = "/bin/dash";

/// An executor that leaves the shell out where it can, or never does.
fn daemon(always_shell: bool, environment: &[(&str, &str)]) -> Daemon {
    let environment = environment.iter().map(|&(name, value)| (name.into(), value.into()));
    start_on(Host { always_shell, ..Host::new(Account::current(), environment) })
}

/// All that can be seen of a run from outside.
fn seen(told: &Told) -> (Outcome, BTreeSet<String>) {
    let lines = told.lines.iter().map(|(stream, line)| format!("{stream:?}: {line}"));
    let lines = lines.filter(|line| !line.contains("CRONKEEP_RUN_ID="));
    (told.end.outcome.clone(), lines.collect())
}

/// A home with programs of every kind.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let program = |path: &str, text: &str, mode: u32| {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    program("bin/script", "#!/bin/sh\necho script \"$0\" \"$@\"; exit 3\n", 0o755);
    program("bin/bare", "echo bare \"$0\" \"$@\"; exit 4\n", 0o755);
    program("bin/sealed", "#!/bin/sh\n", 0o644);
    program("bin/lost", "#!/no/such/interpreter\n", 0o755);
    program("bin/empty", "", 0o755);
    program("bin/env", "#!/bin/sh\necho an env of our own\n", 0o644);
    program("other/lost", "#!/bin/sh\necho other lost\n", 0o755);
    program("other/sealed", "#!/bin/sh\necho other sealed\n", 0o755);
    fs::create_dir(home.path().join("bin/folder")).unwrap();
    symlink("nowhere", home.path().join("bin/dangling")).unwrap();
    symlink("loop", home.path().join("bin/loop")).unwrap();
    symlink(".", home.path().join("here")).unwrap();
    home
}

#[test]
fn a_plain_command_and_its_shell_are_told_apart_by_nothing() {
    if !Path::new(DASH).exists() {
        eprintln!("skipped: no dash here");
        assert!(std::env::var_os("CI").is_none(), "dash is missing");
        return;
    }
    alone(async {
        let home = home();
        let path = home.path().to_str().unwrap();
        let here = home.path().join("here");
        let commands = [
            "env",
            "/usr/bin/env",
            "printenv PWD OLDPWD SHLVL PATH _",
            "pwd",
            "/bin/pwd",
            "/bin/pwd -L",
            "script",
            "script a  b\tc",
            "bin/script a=b",
            "./bin/script -x",
            "bare a",
            "bin/bare",
            "sealed",
            "bin/sealed",
            "lost",
            "bin/lost",
            "empty",
            "folder",
            "bin/folder",
            "dangling",
            "loop",
            "no-such-command",
            "bin/no-such-command",
            "/no/such/command a b",
            "/etc/passwd",
            "cat /proc/self/cmdline",
            "false",
            "/bin/false",
            "echo %d",
            "/bin/echo 50% +x a,b:c@d",
            "ls /no/such/file",
            "kill -9 1x",
            "7zz",
            "bin/../bin/script",
            "here",
            "cat /proc/self/limits",
            "grep -E ^(Sig|Uid|Gid|Umask) /proc/self/status",
            "grep Ign /proc/self/status",
            "sh -c exit",
            ". script",
            "sleep 0",
            "tail -c0",
            "ls /proc/self/fd",
        ];
        let environments: [&[(&str, &str)]; 7] = [
            &[],
            &[("PWD", path), ("OLDPWD", "/x"), ("A", "b=c")],
            &[("PWD", here.to_str().unwrap())],
            &[("PWD", "/no/such/folder"), ("SHLVL", "4"), ("_", "x")],
            &[("PWD", "relative"), ("TERM", "dumb"), ("MAIL", "/m"), ("PS1", "x")],
            &[("IFS", "x"), ("OPTIND", "3"), ("PPID", "1"), ("LINENO", "5")],
            &[("a.b", "c"), ("ENV", "/no/such/file"), ("CDPATH", "/"), ("HISTSIZE", "x")],
        ];
        let search = format!("{path}/bin:{path}/other:/no/such:/usr/bin:/bin");
        for environment in environments {
            let mut all = [Vec::new(), Vec::new()];
            for (always_shell, all) in [false, true].into_iter().zip(&mut all) {
                let mut daemon = daemon(always_shell, environment);
                for command in commands {
                    for search in [&search[..], "/usr/bin:/bin"] {
                        let settings = [("HOME", path), ("SHELL", DASH), ("PATH", search)];
                        let told = daemon.run(job_with(&settings, command)).await;
                        all.push((command, search, seen(&told)));
                    }
                }
                daemon.finish().await;
            }
            for (ours, shells) in all[0].iter().zip(&all[1]) {
                assert_eq!(ours, shells, "with {environment:?}");
            }
        }
    });
}

#[test]
fn a_plain_command_is_executed_without_its_shell() {
    alone(async {
        let settings = [("HOME", "/"), ("SHELL", DASH), ("A", "b")];
        // The shell has an order of its own.
        let ours = ["HOME=/", "SHELL=/bin/dash", "A=b"];
        for (always_shell, same_order) in [(false, true), (true, false)] {
            let mut daemon = daemon(always_shell, &[]);
            let told = daemon.run(job_with(&settings, "env")).await;
            let seen = told.stdout();
            assert_eq!(seen[..3] == ours && seen.last() == Some(&"PWD=/"), same_order, "{seen:?}");
            daemon.finish().await;
        }
    });
}
