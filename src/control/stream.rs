//! Answers that are made while they are sent: many lines, or lines that come in time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::mpsc;

/// Bytes that are made in one go.
const CHUNK: usize = 32 << 10;
/// Lines that may wait for a client.
const WAITING: usize = 256;

/// Lines that come in time; whoever sends them sees when the client has gone.
#[derive(Debug)]
pub struct Feed(mpsc::Receiver<Bytes>);

impl Feed {
    /// A feed, and its source; it ends when that is dropped.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Feed(receiver))
    }
}

impl HttpBody for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl IntoResponse for Feed {
    fn into_response(self) -> Response {
        lines(Body::new(self))
    }
}

/// Lines that `write` appends, one item after the other, for as long as `items` has some.
pub(super) struct Written<I, W> {
    items: I,
    write: W,
    /// Whether others had their turn since the last chunk.
    yielded: bool,
}

impl<I: Iterator + Unpin, W: Fn(I::Item, &mut Vec<u8>) + Unpin> Written<I, W> {
    pub(super) fn new(items: I, write: W) -> Self {
        Written { items, write, yielded: true }
    }
}

impl<I: Iterator + Unpin, W: Fn(I::Item, &mut Vec<u8>) + Unpin> HttpBody for Written<I, W> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Runs are started on this thread: a list of 100 000 jobs must not hold them up.
        if !std::mem::replace(&mut self.yielded, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK {
            let Some(item) = self.items.next() else { break };
            (self.write)(item, &mut chunk);
            chunk.push(b'\n');
        }
        self.yielded = false;
        Poll::Ready((!chunk.is_empty()).then(|| Ok(Frame::data(chunk.into()))))
    }
}

/// An answer of JSON objects, one a line.
pub(super) fn lines(body: Body) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
