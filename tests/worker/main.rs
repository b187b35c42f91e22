//! Workers: the real binary, a real broker, real processes and signals.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for the worker as any parent does"
)]

mod asked;
mod broken;
mod carried;
mod daemon;
mod dead;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../e2e/harness.rs"]
mod harness;
mod health;
mod locked;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../support/rabbit.rs"]
mod rabbit;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../support/redis.rs"]
mod redis;
mod refused;
mod sent;
mod shared;
mod stopped;
mod tls;
mod withdrawn;
