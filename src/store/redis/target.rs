//! Which server a URL names.

use std::fs;
use std::time::Duration;

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    TlsCertificates, TlsMode,
};

use super::error;
use crate::store::StoreError;

/// The port of a sentinel, where none is named.
const SENTINEL_PORT: u16 = 26379;

/// Where a server is found.
pub(super) enum Target {
    /// There.
    Server(Box<Client>),
    /// At the master that the sentinels name; they are asked before each connection.
    Sentinel(Box<redis::sentinel::SentinelClient>),
}

/// A URL without the parts that are ours: `?ca=…`, `?cert=…&key=…`, `?sentinel-user=…`, `?sentinel-password=…`, `?tls=…`.
#[derive(Default)]
struct Extra {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<String>,
    tls: Option<TlsMode>,
}

/// The schemes whose query says something, and what it may say.
const QUERIES: [(&str, &[&str]); 4] = [
    ("redis+sentinel://", &["sentinel-user", "sentinel-password", "tls", "ca", "cert", "key"]),
    ("unix://", &["db", "user", "pass", "protocol"]),
    ("rediss://", &["ca", "cert", "key", "protocol"]),
    ("redis://", &["ca", "cert", "key", "protocol"]),
];

/// Whether a URL can be used at all, as far as its text says; the files that it names are not looked at.
///
/// # Errors
/// It can not, whatever becomes of the server: why, without any secret.
pub(super) fn check(url: &str) -> Result<(), String> {
    let looked_at = |url| {
        check_query(url)?;
        let (rest, mut extra) = split(url)?;
        extra.is_paired()?;
        (extra.ca, extra.cert, extra.key) = (None, None, None);
        Target::of(&rest, &extra).map(drop)
    };
    looked_at(url).map_err(|error| error.to_string())
}

/// What a query may say to other clients, and is passed over: it changes nothing of what is kept where, nor for whom.
const FOREIGN: [&str; 8] = [
    "client_name",
    "decode_responses",
    "encoding",
    "health_check_interval",
    "max_connections",
    "protocol",
    "retry_on",
    "socket_",
];

/// Refuses what a query says that nobody would heed: a password, perhaps.
fn check_query(url: &str) -> Result<(), StoreError> {
    let Some((_, query)) = url.split_once('?') else { return Ok(()) };
    let Some((_, known)) = QUERIES.iter().find(|(scheme, _)| url.starts_with(scheme)) else {
        return Ok(());
    };
    let query = query.split('#').next().unwrap_or_default();
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    for (name, value) in pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
        if !known.contains(&name) && !FOREIGN.iter().any(|word| name.starts_with(word)) {
            // It may be a part of a password, and is not shown.
            let remedy = match name {
                "db" => "the database stands after the host, HOST/NUMBER",
                _ if known.contains(&"pass") => "the password is ?pass=PASSWORD",
                _ => {
                    "the password stands before the host, :PASSWORD@HOST, with ? in it written as %3F"
                }
            };
            return Err(StoreError::Refused(format!(
                "its URL says something behind the ? that is none of {}=: {remedy}",
                known.join("=, ")
            )));
        }
        if name == "tls" && tls_mode(value).is_none() {
            let text = "its URL has a ?tls= that is neither true nor insecure";
            return Err(StoreError::Refused(text.to_owned()));
        }
    }
    Ok(())
}

fn tls_mode(value: &str) -> Option<TlsMode> {
    match value {
        "true" => Some(TlsMode::Secure),
        "insecure" => Some(TlsMode::Insecure),
        _ => None,
    }
}

impl Extra {
    /// # Errors
    /// A certificate without its key, or a key without its certificate.
    fn is_paired(&self) -> Result<(), StoreError> {
        if self.cert.is_some() == self.key.is_some() {
            return Ok(());
        }
        let text = "its URL names a certificate without its key, or a key without its certificate";
        Err(StoreError::Refused(text.to_owned()))
    }
}

impl Target {
    /// Reads a URL, and the files that it names.
    ///
    /// # Errors
    /// It is none, or a file cannot be read. Nothing of the URL is in the message.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (url, extra) = split(url)?;
        Target::of(&url, &extra)
    }

    /// The server at a URL without the parts that are ours.
    fn of(url: &str, extra: &Extra) -> Result<Self, StoreError> {
        if url.starts_with("redis+cluster://") {
            return Err(StoreError::Refused(
                "a cluster is not supported: the Python service's key and cronkeep's own are in different slots, and are \
                 written together; name one server, or sentinels"
                    .to_owned(),
            ));
        }
        if let Some(rest) = url.strip_prefix("redis+sentinel://") {
            return sentinel(rest, extra);
        }
        let info = info(url)?;
        let client = match certificates(extra)? {
            Some(tls) => Client::build_with_tls(info, tls),
            None => Client::open(info),
        };
        client.map(|client| Target::Server(Box::new(client))).map_err(|error| refused(&error))
    }

    /// Connects, with spans for connecting and for each answer.
    ///
    /// # Errors
    /// The server is not there, or does not take us; a name that is not found in time is told.
    pub(super) async fn connect(
        &mut self,
        config: &redis::AsyncConnectionConfig,
        within: Duration,
    ) -> Result<redis::aio::MultiplexedConnection, StoreError> {
        let name = match self {
            Target::Server(client) => client.get_connection_info().addr().to_string(),
            Target::Sentinel(_) => "the master that its sentinels name".to_owned(),
        };
        let connecting = async {
            match self {
                Target::Server(client) => {
                    client.get_multiplexed_async_connection_with_config(config).await
                }
                Target::Sentinel(client) => client.get_async_connection_with_config(config).await,
            }
        };
        let Ok(connected) = tokio::time::timeout(within, connecting).await else {
            let seconds = within.as_secs();
            return Err(StoreError::Down(format!("no connection to {name} within {seconds} s")));
        };
        connected.map_err(|error| match error::told(&error) {
            // Of a name that nobody knows it has to be said which.
            StoreError::Down(text) if text.contains("lookup") => {
                StoreError::Down(format!("{name}: {text}"))
            }
            told => told,
        })
    }
}

fn refused(error: &redis::RedisError) -> StoreError {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    StoreError::Refused(format!("its URL cannot be used: {}{detail}", error.category()))
}

fn info(url: &str) -> Result<ConnectionInfo, StoreError> {
    url.into_connection_info().map_err(|_| {
        StoreError::Refused(
            "its URL cannot be read: it is redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], and characters such as @ and / \
             in a password are written as %40 and %2F"
                .to_owned(),
        )
    })
}

/// `[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE]`
fn sentinel(rest: &str, extra: &Extra) -> Result<Target, StoreError> {
    let wrong = || {
        StoreError::Refused(
            "its URL cannot be read: it is redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE]"
                .to_owned(),
        )
    };
    let (authority, path) = rest.split_once('/').ok_or_else(wrong)?;
    let (secret, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() || hosts.split(',').any(str::is_empty) {
        return Err(wrong());
    }
    // User, password and database are read as those of any other URL.
    let settings = info(&format!(
        "redis://{secret}{}server/{database}",
        if secret.is_empty() { "" } else { "@" }
    ))?;
    let settings = settings.redis_settings();
    let mut addresses = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() => (name, port.parse().map_err(|_| wrong())?),
            _ => (host, SENTINEL_PORT),
        };
        addresses.push(match extra.tls {
            None => ConnectionAddr::Tcp(name.to_owned(), port),
            Some(mode) => ConnectionAddr::TcpTls {
                host: name.to_owned(),
                port,
                insecure: mode == TlsMode::Insecure,
                tls_params: None,
            },
        });
    }
    let builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master);
    let mut builder =
        builder.map_err(|error| refused(&error))?.set_client_to_redis_db(settings.db());
    if let Some(user) = settings.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = &extra.sentinel_user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = &extra.sentinel_password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(mode) = extra.tls {
        builder = builder.set_client_to_redis_tls_mode(mode).set_client_to_sentinel_tls_mode(mode);
    }
    if let Some(tls) = certificates(extra)? {
        builder = builder
            .set_client_to_redis_certificates(tls.clone())
            .set_client_to_sentinel_certificates(tls);
    }
    let client = builder.build().map_err(|error| refused(&error))?;
    Ok(Target::Sentinel(Box::new(client)))
}

/// Takes what is ours out of a URL's query.
fn split(url: &str) -> Result<(String, Extra), StoreError> {
    let mut extra = Extra::default();
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let Some((base, query)) = url.split_once('?') else {
        return Ok((format!("{url}{fragment}"), extra));
    };
    let mut left = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = || decode(value);
        match name {
            "ca" => extra.ca = Some(decoded()?),
            "cert" => extra.cert = Some(decoded()?),
            "key" => extra.key = Some(decoded()?),
            "sentinel-user" => extra.sentinel_user = Some(decoded()?),
            "sentinel-password" => extra.sentinel_password = Some(decoded()?),
            "tls" => extra.tls = tls_mode(value),
            _ => left.push(pair),
        }
    }
    let query = if left.is_empty() { String::new() } else { format!("?{}", left.join("&")) };
    Ok((format!("{base}{query}{fragment}"), extra))
}

fn decode(text: &str) -> Result<String, StoreError> {
    let wrong =
        || StoreError::Refused("its URL has a % that two hex digits do not follow".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let (high, low) = digit().zip(digit()).ok_or_else(wrong)?;
            u8::try_from(high * 16 + low).map_err(|_| wrong())?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn certificates(extra: &Extra) -> Result<Option<TlsCertificates>, StoreError> {
    let read = |path: &String| {
        fs::read(path).map_err(|error| StoreError::Refused(format!("{path}: {error}")))
    };
    extra.is_paired()?;
    let client_tls = match (&extra.cert, &extra.key) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
        }
        _ => None,
    };
    let root_cert = extra.ca.as_ref().map(read).transpose()?;
    let is_given = client_tls.is_some() || root_cert.is_some();
    Ok(is_given.then_some(TlsCertificates { client_tls, root_cert }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> ConnectionInfo {
        match Target::parse(url).unwrap() {
            Target::Server(client) => client.get_connection_info().clone(),
            Target::Sentinel(_) => panic!("{url} names a server"),
        }
    }

    fn refusal(url: &str) -> String {
        match Target::parse(url) {
            Err(StoreError::Refused(text)) => text,
            other => panic!("{url}: {:?}", other.err()),
        }
    }

    #[test]
    fn user_password_and_database_are_read() {
        let info = server("redis://me:s%40crt@host:7000/3");
        assert_eq!(info.addr().to_string(), "host:7000");
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password()), (Some("me"), Some("s@crt")));
        assert_eq!(settings.db(), 3);
        let socket = server("unix:///run/redis.sock?db=2&pass=x");
        assert_eq!(socket.redis_settings().db(), 2);
        assert_eq!(socket.redis_settings().password(), Some("x"));
    }

    #[test]
    fn tls_may_be_told_not_to_look() {
        let insecure = |url| match server(url).addr() {
            ConnectionAddr::TcpTls { insecure, .. } => *insecure,
            other => panic!("{other}"),
        };
        assert!(insecure("rediss://host/0#insecure"));
        assert!(!insecure("rediss://host/0"));
    }

    #[test]
    fn sentinels_are_a_list() {
        for url in [
            "redis+sentinel://a,b:26380/master",
            "redis+sentinel://me:secret@a,b,c/master/2?tls=true&sentinel-password=x",
        ] {
            assert!(matches!(Target::parse(url), Ok(Target::Sentinel(_))), "{url}");
        }
        for url in [
            "redis+sentinel://a,b",
            "redis+sentinel:///m",
            "redis+sentinel://a:x/m",
            "redis+sentinel://a,,b/m",
        ] {
            assert!(refusal(url).contains("MASTER"), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_without_secrets() {
        for url in [
            "redis://:secret@host:port/0",
            "redis://:se/cret@host",
            "rediss://:secret@host/0?ca=/nowhere/ca.crt",
            "rediss://:secret@host/0?cert=/a",
            "redis+cluster://:secret@host",
            "redis+sentinel://:secret@a,b",
            "redis://:secret@host/x",
        ] {
            let told = refusal(url);
            assert!(!told.contains("secret") && !told.contains("cret@"), "{told}");
        }
        assert!(refusal("rediss://host/0?ca=/nowhere/ca.crt").contains("/nowhere/ca.crt"));
        assert!(refusal("redis+cluster://host").contains("slots"));
    }

    #[test]
    fn what_can_never_be_used_is_known_without_the_server() {
        for (url, part) in [
            ("redis://host/xx", "/DATABASE"),
            ("redis://:secret@host:port/0", "HOST"),
            ("redis+sentinel://host", "/MASTER"),
            ("redis+cluster://:secret@host", "name one server"),
            ("redis://host/0?pass=secret", ":PASSWORD@HOST"),
            ("redis://me:ab?secret@host/0", "%3F"),
            ("unix:///s?password=secret", "?pass=PASSWORD"),
            ("unix:///s?db=x", "its URL"),
            ("redis://host/0?tls=true", "ca=, cert=, key="),
            ("redis+sentinel://a/m?tls=yes", "neither true nor insecure"),
            ("rediss://:secret@host/0?cert=/a", "without its key"),
        ] {
            let told = check(url).expect_err(url);
            assert!(told.contains(part) && !told.contains("secret"), "{url}: {told}");
        }
        for url in [
            "redis://me:s%40crt@host:7000/3?protocol=resp3",
            "rediss://host/0?ca=/nowhere/ca.crt&cert=/a&key=/b#insecure",
            "unix:///run/redis.sock?db=2&user=me&pass=x",
            "redis+sentinel://me:secret@a,b:26380/master/2?tls=true&sentinel-password=x",
            "redis://[::1]:6379",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }
}
