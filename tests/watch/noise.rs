//! A thousand other files a second, in the same directory.
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};

use crate::harness::{AFTER, Watched};

/// Makes and removes files on a thread of its own, a thousand a second, until dropped.
struct Noise {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Noise {
    fn in_folder(folder: PathBuf) -> Noise {
        let (stop, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&made));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for number in 0..10 {
                    let path = folder.join(format!("noise-{number}"));
                    fs::write(&path, "noise").unwrap();
                    fs::remove_file(&path).unwrap();
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        Noise { stop, made, thread: Some(thread) }
    }
}

impl Drop for Noise {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What this thread, on which the watch runs, has used of the processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

#[tokio::test]
async fn an_edit_amid_noise_is_reported_in_time_and_once() {
    let mut watched = Watched::new().await;
    let noise = Noise::in_folder(watched.home().to_owned());
    sleep(Duration::from_millis(200)).await;
    let begun = Instant::now();
    fs::write(&watched.path, AFTER).unwrap();
    watched.expect_change(AFTER).await;
    assert!(begun.elapsed() < crate::harness::SOON, "{:?}", begun.elapsed());
    watched.expect_only_sentinel().await;
    drop(noise);
}

#[tokio::test]
async fn noise_alone_wakes_nobody() {
    let mut watched = Watched::new().await;
    // What arming heard of the creation is over when the sentinel is.
    watched.expect_only_sentinel().await;
    let (looks, used) = (watched.watcher.looks(), processor_time());
    let noise = Noise::in_folder(watched.home().to_owned());
    while noise.made.load(Ordering::Relaxed) < 1_000 {
        sleep(Duration::from_millis(20)).await;
    }
    let used = processor_time().saturating_sub(used);
    assert_eq!(watched.watcher.looks(), looks);
    assert!(used < Duration::from_millis(50), "{used:?} of the processor");
    drop(noise);
    watched.expect_only_sentinel().await;
}
