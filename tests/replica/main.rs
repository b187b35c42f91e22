//! Replicas: real daemons, a real Redis, judged by what the jobs themselves wrote.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for the daemon as any parent does"
)]

#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "shared with another test, which uses the rest")]
mod harness;
#[path = "../support/redis.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod redis;

mod burst;
mod cluster;
mod harm;
mod once;
mod outcome;
mod silence;
mod soak;
mod take_over;
mod unheard;
