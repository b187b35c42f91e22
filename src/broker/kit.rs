//! What the client library runs on: the runtime that we are in, and no other.
//!
//! Its own support of tokio would start a second runtime with a thread of its own as soon as a connection ends, and bring
//! the scheduler of many threads with it. Name resolution and TLS are ours: it gets a socket that is connected.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::{Executor, Reactor, RuntimeKit};
use async_rs::util::{Task, TaskImpl};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Interval, Sleep};
use tokio_util::compat::Compat;

/// Both directions of a connection, with TLS or without.
pub(super) trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> Duplex for T {}

/// A connection as the client library takes it.
pub(super) type Socket = Compat<Pin<Box<dyn Duplex>>>;

/// The runtime that we are in.
#[derive(Debug, Clone)]
pub(super) struct Kit(Handle);

impl Kit {
    /// The runtime of the task that calls it.
    pub(super) fn current() -> Self {
        Kit(Handle::current())
    }
}

impl RuntimeKit for Kit {}

impl Executor for Kit {
    type Task<T: Send + 'static> = Running<T>;

    fn block_on<T, F: Future<Output = T>>(&self, future: F) -> T {
        self.0.block_on(future)
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        future: F,
    ) -> Task<Self::Task<T>> {
        // Boxed: the runtime's side of a task is then in the program once for each outcome, not once for each future.
        let future: Pin<Box<dyn Future<Output = T> + Send>> = Box::pin(future);
        Running(self.0.spawn(future)).into()
    }

    fn spawn_blocking<T: Send + 'static, F: FnOnce() -> T + Send + 'static>(
        &self,
        work: F,
    ) -> Task<Self::Task<T>> {
        Running(self.0.spawn_blocking(work)).into()
    }
}

impl Reactor for Kit {
    type TcpStream = Socket;
    type Sleep = Sleep;

    fn register<H: Read + Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Socket, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, length: Duration) -> Sleep {
        let _inside = self.0.enter();
        tokio::time::sleep(length)
    }

    fn interval(&self, length: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        let _inside = self.0.enter();
        Ticks(tokio::time::interval(length))
    }

    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<Socket>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

/// A task of the runtime.
#[derive(Debug)]
pub(super) struct Running<T>(JoinHandle<T>);

impl<T: Send + 'static> TaskImpl for Running<T> {}

impl<T> Future for Running<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime ends, and with it whoever waits.
                Err(_) => Poll::Pending,
            },
        }
    }
}

/// The beats of an interval.
struct Ticks(Interval);

impl Stream for Ticks {
    type Item = Instant;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_tick(context).map(|tick| Some(tick.into_std()))
    }
}
