//! What the store keeps when somebody has the wrong key, spoils it or empties it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::client::{ask, told};
use crate::harness::PATIENCE;
use crate::redis::{Redis, Reply};
use crate::world::{ADDED, IMAGE, World, jobs, was_told};

/// A job that can be run by its name.
const TICK: &str = "# cronkeep: name=tick\n0 1 1 1 * true\n";

fn edited() -> String {
    format!("{IMAGE}{ADDED}")
}

fn with_key(world: World, key: &str) -> World {
    fs::create_dir_all(world.path("state")).unwrap();
    fs::write(world.path("state/key"), key).unwrap();
    fs::set_permissions(world.path("state/key"), Permissions::from_mode(0o600)).unwrap();
    world.with("--store-key={dir}/state/key")
}

fn set_key(world: &World, key: &str) {
    fs::write(world.path("state/key"), key).unwrap();
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// What the store holds, without waiting for it to hold something.
fn kept(world: &World) -> Option<serde_json::Value> {
    let output = world.snapshot(&["show", "--json", "crontab"]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
}

fn keeps(world: &World, text: &str) -> bool {
    kept(world).is_some_and(|kept| kept["text"] == text)
}

#[test]
fn a_wrong_key_destroys_nothing_and_the_right_one_recovers() {
    let world = with_key(World::new(IMAGE), "the key of this world");
    world.live_and_edit(&edited());
    let before = world.stored();
    set_key(&world, "the key of another one");
    world.renew(IMAGE);
    let mut crond = world.start();
    assert_eq!(jobs(&crond.seen()), 2, "the file is the truth meanwhile");
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded") && health.contains("refused"), "{health}");
    let own = format!("{IMAGE}0 5 1 1 * true five\n");
    world.write(&own);
    crond.expect("crontab.loaded");
    let events = crond.stop();
    let is_told = |event: &&serde_json::Value| {
        event["message"].as_str().is_some_and(|text| text.contains("cronkeep snapshot forget"))
    };
    assert_eq!(events.iter().filter(is_told).count(), 1, "{events:#?}");
    assert_eq!(world.stored(), before, "neither text nor base, nor the version");
    set_key(&world, "the key of this world");
    world.live();
    assert_eq!(world.text(), format!("{own}{ADDED}"));
    assert_eq!(world.stored()["base"], IMAGE);
}

#[test]
fn a_daemon_without_the_key_takes_nothing_of_what_was_signed_and_leaves_it_as_it_is() {
    for is_shared in [false, true] {
        let mut world = World::new(IMAGE);
        let redis = if is_shared { Redis::start() } else { None };
        if let Some(redis) = &redis {
            let store = format!("--store={}", redis.url());
            world = world.with(&store).with("--namespace=default");
        } else if is_shared {
            return;
        }
        let world = with_key(world, "the key of this world");
        world.live_and_edit(&edited());
        let before = world.stored();
        world.renew(IMAGE);
        let keyless = world.without("--store-key=");
        let mut crond = keyless.start();
        assert_eq!(jobs(&crond.seen()), 2, "the file is the truth meanwhile");
        let health = told(&crond, &["health"]);
        assert!(health.starts_with("degraded") && health.contains("it is signed"), "{health}");
        let own = format!("{IMAGE}0 5 1 1 * true five\n");
        keyless.write(&own);
        crond.expect("crontab.loaded");
        let events = crond.stop();
        let is_told = |event: &&serde_json::Value| {
            event["message"].as_str().is_some_and(|text| text.contains("with --store-key"))
        };
        assert_eq!(events.iter().filter(is_told).count(), 1, "{events:#?}");
        assert_eq!(world.stored(), before, "neither text nor signature, nor the version");
        // With the key nothing of either is lost.
        world.live();
        assert_eq!(world.text(), format!("{own}{ADDED}"));
        assert_eq!(world.stored()["signed"], true);
        // What is forgotten is in nobody's way.
        assert!(world.snapshot(&["forget"]).status.success());
        keyless.live();
        assert_eq!(world.stored()["signed"], false);
    }
}

#[test]
fn a_pause_that_is_not_signed_is_refused_where_there_is_a_key_and_one_that_is_holds() {
    let world = World::new(TICK);
    let crond = world.start();
    told(&crond, &["pause", "tick"]);
    crond.stop();
    let lasts = |world: &World| {
        let crond = world.start();
        until("it is paused", || told(&crond, &["list"]).contains("paused"));
        crond.stop()
    };
    lasts(&world);
    assert!(world.snapshot(&["forget"]).status.success());
    let world = with_key(world, "the key of this world");
    let crond = world.start();
    assert!(told(&crond, &["pause", "tick"]).ends_with(" is paused\n"), "it was not");
    let events = crond.stop();
    assert!(was_told(&events, "a pause in the store is refused"), "{events:#?}");
    let events = lasts(&world);
    assert!(!was_told(&events, "is refused"), "{events:#?}");
}

#[test]
fn what_is_shown_is_verified_with_the_key_and_refused_without_its_signature() {
    let world = World::new(IMAGE);
    world.live();
    let key = format!("--store-key={}", world.path("state/key").display());
    let show = |world: &World, arguments: &[&str]| {
        let output = world.snapshot(&[&["show"], arguments].concat());
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let world = with_key(world, "the key of this world");
    let (code, out, err) = show(&world, &[&key]);
    assert_eq!((code, &*out), (Some(1), ""), "it was not signed");
    assert!(err.contains("the snapshot is refused: it is not signed"), "{err}");
    let (code, _, err) = show(&world, &["--store-key=/nowhere/key"]);
    assert!(code == Some(1) && err.contains("--store-key /nowhere/key"), "{err}");
    assert!(world.snapshot(&["forget", &key]).status.success(), "it can be forgotten all the same");
    world.live_and_edit(&edited());
    let (code, out, _) = show(&world, &[&key]);
    assert!(code == Some(0) && out.ends_with(", signed\n"), "{out}");
    let (_, out, _) = show(&world, &[]);
    assert!(out.contains("only --store-key can verify"), "{out}");
    let json = |arguments: &[&str]| {
        let (_, out, _) = show(&world, &[&["--json"], arguments].concat());
        let object: serde_json::Value = serde_json::from_str(&out).unwrap();
        (object["signed"].clone(), object["verified"].clone())
    };
    assert_eq!(
        (json(&[]), json(&[&key])),
        ((true.into(), false.into()), (true.into(), true.into()))
    );
    assert_eq!(world.snapshot(&["diff", &key]).status.code(), Some(0));
    set_key(&world, "the key of another one");
    let (code, _, err) = show(&world, &[&key]);
    assert!(code == Some(1) && err.contains("not that of our key"), "{err}");
    // Somebody puts back what was there before.
    set_key(&world, "the key of this world");
    let old = world.store();
    world.live_and_edit(IMAGE);
    world.put_back(&old);
    let (code, _, err) = show(&world, &[&key]);
    assert!(code == Some(1) && err.contains("was here before"), "{err}");
}

#[test]
fn a_refused_snapshot_that_is_forgotten_beside_the_daemon_is_kept_anew_with_the_next_edit() {
    let world = World::new(IMAGE);
    world.live();
    let world = with_key(world, "the key of this world");
    let mut crond = world.start();
    assert!(told(&crond, &["health"]).contains("not signed"));
    assert!(world.snapshot(&["forget"]).status.success());
    world.write(&edited());
    crond.expect("crontab.loaded");
    until("it is kept", || keeps(&world, &edited()));
    until("all is well", || told(&crond, &["health"]) == "healthy\n");
    crond.stop();
    assert_eq!((&world.stored()["signed"], &world.stored()["base"]), (&true.into(), &IMAGE.into()));
}

#[test]
fn what_is_spoiled_beside_the_daemon_is_not_written_over() {
    let Some(redis) = Redis::start() else { return };
    let store = format!("--store={}", redis.url());
    let world = World::new(IMAGE).with(&store).with("--namespace=default");
    let mut crond = world.start();
    let key = || redis.keys().into_iter().find(|key| key.ends_with("snapshot"));
    until("the snapshot is kept", || key().is_some());
    let key = key().unwrap();
    redis.command(["HSET", &key, "bytes", "spoiled", "version", "7"]);
    world.write(&edited());
    crond.expect("crontab.loaded");
    until("it is told", || told(&crond, &["health"]).starts_with("degraded"));
    crond.stop();
    let found = redis.command(["HMGET", &key, "version", "bytes"]);
    let bytes = |text: &str| Reply::Bytes(text.into());
    assert_eq!(found, Reply::List(vec![bytes("7"), bytes("spoiled")]));
}

#[test]
fn a_redis_that_is_emptied_while_the_daemon_lives_gets_its_snapshot_back() {
    for key in [None, Some("the key of this world")] {
        let Some(redis) = Redis::start() else { return };
        let store = format!("--store={}", redis.url());
        let mut world = World::new(IMAGE).with(&store).with("--namespace=default");
        if let Some(key) = key {
            world = with_key(world, key);
        }
        let mut crond = world.start();
        world.write(&edited());
        crond.expect("crontab.loaded");
        until("it is kept", || keeps(&world, &edited()));
        let before = kept(&world).unwrap();
        redis.flush();
        until("it is back", || keeps(&world, &edited()));
        let after = kept(&world).unwrap();
        assert_eq!((&after["base"], &after["instances"]), (&before["base"], &before["instances"]));
        assert!(after["version"].as_u64() > before["version"].as_u64(), "versions go on: {after}");
        crond.stop();
    }
}

#[test]
fn a_redis_that_comes_back_empty_gets_its_snapshot_back() {
    let Some(mut redis) = Redis::start() else { return };
    let store = format!("--store={}", redis.url());
    let world = World::new(TICK).with(&store).with("--namespace=default").with("--local");
    let crond = world.start();
    until("it is kept", || keeps(&world, TICK));
    redis.kill();
    until("it is noticed", || {
        ask(&crond, &["run", "tick"]);
        told(&crond, &["health"]).contains("is away")
    });
    redis.restart();
    until("it is back", || keeps(&world, TICK));
    crond.stop();
}

#[test]
fn a_file_that_is_removed_while_the_daemon_lives_gets_its_snapshot_back_when_it_is_used() {
    let world = World::new(TICK);
    let edited = format!("{TICK}{ADDED}");
    let mut crond = world.start();
    world.write(&edited);
    crond.expect("crontab.loaded");
    until("it is kept", || keeps(&world, &edited));
    for (path, _) in world.store() {
        if path.extension().is_none_or(|extension| extension != "lock") {
            fs::remove_file(path).unwrap();
        }
    }
    told(&crond, &["run", "tick"]);
    until("it is back", || keeps(&world, &edited));
    assert_eq!(world.stored()["base"], TICK);
    crond.stop();
}

#[test]
fn what_was_forgotten_does_not_come_back_with_the_store() {
    let Some(mut redis) = Redis::setup().durable().start() else { return };
    let store = format!("--store={}", redis.url());
    let world = World::new(IMAGE).with(&store).with("--namespace=default");
    let mut crond = world.start();
    until("it is kept", || keeps(&world, IMAGE));
    assert!(world.snapshot(&["forget"]).status.success());
    redis.kill();
    until("it is noticed", || told(&crond, &["health"]).contains("is away"));
    redis.restart();
    until("it is well", || told(&crond, &["health"]) == "healthy\n");
    assert_eq!(kept(&world), None);
    world.write(&edited());
    crond.expect("crontab.loaded");
    until("it is kept", || keeps(&world, &edited()));
    assert_eq!(kept(&world).unwrap()["base"], IMAGE);
    crond.stop();
}

#[test]
fn a_snapshot_of_a_later_version_is_told_once_and_left_as_it_is() {
    for is_shared in [false, true] {
        let mut world = World::new(IMAGE);
        let redis = if is_shared { Redis::start() } else { None };
        if is_shared && redis.is_none() {
            return;
        }
        if let Some(redis) = &redis {
            world = world.with(&format!("--store={}", redis.url())).with("--namespace=x");
        }
        world.live_and_edit(&edited());
        let key = "{cronkeep:x}:snapshot";
        let bytes = || match &redis {
            None => {
                let database = Connection::open(world.path("state/cronkeep.db")).unwrap();
                let row: Vec<u8> =
                    database.query_row("SELECT bytes FROM snapshot", [], |row| row.get(0)).unwrap();
                row
            }
            Some(redis) => match redis.command(["HGET", key, "bytes"]) {
                Reply::Bytes(bytes) => bytes,
                _ => panic!("no snapshot"),
            },
        };
        let later = String::from_utf8(bytes()).unwrap().replace(r#""schema":1"#, r#""schema":99"#);
        match &redis {
            None => {
                let database = Connection::open(world.path("state/cronkeep.db")).unwrap();
                database.execute("UPDATE snapshot SET bytes = ?1", [later.as_bytes()]).unwrap();
            }
            Some(redis) => {
                redis.command(["HSET", key, "bytes", &later]);
            }
        }
        fs::remove_file(world.path("crontab")).unwrap();
        let ticks = world.path("ticks");
        let each_second = |word: &str| format!("* * * * * * echo {word} >> {}\n", ticks.display());
        world.renew(&format!("# another image\n{}", each_second("tick")));
        let mut crond = world.start();
        let reason = "the snapshot has version 99, newer than 1";
        until("it is told", || told(&crond, &["health"]).contains(reason));
        assert!(was_told(&crond.seen(), "taken as they are until they can be recovered"));
        // An edit changes nothing, nor does it that the store is asked again and again, and takes starts.
        world.write(&each_second("tock"));
        crond.expect("crontab.loaded");
        until("the schedule runs", || {
            fs::read_to_string(&ticks).is_ok_and(|text| text.matches("tock").count() >= 7)
        });
        let health = told(&crond, &["health"]);
        assert!(health.starts_with("degraded") && health.contains(reason), "{health}");
        let events = crond.stop();
        let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
        assert_eq!((of("store.down"), of("store.up")), (1, 0), "{events:#?}");
        let is_reason = |event: &serde_json::Value| event["reason"].to_string().contains(reason);
        assert!(events.iter().any(is_reason), "{events:#?}");
        assert_eq!(String::from_utf8(bytes()).unwrap(), later);
    }
}

#[test]
fn a_snapshot_that_is_broken_is_told_once_in_plain_words_with_the_remedy_that_there_is() {
    let world = World::new(IMAGE);
    world.live_and_edit(&edited());
    let database = Connection::open(world.path("state/cronkeep.db")).unwrap();
    let broken = br#"{"schema":1,"files":{"/etc"#;
    database.execute("UPDATE snapshot SET bytes = ?1", [&broken[..]]).unwrap();
    drop(database);
    let output = world.snapshot(&["show"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.ends_with(": the snapshot cannot be read: it ends too soon\n"), "{text}");
    let events = world.live();
    let told = "it ends too soon: the crontabs are taken as they are, and nothing is kept until it is removed by \
                `cronkeep snapshot forget`";
    assert!(was_told(&events, told), "{events:#?}");
}
