//! Starts that are noted before they are made, and recorded a moment later.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::event::Trigger;
use cronkeep::store::open::Access;
use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::{
    Address, Handle, Lease, Loaded, Permission, RunRecord, Standing, Write, open,
};

use super::embedded::Folder;
use super::harness::{a_start, block_on, due, key, mark, record};

/// How long anything may take here.
const LONG: Duration = Duration::from_secs(30);

/// A handle of the store in a folder, which has answered.
async fn handle_of(folder: &Folder) -> Handle {
    let opening = folder.opening(Address::Sqlite(folder.path()), Access::Owned);
    let handle = Handle::start(move || open(opening), Arc::new(SystemClock), Arc::new(|_| {}));
    let handle = handle.unwrap();
    handle.load(LONG).await.unwrap();
    handle.standing().wait_for(|standing| *standing == Standing::Up).await.unwrap();
    handle
}

/// What the next life finds where this one was killed at this moment.
async fn after_a_kill(folder: &Folder) -> Loaded {
    let next = Folder::new();
    for file in fs::read_dir(folder.folder()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), next.folder().join(file.file_name())).unwrap();
    }
    let loaded = next.store(Access::Owned).load().await.unwrap();
    assert_eq!(next.told(), [""; 0]);
    loaded
}

/// Up to which start the database is said to have them.
fn kept(folder: &Path) -> u64 {
    let bytes = fs::read(folder.join("cronkeep.db-starts")).unwrap();
    u64::from_le_bytes(bytes[16..24].try_into().unwrap())
}

#[test]
fn a_start_that_was_noted_and_not_recorded_is_known_to_the_next_life() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        // From here on nothing reaches the database.
        handle.hold();
        let noted = handle.note_start(a_start(1, 60), "here").unwrap();
        let loaded = after_a_kill(&folder).await;
        assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(60)));
        let [run] = &loaded.open[..] else { panic!("{:?}", loaded.open) };
        let start = a_start(1, 60);
        assert_eq!((run.run, run.attempt, run.key), (start.run, 1, start.key));
        assert_eq!((&*run.name, &*run.replica), (&*start.name, "here"));
        assert_eq!((run.due, run.queued), (due(60), Some(start.queued)));
        assert_eq!((run.started, run.outcome, run.process), (None, None, None));
        handle.keep_start(noted);
    });
}

#[test]
fn starts_that_were_granted_are_known_to_the_next_life_and_recorded_in_the_end() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        let numbers = 1..=2_000_u32;
        let starts: Vec<_> = numbers.clone().map(|number| a_start(number, 60)).collect();
        for starts in starts.chunks(300) {
            let lease = Lease { replica: "here".to_owned(), ..Lease::default() };
            let granted = handle.start_runs(lease, starts.to_vec(), LONG).await.unwrap();
            assert_eq!(granted, vec![Permission::Granted; starts.len()]);
        }
        // What is copied stays as it is meanwhile.
        handle.hold();
        handle.load(LONG).await.unwrap();
        let loaded = after_a_kill(&folder).await;
        handle.go_on();
        assert!(numbers.clone().all(|job| loaded.jobs[&key(job)].mark == Some(mark(60))));
        assert_eq!(loaded.open.len(), starts.len());
        assert!(loaded.open.iter().all(|run| run.replica == "here"));
        // Some end, the others go on.
        for number in numbers.step_by(2) {
            let ended =
                RunRecord { outcome: Some(RecordedOutcome::Succeeded), ..record(number, 60) };
            handle.write(Write::Run(Arc::new(ended)));
        }
        assert!(handle.flush(LONG).await);
        // The fifth 300 were recorded at once: more than 1 024 were noted since something was asked for.
        assert_eq!(kept(folder.folder()), 1_700);
        assert_eq!(after_a_kill(&folder).await.open.len(), 1_000);
    });
}

#[test]
fn what_is_recorded_is_not_read_again() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        for number in 1..=3 {
            let noted = handle.note_start(a_start(number, i64::from(number)), "").unwrap();
            handle.keep_start(noted);
        }
        assert!(handle.flush(LONG).await);
        assert_eq!(kept(folder.folder()), 3);
        let loaded = after_a_kill(&folder).await;
        assert_eq!(loaded.open.len(), 3);
        assert_eq!(
            [1, 2, 3].map(|job| loaded.jobs[&key(job)].mark),
            [1, 2, 3].map(|at| Some(mark(at)))
        );
    });
}

#[test]
fn a_run_that_ended_is_not_opened_again_by_its_note() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        let noted = handle.note_start(a_start(1, 60), "").unwrap();
        handle.keep_start(noted);
        let ended = RunRecord { outcome: Some(RecordedOutcome::Succeeded), ..record(1, 60) };
        handle.write(Write::Run(Arc::new(ended)));
        assert!(handle.flush(LONG).await);
        // As if the daemon had been killed before it could say that the database has it.
        let path = folder.folder().join("cronkeep.db-starts");
        let mut bytes = fs::read(&path).unwrap();
        bytes[16..24].fill(0);
        fs::write(&path, bytes).unwrap();
        assert_eq!(after_a_kill(&folder).await.open, []);
    });
}

#[test]
fn a_start_on_demand_leaves_the_watermark_and_settles_what_was_owed() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        let owed = cronkeep::store::Owed { due: due(60), trigger: Trigger::Schedule };
        handle.write(Write::Owe(key(1), owed));
        assert!(handle.flush(LONG).await);
        handle.hold();
        let start = cronkeep::store::Start { trigger: Trigger::Manual, ..a_start(1, 60) };
        let noted = handle.note_start(start, "").unwrap();
        let loaded = after_a_kill(&folder).await;
        assert_eq!(loaded.jobs.get(&key(1)).and_then(|job| job.mark), None);
        assert!(loaded.jobs.get(&key(1)).is_none_or(|job| job.owed.is_empty()));
        handle.keep_start(noted);
    });
}

#[test]
fn while_a_watermark_moves_for_another_reason_a_start_is_not_noted() {
    let folder = Folder::new();
    block_on(async {
        let handle = handle_of(&folder).await;
        handle.hold();
        handle.write(Write::Mark(key(2), mark(30)));
        assert!(handle.note_start(a_start(1, 60), "").is_none());
        handle.go_on();
        assert!(handle.flush(LONG).await);
        let noted = handle.note_start(a_start(1, 60), "").unwrap();
        handle.keep_start(noted);
    });
}

#[test]
fn a_store_that_has_not_answered_yet_notes_nothing() {
    let folder = Folder::new();
    block_on(async {
        let opening = folder.opening(Address::Sqlite(folder.path()), Access::Owned);
        let tell = Arc::new(|_| {});
        let handle = Handle::start(move || open(opening), Arc::new(SystemClock), tell).unwrap();
        assert!(handle.note_start(a_start(1, 60), "").is_none());
    });
}

#[test]
fn where_starts_cannot_be_noted_that_is_told_and_they_are_recorded() {
    let folder = Folder::new();
    fs::create_dir(folder.folder().join("cronkeep.db-starts")).unwrap();
    block_on(async {
        let handle = handle_of(&folder).await;
        assert!(handle.note_start(a_start(1, 60), "").is_none());
        let told = folder.told();
        assert!(told.len() == 1 && told[0].contains("cronkeep.db-starts"), "{told:?}");
        let lease = super::harness::lease(&*folder.store(Access::Owned)).await;
        let permitted = handle.start_runs(lease, vec![a_start(1, 60)], LONG).await.unwrap();
        assert_eq!(permitted, [cronkeep::store::Permission::Granted]);
    });
}

#[test]
fn what_is_found_broken_while_starts_are_put_in_is_put_aside_and_they_go_into_the_new_one() {
    let (folder, next) = (Folder::new(), Folder::new());
    block_on(async {
        let handle = handle_of(&folder).await;
        handle.hold();
        let noted = handle.note_start(a_start(1, 60), "here").unwrap();
        let from = folder.folder().join("cronkeep.db-starts");
        fs::copy(from, folder.folder().join("noted")).unwrap();
        handle.keep_start(noted);
    });
    block_on(async {
        // Opens well, and makes no sense where runs are.
        next.store(Access::Owned).write(vec![Write::Pause(key(2))]).await.unwrap();
        let database = rusqlite::Connection::open(next.path()).unwrap();
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        let page: usize = database
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'runs'", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
            .try_into()
            .unwrap();
        drop(database);
        let size = 4096;
        let mut bytes = fs::read(next.path()).unwrap();
        bytes[(page - 1) * size..page * size].fill(0xff);
        fs::write(next.path(), bytes).unwrap();
        let to = next.folder().join("cronkeep.db-starts");
        fs::copy(folder.folder().join("noted"), to).unwrap();
        let loaded = next.store(Access::Owned).load().await.unwrap();
        assert_eq!(loaded.open.len(), 1);
        assert_eq!(loaded.jobs[&key(1)].mark, Some(mark(60)));
        assert!(loaded.jobs[&key(2)].paused, "what can be read is taken over");
        assert!(next.told()[0].contains("is put aside as"));
    });
}
