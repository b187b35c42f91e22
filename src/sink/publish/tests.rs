use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::broker::Answer;
use crate::clock::ManualClock;
use crate::crontab::{Dialect, Options, Source, parse};
use crate::event::{Ended, Fire, Line, Outcome, Run, Started, Stream, Trigger, Usage};
use crate::job::{Job, JobTable};
use crate::message::Message;
use crate::schedule::{Due, Zone};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Quick, so that tests are.
pub(super) const QUICK: Patience = Patience {
    soon: Duration::from_millis(2),
    late: Duration::from_millis(5),
    refused: Duration::from_millis(5),
    refused_late: Duration::from_millis(20),
    last: Duration::from_millis(300),
};

/// What a broker makes of a message; none: it does not answer.
type Judge = Box<dyn FnMut(&Message) -> Option<Delivery> + Send>;

/// A broker that does as it is told, and keeps what it is sent.
pub(super) struct Fake {
    judge: Mutex<Judge>,
    /// What was sent, and what became of it.
    sent: Mutex<Vec<(Arc<Message>, Option<Delivery>)>>,
    standing: watch::Sender<Standing>,
}

impl Publish for Fake {
    fn publish(&self, message: Arc<Message>) -> Answer {
        let delivery = (self.judge.lock().unwrap())(&message);
        self.sent.lock().unwrap().push((message, delivery.clone()));
        Box::pin(async move {
            match delivery {
                Some(delivery) => delivery,
                None => pending().await,
            }
        })
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }
}

impl Fake {
    fn new(judge: impl FnMut(&Message) -> Option<Delivery> + Send + 'static) -> Arc<Self> {
        let (judge, sent) = (Mutex::new(Box::new(judge) as Judge), Mutex::default());
        Arc::new(Fake { judge, sent, standing: watch::channel(Standing::Unknown).0 })
    }

    pub(super) fn obliging() -> Arc<Self> {
        Fake::new(|_| Some(Delivery::Confirmed))
    }

    fn turn(&self, judge: impl FnMut(&Message) -> Option<Delivery> + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_replace(standing);
    }

    fn sent(&self) -> Vec<Arc<Message>> {
        self.sent.lock().unwrap().iter().map(|(message, _)| Arc::clone(message)).collect()
    }

    /// The messages that were confirmed, in order.
    pub(super) fn confirmed(&self) -> Vec<Arc<Message>> {
        let sent = self.sent.lock().unwrap();
        let confirmed = sent.iter().filter(|(_, it)| *it == Some(Delivery::Confirmed));
        confirmed.map(|(message, _)| Arc::clone(message)).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let reached = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let keys: Vec<_> = self.sent().iter().map(|it| it.routing_key.clone()).collect();
        assert!(timeout(PATIENCE, reached).await.is_ok(), "no {what}: {keys:?}");
    }
}

/// Events that follow a bus to a fake broker.
pub(super) struct Wired {
    pub(super) bus: Bus,
    told: UnboundedReceiver<Arc<Event>>,
    following: JoinHandle<()>,
}

impl Wired {
    pub(super) fn new(fake: &Arc<Fake>, bound: Bound, patience: Patience) -> Self {
        let mut bus = Bus::builder();
        let (events, told) = (bus.subscribe(), bus.subscribe());
        let bus = bus.build();
        let broker: Arc<dyn Publish> = Arc::clone(fake) as _;
        let clock = Arc::new(ManualClock::new("2026-01-01T00:00:04Z".parse().unwrap()));
        let events_out = Events::new(author(), broker, clock, bus.clone(), (bound, patience));
        Wired { bus, told, following: tokio::spawn(events_out.follow(events)) }
    }

    /// Ends the daemon, and gives the warnings.
    pub(super) async fn stop(mut self) -> Vec<String> {
        self.bus.publish(Event::Stopped { killed: 0, left: 0 });
        timeout(PATIENCE, self.following).await.expect("it ends").expect("it does not panic");
        std::iter::from_fn(|| self.told.try_recv().ok())
            .filter_map(|event| match &*event {
                Event::Notice { text, warning: true, .. } => Some(text.clone()),
                _ => None,
            })
            .collect()
    }
}

pub(super) fn author() -> Author {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    Author {
        exchange: "cronkeep.events".into(),
        host: "web-1".into(),
        replica: "web-1-0a1b2c".into(),
        life: RunId::new(at, 7),
    }
}

/// The jobs of root's crontab with this text.
pub(super) fn jobs(text: &str) -> Vec<Arc<Job>> {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let (bytes, dialect) = (text.as_bytes().to_vec(), Dialect::user("root"));
    let source = Source { name: "/etc/crontab".into(), bytes, dialect };
    let crontab = parse(&source);
    assert!(!crontab.has_errors(), "{:?}", crontab.faults);
    let zone = Zone::named("Europe/Berlin").unwrap();
    let (options, before) = (Options::default(), JobTable::default());
    let (table, _, _) = JobTable::build(&[(&source, &crontab)], &zone, &options, &before, now);
    table.jobs().to_vec()
}

pub(super) fn run(job: &Arc<Job>, attempt: u32) -> Arc<Run> {
    let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let due = Due { at, civil: job.zone().civil(at) };
    let fire = Fire { job: Arc::clone(job), due, trigger: Trigger::Schedule, generation: 0 };
    Arc::new(Run { id: RunId::new(at, 11), fire, attempt })
}

pub(super) fn started(run: &Arc<Run>) -> Event {
    let at = "2026-01-01T00:00:00.25Z".parse().unwrap();
    Event::RunStarted(Started { run: Arc::clone(run), pid: Some(4711), since: None, at })
}

pub(super) fn ended(run: &Arc<Run>, outcome: Outcome, retry: Option<Duration>) -> Event {
    let (user, system) = (Duration::from_millis(700), Duration::from_millis(40));
    Event::RunEnded(Ended {
        run: Arc::clone(run),
        outcome,
        cause: None,
        retry,
        at: "2026-01-01T00:00:02.75Z".parse().unwrap(),
        duration: Duration::from_millis(2500),
        worker: None,
        usage: Usage { user, system, max_rss_kib: Some(5120) },
    })
}

fn up() -> Standing {
    Standing::Up { address: "amqp://127.0.0.1".into() }
}

fn away() -> Delivery {
    Delivery::Away { reason: "connection refused".into() }
}

pub(super) fn content(message: &Message) -> Value {
    serde_json::from_slice(&message.body).expect("JSON")
}

fn names(messages: &[Arc<Message>]) -> Vec<String> {
    messages.iter().map(|message| content(message)["event"].as_str().unwrap().into()).collect()
}

/// The numbers of messages, in order.
fn numbers(messages: &[Arc<Message>]) -> Vec<u64> {
    messages.iter().map(|message| content(message)["sequence"].as_u64().unwrap()).collect()
}

/// Publishes this many events of one kind.
fn tell(bus: &Bus, count: usize) {
    for nth in 0..count {
        bus.publish(Event::StoreUp { store: format!("memory:{nth}") });
    }
}

#[tokio::test]
async fn what_a_job_prints_and_what_only_the_log_tells_is_not_published() {
    let fake = Fake::obliging();
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    let run = run(&jobs("* * * * * x\n")[0], 1);
    wired.bus.publish(started(&run));
    let permit = wired.bus.room_for(6).await;
    let bytes = b"secret".to_vec();
    let line = Line {
        run: Arc::clone(&run),
        stream: Stream::Stdout,
        bytes,
        detached: false,
        left_out: (0, 0),
        permit,
    };
    wired.bus.publish(Event::RunOutput(line));
    wired.bus.publish(Event::Notice { file: None, text: "note".into(), warning: true });
    wired.bus.publish(Event::Stopping { running: 1 });
    assert_eq!(wired.stop().await, ["note"]);
    assert_eq!(names(&fake.sent()), ["job.submitted", "scheduler.stopped"]);
}

#[tokio::test]
async fn a_message_is_sent_again_with_the_same_id_until_it_is_confirmed() {
    let mut tries = 0;
    let fake = Fake::new(move |_| {
        tries += 1;
        match tries {
            1 => Some(Delivery::TimedOut),
            2 => Some(Delivery::Nacked),
            3 => Some(Delivery::Blocked { reason: "memory".into() }),
            4 => Some(away()),
            _ => Some(Delivery::Confirmed),
        }
    });
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 1);
    fake.until("confirm", |fake| fake.confirmed().len() == 1).await;
    let sent = fake.sent();
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|message| **message == *sent[0]), "{sent:?}");
    assert!(wired.stop().await.is_empty());
}

#[tokio::test]
async fn what_failed_goes_before_what_came_later() {
    // Of the first that are under way at once each third one fails, and later twenty in a row.
    let mut nth = 0;
    let fake = Fake::new(move |_| {
        nth += 1;
        if nth <= 64 && nth % 3 == 0 || (100..120).contains(&nth) {
            Some(Delivery::TimedOut)
        } else {
            Some(Delivery::Confirmed)
        }
    });
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 300);
    fake.until("300 confirms", |fake| fake.confirmed().len() == 300).await;
    let order = numbers(&fake.confirmed());
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=300).collect::<Vec<_>>(), "each once");
    // Nobody is overtaken by more than were under way with it.
    for (place, number) in order.iter().enumerate() {
        let place = u64::try_from(place).unwrap();
        assert!(place < number + u64::try_from(WINDOW).unwrap(), "{number} came as {place}");
    }
    assert!(wired.stop().await.is_empty());
}

#[tokio::test]
async fn where_a_connection_breaks_the_order_is_kept() {
    let mut sent = 0;
    // Once one is lost all are, until it is tried again.
    let fake = Fake::new(move |_| {
        sent += 1;
        if (20..=150).contains(&sent) { Some(away()) } else { Some(Delivery::Confirmed) }
    });
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 200);
    fake.until("200 confirms", |fake| fake.confirmed().len() == 200).await;
    assert_eq!(numbers(&fake.confirmed()), (1..=200).collect::<Vec<_>>());
    assert!(wired.stop().await.is_empty());
}

#[tokio::test]
async fn no_more_than_a_window_is_under_way_and_one_after_a_failure() {
    let mut is_first = true;
    let fake = Fake::new(move |_| std::mem::take(&mut is_first).then_some(Delivery::Confirmed));
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 3 * WINDOW);
    fake.until("window", |fake| fake.sent().len() > WINDOW).await;
    let last = wired.stop().await;
    assert_eq!(fake.sent().len(), 1 + WINDOW);
    assert_eq!(last, [format!("{} events were not published at cronkeep.events", 3 * WINDOW)]);

    let fake = Fake::new(|_| Some(away()));
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 1);
    fake.until("failure", |fake| fake.sent().len() > 1).await;
    tell(&wired.bus, WINDOW);
    fake.until("tries", |fake| fake.sent().len() > 5).await;
    let tried = numbers(&fake.sent());
    assert!(tried.iter().all(|number| *number == 1), "{tried:?}");
    wired.stop().await;
}

#[tokio::test]
async fn while_the_broker_is_away_the_oldest_are_dropped_and_told_of() {
    let fake = Fake::new(|_| Some(away()));
    let wired = Wired::new(&fake, Bound { events: 5, ..Bound::default() }, QUICK);
    tell(&wired.bus, 20);
    fake.until("tries", |fake| fake.sent().len() > 3).await;
    fake.turn(|_| Some(Delivery::Confirmed));
    fake.until("confirms", |fake| fake.confirmed().len() == 6).await;
    let confirmed = fake.confirmed();
    assert_eq!(names(&confirmed)[0], "events.dropped");
    assert_eq!(content(&confirmed[0])["dropped"]["count"], 15);
    assert_eq!(numbers(&confirmed)[1..], [16, 17, 18, 19, 20]);
    let told = wired.stop().await;
    let [first, second] = &told[..] else { panic!("{told:?}") };
    assert!(first.contains("too many events wait"), "{first}");
    assert!(second.starts_with("15 of the events"), "{second}");
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too_and_no_event_is_told_twice() {
    let fake = Fake::new(|_| Some(away()));
    let wired = Wired::new(&fake, Bound { bytes: 3_000, ..Bound::default() }, QUICK);
    tell(&wired.bus, 50);
    fake.until("tries", |fake| fake.sent().len() > 3).await;
    fake.turn(|_| Some(Delivery::Confirmed));
    fake.until("the last one", |fake| numbers(&fake.confirmed()).contains(&50)).await;
    let confirmed = fake.confirmed();
    let dropped = content(&confirmed[0])["dropped"]["count"].as_u64().unwrap();
    let rest = u64::try_from(confirmed.len()).unwrap() - 1;
    assert!(rest <= 5 && dropped + rest == 50, "{dropped} and {rest}");
    wired.stop().await;
}

#[tokio::test]
async fn a_missing_exchange_is_told_once_with_what_to_do_and_tried_slowly() {
    let missing = || Some(Delivery::NoExchange { text: "NOT_FOUND - no exchange".into() });
    let fake = Fake::new(move |_| missing());
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 3);
    fake.until("tries", |fake| fake.sent().len() > 6).await;
    assert!(numbers(&fake.sent())[3..].iter().all(|number| *number == 1), "one at a time");
    fake.turn(|_| Some(Delivery::Confirmed));
    fake.until("confirms", |fake| fake.confirmed().len() == 3).await;
    let told = wired.stop().await;
    let [warning] = &told[..] else { panic!("{told:?}") };
    assert!(warning.contains("cronkeep.events") && warning.contains("declare"), "{warning}");
}

#[tokio::test]
async fn what_the_broker_does_not_allow_is_told_with_what_to_do_about_that() {
    for (text, remedy) in [
        ("ACCESS_REFUSED - write access to exchange", "allow the daemon's user at the broker"),
        ("PRECONDITION_FAILED - message size 203 is larger", "change what it names, at the broker"),
    ] {
        let fake = Fake::new(move |_| Some(Delivery::Forbidden { text: text.into() }));
        let wired = Wired::new(&fake, Bound::default(), QUICK);
        tell(&wired.bus, 1);
        fake.until("tries", |fake| fake.sent().len() > 2).await;
        fake.turn(|_| Some(Delivery::Confirmed));
        fake.until("a confirm", |fake| fake.confirmed().len() == 1).await;
        let told = wired.stop().await;
        let [warning] = &told[..] else { panic!("{told:?}") };
        assert!(warning.contains(text) && warning.contains(remedy), "{warning}");
    }
}

#[tokio::test]
async fn a_broker_that_is_back_is_tried_at_once() {
    let never = Duration::from_secs(3600);
    let patience = Patience { soon: never, late: never, refused: never, ..QUICK };
    let fake = Fake::new(|_| Some(away()));
    fake.stand(up());
    let wired = Wired::new(&fake, Bound::default(), patience);
    tell(&wired.bus, 2);
    fake.until("try", |fake| !fake.sent().is_empty()).await;
    fake.stand(Standing::Down { since: Timestamp::UNIX_EPOCH, reason: "gone".into() });
    fake.turn(|_| Some(Delivery::Confirmed));
    tell(&wired.bus, 1);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(fake.confirmed().is_empty(), "it is still away");
    fake.stand(up());
    fake.until("confirms", |fake| fake.confirmed().len() == 3).await;
    assert!(wired.stop().await.is_empty());
}

#[tokio::test]
async fn what_waits_at_the_end_is_published_and_the_rest_is_told() {
    let fake = Fake::obliging();
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 500);
    assert!(wired.stop().await.is_empty());
    assert_eq!(fake.confirmed().len(), 501);

    let fake = Fake::new(|_| Some(away()));
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    tell(&wired.bus, 2);
    fake.until("tries", |fake| fake.sent().len() > 2).await;
    assert_eq!(wired.stop().await, ["3 events were not published at cronkeep.events"]);
}

#[tokio::test]
async fn jobs_of_a_large_crontab_are_told_one_by_one() {
    let text: String =
        (0..1_000).fold(String::new(), |text, nth| text + &format!("* * * * * job-{nth}\n"));
    let jobs = jobs(&text);
    let keys: Vec<_> = jobs.iter().map(|job| job.key.to_string()).collect();
    let fake = Fake::obliging();
    let wired = Wired::new(&fake, Bound { events: 10, ..Bound::default() }, QUICK);
    wired.bus.publish(Event::JobAdded(jobs));
    wired.bus.publish(Event::JobChanged(Vec::new()));
    assert!(wired.stop().await.is_empty());
    let mut confirmed = fake.confirmed();
    assert_eq!(names(&confirmed.split_off(1_000)), ["scheduler.stopped"]);
    let told: Vec<_> = confirmed.iter().map(|it| content(it)["job"]["key"].clone()).collect();
    assert_eq!(told, keys);
    assert_eq!(numbers(&confirmed), (1..=1_000).collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<_> = confirmed.iter().map(|it| it.id.clone()).collect();
    assert_eq!(ids.len(), 1_000, "each has an id of its own");
}

#[tokio::test]
async fn a_routing_key_ends_in_the_name_as_it_is_or_in_the_digits() {
    let jobs = jobs("# cronkeep: name=db.nightly\n* * * * * x\n* * * * * y\n* * * * * y\n");
    let digits = jobs[1].key.id.digits();
    let fake = Fake::obliging();
    let wired = Wired::new(&fake, Bound::default(), QUICK);
    for job in &jobs {
        wired.bus.publish(Event::JobPaused(Arc::clone(job)));
    }
    let lost = Event::RunLost {
        key: jobs[0].key,
        name: "ü".repeat(200),
        run: RunId::new(Timestamp::UNIX_EPOCH, 1),
        due: run(&jobs[0], 1).fire.due,
        reason: "gone".into(),
    };
    wired.bus.publish(lost);
    wired.stop().await;
    let keys: Vec<_> = fake.sent().iter().map(|it| it.routing_key.clone()).collect();
    assert_eq!(keys[0], "job.paused.db.nightly");
    assert_eq!(keys[1], format!("job.paused.{digits}"));
    assert_eq!(keys[2], format!("job.paused.{digits}#2"));
    assert!(keys[3].len() <= 255 && keys[3].starts_with("job.lost.üü"), "{}", keys[3]);
}

#[test]
fn no_two_lives_of_a_daemon_have_one_name() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    assert_ne!(life(&clock), life(&clock));
}
