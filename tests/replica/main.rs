//! Replicas: real daemons, a real Redis, judged by what the jobs themselves wrote.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

#[path = "../e2e/harness.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with another test, which uses the rest")]
mod harness;
#[path = "../support/redis.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with other tests, which use the rest")]
mod redis;

mod cluster;
mod once;
mod silence;
mod soak;
mod take_over;
