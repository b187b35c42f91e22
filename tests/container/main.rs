//! The container image, built from the Dockerfile and run by a Docker engine of the test's own.
//!
//! The program comes from `CRONKEEP_TEST_IMAGE_PROGRAM`, or is the one that was built for the tests.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for the programs that it starts"
)]

mod base;
mod container;
mod engine;
mod image;
#[expect(dead_code, reason = "not all of it is of use here")]
#[expect(unreachable_pub, reason = "other tests take it in, too")]
#[path = "../support/redis.rs"]
mod redis;
mod tour;
