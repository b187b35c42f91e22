//! The service itself: it takes over from us, we take over from it.

use cronkeep::store::legacy::{self, Row};

use crate::python::{Service, wait};
use crate::redis::{Redis, Reply};
use crate::{differences, ids, rows};

/// What both read alike.
const TABLE: &str = "\
SHELL=/bin/sh
PATH=/usr/bin:/bin
# nightly and more
17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly
25 6 * * *\troot\ttest -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }
@weekly root /bin/special
@hourly root /bin/hourly # a remark
0 9-17 * * MON-FRI deploy /opt/bin/report
30,0,15 */2 1-7 jan,jul * root echo \"quoted\" 'and' \\\\ /slashes/
0 0 * * * root date +\\%F > /tmp/day%standard input%more
0 0 * * 7 root 中文 命令 --名=值 🐍
5 5 * * * root /bin/twice
5 5 * * * root /bin/twice
";

/// The bytes that the service keeps; waits until they are these.
fn expect_cached(redis: &Redis, service: &Service, expected: &str) {
    let cached =
        || redis.get(legacy::CACHE).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    wait(
        || cached().as_deref() == Some(expected),
        || format!("cached: {:?}\nnot:    {expected:?}\n{}", cached(), service.log()),
    );
}

/// The rows of the service's key, as they stand.
fn cached(redis: &Redis) -> Vec<Row> {
    let bytes = redis.get(legacy::CACHE).expect("a cache");
    legacy::items(&bytes).expect("an array").map(|row| row.expect("a row")).collect()
}

/// Waits until the service has scheduled exactly these jobs, in any order.
fn expect_scheduled(redis: &Redis, service: &Service, ids: &[String]) {
    let mut expected = ids.to_vec();
    expected.sort();
    expected.dedup();
    let scheduled = || {
        let Reply::List(ids) = redis.command(["HKEYS", "crond_service_schedule.jobs"]) else {
            return Vec::new();
        };
        let text = |id| match id {
            Reply::Bytes(id) => String::from_utf8(id).expect("an id"),
            other => panic!("{other:?}"),
        };
        let mut ids: Vec<String> = ids.into_iter().map(text).collect();
        ids.sort();
        ids
    };
    wait(
        || scheduled() == expected,
        || format!("scheduled: {:?}\nnot: {expected:?}\n{}", scheduled(), service.log()),
    );
}

#[test]
fn the_service_caches_byte_for_byte_what_we_would_and_we_read_the_same_jobs() {
    let Some(redis) = Redis::start() else { return };
    let Some(service) = Service::start(&redis, "") else { return };
    service.edit(TABLE);
    expect_cached(&redis, &service, &legacy::dumps(&rows(TABLE)));
    let bytes = redis.get(legacy::CACHE).expect("a cache");
    let cached: Result<Vec<Row>, _> =
        legacy::loads(&bytes).expect("an array").into_iter().collect();
    let cached = cached.expect("every row is good");
    assert_eq!(cached, rows(TABLE));
    let their_ids: Vec<String> = cached.iter().map(|row| row.id().to_string()).collect();
    assert_eq!(their_ids, ids_without_numbers(TABLE));
    assert_eq!(differences(TABLE, &cached), [""; 0]);
    let key = legacy::key(legacy::DEFAULT_NAMESPACE, legacy::CACHE);
    assert!(redis.keys().contains(&key));
}

/// Jobs with the same id have a number behind it: it is not part of the id.
fn ids_without_numbers(text: &str) -> Vec<String> {
    ids(text).iter().map(|id| id.split('#').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_service_restores_in_a_new_container_what_we_cached() {
    let Some(redis) = Redis::start() else { return };
    let rows_here = rows(TABLE);
    redis.set(legacy::CACHE, legacy::dumps(&rows_here));
    let Some(service) = Service::start(&redis, "") else { return };
    service.expect("Recovery crond setting completed.");
    let restored = service.crontab();
    assert_eq!(rows(&restored), rows_here, "{restored}");
    for (line, row) in restored.lines().zip(&rows_here) {
        assert!(line.ends_with(&format!(" # crond service {}", row.id())), "{line}");
    }
    let ids = ids_without_numbers(&restored);
    assert_eq!(ids, ids_without_numbers(TABLE));
    expect_scheduled(&redis, &service, &ids);
}

#[test]
fn fault_the_service_doubles_the_jobs_of_its_file_when_it_recovers_and_we_say_so() {
    let Some(redis) = Redis::start() else { return };
    let text = "5 5 * * * root /bin/once\n";
    redis.set(legacy::CACHE, legacy::dumps(&rows(text)));
    let Some(service) = Service::start(&redis, text) else { return };
    service.expect("Recovery crond setting completed.");
    let doubled = service.crontab();
    assert_eq!(doubled.lines().count(), 2, "{doubled}");
    // The next edit caches both.
    service.edit(&doubled);
    expect_cached(&redis, &service, &legacy::dumps(&rows(&doubled)));
    let told = differences(&doubled, &cached(&redis));
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("the Python service added it again when it recovered"), "{told:?}");
}

#[test]
fn fault_the_service_caches_comments_reboot_and_seconds_as_jobs_and_we_do_not() {
    let Some(redis) = Redis::start() else { return };
    let Some(service) = Service::start(&redis, "") else { return };
    let text = "\
# 1 1 * * * root commented
@reboot root /bin/once
0 5 9 * * 1 root /bin/seconds
5 5 * * * root /bin/good
";
    let (ours, theirs) = (
        rows(text),
        [
            ["1", "1", "*", "*", "*", "root", "commented"],
            ["*", "*", "*", "*", "*", "root", "/bin/once"],
            ["0", "5", "9", "*", "*", "1", "root /bin/seconds"],
            ["5", "5", "*", "*", "*", "root", "/bin/good"],
        ],
    );
    let theirs = theirs.map(|row| Row(row.map(str::to_owned)));
    service.edit(text);
    expect_cached(&redis, &service, &legacy::dumps(&theirs));
    assert_eq!(ours, theirs[3..]);
    let bytes = redis.get(legacy::CACHE).expect("a cache");
    let refused: Vec<bool> =
        legacy::loads(&bytes).expect("an array").iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, false, true, false], "six fields read back as seconds");
    let told = differences(text, &cached(&redis));
    assert_eq!(told.len(), 3, "{told:#?}");
    for (told, what) in told.iter().zip(["commented out", "each minute", "sixth for the user"]) {
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn fault_the_service_forgets_its_cache_at_an_empty_setting_and_we_keep_ours() {
    let Some(redis) = Redis::start() else { return };
    let Some(service) = Service::start(&redis, "") else { return };
    let good = "5 5 * * * root /bin/good\n";
    service.edit(good);
    expect_cached(&redis, &service, &legacy::dumps(&rows(good)));
    // It begins anew after each edit, and looks at no file while it does.
    service.expect_times("Start scheduler [True]", 2);
    let bad = format!("{good}MAILTO=\n");
    service.edit(&bad);
    wait(|| redis.get(legacy::CACHE).is_none(), || format!("kept: {}", service.log()));
    assert_eq!(rows(&bad), rows(good));
    assert!(
        differences(&bad, &[])
            .iter()
            .any(|told| told.starts_with("line 2: an assignment of nothing ends"))
    );
}

#[test]
fn fault_the_service_gives_another_id_to_a_list_of_numbers_and_ranges_and_its_row_is_taken() {
    let Some(redis) = Redis::start() else { return };
    let text = "*,5 * * * * root /bin/starlist\n";
    let Some(service) = Service::start(&redis, "") else { return };
    service.edit(text);
    expect_cached(&redis, &service, &legacy::dumps(&rows(text)));
    drop(service);
    let cached = cached(&redis);
    assert_eq!(cached[0].0[0], "5,*");
    // Its id is that of its row, the first text; ours is that of the second, as in the vectors.
    let Some(service) = Service::start(&redis, "") else { return };
    expect_scheduled(&redis, &service, &[cached[0].id().to_string()]);
    assert_ne!(ids(text), [cached[0].id().to_string()]);
    assert_eq!(cached[0].clone().judged().as_ref(), Ok(&cached[0]));
    assert_eq!(differences(text, &cached), [""; 0]);
}
