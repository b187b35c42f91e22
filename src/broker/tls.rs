//! TLS to a broker: whom we trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::address::Address;

/// What makes a connection to an address secret, and the name that its certificate must have.
///
/// The files are read at each call, so that a certificate that was renewed counts from the next connection on.
///
/// # Errors
/// A file cannot be read or holds nothing of the kind, in words.
pub(super) fn connector(address: &Address) -> Result<(TlsConnector, ServerName<'static>), String> {
    let parameters = &address.parameters;
    let mut roots = RootCertStore::empty();
    if let Some(path) = &parameters.cacertfile {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this system trusts no authority: cacertfile= names one".to_owned());
        }
    }
    // Named here, so that it does not matter which providers are in the program.
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match parameters.identity() {
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("{}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("certfile and keyfile do not go together: {error}"))?
        }
        None => builder.with_no_client_auth(),
    };
    let name = parameters.server_name.as_ref().unwrap_or(&address.host);
    let Ok(server) = ServerName::try_from(name.clone()) else {
        return Err(format!("no certificate can be for the name {name}"));
    };
    Ok((TlsConnector::from(Arc::new(config)), server))
}

/// The certificates of a file, one at least.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|error| told(&error))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| told(&error))?;
    if found.is_empty() {
        return Err(told(&"there is no certificate in it"));
    }
    Ok(found)
}
