//! Carries out runs without a process here: publishes their messages, has workers carry them out.
//!
//! Receives runs from the [`executor`](crate::executor), hands letters to the [`outbox`](crate::outbox), and hands on what came
//! of each. Layer 7.

mod order;
mod permission;
mod replies;
mod report;
mod worker;

pub use permission::Permission;
pub use worker::{BEAT, Signing, Workers};
