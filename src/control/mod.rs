//! Who steers the daemon from outside: requests over a unix socket, answered by the daemon.
//!
//! Receives HTTP requests with JSON, hands requests to the daemon through a channel, and its answers back. Layer 8. It
//! decides who may ask, never what is done.
