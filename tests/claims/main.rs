//! The protocol of claims: its rules, all that can happen in small cases, and that the scripts of Redis say the same.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]

#[path = "../support/redis.rs"]
#[expect(dead_code, unreachable_pub, reason = "not all of it is needed here, and none elsewhere")]
#[expect(clippy::disallowed_methods, reason = "a test waits for its server as any parent does")]
mod redis;

mod agreement;
mod explore;
mod model;
mod rule;
mod scene;
