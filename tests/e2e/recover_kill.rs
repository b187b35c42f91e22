//! A recovery that is killed between any two of its steps leaves the old or the new, and the next one completes it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;

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
