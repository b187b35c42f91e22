//! The other end: asks a daemon, for the commands.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Refusal;

/// How long a daemon may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest line of an answer that is read.
const LINE: usize = 16 << 20;

/// Asks the daemon that listens at a path.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
    patience: Duration,
    /// Where root's daemon would listen, for callers who are not root.
    roots: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error(
        "no daemon listens at {}: start one (`cronkeep`), or name its socket with --control{}",
        path.display(),
        roots.as_ref().map_or_else(String::new, |roots| format!("; root's is at {}, which root may ask", roots.display()))
    )]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// The socket of root's daemon, if there is one that the caller may have meant.
        roots: Option<PathBuf>,
    },
    /// The socket is somebody else's.
    #[error(
        "{}: permission denied: only root and the daemon's own user may control it",
        path.display()
    )]
    Denied {
        /// The socket.
        path: PathBuf,
    },
    /// There was no answer in time.
    #[error("the daemon at {} did not answer within {} s", path.display(), patience.as_secs())]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The daemon says no.
    #[error("{}{}", refusal.message, refusal.help.as_ref().map_or_else(String::new, |help| format!("; {help}")))]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The answer breaks off, or is none.
    #[error("the daemon at {}: {reason}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// In words.
        reason: String,
    },
    /// What came cannot be handed on.
    #[error("the daemon's answer is lost")]
    Io(#[from] io::Error),
}

/// Which answers are taken for one, besides those that say yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Success,
    /// "Not available", too: an unhealthy daemon answers so.
    Unavailable,
}

impl Client {
    /// Asks the daemon that listens at `path`, once a method is called.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Client { path: path.to_owned(), patience: PATIENCE, roots: None }
    }

    /// The same; where nobody listens it names root's daemon, if there is a socket at `roots`.
    #[must_use]
    pub fn hint(mut self, roots: &Path) -> Self {
        self.roots = Some(roots.to_owned());
        self
    }

    /// The same, with another time that the daemon may take to begin its answer.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What a GET returns.
    ///
    /// # Errors
    /// There is no answer, it says no, or it is not what was asked for.
    pub fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        self.whole(Method::GET, target, Taken::Success)
    }

    /// What a GET returns, also where it comes with "not available".
    ///
    /// # Errors
    /// As [`get`](Client::get).
    pub fn get_health<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        self.whole(Method::GET, target, Taken::Unavailable)
    }

    /// What a POST without a body returns.
    ///
    /// # Errors
    /// As [`get`](Client::get).
    pub fn post<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        self.whole(Method::POST, target, Taken::Success)
    }

    /// Hands on the lines that a GET returns, as they come.
    ///
    /// # Errors
    /// As [`get`](Client::get), or `each` fails.
    pub fn get_lines(
        &self,
        target: &str,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        block_on(self.lines(Method::GET, target, &mut each))
    }

    /// Hands on the lines that a POST without a body returns, as they come.
    ///
    /// # Errors
    /// As [`get_lines`](Client::get_lines).
    pub fn post_lines(
        &self,
        target: &str,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        block_on(self.lines(Method::POST, target, &mut each))
    }

    /// Sends a body, and returns that of the answer.
    ///
    /// # Errors
    /// As [`get`](Client::get).
    pub fn send(&self, method: &str, target: &str, body: Vec<u8>) -> Result<Vec<u8>, Error> {
        let method = method.parse().map_err(|error| self.broken(&error))?;
        let (status, body) = self.answer(method, target, body.into())?;
        if status.is_success() { Ok(body.to_vec()) } else { Err(self.refused(status, &body)) }
    }

    fn whole<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        taken: Taken,
    ) -> Result<T, Error> {
        let (status, body) = self.answer(method, target, Body::empty())?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| self.broken(&error));
        }
        let is_unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
        let health = (is_unavailable && taken == Taken::Unavailable)
            .then(|| serde_json::from_slice(&body).ok());
        health.flatten().ok_or_else(|| self.refused(status, &body))
    }

    /// An answer's status and whole body. No generic function, nor is [`lines`](Client::lines): the client side of HTTP
    /// is in the program once.
    fn answer(
        &self,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<(StatusCode, Bytes), Error> {
        let answer = async {
            let answer = self.ask(method, target, body).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| self.broken(&error))?;
            Ok((status, body.to_bytes()))
        };
        block_on(async {
            timeout(self.patience, answer).await.unwrap_or_else(|_| Err(self.silent()))
        })
    }

    async fn lines(
        &self,
        method: Method,
        target: &str,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let ask = self.ask(method, target, Body::empty());
        let answer = timeout(self.patience, ask).await.unwrap_or_else(|_| Err(self.silent()))?;
        let status = answer.status();
        let mut body = answer.into_body();
        if !status.is_success() {
            let body = body.collect().await.map_err(|error| self.broken(&error))?;
            return Err(self.refused(status, &body.to_bytes()));
        }
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broken(&error))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
            for line in &mut lines {
                rest.extend_from_slice(line);
                if rest.ends_with(b"\n") {
                    each(&rest)?;
                    rest.clear();
                }
            }
            if rest.len() > LINE {
                return Err(self.broken(&"a line of its answer is too long"));
            }
        }
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        body: Body,
    ) -> Result<Response<Incoming>, Error> {
        let stream = UnixStream::connect(&self.path).await.map_err(|e| self.no_connection(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&error))?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", "cronkeep")
            .body(body)
            .map_err(|error| self.broken(&error))?;
        sender.send_request(request).await.map_err(|error| self.broken(&error))
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Error {
        match serde_json::from_slice(body) {
            Ok(refusal) => Error::Refused { refusal },
            Err(_) => self.broken(&format!("it answers with {status}")),
        }
    }

    fn no_connection(&self, error: &io::Error) -> Error {
        let path = self.path.clone();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                let roots = self.roots.clone().filter(|roots| *roots != path && roots.exists());
                Error::Nobody { path, roots }
            }
            io::ErrorKind::PermissionDenied => Error::Denied { path },
            io::ErrorKind::WouldBlock => self.silent(),
            _ => self.broken(error),
        }
    }

    fn silent(&self) -> Error {
        Error::Silent { path: self.path.clone(), patience: self.patience }
    }

    fn broken(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Broken { path: self.path.clone(), reason: reason.to_string() }
    }
}

/// Works on this thread until it is done.
fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_io().enable_time().build()?.block_on(work)
}

/// A text as one segment of a path: whatever means something else there is escaped.
#[must_use]
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            segment.push(char::from(byte));
        } else {
            segment.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    segment
}

/// A digit of a byte.
fn hex(half: u8) -> char {
    char::from_digit(half.into(), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_holds_any_name() {
        assert_eq!(segment("crondServiceTask-00#2"), "crondServiceTask-00%232");
        assert_eq!(segment("../a b/ü?"), "%2E%2E%2Fa%20b%2F%C3%BC%3F");
    }

    #[test]
    fn where_nobody_listens_the_error_names_the_socket_and_a_remedy() {
        let error = Client::new(Path::new("/nonexistent/x.sock")).get::<()>("/").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/nonexistent/x.sock") && text.contains("--control"), "{text}");
    }

    #[test]
    fn where_nobody_listens_the_daemon_of_root_is_named_if_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let roots = folder.path().join("control.sock");
        let client = Client::new(&folder.path().join("own.sock")).hint(&roots);
        let text = || client.get::<()>("/").unwrap_err().to_string();
        assert!(!text().contains("root"), "{}", text());
        std::fs::write(&roots, "").unwrap();
        let text = text();
        assert!(text.contains(&format!("root's is at {}", roots.display())), "{text}");
    }
}
