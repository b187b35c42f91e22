//! The tour: an edit in a container outlives it.

use std::fs;

use tempfile::TempDir;

use crate::container::Container;
use crate::engine::engine;
use crate::redis::Redis;

/// What the image brings along.
const IMAGE: &str = "0 0 1 1 * echo of the image\n";

/// Edit in a container, destroy it, start a new one from the image with the same Redis: the edit is back.
#[test]
fn an_edit_in_a_container_is_back_in_the_next_one_of_the_image() {
    let Some(engine) = engine() else { return };
    let Some(redis) = Redis::start() else { return };
    let context = TempDir::new().unwrap();
    fs::write(context.path().join("jobs"), IMAGE).unwrap();
    fs::write(context.path().join("Dockerfile"), "FROM cronkeep:rooted\nCOPY jobs /etc/jobs\n")
        .unwrap();
    let folder = context.path().display().to_string();
    engine.docker(&["build", "--network=none", "--tag", "cronkeep:tour", &folder]);
    let socket = redis.socket();
    let volume = format!("--volume={}:/redis", socket.parent().unwrap().display());
    let start = || {
        let arguments =
            ["--store=unix:///redis/socket", "--namespace=tour", "--format=user", "/etc/jobs"];
        Container::start(&engine, "cronkeep:tour", &[&volume], &arguments, "")
    };
    let first = start();
    first.expect_log("the image's job", |log| log.contains("1 job is in force"));
    first.exec(&["sh", "-c", "echo '* * * * * * echo edited' >> /etc/jobs"]).unwrap();
    first.expect_log("the edited job", |log| log.contains("edited"));
    assert_eq!(first.stop().1, 0, "{}", first.last_lines());
    drop(first);
    let second = start();
    second.expect_log("what came back", |log| log.contains("as it was in an earlier container"));
    second.expect_log("the job that came back", |log| log.contains("] edited"));
    let text = second.exec(&["cat", "/etc/jobs"]).unwrap();
    assert_eq!(text, format!("{IMAGE}* * * * * * echo edited\n"));
    // Stopped and started again it is the same container.
    second.stop();
    second.restart();
    second.expect_log("both jobs again", |log| log.matches("2 jobs are in force").count() == 2);
    assert_eq!(second.exec(&["cat", "/etc/jobs"]).unwrap(), text);
}
