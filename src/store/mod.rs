//! What outlives the daemon. Layer 5.

pub mod recovery;
