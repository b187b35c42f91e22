//! What runs from memory, since its file may not be written, outlives edits of that file and restarts.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::told;
use crate::harness::{PATIENCE, Running};
use crate::world::{ADDED, IMAGE, World, jobs};

const FIVE: &str = "0 5 1 1 * true five\n";
const SIX: &str = "0 6 1 1 * true six\n";

fn edited() -> String {
    format!("{IMAGE}{ADDED}")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A world whose store has an edit that its new container lacks and may not write, for either reason.
fn worlds() -> [World; 2] {
    [false, true].map(|is_link| {
        let world = World::new(IMAGE);
        world.live_and_edit(&edited());
        world.renew(IMAGE);
        if is_link {
            fs::rename(world.path("crontab"), world.path("target")).unwrap();
            symlink("target", world.path("crontab")).unwrap();
        } else {
            set_mode(world.folder(), 0o770);
        }
        world
    })
}

/// The commands of the jobs in force, in order.
fn in_force(crond: &Running) -> Vec<String> {
    let list = told(crond, &["list", "--json"]);
    let word = |line: &str| {
        let job: serde_json::Value = serde_json::from_str(line).unwrap();
        job["command"].as_str().unwrap().to_owned()
    };
    let mut words: Vec<String> = list.lines().map(word).collect();
    words.sort();
    words
}

/// Saves the text and waits until so many jobs are in force.
fn edit(world: &World, crond: &mut Running, text: &str, jobs: u64) {
    fs::write(world.path("crontab"), text).unwrap();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == jobs);
}

/// A life in which nothing happens, that puts so many jobs in force and leaves all as it was.
fn live_on(world: &World, count: u64) {
    let (file, stored) = (world.text(), world.stored());
    let events = world.live();
    assert_eq!(jobs(&events), count, "{events:#?}");
    assert_eq!(world.text(), file);
    assert_eq!(world.stored()["text"], stored["text"]);
}

#[test]
fn an_edit_is_merged_with_what_runs_from_memory() {
    for world in worlds() {
        let mut crond = world.start();
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}"), 4);
        assert_eq!(in_force(&crond), ["true five", "true one", "true three", "true two"]);
        let health = told(&crond, &["health"]);
        assert!(health.contains("from memory"), "{health}");
        crond.stop();
        assert_eq!(world.text(), format!("{IMAGE}{FIVE}"));
        assert_eq!(world.stored()["text"], format!("{IMAGE}{FIVE}{ADDED}"));
        live_on(&world, 4);
        live_on(&world, 4);
    }
}

#[test]
fn what_is_removed_again_stays_away_and_what_runs_from_memory_stays() {
    for world in worlds() {
        let mut crond = world.start();
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}{SIX}"), 5);
        edit(&world, &mut crond, &format!("{IMAGE}{SIX}"), 4);
        assert_eq!(in_force(&crond), ["true one", "true six", "true three", "true two"]);
        crond.stop();
        live_on(&world, 4);
        // Also what is removed while nobody looks, or after a restart.
        fs::write(world.path("crontab"), IMAGE).unwrap();
        live_on_after_edit(&world, 3);
        let mut crond = world.start();
        edit(&world, &mut crond, "0 2 1 1 * true two\n", 2);
        assert_eq!(in_force(&crond), ["true three", "true two"]);
        crond.stop();
        live_on(&world, 2);
    }
}

fn live_on_after_edit(world: &World, count: u64) {
    let events = world.live();
    assert_eq!(jobs(&events), count, "{events:#?}");
    live_on(world, count);
}

#[test]
fn what_the_file_takes_over_is_its_own_to_remove() {
    for world in worlds() {
        let mut crond = world.start();
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}"), 4);
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}{ADDED}"), 4);
        let deadline = Instant::now() + PATIENCE;
        while told(&crond, &["health"]) != "healthy\n" {
            assert!(Instant::now() < deadline, "{}", told(&crond, &["health"]));
            std::thread::park_timeout(Duration::from_millis(20));
        }
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}"), 3);
        crond.stop();
        live_on(&world, 3);
    }
}

#[test]
fn an_edit_that_is_refused_as_a_whole_leaves_what_runs_from_memory() {
    for world in worlds().map(|world| world.with("--strict")) {
        let mut crond = world.start();
        fs::write(world.path("crontab"), format!("{FIVE}nonsense\n")).unwrap();
        crond.expect("crontab.rejected");
        assert_eq!(in_force(&crond), ["true one", "true three", "true two"]);
        edit(&world, &mut crond, &format!("{IMAGE}{FIVE}"), 4);
        crond.stop();
        live_on(&world, 4);
    }
}

#[test]
fn a_file_that_is_emptied_has_no_jobs_from_memory_either() {
    for world in worlds() {
        let mut crond = world.start();
        edit(&world, &mut crond, "", 0);
        crond.stop();
        assert_eq!(world.stored()["text"], "");
        live_on(&world, 0);
    }
}

#[test]
fn what_ran_from_memory_is_written_once_the_file_may_be() {
    let [world, _] = worlds();
    let mut crond = world.start();
    edit(&world, &mut crond, &format!("{IMAGE}{FIVE}"), 4);
    edit(&world, &mut crond, &format!("{IMAGE}{SIX}"), 4);
    crond.stop();
    set_mode(world.folder(), 0o700);
    let events = world.live();
    assert_eq!(jobs(&events), 4);
    assert_eq!(world.text(), format!("{IMAGE}{SIX}{ADDED}"));
    live_on(&world, 4);
}

#[test]
fn an_edit_without_a_marker_is_merged_with_what_runs_from_memory() {
    // On another device than the crontab's, the state directory has no marker for it either.
    let state = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    let [world, _] = worlds();
    assert_ne!(device(state.path()), device(world.folder()), "two file systems are needed");
    let mut copy = std::process::Command::new("cp");
    let status = copy.arg("-a").arg(world.path("state/.")).arg(state.path()).status().unwrap();
    assert!(status.success());
    let start = || world.crond().env("CRONKEEP_STATE_DIR", state.path().as_os_str()).start();
    let mut crond = start();
    assert_eq!(in_force(&crond), ["true one", "true three", "true two"]);
    edit(&world, &mut crond, &format!("{IMAGE}{FIVE}{SIX}"), 5);
    edit(&world, &mut crond, &format!("{IMAGE}{SIX}"), 4);
    crond.stop();
    assert!(!world.names().iter().any(|name| name.contains("cronkeep")), "{:?}", world.names());
    let crond = start();
    assert_eq!(in_force(&crond), ["true one", "true six", "true three", "true two"]);
    crond.stop();
}

#[test]
fn a_file_that_is_removed_from_its_directory_takes_its_jobs_from_memory_along() {
    let world = World::new("");
    fs::remove_file(world.path("crontab")).unwrap();
    fs::create_dir(world.path("jobs")).unwrap();
    let world = world.with("{dir}/jobs");
    let file = world.path("jobs/a");
    fs::write(&file, IMAGE).unwrap();
    let mut crond = world.start();
    fs::write(&file, edited()).unwrap();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == 3);
    crond.stop();
    // A new container.
    fs::remove_dir_all(world.path("jobs")).unwrap();
    fs::create_dir(world.path("jobs")).unwrap();
    fs::write(&file, IMAGE).unwrap();
    set_mode(&world.path("jobs"), 0o770);
    let mut crond = world.start();
    assert_eq!(in_force(&crond), ["true one", "true three", "true two"]);
    fs::remove_file(&file).unwrap();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == 0);
    crond.stop();
    assert_eq!(jobs(&world.live()), 0);
}
