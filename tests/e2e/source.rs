//! Crontabs of the host: where they are, whose they may be, and that they come and go at any time.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::folder;
use crate::harness::Running;
use crate::host::{ALICE, Host, write};

/// A line of a system table that never starts in a test.
fn line(command: &str) -> String {
    format!("0 0 1 1 * root {command}\n")
}

/// A line of a user's table that never starts in a test.
fn own(command: &str) -> String {
    format!("0 0 1 1 * {command}\n")
}

#[test]
fn every_default_place_is_read() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host
        .file("etc/crontab", 0o644, &line("one"))
        .file("etc/cron.d/job", 0o644, &line("two"))
        .file_of("spool/cron/crontabs/alice", ALICE, 0o600, &own("three"))
        .file_of("spool/cron/nobody", 65534, 0o600, &own("four"))
        .start();
    crond.expect_jobs(&["four", "one", "three", "two"]);
    crond.stop();
}

#[test]
fn row_37_a_spool_table_with_too_many_entries_is_refused_alone() {
    let Some(host) = Host::with_folders() else { return };
    let many: String = (0..10_001).map(|number| own(&format!("many-{number}"))).collect();
    let mut crond = host
        .file("etc/crontab", 0o644, &line("other"))
        .file_of("spool/cron/crontabs/alice", ALICE, 0o600, &many)
        .start();
    crond.expect_jobs(&["other"]);
    let rejected = |event: &serde_json::Value| event["event"] == "crontab.rejected";
    assert_eq!(crond.seen().into_iter().filter(rejected).count(), 1);
    let fewer = many.split_once('\n').unwrap().1;
    write(&crond.path("spool/cron/crontabs/alice"), 0o600, fewer);
    chown(crond.path("spool/cron/crontabs/alice"), Some(ALICE), None).unwrap();
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["added"], 10_000, "{loaded}");
    crond.stop();
}

#[test]
fn row_55_an_unknown_user_in_cron_d_is_told_and_the_other_lines_run() {
    let Some(host) = Host::with_folders() else { return };
    let text = format!("0 0 1 1 * nosuch ghost\n* * * * * * root echo here\n{}", line("other"));
    let mut crond = host.file("etc/cron.d/job", 0o644, &text).start();
    crond.expect_where("run.output", |event| event["line"] == "here");
    let is_told = |event: &serde_json::Value| {
        event["event"] == "crontab.fault" && event.to_string().contains("unknown user")
    };
    assert_eq!(crond.seen().into_iter().filter(is_told).count(), 1);
    crond.stop();
}

#[test]
fn row_56_an_orphan_is_told_once_and_adopted_when_its_user_is_made() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host.file_of("spool/cron/crontabs/bob", 1600, 0o600, &own("bobs")).start();
    crond.expect_told("crontabs/bob", "ORPHAN");
    // As useradd does: a new file, renamed over the old one.
    let passwd = fs::read_to_string(crond.path("etc/passwd")).unwrap();
    write(&crond.path("etc/passwd"), 0o644, &format!("{passwd}bob:x:1600:1600::/:/bin/sh\n"));
    crond.expect_jobs(&["bobs"]);
    assert_eq!(crond.told("crontabs/bob", "ORPHAN"), 1);
    assert_eq!(crond.expect_told("crontabs/bob", "is accepted now"), 1);
    crond.stop();
}

#[test]
fn row_61_a_table_that_others_may_write_to_is_refused_once() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host
        .file("etc/cron.d/plain", 0o644, &line("plain"))
        .file("etc/cron.d/private", 0o600, &line("private"))
        .file("etc/cron.d/fixed", 0o444, &line("fixed"))
        .file("etc/cron.d/group", 0o664, &line("group"))
        .file("etc/cron.d/others", 0o646, &line("others"))
        .start();
    crond.expect_jobs(&["fixed", "plain", "private"]);
    assert_eq!(crond.told("cron.d/group", "(mode 0664; chmod go-w)"), 1);
    assert_eq!(crond.told("cron.d/others", "(mode 0646; chmod go-w)"), 1);
    write(&crond.path("etc/cron.d/group"), 0o644, &line("group"));
    crond.expect_jobs(&["fixed", "group", "plain", "private"]);
    assert_eq!(crond.expect_told("cron.d/group", "is accepted now"), 1);
    assert_eq!(crond.told("cron.d/others", "is refused"), 1);
    crond.stop();
}

#[test]
fn row_62_an_executable_table_is_taken() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host.file("etc/cron.d/job", 0o755, &line("job")).start();
    crond.expect_jobs(&["job"]);
    assert_eq!(crond.told("cron.d/job", "is executable"), 1);
    crond.stop();
}

#[test]
fn row_63_a_table_of_another_owner_is_refused_and_taken_when_permissive() {
    for permissive in [false, true] {
        let Some(mut host) = Host::with_folders() else { return };
        if permissive {
            host = host.arg("--permissive");
        }
        let mut crond = host
            .file_of("etc/cron.d/job", ALICE, 0o666, &line("job"))
            .file("etc/cron.d/other", 0o644, &line("other"))
            .start();
        if permissive {
            crond.expect_jobs(&["job", "other"]);
        } else {
            crond.expect_jobs(&["other"]);
            assert_eq!(crond.told("cron.d/job", "it belongs to uid 1500, not to root"), 1);
            chown(crond.path("etc/cron.d/job"), Some(0), None).unwrap();
            crond.expect_told("cron.d/job", "(mode 0666; chmod go-w)");
        }
        crond.stop();
    }
}

#[test]
fn row_64_a_second_name_is_refused_in_a_spool_alone() {
    let Some(host) = Host::with_folders() else { return };
    let host = host.file("etc/cron.d/job", 0o644, &line("job")).file_of(
        "spool/cron/crontabs/alice",
        ALICE,
        0o600,
        &own("alices"),
    );
    fs::hard_link(host.path("etc/cron.d/job"), host.path("etc/elsewhere")).unwrap();
    fs::hard_link(host.path("spool/cron/crontabs/alice"), host.path("spool/elsewhere")).unwrap();
    let mut crond = host.start();
    crond.expect_jobs(&["job"]);
    assert_eq!(crond.told("crontabs/alice", "more than one hard link"), 1);
    fs::remove_file(crond.path("spool/elsewhere")).unwrap();
    crond.watch_again();
    crond.expect_jobs(&["alices", "job"]);
    crond.stop();
}

#[test]
fn row_65_a_link_in_cron_d_is_followed_and_its_target_watched() {
    let Some(host) = Host::with_folders() else { return };
    let host = host.file("etc/target", 0o644, &line("before"));
    symlink("/etc/target", host.path("etc/cron.d/link")).unwrap();
    let mut crond = host.start();
    crond.expect_jobs(&["before"]);
    write(&crond.path("etc/target"), 0o644, &line("after"));
    crond.expect_jobs(&["after"]);
    chown(crond.path("etc/target"), Some(ALICE), None).unwrap();
    crond.expect_jobs(&[]);
    crond.expect_told("cron.d/link", "it belongs to uid 1500");
    crond.stop();
}

#[test]
fn row_66_a_link_or_a_pipe_in_a_spool_is_refused_and_holds_up_nothing() {
    let Some(host) = Host::with_folders() else { return };
    let host = host.file("etc/target", 0o600, &own("secret"));
    symlink("/etc/target", host.path("spool/cron/crontabs/alice")).unwrap();
    mkfifo(&host.path("spool/cron/crontabs/nobody"), Mode::S_IRWXU).unwrap();
    mkfifo(&host.path("etc/cron.d/pipe"), Mode::S_IRWXU).unwrap();
    let mut crond = host.start();
    crond.expect_told("crontabs/alice", "is refused: it is a symbolic link");
    crond.expect_told("crontabs/nobody", "is a named pipe, not a regular file");
    crond.expect_told("cron.d/pipe", "is a named pipe, not a regular file");
    write(&crond.path("etc/cron.d/job"), 0o644, &line("job"));
    crond.expect_jobs(&["job"]);
    crond.stop();
}

#[test]
fn row_67_a_spool_table_may_be_read_by_all_and_written_by_its_user() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host
        .file_of("spool/cron/crontabs/alice", ALICE, 0o644, &own("alices"))
        .file_of("spool/cron/crontabs/nobody", 65534, 0o660, &own("nobodys"))
        .file_of("spool/cron/crontabs/root", ALICE, 0o600, &own("roots"))
        .start();
    crond.expect_jobs(&["alices"]);
    assert_eq!(crond.told("crontabs/nobody", "(mode 0660; chmod go-w)"), 1);
    assert_eq!(crond.told("crontabs/root", "it belongs to uid 1500, not to root"), 1);
    crond.stop();
}

#[test]
fn row_68_names_of_no_crontabs_are_skipped_with_a_word_each() {
    const NAMES: [&str; 7] =
        ["job.bak", "job~", ".x", "#x#", "x.dpkg-dist", "x.rpmsave", "x.disabled"];
    let Some(host) = Host::with_folders() else { return };
    let host = NAMES
        .iter()
        .fold(host, |host, name| host.file(&format!("etc/cron.d/{name}"), 0o644, &line("skipped")));
    let mut crond = host.file("etc/cron.d/job", 0o644, &line("job")).start();
    crond.expect_jobs(&["job"]);
    for name in NAMES {
        assert_eq!(crond.told(&format!("/{name}"), "is skipped"), 1, "{name}");
    }
    crond.stop();
}

#[test]
fn row_69_a_dot_in_a_name_is_judged_as_the_host_would() {
    for (arguments, is_debian, is_read) in [
        (&[][..], true, false),
        (&[], false, true),
        (&["--cron-d-names", "cronie"], true, true),
        (&["--cron-d-names", "debian"], false, false),
    ] {
        let Some(host) = Host::with_folders() else { return };
        let mut host = host.file("etc/cron.d/my.cron", 0o644, &line("job"));
        if is_debian {
            host = host.file("etc/debian_version", 0o644, "12.0\n");
        }
        let mut crond = arguments.iter().fold(host, Host::arg).start();
        if is_read {
            crond.expect_jobs(&["job"]);
        } else {
            assert_eq!(crond.told("/my.cron", "is skipped: Debian's rule"), 1);
            assert!(crond.jobs().is_empty());
        }
        crond.stop();
    }
}

#[test]
fn rows_70_to_72_files_come_change_and_go() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host.file("etc/cron.d/first", 0o644, &line("first")).start();
    let table = crond.path("etc/cron.d/second");
    write(&table, 0o644, &line("second"));
    crond.expect_jobs(&["first", "second"]);
    fs::write(&table, line("third")).unwrap();
    fs::write(&table, line("fourth")).unwrap();
    crond.expect_jobs(&["first", "fourth"]);
    fs::remove_file(&table).unwrap();
    crond.expect_jobs(&["first"]);
    let alices = crond.path("spool/cron/crontabs/alice");
    write(&alices, 0o600, &own("alices"));
    chown(&alices, Some(ALICE), None).unwrap();
    crond.expect_jobs(&["alices", "first"]);
    crond.stop();
}

#[test]
fn row_73_what_is_missing_at_the_start_is_waited_for() {
    let Some(host) = Host::new() else { return };
    let mut crond = host.start();
    assert_eq!(crond.count("crontab.notice"), 0, "{:#?}", crond.seen());
    write(&crond.path("etc/crontab"), 0o644, &line("one"));
    crond.expect_jobs(&["one"]);
    fs::create_dir(crond.path("etc/cron.d")).unwrap();
    write(&crond.path("etc/cron.d/job"), 0o644, &line("two"));
    crond.expect_jobs(&["one", "two"]);
    fs::create_dir_all(crond.path("spool/cron/crontabs")).unwrap();
    write(&crond.path("spool/cron/crontabs/root"), 0o600, &own("three"));
    write(&crond.path("spool/cron/root"), 0o600, &own("four"));
    crond.expect_jobs(&["four", "one", "three", "two"]);
    crond.stop();
}

#[test]
fn row_74_without_its_directory_the_jobs_are_gone_and_the_daemon_lives() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host
        .file("etc/crontab", 0o644, &line("one"))
        .file("etc/cron.d/job", 0o644, &line("two"))
        .file("etc/cron.d/more", 0o644, &line("three"))
        .start();
    crond.expect_jobs(&["one", "three", "two"]);
    folder::remove(&crond.path("etc/cron.d"));
    crond.expect_jobs(&["one"]);
    assert_eq!(crond.count("crontab.notice"), 1, "{:#?}", crond.seen());
    assert_eq!(crond.told("cron.d", "is gone: the jobs of 2 crontabs with it"), 1);
    crond.stop();
}

#[test]
fn the_systems_crontab_keeps_its_last_version_when_it_is_missing() {
    let Some(host) = Host::with_folders() else { return };
    let mut crond = host.file("etc/crontab", 0o644, &line("one")).start();
    fs::remove_file(crond.path("etc/crontab")).unwrap();
    crond.expect_told("etc/crontab", "is missing: its last version stays in force");
    crond.expect_jobs(&["one"]);
    write(&crond.path("etc/crontab"), 0o644, &line("two"));
    crond.expect_jobs(&["two"]);
    crond.stop();
}

#[test]
fn row_75_a_job_runs_on_when_its_file_is_deleted() {
    let Some(host) = Host::with_folders() else { return };
    let folder = host.path("");
    let gate = folder.join("gate");
    let text = format!(
        "* * * * * * root echo begun; while [ ! -e {} ]; do sleep 0.05; done; echo done\n",
        gate.display()
    );
    let mut crond = host.file("etc/cron.d/job", 0o644, &text).start();
    crond.expect_where("run.output", |event| event["line"] == "begun");
    fs::remove_file(crond.path("etc/cron.d/job")).unwrap();
    crond.expect_told("cron.d/job", "is gone");
    fs::write(gate, "").unwrap();
    crond.expect_where("run.output", |event| event["line"] == "done");
    crond.stop();
}

/// Starts a shell command as alice in the spool, which everybody may write to for this.
fn as_alice(crond: &Running, command: &str) -> std::process::Child {
    Command::new("sh")
        .args(["-c", command])
        .uid(ALICE)
        .gid(ALICE)
        .current_dir(crond.path("spool/cron/crontabs"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn row_117_a_user_cannot_have_foreign_files_read_through_the_spool() {
    let Some(host) = Host::with_folders() else { return };
    let spool = host.path("spool/cron/crontabs");
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(&spool, mode(0o777)).unwrap();
    let secret = host.path("etc/secret");
    write(&secret, 0o600, "0 0 1 1 * top-secret\nno entry but a secret\n");
    let mut crond = host.file("etc/crontab", 0o644, &line("one")).start();
    // A name that is by turns a table, a link, a second name of a table, a pipe and a huge file.
    let swap = format!(
        "for i in $(seq 40); do \
         rm -f new; echo '0 0 1 1 * mine' > new; chmod 600 new; mv -f new alice; \
         ln -sf {secret} new; mv -f new alice; \
         rm -f new; ln {secret} new 2>/dev/null && mv -f new alice; \
         rm -f new; mkfifo new; mv -f new alice; \
         rm -f new; truncate -s 1G new; chmod 600 new; mv -f new alice; \
         done; rm -f new alice; echo '0 0 1 1 * last' > new; chmod 600 new; mv -f new alice",
        secret = secret.display()
    );
    let mut user = as_alice(&crond, &swap);
    while user.try_wait().unwrap().is_none() {
        crond.watch_again();
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    crond.expect_jobs(&["last", "one"]);
    let told: String = crond.seen().iter().map(ToString::to_string).collect();
    assert!(!told.contains("top-secret") && !told.contains("but a secret"), "{told}");
    assert_eq!(fs::read_to_string(&secret).unwrap().lines().count(), 2);
    crond.stop();
}

#[test]
fn a_named_file_of_another_owner_is_taken_with_a_warning() {
    let Some(host) = Host::new() else { return };
    let host = host.file_of("spool/jobs", ALICE, 0o664, &own("one"));
    let mut crond = host.arg("/var/spool/jobs").start();
    crond.expect_jobs(&["one"]);
    assert_eq!(crond.told("spool/jobs", "belongs to uid 1500, and its group may write"), 1);
    crond.stop();
}

#[test]
fn a_named_file_that_everybody_may_write_to_is_refused() {
    let Some(host) = Host::new() else { return };
    let mut crond = host.file("spool/jobs", 0o666, &own("one")).arg("/var/spool/jobs").start();
    crond.expect_told("spool/jobs", "is refused: others than its owner may write to it");
    assert!(crond.jobs().is_empty());
    crond.stop();
}

#[test]
fn what_anybody_might_have_put_into_a_named_directory_is_refused() {
    let Some(host) = Host::new() else { return };
    let folder = host.path("spool/jobs");
    fs::create_dir(&folder).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&folder, mode).unwrap();
    let mut crond = host
        .file("spool/jobs/a", 0o644, &own("a"))
        .file_of("spool/jobs/b", ALICE, 0o644, &own("b"))
        .arg("/var/spool/jobs")
        .start();
    crond.expect_jobs(&["a"]);
    crond.expect_told("spool/jobs/b", "everybody may put files into its directory");
    crond.stop();
}

#[test]
fn a_named_directory_is_read_file_by_file() {
    let Some(host) = Host::new() else { return };
    fs::create_dir(host.path("spool/jobs")).unwrap();
    let mut crond = host
        .file("spool/jobs/a.cron", 0o644, &own("a"))
        .file("spool/jobs/b~", 0o644, &own("b"))
        .arg("/var/spool/jobs")
        .start();
    crond.expect_jobs(&["a"]);
    let mut file = OpenOptions::new().append(true).open(crond.path("spool/jobs/a.cron")).unwrap();
    file.write_all(own("c").as_bytes()).unwrap();
    drop(file);
    crond.expect_jobs(&["a", "c"]);
    crond.stop();
}
