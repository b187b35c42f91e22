//! Limits of this process, and what its children get of them.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A limit of resources: what holds, and how far it may be raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What holds.
    pub soft: u64,
    /// How far anybody may raise it.
    pub hard: u64,
}

impl Limit {
    pub(super) fn raw(self) -> libc::rlimit64 {
        libc::rlimit64 { rlim_cur: self.soft, rlim_max: self.hard }
    }
}

/// Raises the number of descriptors that this process may have as far as it goes; what the limit was, so that jobs get
/// it back, or nothing if it has not changed.
#[must_use]
pub fn raise_descriptors() -> Option<Limit> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft >= hard {
        return None;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).ok()?;
    Some(Limit { soft, hard })
}
