//! The crond under test.

use std::path::{Path, PathBuf};

/// Which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crond {
    Ours,
    Debian,
    Busybox,
}

impl Crond {
    pub(crate) fn under_test() -> Self {
        match std::env::var("CROND_UNDER_TEST").as_deref() {
            Err(_) | Ok("" | "cronkeep") => Crond::Ours,
            Ok("debian") => Crond::Debian,
            Ok("busybox") => Crond::Busybox,
            Ok(other) => panic!("CROND_UNDER_TEST is cronkeep, debian or busybox, not {other}"),
        }
    }

    /// The daemon's program on this machine.
    pub(crate) fn program(self) -> PathBuf {
        match self {
            Crond::Ours => PathBuf::from(env!("CARGO_BIN_EXE_cronkeep")),
            Crond::Debian => PathBuf::from("/usr/sbin/cron"),
            Crond::Busybox => ["/bin/busybox", "/usr/bin/busybox"]
                .iter()
                .map(PathBuf::from)
                .find(|path| path.exists())
                .unwrap_or_else(|| PathBuf::from("/bin/busybox")),
        }
    }

    /// How the daemon is called inside a life, where the program is [`INSIDE`].
    pub(crate) fn daemon(self) -> &'static [&'static str] {
        match self {
            Crond::Ours => &[INSIDE],
            Crond::Debian => &[INSIDE, "-f"],
            Crond::Busybox => &[INSIDE, "crond", "-f", "-l", "0"],
        }
    }

    /// How crontab(1) is called inside a life.
    pub(crate) fn crontab(self) -> &'static [&'static str] {
        match self {
            Crond::Debian => &["/usr/bin/crontab"],
            Crond::Ours | Crond::Busybox => &[INSIDE, "crontab"],
        }
    }

    /// Why it cannot be tested here.
    pub(crate) fn lacking(self) -> Option<String> {
        if !nix::unistd::geteuid().is_root() {
            return Some("root's rights".to_owned());
        }
        let tool = ["/usr/bin/unshare", "/usr/sbin/chroot", "/bin/mount"].map(PathBuf::from);
        tool.into_iter()
            .chain([self.program()])
            .find(|path| !Path::new(path).exists())
            .map(|path| path.display().to_string())
    }
}

/// Where the program is inside a life; the last part is what busybox goes by.
pub(crate) const INSIDE: &str = "/usr/sbin/busybox";
