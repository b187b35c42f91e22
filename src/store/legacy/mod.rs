//! What ties Cronkeep to the Python service that it succeeds: the rows which that service caches in Redis.
//!
//! The service keeps the jobs of /etc/crontab as a JSON array of rows of seven strings (minute, hour, day of month, month,
//! day of week, user, command), and after a loss of the file writes it anew from them. Cronkeep keeps that array up to
//! date, so that the service can be gone back to, and recovers from it when nothing better is there. Pure: texts in, texts
//! out. What is read here was written by others: every row is judged by itself.
//!
//! Where the service errs, Cronkeep does not follow: lines that are commented out, and `@reboot`, which the service runs
//! each minute, are no rows here.
mod compare;
mod json;
mod meaning;
mod reason;
mod report;
mod row;

pub use compare::{Comparison, Difference, compare};
pub use json::{MOST_BYTES, MOST_ROWS, dumps, items, loads, loads_with_text};
pub use meaning::Meaning;
pub use reason::{Reason, Unreadable};
pub use report::report;
pub use row::{Found, Misreading, Reading, Row, Rows, readings, rows};

/// The key of the cached rows, a string; see [`key`].
pub const CACHE: &str = "crond-service-cronjob-cache";

/// The key of the message bodies, a hash from job id to body; see [`key`].
pub const BODIES: &str = "crond_service_schedule";

/// The namespace that is the Python service's own.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The name of a key of the service's in a namespace: as it is in `default`, with `NAME:` before it in any other.
#[must_use]
pub fn key(namespace: &str, name: &str) -> String {
    if namespace == DEFAULT_NAMESPACE { name.to_owned() } else { format!("{namespace}:{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_services_own_namespace_has_no_prefix() {
        assert_eq!(key("default", CACHE), "crond-service-cronjob-cache");
        assert_eq!(key("billing", CACHE), "billing:crond-service-cronjob-cache");
        assert_eq!(key("default", BODIES), "crond_service_schedule");
        assert_eq!(key("billing", BODIES), "billing:crond_service_schedule");
    }
}
