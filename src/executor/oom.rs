//! Whether the kernel ended a process since memory ran out.

use std::fs;
use std::path::{Path, PathBuf};

/// The file in which the kernel counts the processes of our cgroup that it ended for want of memory.
///
/// `memory.events` of cgroup v2 or `memory.oom_control` of v1, whichever has the memory controller.
#[derive(Debug, Clone)]
pub(super) struct OomCounter(Option<PathBuf>);

impl OomCounter {
    /// That of this process's cgroup; it stays there.
    #[must_use]
    pub(super) fn of_process() -> Self {
        let read = |name: &str| fs::read_to_string(Path::new("/proc/self").join(name));
        let (Ok(cgroups), Ok(mounts)) = (read("cgroup"), read("mountinfo")) else {
            return OomCounter(None);
        };
        OomCounter(places(&cgroups, &mounts).into_iter().find(|path| path.exists()))
    }

    /// How many were ended so far; none where the kernel does not count them for us.
    #[must_use]
    pub(super) fn read(&self) -> Option<u64> {
        count(&fs::read_to_string(self.0.as_ref()?).ok()?)
    }
}

/// The number beside `oom_kill`.
fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Where the counter may be, best first, as `/proc/self/cgroup` and `/proc/self/mountinfo` tell.
fn places(cgroups: &str, mounts: &str) -> Vec<PathBuf> {
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        cgroups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(controllers).then_some(path)
        })
    };
    let has = |list: &str| list.split(',').any(|word| word == "memory");
    let first = path_of(&has).map(|path| (path, "cgroup", "memory.oom_control"));
    let second = path_of(&str::is_empty).map(|path| (path, "cgroup2", "memory.events"));
    let mut found = Vec::new();
    for (path, kind, file) in first.into_iter().chain(second) {
        for line in mounts.lines() {
            let Some((head, tail)) = line.split_once(" - ") else { continue };
            let mut tail = tail.split(' ');
            let is_kind = tail.next() == Some(kind);
            if !is_kind || kind == "cgroup" && !tail.nth(1).is_some_and(has) {
                continue;
            }
            let mut head = head.split(' ').skip(3);
            let (Some(root), Some(point)) = (head.next(), head.next()) else { continue };
            // In a container that does not see its own place in the tree, the mount is that place.
            let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
            found.push(Path::new(point).join(below.trim_start_matches('/')).join(file));
            found.push(Path::new(point).join(file));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_of_the_counter_are_read() {
        let second = "low 0\nhigh 0\nmax 14\noom 3\noom_kill 2\noom_group_kill 0\n";
        let first = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!((count(second), count(first)), (Some(2), Some(7)));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None, "before Linux 4.13");
        assert_eq!(count(""), None);
    }

    #[test]
    fn the_counter_of_cgroup_2_is_found_below_its_mount() {
        let mounts = "24 1 0:22 / /proc rw - proc proc rw\n\
                      30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = places("0::/system.slice/cronkeep.service\n", mounts);
        let expected = "/sys/fs/cgroup/system.slice/cronkeep.service/memory.events";
        assert_eq!(found[0], Path::new(expected));
        assert_eq!(places("0::/\n", mounts)[0], Path::new("/sys/fs/cgroup/memory.events"));
    }

    #[test]
    fn the_first_version_goes_before_the_second_where_it_has_the_controller() {
        let cgroups = "5:cpu,cpuacct:/docker/c0\n4:memory:/docker/c0\n0::/docker/c0\n";
        let mounts = "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      32 30 0:28 /docker/c0 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct\n\
                      33 30 0:29 /docker/c0 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let found = places(cgroups, mounts);
        assert_eq!(found[0], Path::new("/sys/fs/cgroup/memory/memory.oom_control"));
        assert!(found.contains(&PathBuf::from("/sys/fs/cgroup/unified/docker/c0/memory.events")));
    }

    #[test]
    fn a_host_without_cgroups_has_no_counter() {
        assert!(places("", "").is_empty());
        assert_eq!(OomCounter(None).read(), None);
    }
}
