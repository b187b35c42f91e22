//! What people do with the image.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::base;
use crate::container::Container;
use crate::engine::engine;

/// `docker stop` waits ten seconds; the grace of jobs is eight.
const GRACE: Duration = Duration::from_secs(9);

#[test]
fn a_job_of_a_mounted_folder_runs_and_an_edit_on_the_host_is_followed() {
    let Some(engine) = engine() else { return };
    let container = Container::start(
        &engine,
        "cronkeep:rooted",
        &["--health-interval=1s"],
        &["/crontabs/jobs"],
        "* * * * * * echo the first text\n",
    );
    container.expect_log("first text", |log| log.contains("the first text"));
    fs::write(container.crontab(), "* * * * * * echo written in place\n").unwrap();
    container.expect_log("text in place", |log| log.contains("written in place"));
    let next = container.crontab().with_file_name("next");
    fs::write(&next, "* * * * * * echo renamed over\n").unwrap();
    fs::rename(&next, container.crontab()).unwrap();
    container.expect_log("renamed text", |log| log.contains("renamed over"));
    container.expect_field("{{.State.Health.Status}}", "healthy");
    let (took, code) = container.stop();
    assert!(took < GRACE && code == 0, "{took:?}, exit code {code}:\n{}", container.last_lines());
}

/// row 102: no zombie is left by jobs whose children outlive them.
#[test]
fn orphans_of_jobs_are_reaped_and_a_deaf_job_does_not_outlast_the_grace() {
    let Some(engine) = engine() else { return };
    let container = Container::start(
        &engine,
        "cronkeep:rooted",
        &[],
        &["/crontabs/jobs"],
        "* * * * * * for i in 1 2 3 4 5; do (setsid sleep 0.1 &); done; echo forked\n\
         * * * * * * [ -e /tmp/deaf ] && exit; trap '' TERM; touch /tmp/deaf; echo deaf; while :; do sleep 1; done\n",
    );
    container.expect_log("five rounds", |log| log.matches("] forked").count() >= 5);
    container.expect_log("a deaf job", |log| log.contains("] deaf"));
    // A process that has just ended may be seen once before it is reaped.
    let left = (0..50).map(|_| container.zombies()).min();
    assert_eq!(left, Some(0), "zombies: {}", container.exec(&["ps"]).unwrap());
    let (took, code) = container.stop();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(code, 1, "a job had to be killed:\n{}", container.last_lines());
}

#[test]
fn as_root_it_runs_the_jobs_of_each_user_of_a_system_table() {
    let Some(engine) = engine() else { return };
    let container = Container::start(
        &engine,
        "cronkeep:rooted",
        &[],
        &["--format=system", "/crontabs"],
        "* * * * * * root echo as $(id -u)\n* * * * * * worker echo as $(id -u) in $PWD\n",
    );
    container.expect_log("root's job", |log| log.contains("] as 0"));
    container.expect_log("the worker's job", |log| log.contains("] as 1000 in /tmp"));
    assert_eq!(container.stop().1, 0);
}

/// row 107: without root, jobs of its own user run.
#[test]
fn without_root_without_capabilities_on_a_read_only_root_it_runs_its_own_jobs() {
    let Some(engine) = engine() else { return };
    for user in ["10001:10001", "1234567:0"] {
        let container = Container::start(
            &engine,
            "cronkeep:rootless",
            &[
                "--user",
                user,
                "--read-only",
                "--tmpfs=/tmp",
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
                "--health-interval=1s",
            ],
            &["/crontabs/jobs"],
            "* * * * * * echo as $(id -u):$(id -g)\n",
        );
        container.expect_log("the job's identity", |log| log.contains(&format!("] as {user}")));
        container.expect_field("{{.State.Health.Status}}", "healthy");
        let (took, code) = container.stop();
        assert!(
            took < GRACE && code == 0,
            "{took:?}, exit code {code}:\n{}",
            container.last_lines()
        );
    }
}

#[test]
fn the_bare_image_holds_the_program_under_its_three_names_and_tells_what_jobs_lack() {
    let Some(engine) = engine() else { return };
    if !base::libraries(&base::cronkeep()).is_empty() {
        // A dynamic program cannot start where its libraries are not; `make test` hands in the static one.
        assert!(
            std::env::var_os("CRONKEEP_TEST_IMAGE_PROGRAM").is_none(),
            "the program must be static"
        );
        eprintln!("skipped: CRONKEEP_TEST_IMAGE_PROGRAM names no static program");
        return;
    }
    let container = Container::start(
        &engine,
        "cronkeep:bare",
        &[],
        &["/crontabs/jobs"],
        "* * * * * * echo x\n",
    );
    container.expect_log("the missing shell", |log| {
        log.contains("could not start: /bin/sh: No such file or directory")
    });
    container.exec(&["/usr/local/bin/cronkeep", "health"]).unwrap();
    for name in ["crond", "crontab", "cronkeep"] {
        let path = format!("/usr/local/bin/{name}");
        let said = container.exec(&[&path, "-V"]).unwrap();
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{name} -V: {said}");
    }
    assert_eq!(container.stop().1, 0);
}

#[test]
fn a_worker_in_a_container_answers_the_health_check_of_the_image() {
    let Some(engine) = engine() else { return };
    let container = Container::start(
        &engine,
        "cronkeep:rooted",
        &["--health-interval=1s", "--read-only", "--tmpfs=/tmp", "--tmpfs=/run"],
        &["worker", "--queue", "heavy", "--amqp", "amqp://127.0.0.1:1", "--insecure"],
        "",
    );
    container.expect_field("{{.State.Health.Status}}", "healthy");
    let said = container.exec(&["cronkeep", "health"]).unwrap();
    assert!(said.contains("degraded: the broker amqp://127.0.0.1:1 is away: "), "{said}");
    assert_eq!(container.stop().1, 0);
}

#[test]
fn the_names_that_cron_is_known_by_lead_to_the_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/image/usr/local/bin");
    for name in ["crond", "crontab"] {
        assert_eq!(fs::read_link(folder.join(name)).unwrap(), Path::new("cronkeep"));
    }
    let mode = fs::metadata(base::cronkeep()).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "anybody may start it");
}
