//! Any bytes may be sent to the control socket, which answers in HTTP or not at all and goes on; any JSON may be what a
//! daemon says of itself.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use cronkeep::command::status;
use cronkeep::control::route::routes;
use cronkeep::control::shape::{Listing, RunObject, Status};
use cronkeep::control::stream::Feed;
use cronkeep::control::{Access, Refusal, Request, Requests, Server, Socket, Switched};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The socket of a server that lives as long as the process.
fn server() -> &'static PathBuf {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(|| {
        let path =
            std::env::temp_dir().join(format!("cronkeep-fuzz-{}/control.sock", std::process::id()));
        let (told, bound) = std::sync::mpsc::channel();
        let at = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let socket = Socket::bind(&at, 0o600).await.expect("a socket");
                told.send(()).expect("somebody waits");
                let (requests, mut asked) = Requests::channel();
                let uid =
                    std::fs::metadata(&at).map(|found| std::os::unix::fs::MetadataExt::uid(&found));
                let access = Access::Owner(uid.expect("its owner"));
                tokio::spawn(Server::new(socket, access, move || routes(requests.clone())).run());
                while let Some(request) = asked.recv().await {
                    answer(request);
                }
            });
        });
        bound.recv().expect("it listens");
        path
    })
}

/// Knows the run and the job `x`, and no other.
fn answer(request: Request) {
    let known = |name: &str| (name == "x").then_some(()).ok_or_else(Refusal::stopping);
    let feed = |name: &str| {
        known(name)?;
        let (lines, feed) = Feed::channel();
        let _ = lines.try_send("{}\n".into());
        Ok(feed)
    };
    let switched = |key: String| Switched { label: key.clone(), key, paused: true, changed: false };
    match request {
        Request::Jobs(reply) => drop(reply.send(Listing::default())),
        Request::Job(job, reply) => drop(reply.send(known(&job).map(|()| Listing::default()))),
        Request::Runs(reply) => drop(reply.send(vec![RunObject::default()])),
        Request::Status(reply) => drop(reply.send(Status::default())),
        Request::Health(reply) => drop(reply.send(Status::default().health)),
        Request::Run { job, reply, .. } => drop(reply.send(feed(&job))),
        Request::Pause(job, reply) | Request::Resume(job, reply) => {
            drop(reply.send(known(&job).map(|()| switched(job))));
        }
        Request::Stop(run, reply) => drop(reply.send(known(&run).map(|()| RunObject::default()))),
        Request::Reload(reply) => drop(reply.send(())),
        Request::Logs { what, reply, .. } => drop(reply.send(feed(&what))),
        Request::Publish { reply, .. } => drop(reply.send(Err(Refusal::stopping()))),
        Request::Outbox(_, reply) => drop(reply.send(Ok(Vec::new()))),
        Request::Drop { reply, .. } => drop(reply.send(Err(Refusal::stopping()))),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut stream = UnixStream::connect(server()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(8))).expect("a limit");
    // It may hang up before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("no answer, and no end")
        }
        _ => {}
    }
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let body =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(bytes, |at| &bytes[at + 4..]);
    if let Ok(status) = serde_json::from_slice::<Status>(body) {
        for (_, text) in status::lines(&status, Timestamp::UNIX_EPOCH) {
            assert!(!text.contains('\x1b'), "{text:?}");
        }
        let text = serde_json::to_vec(&status).expect("to memory");
        assert_eq!(serde_json::from_slice::<Status>(&text).expect("our own"), status);
    }
});
