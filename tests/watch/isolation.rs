//! What needs a namespace or another user: each test runs itself again inside one.
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use cronkeep::watch::{Cause, Edit, Notice, Watcher};
use nix::unistd::Uid;

use crate::harness::{AFTER, BEFORE, SOON, Watched, run};

/// Set in the second run.
const INSIDE: &str = "WATCH_TEST_INSIDE";
const INSTANCES: &str = "/proc/sys/user/max_inotify_instances";
const WATCHES: &str = "/proc/sys/user/max_inotify_watches";

fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs the named test of this program again, by `prefix`.
fn again(mut prefix: Command, test: &str) {
    let output = prefix
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs the named test again in a user and mount namespace of its own, if there can be one.
fn in_namespace(test: &str) {
    let mut probe = Command::new("unshare");
    probe.args(["--user", "--map-root-user", "--mount", "true"]);
    let probe = probe.spawn().and_then(std::process::Child::wait_with_output);
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no user and mount namespace is to be had here");
        return;
    }
    let mut prefix = Command::new("unshare");
    prefix.args(["--user", "--map-root-user", "--mount"]);
    again(prefix, test);
}

/// Runs `test` to its end.
fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A watch that tries to arm again every second.
fn impatient(path: &std::path::Path) -> Watched {
    let interval = Duration::from_secs(1);
    Watched::with(Watcher::start_with(vec![path.to_owned()], interval).unwrap(), path)
}

#[test]
fn a_file_mounted_by_itself_is_told_once() {
    if !inside() {
        return in_namespace("isolation::a_file_mounted_by_itself_is_told_once");
    }
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let path = folder.path().join("my crontab");
        fs::write(&outside, BEFORE).unwrap();
        fs::write(&path, "").unwrap();
        run("mount", &["--bind".as_ref(), outside.as_ref(), path.as_ref()]);
        let mut seen = Watched::on(&path);
        seen.expect_start(&[BEFORE]).await;
        assert!(matches!(&seen.notices[..], [Notice::FileMount { place: 0, .. }]));
        fs::write(&outside, AFTER).unwrap();
        seen.expect_change(AFTER).await;
        seen.expect_only_sentinel().await;
        assert_eq!(seen.notices.len(), 1, "{:?}", seen.notices);
    });
}

#[test]
fn a_file_mounted_by_itself_into_a_directory_is_told_once() {
    if !inside() {
        return in_namespace("isolation::a_file_mounted_by_itself_into_a_directory_is_told_once");
    }
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        let place = folder.path().join("jobs");
        let path = place.join("mounted");
        fs::create_dir(&place).unwrap();
        fs::write(&outside, BEFORE).unwrap();
        fs::write(&path, "").unwrap();
        fs::write(place.join("plain"), AFTER).unwrap();
        run("mount", &["--bind".as_ref(), outside.as_ref(), path.as_ref()]);
        let watcher = Watcher::start_with([place], Duration::from_secs(1)).unwrap();
        let mut seen = Watched::with(watcher, &path);
        seen.expect_start(&[BEFORE, AFTER]).await;
        let [Notice::FileMount { path: told, .. }] = &seen.notices[..] else {
            panic!("{:?}", seen.notices);
        };
        assert_eq!(&**told, path);
        // Written in place: the directory's watch is not told of it, the slow look finds it.
        seen.expect_only_sentinel().await;
        assert_eq!(seen.notices.len(), 1, "{:?}", seen.notices);
    });
}

/// As in a container whose crontab came with its image: the first edit makes another file of it.
#[test]
fn a_file_of_an_image_is_followed_when_its_first_edit_copies_it_up() {
    if !inside() {
        return in_namespace(
            "isolation::a_file_of_an_image_is_followed_when_its_first_edit_copies_it_up",
        );
    }
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        run("mount", &["-t".as_ref(), "tmpfs".as_ref(), "none".as_ref(), folder.path().as_ref()]);
        let [lower, upper, work, root] =
            ["lower", "upper", "work", "root"].map(|name| folder.path().join(name));
        for made in [&lower, &upper, &work, &root] {
            fs::create_dir(made).unwrap();
        }
        fs::write(lower.join("crontab"), BEFORE).unwrap();
        let [lower_at, upper_at, work_at] = [&lower, &upper, &work].map(|path| path.display());
        let layers = format!("lowerdir={lower_at},upperdir={upper_at},workdir={work_at}");
        let mounted = ["-t", "overlay", "-o", &layers, "none"].map(OsStr::new);
        run("mount", &[&mounted[..], &[root.as_ref()]].concat());
        let path = root.join("crontab");
        let mut seen = Watched::on(&path);
        seen.expect_start(&[BEFORE]).await;
        // The slow look comes later than this is waited for.
        fs::write(&path, AFTER).unwrap();
        assert!(upper.join("crontab").exists());
        seen.expect_change(AFTER).await;
        fs::write(root.join("new"), "* * * * * root third\n").unwrap();
        fs::rename(root.join("new"), &path).unwrap();
        seen.expect_change("* * * * * root third\n").await;
    });
}

#[test]
fn without_an_inotify_instance_a_directory_is_followed_by_looking() {
    if !inside() {
        return in_namespace(
            "isolation::without_an_inotify_instance_a_directory_is_followed_by_looking",
        );
    }
    fs::write(INSTANCES, "0").unwrap();
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job");
        fs::write(&path, BEFORE).unwrap();
        let interval = Duration::from_secs(1);
        let watcher = Watcher::start_with([folder.path().to_owned()], interval).unwrap();
        let mut seen = Watched::with(watcher, &path);
        seen.expect_start(&[BEFORE]).await;
        let [Notice::Polling(Cause::Unavailable(reason))] = &seen.notices[..] else {
            panic!("{:?}", seen.notices);
        };
        assert!(reason.contains("max_user_instances"), "{reason}");
        fs::write(&path, AFTER).unwrap();
        seen.expect_change(AFTER).await;
        let other = seen.beside("other", BEFORE);
        seen.expect_change(BEFORE).await;
        fs::remove_file(other).unwrap();
        let gone = seen.change_within(Duration::from_secs(4)).await;
        assert!(matches!(&gone.edits[..], [Edit { text: None, .. }]), "{gone:?}");
        let told = &seen.notices[..];
        assert!(matches!(told, [Notice::Polling(_), Notice::Gone { .. }]), "said once: {told:?}");

        fs::write(INSTANCES, "128").unwrap();
        assert_eq!(seen.expect_notice(Duration::from_secs(3)).await, Notice::Announced);
        seen.expect_only_sentinel().await;
    });
}

#[test]
fn without_an_inotify_instance_edits_are_found_by_looking() {
    if !inside() {
        return in_namespace("isolation::without_an_inotify_instance_edits_are_found_by_looking");
    }
    fs::write(INSTANCES, "0").unwrap();
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, BEFORE).unwrap();
        let mut seen = impatient(&path);
        seen.expect_start(&[BEFORE]).await;
        let [Notice::Polling(Cause::Unavailable(reason))] = &seen.notices[..] else {
            panic!("{:?}", seen.notices);
        };
        assert!(reason.contains("max_user_instances"), "{reason}");
        fs::write(&path, AFTER).unwrap();
        seen.expect_change(AFTER).await;
        fs::rename(seen.beside("new", BEFORE), &path).unwrap();
        seen.expect_change(BEFORE).await;
        seen.expect_only_sentinel().await;
        assert_eq!(seen.notices.len(), 1, "said once: {:?}", seen.notices);

        fs::write(INSTANCES, "128").unwrap();
        assert_eq!(seen.expect_notice(Duration::from_secs(3)).await, Notice::Announced);
        seen.expect_only_sentinel().await;
    });
}

#[test]
fn without_an_inotify_watch_edits_are_found_by_looking() {
    if !inside() {
        return in_namespace("isolation::without_an_inotify_watch_edits_are_found_by_looking");
    }
    fs::write(WATCHES, "0").unwrap();
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, BEFORE).unwrap();
        let mut seen = impatient(&path);
        seen.expect_start(&[BEFORE]).await;
        let [Notice::Polling(Cause::Unavailable(reason))] = &seen.notices[..] else {
            panic!("{:?}", seen.notices);
        };
        assert!(reason.contains("max_user_watches"), "{reason}");
        seen.expect_only_sentinel().await;
        fs::write(WATCHES, "1000").unwrap();
        assert_eq!(seen.expect_notice(Duration::from_secs(3)).await, Notice::Announced);
        seen.expect_only_sentinel().await;
    });
}

#[test]
fn without_a_free_descriptor_the_last_version_stays() {
    if !inside() {
        let mut prefix = Command::new("env");
        prefix.arg("--");
        return again(prefix, "isolation::without_a_free_descriptor_the_last_version_stays");
    }
    block_on(async {
        let mut seen = Watched::new().await;
        let (soft, hard) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
        let mut file = OpenOptions::new().write(true).open(&seen.path).unwrap();
        let limit = |soft| {
            nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, soft, hard)
                .unwrap();
        };
        limit(3);
        std::io::Write::write_all(&mut file, AFTER.as_bytes()).unwrap();
        file.set_len(AFTER.len() as u64).unwrap();
        drop(file);
        let notice = seen.expect_notice(SOON).await;
        assert!(notice.to_string().contains("(too many open files)"), "{notice}");
        limit(soft);
        seen.watcher.reload();
        assert_eq!(crate::harness::texts(&seen.change_within(SOON).await), [AFTER]);
        assert!(matches!(&seen.notices[..], [Notice::Restored { .. }]));
        seen.expect_only_sentinel().await;
    });
}

#[test]
fn a_file_that_may_not_be_read_by_us_keeps_its_last_version() {
    if !inside() {
        if !Uid::effective().is_root() {
            eprintln!("skipped: runs under its own name for other users than root");
            return;
        }
        let mut prefix = Command::new("env");
        prefix.arg("--").uid(65534).gid(65534).env("TMPDIR", "/tmp");
        return again(
            prefix,
            "isolation::a_file_that_may_not_be_read_by_us_keeps_its_last_version",
        );
    }
    block_on(crate::absence::unreadable());
}
