//! Reading a pipe without ever waiting for it.

use std::cell::RefCell;
use std::io;

use nix::errno::Errno;
use tokio::net::unix::pipe::Receiver;

use super::Lines;
use crate::unix::pipe;

/// How much is read at a time: what a pipe holds.
pub(super) const CHUNK: usize = 64 << 10;

thread_local! {
    /// What was just read. One for all runs, since nobody waits while it is in use.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Our end of one stream of a run.
#[derive(Debug)]
pub(in crate::executor) struct Reader {
    /// None after its end.
    pipe: Option<Receiver>,
    /// What was read and not told.
    pub(super) lines: Lines,
    /// Whether the last byte read ended a line.
    pub(super) at_line_start: bool,
}

impl Reader {
    /// Reads from `pipe`.
    pub(in crate::executor) fn new(pipe: Receiver) -> Self {
        Reader { pipe: Some(pipe), lines: Lines::default(), at_line_start: true }
    }

    /// Whether more may come.
    pub(in crate::executor) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Waits until there is something to read, or the end. Dropping the future loses nothing.
    pub(in crate::executor) async fn ready(&mut self) {
        if let Some(pipe) = &self.pipe
            && pipe.readable().await.is_err()
        {
            self.pipe = None;
        }
    }

    /// Reads once what is there, and hands it to `take`; how many bytes there were.
    pub(super) fn read(&mut self, take: impl FnOnce(&mut Self, &[u8])) -> usize {
        self.read_with(CHUNK, Receiver::try_read, take)
    }

    /// The same with at most `limit` bytes, also where the runtime has not been told of them yet.
    pub(super) fn read_now(&mut self, limit: usize, take: impl FnOnce(&mut Self, &[u8])) -> usize {
        let read = |pipe: &Receiver, buffer: &mut [u8]| loop {
            match nix::unistd::read(pipe, buffer) {
                Err(Errno::EINTR) => {}
                read => return Ok(read?),
            }
        };
        self.read_with(limit.min(CHUNK), read, take)
    }

    fn read_with(
        &mut self,
        limit: usize,
        read: impl FnOnce(&Receiver, &mut [u8]) -> io::Result<usize>,
        take: impl FnOnce(&mut Self, &[u8]),
    ) -> usize {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(CHUNK, 0);
            let Some(pipe) = &self.pipe else { return 0 };
            match read(pipe, &mut scratch[..limit]) {
                Ok(count @ 1..) => {
                    self.at_line_start = scratch[count - 1] == b'\n';
                    take(self, &scratch[..count]);
                    count
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Ok(0) | Err(_) => {
                    self.pipe = None;
                    0
                }
            }
        })
    }

    /// How many bytes wait in the pipe at this moment.
    pub(super) fn waiting(&self) -> usize {
        self.pipe.as_ref().and_then(|pipe| pipe::waiting(pipe).ok()).unwrap_or(0)
    }
}
