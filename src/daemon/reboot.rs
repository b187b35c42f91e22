//! `@reboot`: once per container start as PID 1, else once per boot.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::event::{Bus, Event, Fire, Trigger};
use crate::job::{Job, JobTable};
use crate::schedule::{Due, Schedule};

/// The marker's name in the directory that holds it.
const NAME: &str = "reboot";
/// Where the marker is where the state directory cannot be written.
const RUN: &str = "/run/cronkeep";

/// Starts the `@reboot` jobs of the first load, and then never again.
pub(super) struct Reboot {
    /// Empty once the first load has been answered.
    fires: Option<mpsc::UnboundedSender<Fire>>,
    bus: Bus,
    /// The daemon's start.
    at: Timestamp,
    pid_1: bool,
    /// Where the marker may be, in order of preference.
    folders: Vec<PathBuf>,
}

/// Whether this is a boot that has not been answered.
#[derive(Debug, PartialEq, Eq)]
enum Boot {
    /// It is: now marked.
    New,
    /// A daemon has answered it before this one.
    Known,
    /// It cannot be told, for this reason.
    Unmarked(String),
}

impl Reboot {
    /// For a daemon that started at `at`; `state_dir` is where the marker is kept.
    pub(super) fn new(
        fires: mpsc::UnboundedSender<Fire>,
        bus: Bus,
        at: Timestamp,
        state_dir: &Path,
    ) -> Self {
        // A daemon with another state directory is another one, and its marker says nothing of ours.
        let below = state_dir.strip_prefix("/").unwrap_or(state_dir);
        let folders = vec![state_dir.to_owned(), Path::new(RUN).join(below)];
        Reboot { fires: Some(fires), bus, at, pid_1: std::process::id() == 1, folders }
    }

    /// Answers the first load; later ones are none.
    pub(super) fn loaded(&mut self, table: &JobTable) {
        let Some(fires) = self.fires.take() else { return };
        // The marker is for the next daemon, too: jobs that are added later wait for a boot.
        let boot = match identity() {
            // The container's start is what a boot is elsewhere, whatever an image or a volume has kept.
            _ if self.pid_1 => Boot::New,
            Ok(identity) => mark(&self.folders, &identity),
            Err(error) => Boot::Unmarked(format!("/proc does not tell this boot: {error}")),
        };
        let mut jobs = table.jobs().iter().filter(|job| self.is_due(job)).peekable();
        if jobs.peek().is_none() {
            return;
        }
        match boot {
            Boot::New => {}
            Boot::Known => {
                let text = "@reboot jobs have run since this boot; they run at the next one";
                return self.tell(text.into(), false);
            }
            Boot::Unmarked(reason) => self.tell(
                format!(
                    "@reboot jobs run now, and again when the daemon is started anew: {reason}"
                ),
                true,
            ),
        }
        for job in jobs {
            let civil = job.zone().civil(self.at);
            let due = Due { at: self.at, civil };
            let fire = Fire { job: Arc::clone(job), due, trigger: Trigger::Reboot, generation: 0 };
            // Without an executor the daemon is about to end.
            let _ = fires.send(fire);
        }
    }

    fn is_due(&self, job: &Job) -> bool {
        let policy = job.policy();
        *job.schedule() == Schedule::Reboot
            && policy.enabled
            && policy.from.is_none_or(|from| self.at >= from)
            && policy.until.is_none_or(|until| self.at < until)
    }

    fn tell(&self, text: String, warning: bool) {
        self.bus.publish(Event::Notice { file: None, text, warning });
    }
}

/// What tells this boot, or this container's start, from every other: the kernel's boot id, the PID namespace, and the
/// start of its first process, since the numbers of namespaces are used again.
fn identity() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    // Hidden from some users: then it is left out each time.
    let first = fs::read_to_string("/proc/1/stat").unwrap_or_default();
    Ok(format!("{} {} {}\n", boot.trim(), namespace.display(), start_time(&first).unwrap_or("-")))
}

/// The start time, in clock ticks since boot, of `/proc/PID/stat`.
fn start_time(stat: &str) -> Option<&str> {
    // The command's name may hold blanks and parentheses; the start time is field 22, the state field 3.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)
}

/// Compares the marker with `identity`, and renews it in the first folder that takes it.
fn mark(folders: &[PathBuf], identity: &str) -> Boot {
    if folders.iter().any(|folder| is_marked(&folder.join(NAME), identity)) {
        return Boot::Known;
    }
    let mut reasons = Vec::new();
    for folder in folders {
        match write(folder, identity) {
            Ok(()) => return Boot::New,
            Err(error) => reasons.push(format!("{}: {error}", folder.display())),
        }
    }
    Boot::Unmarked(format!("the marker cannot be written ({})", reasons.join("; ")))
}

fn is_marked(path: &Path, identity: &str) -> bool {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path);
    let Ok(file) = file else { return false };
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).is_ok() && text == identity
}

/// Writes the marker: the old one or the new one is there at any moment.
fn write(folder: &Path, identity: &str) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = folder.join(".reboot.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(identity.as_bytes())?;
    fs::rename(&new, folder.join(NAME))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, Source, parse};
    use crate::schedule::Zone;

    /// What fires, and what is told, of two loads of a crontab.
    fn answered(pid_1: bool, folders: Vec<PathBuf>) -> (Vec<String>, Vec<(String, bool)>) {
        let text = "@reboot first\n0 2 * * * other\n# cronkeep: enabled=no\n@reboot never\n";
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let source = Source {
            name: "test".into(),
            bytes: text.as_bytes().to_vec(),
            dialect: Dialect::user("root"),
        };
        let crontab = parse(&source);
        let (options, before) = (Options::default(), JobTable::default());
        let (table, _, _) =
            JobTable::build(&[(&source, &crontab)], &Zone::utc(), &options, &before, now);
        let (sender, mut fires) = mpsc::unbounded_channel();
        let mut bus = Bus::builder();
        let mut events = bus.subscribe();
        let mut reboot = Reboot::new(sender, bus.build(), now, Path::new("/nowhere"));
        (reboot.pid_1, reboot.folders) = (pid_1, folders);
        reboot.loaded(&table);
        reboot.loaded(&table);
        let started = std::iter::from_fn(|| fires.try_recv().ok())
            .map(|fire| format!("{} {} {}", fire.job.action.command(), fire.due.at, fire.trigger))
            .collect();
        let told = std::iter::from_fn(|| events.try_recv().ok())
            .map(|event| match &*event {
                Event::Notice { text, warning, .. } => (text.clone(), *warning),
                other => panic!("{other:?}"),
            })
            .collect();
        (started, told)
    }

    const FIRST: &str = "first 2026-01-01T00:00:00Z reboot";

    #[test]
    fn row_88_once_per_boot_where_the_marker_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(answered(false, vec![state.clone()]), (vec![FIRST.to_owned()], vec![]));
        let (fired, told) = answered(false, vec![state.clone()]);
        assert!(fired.is_empty());
        assert_eq!(told.len(), 1);
        assert!(!told[0].1);
        fs::write(state.join(NAME), "another boot\n").unwrap();
        assert_eq!(answered(false, vec![state]).0, [FIRST]);
    }

    #[test]
    fn row_88_pid_1_runs_them_whatever_the_marker_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), identity().unwrap()).unwrap();
        let answer = answered(true, vec![folder.path().to_owned()]);
        assert_eq!(answer, (vec![FIRST.to_owned()], vec![]));
    }

    #[test]
    fn row_88_where_no_marker_can_be_written_they_run_with_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let (fired, told) = answered(false, vec![file.join("state")]);
        assert_eq!(fired, [FIRST]);
        assert!(told[0].1 && told[0].0.contains("the marker cannot be written"), "{told:?}");
    }

    #[test]
    fn the_marker_goes_where_it_can_be_written_and_is_found_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let folders = vec![file.join("state"), folder.path().join("run")];
        assert_eq!(mark(&folders, "x\n"), Boot::New);
        assert_eq!(mark(&folders, "x\n"), Boot::Known);
        assert_eq!(mark(&folders, "y\n"), Boot::New);
    }

    #[test]
    fn a_marker_that_is_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "x\n").unwrap();
        std::os::unix::fs::symlink(&target, folder.path().join(NAME)).unwrap();
        assert_eq!(mark(&[folder.path().to_owned()], "x\n"), Boot::New);
        assert_eq!(fs::read_to_string(target).unwrap(), "x\n");
    }

    #[test]
    fn the_start_of_a_process_is_found_behind_any_name() {
        let stat = "1 (a) b (c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(start_time(stat), Some("4242"));
    }
}
