//! Cronkeep: a crond for containers and hosts that keeps the schedule, the runs and the output.
//!
//! Data flows one way, through rooms that know only the rooms below them:
//!
//! ```text
//! /etc/crontab ─watch→ Source ─grammar→ Entry* ─→ JobTable ─scheduler→ Fire ─executor→ Run ─→ Outcome ─bus→ sinks
//!                      faults ↘ (log, check)              ↑ Control (signals)
//! ```
//!
//! | layer | rooms | may use |
//! |---|---|---|
//! | 0 | [`clock`], [`unix`] | nothing of ours |
//! | 1 | [`schedule`] | nothing of ours; pure |
//! | 2 | [`crontab`] | `schedule`; pure |
//! | 3 | [`job`] | `crontab`, `schedule`; pure |
//! | 4 | [`event`] | `job` and below |
//! | 5 | [`store`], [`watch`] | `event` and below |
//! | 6 | [`scheduler`], [`replica`], [`executor`] | everything below |
//! | 7 | [`sink`] | `event`, `store`, `job`, `unix`, `clock` |
//! | 8 | [`control`] | everything below |
//! | 9 | [`exit`], then [`args`], [`config`], [`telemetry`], then [`command`], then [`daemon`] | those named before, and everything below |
//! | 10 | `main` | `args`, `config`, `daemon`, `command` |
//!
//! `tests/layers.rs` reads every `use crate::…` and fails on an edge that goes up or sideways.

pub mod clock;
pub mod unix;

pub mod schedule;

pub mod crontab;

pub mod job;

pub mod event;

pub mod store;
pub mod watch;

pub mod executor;
pub mod replica;
pub mod scheduler;

pub mod sink;

pub mod control;

pub mod args;
pub mod command;
pub mod config;
pub mod daemon;
pub mod exit;
pub mod telemetry;
