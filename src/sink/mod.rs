//! Those who tell of what happened.
//!
//! Receives [`Event`](crate::event::Event)s from the bus, each sink on a channel and in a thread or task of its own; hands on nothing
//! inside the program. Layer 7. A sink that is slow or broken must never hold up a fire.

pub mod hook;
pub mod keep;
pub mod log;
pub mod publish;
pub mod recent;
pub mod record;
mod repeat;
pub mod seen;
pub mod stderr;
pub mod syslog;
pub mod trace;
