//! Brokers behind TLS.

use std::sync::OnceLock;

use cronkeep::broker::Delivery;

use crate::rabbit::Rabbit;
use crate::scene::{broker, is_down, is_up, message, sent};

/// A node that speaks TLS and asks for a certificate.
fn secret() -> Option<&'static Rabbit> {
    static SECRET: OnceLock<Option<Rabbit>> = OnceLock::new();
    SECRET.get_or_init(|| Rabbit::setup().wants_certificate().start()).as_ref()
}

#[tokio::test]
async fn a_broker_is_trusted_by_its_authority_and_trusts_our_certificate() {
    let Some(rabbit) = secret() else { return };
    let place = rabbit.vhost();
    place.declare_queue("q", "");
    let (certificate, key) = rabbit.client_certificate();
    let url = format!(
        "{}?cacertfile={}&certfile={}&keyfile={}",
        place.tls_url(),
        rabbit.authority().display(),
        certificate.display(),
        key.display()
    );
    let broker = broker(&url);
    assert!(is_up(&broker).await.starts_with("amqps://127.0.0.1:"));
    assert_eq!(sent(&broker, message("1", "q")).await, Delivery::Confirmed);
    assert_eq!(place.depth("q"), 1);
}

#[tokio::test]
async fn a_broker_that_wants_a_certificate_refuses_who_has_none() {
    let Some(rabbit) = secret() else { return };
    let url = format!("{}?cacertfile={}", rabbit.vhost().tls_url(), rabbit.authority().display());
    let reason = is_down(&broker(&url)).await;
    assert!(reason.contains("the connection") || reason.contains("TLS alert"), "{reason}");
}

#[tokio::test]
async fn an_untrusted_certificate_is_told() {
    let Some(rabbit) = secret() else { return };
    // An authority of the same name that signed nothing.
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.crt");
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=another authority", "-keyout", "/dev/null"])
        .arg("-out")
        .arg(&other)
        .output()
        .unwrap();
    assert!(made.status.success());
    let url = format!("{}?cacertfile={}", rabbit.vhost().tls_url(), other.display());
    let reason = is_down(&broker(&url)).await;
    assert!(reason.contains("its certificate is not trusted"), "{reason}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_told() {
    let Some(rabbit) = secret() else { return };
    let url = format!(
        "{}?cacertfile={}&server_name_indication=other.example",
        rabbit.vhost().tls_url(),
        rabbit.authority().display()
    );
    let reason = is_down(&broker(&url)).await;
    assert_eq!(reason, "its certificate is not for other.example");
}

#[tokio::test]
async fn a_port_without_tls_and_a_file_that_is_not_there_are_told() {
    let Some(rabbit) = secret() else { return };
    let plain =
        format!("amqps://127.0.0.1:{}?cacertfile={}", rabbit.port(), rabbit.authority().display());
    let reason = is_down(&broker(&plain)).await;
    assert!(reason.contains("TLS"), "{reason}");
    let url = format!("{}?cacertfile=/no/such/file", rabbit.vhost().tls_url());
    let reason = is_down(&broker(&url)).await;
    assert!(reason.starts_with("/no/such/file: "), "{reason}");
}
