//! Cgroups for what is measured or bounded there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::getpid;

/// So many were made: each has a name of its own.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A cgroup below our own, with a limit on memory; removed when dropped.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// With so many bytes at most; says why, where the machine does not let us.
    pub fn with_memory(bytes: u64) -> Result<Self, String> {
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let first = own.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
        let second = own.lines().find_map(|line| line.strip_prefix("0::"));
        let (base, file) = match (first, second) {
            (Some(path), _) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            (None, Some(path)) => (format!("/sys/fs/cgroup{path}"), "memory.max"),
            (None, None) => return Err("no cgroup".into()),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(&base).join(format!("cronkeep-test-{}-{number}", getpid()));
        fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let cgroup = Cgroup(folder);
        let limit = fs::write(cgroup.0.join(file), bytes.to_string());
        limit.map_err(|error| format!("{file}: {error}"))?;
        // Swap would only put it off, where there is any.
        let _ = fs::write(cgroup.0.join("memory.swap.max"), "0");
        Ok(cgroup)
    }

    /// A program that joins it before it begins.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]);
        command.arg(&self.0).arg(name);
        command
    }

    /// The bytes that are charged to it, but for what it has of files.
    pub fn charged(&self) -> u64 {
        let read = |name: &str| fs::read_to_string(self.0.join(name));
        let (all, file) = match read("memory.usage_in_bytes") {
            Ok(all) => (all, "cache "),
            Err(_) => (read("memory.current").unwrap(), "file "),
        };
        let stat = read("memory.stat").unwrap();
        let file = stat.lines().find_map(|line| line.strip_prefix(file)).unwrap();
        let [all, file] = [&*all, file].map(|number| number.trim().parse::<u64>().unwrap());
        all.saturating_sub(file)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
