//! A watch on real files, and what to expect of it.
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cronkeep::watch::{Change, Notice, Occasion, Watcher};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

/// By when an edit must have been reported, counted from its last write.
pub(crate) const SOON: Duration = Duration::from_secs(8);

/// The text a crontab has before it is edited.
pub(crate) const BEFORE: &str = "* * * * * root before\n";
/// The text it has afterwards.
pub(crate) const AFTER: &str = "* * * * * root after\n";

/// A watch that runs beside the test, on the test's thread.
pub(crate) struct Watched {
    /// Kept for as long as the watch runs, where it was made for it.
    folder: Option<TempDir>,
    /// The watched file, as typed.
    pub(crate) path: PathBuf,
    pub(crate) watcher: Watcher,
    sentinels: u32,
    /// Notices that came with or before a change, or with the start.
    pub(crate) notices: Vec<Notice>,
}

impl Watched {
    /// Watches `crontab` in a directory of its own, with [`BEFORE`] in it.
    pub(crate) async fn new() -> Watched {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        fs::write(&path, BEFORE).unwrap();
        let mut watched = Watched::on(&path);
        watched.folder = Some(folder);
        watched.expect_start(&[BEFORE]).await;
        watched
    }

    /// Watches `path`; the first report is still to be expected.
    pub(crate) fn on(path: &Path) -> Watched {
        Watched::with(Watcher::start(vec![path.to_owned()]).unwrap(), path)
    }

    /// Takes `watcher`, of whose files `path` is the one that sentinels are written to.
    pub(crate) fn with(watcher: Watcher, path: &Path) -> Watched {
        let path = path.to_owned();
        Watched { folder: None, path, watcher, sentinels: 0, notices: Vec::new() }
    }

    /// The directory of the watched file.
    pub(crate) fn home(&self) -> &Path {
        self.path.parent().unwrap()
    }

    /// Writes a file beside the watched one.
    pub(crate) fn beside(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// The next change that is more than notices, within `limit`; the notices are kept.
    pub(crate) async fn change_within(&mut self, limit: Duration) -> Change {
        let found = timeout(limit, async {
            loop {
                let mut change = self.watcher.next().await.unwrap();
                self.notices.append(&mut change.notices);
                if change.occasion != Occasion::Notice {
                    return change;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("no change within {limit:?}: {:?}", self.notices))
    }

    /// The next change must come soon and consist of this one text.
    pub(crate) async fn expect_change(&mut self, text: &str) {
        let change = self.change_within(SOON).await;
        assert_eq!(change.occasion, Occasion::Edit);
        assert_eq!(texts(&change), [text]);
    }

    /// The first change must come soon and have these texts.
    pub(crate) async fn expect_start(&mut self, expected: &[&str]) {
        let change = self.change_within(SOON).await;
        assert_eq!(change.occasion, Occasion::Start);
        assert_eq!(texts(&change), expected);
    }

    /// The next change must be a notice and nothing else, and come within `limit`.
    pub(crate) async fn expect_notice(&mut self, limit: Duration) -> Notice {
        let found = timeout(limit, self.watcher.next()).await;
        let mut change = found.expect("no notice in time").unwrap();
        assert_eq!(change.occasion, Occasion::Notice, "{:?}", texts(&change));
        assert_eq!(change.notices.len(), 1, "{:?}", change.notices);
        change.notices.remove(0)
    }

    /// Nothing more is reported of what happened so far: the next change is the one made here.
    pub(crate) async fn expect_only_sentinel(&mut self) {
        self.sentinels += 1;
        let text = format!("* * * * * root sentinel-{}\n", self.sentinels);
        fs::write(&self.path, &text).unwrap();
        self.expect_change(&text).await;
    }

    /// Waits until the files were looked at once more than `looks` times.
    pub(crate) async fn expect_look(&self, looks: u64) {
        let limit = Instant::now() + SOON;
        while self.watcher.looks() <= looks {
            assert!(Instant::now() < limit, "not looked at");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The new texts of a change.
pub(crate) fn texts(change: &Change) -> Vec<&str> {
    let texts = change.edits.iter().filter_map(|edit| edit.text.as_ref());
    texts.map(|text| std::str::from_utf8(&text.bytes).unwrap()).collect()
}

/// Runs a program of the system to its end.
pub(crate) fn run(program: &str, arguments: &[&OsStr]) {
    let child = Command::new(program).args(arguments).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", output.status);
}
