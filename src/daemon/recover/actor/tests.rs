use std::path::Path;

use clap::Parser as _;
use rusqlite::Connection;

use super::*;
use crate::args::Cli;
use crate::clock::SystemClock;
use crate::config::Host;
use crate::store::deposit::Deposit;
use crate::store::open::{Access, Opening};
use crate::store::recovery::{Columns, FileSnapshot};
use crate::store::{self, Address, PutSnapshot};

const WITHIN: Duration = Duration::from_secs(20);

/// A crontab that was named last by this daemon when the clock began.
fn snapshot(crontab: &Path) -> Snapshot {
    let file = FileSnapshot {
        text: Some("0 1 * * * x\n".into()),
        base: Vec::new().into(),
        instances: Vec::new(),
        undecided: Vec::new(),
        access: None,
        columns: Columns::User,
        user: "root".to_owned(),
        named: Some(0),
    };
    let files = [(crontab.to_str().unwrap().to_owned(), file)].into();
    Snapshot { files, ..Snapshot::default() }
}

/// An actor on a store, once both know that snapshot.
async fn actor(folder: &Path) -> (Actor, Handle) {
    let crontab = folder.join("crontab");
    let path = folder.join("x.db");
    let address = Address::Sqlite(path.clone());
    let opening = Opening {
        address,
        namespace: "default".to_owned(),
        access: Access::Default,
        clock: Arc::new(SystemClock),
        tell: Arc::new(|_| {}),
    };
    let tell = Arc::clone(&opening.tell);
    let handle = Handle::start(|| store::open(opening), Arc::new(SystemClock), tell).unwrap();
    let deposit = Deposit { at: None, host: "here".to_owned(), snapshot: snapshot(&crontab) };
    let bytes = deposit.to_bytes(1, None);
    let last = Last::new(1, &bytes, Some(&deposit.snapshot));
    let put = PutSnapshot { expected: 0, after: 0, bytes, seed_rows: None };
    handle.put_snapshot(put, WITHIN).await.unwrap();
    let store = format!("--store=sqlite:{}", path.display());
    let state = format!("--state-dir={}", folder.display());
    let words = ["cronkeep", &store, &state, crontab.to_str().unwrap()];
    let config =
        Config::new(&Cli::try_parse_from(words).unwrap().daemon, &Host::of_process()).unwrap();
    let (bus, told) = (Bus::builder().build(), watch::channel(Concerns::default()).0);
    let loaded = watch::channel(true).1;
    let (handed_out, _) = oneshot::channel();
    let mut actor = Actor::new(&config, handle.clone(), bus, (told, loaded), handed_out).unwrap();
    actor.last = Some(last);
    (actor, handle)
}

#[tokio::test]
async fn crontabs_whose_naming_is_refused_are_to_be_named_until_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (mut actor, handle) = actor(folder.path()).await;
    let database = Connection::open(folder.path().join("x.db")).unwrap();
    let refuse = "CREATE TRIGGER no BEFORE INSERT ON snapshot BEGIN SELECT RAISE(ABORT, 'no'); END";
    database.execute_batch(refuse).unwrap();
    actor.naming.0 = true;
    let mut standing = handle.standing();
    for _ in 0..3 {
        let told = actor.check().await;
        assert!(matches!(told, Err(StoreError::Refused(_))), "{told:?}");
        let is_strained = |standing: &Standing| matches!(standing, Standing::Strained { .. });
        tokio::time::timeout(WITHIN, standing.wait_for(is_strained)).await.unwrap().unwrap();
    }
    database.execute_batch("DROP TRIGGER no").unwrap();
    actor.check().await.unwrap();
    assert_eq!(actor.last.as_ref().unwrap().version, 2);
    // Once a day is enough.
    assert!(!actor.naming.0);
    tokio::time::timeout(WITHIN, standing.wait_for(|standing| *standing == Standing::Up))
        .await
        .unwrap()
        .unwrap();
}
