//! Work that may be held up by the system, done beside the runtime's thread.

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// Carries out `work` on a thread of its own, which ends with it; where there is no thread to be had, on this one.
///
/// A file system that does not answer holds up that thread alone, and not the end of the process. `None` if `work`
/// panicked. To be awaited to its end, or the outcome is lost.
pub async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    begin(work).await
}

/// As [`beside`], but begun at once: whoever does not look at the outcome yet is not woken by its end.
pub fn begin<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Option<T>> + Send + 'static {
    let (sender, outcome) = oneshot::channel();
    // Shared, since a thread that cannot be started takes what it was given with it.
    let work = Arc::new(Mutex::new(Some(work)));
    let theirs = Arc::clone(&work);
    let started: io::Result<_> =
        thread::Builder::new().name("cronkeep-beside".to_owned()).spawn(move || {
            let work = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(work) = work {
                // Nobody waits any more where the daemon is ending.
                let _ = sender.send(work());
            }
        });
    let work = match started {
        Ok(_) => None,
        Err(_) => work.lock().unwrap_or_else(PoisonError::into_inner).take(),
    };
    let done = work.map(|work| work());
    async move {
        match done {
            Some(done) => Some(done),
            None => outcome.await.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn the_work_is_done_on_another_thread() {
        let here = thread::current().id();
        let there = runtime().block_on(beside(|| thread::current().id()));
        assert!(there.is_some_and(|there| there != here));
    }

    #[test]
    fn what_was_begun_is_done_though_nobody_looks() {
        let (told, heard) = std::sync::mpsc::channel();
        let outcome = begin(move || told.send(7));
        assert_eq!(heard.recv(), Ok(7));
        assert_eq!(runtime().block_on(outcome), Some(Ok(())));
    }

    #[test]
    fn work_that_panics_has_no_outcome() {
        assert_eq!(runtime().block_on(beside(|| panic!("asked for"))), None::<()>);
    }
}
