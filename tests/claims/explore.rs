//! Everything that can happen with two or three replicas and two fires: each state is visited once.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use cronkeep::store::claim::Board;

use super::model::{Budget, TICK, World};

/// What was found.
struct Found {
    states: usize,
    /// States that are judged: where nothing more can happen but that all goes on.
    ends: usize,
    /// Of a fire that was started twice.
    double: Option<World>,
    /// Of a fire that was neither started nor listed, though everybody went on.
    forgotten: Option<World>,
    overtaken: usize,
}

/// Visits all states from here up to a time, until a double is found.
fn explore(first: World, until: i64) -> Found {
    let hasher = RandomState::new();
    let mut seen = HashSet::from([hasher.hash_one(&first)]);
    let mut next = VecDeque::from([first]);
    let mut found = Found { states: 0, ends: 0, double: None, forgotten: None, overtaken: 0 };
    while let Some(world) = next.pop_front() {
        found.states += 1;
        if world.started.iter().any(|count| *count > 1) {
            found.double = Some(world);
            return found;
        }
        if world.now >= until {
            found.ends += 1;
            let end = world.clone().settle();
            if end.started.iter().any(|count| *count > 1) {
                found.double = Some(end);
                return found;
            }
            let is_told = |fire: usize| end.started[fire] > 0 || end.listed[fire];
            if !(0..end.started.len()).all(is_told) {
                found.forgotten.get_or_insert(end.clone());
            }
            if world.started != end.started {
                found.overtaken += 1;
            }
            continue;
        }
        for world in steps(&world) {
            if seen.insert(hasher.hash_one(&world)) {
                next.push_back(world);
            }
        }
    }
    found
}

/// All that can happen next.
fn steps(world: &World) -> Vec<World> {
    let mut all = Vec::new();
    let mut step = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        all.push(world);
    };
    let budget = world.budget;
    for (place, replica) in world.replicas.iter().enumerate() {
        if !replica.is_up && budget.launches > 0 {
            step(&|world| {
                world.budget.launches -= 1;
                world.launch(place);
            });
        }
        if replica.is_stopped {
            step(&|world| world.replicas[place].is_stopped = false);
        }
        if !replica.is_running() {
            continue;
        }
        if !replica.has_beaten {
            step(&|world| world.beat(place));
        }
        let [claims, starts] = replica.wants(world.now);
        if claims {
            step(&|world| world.claim(place));
        }
        if starts {
            step(&|world| world.start(place));
        }
        if budget.kills > 0 {
            step(&|world| {
                world.budget.kills -= 1;
                world.kill(place);
            });
        }
        if budget.stops > 0 {
            step(&|world| {
                world.budget.stops -= 1;
                world.replicas[place].is_stopped = true;
            });
        }
    }
    if budget.restarts > 0 {
        step(&|world| {
            world.budget.restarts -= 1;
            world.restart(true);
        });
    }
    if budget.losses > 0 {
        step(&|world| {
            world.budget.losses -= 1;
            world.restart(false);
        });
    }
    // Who runs beats in time; who does not is stopped.
    if world.replicas.iter().all(|replica| !replica.is_running() || replica.has_beaten) {
        step(&World::tick);
    }
    all
}

/// Explores, and fails on a double or a fire that is forgotten.
fn check(skews: &[i64], budget: Budget, until: i64) {
    let found = explore(World::new(Board::default(), skews, budget), until * TICK);
    println!("{skews:?} {budget:?}: {} states, {} ends", found.states, found.ends);
    if let Some(world) = found.double {
        panic!("started twice {:?}: {world:#?}", world.tell());
    }
    if let Some(world) = found.forgotten {
        panic!("neither started nor listed {:?}: {world:#?}", world.tell());
    }
    assert!(found.ends > 100 && found.overtaken > 0, "too little was explored");
}

#[test]
fn two_replicas_that_are_killed_and_stopped_start_each_fire_once() {
    check(&[0, 0], Budget { kills: 1, launches: 1, stops: 1, ..Budget::default() }, 4);
}

#[test]
fn two_replicas_whose_clocks_differ_start_each_fire_once() {
    check(&[TICK, -TICK], Budget { kills: 1, stops: 1, ..Budget::default() }, 4);
}

#[test]
fn a_server_that_restarts_doubles_nothing() {
    check(&[0, TICK], Budget { restarts: 1, stops: 1, ..Budget::default() }, 4);
}

#[test]
fn a_server_that_loses_everything_doubles_nothing_while_all_replicas_live() {
    check(&[0, TICK], Budget { losses: 2, ..Budget::default() }, 4);
}

#[test]
fn three_replicas_start_each_fire_once() {
    check(&[0, 0, 0], Budget { stops: 1, ..Budget::default() }, 3);
}

#[test]
fn without_the_second_comparison_a_double_is_found() {
    let budget = Budget { stops: 1, ..Budget::default() };
    let found = explore(World::new(Board::careless(), &[0, 0], budget), 6 * TICK);
    assert!(found.double.is_some(), "{} states", found.states);
}

#[test]
fn that_the_promise_has_a_limit_is_found_too() {
    // A server that loses its data while a replica is stopped: documented, and no more than that.
    let budget = Budget { losses: 1, stops: 1, ..Budget::default() };
    let found = explore(World::new(Board::default(), &[0, 0], budget), 6 * TICK);
    assert!(found.double.is_some(), "{} states", found.states);
}
