//! What becomes of writes while a store is away, refuses, or is busy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::clock::SystemClock;
use cronkeep::event::{RunId, Trigger};
use cronkeep::job::JobId;
use cronkeep::store::open::Access;
use cronkeep::store::{
    Beat, Claim, Done, Forgotten, Handle, Lease, Loaded, Output, Owed, Owned, Page, Peers,
    Permission, Posted, Put, PutSnapshot, Query, Reply, Room, Standing, Start, Store, StoreError,
    Verdict, Versioned, Waiting, Which, Write,
};

use super::embedded::Folder;
use super::harness::{a_start, all, block_on, due, key, mark, record, run_id};

/// How long anything may take here.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// What is wrong with a store.
#[derive(Debug, Clone, Default)]
pub(super) enum Fault {
    #[default]
    None,
    /// It answers nothing but this.
    All(StoreError),
    /// It refuses batches with the record of this run.
    Run(RunId),
    /// It takes no snapshot.
    Puts(StoreError),
    /// It takes no messages, and has no bodies of the service.
    Outbox(StoreError),
    /// It takes messages one after the other, as a file on a slow disk does: so long for each.
    Slow(Duration),
    /// It never says whether it keeps messages.
    Mute,
}

/// A store with faults, and the sizes of the batches that it was given.
#[derive(Clone)]
pub(super) struct Faulty {
    inner: Arc<dyn Store>,
    fault: Arc<Mutex<Fault>>,
    batches: Arc<Mutex<Vec<usize>>>,
    /// What it was asked for, of writes and starts.
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Faulty {
    fn new(inner: Arc<dyn Store>) -> Self {
        Faulty { inner, fault: Arc::default(), batches: Arc::default(), asked: Arc::default() }
    }

    pub(super) fn fail(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault<T: Send + 'static>(&self) -> Option<Reply<'_, T>> {
        match &*self.fault.lock().unwrap() {
            Fault::All(error) => Some(Box::pin(std::future::ready(Err(error.clone())))),
            Fault::None
            | Fault::Run(_)
            | Fault::Puts(_)
            | Fault::Outbox(_)
            | Fault::Slow(_)
            | Fault::Mute => None,
        }
    }
}

impl Store for Faulty {
    fn load(&self) -> Reply<'_, Loaded> {
        self.fault().unwrap_or_else(|| self.inner.load())
    }

    fn snapshot(&self) -> Reply<'_, Option<Versioned>> {
        self.fault().unwrap_or_else(|| self.inner.snapshot())
    }

    fn put_snapshot(&self, put: PutSnapshot) -> Reply<'_, Put> {
        if let Fault::Puts(error) = &*self.fault.lock().unwrap() {
            return Box::pin(std::future::ready(Err(error.clone())));
        }
        self.fault().unwrap_or_else(|| self.inner.put_snapshot(put))
    }

    fn forget_snapshot(&self) -> Reply<'_, Forgotten> {
        self.fault().unwrap_or_else(|| self.inner.forget_snapshot())
    }

    fn seed_rows(&self) -> Reply<'_, Option<Vec<u8>>> {
        self.fault().unwrap_or_else(|| self.inner.seed_rows())
    }

    fn write(&self, batch: Vec<Write>) -> Reply<'_, ()> {
        self.batches.lock().unwrap().push(batch.len());
        self.asked.lock().unwrap().push("write");
        let bad = match &*self.fault.lock().unwrap() {
            Fault::Run(run) => Some(*run),
            _ => None,
        };
        let is_bad = |write: &Write| matches!(write, Write::Run(one) if Some(one.run) == bad);
        if batch.iter().any(is_bad) {
            let refused = StoreError::Refused("not that one".to_owned());
            return Box::pin(std::future::ready(Err(refused)));
        }
        self.fault().unwrap_or_else(|| self.inner.write(batch))
    }

    fn claim(&self, lease: Lease, claims: Vec<Claim>) -> Reply<'_, Vec<Verdict>> {
        self.fault().unwrap_or_else(|| self.inner.claim(lease, claims))
    }

    fn start(&self, lease: Lease, starts: Vec<Start>) -> Reply<'_, Vec<Permission>> {
        self.asked.lock().unwrap().push("start");
        self.fault().unwrap_or_else(|| self.inner.start(lease, starts))
    }

    fn beat(&self, beat: Beat) -> Reply<'_, Peers> {
        self.fault().unwrap_or_else(|| self.inner.beat(beat))
    }

    fn runs(&self, query: Query) -> Reply<'_, Page> {
        self.fault().unwrap_or_else(|| self.inner.runs(query))
    }

    fn output(&self, run: RunId) -> Reply<'_, Option<Output>> {
        self.fault().unwrap_or_else(|| self.inner.output(run))
    }

    #[expect(clippy::disallowed_methods, reason = "a disk that is slow is what is waited for")]
    fn post(&self, owner: String, messages: Vec<Waiting>, room: Room) -> Reply<'_, Vec<Posted>> {
        match &*self.fault.lock().unwrap() {
            // Its thread waits for the disk.
            Fault::Slow(span) => std::thread::sleep(*span),
            Fault::Mute => return Box::pin(std::future::pending()),
            Fault::Outbox(error) => return Box::pin(std::future::ready(Err(error.clone()))),
            _ => {}
        }
        self.fault().unwrap_or_else(|| self.inner.post(owner, messages, room))
    }

    fn adopt(&self, owner: String, alive: Vec<String>) -> Reply<'_, u64> {
        self.fault().unwrap_or_else(|| self.inner.adopt(owner, alive))
    }

    fn waiting(&self, which: Which) -> Reply<'_, Vec<Waiting>> {
        self.fault().unwrap_or_else(|| self.inner.waiting(which))
    }

    fn everyones(&self, after: u64) -> Reply<'_, Vec<Owned>> {
        self.fault().unwrap_or_else(|| self.inner.everyones(after))
    }

    fn unpost(&self, done: Done) -> Reply<'_, ()> {
        self.fault().unwrap_or_else(|| self.inner.unpost(done))
    }

    fn seed_body(&self, job: JobId) -> Reply<'_, Option<Vec<u8>>> {
        if let Fault::Outbox(error) = &*self.fault.lock().unwrap() {
            return Box::pin(std::future::ready(Err(error.clone())));
        }
        self.fault().unwrap_or_else(|| self.inner.seed_body(job))
    }
}

/// A handle to a store in a file, the store itself with its faults, and what was told.
pub(super) struct Bench {
    folder: Folder,
    pub(super) store: Faulty,
    pub(super) handle: Handle,
    told: Arc<Mutex<Vec<String>>>,
}

pub(super) fn with(test: impl AsyncFnOnce(&Bench)) {
    let folder = Folder::new();
    let store = Faulty::new(folder.store(Access::Owned));
    let told = Arc::<Mutex<Vec<String>>>::default();
    let tell = {
        let told = Arc::clone(&told);
        Arc::new(move |text| told.lock().unwrap().push(text))
    };
    let opened = store.clone();
    let handle = Handle::start(move || Arc::new(opened), Arc::new(SystemClock), tell).unwrap();
    block_on(test(&Bench { folder, store, handle, told }));
}

impl Bench {
    /// Waits until the store stands so.
    pub(super) async fn stands(&self, wanted: impl FnMut(&Standing) -> bool) -> Standing {
        self.handle.standing().wait_for(wanted).await.unwrap().clone()
    }

    /// What another one finds in the file.
    async fn kept(&self) -> Loaded {
        self.folder.store(Access::Owned).load().await.unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

fn is_down(standing: &Standing) -> bool {
    matches!(standing, Standing::Down { .. })
}

#[test]
fn what_waits_while_the_store_is_away_is_kept_when_it_returns_the_newest_of_each() {
    with(async |bench| {
        bench.store.fail(Fault::All(StoreError::Down("pulled".to_owned())));
        for second in 0..5_000 {
            bench.handle.write(Write::Mark(key(second % 3), mark(i64::from(second))));
        }
        let down = bench.stands(is_down).await;
        assert!(matches!(down, Standing::Down { waiting: 3, .. }), "{down:?}");
        assert!(!bench.handle.flush(Duration::from_millis(50)).await);
        bench.store.fail(Fault::None);
        assert!(bench.handle.flush(LONG).await);
        bench.stands(|standing| *standing == Standing::Up).await;
        let jobs = bench.kept().await.jobs;
        assert_eq!(
            [0, 1, 2].map(|n| jobs[&key(n)].mark),
            [4_998, 4_999, 4_997].map(|n| Some(mark(n)))
        );
        assert_eq!(bench.told(), [""; 0]);
    });
}

#[test]
fn a_record_that_is_refused_alone_is_told_and_the_rest_is_kept() {
    with(async |bench| {
        bench.store.fail(Fault::Run(run_id(77, 77)));
        for number in 0..600 {
            bench.handle.write(Write::Run(Arc::new(record(number, i64::from(number)))));
        }
        assert!(bench.handle.flush(LONG).await);
        assert_eq!(bench.kept().await.open.len(), 599);
        let told = bench.told();
        assert!(told.len() == 1 && told[0].contains(&run_id(77, 77).to_string()), "{told:?}");
        assert!(bench.store.batches.lock().unwrap().len() < 100, "it is not tried one by one");
        bench.stands(|standing| *standing == Standing::Up).await;
    });
}

#[test]
fn where_all_is_refused_nothing_is_dropped() {
    with(async |bench| {
        bench.store.fail(Fault::All(StoreError::Refused("database or disk is full".to_owned())));
        for number in 0..20 {
            bench.handle.write(Write::Run(Arc::new(record(number, i64::from(number)))));
            bench.handle.write(Write::Mark(key(number), mark(60)));
            bench.handle.write(Write::Settle(key(number), due(60)));
        }
        bench.stands(is_down).await;
        assert!(!bench.handle.flush(Duration::from_millis(500)).await);
        bench.store.fail(Fault::None);
        assert!(bench.handle.flush(LONG).await);
        let kept = bench.kept().await;
        assert_eq!((kept.open.len(), kept.jobs.len()), (20, 20));
        assert_eq!(bench.told(), [""; 0]);
    });
}

#[test]
fn of_too_much_that_waits_what_was_dropped_is_counted() {
    with(async |bench| {
        bench.store.fail(Fault::All(StoreError::Down("pulled".to_owned())));
        for number in 0..17_000 {
            bench.handle.write(Write::Run(Arc::new(record(number, i64::from(number)))));
        }
        bench.handle.write(Write::Mark(key(1), mark(60)));
        bench.stands(is_down).await;
        bench.store.fail(Fault::None);
        assert!(bench.handle.flush(LONG).await);
        let kept = bench.kept().await;
        assert_eq!((kept.open.len(), kept.jobs[&key(1)].mark), (16_384, Some(mark(60))));
        let told = bench.told();
        assert!(told.len() == 2 && told[0].starts_with("more waits"), "{told:?}");
        assert_eq!(told[1], "616 writes were dropped while the store was away");
    });
}

#[test]
fn a_question_hears_of_what_was_to_be_written_before_it() {
    with(async |bench| {
        for number in 0..100 {
            let written = record(number, i64::from(number));
            bench.handle.write(Write::Run(Arc::new(written.clone())));
            let page = bench.handle.runs(all(1), LONG).await.unwrap();
            assert_eq!(page.runs, [written]);
        }
    });
}

#[test]
fn a_store_that_takes_no_writes_still_answers() {
    with(async |bench| {
        bench.store.fail(Fault::Run(run_id(0, 1)));
        bench.handle.write(Write::Run(Arc::new(record(1, 0))));
        bench.stands(is_down).await;
        assert_eq!(bench.handle.runs(all(1), LONG).await.unwrap().runs, []);
        assert!(is_down(&bench.handle.standing().borrow()), "that it answers is not enough");
    });
}

#[test]
fn a_cursor_that_makes_no_sense_does_not_take_the_store_away() {
    with(async |bench| {
        let query = Query { cursor: Some("x".to_owned()), ..all(1) };
        assert!(matches!(bench.handle.runs(query, LONG).await, Err(StoreError::Refused(_))));
        bench.handle.runs(all(1), LONG).await.unwrap();
        assert_eq!(*bench.handle.standing().borrow(), Standing::Up);
    });
}

#[test]
fn what_is_started_is_not_owed_though_that_was_still_to_be_written() {
    with(async |bench| {
        for second in 0..50 {
            let owed = Owed { due: due(second), trigger: Trigger::Schedule };
            bench.handle.write(Write::Owe(key(1), owed));
            if second % 2 == 0 {
                assert!(bench.handle.flush(LONG).await);
            }
            let start = Start { run: run_id(second, 5), ..a_start(1, second) };
            bench.handle.start_runs(Lease::default(), vec![start], LONG).await.unwrap();
        }
        assert!(bench.handle.flush(LONG).await);
        let job = &bench.kept().await.jobs[&key(1)];
        assert_eq!((job.mark, &job.owed), (Some(mark(49)), &vec![]));
    });
}

#[test]
fn what_was_to_be_written_is_kept_when_nobody_has_a_handle_any_more() {
    let folder = Folder::new();
    let store = folder.store(Access::Owned);
    let kept = Arc::downgrade(&store);
    let handle = Handle::start(move || store, Arc::new(SystemClock), Arc::new(drop)).unwrap();
    for number in 0..3_000 {
        handle.write(Write::Mark(key(number), mark(60)));
    }
    drop(handle);
    // The thread has the last one.
    let deadline = std::time::Duration::from_secs(30);
    block_on(async {
        tokio::time::timeout(deadline, async {
            while kept.upgrade().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the thread ends");
        assert_eq!(folder.store(Access::Owned).load().await.unwrap().jobs.len(), 3_000);
    });
}

#[test]
fn a_start_that_passes_what_is_not_known_of_yet_waits_until_it_is() {
    with(async |bench| {
        for _ in 0..20 {
            bench.handle.write(Write::Mark(key(1), mark(10)));
            let starts = vec![a_start(1, 60)];
            bench.handle.start_runs(Lease::default(), starts, LONG).await.unwrap();
        }
        let asked = std::mem::take(&mut *bench.store.asked.lock().unwrap());
        assert_eq!(asked, ["write", "start"].repeat(20));
        // That of another job does not.
        bench.handle.write(Write::Mark(key(1), mark(70)));
        bench.handle.start_runs(Lease::default(), vec![a_start(5, 60)], LONG).await.unwrap();
        assert_eq!(bench.store.asked.lock().unwrap()[0], "start");
        // And nobody waits for a store that is away.
        bench.store.fail(Fault::All(StoreError::Down("pulled".to_owned())));
        bench.handle.write(Write::Mark(key(1), mark(80)));
        bench.stands(is_down).await;
        let starts = vec![a_start(1, 90)];
        assert!(bench.handle.start_runs(Lease::default(), starts, LONG).await.is_err());
    });
}

#[test]
fn nothing_is_written_before_what_was_kept_is_read() {
    with(async |bench| {
        bench.handle.write(Write::Mark(key(1), mark(10)));
        assert!(bench.handle.flush(LONG).await);
        bench.handle.hold();
        bench.handle.write(Write::Mark(key(1), mark(60)));
        assert!(!bench.handle.flush(Duration::from_millis(60)).await);
        // What is wrong is told, what is well is not: others would write at once.
        bench.store.fail(Fault::All(StoreError::Down("pulled".to_owned())));
        assert!(bench.handle.load(LONG).await.is_err());
        bench.stands(is_down).await;
        bench.store.fail(Fault::None);
        assert_eq!(bench.handle.load(LONG).await.unwrap().jobs[&key(1)].mark, Some(mark(10)));
        assert!(is_down(&bench.handle.standing().borrow()));
        bench.handle.go_on();
        assert!(bench.handle.flush(LONG).await);
        bench.stands(|standing| *standing == Standing::Up).await;
        assert_eq!(bench.kept().await.jobs[&key(1)].mark, Some(mark(60)));
    });
}

/// Asks for a message to be kept, within a span.
pub(super) async fn post(
    handle: &Handle,
    number: u32,
    within: Duration,
) -> Result<Vec<Posted>, StoreError> {
    let (owner, room) = ("me".to_owned(), Room::default());
    let messages = vec![super::outbox::message(number, 10)];
    handle.exchange(Done::default(), owner, messages, room, within).await
}

#[test]
fn messages_wait_for_their_turn_longer_than_the_store_may_take_for_one() {
    with(async |bench| {
        bench.store.fail(Fault::Slow(Duration::from_millis(40)));
        let within = Duration::from_secs(1);
        let begun = tokio::time::Instant::now();
        let posts: Vec<_> = (0..40)
            .map(|number| {
                let handle = bench.handle.clone();
                tokio::spawn(async move { post(&handle, number, within).await })
            })
            .collect();
        for one in posts {
            let posted = one.await.unwrap();
            assert!(matches!(posted.as_deref(), Ok([Posted::Kept(_)])), "{posted:?}");
        }
        assert!(begun.elapsed() > within, "nobody had to wait for long");
    });
}

#[test]
fn a_store_that_does_not_answer_is_not_waited_for_because_it_answers_others() {
    with(async |bench| {
        bench.store.fail(Fault::Mute);
        let within = Duration::from_millis(200);
        let others = async {
            loop {
                bench.handle.snapshot(LONG).await.unwrap();
            }
        };
        let posted = tokio::select! {
            posted = tokio::time::timeout(LONG, post(&bench.handle, 1, within)) => posted,
            () = others => unreachable!("it asks for ever"),
        };
        let error = StoreError::Down("no answer within 200 ms".to_owned());
        assert_eq!(posted.expect("it is not waited for"), Err(error));
    });
}
