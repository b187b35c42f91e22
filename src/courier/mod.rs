//! Runs that need no process here: built-in commands, and commands that are sent to workers.
//!
//! Receives attempts of runs from the [`executor`](crate::executor), hands messages to the [`outbox`](crate::outbox), and
//! waits for what comes of them. Layer 7.
