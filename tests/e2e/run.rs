//! What a job gets, and what the log says of it.

use std::collections::BTreeSet;

use crate::harness::Crond;

#[test]
fn a_job_each_second_for_a_minute_loses_and_doubles_none() {
    let crond =
        Crond::new().crontab("* * * * * * echo $CRONKEEP_SCHEDULED_AT >> {dir}/log\n").start();
    let log = {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(90);
        loop {
            let text = std::fs::read_to_string(crond.path("log")).unwrap_or_default();
            if text.lines().count() >= 60 {
                break text;
            }
            assert!(std::time::Instant::now() < deadline, "{text}");
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
    };
    let seconds: Vec<i64> =
        log.lines().map(|line| line.parse::<jiff::Timestamp>().unwrap().as_second()).collect();
    let distinct: BTreeSet<i64> = seconds.iter().copied().collect();
    assert_eq!(distinct.len(), seconds.len(), "an instant ran twice");
    let (first, last) = (distinct.first().unwrap(), distinct.last().unwrap());
    assert_eq!(distinct.len(), usize::try_from(last - first + 1).unwrap(), "an instant was lost");
    crond.stop();
}

/// row 95: in the foreground every line of a job is told.
#[test]
fn both_streams_are_captured_line_by_line() {
    let mut crond =
        Crond::new().crontab("* * * * * * echo out; echo err >&2; printf unfinished\n").start();
    let started = crond.expect("run.started");
    let ended = crond.expect_where("run.ended", |event| event["run"] == started["run"]);
    // The log's two streams reach the test side by side; the next start comes after all lines of this run.
    let later = |event: &serde_json::Value| event["run"] != started["run"];
    crond.expect_where("run.output", later);
    let lines: BTreeSet<(String, String)> = crond
        .seen()
        .iter()
        .filter(|event| event["event"] == "run.output" && event["run"] == started["run"])
        .map(|event| {
            (event["stream"].as_str().unwrap().into(), event["line"].as_str().unwrap().into())
        })
        .collect();
    let expected = [("stderr", "err"), ("stdout", "out"), ("stdout", "unfinished")]
        .map(|(stream, line)| (stream.to_owned(), line.to_owned()));
    assert_eq!(lines, expected.into());
    assert_eq!(ended["exit"], 0);
    crond.stop();
}

#[test]
fn the_end_says_exit_code_signal_and_duration() {
    let mut crond = Crond::new()
        .crontab("* * * * * * exit 3\n* * * * * * kill -KILL $$\n* * * * * * no-such-command\n")
        .start();
    let failed = crond.expect_where("run.ended", |event| event["exit"] == 3);
    assert_eq!(failed["outcome"], "failed with exit code 3");
    assert!(failed["duration_ms"].is_u64(), "{failed}");
    crond.expect_where("run.ended", |event| event["signal"] == 9);
    let missing = crond.expect_where("run.ended", |event| event["exit"] == 127);
    assert_eq!(missing["outcome"], "failed with exit code 127, command not found");
    crond.stop();
}

/// row 93: the words of cron for the start and the end of a run.
#[test]
fn start_and_end_carry_crons_own_wording() {
    let mut crond = Crond::new().crontab("* * * * * * true\n").start();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    assert_eq!(crond.expect("run.started")["message"], format!("({user}) CMD (true)"));
    assert_eq!(crond.expect("run.ended")["message"], format!("({user}) CMDEND (true)"));
    crond.stop();
}

#[test]
fn settings_stdin_and_identity_reach_the_job() {
    let mut crond = Crond::new()
        .crontab("GREETING=hello\n# cronkeep: name=reader\n* * * * * * cat; echo $GREETING $CRONKEEP_JOB_NAME $CRONKEEP_ATTEMPT $USER%one%two\n")
        .start();
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    for line in ["one".to_owned(), "two".to_owned(), format!("hello reader 1 {user}")] {
        crond.expect_where("run.output", |event| event["line"] == line.as_str());
    }
    crond.stop();
}

#[test]
fn a_background_child_does_not_keep_the_run_alive() {
    let mut crond = Crond::new()
        .crontab(
            "* * * * * * (while [ ! -e {dir}/go ]; do sleep 0.05; done; echo late) & echo early\n",
        )
        .start();
    let started = crond.expect("run.started");
    crond.expect_where("run.ended", |event| event["run"] == started["run"]);
    std::fs::write(crond.path("go"), "").unwrap();
    let late = crond.expect_where("run.output", |event| {
        event["run"] == started["run"] && event["line"] == "late"
    });
    assert_eq!(late["detached"], true);
    crond.stop();
}

#[test]
fn an_entry_of_a_user_who_does_not_exist_is_reported_and_not_run() {
    let mut crond = Crond::new()
        .arg("--format")
        .arg("system")
        .crontab("* * * * * * somebody-else echo no\n")
        .spawn();
    // Only root runs the jobs of others at all.
    let root = nix::unistd::geteuid().is_root();
    let told = crond.expect(if root { "run.ended" } else { "job.refused" });
    assert!(told.to_string().contains("somebody-else"), "{told}");
    let events = crond.stop();
    assert!(events.iter().all(|event| event["event"] != "run.started"));
}

#[test]
fn what_a_job_prints_cannot_write_to_the_terminal() {
    let mut crond = Crond::new().crontab("* * * * * * printf '\\033[31mred\\n'\n").start();
    let output = crond.expect("run.output");
    assert_eq!(output["line"], "^[[31mred");
    crond.stop();
}

#[test]
fn a_variable_that_sets_no_option_is_told_once_and_what_a_run_has_is_none() {
    let mut crond = Crond::new()
        .env("CRONKEEP_STOP_GRASE", "1m")
        .env("CRONKEEP_JOB_ID", "x")
        .env("CRONKEEP_TEST_ANYTHING", "x")
        .crontab("@daily true\n")
        .start();
    let told: Vec<String> = crond.seen().iter().map(serde_json::Value::to_string).collect();
    let about: Vec<&String> =
        told.iter().filter(|event| event.contains("no option is set by")).collect();
    assert_eq!(about.len(), 1, "{told:#?}");
    assert!(about[0].contains("CRONKEEP_STOP_GRASE (did you mean CRONKEEP_STOP_GRACE?)"));
    assert!(!about[0].contains("JOB_ID") && !about[0].contains("TEST"), "{}", about[0]);
    crond.stop();
}

#[test]
fn a_clean_environment_has_the_names_that_are_allowed_and_no_other() {
    let mut crond = Crond::new()
        .arg("--clean-env")
        .arg("--env-allow")
        .arg("BAR,BAZ")
        .env("BAR", "1")
        .env("BAZ", "2")
        .env("FOO", "3")
        .crontab("* * * * * * echo \"$BAR$BAZ$FOO.\"\n")
        .start();
    assert_eq!(crond.expect("run.output")["line"], "12.");
    crond.stop();
}

#[test]
fn a_subreaper_becomes_the_parent_of_what_jobs_leave_behind() {
    let orphan = "s=/proc/$$/status; : > up; while grep -q \"^PPid:.$PPID$\" $s; do sleep 0.02; done; sed -n s/^PPid:.//p $s";
    let mut crond = Crond::new()
        .arg("--subreaper")
        .crontab(&format!(
            "0 0 1 1 * cd {{dir}}; sh -c '{orphan}' & while [ ! -e up ]; do sleep 0.02; done\n"
        ))
        .start();
    let job = crate::client::objects(&crate::client::told(&crond, &["list", "--json"])).remove(0);
    crate::client::told(&crond, &["run", job["id"].as_str().unwrap()]);
    let parent = crond.expect("run.output")["line"].clone();
    assert_eq!(parent, crond.pid().to_string());
    crond.stop();
}
