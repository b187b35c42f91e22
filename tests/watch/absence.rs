//! Files that are not there, or cannot be had.
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use cronkeep::watch::{MOST_BYTES, Notice, Trouble};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};

use crate::harness::{AFTER, BEFORE, SOON, Watched, texts};

/// The trouble that `notice` tells of, and whether a last version is kept.
fn trouble(notice: Notice) -> (Trouble, bool) {
    match notice {
        Notice::Degraded { trouble, kept, .. } => (trouble, kept),
        other => panic!("{other}"),
    }
}

fn is_restored(notice: &Notice) -> bool {
    matches!(notice, Notice::Restored { .. })
}

#[tokio::test]
async fn a_file_deleted_and_made_again() {
    let mut watched = Watched::new().await;
    fs::remove_file(&watched.path).unwrap();
    assert_eq!(trouble(watched.expect_notice(SOON).await), (Trouble::Missing, true));
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    assert!(is_restored(&watched.notices[0]));
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_deleted_and_made_again_at_once() {
    let mut watched = Watched::new().await;
    fs::remove_file(&watched.path).unwrap();
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    assert!(watched.notices.is_empty(), "nobody noticed: {:?}", watched.notices);
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_that_comes_back_unchanged_is_no_change() {
    let mut watched = Watched::new().await;
    let away = watched.home().join("away");
    fs::rename(&watched.path, &away).unwrap();
    assert_eq!(trouble(watched.expect_notice(SOON).await), (Trouble::Missing, true));
    fs::rename(&away, &watched.path).unwrap();
    assert!(is_restored(&watched.expect_notice(SOON).await));
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_that_does_not_exist_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut watched = Watched::on(&folder.path().join("crontab"));
    watched.expect_start(&[]).await;
    assert_eq!(trouble(watched.notices.remove(0)), (Trouble::Missing, false));
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn missing_directories_are_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut watched = Watched::on(&folder.path().join("not/there/yet/crontab"));
    watched.expect_start(&[]).await;
    fs::create_dir_all(watched.home()).unwrap();
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn directories_that_come_one_by_one_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let mut watched = Watched::on(&folder.path().join("a/b/crontab"));
    watched.expect_start(&[]).await;
    for name in ["a", "a/b"] {
        let looks = watched.watcher.looks();
        fs::create_dir(folder.path().join(name)).unwrap();
        watched.expect_look(looks).await;
    }
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_directory_deleted_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("crontab"), BEFORE).unwrap();
    let mut watched = Watched::on(&home.join("crontab"));
    watched.expect_start(&[BEFORE]).await;
    fs::remove_dir_all(&home).unwrap();
    assert_eq!(trouble(watched.expect_notice(SOON).await), (Trouble::Missing, true));
    fs::create_dir(&home).unwrap();
    fs::write(home.join("crontab"), AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_link_to_nowhere_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    symlink("later/table", folder.path().join("crontab")).unwrap();
    let mut watched = Watched::on(&folder.path().join("crontab"));
    watched.expect_start(&[]).await;
    fs::create_dir(folder.path().join("later")).unwrap();
    fs::write(folder.path().join("later/table"), AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn an_emptied_file_counts_after_two_seconds() {
    let mut watched = Watched::new().await;
    let begun = tokio::time::Instant::now();
    fs::write(&watched.path, "").unwrap();
    let change = watched.change_within(Duration::from_secs(4)).await;
    assert!(texts(&change)[0].is_empty());
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn what_is_no_regular_file_is_refused_and_never_opened() {
    let mut watched = Watched::new().await;
    fs::remove_file(&watched.path).unwrap();
    mkfifo(&watched.path, Mode::S_IRWXU).unwrap();
    let refused = (Trouble::NotRegular("a named pipe"), true);
    assert_eq!(trouble(watched.expect_notice(SOON).await), refused);
    fs::remove_file(&watched.path).unwrap();
    fs::create_dir(&watched.path).unwrap();
    let refused = (Trouble::NotRegular("a directory"), true);
    assert_eq!(trouble(watched.expect_notice(SOON).await), refused);
    fs::remove_dir(&watched.path).unwrap();
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused() {
    let mut watched = Watched::new().await;
    File::options().write(true).open(&watched.path).unwrap().set_len(MOST_BYTES + 1).unwrap();
    let refused = (Trouble::TooLarge(MOST_BYTES + 1), true);
    assert_eq!(trouble(watched.expect_notice(SOON).await), refused);
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_that_may_not_be_read_keeps_its_last_version() {
    if Uid::effective().is_root() {
        eprintln!("skipped here: root may read everything; runs as another user in `isolation`");
        return;
    }
    unreadable().await;
}

/// The body of the test above.
pub(crate) async fn unreadable() {
    let mut watched = Watched::new().await;
    fs::set_permissions(&watched.path, Permissions::from_mode(0o000)).unwrap();
    let refused = (Trouble::Unreadable("permission denied".to_owned()), true);
    // The stamp alone changed; the look finds that it cannot read.
    assert_eq!(trouble(watched.expect_notice(SOON).await), refused);
    fs::set_permissions(&watched.path, Permissions::from_mode(0o644)).unwrap();
    assert!(is_restored(&watched.expect_notice(SOON).await));
    watched.expect_only_sentinel().await;
}
