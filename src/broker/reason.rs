//! What went wrong with a connection, in words for people.
//!
//! None of them has a secret: the client library never sees the URL, and is not asked for what it was given.

use std::io;

use lapin::protocol::AMQPError;
use lapin::{Error, ErrorKind};
use tokio_rustls::rustls::{self, CertificateError};

use super::address::Address;

/// Why there is no way to a host.
pub(super) fn of_socket(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "the host does not answer".to_owned(),
        io::ErrorKind::HostUnreachable => "the host is not reachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "the network is not reachable".to_owned(),
        _ => format!("it cannot be connected to: {error}"),
    }
}

/// Why a host has no address.
pub(super) fn of_name(host: &str, error: &io::Error) -> String {
    let text = error.to_string();
    let detail = text.rsplit(": ").next().unwrap_or_default();
    format!("unknown host {host} ({detail})")
}

/// Why a connection could not be made secret.
pub(super) fn of_tls(address: &Address, error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => match fault {
            CertificateError::UnknownIssuer => {
                "its certificate is not trusted: nobody whom we trust signed it; cacertfile= names whom we trust"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidForName
            | CertificateError::NotValidForNameContext { .. } => {
                let name = address.parameters.server_name.as_ref().unwrap_or(&address.host);
                format!("its certificate is not for {name}")
            }
            other => format!("its certificate is not trusted: {other}"),
        },
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS there".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("it refused us: TLS alert {alert:?}"),
        Some(other) => format!("TLS failed: {other}"),
        None if is_end(error) => "the connection ended before TLS had begun".to_owned(),
        None => format!("TLS failed: {error}"),
    }
}

/// Why a broker did not take a connection.
pub(super) fn of_handshake(address: &Address, error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(told) => {
            let text = told.get_message().as_str();
            match told.get_id() {
                403 => "the broker refused the user or its password (ACCESS_REFUSED)".to_owned(),
                530 if text.contains("vhost") && text.contains("not found") => {
                    format!("there is no virtual host {} (NOT_ALLOWED)", address.vhost)
                }
                _ => format!("the broker refused the connection: {}", words(told)),
            }
        }
        ErrorKind::InvalidProtocolVersion(_) | ErrorKind::ParsingError(_) => {
            "what answers there does not speak AMQP 0-9-1".to_owned()
        }
        ErrorKind::IOError(error) if is_end(error) => {
            "the connection ended before the broker had accepted it".to_owned()
        }
        _ => of_loss(error),
    }
}

/// Why a connection is lost.
pub(super) fn of_loss(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(told) => format!("the broker ended it: {}", words(told)),
        ErrorKind::IOError(error) if !is_end(error) => {
            format!("the connection was lost: {error}")
        }
        ErrorKind::MissingHeartbeatError => {
            "the connection was lost: nothing was heard of the broker for too long".to_owned()
        }
        ErrorKind::ParsingError(_) => "the broker sent what cannot be read".to_owned(),
        ErrorKind::IOError(_)
        | ErrorKind::InvalidConnectionState(_)
        | ErrorKind::InvalidChannelState(..)
        | ErrorKind::InvalidChannel(_) => "the connection was lost".to_owned(),
        _ => error.to_string(),
    }
}

/// What a broker says, with the name of the condition before it.
pub(super) fn words(told: &AMQPError) -> String {
    let text = told.get_message().as_str();
    if text.is_empty() { told.kind().to_string() } else { text.to_owned() }
}

/// Whether the other side just went.
fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

    use super::*;

    fn told(kind: impl Into<AMQPErrorKind>, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::new(kind.into(), text.into())).into()
    }

    #[test]
    fn a_refused_login_and_a_missing_virtual_host_are_told_apart() {
        let address = Address::parse("amqp://me:s3cr3t@h/orders").unwrap();
        let login = told(
            AMQPSoftError::ACCESSREFUSED,
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN",
        );
        assert_eq!(
            of_handshake(&address, &login),
            "the broker refused the user or its password (ACCESS_REFUSED)"
        );
        let vhost = told(AMQPHardError::NOTALLOWED, "NOT_ALLOWED - vhost orders not found");
        assert_eq!(of_handshake(&address, &vhost), "there is no virtual host orders (NOT_ALLOWED)");
        let refused = "NOT_ALLOWED - access to vhost 'orders' refused for user 'me'";
        let shown = of_handshake(&address, &told(AMQPHardError::NOTALLOWED, refused));
        assert!(shown.ends_with(refused), "{shown}");
    }

    #[test]
    fn an_end_without_words_is_no_system_error() {
        let address = Address::parse("amqp://h").unwrap();
        let end = Error::from(io::Error::from(io::ErrorKind::ConnectionAborted));
        assert!(of_handshake(&address, &end).contains("before the broker had accepted it"));
        assert_eq!(of_loss(&end), "the connection was lost");
    }

    #[test]
    fn a_broker_that_ends_a_connection_is_quoted() {
        let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        let shown = of_loss(&told(AMQPHardError::CONNECTIONFORCED, text));
        assert_eq!(shown, format!("the broker ended it: {text}"));
    }

    #[test]
    fn a_name_that_is_not_resolved_is_named() {
        let error =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(of_name("nohost", &error), "unknown host nohost (Name or service not known)");
    }

    #[test]
    fn a_certificate_that_nobody_signed_says_how_to_trust_it() {
        let address = Address::parse("amqps://h").unwrap();
        let tls =
            |fault| of_tls(&address, &io::Error::other(rustls::Error::InvalidCertificate(fault)));
        assert!(tls(CertificateError::UnknownIssuer).contains("cacertfile="));
        assert_eq!(tls(CertificateError::NotValidForName), "its certificate is not for h");
        assert_eq!(tls(CertificateError::Expired), "its certificate has expired");
    }
}
