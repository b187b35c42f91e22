//! A stock Celery worker, and a consumer of events: what others make of our messages, over a real broker.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for its programs as any parent does"
)]

#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../e2e/client.rs"]
mod client;
mod event;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../e2e/harness.rs"]
mod harness;
mod odd;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../support/rabbit.rs"]
mod rabbit;
mod result;
mod task;
mod worker;
