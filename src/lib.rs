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
//! | 1 | [`schedule`], [`message`] | nothing of ours; pure |
//! | 2 | [`crontab`] | `schedule`; pure |
//! | 3 | [`job`] | `crontab`, `schedule`; pure |
//! | 4 | [`event`] | `job` and below |
//! | 5 | [`store`], [`watch`], [`broker`] | `event` and below |
//! | 6 | [`scheduler`], [`replica`], [`executor`], [`outbox`] | everything below |
//! | 7 | [`sink`], [`courier`], [`worker`] | everything below; `sink`: `event`, `store`, `broker`, `message`, `job`, `unix`, `clock` |
//! | 8 | [`control`] | everything below |
//! | 9 | [`exit`], then [`args`], [`config`], [`telemetry`], then [`command`], then [`daemon`] | those named before, and everything below |
//! | 10 | `main` | `args`, `config`, `daemon`, `command` |
//!
//! `tests/layers.rs` reads every `use crate::…` and fails on an edge that goes up or sideways.

pub mod clock;
pub mod unix;

pub mod message;
pub mod schedule;

pub mod crontab;

pub mod job;

pub mod event;

pub mod broker;
pub mod store;
pub mod watch;

pub mod executor;
pub mod outbox;
pub mod replica;
pub mod scheduler;

pub mod courier;
pub mod sink;
pub mod worker;

pub mod control;

pub mod args;
pub mod command;
pub mod config;
pub mod daemon;
pub mod exit;
pub mod telemetry;
