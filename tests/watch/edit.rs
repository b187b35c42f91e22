//! Edits that must each be reported exactly once.
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use cronkeep::watch::Watcher;
use tokio::time::sleep;

use crate::harness::{AFTER, BEFORE, Watched, run, texts};

#[tokio::test]
async fn a_save_in_place() {
    let mut watched = Watched::new().await;
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn an_appended_line() {
    let mut watched = Watched::new().await;
    OpenOptions::new().append(true).open(&watched.path).unwrap().write_all(b"# end\n").unwrap();
    watched.expect_change(&format!("{BEFORE}# end\n")).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_truncation_and_a_write_much_later() {
    let mut watched = Watched::new().await;
    let mut file = File::create(&watched.path).unwrap();
    sleep(Duration::from_millis(600)).await;
    file.write_all(AFTER.as_bytes()).unwrap();
    drop(file);
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_truncation_closed_and_written_again_within_two_seconds() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    fs::write(&watched.path, "").unwrap();
    watched.expect_look(looks).await;
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_slow_write_of_three_seconds() {
    let mut watched = Watched::new().await;
    let block = format!("{}\n", "#".repeat(4095));
    let mut file = File::create(&watched.path).unwrap();
    for _ in 0..20 {
        file.write_all(block.as_bytes()).unwrap();
        sleep(Duration::from_millis(150)).await;
    }
    drop(file);
    watched.expect_change(&block.repeat(20)).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_slow_write_that_opens_the_file_for_each_block() {
    let mut watched = Watched::new().await;
    let block = format!("{}\n", "#".repeat(4095));
    fs::write(&watched.path, "").unwrap();
    for _ in 0..60 {
        let mut file = OpenOptions::new().append(true).open(&watched.path).unwrap();
        file.write_all(block.as_bytes()).unwrap();
        sleep(Duration::from_millis(50)).await;
    }
    watched.expect_change(&block.repeat(60)).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn another_file_moved_over_it() {
    let mut watched = Watched::new().await;
    for text in [AFTER, BEFORE, AFTER] {
        fs::rename(watched.beside("new", text), &watched.path).unwrap();
        watched.expect_change(text).await;
    }
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn sed_in_place() {
    let mut watched = Watched::new().await;
    run("sed", &["-i".as_ref(), "s/before/after/".as_ref(), watched.path.as_ref()]);
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn an_editor_that_renames_the_old_file_away() {
    let mut watched = Watched::new().await;
    for text in [AFTER, BEFORE] {
        let backup = watched.home().join("crontab~");
        fs::rename(&watched.path, &backup).unwrap();
        fs::write(&watched.path, text).unwrap();
        fs::remove_file(&backup).unwrap();
        watched.expect_change(text).await;
    }
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_config_map_that_is_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let publish = |dated: &str, text: &str| {
        fs::create_dir(at.join(dated)).unwrap();
        fs::write(at.join(dated).join("crontab"), text).unwrap();
        symlink(dated, at.join("..data_tmp")).unwrap();
        fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    };
    publish("..2026_1", BEFORE);
    symlink("..data/crontab", at.join("crontab")).unwrap();
    let mut watched = Watched::on(&at.join("crontab"));
    watched.expect_start(&[BEFORE]).await;
    for (old, new, text) in [("..2026_1", "..2026_2", AFTER), ("..2026_2", "..2026_3", BEFORE)] {
        publish(new, text);
        fs::remove_dir_all(at.join(old)).unwrap();
        watched.expect_change(text).await;
    }
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_directory_on_the_way_that_is_a_link_and_is_turned_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for (name, text) in [("one", BEFORE), ("two", AFTER)] {
        fs::create_dir(at.join(name)).unwrap();
        fs::write(at.join(name).join("crontab"), text).unwrap();
    }
    symlink("one", at.join("current")).unwrap();
    let mut watched = Watched::on(&at.join("current/crontab"));
    watched.expect_start(&[BEFORE]).await;
    symlink("two", at.join("next")).unwrap();
    fs::rename(at.join("next"), at.join("current")).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn the_target_of_a_link_edited_in_its_own_directory() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = there.path().join("table");
    fs::write(&target, BEFORE).unwrap();
    symlink(&target, here.path().join("crontab")).unwrap();
    let mut watched = Watched::on(&here.path().join("crontab"));
    watched.expect_start(&[BEFORE]).await;
    fs::write(&target, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    let new = there.path().join("new");
    fs::write(&new, BEFORE).unwrap();
    fs::rename(&new, &target).unwrap();
    watched.expect_change(BEFORE).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_write_through_another_hard_link() {
    let mut watched = Watched::new().await;
    let elsewhere = tempfile::tempdir_in(watched.home()).unwrap();
    let write_elsewhere = |path: &Path, text: &str| {
        let link = elsewhere.path().join("link");
        fs::hard_link(path, &link).unwrap();
        fs::write(&link, text).unwrap();
        fs::remove_file(&link).unwrap();
    };
    write_elsewhere(&watched.path, AFTER);
    watched.expect_change(AFTER).await;

    // Another inode, then perhaps the same again: it is watched each time.
    fs::rename(watched.beside("new", BEFORE), &watched.path).unwrap();
    watched.expect_change(BEFORE).await;
    write_elsewhere(&watched.path, AFTER);
    watched.expect_change(AFTER).await;
    fs::remove_file(&watched.path).unwrap();
    fs::write(&watched.path, BEFORE).unwrap();
    watched.expect_change(BEFORE).await;
    write_elsewhere(&watched.path, AFTER);
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_with_an_older_time() {
    let mut watched = Watched::new().await;
    let new = watched.beside("new", AFTER);
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_modified(old).set_accessed(old);
    OpenOptions::new().write(true).open(&new).unwrap().set_times(times).unwrap();
    fs::rename(&new, &watched.path).unwrap();
    watched.expect_change(AFTER).await;
    let old = watched.beside("old", BEFORE);
    OpenOptions::new().write(true).open(&old).unwrap().set_times(times).unwrap();
    run("cp", &["-p".as_ref(), old.as_ref(), watched.path.as_ref()]);
    watched.expect_change(BEFORE).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn two_edits_in_one_second_of_which_the_last_counts() {
    let mut watched = Watched::new().await;
    fs::write(&watched.path, BEFORE.replace("before", "middle")).unwrap();
    watched.expect_change(&BEFORE.replace("before", "middle")).await;
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn two_edits_at_once_of_which_the_last_counts() {
    let mut watched = Watched::new().await;
    fs::write(&watched.path, BEFORE.replace("before", "middle")).unwrap();
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn two_files_that_change_together_are_one_change() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one", "two", "three"].map(|name| folder.path().join(name));
    for path in &paths {
        fs::write(path, BEFORE).unwrap();
    }
    let mut watched = Watched::with(Watcher::start(paths.to_vec()).unwrap(), &paths[0]);
    watched.expect_start(&[BEFORE; 3]).await;
    fs::write(&paths[0], AFTER).unwrap();
    fs::write(&paths[2], "").unwrap();
    fs::write(&paths[2], AFTER).unwrap();
    let change = watched.change_within(crate::harness::SOON).await;
    assert_eq!(texts(&change), [AFTER, AFTER]);
    assert_eq!(change.edits.iter().map(|edit| edit.place).collect::<Vec<_>>(), [0, 2]);
    watched.expect_only_sentinel().await;
}
