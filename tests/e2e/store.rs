//! Bad input from the store, and stores that cannot be used: told in one line, and the schedule runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::told;
use crate::harness::{Crond, PATIENCE, Running};
use crate::redis::{Redis, Reply};
use crate::world::{ADDED, IMAGE, World, jobs, was_told};

/// What the Python service keeps in its own namespace.
const ROWS: &str = "crond-service-cronjob-cache";

/// A job that shows each second that the schedule runs.
const EACH_SECOND: &str = "* * * * * * echo tick >> {dir}/ticks\n";

fn row(schedule: &str, user: &str, command: &str) -> Value {
    let mut words: Vec<&str> = schedule.split(' ').collect();
    words.extend([user, command]);
    json!(words)
}

fn in_default(redis: &Redis, image: &str) -> World {
    let store = format!("--store={}", redis.url());
    World::new(image).with(&store).with("--namespace=default")
}

#[test]
fn bad_rows_are_refused_one_by_one_and_the_rest_is_recovered() {
    let Some(redis) = Redis::start() else { return };
    let world = in_default(&redis, "0 1 * * * true here\n");
    let huge = "x".repeat(10 << 20);
    let rows = [
        row("0 2 * * *", "root", "true first"),
        json!(["0", "2", "*", "*", "*", "root"]),
        json!("* * * * * root true"),
        json!({"minute": "0"}),
        json!(["0", "3", "*", "*", "*", "root", {"a": 1}]),
        row("0 4 * * *", "root", &huge),
        row("0 4 * * *", "nobody-of-this-name", "true"),
        row("0 4 * * *", "root", "true\nX=1"),
        row("0 4 * * *", "root", "true \u{1b}[2J"),
        row("0 4 * * *", "root\n* * * * * root", "true"),
        row("@daily", "root", "true"),
        row("0  4 * * *", "root", "true"),
        row("61 4 * * *", "root", "true"),
        row("0 4 * * *", "root", "true # crond service crondServiceTask-0"),
        json!(["0 4", "*", "*", "*", "*", "root", "true"]),
        row("0 5 * * *", "root", "true last"),
    ];
    let texts: Vec<String> = rows.iter().map(Value::to_string).collect();
    // Behind the sixth there is something that is no JSON at all.
    let text =
        format!("[{}, nothing of this kind, {}]", texts[..6].join(", "), texts[6..].join(", "));
    redis.set(ROWS, &text);
    let mut crond = world.start();
    let events = crond.seen();
    let file = world.text();
    assert!(file.starts_with("0 1 * * * true here\n"), "{file}");
    let recovered: Vec<&str> = file.lines().skip(1).filter(|line| !line.is_empty()).collect();
    let [first, last] = recovered[..] else { panic!("{file}") };
    assert!(first.starts_with("0 2 * * * true first # crond service "), "{first}");
    assert!(last.contains("true last # crond service "), "{last}");
    assert_eq!(jobs(&events), 3, "{events:#?}");
    let refusals = events.iter().filter_map(|event| event["message"].as_str());
    let refusals: Vec<&str> = refusals.filter(|text| text.contains("row ")).collect();
    // Each is one line of a bearable length.
    assert!(
        refusals.iter().all(|text| text.len() < 1_000 && !text.contains('\n')),
        "{refusals:#?}"
    );
    let rehash = "reads back as another job";
    for (number, reason) in [
        (2, "not seven strings"),
        (3, "not seven strings"),
        (4, "not seven strings"),
        (5, "not seven strings"),
        (6, "longer than"),
        (7, "not JSON"),
        (8, "it is \"nobody-of-this-name\"'s, and the crontab is"),
        (9, "control character U+000A in the command"),
        (10, "control character U+001B in the command"),
        (11, "control character U+000A in the user"),
        (12, "not seven strings"),
        (13, "not seven strings"),
        (14, "its line is an error: "),
        (15, rehash),
        (16, rehash),
    ] {
        let row = format!("row {number} ");
        let told: Vec<&&str> = refusals.iter().filter(|text| text.contains(&row)).collect();
        assert!(told.len() == 1 && told[0].contains(reason), "{number}: {reason}: {refusals:#?}");
        assert!(told[0].contains(": `") && !told[0].contains("``"), "{number}: {refusals:#?}");
    }
    let health = told(&crond, &["health"]);
    assert!(!health.starts_with("unhealthy"), "{health}");
    crond.stop();
    // Our own rows took their place: the next container has them from the snapshot.
    let after = redis.get(ROWS).unwrap();
    let after: Vec<[String; 7]> = serde_json::from_slice(&after).unwrap();
    assert_eq!(after.len(), 3, "{after:?}");
}

#[test]
fn rows_of_users_that_are_not_there_yet_are_added_and_told_by_their_own_numbers() {
    let Some(redis) = Redis::start() else { return };
    let world = in_default(&redis, "0 1 * * * root true here\n").with("--format=system");
    let rows = json!([
        row("0 2 * * *", "root", "true\u{7}"),
        row("0 3 * * *", "root", "true first"),
        row("0 4 * * *", "nobody-of-this-name", "true later"),
    ]);
    redis.set(ROWS, rows.to_string());
    let mut crond = world.start();
    let events = crond.seen();
    assert_eq!(jobs(&events), 3, "{events:#?}");
    let told = "row 3 of the cached jobs is added, and runs as soon as there is a user \"nobody-of-this-name\": `0 4";
    assert!(was_told(&events, told), "{events:#?}");
    assert!(world.text().contains("\n0 4 * * * nobody-of-this-name true later # crond service "));
    crond.stop();
    // It is among the rows still, should anybody go back.
    let after = String::from_utf8(redis.get(ROWS).unwrap()).unwrap();
    assert!(after.contains("true later"), "{after}");
}

#[test]
fn a_cache_that_is_none_is_refused_and_the_file_runs() {
    for (cache, part) in [
        ("hello".to_owned(), "not a JSON array"),
        ("[[\"0\", ".repeat(100_000), ""),
        ("[".repeat(1 << 20), ""),
        (String::new(), "not a JSON array"),
    ] {
        let Some(redis) = Redis::start() else { return };
        let world = in_default(&redis, "0 1 * * * true here\n");
        redis.set(ROWS, &cache);
        let mut crond = world.start();
        let events = crond.seen();
        assert_eq!(jobs(&events), 1, "{events:#?}");
        assert!(was_told(&events, part), "{part}: {events:#?}");
        assert_eq!(world.text(), "0 1 * * * true here\n");
        crond.stop();
    }
}

#[test]
fn a_key_of_another_kind_is_told_and_the_file_runs() {
    let Some(redis) = Redis::start() else { return };
    let snapshot = "{cronkeep:default}:snapshot";
    for key in [ROWS, snapshot] {
        assert_eq!(redis.command(["RPUSH", key, "x"]), Reply::Number(1));
        let mut crond = beside(&redis.url());
        expect_degraded(&crond, "of another type");
        expect_strained(&mut crond, "of another type");
        assert_eq!(redis.command(["DEL", key]), Reply::Number(1));
        crond.expect("store.up");
        expect_kept(&redis, &crond);
        runs(crond);
        redis.flush();
    }
}

#[test]
fn a_key_that_the_user_may_not_use_is_told_once_and_the_file_runs() {
    let Some(redis) = Redis::start() else { return };
    let set =
        |keys: &str| redis.command(["ACL", "SETUSER", "app", "on", ">pw", "&*", "+@all", keys]);
    set("~{cronkeep:default}:*");
    let mut crond = beside(&format!("redis://app:pw@127.0.0.1:{}/0", redis.port()));
    expect_degraded(&crond, "may not use one of the keys");
    expect_strained(&mut crond, "may not use one of the keys");
    set("~crond-service-cronjob-cache");
    crond.expect("store.up");
    expect_kept(&redis, &crond);
    runs(crond);
}

/// That for some ten seconds, in which the store is asked again and again, it is told once that it refuses something.
fn expect_strained(crond: &mut Running, part: &str) {
    let lines = |text: &str| text.lines().count();
    let before = lines(&crond.expect_file("ticks", |_| true));
    crond.expect_file("ticks", |text| lines(text) >= before + 10);
    let health = told(crond, &["health"]);
    assert!(health.starts_with("degraded: ") && health.contains(part), "{health}");
    let counts = (crond.count("store.down"), crond.count("store.up"));
    assert_eq!(counts, (1, 0), "{:#?}", crond.seen());
}

/// Waits until the crontab is kept.
fn expect_kept(redis: &Redis, crond: &Running) {
    let deadline = Instant::now() + PATIENCE;
    while redis.get(ROWS).is_none() {
        assert!(Instant::now() < deadline, "{}", told(crond, &["health"]));
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A daemon whose schedule does not wait for the store.
fn beside(url: &str) -> Running {
    Crond::new()
        .arg(format!("--store={url}"))
        .arg("--namespace=default")
        .arg("--when-store-down=run")
        .crontab(EACH_SECOND)
        .start()
}

/// Waits until health says why; it is a success all the same, and the log says it in one line.
fn expect_degraded(crond: &Running, part: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = told(crond, &["health"]);
        if health.starts_with("degraded: ") && health.contains(part) {
            return;
        }
        assert!(Instant::now() < deadline, "{part}: {health}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// The schedule runs, and the daemon ends as it should.
fn runs(crond: Running) -> Vec<Value> {
    crond.expect_file("ticks", |text| text.lines().count() >= 2);
    crond.stop()
}

fn told_once(events: &[Value], part: &str) {
    let down: Vec<&Value> = events.iter().filter(|event| event["event"] == "store.down").collect();
    assert!(!down.is_empty() && down.len() <= 2, "{events:#?}");
    let text = down[0].to_string();
    assert!(text.contains(part), "{text}");
}

/// That the store takes nothing is one warning, beside those of what may be known at the start, and no reason to load
/// crontabs again.
fn expect_quiet(events: &[Value]) {
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("store.down"), of("crontab.loaded")), (1, 1), "{events:#?}");
    let says = |event: &&Value, part: &str| event["message"].to_string().contains(part);
    for part in ["does not answer", "taken as they are"] {
        let told: Vec<&Value> = events.iter().filter(|event| says(event, part)).collect();
        assert!(told.is_empty(), "{told:#?}");
    }
}

#[test]
fn a_wrong_password_is_told_and_the_schedule_runs() {
    let Some(redis) = Redis::setup().password("secret").start() else { return };
    for (url, part) in [
        (format!("redis://127.0.0.1:{}/0", redis.port()), "asks for a password"),
        (
            format!("redis://:wrong@127.0.0.1:{}/0", redis.port()),
            "does not know this user and password",
        ),
    ] {
        let crond = beside(&url);
        expect_degraded(&crond, part);
        let events = runs(crond);
        told_once(&events, part);
        assert!(!events.iter().any(|event| event.to_string().contains("wrong@")), "{events:#?}");
    }
    assert_eq!(redis.command(["DBSIZE"]), Reply::Number(0));
}

#[test]
fn a_wrong_address_is_told_and_the_schedule_runs() {
    let Some(mut redis) = Redis::start() else { return };
    redis.kill();
    for (url, part) in [
        (format!("redis://127.0.0.1:{}/0", redis.port()), "refused"),
        ("redis://no-such-host.invalid/0".to_owned(), "no-such-host.invalid"),
        (redis.unix_url(), "away"),
    ] {
        let crond = beside(&url);
        expect_degraded(&crond, part);
        told_once(&runs(crond), part);
    }
}

#[test]
fn a_redis_without_memory_is_told_and_the_schedule_runs_and_what_waits_is_written_later() {
    let Some(redis) = Redis::start() else { return };
    redis.set_config("maxmemory-policy", "noeviction");
    redis.set_config("maxmemory", "1");
    let crond = beside(&redis.url());
    expect_degraded(&crond, "no memory left");
    assert_eq!(redis.command(["DBSIZE"]), Reply::Number(0));
    // What is to be kept is offered again and again meanwhile.
    crond.expect_file("ticks", |text| text.lines().count() >= 5);
    redis.set_config("maxmemory", "0");
    expect_kept(&redis, &crond);
    let events = runs(crond);
    told_once(&events, "no memory left");
    expect_quiet(&events);
}

#[test]
fn a_redis_whose_memory_fills_up_is_told_once_each_time() {
    let Some(redis) = Redis::start() else { return };
    redis.set_config("maxmemory-policy", "noeviction");
    let mut crond = beside(&redis.url());
    expect_kept(&redis, &crond);
    let lines = |text: &str| text.lines().count();
    for number in 1..=4 {
        let before = lines(&crond.expect_file("ticks", |_| true));
        redis.set_config("maxmemory", "1");
        crond.expect_file("ticks", |text| lines(text) >= before + 3);
        expect_degraded(&crond, "no memory left");
        assert_eq!(crond.count("store.down"), number, "{:#?}", crond.seen());
        assert_eq!(crond.count("store.up"), number - 1, "{:#?}", crond.seen());
        redis.set_config("maxmemory", "0");
        crond.expect("store.up");
    }
    runs(crond);
}

/// How many scripts the server has refused or carried out in vain.
fn failures(redis: &Redis) -> u64 {
    let Reply::Bytes(stats) = redis.command(["INFO", "commandstats"]) else { panic!("no INFO") };
    let stats = String::from_utf8(stats).unwrap();
    let counts = stats.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let counts = counts.flat_map(|line| line.trim().split(','));
    let counts = counts.filter_map(|word| {
        word.strip_prefix("rejected_calls=").or_else(|| word.strip_prefix("failed_calls="))
    });
    counts.map(|count| count.parse::<u64>().unwrap()).sum()
}

#[test]
fn what_is_recovered_and_cannot_be_put_is_told_once_though_the_store_answers_questions() {
    let Some(redis) = Redis::start() else { return };
    let store = format!("--store={}", redis.url());
    let world = World::new(IMAGE).with(&store).with("--namespace=x");
    world.live_and_edit(&format!("{IMAGE}{ADDED}"));
    world.renew("# another image\n0 4 1 1 * true four\n");
    redis.set_config("maxmemory-policy", "noeviction");
    redis.set_config("maxmemory", "1");
    let mut crond = world.crond().arg("--local").spawn();
    crond.expect("store.down");
    let (before, deadline) = (failures(&redis), Instant::now() + PATIENCE);
    // The pauses between are doubled up to five seconds.
    while failures(&redis) < before + 6 {
        assert!(Instant::now() < deadline, "{:#?}", crond.seen());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!((crond.count("store.down"), crond.count("store.up")), (1, 0));
    redis.set_config("maxmemory", "0");
    crond.expect("store.up");
    let events = crond.stop();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((of("store.down"), of("store.up")), (1, 1), "{events:#?}");
}

#[test]
fn a_replica_that_only_reads_is_told_and_the_schedule_runs() {
    let Some(master) = Redis::start() else { return };
    let Some(redis) = Redis::setup().replica_of(&master).start() else { return };
    let crond = beside(&redis.url());
    expect_degraded(&crond, "only reads");
    crond.expect_file("ticks", |text| text.lines().count() >= 5);
    let events = runs(crond);
    told_once(&events, "only reads");
    expect_quiet(&events);
    assert_eq!(master.command(["DBSIZE"]), Reply::Number(0));
}
