//! The server that other tests stand on does what it is asked.

use std::net::TcpStream;
use std::process::Command;

use crate::redis::{Redis, Reply};

#[test]
fn a_server_keeps_bytes_and_forgets_them() {
    let Some(redis) = Redis::start() else { return };
    assert!(
        redis.url().starts_with("redis://127.0.0.1:") && redis.unix_url().starts_with("unix:///")
    );
    assert_eq!(redis.get("key"), None);
    redis.set("key", b"\0\r\n\xff");
    assert_eq!(redis.get("key").as_deref(), Some(b"\0\r\n\xff".as_slice()));
    assert_eq!(redis.keys(), ["key"]);
    redis.flush();
    assert!(redis.keys().is_empty());
    let pid = redis.pid();
    drop(redis);
    assert!(nix::sys::signal::kill(pid, None).is_err(), "it is gone");
}

#[test]
fn a_killed_server_refuses_and_comes_back_with_what_is_on_disk() {
    for durable in [false, true] {
        let setup = Redis::setup();
        let Some(mut redis) = if durable { setup.durable() } else { setup }.start() else { return };
        let port = redis.port();
        redis.set("key", "value");
        redis.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(redis.try_command(["PING"]).is_err());
        redis.restart();
        assert_eq!(redis.port(), port);
        assert_eq!(redis.get("key").is_some(), durable);
    }
}

#[test]
fn a_paused_server_is_stopped_until_it_is_resumed() {
    let Some(redis) = Redis::start() else { return };
    let state = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", redis.pid())).expect("it lives");
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    redis.pause();
    while state() != Some('T') {
        std::thread::yield_now();
    }
    redis.resume();
    assert_eq!(redis.command(["PING"]), Reply::Status("PONG".into()));
    redis.set_config("maxmemory", "100mb");
}

#[test]
fn a_password_is_asked_for_and_tls_spoken() {
    let Some(redis) = Redis::setup().password("secret").tls().start() else { return };
    assert!(redis.url().starts_with("rediss://:secret@127.0.0.1:"));
    redis.set("key", "value");
    let client = |password: &str| {
        let output = Command::new("redis-cli")
            .args(["--tls", "-p", &redis.port().to_string(), "-a", password, "--no-auth-warning"])
            .arg("--cacert")
            .arg(redis.authority())
            .args(["GET", "key"])
            .output()
            .expect("redis-cli");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(client("secret"), "value");
    assert_ne!(client("wrong"), "value");
}

#[test]
fn a_full_server_and_a_replica_refuse_writes() {
    let Some(full) = Redis::setup().maxmemory("1kb").start() else { return };
    let refused = |redis: &Redis, why: &str| match redis.command(["SET", "key", "value"]) {
        Reply::Error(error) => assert!(error.starts_with(why), "{error}"),
        other => panic!("{other:?}"),
    };
    refused(&full, "OOM");
    let Some(redis) = Redis::start() else { return };
    let Some(replica) = Redis::setup().replica_of(&redis).start() else { return };
    refused(&replica, "READONLY");
}
