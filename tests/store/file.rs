//! The file of the embedded store: whose it is, what becomes of it when it is broken, missing, newer or another's.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cronkeep::store::open::{Access, Opening};
use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::sqlite::{Bounds, Sqlite, VERSION, VERSION_1, VERSION_2, VERSION_3, lock};
use cronkeep::store::{
    Address, Done, Posted, Put, PutSnapshot, Room, RunRecord, Store, StoreError, Waiting, Which,
    Write, open,
};
use cronkeep::unix::lock::LockError;
use rusqlite::Connection;

use super::embedded::Folder;
use super::harness::{all, at, block_on, key, mark, record, state, write, write_runs};
use super::outbox::{message, post};

fn with(test: impl AsyncFnOnce(&Folder)) {
    let folder = Folder::new();
    block_on(test(&folder));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in the folder of the database, but for what SQLite keeps beside it.
fn names(folder: &Folder) -> Vec<String> {
    let names = fs::read_dir(folder.folder()).unwrap();
    let names = names.map(|item| item.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| !name.ends_with("-wal") && !name.ends_with("-shm")).collect();
    names.sort();
    names
}

#[test]
fn the_default_file_and_its_directories_are_made_for_their_owner_alone() {
    with(async |folder| {
        let path = folder.folder().join("a/b/cronkeep.db");
        let store = open(folder.opening(Address::Sqlite(path.clone()), Access::Default));
        write(&*store, [Write::Pause(key(1))]).await;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(mode(&folder.folder().join("a/b/cronkeep.db-wal")), 0o600);
        assert_eq!(folder.told(), [""; 0]);
    });
}

#[test]
fn our_own_file_that_others_could_read_is_closed_to_them_and_a_named_one_is_left_as_it_is() {
    for (access, expected) in [(Access::Default, 0o600), (Access::Owned, 0o644)] {
        with(async |folder| {
            fs::write(folder.path(), "").unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o644)).unwrap();
            write(&*folder.store(access), [Write::Pause(key(1))]).await;
            assert_eq!(mode(&folder.path()), expected);
            let is_told = folder.told().iter().any(|text| text.contains("mode 0644"));
            assert_eq!(is_told, expected == 0o644);
        });
    }
}

/// A link to a database elsewhere, in the place of ours.
fn linked(folder: &Folder) -> std::path::PathBuf {
    let target = folder.folder().join("elsewhere.db");
    symlink(&target, folder.path()).unwrap();
    target
}

#[test]
fn a_link_leads_to_the_database_whose_mode_stays() {
    for access in [Access::Default, Access::Owned] {
        with(async |folder| {
            let target = linked(folder);
            fs::write(&target, "").unwrap();
            fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
            let store = folder.store(access);
            write(&*store, [Write::Pause(key(1))]).await;
            assert_eq!(mode(&target), 0o640);
            assert!(state(&*folder.store(Access::Read), key(1)).await.paused);
            drop(store);
            assert_eq!(names(folder), ["cronkeep.db", "elsewhere.db", "elsewhere.db-starts"]);
            let other = open(folder.opening(Address::Sqlite(target), Access::Owned));
            assert!(state(&*other, key(1)).await.paused);
        });
    }
}

#[test]
fn a_broken_database_behind_a_link_is_put_aside_where_it_is() {
    with(async |folder| {
        let target = linked(folder);
        fs::write(&target, vec![0xff; 100_000]).unwrap();
        write(&*folder.store(Access::Owned), [Write::Pause(key(1))]).await;
        let aside = "elsewhere.db.corrupt-20270115T080000Z";
        assert_eq!(names(folder), ["cronkeep.db", "elsewhere.db", "elsewhere.db-starts", aside]);
        assert!(fs::symlink_metadata(folder.path()).unwrap().is_symlink());
    });
}

#[test]
fn a_link_that_leads_nowhere_or_to_somebody_elses_file_is_not_followed() {
    with(async |folder| {
        let target = linked(folder);
        let error = folder.store(Access::Owned).load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Down(text) if text.contains("leads nowhere")));
        assert!(!target.exists());
        if !nix::unistd::geteuid().is_root() {
            return println!("skipped: only root can give files away");
        }
        fs::write(&target, "").unwrap();
        std::os::unix::fs::chown(&target, Some(61_234), None).unwrap();
        let error = folder.store(Access::Owned).load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Down(text) if text.contains("uid 61234")), "{error}");
        assert_eq!(fs::metadata(&target).unwrap().len(), 0);
        fs::remove_file(folder.path()).unwrap();
        std::os::unix::fs::chown(&target, Some(0), None).unwrap();
        symlink(&target, folder.path()).unwrap();
        std::os::unix::fs::lchown(folder.path(), Some(61_234), None).unwrap();
        let error = folder.store(Access::Owned).load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Down(text) if text.contains("uid 61234")), "{error}");
    });
}

#[test]
fn a_page_that_is_read_beside_the_owner_is_whole_whatever_is_removed_meanwhile() {
    let folder = &Folder::new();
    let bounds = Bounds { runs: 20, each: 0, ..Bounds::default() };
    let opening = folder.opening(Address::Sqlite(folder.path()), Access::Owned);
    let owner = Sqlite::with_bounds(opening, bounds);
    let outcome = Some(RecordedOutcome::Failed);
    let failed = |n: u32| RunRecord { outcome, ..record(n, i64::from(n)) };
    block_on(write_runs(&owner, (0..20).map(failed)));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let all_written = async {
                for n in 20..1_000 {
                    write_runs(&owner, [failed(n)]).await;
                }
            };
            block_on(all_written);
            ended.store(true, Ordering::Relaxed);
        });
        block_on(async {
            let reader = folder.store(Access::Read);
            while !ended.load(Ordering::Relaxed) {
                let page = reader.runs(all(1_000)).await.unwrap();
                assert!(page.runs.len() >= 20, "{}", page.runs.len());
            }
        });
    });
}

#[test]
fn a_named_store_whose_directory_is_missing_is_down_until_it_is_there() {
    with(async |folder| {
        let path = folder.folder().join("volume/cronkeep.db");
        let store = open(folder.opening(Address::Sqlite(path.clone()), Access::Owned));
        let error = store.load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Down(text) if text.contains("volume/cronkeep.db")));
        fs::create_dir(path.parent().unwrap()).unwrap();
        write(&*store, [Write::Pause(key(1))]).await;
        assert!(state(&*store, key(1)).await.paused);
    });
}

#[test]
fn where_no_file_can_be_made_the_default_store_is_memory_and_says_so() {
    with(async |folder| {
        fs::write(folder.folder().join("file"), "").unwrap();
        let path = folder.folder().join("file/cronkeep.db");
        let store = open(folder.opening(Address::Sqlite(path), Access::Default));
        write(&*store, [Write::Pause(key(1))]).await;
        assert!(state(&*store, key(1)).await.paused);
        let told = folder.told();
        assert!(told.len() == 1 && told[0].contains("kept in memory"), "{told:?}");
    });
}

#[test]
fn a_newer_schema_is_left_alone_and_told_by_its_version() {
    with(async |folder| {
        drop(folder.store(Access::Owned).load().await.unwrap());
        let database = Connection::open(folder.path()).unwrap();
        database.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(database);
        let before = fs::read(folder.path()).unwrap();
        for access in [Access::Owned, Access::Default, Access::Read] {
            let store = folder.store(access);
            let newer = StoreError::Newer { found: VERSION + 1, known: VERSION };
            assert_eq!(store.load().await.unwrap_err(), newer, "{access:?}");
            assert!(store.write(vec![Write::Pause(key(1))]).await.is_err());
        }
        assert_eq!(fs::read(folder.path()).unwrap(), before);
        assert_eq!(names(folder), ["cronkeep.db", "cronkeep.db-starts"]);
    });
}

#[test]
fn the_database_of_another_program_is_left_alone() {
    with(async |folder| {
        let database = Connection::open(folder.path()).unwrap();
        database.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(database);
        let before = fs::read(folder.path()).unwrap();
        let error = folder.store(Access::Owned).load().await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(text) if text.contains("another program")));
        assert_eq!(fs::read(folder.path()).unwrap(), before);
    });
}

#[test]
fn each_namespace_has_a_file_of_its_own() {
    with(async |folder| {
        drop(folder.store(Access::Owned).load().await.unwrap());
        for access in [Access::Owned, Access::Read] {
            let opening = folder.opening(Address::Sqlite(folder.path()), access);
            let other = open(Opening { namespace: "other".to_owned(), ..opening });
            let error = other.load().await.unwrap_err();
            let expected = "is of namespace default, not other";
            assert!(
                matches!(&error, StoreError::Refused(text) if text.contains(expected)),
                "{error}"
            );
        }
    });
}

#[test]
fn a_command_reads_beside_the_daemon_and_makes_nothing() {
    with(async |folder| {
        let reader = folder.store(Access::Read);
        assert!(matches!(reader.runs(all(9)).await, Err(StoreError::Down(_))));
        assert_eq!(names(folder), [""; 0]);
        let owner = folder.store(Access::Owned);
        write_runs(&*owner, [record(1, 0)]).await;
        assert_eq!(reader.runs(all(9)).await.unwrap().runs, [record(1, 0)]);
        write_runs(&*owner, [record(2, 60)]).await;
        assert_eq!(reader.runs(all(9)).await.unwrap().runs.len(), 2);
        let refused = reader.write(vec![Write::Pause(key(1))]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        drop(owner);
        assert_eq!(reader.runs(all(9)).await.unwrap().runs.len(), 2);
    });
}

#[test]
fn what_is_no_database_is_put_aside_and_told() {
    for garbage in [b"x".to_vec(), vec![b'\n'; 5_000], vec![0xff; 100_000]] {
        with(async |folder| {
            fs::write(folder.path(), &garbage).unwrap();
            let store = folder.store(Access::Owned);
            write(&*store, [Write::Pause(key(1))]).await;
            assert!(state(&*folder.store(Access::Owned), key(1)).await.paused);
            let [told] = &folder.told()[..] else { panic!("told once") };
            let names = names(folder);
            let [_, _, aside] = &names[..] else { panic!("{names:?}") };
            assert_eq!(aside, "cronkeep.db.corrupt-20270115T080000Z");
            assert!(told.contains(aside), "{told}");
            assert_eq!(fs::read(folder.folder().join(aside)).unwrap(), garbage, "nothing is lost");
        });
    }
}

#[test]
fn of_a_broken_database_what_the_schedule_depends_on_is_taken_over() {
    with(async |folder| {
        let store = folder.store(Access::Owned);
        write(&*store, (0..50).map(|n| Write::Mark(key(n), mark(60)))).await;
        write(&*store, [Write::Pause(key(7))]).await;
        let snapshot =
            PutSnapshot { after: 0, expected: 0, bytes: b"text".to_vec(), seed_rows: None };
        assert_eq!(store.put_snapshot(snapshot).await.unwrap(), Put::Done(1));
        let ended =
            |n| RunRecord { outcome: Some(RecordedOutcome::Failed), ..record(n, i64::from(n)) };
        write_runs(&*store, (0..2_000).map(ended)).await;
        drop(store);
        // All but the first pages, which hold the other tables.
        let bytes = fs::read(folder.path()).unwrap();
        let mut broken = bytes.clone();
        let from = 16 * 4_096;
        broken[from..].fill(0xa5);
        fs::write(folder.path(), &broken).unwrap();
        let store = folder.store(Access::Owned);
        let mut failed = 0;
        while let Err(error) = store.write(vec![Write::Run(Arc::new(record(9_999, 9_999)))]).await {
            assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
            failed += 1;
            assert!(failed < 3, "it is begun anew");
        }
        let jobs = store.load().await.unwrap().jobs;
        assert_eq!(jobs.len(), 50);
        assert!(jobs[&key(7)].paused && jobs[&key(49)].mark == Some(mark(60)));
        assert_eq!(store.snapshot().await.unwrap().unwrap().bytes, b"text");
        assert_eq!(store.runs(all(9)).await.unwrap().runs, [record(9_999, 9_999)]);
        assert_eq!(folder.told().len(), 1);
        let aside = folder.folder().join("cronkeep.db.corrupt-20270115T080000Z");
        assert_eq!(fs::metadata(aside).unwrap().len(), bytes.len() as u64);
    });
}

#[test]
fn a_file_that_was_removed_is_begun_anew() {
    with(async |folder| {
        let store = folder.store(Access::Owned);
        write(&*store, [Write::Pause(key(1))]).await;
        for end in ["", "-wal", "-shm"] {
            fs::remove_file(format!("{}{end}", folder.path().display())).unwrap();
        }
        write(&*store, [Write::Pause(key(2))]).await;
        let jobs = folder.store(Access::Owned).load().await.unwrap().jobs;
        assert!(jobs.len() == 1 && jobs[&key(2)].paused, "what is written has a name");
        assert!(folder.told()[0].contains("was removed"));
    });
}

/// Row 105, for a store.
#[test]
fn one_daemon_has_the_file_and_the_next_learns_which() {
    let folder = Folder::new();
    let first = lock(&folder.path()).unwrap();
    let Err(LockError::Held(Some(holder))) = lock(&folder.path()) else { panic!("it is held") };
    assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
    drop(first);
    lock(&folder.path()).unwrap();
}

/// The tables as a database has them: name and text of each.
fn schema(database: &Connection) -> Vec<String> {
    let sql = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn the_tables_are_as_documented() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/store.md");
    let document = fs::read_to_string(document).unwrap();
    for version in [VERSION_1, VERSION_2, VERSION_3] {
        let tables = format!("```sql\n{version}```\n");
        assert!(document.contains(&tables), "the tables stand in docs/store.md:\n{tables}");
    }
    with(async |folder| {
        drop(folder.store(Access::Owned).load().await.unwrap());
        let golden = Connection::open_in_memory().unwrap();
        golden.execute_batch(include_str!("golden/3.sql")).unwrap();
        let made = schema(&Connection::open(folder.path()).unwrap());
        assert_eq!(made, schema(&golden), "what is released stays as it is: add a version");
    });
}

#[test]
fn databases_of_all_versions_are_read() {
    let [one, two, three] =
        [include_str!("golden/1.sql"), include_str!("golden/2.sql"), include_str!("golden/3.sql")];
    for golden in [one, two, three] {
        read(golden);
    }
}

fn read(golden: &str) {
    with(async |folder| {
        let database = Connection::open(folder.path()).unwrap();
        database.execute_batch(golden).unwrap();
        drop(database);
        let store: Arc<dyn Store> = folder.store(Access::Owned);
        let loaded = store.load().await.unwrap();
        let job = &loaded.jobs[&key(1)];
        assert_eq!((job.since, job.mark, job.paused), (Some(at(0)), Some(mark(60)), true));
        assert_eq!((job.owed.len(), job.owed[0].due), (1, mark(30).due()));
        assert_eq!(loaded.open, [record(1, 60)]);
        assert_eq!(store.snapshot().await.unwrap().unwrap().bytes, b"text");
        let runs = store.runs(all(9)).await.unwrap().runs;
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[1].outcome, Some(RecordedOutcome::Killed));
        assert_eq!(runs[1].worker.as_deref(), golden.contains("'far-1'").then_some("far-1"));
        let output = store.output(runs[1].run).await.unwrap().unwrap();
        assert_eq!(output.head[0].bytes, b"hello");
        let waiting = store.waiting(Which::Ids(vec!["waits".to_owned()])).await.unwrap();
        let expected = Waiting {
            id: "waits".to_owned(),
            order: 1,
            job: Some(key(1)),
            run: Some(record(1, 0).run),
            expires: at(3_600),
            bytes: b"a message".to_vec(),
        };
        let has_outbox = golden.contains("INSERT INTO outbox");
        assert_eq!(waiting, has_outbox.then_some(expected).as_slice());
        let room = Room { count: 2, bytes: 20 };
        let new = |id: &str, size| Waiting { id: id.to_owned(), ..message(0, size) };
        let messages = vec![new("known", 1), new("new", 12), new("newer", 11)];
        let posted = store.post("me".to_owned(), messages, room).await.unwrap();
        if has_outbox {
            let full = Posted::Full { count: 1, bytes: 9 };
            assert_eq!(posted, [Posted::Confirmed, full, Posted::Kept(2)]);
        } else {
            assert!(matches!(posted[..2], [Posted::Kept(1), Posted::Kept(2)]));
        }
    });
}

#[test]
fn confirmed_ids_are_known_for_an_hour_and_bounded_in_number() {
    with(async |folder| {
        let store = folder.store(Access::Owned);
        let confirm = async |ids: Vec<String>| {
            store.unpost(Done { confirmed: ids, ..Done::default() }).await.unwrap();
        };
        let known = || {
            let database = Connection::open(folder.path()).unwrap();
            let sql = "SELECT count(*) FROM confirmed";
            database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        confirm((0..15_000).map(|number| number.to_string()).collect()).await;
        folder.clock.advance(Duration::from_secs(3_600));
        confirm((15_000..30_000).map(|number| number.to_string()).collect()).await;
        assert_eq!(known(), 20_000, "an hour is not past yet");
        folder.clock.advance(Duration::from_secs(1));
        for _ in 0..5 {
            confirm(Vec::new()).await;
        }
        assert_eq!(known(), 15_000);
    });
}

#[test]
fn of_a_broken_database_messages_are_taken_over() {
    with(async |folder| {
        let store = folder.store(Access::Owned);
        post(&*store, "me", (0..20).map(|number| message(number, 50)).collect()).await;
        let confirmed = (0..5).map(|number| message(number, 0).id).collect();
        store.unpost(Done { confirmed, ..Done::default() }).await.unwrap();
        let ended =
            |n| RunRecord { outcome: Some(RecordedOutcome::Failed), ..record(n, i64::from(n)) };
        write_runs(&*store, (0..2_000).map(ended)).await;
        drop(store);
        let mut broken = fs::read(folder.path()).unwrap();
        let from = 24 * 4_096;
        broken[from..].fill(0xa5);
        fs::write(folder.path(), &broken).unwrap();
        let store = folder.store(Access::Owned);
        let known = vec![message(0, 50), message(7, 50), message(30, 50)];
        let mut tries = 0;
        while store.write(vec![Write::Run(Arc::new(record(9_999, 9_999)))]).await.is_err() {
            tries += 1;
            assert!(tries < 3, "it is begun anew");
        }
        let posted = post(&*store, "me", known).await;
        assert!(
            matches!(posted[..], [Posted::Confirmed, Posted::Waits, Posted::Kept(_)]),
            "{posted:?}"
        );
        let full =
            store.post("me".to_owned(), vec![message(31, 1)], Room { count: 16, bytes: 850 });
        assert_eq!(
            full.await.unwrap(),
            [Posted::Full { count: 16, bytes: 800 }],
            "it is counted anew"
        );
    });
}
