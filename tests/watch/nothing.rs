//! What changes no text, and is therefore not reported.
use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use crate::harness::{BEFORE, Watched};

#[tokio::test]
async fn a_touch() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    let file = OpenOptions::new().write(true).open(&watched.path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    watched.expect_look(looks).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_change_of_mode() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    fs::set_permissions(&watched.path, Permissions::from_mode(0o640)).unwrap();
    watched.expect_look(looks).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn the_same_bytes_again() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    fs::write(&watched.path, BEFORE).unwrap();
    watched.expect_look(looks).await;
    let looks = watched.watcher.looks();
    fs::rename(watched.beside("new", BEFORE), &watched.path).unwrap();
    watched.expect_look(looks).await;
    watched.expect_only_sentinel().await;
}

#[tokio::test]
async fn reading_does_not_even_cause_a_look() {
    let mut watched = Watched::new().await;
    let looks = watched.watcher.looks();
    for _ in 0..50 {
        assert_eq!(fs::read_to_string(&watched.path).unwrap(), BEFORE);
        sleep(Duration::from_millis(5)).await;
    }
    watched.expect_only_sentinel().await;
    assert_eq!(watched.watcher.looks(), looks + 1, "for the sentinel alone");
}
