//! What the program is told by its surroundings.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{User, geteuid};

use super::variable;

/// What the program is told by its surroundings rather than by its arguments.
#[derive(Debug, Clone)]
pub struct Host {
    /// The name of the user the process runs as; the number where it has no name.
    pub user: String,
    /// The number of that user.
    pub uid: u32,
    /// The process's id; 1 changes what happens at the end.
    pub pid: u32,
    /// The variable `HOME`.
    pub home: Option<PathBuf>,
    /// The variable `XDG_STATE_HOME`.
    pub state_home: Option<PathBuf>,
    /// The variable `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// The variable `TZ`.
    pub tz: Option<OsString>,
    /// The names of variables that begin as the options' do and have a value.
    pub variables: Vec<String>,
    /// The file that says what the local zone is.
    pub localtime: PathBuf,
}

impl Host {
    /// Reads the process's own surroundings.
    #[must_use]
    pub fn of_process() -> Self {
        let folder =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let uid = geteuid();
        let user = User::from_uid(uid).ok().flatten();
        Host {
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            uid: uid.as_raw(),
            pid: std::process::id(),
            home: folder("HOME"),
            state_home: folder("XDG_STATE_HOME"),
            runtime_dir: folder("XDG_RUNTIME_DIR"),
            tz: std::env::var_os("TZ"),
            variables: variable::own(std::env::vars_os()),
            localtime: PathBuf::from("/etc/localtime"),
        }
    }
}

/// Where state is kept unless the options say otherwise.
#[must_use]
pub fn default_state_dir(host: &Host) -> PathBuf {
    if host.uid == 0 {
        return PathBuf::from("/var/lib/cronkeep");
    }
    let home = || host.home.clone().unwrap_or_else(|| PathBuf::from("/")).join(".local/state");
    host.state_home.clone().unwrap_or_else(home).join("cronkeep")
}

/// Where the socket of root's daemon is, as a rule.
pub const ROOTS_CONTROL: &str = "/run/cronkeep/control.sock";

/// Where the control socket is unless the options say otherwise.
///
/// In a container whose root file system is read-only that is in `/dev/shm`, which every container has. Daemon and clients
/// judge it alike, whoever they are.
#[must_use]
pub fn default_control(host: &Host) -> PathBuf {
    let folder = match &host.runtime_dir {
        _ if host.uid == 0 => PathBuf::from(ROOTS_CONTROL.trim_end_matches("/control.sock")),
        Some(folder) => folder.join("cronkeep"),
        None => default_state_dir(host),
    };
    if is_read_only(&folder) {
        return PathBuf::from(format!("/dev/shm/cronkeep-{}/control.sock", host.uid));
    }
    folder.join("control.sock")
}

/// Whether the file system on which `folder` is, or would be made, takes no new file.
fn is_read_only(folder: &Path) -> bool {
    let found = folder.ancestors().find_map(|folder| statvfs(folder).ok());
    found.is_some_and(|found| found.flags().contains(FsFlags::ST_RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_judged_by_what_there_is_of_its_path() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_read_only(&folder.path().join("not/there/yet")));
    }
}
