//! Directories of crontabs: files come, go and change, beside files that are none.
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cronkeep::watch::{Change, Names, Notice, Occasion, Passed, Place, Shape, Trust, Watcher};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{AFTER, BEFORE, SOON, run};

/// A watch on a directory, with `job` in it.
struct Folder {
    at: TempDir,
    watcher: Watcher,
    sentinels: u32,
    notices: Vec<Notice>,
}

impl Folder {
    /// Watches a directory that is filled by `fill`; expects the texts of the first report.
    async fn with(fill: impl FnOnce(&Path), expected: &[&str]) -> Folder {
        let at = tempfile::tempdir().unwrap();
        fill(at.path());
        let place = Place { shape: Shape::Folder, ..Place::from(at.path().to_owned()) };
        let watcher = Watcher::start([place]).unwrap();
        let mut folder = Folder { at, watcher, sentinels: 0, notices: Vec::new() };
        let change = folder.change().await;
        assert_eq!(change.occasion, Occasion::Start);
        let texts: Vec<_> = edits(&change).into_iter().map(|(_, text)| text.unwrap()).collect();
        assert_eq!(texts, expected);
        folder
    }

    /// Watches a directory with the one file `job` in it.
    async fn new() -> Folder {
        Folder::with(|at| fs::write(at.join("job"), BEFORE).unwrap(), &[BEFORE]).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.at.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The next change that is more than notices.
    async fn change(&mut self) -> Change {
        let found = timeout(SOON, async {
            loop {
                let mut change = self.watcher.next().await.unwrap();
                self.notices.append(&mut change.notices);
                if change.occasion != Occasion::Notice {
                    return change;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("no change: {:?}", self.notices))
    }

    /// The next change must come soon and be of these files; `None`: it is gone.
    async fn expect(&mut self, expected: &[(&str, Option<&str>)]) {
        let change = self.change().await;
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, text)| (self.path(name), text.map(str::to_owned)))
            .collect();
        assert_eq!(edits(&change), expected);
    }

    /// Nothing more is reported of what happened so far.
    async fn expect_only_sentinel(&mut self) {
        self.sentinels += 1;
        let text = format!("* * * * * root sentinel-{}\n", self.sentinels);
        self.write("sentinel", &text);
        self.expect(&[("sentinel", Some(&text))]).await;
    }
}

fn edits(change: &Change) -> Vec<(PathBuf, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let edits = change.edits.iter();
    edits
        .map(|edit| (edit.path.to_path_buf(), edit.text.as_ref().map(|it| text(&it.bytes))))
        .collect()
}

#[tokio::test]
async fn files_are_read_by_name_and_those_that_are_none_are_told_once() {
    let mut folder = Folder::with(
        |at| {
            for (name, text) in [("b", "b\n"), ("a", "a\n"), ("a~", ""), (".hidden", "")] {
                fs::write(at.join(name), text).unwrap();
            }
            fs::create_dir(at.join("folder")).unwrap();
        },
        &["a\n", "b\n"],
    )
    .await;
    let passed: Vec<_> = folder
        .notices
        .iter()
        .map(|notice| match notice {
            Notice::Passed { path, why, .. } => (path.file_name().unwrap().to_str().unwrap(), *why),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(passed, [(".hidden", Passed::Hidden), ("a~", Passed::Backup)]);
    folder.watcher.reload();
    folder.expect(&[]).await;
    assert_eq!(folder.notices.len(), 2);
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_appears_changes_and_goes() {
    let mut folder = Folder::new().await;
    folder.write("new", BEFORE);
    folder.expect(&[("new", Some(BEFORE))]).await;
    folder.write("new", AFTER);
    folder.expect(&[("new", Some(AFTER))]).await;
    fs::remove_file(folder.path("new")).unwrap();
    folder.expect(&[("new", None)]).await;
    assert!(matches!(&folder.notices[..], [Notice::Gone { .. }]), "{:?}", folder.notices);
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_is_renamed() {
    let mut folder = Folder::new().await;
    fs::rename(folder.path("job"), folder.path("task")).unwrap();
    folder.expect(&[("task", Some(BEFORE)), ("job", None)]).await;
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_file_renamed_to_a_backup_is_gone() {
    let mut folder = Folder::new().await;
    fs::rename(folder.path("job"), folder.path("job.disabled")).unwrap();
    folder.expect(&[("job", None)]).await;
    folder.expect_only_sentinel().await;
}

/// Does something to `job` and expects exactly one report of its new text.
async fn one_report(edit: impl AsyncFnOnce(&Folder)) {
    let mut folder = Folder::new().await;
    edit(&folder).await;
    folder.expect(&[("job", Some(AFTER))]).await;
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn each_way_to_save_a_file_is_one_report() {
    one_report(async |folder| folder.write("job", AFTER)).await;
    one_report(async |folder| {
        folder.write("job.new", AFTER);
        fs::rename(folder.path("job.new"), folder.path("job")).unwrap();
    })
    .await;
    one_report(async |folder| {
        let path = folder.path("job");
        run("sed", &["-i".as_ref(), "s/before/after/".as_ref(), path.as_ref()]);
    })
    .await;
    one_report(async |folder| {
        // As vim does: a probe, a backup, the new file, no backup.
        folder.write("4913", "");
        fs::remove_file(folder.path("4913")).unwrap();
        fs::rename(folder.path("job"), folder.path("job~")).unwrap();
        folder.write("job", AFTER);
        fs::remove_file(folder.path("job~")).unwrap();
    })
    .await;
    one_report(async |folder| {
        fs::remove_file(folder.path("job")).unwrap();
        sleep(Duration::from_millis(600)).await;
        folder.write("job", AFTER);
    })
    .await;
    one_report(async |folder| {
        folder.write(".older", AFTER);
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file = File::options().write(true).open(folder.path(".older")).unwrap();
        file.set_times(FileTimes::new().set_modified(past)).unwrap();
        fs::rename(folder.path(".older"), folder.path("job")).unwrap();
    })
    .await;
    one_report(async |folder| {
        let mut file = File::create(folder.path("job")).unwrap();
        for byte in AFTER.as_bytes() {
            file.write_all(&[*byte]).unwrap();
            sleep(Duration::from_millis(30)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_changes_no_text_is_no_report() {
    let mut folder = Folder::new().await;
    let looks = folder.watcher.looks();
    let file = OpenOptions::new().write(true).open(folder.path("job")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    drop(file);
    fs::set_permissions(folder.path("job"), Permissions::from_mode(0o600)).unwrap();
    folder.write("job", BEFORE);
    let limit = Instant::now() + SOON;
    while folder.watcher.looks() == looks {
        assert!(Instant::now() < limit, "not looked at");
        sleep(Duration::from_millis(1)).await;
    }
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn another_mode_counts_where_it_decides() {
    let mut folder = Folder::new().await;
    let mode = |mode| {
        fs::set_permissions(folder.path("job"), Permissions::from_mode(mode)).unwrap();
    };
    mode(0o666);
    folder.expect(&[("job", None)]).await;
    let notice = folder.notices.remove(0).to_string();
    assert!(notice.contains("is refused: others than its owner may write to it"), "{notice}");
    fs::set_permissions(folder.path("job"), Permissions::from_mode(0o644)).unwrap();
    folder.expect(&[("job", Some(BEFORE))]).await;
    assert!(folder.notices[0].to_string().ends_with("is accepted now"), "{:?}", folder.notices);
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_config_map_is_swapped_as_a_whole() {
    let version = |at: &Path, name: &str, files: &[(&str, &str)]| {
        fs::create_dir(at.join(name)).unwrap();
        for (file, text) in files {
            fs::write(at.join(name).join(file), text).unwrap();
        }
    };
    let mut folder = Folder::with(
        |at| {
            version(at, "..2026_1", &[("one", BEFORE), ("two", BEFORE)]);
            symlink("..2026_1", at.join("..data")).unwrap();
            symlink("..data/one", at.join("one")).unwrap();
            symlink("..data/two", at.join("two")).unwrap();
        },
        &[BEFORE, BEFORE],
    )
    .await;
    version(folder.at.path(), "..2026_2", &[("one", AFTER), ("two", AFTER)]);
    symlink("..2026_2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    fs::remove_dir_all(folder.path("..2026_1")).unwrap();
    folder.expect(&[("one", Some(AFTER)), ("two", Some(AFTER))]).await;
    assert!(folder.notices.is_empty(), "{:?}", folder.notices);
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn the_target_of_a_link_is_heard_of_wherever_it_is() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    fs::write(&target, BEFORE).unwrap();
    let mut folder = Folder::with(|at| symlink(&target, at.join("link")).unwrap(), &[BEFORE]).await;
    fs::write(&target, AFTER).unwrap();
    folder.expect(&[("link", Some(AFTER))]).await;
    fs::remove_file(&target).unwrap();
    folder.expect(&[("link", None)]).await;
    fs::write(&target, BEFORE).unwrap();
    folder.expect(&[("link", Some(BEFORE))]).await;
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_directory_that_is_removed_takes_its_jobs_with_it_and_may_come_back() {
    let mut folder = Folder::new().await;
    folder.write("more", BEFORE);
    folder.expect(&[("more", Some(BEFORE))]).await;
    fs::remove_dir_all(folder.at.path()).unwrap();
    folder.expect(&[("job", None), ("more", None)]).await;
    let [Notice::FolderGone { files: 2, .. }] = &folder.notices[..] else {
        panic!("one line: {:?}", folder.notices);
    };
    fs::create_dir(folder.at.path()).unwrap();
    folder.write("job", AFTER);
    folder.expect(&[("job", Some(AFTER))]).await;
    folder.expect_only_sentinel().await;
}

#[tokio::test]
async fn a_directory_that_does_not_exist_yet_is_waited_for() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("not/yet");
    let place = |expected| Place { shape: Shape::Folder, expected, ..Place::from(path.clone()) };
    for expected in [false, true] {
        let mut watcher = Watcher::start([place(expected)]).unwrap();
        let change = timeout(SOON, watcher.next()).await.unwrap().unwrap();
        assert_eq!(change.notices.len(), usize::from(expected), "{:?}", change.notices);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("job"), AFTER).unwrap();
        loop {
            let change = timeout(SOON, watcher.next()).await.unwrap().unwrap();
            if change.occasion == Occasion::Edit {
                assert_eq!(edits(&change), [(path.join("job"), Some(AFTER.to_owned()))]);
                break;
            }
        }
        fs::remove_dir_all(at.path().join("not")).unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_named_may_turn_out_a_directory() {
    let at = tempfile::tempdir().unwrap();
    let path = at.path().join("jobs");
    let mut watcher = Watcher::start([path.clone()]).unwrap();
    assert_eq!(timeout(SOON, watcher.next()).await.unwrap().unwrap().occasion, Occasion::Start);
    fs::create_dir(&path).unwrap();
    fs::write(path.join("job"), AFTER).unwrap();
    let change = timeout(SOON, watcher.next()).await.unwrap().unwrap();
    assert_eq!(edits(&change), [(path.join("job"), Some(AFTER.to_owned()))]);
}

#[tokio::test]
async fn a_thousand_files_a_second_that_are_no_crontabs_delay_nothing() {
    let mut folder = Folder::new().await;
    let at = folder.at.path().to_owned();
    let noise = tokio::task::spawn_blocking(move || {
        for number in 0..1_500_u32 {
            let path = at.join(format!(".noise-{}", number % 10));
            fs::write(&path, "noise").unwrap();
            fs::remove_file(&path).unwrap();
            std::thread::park_timeout(Duration::from_millis(1));
        }
    });
    sleep(Duration::from_millis(200)).await;
    let looks = folder.watcher.looks();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(folder.watcher.looks(), looks, "noise alone is not looked at");
    let begun = Instant::now();
    folder.write("job", AFTER);
    folder.expect(&[("job", Some(AFTER))]).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    folder.expect_only_sentinel().await;
    noise.await.unwrap();
}

#[tokio::test]
async fn ten_thousand_files_are_fine() {
    let fill = |at: &Path| {
        for number in 0..10_000 {
            fs::write(at.join(format!("job-{number}")), BEFORE).unwrap();
        }
    };
    let mut folder = Folder::with(fill, &vec![BEFORE; 10_000]).await;
    let begun = Instant::now();
    folder.write("job-5000", AFTER);
    folder.expect(&[("job-5000", Some(AFTER))]).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    for number in 0..10_000 {
        fs::remove_file(folder.path(&format!("job-{number}"))).unwrap();
    }
    let gone = folder.change().await;
    assert!(!gone.edits.is_empty() && gone.edits.iter().all(|edit| edit.text.is_none()));
    assert!(folder.notices.len() < 100, "a few lines will do: {}", folder.notices.len());
}

#[tokio::test]
async fn in_a_spool_no_link_pipe_or_other_users_file_is_read() {
    let at = tempfile::tempdir().unwrap();
    let secret = at.path().join("secret");
    fs::write(&secret, "* * * * * secret\n").unwrap();
    let spool = at.path().join("spool");
    fs::create_dir(&spool).unwrap();
    symlink(&secret, spool.join("root")).unwrap();
    nix::unistd::mkfifo(&spool.join("0"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::hard_link(&secret, spool.join("4711")).unwrap();
    fs::write(spool.join("nobody-of-this-name"), BEFORE).unwrap();
    let place = Place {
        path: spool.clone(),
        shape: Shape::Folder,
        names: Names::Users,
        trust: Trust::Spool,
        expected: false,
    };
    let mut watcher = Watcher::start([place]).unwrap();
    let change = timeout(SOON, watcher.next()).await.unwrap().unwrap();
    assert!(change.edits.is_empty(), "{:?}", change.edits);
    let mut notices: Vec<_> = change.notices.iter().map(ToString::to_string).collect();
    notices.sort();
    let told = |name: &str, part: &str| {
        let path = spool.join(name).display().to_string();
        let is_it =
            |notice: &&String| notice.starts_with(&format!("{path} ")) && notice.contains(part);
        assert!(notices.iter().any(|notice| is_it(&notice)), "{name}: {notices:#?}");
    };
    told("0", "is a named pipe");
    told("4711", "hard link");
    told("nobody-of-this-name", "ORPHAN, there is no user nobody-of-this-name");
    told("root", "is refused: it is a symbolic link");
    assert_eq!(notices.len(), 4, "{notices:#?}");
}

#[tokio::test]
async fn a_file_that_moves_to_another_directory_is_never_in_both() {
    let [one, other] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    fs::write(one.path().join("job"), BEFORE).unwrap();
    let places = [&one, &other].map(|at| Place::from(at.path().to_owned()));
    let mut watcher = Watcher::start(places).unwrap();
    watcher.next().await.unwrap();
    let (from, to) = (one.path().join("job"), other.path().join("job"));
    fs::rename(&from, &to).unwrap();
    let change = timeout(SOON, watcher.next()).await.expect("no change").unwrap();
    assert_eq!(edits(&change), [(from, None), (to, Some(BEFORE.to_owned()))]);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_is_told_of_until_it_leads_to_a_crontab() {
    let fill = |at: &Path| {
        fs::write(at.join("job"), BEFORE).unwrap();
        symlink(at.join("away/later"), at.join("link")).unwrap();
    };
    let mut folder = Folder::with(fill, &[BEFORE]).await;
    let is_told = |notice: &Notice| matches!(notice, Notice::Passed { why: Passed::Dangling, .. });
    assert!(folder.notices.iter().any(is_told), "{:?}", folder.notices);
    fs::create_dir(folder.at.path().join("away")).unwrap();
    fs::write(folder.at.path().join("away/later"), AFTER).unwrap();
    let change = folder.change().await;
    assert_eq!(edits(&change).len(), 1, "{change:?}");
}
