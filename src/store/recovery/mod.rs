//! Recovery.
pub mod merge;
pub mod snapshot;
