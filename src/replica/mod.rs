//! Between what is due and what is started, where the schedule is shared: each fire is started by one replica.
//!
//! Receives the [`Fire`]s of the scheduler, hands on those that the store grants. Layer 6. A burst is claimed in one round
//! trip, within a deadline; what another replica has claimed is kept in mind until it was started, and taken over where its
//! owner dies first. The protocol is that of [`claim`](crate::store::claim). A daemon that shares its schedule with nobody has
//! no gate.
//!
//! It never starts anything itself, and never holds what no schedule caused: runs that somebody asked for, that follow others
//! or a reboot do not come here.

mod gate;
mod hold;
mod member;
mod passed;
mod peers;
mod policy;
mod verdict;
mod waiting;

pub use gate::{Duty, Gate, Leave, Ports, Settings};
pub use hold::Held;
pub use policy::Silence;
