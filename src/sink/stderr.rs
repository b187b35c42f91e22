//! Standard error, where records go: written at once, but by a thread that [gathers](gather) them.

use std::cell::RefCell;
use std::io;

use crate::unix::pipe::write_patiently;

/// Bytes of records that are written at once, at most, unless a single one has more: what a pipe takes as a whole.
const ENOUGH: usize = 4 << 10;

thread_local! {
    /// What waits to be written; none on a thread that does not gather.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Lines that wait; written when the thread ends, too.
struct Waiting {
    lines: Vec<u8>,
    write: fn(&[u8]),
}

impl Waiting {
    fn write(&mut self) {
        if !self.lines.is_empty() {
            (self.write)(&self.lines);
            self.lines.clear();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.write();
    }
}

/// From now on the calling thread's lines are gathered: until 4 KiB of them wait, it calls [`flush`], or ends.
pub fn gather() {
    gather_for(write_now);
}

fn gather_for(write: fn(&[u8])) {
    WAITING.with_borrow_mut(|waiting| {
        waiting.get_or_insert(Waiting { lines: Vec::new(), write });
    });
}

/// Writes whole lines, or has them wait for others where the thread gathers them. Standard error may be closed; then there is
/// nobody to tell.
pub fn write(lines: &[u8]) {
    let is_gathered = with_waiting(|waiting| {
        if waiting.lines.len() + lines.len() > ENOUGH {
            waiting.write();
        }
        waiting.lines.extend_from_slice(lines);
        if waiting.lines.len() >= ENOUGH {
            waiting.write();
        }
    });
    if is_gathered.is_none() {
        write_now(lines);
    }
}

/// Writes what the calling thread has gathered.
pub fn flush() {
    with_waiting(Waiting::write);
}

/// Nothing on a thread that gathers none: it has not begun to, is about to end, or tells of a panic while it writes.
fn with_waiting<T>(with: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
    let with = |waiting: &RefCell<Option<Waiting>>| {
        waiting.try_borrow_mut().ok().and_then(|mut waiting| waiting.as_mut().map(with))
    };
    WAITING.try_with(with).ok().flatten()
}

fn write_now(lines: &[u8]) {
    let _ = write_patiently(&mut io::stderr().lock(), lines);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    static WRITTEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    fn note(lines: &[u8]) {
        WRITTEN.lock().unwrap().push(lines.to_vec());
    }

    fn written() -> Vec<Vec<u8>> {
        std::mem::take(&mut WRITTEN.lock().unwrap())
    }

    #[test]
    fn what_a_thread_gathers_is_written_when_it_is_enough_when_asked_for_and_at_its_end() {
        let thread = std::thread::spawn(|| {
            gather_for(note);
            write(b"one\n");
            write(b"two\n");
            assert!(written().is_empty());
            flush();
            assert_eq!(written(), [b"one\ntwo\n"]);
            flush();
            assert!(written().is_empty(), "nothing is written twice");
            let long = vec![b'x'; ENOUGH];
            write(&long);
            assert_eq!(written(), [long]);
            write(b"last\n");
        });
        thread.join().unwrap();
        assert_eq!(written(), [b"last\n"]);
    }
}
