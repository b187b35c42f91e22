//! A web server is told how a job goes.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use crate::harness::{Crond, PATIENCE};

/// A server that is content with everything; its address, and the first line of each request.
fn server() -> (std::net::SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut first = String::new();
            stream.read_line(&mut first).unwrap();
            let _ = told.send(first.trim().to_owned());
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap_or(0) > 2 {
                line.clear();
            }
            let _ = stream.get_mut().write_all(answer);
        }
    });
    (address, requests)
}

#[test]
fn a_job_with_a_ping_tells_its_start_and_how_it_ended() {
    let (address, requests) = server();
    let crontab = format!(
        "# cronkeep: ping=http://{address}/good\n@reboot true\n# cronkeep: ping=http://{address}/bad\n@reboot exit 3\n"
    );
    let state = tempfile::tempdir().unwrap();
    let crond = Crond::new().arg("--state-dir").arg(state.path()).crontab(&crontab).start();
    let mut told: Vec<String> =
        (0..4).map(|_| requests.recv_timeout(PATIENCE).expect("a request")).collect();
    told.sort();
    assert_eq!(
        told,
        [
            "GET /bad/3 HTTP/1.1",
            "GET /bad/start HTTP/1.1",
            "GET /good HTTP/1.1",
            "GET /good/start HTTP/1.1"
        ]
    );
    crond.stop();
}

#[test]
fn a_run_that_the_end_of_the_daemon_ends_is_told_as_failed() {
    let (address, requests) = server();
    let crontab = format!("# cronkeep: ping=http://{address}/x\n@reboot exec sleep 1000\n");
    let state = tempfile::tempdir().unwrap();
    let crond = Crond::new()
        .arg("--state-dir")
        .arg(state.path())
        .arg("--on-stop=end")
        .crontab(&crontab)
        .start();
    assert_eq!(requests.recv_timeout(PATIENCE).unwrap(), "GET /x/start HTTP/1.1");
    crond.stop();
    assert_eq!(requests.recv_timeout(PATIENCE).unwrap(), "GET /x/fail HTTP/1.1");
}
