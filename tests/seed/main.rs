//! The Python service that Cronkeep succeeds, on a real Redis: what it writes is what we write, and each reads the other's.
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for its programs as any parent does"
)]

mod fixture;
#[path = "../support/redis.rs"]
mod redis;
