//! Daemon and worker, both behind TLS.

use crate::daemon::{begin, daemon, expect_history};
use crate::rabbit::Rabbit;
use crate::sent::Sender;

#[test]
fn a_daemon_and_its_worker_speak_tls_and_show_certificates() {
    let Some(rabbit) = Rabbit::setup().wants_certificate().start() else { return };
    let sender = Sender::new(&rabbit);
    let (certificate, key) = rabbit.client_certificate();
    let url = format!(
        "{}?cacertfile={}&certfile={}&keyfile={}",
        sender.vhost.tls_url(),
        rabbit.authority().display(),
        certificate.display(),
        key.display()
    );
    let worker = sender.worker("worker").env("CRONKEEP_AMQP", &url).start();
    let crond = daemon(&sender, "", "echo hello").env("CRONKEEP_AMQP", &url).start();
    let waiting = begin(&crond);
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    let runs = expect_history(&crond, &["succeeded"]);
    assert_eq!(runs[0]["output_bytes"], 5, "{runs:#?}");
    let log = rabbit.log();
    assert_eq!(rabbit.connections(), 2, "{log}");
    worker.stop();
    crond.stop();
}
