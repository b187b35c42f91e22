//! Where a store is, as `--store` says it.

use std::fmt;
use std::path::PathBuf;

/// Where a store is.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A file: `sqlite:PATH`.
    Sqlite(PathBuf),
    /// Nowhere: `memory:`. What is kept ends with the daemon.
    Memory,
    /// A server: the URL as given, password and all.
    Redis(String),
}

/// What a Redis URL may begin with.
const REDIS: [&str; 5] =
    ["redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://"];

impl Address {
    /// Reads the text of `--store`.
    ///
    /// # Errors
    /// No store begins like that: what it may begin with. A URL that cannot be used, whatever becomes of the server: why,
    /// without any secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Address::Memory);
        }
        if let Some(path) = text.strip_prefix("sqlite:") {
            return if path.is_empty() {
                Err("name the file: sqlite:/var/lib/cronkeep/cronkeep.db".to_owned())
            } else {
                Ok(Address::Sqlite(path.into()))
            };
        }
        if REDIS.iter().any(|scheme| text.starts_with(scheme)) {
            super::redis::check(text)?;
            return Ok(Address::Redis(text.to_owned()));
        }
        Err("a store is sqlite:PATH, redis://HOST, rediss://HOST, unix://SOCKET, \
             redis+sentinel://HOST,HOST/MASTER or memory:"
            .into())
    }

    /// Whether others may write to it whom nothing keeps out: a server without a password and without TLS.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Address::Redis(url) = self else { return false };
        let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
        // A socket has an owner and a mode.
        let guarded = scheme.starts_with("rediss") || scheme == "unix";
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let secret = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        !guarded && !secret
    }

    /// Whether the text of `--store` holds a password.
    #[must_use]
    pub fn has_secret(text: &str) -> bool {
        let Some((_, rest)) = text.split_once("://") else { return false };
        let authority = rest.split('/').next().unwrap_or_default();
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let is_secret =
            |pair: &str| pair.starts_with("pass=") || pair.starts_with("sentinel-password=");
        authority.contains('@') || query.split('&').any(is_secret)
    }

    /// Whether several daemons may use it at once.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Address::Redis(_))
    }
}

impl fmt::Display for Address {
    /// Without user and password, and without the host where it is not certain which part that is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Address::Memory => f.write_str("memory:"),
            Address::Redis(url) => match url.split_once("://") {
                Some((scheme, rest)) => {
                    let (place, more) =
                        rest.find(['?', '#']).map_or((rest, ""), |at| rest.split_at(at));
                    // A slash or a question mark in a password should be written otherwise, and is not always.
                    let shown = match place.rsplit_once('@') {
                        _ if scheme == "unix" && place.starts_with('/') => place,
                        _ if more.contains('@') => "…",
                        Some((_, place)) => place,
                        None => place,
                    };
                    write!(f, "{scheme}://{shown}")
                }
                None => f.write_str("redis"),
            },
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_its_url() {
        assert_eq!(Address::parse("memory:"), Ok(Address::Memory));
        assert_eq!(Address::parse("sqlite:/a/b.db"), Ok(Address::Sqlite("/a/b.db".into())));
        for url in ["redis://h", "rediss://h:1/2", "unix:///s?db=1", "redis+sentinel://a,b/m/0"] {
            assert_eq!(Address::parse(url), Ok(Address::Redis(url.into())));
        }
        let unusable =
            ["redis://h/x", "redis://h?pass=x", "redis+sentinel://h", "redis+cluster://h"];
        for wrong in ["", "sqlite:", "/a/b.db", "postgres://h", "redis:h"].iter().chain(&unusable) {
            assert!(Address::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_server_without_password_and_tls_is_open() {
        for (text, open) in [
            ("redis://host", true),
            ("redis://user@host:1/2", true),
            ("redis+sentinel://a,b/m/0", true),
            ("redis://:secret@host", false),
            ("redis://user:secret@host/0", false),
            ("rediss://host", false),
            ("unix:///run/redis.sock", false),
            ("sqlite:/a/b.db", false),
            ("memory:", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_open(), open, "{text}");
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        for text in
            ["redis://:x@h", "unix:///s?db=1&pass=x", "redis+sentinel://a/m?sentinel-password=x"]
        {
            assert!(Address::has_secret(text), "{text}");
        }
        for text in ["redis://h/0", "unix:///a@b", "sqlite:/a@b", "rediss://h?ca=/a", "memory:"] {
            assert!(!Address::has_secret(text), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let address = Address::Redis("rediss://me:se@cret@host:6380/2?x=se#y".to_owned());
        assert_eq!(address.to_string(), "rediss://host:6380/2");
        assert_eq!(format!("{address:?}"), "rediss://host:6380/2");
        for (text, shown) in [
            // Characters that should have been written as % and two digits.
            ("redis://:se/cret@host/0", "redis://host/0"),
            ("redis://me:se?cret@host/0", "redis://…"),
            ("redis://me:s@e#cret@host/0", "redis://…"),
            ("redis://host/0?pass=se@cret", "redis://…"),
            ("unix:///run/s?db=1&pass=se@cret", "unix:///run/s"),
            ("unix://:secret@/run/s", "unix:///run/s"),
            ("redis+sentinel://:se/cret@a,b/m/0", "redis+sentinel://a,b/m/0"),
            ("redis://host", "redis://host"),
        ] {
            // Also of one that cannot be used.
            assert_eq!(Address::Redis(text.to_owned()).to_string(), shown, "{text}");
        }
    }
}
