//! Where a broker is.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a virtual host is called where none is named.
const DEFAULT_VHOST: &str = "/";

/// The parameters that a URL may have; those of TLS, with `amqps` alone, come last.
pub const PARAMETERS: [&str; 8] = [
    "heartbeat",
    "connection_timeout",
    "auth_mechanism",
    "cacertfile",
    "certfile",
    "keyfile",
    "server_name_indication",
    "verify",
];

/// From where on [`PARAMETERS`] are of TLS.
const OF_TLS: usize = 3;

/// The URL of a broker, `amqp://` or `amqps://`; what is printed of it has no secrets.
///
/// `amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VIRTUAL-HOST][?PARAMETER=VALUE&…]`, each part percent-encoded where it must be.
/// Without a user it is `guest` with the password `guest`, as RabbitMQ takes it from its own host; without a virtual host it
/// is `/`. [Parameters](PARAMETERS): `heartbeat` in seconds, `connection_timeout` in milliseconds, `auth_mechanism` (`plain`, `external`)
/// and, with `amqps`, `cacertfile`, `certfile`, `keyfile`, `server_name_indication` and `verify=verify_peer`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub(super) tls: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: String,
    pub(super) parameters: Parameters,
}

/// What stands after the `?`.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    /// How often each side must be heard of; whole seconds.
    pub(super) heartbeat: Option<Duration>,
    /// How long connecting may take.
    pub(super) connection_timeout: Option<Duration>,
    /// The certificates of the authorities that are trusted, in place of the system's.
    pub(super) cacertfile: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub(super) certfile: Option<PathBuf>,
    pub(super) keyfile: Option<PathBuf>,
    /// The name that the broker's certificate must have, in place of the host's.
    pub(super) server_name: Option<String>,
    /// Whether it is our certificate that says who we are, in place of a password.
    pub(super) external: bool,
}

/// Why a text is not taken for the URL of a broker; without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(String);

/// Refuses with words that hold nothing of the URL but what they name.
fn bad<T>(words: impl Into<String>) -> Result<T, BadAddress> {
    Err(BadAddress(words.into()))
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or not that of a broker, or has a parameter that is not known.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (tls, rest) = match text.split_once("://") {
            Some(("amqp", rest)) => (false, rest),
            Some(("amqps", rest)) => (true, rest),
            // Celery's name of it.
            Some(("pyamqp", _)) => return bad("pyamqp:// is written amqp:// here"),
            _ => return bad("a broker's URL begins with amqp:// or amqps://"),
        };
        if rest.contains('#') {
            return bad("a # in a broker's URL is written %23");
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login {
            Some(login) => read_login(login)?,
            None => ("guest".to_owned(), "guest".to_owned()),
        };
        let (host, port) = read_place(place, if tls { 5671 } else { 5672 })?;
        let vhost = read_vhost(path)?;
        let parameters = read_query(query, tls)?;
        Ok(Address { tls, host, port, user, password, vhost, parameters })
    }

    /// Reads one URL or several, with commas or blanks between them: they are tried in this order.
    ///
    /// # Errors
    /// There is none, or one of them cannot be read.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, BadAddress> {
        let parts = text
            .split(|c: char| c == ',' || c.is_ascii_whitespace())
            .filter(|part| !part.is_empty());
        let addresses = parts.map(Address::parse).collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return bad("no URL of a broker is given");
        }
        Ok(addresses)
    }
}

/// The user and the password before the `@`.
fn read_login(login: &str) -> Result<(String, String), BadAddress> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    if password.contains([':', '@']) || user.contains('@') {
        return bad("a : or @ in a user's name or a password is written %3A or %40");
    }
    if user.is_empty() {
        return bad("there is an @, and no user's name before it");
    }
    let words = "the user or the password in a broker's URL is not percent-encoded UTF-8";
    match (decode(user), decode(password)) {
        (Some(user), Some(password)) => Ok((user, password)),
        _ => bad(words),
    }
}

/// The host and the port.
fn read_place(place: &str, default: u16) -> Result<(String, u16), BadAddress> {
    // What is wrong is not shown: it may be a password with a character that should have been encoded.
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else {
            return bad("an IPv6 address in a broker's URL has no ] at its end");
        };
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return bad("what stands in [] in a broker's URL is no IPv6 address");
        }
        (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")))
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, Some("")),
        }
    };
    let port = match port {
        Some("") => Some(default),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0)
        }
        _ => None,
    };
    let Some(port) = port else {
        return bad("the port in a broker's URL is no number from 1 to 65535");
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() {
        return bad("there is no host in a broker's URL");
    }
    if !host.chars().all(is_host) {
        return bad("the host in a broker's URL has a character that no host's name has");
    }
    Ok((host.to_owned(), port))
}

/// The virtual host, from what follows the first slash.
fn read_vhost(path: &str) -> Result<String, BadAddress> {
    match path {
        // The second form is Celery's.
        "" | "/" => Ok(DEFAULT_VHOST.to_owned()),
        _ if path.contains(['/', '@']) => {
            bad("a / or @ in the name of a virtual host is written %2F or %40")
        }
        _ => match decode(path) {
            Some(vhost) if vhost.len() <= 255 => Ok(vhost),
            Some(_) => bad("the name of a virtual host has at most 255 bytes"),
            None => bad("the virtual host in a broker's URL is not percent-encoded UTF-8"),
        },
    }
}

/// The parameters.
fn read_query(query: &str, tls: bool) -> Result<Parameters, BadAddress> {
    let mut parameters = Parameters::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            return bad("a parameter of a broker's URL has a name that none has");
        }
        let Some(value) = decode(value).filter(|value| !value.is_empty()) else {
            return bad(format!("the parameter {name} of a broker's URL has no value"));
        };
        if PARAMETERS.iter().skip(OF_TLS).any(|of_tls| *of_tls == name) && !tls {
            return bad(format!("the parameter {name} is for amqps://"));
        }
        match (name, value.as_str()) {
            ("heartbeat", _) => {
                let Some(seconds) = value.parse::<u16>().ok().filter(|seconds| *seconds > 0) else {
                    return bad("heartbeat is a number of seconds from 1 to 65535");
                };
                parameters.heartbeat = Some(Duration::from_secs(seconds.into()));
            }
            ("connection_timeout", _) => {
                let Some(millis) = value.parse::<u32>().ok().filter(|millis| *millis > 0) else {
                    return bad("connection_timeout is a number of milliseconds");
                };
                parameters.connection_timeout = Some(Duration::from_millis(millis.into()));
            }
            ("cacertfile", _) => parameters.cacertfile = Some(value.into()),
            ("certfile", _) => parameters.certfile = Some(value.into()),
            ("keyfile", _) => parameters.keyfile = Some(value.into()),
            ("server_name_indication", _) => parameters.server_name = Some(value),
            ("auth_mechanism", "plain") | ("verify", "verify_peer") => {}
            ("auth_mechanism", "external") => parameters.external = true,
            ("auth_mechanism", _) => return bad("auth_mechanism is plain or external"),
            ("verify", _) => {
                return bad("verify is verify_peer: cacertfile names who is trusted");
            }
            _ => {
                let known = PARAMETERS.join(", ");
                return bad(format!("a broker's URL has no parameter {name}: it may have {known}"));
            }
        }
    }
    if parameters.certfile.is_some() != parameters.keyfile.is_some() {
        return bad("certfile and keyfile go together");
    }
    Ok(parameters)
}

/// A text without its percent signs; none where it is not UTF-8, or not encoded properly.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text as a part of a URL.
fn encode(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            f.write_char(char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.tls { ("amqps", 5671) } else { ("amqp", 5672) };
        write!(f, "{scheme}://")?;
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != default {
            write!(f, ":{}", self.port)?;
        }
        if self.vhost != DEFAULT_VHOST {
            f.write_char('/')?;
            encode(&self.vhost, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Parameters {
    /// The certificate that we show, and its key.
    pub(super) fn identity(&self) -> Option<(&Path, &Path)> {
        self.certfile.as_deref().zip(self.keyfile.as_deref())
    }
}

#[cfg(test)]
mod tests;
