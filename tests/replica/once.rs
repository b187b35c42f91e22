//! Replicas at peace: each instant once, whoever starts it.

use std::time::Duration;

use crate::cluster::{self, Cluster, EACH_SECOND, assert_once, assert_whole, instants};
use crate::redis::Redis;

#[test]
fn three_replicas_start_each_instant_once() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, &format!("{EACH_SECOND}* * * * * * {{write}}; true\n"));
    let _replicas = cluster.start(&["a", "b", "c"]);
    let ran = cluster.wait_for_more(12);
    assert_once(&ran);
    let jobs: std::collections::BTreeSet<_> = ran.iter().map(|ran| ran.job.clone()).collect();
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        let of_job: Vec<_> = ran.iter().filter(|ran| ran.job == job).cloned().collect();
        assert_whole(&of_job);
    }
}

#[test]
fn local_replicas_each_start_everything() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND).args(&["--local"]);
    let _replicas = [cluster.replica("a").start(), cluster.replica("b").start()];
    cluster.wait_for("an instant that both started", |ran| {
        instants(ran).values().filter(|count| **count == 2).count() >= 3
    });
}

#[test]
fn two_namespaces_do_not_see_each_other() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let first = cluster.replica("a").start();
    let other = cluster.replica_of("other", "b").start();
    cluster.wait_for("instants that both started", |ran| {
        instants(ran).values().filter(|count| **count == 2).count() >= 3
    });
    for replica in [&first, &other] {
        cluster::expect_alive(replica, 1);
    }
}

#[test]
fn a_rolling_restart_starts_nothing_twice_and_loses_nothing() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let mut replicas = cluster.start(&["a", "b"]);
    cluster.wait_for_more(2);
    for round in 0..3 {
        let old = replicas.remove(0);
        drop(old.stop());
        replicas.push(cluster.replica(&format!("n{round}")).start());
        cluster.wait_for_more(3);
    }
    let ran = cluster.wait_for_more(3);
    assert_once(&ran);
    assert_whole(&ran);
}

#[test]
fn overlap_is_judged_over_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    // Each run takes longer than its interval, and says so where it finds another alive.
    let crontab = "# cronkeep: overlap=skip\n\
                   * * * * * * mkdir {folder}/alive || touch {folder}/two; {write}; sleep 2.5; rmdir {folder}/alive\n";
    let cluster = Cluster::new(redis, crontab);
    let _replicas = cluster.start(&["a", "b", "c"]);
    let ran = cluster.wait_for("runs", |ran| ran.len() >= 5);
    assert_once(&ran);
    assert!(!cluster.path("two").exists(), "two at a time: {ran:?}");
}

#[test]
fn what_one_replica_skipped_is_started_by_none() {
    let Some(redis) = Redis::start() else { return };
    // While the replicas join several instants are held; all but the first of them are skipped at once.
    let crontab = "# cronkeep: overlap=skip\n* * * * * * {write}; sleep 8\n";
    let cluster = Cluster::new(redis, crontab).args(&["--on-stop", "end"]);
    let names = ["a", "b"];
    let mut replicas = cluster.start(&names);
    let ran = cluster.wait_for("a run", |ran| !ran.is_empty());
    let owner = names.iter().position(|who| *who == ran[0].who).unwrap();
    let mut owner = replicas.remove(owner);
    let mut skipped = Vec::new();
    while skipped.len() < 6 {
        let first = owner.expect("run.skipped")["first"].as_str().unwrap().to_owned();
        skipped.push(first.parse::<jiff::Timestamp>().unwrap());
    }
    drop(owner.stop());
    let ran = cluster.wait_for("runs of the other", |ran| ran.len() >= 3);
    assert_once(&ran);
    for one in &ran {
        assert!(!skipped.contains(&one.at), "{one:?} was skipped: {ran:#?}");
    }
}

#[test]
fn max_instances_counts_the_runs_of_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let crontab = "# cronkeep: max-instances=2\n* * * * * * {write} && sleep 3.5\n";
    let cluster = Cluster::new(redis, crontab);
    let _replicas = cluster.start(&["a", "b", "c"]);
    let ran = cluster.wait_for("runs", |ran| ran.len() >= 6);
    assert_once(&ran);
    for one in &ran {
        let at = one.at.as_second();
        let alive = ran.iter().filter(|other| (at..at + 4).contains(&other.at.as_second()));
        assert!(alive.count() <= 2, "{ran:#?}");
    }
}

#[test]
fn a_pause_holds_for_all_replicas() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let replicas = cluster.start(&["a", "b"]);
    let ran = cluster.wait_for_more(2);
    let command = |word: &str, replica: &crate::harness::Running| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        let output =
            command.args([word, &ran[0].job, "--control"]).arg(replica.socket()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    command("pause", &replicas[0]);
    let paused_jobs = |replica| cluster::status(replica)["jobs"]["paused"].clone();
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while paused_jobs(&replicas[1]) != 1 {
        assert!(std::time::Instant::now() < deadline, "the other replica does not know");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    let before = cluster.ran().len();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(cluster.ran().len() <= before + 1, "{:#?}", cluster.ran());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    command("resume", &replicas[1]);
    assert_once(&cluster.wait_for_more(2));
}

#[test]
fn replicas_with_other_jobs_are_told_of_and_not_refused() {
    let Some(redis) = Redis::start() else { return };
    let cluster = Cluster::new(redis, EACH_SECOND);
    let mut first = cluster.replica("a").start();
    let _second = cluster.replica("b").crontab("0 0 1 1 * true\n").start();
    first.expect_where("crontab.notice", |event| {
        event["message"].as_str().is_some_and(|text| text.contains("have other jobs"))
    });
    cluster.wait_for_more(2);
}
