//! Pipes between the daemon and its children.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A pipe: what is written to the second end is read from the first. Neither is inherited by children as it
/// stands, both block.
///
/// # Errors
/// The system or the process has no descriptor left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// How many bytes wait in a pipe to be read.
///
/// # Errors
/// It is not a pipe.
pub fn waiting(pipe: &impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to which the pointer leads; the descriptor is open as long as it is borrowed.
    #[expect(unsafe_code, reason = "FIONREAD has no safe wrapper")]
    let done = unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if done == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Writes everything to a stream, whoever made it non-blocking: waits where it has no room, and goes on.
///
/// # Errors
/// The stream's other end is gone, or it cannot be written to at all.
pub fn write_patiently(stream: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut room = [PollFd::new(stream.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut room, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::*;

    #[test]
    fn a_pipe_tells_how_much_waits_in_it() {
        let (reader, writer) = pair().unwrap();
        assert_eq!(waiting(&reader).unwrap(), 0);
        File::from(writer).write_all(b"five\n").unwrap();
        assert_eq!(waiting(&reader).unwrap(), 5);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "five\n");
    }

    #[test]
    fn what_is_not_a_pipe_has_no_count() {
        assert!(waiting(&File::open("/").unwrap()).is_err());
    }

    #[test]
    fn a_stream_that_does_not_block_is_waited_for() {
        let (reader, writer) = pair().unwrap();
        let flags = nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&writer, flags).unwrap();
        let sent = vec![b'x'; 1 << 20];
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            File::from(reader).read_to_end(&mut received).unwrap();
            received
        });
        write_patiently(&mut File::from(writer), &sent).unwrap();
        assert_eq!(reading.join().unwrap(), sent);
    }
}
