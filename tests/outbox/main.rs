//! The outbox: what it has accepted is confirmed, or told as dropped, whatever the broker, the store and the end of the
//! daemon do.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

#[path = "../support/redis.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is needed here, and none elsewhere")]
#[expect(clippy::disallowed_methods, reason = "a test waits for its server as any parent does")]
mod redis;

#[path = "../support/rabbit.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is needed here, and none elsewhere")]
#[expect(clippy::disallowed_methods, reason = "a test waits for its server as any parent does")]
mod rabbit;

mod backlog;
mod broker;
mod crash;
mod gate;
mod harness;
mod killed_broker;
mod looking;
mod others;
mod sealed;
mod simulate;
mod try_again;
