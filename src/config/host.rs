//! What the program is told by its surroundings.

use std::ffi::OsString;
use std::path::PathBuf;

use nix::unistd::{User, geteuid};

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

/// Where the control socket is unless the options say otherwise.
#[must_use]
pub fn default_control(host: &Host) -> PathBuf {
    if host.uid == 0 {
        return PathBuf::from("/run/cronkeep/control.sock");
    }
    match &host.runtime_dir {
        Some(folder) => folder.join("cronkeep/control.sock"),
        None => default_state_dir(host).join("control.sock"),
    }
}
