//! The routes of `crontab.sock`: what every user may do with their own table.
//!
//! A handler learns who asks from `Extension<Peer>`; it asks the daemon through `State<Requests>`.

use axum::Router;

use super::request::Requests;
use super::server;

/// The routes; a body may have at most what the route says.
pub fn routes(requests: Requests) -> Router {
    Router::new().fallback(server::nothing_here).with_state(requests)
}
