//! The way to a broker, against a real RabbitMQ.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it waits for its server as any parent does"
)]

#[path = "../support/rabbit.rs"]
#[expect(dead_code, reason = "shared with other tests, which use the rest")]
mod rabbit;

mod connect;
mod consume;
mod deliver;
mod lose;
mod program;
mod refuse;
mod scene;
mod tls;
