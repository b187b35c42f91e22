//! A container of the image, with a crontab directory of the host.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::engine::{Engine, PATIENCE, both};

/// A running container; removed when dropped.
pub(crate) struct Container {
    engine: Arc<Engine>,
    name: String,
    folder: TempDir,
}

impl Container {
    /// Starts a container with the host's folder of one crontab at `/crontabs`.
    pub(crate) fn start(
        engine: &Arc<Engine>,
        image: &str,
        options: &[&str],
        arguments: &[&str],
        crontab: &str,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("jobs"), crontab).unwrap();
        let mount = format!("{}:/crontabs", folder.path().display());
        // The user of the container looks into it, whoever that is.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), open).unwrap();
        let head = ["run", "--detach", "--network=none", "--volume", &mount];
        let run = [&head[..], options, &[image][..], arguments].concat();
        let name = engine.docker(&run).trim().to_owned();
        Container { engine: Arc::clone(engine), name, folder }
    }

    /// The crontab, as the host sees it.
    pub(crate) fn crontab(&self) -> PathBuf {
        self.folder.path().join("jobs")
    }

    /// What `docker logs` prints.
    pub(crate) fn logs(&self) -> String {
        self.engine.docker(&["logs", &self.name])
    }

    /// The last lines of it, for a test that failed.
    pub(crate) fn last_lines(&self) -> String {
        let logs = self.logs();
        let lines: Vec<&str> = logs.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    /// Waits for a log that fits.
    pub(crate) fn expect_log(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.logs();
            if fits(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "no {what} in the log:\n{}", self.last_lines());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Runs a program inside; what it printed, if it succeeded.
    pub(crate) fn exec(&self, command: &[&str]) -> Result<String, String> {
        let output = self.engine.try_docker(&[&["exec", &self.name][..], command].concat());
        let text = both(&output);
        if output.status.success() { Ok(text) } else { Err(text) }
    }

    /// What `docker inspect` says of one field.
    pub(crate) fn field(&self, template: &str) -> String {
        self.engine.docker(&["inspect", "--format", template, &self.name]).trim().to_owned()
    }

    /// Waits until `docker inspect` says this of a field.
    pub(crate) fn expect_field(&self, template: &str, value: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.field(template);
            if found == value {
                return;
            }
            let detail = self.field("{{json .State}}");
            assert!(
                Instant::now() < deadline,
                "{template}: {found}: {detail}\n{}",
                self.last_lines()
            );
            std::thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// The processes inside that nobody has waited for.
    pub(crate) fn zombies(&self) -> usize {
        let list = self.exec(&["ps", "-o", "stat,comm"]).unwrap();
        list.lines().skip(1).filter(|line| line.trim_start().starts_with('Z')).count()
    }

    /// Starts it again after a stop.
    pub(crate) fn restart(&self) {
        self.engine.docker(&["start", &self.name]);
    }

    /// Stops it as Docker does, ten seconds for the grace; how long that took and the exit code.
    pub(crate) fn stop(&self) -> (Duration, i32) {
        let asked = Instant::now();
        self.engine.docker(&["stop", "--time=10", &self.name]);
        let code = self.field("{{.State.ExitCode}}").parse().unwrap();
        (asked.elapsed(), code)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", &self.name]);
    }
}
