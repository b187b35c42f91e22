//! The real daemon and the real service, one after the other on one Redis: each takes over from the other.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use cronkeep::store::legacy::{self, Row};
use tempfile::TempDir;

use crate::python::{Service, wait};
use crate::redis::Redis;
use crate::rows;

/// What both read alike, the service's other ids for a list of numbers and ranges included; none comes in a test's time.
const TABLE: &str = "\
SHELL=/bin/sh
# nightly and more
17 3 29 2 *\troot    cd / && true --hourly
@yearly root /bin/true special # a remark
0 9-17 1 1 MON-FRI root /bin/true report
30,0,15 */2 1-7 jan,jul * root true \"quoted\" 'and' \\\\ /slashes/
0 0 29 2 * root true +\\%F%standard input%more
0 0 29 2 * root true 中文 命令 --名=值 🐍
*,5 0 29 2 * root true starlist
*/10,5,15-20 0 29 2 * root true weave
";

/// Our daemon on a system table of its own; killed when dropped.
struct Daemon {
    child: Child,
    folder: TempDir,
}

impl Daemon {
    fn start(redis: &Redis, crontab: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::write(folder.path().join("crontab"), crontab).expect("a crontab");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_cronkeep"))
            .args(["--format", "system", "--namespace", "default", "--store", &redis.url()])
            .arg(folder.path().join("crontab"))
            .env("CRONKEEP_CONTROL", folder.path().join("run/control.sock"))
            .env("CRONKEEP_STATE_DIR", folder.path().join("state"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        Daemon { child, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("crontab")
    }

    fn crontab(&self) -> String {
        std::fs::read_to_string(self.path()).expect("a crontab")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Waits until the service's key holds these rows, as Python's `json.dumps` would write them.
    fn expect_cached(&self, redis: &Redis, rows: &[Row]) {
        let expected = legacy::dumps(rows);
        let cached =
            || redis.get(legacy::CACHE).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        wait(
            || cached().as_deref() == Some(&*expected),
            || format!("cached: {:?}\nnot:    {expected:?}\n{}", cached(), self.log()),
        );
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_service_restores_in_a_new_container_what_our_daemon_kept() {
    let Some(redis) = Redis::start() else { return };
    let daemon = Daemon::start(&redis, "");
    daemon.expect_cached(&redis, &[]);
    std::fs::write(daemon.path(), TABLE).expect("an edit");
    daemon.expect_cached(&redis, &rows(TABLE));
    drop(daemon);
    let Some(service) = Service::start(&redis, "") else { return };
    service.expect("Recovery crond setting completed.");
    let restored = service.crontab();
    assert_eq!(rows(&restored), rows(TABLE), "{restored}");
}

/// Recovery, case 5: the cache is all that there is.
#[test]
fn our_daemon_recovers_what_the_service_kept_and_adds_no_job_twice() {
    let Some(redis) = Redis::start() else { return };
    let Some(service) = Service::start(&redis, "") else { return };
    service.edit(TABLE);
    let expected = legacy::dumps(&rows(TABLE));
    wait(
        || redis.get(legacy::CACHE).as_deref() == Some(expected.as_bytes()),
        || format!("not cached: {}", service.log()),
    );
    drop(service);
    // A file that has them all stays as it is, though the service gives two of them other ids.
    let daemon = Daemon::start(&redis, TABLE);
    wait(|| daemon.log().contains("crontab.loaded"), || daemon.log());
    wait(|| redis.keys().len() > 1, || daemon.log());
    assert_eq!(daemon.crontab(), TABLE, "{}", daemon.log());
    drop(daemon);
    for file in ["", "5 5 29 2 * root true own\n"] {
        redis.flush();
        redis.set(legacy::CACHE, &expected);
        let daemon = Daemon::start(&redis, file);
        let wanted = [rows(file), rows(TABLE)].concat();
        daemon.expect_cached(&redis, &wanted);
        let recovered = daemon.crontab();
        assert!(recovered.starts_with(file), "{recovered}");
        assert_eq!(rows(&recovered), wanted, "{recovered}");
        assert_eq!(
            recovered.matches("# crond service crondServiceTask-").count(),
            8,
            "{recovered}"
        );
    }
}
