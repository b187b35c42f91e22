//! Where a broker is.

use std::fmt;

/// The URL of a broker, `amqp://` or `amqps://`; what is printed of it has no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

/// Why a text is not taken for the URL of a broker; without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or not that of a broker.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("amqp" | "amqps")) {
            let words = "a broker's URL begins with amqp:// or amqps://";
            return Err(BadAddress(words.to_owned()));
        }
        Ok(Address(text.to_owned()))
    }

    /// Reads one URL or several, with commas or blanks between them: they are tried in this order.
    ///
    /// # Errors
    /// There is none, or one of them cannot be read.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, BadAddress> {
        let parts = text.split([',', ' ', '\t', '\n']).filter(|part| !part.is_empty());
        let addresses = parts.map(Address::parse).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(BadAddress("no URL of a broker is given".to_owned()));
        }
        Ok(addresses)
    }

    /// With its secrets, for the client.
    #[expect(dead_code, reason = "the client is still to come")]
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let path = path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{host}{path}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
