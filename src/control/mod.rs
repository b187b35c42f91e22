//! Who steers the daemon from outside: requests over a unix socket, answered by the daemon.
//!
//! Receives HTTP requests with JSON, hands [`Request`]s to the daemon through a channel, and its answers back. Layer 8. It
//! decides who may ask, never what is done.
//!
//! There are two sockets, beside each other: `control.sock` is root's and the daemon's own user's, `crontab.sock` serves
//! everybody's own table, and publishes for those who may; its name follows the first one's ([`socket::for_everybody`]). A client that hangs, floods or sends garbage costs a connection, which has a
//! deadline; nothing of it reaches the schedule.

pub mod client;
pub mod find;
pub mod outbox;
pub mod publish;
pub mod request;
pub mod route;
pub mod server;
pub mod shape;
pub mod socket;
pub mod stream;

pub use find::Find;
pub use publish::{Publication, Published};
pub use request::{Refusal, Reply, Request, Requests, Switched};
pub use server::{Access, Peer, Server};
pub use socket::Socket;
