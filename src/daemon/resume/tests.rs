use std::sync::mpsc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::clock::SystemClock;
use crate::crontab::{Dialect, Options, Source, parse};
use crate::job::Roster;
use crate::schedule::{Due, Zone};
use crate::store::open::{Access, Opening};
use crate::store::{self, Address, Mark};

/// The first part of a daemon that goes on, and what comes of it.
struct Scene {
    resume: Resume,
    answer: mpsc::SyncSender<Option<States>>,
    fires: UnboundedReceiver<Fire>,
    events: UnboundedReceiver<Arc<Event>>,
}

const CRONTAB: &str = "# cronkeep: catch-up=latest\n0 * * * * a\n@every 7m b\n";
/// In time, or late, for the load.
const WITHIN: Duration = Duration::from_millis(10);

fn at(time: &str) -> Timestamp {
    format!("2026-01-01T{time}Z").parse().unwrap()
}

fn load(now: Timestamp, states: Option<&States>) -> (JobTable, Diff) {
    let bytes = CRONTAB.as_bytes().to_vec();
    let source = Source { name: "test".into(), bytes, dialect: Dialect::user("root") };
    let crontab = parse(&source);
    let (options, before) = (Options::default(), JobTable::default());
    let known = |key| states?.get(&key)?.since;
    let readings = [(&source, &crontab, None)];
    let zone = Zone::utc();
    let (table, diff, _) = Roster::of(&readings, &zone, &options).settle(&before, now, &known);
    (table, diff)
}

/// Both jobs, first loaded at midnight; the first was last started at one.
fn states() -> States {
    let (table, _) = load(at("00:00:00"), None);
    let at_one = Due { at: at("01:00:00"), civil: Zone::utc().civil(at("01:00:00")) };
    let state = |job: &Arc<Job>| JobState {
        since: Some(at("00:00:00")),
        mark: (job.line == 2).then(|| Mark::of(at_one, 4)),
        ..JobState::default()
    };
    table.jobs().iter().map(|job| (job.key, state(job))).collect()
}

impl Scene {
    fn new() -> Self {
        let opening = Opening {
            address: Address::Memory,
            namespace: "default".into(),
            access: Access::Default,
            clock: Arc::new(SystemClock),
            tell: Arc::new(|_| {}),
        };
        let tell = Arc::clone(&opening.tell);
        let store = Handle::start(|| store::open(opening), Arc::new(SystemClock), tell).unwrap();
        let (answer, states) = mpsc::sync_channel(1);
        let (sender, fires) = unbounded_channel();
        let mut bus = Bus::builder();
        let events = bus.subscribe();
        let resume = Resume::new(store, bus.build(), (sender, None), Arc::default(), states);
        Scene { resume, answer, fires, events }
    }

    /// What was started and what was told, since the last look.
    fn came(&mut self) -> (Vec<String>, Vec<String>) {
        let fire = |fire: Fire| {
            format!("{} {} {}", fire.job.action.command(), fire.due.civil.time(), fire.generation)
        };
        let fires = std::iter::from_fn(|| self.fires.try_recv().ok()).map(fire).collect();
        let told = std::iter::from_fn(|| self.events.try_recv().ok()).map(|event| match &*event {
            Event::RunMissed { job, first, last, count, reason, .. } => format!(
                "{} {count} {} {}: {reason}",
                job.action.command(),
                first.civil.time(),
                last.civil.time()
            ),
            other => panic!("{other:?}"),
        });
        (fires, told.collect())
    }

    /// What the store has kept of when jobs were first loaded.
    fn kept(&self) -> Vec<Timestamp> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let loaded = runtime.block_on(self.resume.store.load(Duration::from_secs(20))).unwrap();
        let mut kept: Vec<_> = loaded.jobs.values().filter_map(|state| state.since).collect();
        kept.sort();
        kept
    }
}

/// What becomes of the two jobs where all between one and half past five passed.
fn answered() -> (Vec<String>, Vec<String>) {
    let down = "the daemon was down";
    (
        vec!["a 05:00:00 4".to_owned()],
        vec![format!("a 3 02:00:00 04:00:00: {down}"), format!("b 47 00:07:00 05:29:00: {down}")],
    )
}

#[test]
fn an_answer_in_time_puts_each_job_where_it_was_left() {
    let mut scene = Scene::new();
    scene.answer.send(Some(states())).unwrap();
    let now = at("05:31:00");
    let known = scene.resume.recall(now, WITHIN);
    let (table, diff) = load(now, known.as_ref());
    assert!(table.jobs().iter().all(|job| job.since == at("00:00:00")));
    scene.resume.go_on(known.as_ref(), &table, now);
    scene.resume.keep_new(known.as_ref(), &diff, now);
    assert_eq!(scene.came(), answered());
    let origin = scene.resume.going.get().unwrap();
    assert_eq!((origin.from, origin.generation), (now, 4));
    assert_eq!(scene.kept(), [], "nothing of it is new");
    let started =
        |scene: &Scene| table.jobs().iter().filter(|job| scene.resume.starts(job.key)).count();
    assert_eq!(started(&scene), 1, "the first job is started for what passed, the second is not");
    assert!(scene.resume.recall(now, WITHIN).is_none());
    scene.resume.go_on(None, &table, now);
    assert_eq!(started(&scene), 0, "with the next edit its time is over");
}

#[test]
fn jobs_that_the_store_does_not_know_begin_with_the_load() {
    let mut scene = Scene::new();
    scene.answer.send(Some(States::new())).unwrap();
    let now = at("05:31:00");
    let known = scene.resume.recall(now, WITHIN);
    let (table, diff) = load(now, known.as_ref());
    scene.resume.go_on(known.as_ref(), &table, now);
    scene.resume.keep_new(known.as_ref(), &diff, now);
    assert_eq!(scene.came(), (vec![], vec![]));
    assert_eq!(scene.kept(), [now, now]);
}

#[test]
fn an_answer_that_comes_late_is_judged_then() {
    let mut scene = Scene::new();
    let began = at("05:31:00");
    let known = scene.resume.recall(began, WITHIN);
    assert!(known.is_none());
    let (table, diff) = load(began, None);
    scene.resume.go_on(None, &table, began);
    scene.resume.keep_new(None, &diff, began);
    assert_eq!(scene.came(), (vec![], vec![]));
    assert_eq!(scene.kept(), [], "that would hide what the store knows");
    let states = states();
    let table = scene.resume.recall_late(&states, &table).unwrap();
    assert!(table.jobs().iter().all(|job| job.since == at("00:00:00")));
    scene.resume.go_on_late(&states, &table, at("05:40:00"));
    assert_eq!(scene.came(), answered());
    assert!(scene.resume.recall_late(&states, &table).is_none(), "once");
}

#[test]
fn a_job_that_is_new_or_changed_later_begins_then() {
    let mut scene = Scene::new();
    scene.answer.send(Some(states())).unwrap();
    assert!(scene.resume.recall(at("05:31:00"), WITHIN).is_some());
    let now = at("06:10:00");
    assert!(scene.resume.recall(now, WITHIN).is_none());
    let (table, diff) = load(now, None);
    scene.resume.go_on(None, &table, now);
    scene.resume.keep_new(None, &diff, now);
    assert_eq!(scene.came(), (vec![], vec![]));
    assert_eq!(scene.kept(), [now, now]);
}
