//! Every way to save a file, and the ways that change nothing.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::harness::{Crond, Running};

const OLD: &str = "0 0 1 1 * echo old\n";
const NEW: &str = "0 0 1 1 * echo new\n";
const LAST: &str = "0 0 1 1 * echo last\n";

/// Does something to the crontab and expects exactly one reload that brings one new job and removes the old one.
fn one_reload(crond: Crond, edit: impl FnOnce(&Running)) {
    let mut crond = crond.crontab(OLD).start();
    edit(&crond);
    expect_one_reload(&mut crond);
    crond.stop();
}

/// The edit that was made is seen once; the next reload is that of the next edit.
fn expect_one_reload(crond: &mut Running) {
    let loaded = crond.expect("crontab.loaded");
    assert_eq!((&loaded["added"], &loaded["removed"]), (&1.into(), &1.into()), "{loaded}");
    let before = crond.count("crontab.loaded");
    crond.replace(LAST);
    crond.expect_where("job.added", |event| event["message"] == "echo last");
    crond.expect("crontab.loaded");
    assert_eq!(crond.count("crontab.loaded"), before + 1, "one edit, one reload");
}

/// Does something to the crontab that changes nothing: the next reload is that of the next edit.
fn no_reload(edit: impl FnOnce(&Running)) {
    let mut crond = Crond::new().crontab(OLD).start();
    edit(&crond);
    // A reload that must not come cannot be waited for: the debounce gets time to let one through.
    std::thread::park_timeout(Duration::from_millis(600));
    crond.replace(LAST);
    crond.expect_where("job.added", |event| event["message"] == "echo last");
    crond.expect("crontab.loaded");
    assert_eq!(crond.count("crontab.loaded"), 2);
    crond.stop();
}

fn shell(crond: &Running, command: &str) {
    let status =
        Command::new("sh").args(["-c", command]).current_dir(crond.folder()).status().unwrap();
    assert!(status.success(), "{command}");
}

#[test]
fn saving_in_place() {
    one_reload(Crond::new(), |crond| crond.write(NEW));
}

#[test]
fn truncating_and_writing_slowly() {
    one_reload(Crond::new(), |crond| {
        let mut file = File::create(crond.path("crontab")).unwrap();
        for byte in NEW.as_bytes() {
            file.write_all(&[*byte]).unwrap();
            file.flush().unwrap();
            std::thread::park_timeout(Duration::from_millis(30));
        }
    });
}

#[test]
fn moving_a_new_file_over() {
    one_reload(Crond::new(), |crond| crond.replace(NEW));
}

#[test]
fn sed_in_place() {
    one_reload(Crond::new(), |crond| shell(crond, "sed -i s/old/new/ crontab"));
}

#[test]
fn renaming_away_and_writing_anew_as_vim_does() {
    one_reload(Crond::new(), |crond| {
        fs::rename(crond.path("crontab"), crond.path("crontab~")).unwrap();
        crond.write(NEW);
        fs::remove_file(crond.path("crontab~")).unwrap();
    });
}

#[test]
fn swapping_the_data_link_of_a_config_map() {
    let crond = Crond::new();
    let folder = crond.folder().to_owned();
    for (version, text) in [("..v1", OLD), ("..v2", NEW)] {
        fs::create_dir(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("crontab"), text).unwrap();
    }
    symlink("..v1", folder.join("..data")).unwrap();
    symlink("..data/crontab", folder.join("crontab")).unwrap();
    let mut crond = crond.start();
    symlink("..v2", folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    fs::remove_dir_all(folder.join("..v1")).unwrap();
    expect_one_reload(&mut crond);
    crond.stop();
}

#[test]
fn editing_the_target_of_a_link_in_another_folder() {
    let crond = Crond::new();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("real"), OLD).unwrap();
    symlink(elsewhere.path().join("real"), crond.folder().join("crontab")).unwrap();
    let mut crond = crond.start();
    fs::write(elsewhere.path().join("real"), NEW).unwrap();
    expect_one_reload(&mut crond);
    crond.stop();
}

#[test]
fn deleting_and_creating_anew() {
    one_reload(Crond::new(), |crond| {
        fs::remove_file(crond.path("crontab")).unwrap();
        crond.write(NEW);
    });
}

#[test]
fn a_file_with_an_older_time() {
    one_reload(Crond::new(), |crond| {
        fs::write(crond.path("older"), NEW).unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options()
            .write(true)
            .open(crond.path("older"))
            .unwrap()
            .set_times(FileTimes::new().set_modified(past))
            .unwrap();
        fs::rename(crond.path("older"), crond.path("crontab")).unwrap();
    });
}

#[test]
fn of_two_edits_in_one_second_the_second_counts() {
    let mut crond = Crond::new().crontab(OLD).start();
    crond.write(NEW);
    crond.write(LAST);
    crond.expect_where("job.added", |event| event["message"] == "echo last");
    crond.stop();
}

#[test]
fn a_thousand_noise_files_a_second_beside_it() {
    let mut crond = Crond::new().crontab(OLD).start();
    let folder = crond.folder().to_owned();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0_u32;
            while !ends.load(Ordering::Relaxed) {
                let noise = folder.join(format!("noise-{}", number % 50));
                fs::write(&noise, "x").unwrap();
                fs::remove_file(&noise).unwrap();
                number += 1;
                std::thread::park_timeout(Duration::from_millis(1));
            }
        });
        crond.write(NEW);
        let loaded = crond.expect("crontab.loaded");
        ends.store(true, Ordering::Relaxed);
        assert_eq!(loaded["added"], 1);
    });
    crond.stop();
}

#[test]
fn touching_changes_nothing() {
    no_reload(|crond| shell(crond, "touch crontab"));
}

#[test]
fn another_mode_changes_nothing() {
    no_reload(|crond| {
        fs::set_permissions(crond.path("crontab"), Permissions::from_mode(0o600)).unwrap();
    });
}

#[test]
fn the_same_bytes_again_change_nothing() {
    no_reload(|crond| crond.write(OLD));
}

#[test]
fn a_file_that_is_empty_for_a_moment_keeps_its_jobs() {
    let mut crond = Crond::new().crontab(OLD).start();
    crond.write("");
    std::thread::park_timeout(Duration::from_millis(500));
    crond.write(NEW);
    let loaded = crond.expect("crontab.loaded");
    assert_eq!((&loaded["jobs"], &loaded["added"]), (&1.into(), &1.into()), "{loaded}");
    crond.stop();
}

#[test]
fn a_file_that_stays_empty_has_no_jobs() {
    let mut crond = Crond::new().crontab(OLD).start();
    crond.write("");
    let loaded = crond.expect("crontab.loaded");
    assert_eq!((&loaded["jobs"], &loaded["removed"]), (&0.into(), &1.into()), "{loaded}");
    crond.stop();
}
