//! A recovery that is killed between any two of its steps leaves the old or the new, and the next one completes it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use crate::world::{ADDED, IMAGE, World};

/// More steps than there are.
const STEPS: usize = 64;

/// Lives of new containers, each killed at its next step, until one lives; `prepare` makes the container.
fn kill_at_each_step(world: &World, prepare: impl Fn(), check: impl Fn(usize)) -> usize {
    for step in 0..STEPS {
        prepare();
        let fault = format!("recover-kill-at-{step}");
        let mut crond = world.crond().env("CRONKEEP_TEST_FAULT", fault).spawn();
        if let Some(events) = crond.until_loaded_or_killed() {
            assert!(!events.is_empty());
            // It may still be killed while it writes its marker.
            crond.signal(nix::sys::signal::Signal::SIGTERM);
        }
        let (status, events) = crond.wait();
        check(step);
        match status.signal() {
            Some(9) => {}
            None => return step,
            other => panic!("{other:?}: {events:#?}"),
        }
    }
    panic!("more than {STEPS} steps");
}

#[test]
fn a_recovery_that_is_killed_at_any_step_loses_nothing() {
    let edited = format!("{IMAGE}{ADDED}");
    let later = format!("{IMAGE}0 4 1 1 * true four\n");
    let merged = format!("{later}{ADDED}");
    let world = World::new(IMAGE);
    world.live_and_edit(&edited);
    let store = world.store();
    let prepare = || {
        // The store as it was before, and a new container of a later image.
        world.put_back(&store);
        world.renew(&later);
    };
    let steps = kill_at_each_step(&world, prepare, |step| {
        let text = world.text();
        assert!(text == later || text == merged, "step {step}: {text}");
        // The next start of the same container.
        world.live();
        assert_eq!(world.text(), merged, "step {step}");
        assert_eq!(world.stored()["text"], merged, "step {step}");
        assert_eq!(world.stored()["base"], later, "step {step}");
        assert_eq!(world.names(), [".crontab.cronkeep", "crontab"], "step {step}");
        // And a new one.
        world.renew(&later);
        world.live();
        assert_eq!(world.text(), merged, "step {step}");
    });
    assert!(steps > 10, "{steps} steps were tried");
}

/// What a text says without the job of this line.
fn without(text: &str, line: &str) -> String {
    text.split_inclusive('\n').filter(|other| other.trim_end() != line.trim_end()).collect()
}

#[test]
fn an_edit_after_a_recovery_that_was_killed_at_any_step_is_kept() {
    const TWO: &str = "0 2 1 1 * true two\n";
    let later = format!("{IMAGE}0 4 1 1 * true four\n");
    for (image, gone) in [(IMAGE, ADDED), (IMAGE, TWO), (&later, ADDED), (&later, TWO)] {
        let world = World::new(IMAGE);
        world.live_and_edit(&format!("{IMAGE}{ADDED}"));
        let store = world.store();
        let prepare = || {
            world.put_back(&store);
            world.renew(image);
        };
        let steps = kill_at_each_step(&world, prepare, |step| {
            let found = world.text();
            // Somebody removes a job that is there, whoever has brought it.
            let edited = without(&found, gone);
            world.write(&edited);
            world.live();
            let text = world.text();
            let has = |line: &str| text.lines().any(|other| other == line.trim_end());
            assert_eq!(has(gone), gone == ADDED && !found.contains(ADDED), "step {step}: {text}");
            assert!(gone == ADDED || has(ADDED), "step {step}: {text}");
            assert_eq!(has("0 4 1 1 * true four"), image == later, "step {step}: {text}");
            assert_eq!(world.stored()["text"], text, "step {step}");
            world.live();
            assert_eq!(world.text(), text, "step {step}");
        });
        assert!(steps > 10, "{steps} steps were tried");
    }
}

/// `CRONKEEP_TEST_ROUNDS` says how many containers, `CRONKEEP_TEST_SEED` repeats a run.
#[test]
fn edits_between_lives_that_are_killed_early_are_all_kept() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("CRONKEEP_TEST_ROUNDS").map_or(3, |rounds| (rounds / 10).max(3));
    let mut state = number("CRONKEEP_TEST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("CRONKEEP_TEST_SEED={state}");
    let mut random = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let jobs_of = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| line.starts_with(char::is_numeric));
        lines.map(str::to_owned).collect()
    };
    let world = World::new(IMAGE);
    world.live();
    let (mut count, mut base) = (0, IMAGE.to_owned());
    for round in 0..rounds {
        let mut expected = jobs_of(&world.text());
        let image = if random(2) == 0 {
            IMAGE.to_owned()
        } else {
            format!("{IMAGE}0 4 1 1 * true {round}\n")
        };
        // What the image has and somebody has removed stays away; what it has no more goes.
        let gone: BTreeSet<String> = jobs_of(&base).difference(&expected).cloned().collect();
        expected.retain(|job| !jobs_of(&base).contains(job) || jobs_of(&image).contains(job));
        expected.extend(jobs_of(&image).difference(&gone).cloned());
        world.renew(&image);
        base.clone_from(&image);
        let mut story = vec![format!("image {image:?}, before {expected:?}")];
        for _ in 0..=random(5) {
            let crond = world.crond().spawn();
            let after = random(300);
            std::thread::sleep(Duration::from_millis(after));
            crond.signal(nix::sys::signal::Signal::SIGKILL);
            crond.wait();
            if !world.path(".crontab.cronkeep").exists() {
                // Until then nobody can tell an edit from what the image has brought along.
                continue;
            }
            let found = world.text();
            let jobs: Vec<String> = jobs_of(&found).into_iter().collect();
            let edited = if random(2) == 0 && !jobs.is_empty() {
                let at = usize::try_from(random(jobs.len() as u64)).unwrap();
                expected.remove(&jobs[at]);
                without(&found, &jobs[at])
            } else {
                count += 1;
                expected.insert(format!("1 3 1 1 * true {count}"));
                format!("{found}1 3 1 1 * true {count}\n")
            };
            story.push(format!("killed after {after} ms, {found:?} made {edited:?}"));
            fs::write(world.path("new"), &edited).unwrap();
            fs::rename(world.path("new"), world.path("crontab")).unwrap();
        }
        world.live();
        let text = world.text();
        assert_eq!(jobs_of(&text), expected, "round {round}: {story:#?}");
        assert_eq!(world.stored()["text"], text, "round {round}: {story:#?}");
    }
}

#[test]
fn an_edit_after_a_first_start_that_was_killed_at_any_step_is_kept() {
    let world = World::new(IMAGE);
    let prepare = || {
        if world.path("state").exists() {
            world.put_back(&[]);
        }
        world.renew(IMAGE);
    };
    let edited = format!("{IMAGE}{ADDED}");
    kill_at_each_step(&world, prepare, |step| {
        world.write(&edited);
        let fault = format!("recover-kill-at-{step}");
        let mut crond = world.crond().env("CRONKEEP_TEST_FAULT", fault).spawn();
        if crond.until_loaded_or_killed().is_some() {
            crond.signal(nix::sys::signal::Signal::SIGTERM);
        }
        crond.wait();
        world.write(IMAGE);
        world.live();
        assert_eq!((world.text(), &world.stored()["text"]), (IMAGE.to_owned(), &IMAGE.into()));
        world.write("");
        world.live();
        assert_eq!((world.text(), &world.stored()["text"]), (String::new(), &"".into()));
    });
}

#[test]
fn a_recovery_in_place_that_is_killed_at_any_step_is_completed() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can mount");
    }
    let edited = format!("{IMAGE}{ADDED}");
    let world = World::new(IMAGE);
    world.live_and_edit(&edited);
    let store = world.store();
    let mount = "mount --bind outside crontab && exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"];
    for step in 0..STEPS {
        world.put_back(&store);
        world.renew("");
        fs::write(world.path("outside"), "").unwrap();
        let fault = format!("recover-kill-at-{step}");
        let mut crond = world.crond().under(&unshare).env("CRONKEEP_TEST_FAULT", fault).spawn();
        if crond.until_loaded_or_killed().is_some() {
            crond.signal(nix::sys::signal::Signal::SIGTERM);
        }
        let (status, _) = crond.wait();
        world.crond().under(&unshare).start().stop();
        let outside = fs::read_to_string(world.path("outside")).unwrap();
        assert_eq!(outside, edited, "step {step}");
        assert!(!world.path(".crontab.cronkeep.pending").exists(), "step {step}");
        if status.signal().is_none() {
            assert!(step > 10, "{step} steps were tried");
            return;
        }
    }
    panic!("more than {STEPS} steps");
}
