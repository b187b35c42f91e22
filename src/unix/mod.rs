//! System calls: the only room with unsafe code.
//!
//! Children are started without forking the daemon ([`spawn`]) and waited for in one place ([`reaper`]); signals
//! arrive as one stream ([`signals`]). Layer 0: knows nothing of jobs.

pub mod background;
pub mod beside;
mod child;
pub mod identity;
pub mod limit;
pub mod lock;
pub mod memory;
pub mod pipe;
pub mod process;
pub mod reaper;
pub mod signals;
pub mod spawn;
mod strings;
mod witness;

pub use beside::beside;
pub use identity::{Account, NoAccount, Subject};
pub use limit::Limit;
pub use nix::errno::Errno;
pub use nix::sys::signal::Signal;
pub use nix::unistd::Pid;
pub use reaper::{Ended, Reaper, Status, Usage};
pub use signals::Signals;
pub use spawn::{Command, Direct, NotSpawned, Spawned, Spawner, Step};
pub use strings::{NulByte, Strings};
pub use witness::Witness;
