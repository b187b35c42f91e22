//! The worker: carries out what another Cronkeep has sent.
//!
//! Receives signed orders from a queue, hands fires to an [`executor`](crate::executor) and what came of them back to whoever
//! sent them. Layer 7.
