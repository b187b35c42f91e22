//! A process that is killed in the midst of its writes leaves the state before or after each of them.
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it waits for the programs that it starts"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;

use cronkeep::clock::SystemClock;
use cronkeep::store::open::{Access, Opening};
use cronkeep::store::record::RecordedOutcome;
use cronkeep::store::{Address, Put, PutSnapshot, RunRecord, Store, Write, open};

use super::embedded::Folder;
use super::harness::{a_start, all, at, block_on, key, lease, mark, record, start, write};

/// Names the database to the process that is killed.
const DATABASE: &str = "CRONKEEP_TEST_KILLED_DATABASE";
/// How often one is killed, unless `CRONKEEP_TEST_ROUNDS` says otherwise, and how many moments there are for it.
const ROUNDS: u32 = 12;

/// What every step writes: two watermarks, a run, its start and the end of the one before it, and a snapshot.
async fn step(store: &dyn Store, number: u32) {
    let second = i64::from(number);
    let lease = lease(store).await;
    start(store, &lease, vec![cronkeep::store::Start { key: key(2), ..a_start(number, second) }])
        .await;
    let end = RunRecord {
        key: key(2),
        outcome: Some(RecordedOutcome::Succeeded),
        ended: Some(at(second)),
        ..record(number, second)
    };
    write(
        store,
        [
            Write::Mark(key(0), mark(second)),
            Write::Run(Arc::new(end)),
            Write::Mark(key(1), mark(second)),
        ],
    )
    .await;
    let bytes = format!("{number}").repeat(3_000).into_bytes();
    let put = PutSnapshot { after: 0, expected: u64::from(number) - 1, bytes, seed_rows: None };
    assert_eq!(store.put_snapshot(put).await.unwrap(), Put::Done(u64::from(number)));
}

/// Not a test of its own: what [`a_kill_leaves_the_old_state_or_the_new`] starts and kills.
#[test]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    block_on(async {
        let store = open(Opening {
            address: Address::Sqlite(path.into()),
            namespace: "default".to_owned(),
            access: Access::Owned,
            clock: std::sync::Arc::new(SystemClock),
            tell: std::sync::Arc::new(|text| println!("\ntold {text}")),
        });
        let mut number = store.snapshot().await.unwrap().map_or(0, |kept| kept.version);
        loop {
            number += 1;
            step(&*store, u32::try_from(number).unwrap()).await;
            println!("\nkept {number}");
            std::io::stdout().flush().unwrap();
        }
    });
}

#[test]
fn a_kill_leaves_the_old_state_or_the_new() {
    let folder = Folder::new();
    let mut last = 0;
    let rounds = std::env::var("CRONKEEP_TEST_ROUNDS");
    let rounds = rounds.map_or(ROUNDS, |text| text.parse().expect("a number of rounds"));
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::writes_until_it_is_killed", "--nocapture"])
            .env(DATABASE, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut kept = lines.map_while(Result::ok).filter_map(|line| {
            assert!(!line.starts_with("told"), "{line}");
            line.strip_prefix("kept ").map(|number| number.parse::<u32>().unwrap())
        });
        let mut told = kept.by_ref().nth(3 + (round % ROUNDS) as usize * 7).expect("it writes");
        child.kill().unwrap();
        child.wait().unwrap();
        told = kept.last().unwrap_or(told);
        assert!(told > last, "{told} after {last}");
        block_on(check(&folder, told));
        last = told;
    }
}

/// What is kept after a process said that it had kept the step of this number.
async fn check(folder: &Folder, told: u32) {
    let store = folder.store(Access::Owned);
    let loaded = store.load().await.unwrap();
    let number = |job| {
        let mark = loaded.jobs[&key(job)].mark.unwrap();
        u32::try_from(mark.at.duration_since(at(0)).as_secs()).unwrap()
    };
    let [written, same, started] = [0, 1, 2].map(number);
    assert_eq!(written, same, "both watermarks of a batch or none");
    assert!(written >= told && written <= told + 1, "{written} of {told}");
    assert!(started == written || started == written + 1);
    let newest = store.runs(all(1)).await.unwrap().runs.remove(0);
    assert_eq!(newest.due, mark(i64::from(started)).due(), "a watermark moves with its run");
    assert_eq!(loaded.open.len(), usize::from(started > written), "what ended has an end");
    let snapshot = store.snapshot().await.unwrap().unwrap();
    assert!((u64::from(told)..=u64::from(written)).contains(&snapshot.version));
    assert_eq!(snapshot.bytes, snapshot.version.to_string().repeat(3_000).into_bytes());
    assert_eq!(folder.told(), [""; 0]);
}
