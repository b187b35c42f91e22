//! What a recovery may write, how, and what runs from memory where it may not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::client::told;
use crate::harness::Running;
use crate::world::{ADDED, IMAGE, World, jobs, loads, was_told};

fn edited() -> String {
    format!("{IMAGE}{ADDED}")
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped: only root can mount and give files away");
    }
    root
}

/// A world whose store has an edit that its new container lacks.
fn with_an_edit() -> World {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    world
}

/// The recovered jobs run, the file is as it was, and somebody should look at it.
fn runs_from_memory(world: &World, file: &str, reason: &str) -> Running {
    let mut crond = world.start();
    let events = crond.seen();
    assert_eq!((loads(&events), jobs(&events)), (1, 3), "{events:#?}");
    assert_eq!(world.text(), file);
    assert!(was_told(&events, reason), "{events:#?}");
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded") && health.contains("from memory"), "{health}");
    crond
}

#[test]
fn a_private_crontab_behind_a_link_comes_back_private() {
    let world = World::new(IMAGE);
    fs::remove_file(world.path("crontab")).unwrap();
    fs::write(world.path("private"), IMAGE).unwrap();
    set_mode(&world.path("private"), 0o600);
    symlink("private", world.path("crontab")).unwrap();
    world.live();
    assert_eq!(world.stored()["mode"], "0600");
    // A new container has neither link nor target.
    world.renew(IMAGE);
    for name in ["crontab", "private"] {
        fs::remove_file(world.path(name)).unwrap();
    }
    world.live();
    let found = fs::symlink_metadata(world.path("crontab")).unwrap();
    assert_eq!((world.text(), found.mode() & 0o7777), (IMAGE.to_owned(), 0o600));
}

#[test]
fn mode_and_owner_stay_and_those_of_a_missing_file_come_back() {
    if !is_root() {
        return;
    }
    let world = World::new(IMAGE);
    set_mode(&world.path("crontab"), 0o640);
    std::os::unix::fs::chown(world.path("crontab"), None, Some(4)).unwrap();
    let mut crond = world.start();
    fs::write(world.path("crontab"), edited()).unwrap();
    crond.expect("crontab.loaded");
    crond.stop();
    world.renew(IMAGE);
    set_mode(&world.path("crontab"), 0o600);
    world.live();
    let found = fs::metadata(world.path("crontab")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o600, 0));
    world.renew(IMAGE);
    fs::remove_file(world.path("crontab")).unwrap();
    world.live();
    let found = fs::metadata(world.path("crontab")).unwrap();
    assert_eq!((world.text(), found.mode() & 0o7777), (edited(), 0o600));
}

#[test]
fn in_a_directory_that_others_may_write_to_nothing_is_written() {
    let world = with_an_edit();
    set_mode(world.folder(), 0o770);
    let crond = runs_from_memory(&world, IMAGE, "others than its owner may write to its directory");
    crond.stop();
    assert_eq!(world.names(), ["crontab"], "no marker either");
    assert_eq!(world.stored()["text"], edited());
    set_mode(world.folder(), 0o700);
    world.live();
    assert_eq!(world.text(), edited());
}

#[test]
fn a_file_that_others_may_write_to_is_left_alone_until_somebody_edits_it() {
    let world = with_an_edit();
    set_mode(&world.path("crontab"), 0o664);
    let mut crond = runs_from_memory(&world, IMAGE, "others than its owner may write to it");
    // The file is the truth as soon as somebody says something with it.
    fs::write(world.path("crontab"), ADDED).unwrap();
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["jobs"], 1);
    crond.stop();
}

#[test]
fn a_reload_does_not_take_back_what_runs_from_memory() {
    let world = with_an_edit();
    set_mode(&world.path("crontab"), 0o664);
    let mut crond = runs_from_memory(&world, IMAGE, "others than its owner may write to it");
    told(&crond, &["reload"]);
    let loaded = crond.expect("crontab.loaded");
    assert_eq!(loaded["jobs"], 3);
    crond.stop();
}

#[test]
fn a_crontab_that_is_a_link_is_not_written_through() {
    let world = with_an_edit();
    fs::rename(world.path("crontab"), world.path("target")).unwrap();
    symlink("target", world.path("crontab")).unwrap();
    let crond = runs_from_memory(&world, IMAGE, "symbolic link");
    crond.stop();
    assert_eq!(fs::read_to_string(world.path("target")).unwrap(), IMAGE);
}

#[test]
fn links_in_the_place_of_draft_and_marker_are_not_followed() {
    let world = with_an_edit();
    let victim = world.path("victim");
    fs::write(&victim, "precious").unwrap();
    for name in [".crontab.cronkeep", ".crontab.cronkeep.new"] {
        symlink(&victim, world.path(name)).unwrap();
    }
    world.live();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(world.text(), edited());
    assert_eq!(world.names(), [".crontab.cronkeep", "crontab", "victim"]);
    assert!(!fs::symlink_metadata(world.path(".crontab.cronkeep")).unwrap().is_symlink());
}

#[test]
fn a_marker_that_others_may_write_to_counts_as_none() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    let instance = world.marker()["instance"].clone();
    set_mode(&world.path(".crontab.cronkeep"), 0o666);
    world.live();
    assert_ne!(world.marker()["instance"], instance);
    let mode = fs::metadata(world.path(".crontab.cronkeep")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// A mount of its own is what Docker and Kubernetes make of a single file.
#[test]
fn a_file_on_a_mount_of_its_own_is_the_truth_and_filled_only_where_it_is_empty() {
    if !is_root() {
        return;
    }
    let world = with_an_edit();
    fs::write(world.path("outside"), IMAGE).unwrap();
    let mount = "mount --bind outside crontab && exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"];
    let live = || world.crond().under(&unshare).start().stop();
    let outside = || fs::read_to_string(world.path("outside")).unwrap();
    let events = live();
    assert_eq!((outside(), jobs(&events)), (IMAGE.to_owned(), 2));
    assert_eq!(world.stored()["text"], IMAGE);
    let inode = fs::metadata(world.path("outside")).unwrap().ino();
    world.live_and_edit(&edited());
    world.renew("");
    fs::write(world.path("outside"), "").unwrap();
    let events = live();
    assert_eq!((outside(), jobs(&events)), (edited(), 3), "{events:#?}");
    assert_eq!(fs::metadata(world.path("outside")).unwrap().ino(), inode, "written in place");
    assert!(!world.path(".crontab.cronkeep.pending").exists());
    // Merged all the same, if somebody says so.
    world.renew("");
    let other = format!("{IMAGE}0 5 1 1 * true five\n");
    fs::write(world.path("outside"), &other).unwrap();
    let events = world.crond().arg("--recover=merge").under(&unshare).start().stop();
    assert_eq!((outside(), jobs(&events)), (format!("{other}{ADDED}"), 4));
}

#[test]
fn on_a_file_system_that_is_only_read_the_file_is_the_truth_and_a_missing_one_runs_from_memory() {
    if !is_root() {
        return;
    }
    let world = World::new(IMAGE);
    fs::remove_file(world.path("crontab")).unwrap();
    fs::create_dir(world.path("etc")).unwrap();
    let world = world.with("{dir}/etc/tab");
    let tab = world.path("etc/tab");
    fs::write(&tab, IMAGE).unwrap();
    let mut crond = world.start();
    fs::write(&tab, edited()).unwrap();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == 3);
    crond.stop();
    let renew = |text: &str| {
        fs::remove_dir_all(world.path("etc")).unwrap();
        fs::create_dir(world.path("etc")).unwrap();
        fs::write(&tab, text).unwrap();
    };
    let script = "mount --bind etc etc && mount -o remount,bind,ro etc && exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    renew(IMAGE);
    fs::remove_file(&tab).unwrap();
    let events = world.crond().under(&unshare).start().stop();
    assert_eq!(jobs(&events), 3, "{events:#?}");
    assert!(was_told(&events, "read-only file system"), "{events:#?}");
    assert!(!tab.exists());
    renew(IMAGE);
    let events = world.crond().under(&unshare).start().stop();
    assert_eq!(jobs(&events), 2, "{events:#?}");
}
