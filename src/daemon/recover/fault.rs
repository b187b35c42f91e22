//! The steps of a recovery, at any of which a test may have the daemon killed.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, raise};

/// What `CRONKEEP_TEST_FAULT` begins with; the number of the step follows.
const ASKED: &str = "recover-kill-at-";

/// Something that outlives us is about to be changed. Builds without debug assertions do nothing here.
pub(super) fn step() {
    static STEPS: AtomicUsize = AtomicUsize::new(0);
    if !cfg!(debug_assertions) {
        return;
    }
    let Ok(asked) = std::env::var("CRONKEEP_TEST_FAULT") else { return };
    let Some(Ok(at)) = asked.strip_prefix(ASKED).map(str::parse::<usize>) else { return };
    if STEPS.fetch_add(1, Ordering::Relaxed) == at {
        // It cannot fail, nor return.
        let _ = raise(Signal::SIGKILL);
    }
}
