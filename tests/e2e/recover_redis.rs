//! The crontab comes back from a store that containers share.

use std::fs;
use std::time::{Duration, Instant};

use crate::client::told;
use crate::redis::Redis;
use crate::world::{ADDED, IMAGE, World, jobs, loads, was_told};

/// What the Python service keeps in its own namespace.
const ROWS: &str = "crond-service-cronjob-cache";

fn edited() -> String {
    format!("{IMAGE}{ADDED}")
}

/// A first container, and the store that outlives it.
fn world(redis: &Redis) -> World {
    let store = format!("--store={}", redis.url());
    World::new(IMAGE).with(&store).with("--namespace=default")
}

#[test]
fn an_edit_comes_back_from_redis() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    let events = world.live_and_edit(&edited());
    assert!(was_told(&events, "whoever can write to the store"), "{events:#?}");
    // Nothing but the store is left.
    fs::remove_dir_all(world.path("state")).unwrap();
    world.renew(IMAGE);
    let events = world.live();
    assert_eq!((world.text(), loads(&events), jobs(&events)), (edited(), 1, 3));
    assert_eq!(world.stored()["text"], edited());
}

#[test]
fn the_python_services_rows_follow_each_edit() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    world.live();
    let rows = |count: usize| {
        let rows: Vec<[String; 7]> = serde_json::from_slice(&redis.get(ROWS).unwrap()).unwrap();
        assert_eq!(rows.len(), count, "{rows:?}");
    };
    rows(2);
    world.live_and_edit(&edited());
    rows(3);
}

/// Case 5.
#[test]
fn where_only_the_python_service_was_its_rows_are_added_once() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    let cached = r#"[["0", "1", "1", "1", "*", "root", "true one"], ["5", "4", "*", "*", "*", "root", "date +%F"],
        ["*", "*", "*", "*", "*", "root", "true boot"], ["5", "4", "*", "*"], ["0", "9", "*", "*", "*", "root", "a\nb"]]"#;
    redis.set(ROWS, cached);
    let mut crond = world.start();
    let events = crond.seen();
    let text = world.text();
    assert!(text.starts_with(IMAGE), "{text}");
    assert!(text.contains("5 4 * * * date +\\%F # crond service crondServiceTask-"), "{text}");
    assert!(text.contains("\n# * * * * * true boot # crond service"), "{text}");
    assert_eq!((jobs(&events), loads(&events)), (3, 1), "{events:#?}");
    for part in ["row 4 of the cached jobs", "row 5 of the cached jobs", "true boot"] {
        assert!(was_told(&events, part), "{part}: {events:#?}");
    }
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded") && health.contains("for a decision"), "{health}");
    // Somebody decides.
    world.write(&text.replace("# * * * * * true boot", "@reboot true boot"));
    crond.expect("crontab.loaded");
    let deadline = Instant::now() + crate::harness::PATIENCE;
    while told(&crond, &["health"]) != "healthy\n" {
        assert!(Instant::now() < deadline, "{}", told(&crond, &["health"]));
        std::thread::park_timeout(Duration::from_millis(20));
    }
    crond.stop();
    let text = world.text();
    world.live();
    assert_eq!(world.text(), text);
}

/// The rows that are cached, and these after them, as the Python service leaves them.
fn add_rows(redis: &Redis, more: &[[&str; 7]]) {
    let mut rows: Vec<[String; 7]> = serde_json::from_slice(&redis.get(ROWS).unwrap()).unwrap();
    rows.extend(more.iter().map(|row| row.map(str::to_owned)));
    redis.set(ROWS, serde_json::to_string(&rows).unwrap());
}

/// A job that was added while the Python service was there.
const THEIRS: [&str; 7] = ["0", "5", "1", "1", "*", "root", "true theirs"];

fn new_container(world: &World, image: &str) {
    let _ = fs::remove_dir_all(world.path("state"));
    world.renew(image);
}

#[test]
fn what_the_python_service_has_cached_since_is_added_once_and_kept() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    world.live_and_edit(&edited());
    add_rows(&redis, &[THEIRS, ["*", "*", "*", "*", "*", "root", "true boot"]]);
    new_container(&world, IMAGE);
    let events = world.live();
    let text = world.text();
    assert!(text.starts_with(&edited()), "{text}");
    assert_eq!(text.matches("0 5 1 1 * true theirs # crond service ").count(), 1, "{text}");
    assert_eq!(text.matches("\n# * * * * * true boot # crond service ").count(), 1, "{text}");
    assert!(was_told(&events, "has cached since are added"), "{events:#?}");
    assert_eq!((loads(&events), jobs(&events)), (1, 4), "{events:#?}");
    let cached = String::from_utf8(redis.get(ROWS).unwrap()).unwrap();
    assert!(cached.contains("true theirs"), "{cached}");
    assert_eq!(world.stored()["text"], text);
    for is_new in [false, true] {
        if is_new {
            new_container(&world, IMAGE);
        }
        let events = world.live();
        assert_eq!((world.text(), jobs(&events)), (text.clone(), 4), "{is_new}");
    }
    // In the same container, too.
    add_rows(&redis, &[["0", "6", "1", "1", "*", "root", "true more"]]);
    assert_eq!(jobs(&world.live()), 5);
    assert!(world.text().starts_with(&text) && world.text().contains("true more"));
}

#[test]
fn what_was_removed_here_does_not_come_back_from_rows_of_the_python_service() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    world.live_and_edit(&edited());
    let cached = redis.get(ROWS).unwrap();
    // One of the image is removed while the daemon lives, one that was added while nobody does.
    let (first, rest) =
        IMAGE.rsplit_once("0 ").map(|(first, rest)| (first, format!("0 {rest}"))).unwrap();
    world.live_and_edit(&format!("{first}{ADDED}"));
    world.write(first);
    redis.set(ROWS, cached);
    add_rows(&redis, &[THEIRS]);
    let events = world.live();
    let text = world.text();
    assert!(!text.contains(rest.trim()) && !text.contains(ADDED.trim()), "{text}");
    assert!(text.starts_with(first) && text.contains("true theirs"), "{text}");
    assert!(was_told(&events, "is not added: it was removed from the crontab: `"), "{events:#?}");
}

#[test]
fn rows_that_may_not_be_added_are_named_before_they_are_replaced() {
    for option in ["--store-key={dir}/key", "--recover=never"] {
        let Some(redis) = Redis::start() else { return };
        let world = world(&redis).with(option);
        fs::write(world.path("key"), [7; 32]).unwrap();
        fs::set_permissions(world.path("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        world.live();
        add_rows(&redis, &[THEIRS]);
        let events = world.live();
        let told = "row 3 of the cached jobs is not added: ";
        assert!(was_told(&events, told) && was_told(&events, "true theirs"), "{events:#?}");
        assert_eq!((world.text(), jobs(&events)), (IMAGE.to_owned(), 2), "{option}");
    }
}

/// The rows beside the snapshot are ours, and are no Python service's when only they would be left.
#[test]
fn what_was_forgotten_does_not_come_back_from_the_rows_that_were_put_with_it() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    let wanted = "0 1 * * * true one\n";
    let both = format!("{wanted}0 2 * * * true unwanted\n");
    for is_renewed in [true, false] {
        world.renew(&both);
        world.live();
        assert!(redis.get(ROWS).is_some());
        let output = world.snapshot(&["forget"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        assert_eq!(redis.get(ROWS), None);
        if is_renewed {
            world.renew(wanted);
        } else {
            world.write(wanted);
        }
        let events = world.live();
        assert_eq!((world.text(), jobs(&events)), (wanted.to_owned(), 1), "{is_renewed}");
        assert!(world.snapshot(&["forget"]).status.success());
    }
}

#[test]
fn rows_that_the_python_service_wrote_since_outlive_a_forget_and_are_recovered() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    let rows = r#"[["0", "5", "1", "1", "*", "root", "true five"]]"#;
    for arguments in [&["forget"][..], &["forget", "--json"]] {
        world.renew(IMAGE);
        world.live();
        redis.set(ROWS, rows);
        let output = world.snapshot(arguments);
        assert!(output.status.success(), "{output:?}");
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        if arguments.len() == 1 {
            assert!(err.contains(ROWS) && err.contains("Python service"), "{err}");
        } else {
            let object: serde_json::Value = serde_json::from_str(&out).unwrap();
            assert_eq!(object["rows_stay"], true, "{out}");
        }
        assert_eq!(redis.get(ROWS), Some(rows.into()));
    }
    world.renew(IMAGE);
    world.live();
    assert!(world.text().contains("0 5 1 1 * true five # crond service"), "{}", world.text());
}

#[test]
fn crontabs_that_no_daemon_names_any_more_are_forgotten_where_there_are_many() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let days = |days: u64| now - days * 86_400;
    let file = |named: u64| {
        serde_json::json!({
            "text": "", "base": "", "instances": [], "columns": "user", "user": "root", "named": named,
        })
    };
    let mut files: serde_json::Map<_, _> =
        (0..1_100).map(|number| (format!("/old/{number:04}"), file(days(40)))).collect();
    files.insert("/others/crontab".to_owned(), file(days(1)));
    let snapshot = serde_json::json!({ "schema": 1, "files": files }).to_string();
    redis.command(["SET", "{cronkeep:default}:version", "2"]);
    redis.command(["HSET", "{cronkeep:default}:snapshot", "version", "1", "bytes", &snapshot]);
    world.live();
    let output = world.snapshot(&["show", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let has = |path: &str| all.iter().any(|file| file["file"] == path);
    assert_eq!(all.len(), 1_000);
    assert!(has("/others/crontab") && has(world.path("crontab").to_str().unwrap()));
}

#[test]
fn of_a_snapshot_that_cannot_be_read_forget_does_not_say_how_many_crontabs_it_had() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    world.live();
    redis.command([
        "HSET",
        "{cronkeep:default}:snapshot",
        "bytes",
        r#"{"schema":9,"tables":{"a":{}}}"#,
    ]);
    let output = world.snapshot(&["forget"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("forgot version ") && text.contains("cannot be read"), "{text}");
    assert!(!text.contains(" 0 "), "{text}");
}

/// The Python service adds what it has cached once more with each start.
#[test]
fn three_restarts_and_three_new_containers_leave_every_byte_of_what_was_recovered() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    redis.set(
        ROWS,
        r#"[["0", "1", "1", "1", "*", "root", "true one"], ["5", "4", "1", "1", "*", "root", "date +%F"]]"#,
    );
    world.live();
    let (text, cached) = (world.text(), redis.get(ROWS));
    assert!(text.starts_with(IMAGE) && text.contains("date +\\%F # crond service "), "{text}");
    for number in 0..6 {
        if number >= 3 {
            // Nothing but Redis is left.
            let _ = fs::remove_dir_all(world.path("state"));
            world.renew(IMAGE);
        }
        let events = world.live();
        assert_eq!((world.text(), jobs(&events)), (text.clone(), 3), "{number}");
        assert_eq!(redis.get(ROWS), cached, "{number}");
    }
}

#[test]
fn a_silent_redis_holds_up_the_start_for_two_seconds_and_is_recovered_from_when_it_is_back() {
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis);
    world.live_and_edit(&edited());
    world.renew(IMAGE);
    redis.pause();
    let begun = Instant::now();
    let mut crond = world.start();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(world.text(), IMAGE);
    let health = told(&crond, &["health"]);
    assert!(health.starts_with("degraded") && health.contains("is away"), "{health}");
    redis.resume();
    crond.expect_where("crontab.loaded", |event| event["jobs"] == 3);
    assert_eq!(world.text(), edited());
    crond.stop();
}

#[test]
fn an_edit_that_was_made_while_redis_was_down_is_put_when_it_is_back() {
    let Some(mut redis) = Redis::setup().durable().start() else { return };
    let world = world(&redis);
    let mut crond = world.start();
    world.expect_stored(IMAGE);
    redis.kill();
    world.write(&edited());
    crond.expect("crontab.loaded");
    redis.restart();
    world.expect_stored(&edited());
    assert_eq!(world.stored()["base"], IMAGE);
    crond.stop();
}

/// Each sees a folder of its own under the same path, as containers of one image do.
#[test]
fn edits_of_two_replicas_are_merged_in_the_store_and_neither_adopts_the_others() {
    if !nix::unistd::geteuid().is_root() {
        return println!("skipped: only root can mount");
    }
    let Some(redis) = Redis::start() else { return };
    let world = world(&redis).with("{dir}/etc/tab");
    fs::remove_file(world.path("crontab")).unwrap();
    for folder in ["etc", "other"] {
        fs::create_dir(world.path(folder)).unwrap();
        fs::write(world.path(folder).join("tab"), IMAGE).unwrap();
    }
    let mount = "mount --bind other etc && exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"];
    let text = |folder: &str| fs::read_to_string(world.path(folder).join("tab")).unwrap();
    let mut one = world.start();
    let mut other = world
        .crond()
        .under(&unshare)
        .env("CRONKEEP_STATE_DIR", world.path("other-state"))
        .env("CRONKEEP_CONTROL", world.path("other-run/control.sock"))
        .start();
    let (ours, theirs) = (edited(), format!("{IMAGE}0 4 1 1 * true four\n"));
    fs::write(world.path("other/tab"), &theirs).unwrap();
    other.expect("crontab.loaded");
    let kept = || {
        let output = world.snapshot(&["show", "--json", "etc/tab"]);
        let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        object["text"].as_str().unwrap().to_owned()
    };
    let deadline = Instant::now() + crate::harness::PATIENCE;
    while kept() != theirs {
        assert!(Instant::now() < deadline, "{}", kept());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    fs::write(world.path("etc/tab"), &ours).unwrap();
    one.expect("crontab.loaded");
    one.stop();
    let merged = kept();
    assert!(merged.contains(ADDED) && merged.contains("true four"), "{merged}");
    assert_eq!((text("etc"), text("other")), (ours, theirs));
    other.stop();
    // Each gets what the other added when it is started again.
    world.live();
    assert_eq!(text("etc"), merged);
}
