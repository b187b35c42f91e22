//! The executor with real processes: what a command gets, what is told of it, how it is ended.
#![expect(clippy::unwrap_used, reason = "a test")]

mod ahead;
mod attempt;
mod carried;
mod courier;
mod crowd;
mod ended;
mod harness;
mod hung;
mod identity;
mod ledger;
mod leftover;
mod log;
mod mail;
mod output;
mod place;
mod plain;
mod policy;
mod shelf;
mod started;
mod stopped;
