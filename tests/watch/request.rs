//! Looks that were asked for.
use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use cronkeep::watch::{Notice, Occasion, Trouble, Watcher};
use tokio::time::{Instant, sleep};

use crate::harness::{AFTER, BEFORE, SOON, Watched, texts};

#[tokio::test]
async fn a_request_is_answered_even_if_nothing_changed() {
    let mut watched = Watched::new().await;
    watched.watcher.reload();
    let change = watched.change_within(SOON).await;
    assert_eq!(change.occasion, Occasion::Reload);
    assert!(change.edits.is_empty());
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_request_does_not_wait_for_quiet() {
    let mut watched = Watched::new().await;
    let mut file = File::create(&watched.path).unwrap();
    file.write_all(AFTER.as_bytes()).unwrap();
    // Still open: unasked, it would be looked at after a second, and told of as an edit.
    watched.watcher.reload();
    let change = watched.change_within(SOON).await;
    assert_eq!(change.occasion, Occasion::Reload);
    assert_eq!(texts(&change), [AFTER]);
    drop(file);
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_change_that_was_found_before_a_request_does_not_answer_it() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    fs::write(&watched.path, AFTER).unwrap();
    // It waits to be taken.
    watched.expect_look(looks).await;
    let asked = watched.watcher.reload();
    let found = watched.change_within(SOON).await;
    assert_eq!((texts(&found), found.reloads), (vec![AFTER], 0));
    let answer = watched.change_within(SOON).await;
    assert_eq!((answer.occasion, answer.reloads), (Occasion::Reload, asked));
    let again = watched.watcher.reload();
    assert_eq!(watched.watcher.reload(), again + 1);
    assert!(watched.change_within(SOON).await.reloads >= again);
    watched.expect_look(looks + 2).await;
}

#[tokio::test]
async fn a_request_before_the_first_report_has_a_report_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crontab");
    fs::write(&path, BEFORE).unwrap();
    let mut watched = Watched::on(&path);
    watched.watcher.reload();
    watched.expect_start(&[BEFORE]).await;
    assert_eq!(watched.change_within(SOON).await.occasion, Occasion::Reload);
}

#[tokio::test]
async fn a_file_that_never_holds_still_is_given_up_and_taken_when_it_does() {
    let mut watched = Watched::new().await;
    let path = watched.path.clone();
    let writer = tokio::spawn(async move {
        let mut file = File::create(&path).unwrap();
        loop {
            file.write_all(b"#\n").unwrap();
            sleep(Duration::from_millis(1)).await;
        }
    });
    let notice = watched.expect_notice(Duration::from_secs(8)).await;
    assert!(matches!(notice, Notice::Degraded { trouble: Trouble::Unsettled, kept: true, .. }));
    writer.abort();
    let _ = writer.await;
    fs::write(&watched.path, AFTER).unwrap();
    let change = watched.change_within(SOON).await;
    assert_eq!(texts(&change), [AFTER]);
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn the_task_ends_with_its_watcher() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let watched = Watched::new().await;
    assert_eq!(tasks(), 1);
    drop(watched);
    let limit = Instant::now() + SOON;
    while tasks() > 0 {
        assert!(Instant::now() < limit, "it still runs");
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_path_that_leads_nowhere_is_an_error() {
    let error = Watcher::start(vec![std::path::PathBuf::new()]).unwrap_err();
    assert_eq!(error.to_string(), "cannot tell where `` is");
}
