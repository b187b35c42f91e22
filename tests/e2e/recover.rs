//! The crontab comes back: every case of a recovery, with the real daemon and a store in a file.

use std::fs;
use std::process::Command;

use crate::client::told;
use crate::harness::Crond;
use crate::world::{ADDED, IMAGE, World, jobs, loads, state_of, was_told};

fn edited() -> String {
    format!("{IMAGE}{ADDED}")
}

#[test]
fn an_edit_outlives_its_container_and_is_loaded_once() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    let events = world.live();
    assert_eq!(world.text(), edited());
    assert_eq!((loads(&events), jobs(&events)), (1, 3), "{events:#?}");
    assert!(was_told(&events, "recovered as it was in an earlier container"), "{events:#?}");
}

#[test]
fn the_first_start_keeps_what_the_image_brought_along() {
    let world = World::new(IMAGE);
    let before = state_of(&world.path("crontab"));
    world.live();
    assert_eq!(state_of(&world.path("crontab")), before);
    let stored = world.stored();
    assert_eq!((&stored["text"], &stored["base"]), (&IMAGE.into(), &IMAGE.into()));
    assert_eq!(stored["instances"].as_array().unwrap().len(), 1);
    assert_eq!(world.marker()["first"], IMAGE);
    assert_eq!(world.marker()["common"], IMAGE);
}

#[test]
fn three_restarts_leave_every_byte_as_it_was() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    world.live();
    let files = ["crontab", ".crontab.cronkeep"].map(|name| world.path(name));
    let before = files.clone().map(|path| (state_of(&path), fs::read(&path).unwrap()));
    let stored = world.stored();
    for _ in 0..3 {
        world.live();
        assert_eq!(files.clone().map(|path| (state_of(&path), fs::read(&path).unwrap())), before);
        assert_eq!(world.stored(), stored);
    }
    assert_eq!(world.names(), [".crontab.cronkeep", "crontab"]);
}

#[test]
fn a_later_image_and_an_earlier_edit_are_merged() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    let later = IMAGE.replace("true one", "true first") + "0 4 1 1 * true four\n";
    world.renew(&later);
    let events = world.live();
    let merged = format!("{later}{ADDED}");
    assert_eq!(world.text(), merged);
    assert_eq!(jobs(&events), 4);
    assert_eq!(world.stored()["base"], later);
    // The next container of that image has the same.
    world.renew(&later);
    world.live();
    assert_eq!(world.text(), merged);
}

#[test]
fn a_job_that_was_removed_stays_away() {
    let world = World::new(IMAGE);
    world.live_and_edit("# the image's\n0 1 1 1 * true one\n");
    let later = format!("{IMAGE}0 4 1 1 * true four\n");
    world.renew(&later);
    let events = world.live();
    // The line between keeps the comment from being the next job's.
    assert_eq!(world.text(), later.replace("0 2 1 1 * true two", "# 0 2 1 1 * true two\n"));
    assert_eq!(jobs(&events), 2);
}

#[test]
fn what_was_edited_while_no_daemon_ran_is_the_truth_of_the_same_container() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.write(IMAGE);
    world.live();
    assert_eq!(world.text(), IMAGE);
    assert_eq!(world.stored()["text"], IMAGE);
    world.renew(IMAGE);
    world.live();
    assert_eq!(world.text(), IMAGE, "what was taken back is not recovered");
}

#[test]
fn an_older_container_that_fell_behind_gets_what_others_added() {
    let world = World::new(IMAGE);
    world.live();
    // Put aside as it stands: docker stop, and later docker start.
    for (from, to) in [("crontab", "aside"), (".crontab.cronkeep", "aside.marker")] {
        fs::rename(world.path(from), world.path(to)).unwrap();
    }
    world.write(IMAGE);
    world.live_and_edit(&edited());
    for (from, to) in [("aside", "crontab"), ("aside.marker", ".crontab.cronkeep")] {
        fs::rename(world.path(from), world.path(to)).unwrap();
    }
    // Meanwhile somebody edits the stopped one, too.
    let own = format!("{IMAGE}0 5 1 1 * true five\n");
    world.write(&own);
    world.live();
    assert_eq!(world.text(), format!("{own}{ADDED}"));
    assert_eq!(world.stored()["base"], IMAGE);
}

/// docker commit, COPY, a restored backup: the marker tells of another container.
#[test]
fn a_marker_that_was_copied_counts_as_none() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    let instance = world.marker()["instance"].clone();
    for name in ["crontab", ".crontab.cronkeep"] {
        let mut copy = Command::new("cp");
        let status = copy.arg("-a").arg(world.path(name)).arg(world.path("copy")).status();
        assert!(status.unwrap().success());
        fs::rename(world.path("copy"), world.path(name)).unwrap();
    }
    world.write(IMAGE);
    world.live();
    // It is an image now, with another text: what the snapshot has more is merged in.
    assert_eq!(world.text(), edited());
    assert_ne!(world.marker()["instance"], instance);
    assert_eq!(world.marker()["first"], IMAGE);
}

#[test]
fn a_named_crontab_that_is_missing_comes_back() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    fs::remove_file(world.path("crontab")).unwrap();
    let events = world.live();
    assert_eq!((world.text(), jobs(&events)), (edited(), 3));
    world.renew("");
    fs::remove_file(world.path("crontab")).unwrap();
    world.live();
    assert_eq!(world.text(), edited());
}

#[test]
fn an_empty_crontab_is_filled_in_a_new_container_and_stays_empty_in_the_same() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.renew("");
    world.live();
    assert_eq!(world.text(), edited());
    world.write("");
    let events = world.live();
    assert_eq!((world.text(), jobs(&events)), (String::new(), 0));
    assert_eq!(world.stored()["text"], "");
}

#[test]
fn a_file_that_was_removed_from_a_directory_stays_away_and_one_that_is_missing_comes_back() {
    let world = World::new("");
    fs::remove_file(world.path("crontab")).unwrap();
    fs::create_dir(world.path("jobs")).unwrap();
    let world = world.with("{dir}/jobs");
    let image = || {
        fs::remove_dir_all(world.path("jobs")).unwrap();
        fs::create_dir(world.path("jobs")).unwrap();
        for name in ["a", "b"] {
            fs::write(world.path("jobs").join(name), IMAGE).unwrap();
        }
    };
    let text = |name: &str| fs::read_to_string(world.path("jobs").join(name)).ok();
    image();
    let mut crond = world.start();
    fs::write(world.path("jobs/c"), ADDED).unwrap();
    crond.expect("crontab.loaded");
    fs::remove_file(world.path("jobs/a")).unwrap();
    crond.expect("crontab.loaded");
    crond.stop();
    let events = world.live();
    assert_eq!((text("a"), jobs(&events)), (None, 3));
    // A new container has the file again, and its jobs are not.
    image();
    let events = world.live();
    assert!(text("a").unwrap().lines().all(|line| line.is_empty() || line.starts_with('#')));
    assert_eq!((text("c").as_deref(), jobs(&events)), (Some(ADDED), 3));
    // Removed while no daemon ran: that holds.
    fs::remove_file(world.path("jobs/b")).unwrap();
    let events = world.live();
    assert_eq!((text("b"), jobs(&events)), (None, 1));
}

#[test]
fn recover_never_leaves_the_file_and_always_overrules_it() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    world.crond().arg("--recover=never").start().stop();
    assert_eq!(world.text(), IMAGE);
    world.live();
    assert_eq!(world.text(), edited());
    world.write(IMAGE);
    let events = world.crond().arg("--recover=always").start().stop();
    assert_eq!((world.text(), jobs(&events)), (edited(), 3));
    // What is overruled is named, and it is no other container.
    world.write(&format!("{}0 6 1 1 * true six\n", edited()));
    let events = world.crond().arg("--recover=always").start().stop();
    assert_eq!(world.text(), edited());
    for part in ["(--recover always): `0 6 1 1 * true six`", "put back as it was kept last"] {
        assert!(was_told(&events, part), "{part}: {events:#?}");
    }
    assert!(!was_told(&events, "in an earlier container"), "{events:#?}");
}

#[test]
fn recover_never_leaves_what_is_kept_until_somebody_edits_the_file() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    let stored = world.stored();
    world.renew(IMAGE);
    let mut crond = world.crond().arg("--recover=never").start();
    told(&crond, &["reload"]);
    crond.expect("crontab.loaded");
    crond.stop();
    assert_eq!(world.stored(), stored, "nobody has said anything");
    fs::remove_file(world.path("crontab")).unwrap();
    let crond = world.crond().arg("--recover=never").spawn();
    crond.wait_for_socket();
    crond.stop();
    assert_eq!(world.stored(), stored, "nor has a file that is missing");
    world.write(IMAGE);
    let own = format!("{IMAGE}0 5 1 1 * true five\n");
    let mut crond = world.crond().arg("--recover=never").start();
    world.write(&own);
    crond.expect("crontab.loaded");
    crond.stop();
    assert_eq!(world.stored()["text"], own, "what was edited is what holds");
    world.live();
    assert_eq!(world.text(), own);
    // It is the same container, and the file goes on being the truth in the next.
    world.renew(IMAGE);
    world.live();
    assert_eq!(world.text(), own);
}

#[test]
fn a_store_that_is_away_at_the_start_is_recovered_from_when_it_is_back() {
    let world = World::new(IMAGE).with("--store=sqlite:{dir}/state/elsewhere/it.db");
    fs::create_dir_all(world.path("state/elsewhere")).unwrap();
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    let (there, away) = (world.path("state/elsewhere"), world.path("state/away"));
    fs::rename(&there, &away).unwrap();
    fs::write(&there, "in its way").unwrap();
    let mut crond = world.start();
    assert_eq!(world.text(), IMAGE, "nothing can be recovered yet");
    let status = told(&crond, &["health"]);
    assert!(status.contains("is away"), "{status}");
    // What the container brought along is known before anybody edits it.
    let own = format!("{IMAGE}0 5 1 1 * true five\n");
    world.write(&own);
    crond.expect("crontab.loaded");
    assert_eq!(world.marker()["first"], IMAGE);
    fs::remove_file(&there).unwrap();
    fs::rename(&away, &there).unwrap();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == 4);
    assert_eq!(world.text(), format!("{own}{ADDED}"));
    crond.stop();
    assert_eq!(world.stored()["text"], format!("{own}{ADDED}"));
    assert_eq!(world.stored()["base"], IMAGE);
}

#[test]
fn the_second_daemon_on_a_store_says_who_has_it_and_ends() {
    let world = World::new(IMAGE);
    let crond = world.start();
    let store = format!("--store=sqlite:{}", world.path("state/cronkeep.db").display());
    let other = Crond::new().crontab("").arg(&store).spawn();
    let (status, events) = other.wait();
    assert_eq!(status.code(), Some(1));
    let has = format!("the daemon with pid {} has the store ", crond.pid());
    let says =
        |event: &serde_json::Value| event["raw"].as_str().is_some_and(|text| text.contains(&has));
    assert!(events.iter().any(says), "{events:#?}");
    crond.stop();
}

#[test]
fn with_a_key_what_is_not_signed_or_was_put_back_is_refused() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    fs::write(world.path("state/key"), "a key that nobody knows").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(world.path("state/key"), mode).unwrap();
    let world = world.with("--store-key={dir}/state/key");
    world.renew(IMAGE);
    let events = world.live();
    assert_eq!(world.text(), IMAGE, "it was not signed");
    assert!(was_told(&events, "not signed"), "{events:#?}");
    // It is left as it is until somebody decides.
    assert_eq!(
        (&world.stored()["signed"], &world.stored()["text"]),
        (&false.into(), &edited().into())
    );
    assert!(world.snapshot(&["forget"]).status.success());
    world.live_and_edit(&edited());
    assert_eq!(world.stored()["signed"], true);
    let old = world.store();
    world.renew(IMAGE);
    world.live();
    assert_eq!(world.text(), edited());
    // Somebody puts back what was there before.
    world.live_and_edit(IMAGE);
    world.put_back(&old);
    world.renew(IMAGE);
    let events = world.live();
    assert_eq!(world.text(), IMAGE);
    assert!(was_told(&events, "was here before"), "{events:#?}");
}

#[test]
fn a_snapshot_is_shown_compared_and_forgotten() {
    let world = World::new(IMAGE);
    let none = world.snapshot(&["show"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    world.live_and_edit(&edited());
    let shown = String::from_utf8(world.snapshot(&["show"]).stdout).unwrap();
    assert!(shown.contains("    0 3 1 1 * true three\n"), "{shown}");
    assert!(shown.contains("the image brought along") && shown.contains("version 2"), "{shown}");
    let same = world.snapshot(&["diff"]);
    assert!(same.status.success() && same.stdout.is_empty(), "{same:?}");
    world.write(IMAGE);
    let diff = world.snapshot(&["diff", "crontab"]);
    assert_eq!(diff.status.code(), Some(1));
    let text = String::from_utf8(diff.stdout).unwrap();
    assert!(text.ends_with("\n 0 2 1 1 * true two\n-0 3 1 1 * true three\n"), "{text}");
    let forgot = world.snapshot(&["forget", "--json"]);
    let object: serde_json::Value = serde_json::from_slice(&forgot.stdout).unwrap();
    assert_eq!(object["removed"], serde_json::json!([world.path("crontab")]));
    world.renew(IMAGE);
    world.live();
    assert_eq!(world.text(), IMAGE, "there is nothing to be recovered");
}

#[test]
fn what_is_forgotten_beside_a_daemon_is_kept_anew_with_the_next_edit() {
    let world = World::new(IMAGE);
    let mut crond = world.start();
    // The crontab is in force before it is kept.
    world.expect_stored(IMAGE);
    let output = world.snapshot(&["forget"]);
    assert!(output.status.success(), "{output:?}");
    world.write(&edited());
    crond.expect("crontab.loaded");
    crond.stop();
    assert_eq!(world.stored()["text"], edited());
    assert_eq!(world.stored()["base"], IMAGE);
}
