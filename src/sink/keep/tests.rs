use jiff::civil::DateTime;

use super::*;
use crate::clock::SystemClock;
use crate::event::{Bus, Cause, Fire, Usage};
use crate::job::JobKey;
use crate::schedule::Zone;
use crate::store::open::{Access, Opening, open};
use crate::store::{Address, Loaded, Owed, Query};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

/// A keeper of events, what gathers output for it, and the store in memory that it writes to.
struct Bench {
    keep: Keep,
    recent: Recent,
    store: Handle,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let opening = Opening {
            address: Address::Memory,
            namespace: "default".to_owned(),
            access: Access::Owned,
            clock: clock.clone(),
            tell: Arc::new(|text| panic!("{text}")),
        };
        let tell = Arc::new(|text| panic!("{text}"));
        let store = Handle::start(move || open(opening), clock.clone(), tell).unwrap();
        let keep = Keep::new(store.clone(), clock, "here".into());
        Bench { keep, recent: Recent::default(), store }
    }

    fn take(&mut self, event: &Event) {
        self.recent.take(event);
        self.keep.take(event, &self.recent);
    }

    async fn print(&mut self, run: &Arc<Run>, stream: Stream, text: &str, detached: bool) {
        let bytes = text.as_bytes().to_vec();
        let permit = Bus::builder().build().room_for(bytes.len()).await;
        self.take(&Event::RunOutput(Line {
            run: Arc::clone(run),
            stream,
            bytes,
            detached,
            left_out: (0, 0),
            permit,
        }));
    }

    /// What is kept of runs, newest first, once everything is written.
    async fn runs(&self) -> Vec<RunRecord> {
        assert!(self.store.flush(LONG).await);
        let query = Query {
            job: None,
            outcomes: Vec::new(),
            since: None,
            until: None,
            id_end: None,
            limit: 100,
            cursor: None,
        };
        self.store.runs(query, LONG).await.unwrap().runs
    }

    async fn loaded(&self) -> Loaded {
        assert!(self.store.flush(LONG).await);
        self.store.load(LONG).await.unwrap()
    }
}

fn key() -> JobKey {
    job().key
}

fn job() -> Arc<Job> {
    let key = JobKey { id: crate::job::JobId([7; 8]), occurrence: 1 };
    let mut job = Job::remembered(key, "backup", &Zone::utc());
    job.since = at(5);
    Arc::new(job)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn due(second: i64) -> Due {
    let civil: DateTime = jiff::tz::TimeZone::UTC.to_datetime(at(second));
    Due { at: at(second), civil }
}

fn run(attempt: u32) -> Arc<Run> {
    let fire = Fire { job: job(), due: due(60), trigger: Trigger::Schedule, generation: 0 };
    Arc::new(Run { id: RunId::new(at(60), 9), fire, attempt })
}

fn started(run: &Arc<Run>) -> Event {
    let pid = i32::try_from(std::process::id()).ok();
    Event::RunStarted(Started { run: Arc::clone(run), pid, since: None, at: at(61) })
}

fn ended(run: &Arc<Run>, outcome: Outcome, retry: Option<Duration>) -> Event {
    Event::RunEnded(Ended {
        run: Arc::clone(run),
        outcome,
        cause: None,
        retry,
        at: at(64),
        duration: Duration::from_secs(3),
        worker: None,
        usage: Usage { user: LONG, system: Duration::from_millis(2), max_rss_kib: Some(900) },
    })
}

fn skipped(trigger: Trigger, count: u64, run: Option<RunId>) -> Event {
    Event::RunSkipped {
        job: job(),
        first: due(60),
        last: due(60 * i64::try_from(count).unwrap()),
        count,
        reason: "paused".to_owned(),
        generation: 2,
        trigger,
        run,
    }
}

#[tokio::test]
async fn a_run_is_kept_from_its_start_to_its_end() {
    let mut bench = Bench::new();
    let run = run(1);
    bench.take(&started(&run));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.run, record.attempt, record.key), (run.id, 1, key()));
    assert_eq!((&*record.name, &*record.replica), ("backup", "here"));
    assert_eq!((record.due, record.queued), (due(60), Some(run.id.at())));
    assert_eq!((record.started, record.ended, record.outcome), (Some(at(61)), None, None));
    let (pid, since) = record.process.unwrap();
    assert_eq!(process::since(Pid::from_raw(pid)), Some(since), "it can be found again");
    assert_eq!(bench.loaded().await.open.len(), 1);

    bench.print(&run, Stream::Stdout, "saved", false).await;
    bench.print(&run, Stream::Stderr, "oops", false).await;
    bench.take(&ended(&run, Outcome::Failed { exit: 3 }, None));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.started, record.ended), (Some(at(61)), Some(at(64))));
    assert_eq!((record.outcome, record.exit), (Some(RecordedOutcome::Failed), Some(3)));
    assert_eq!(record.reason.as_deref(), Some("failed with exit code 3"));
    assert_eq!((record.user_cpu, record.max_rss_kib, record.output_bytes), (LONG, Some(900), 9));
    assert_eq!(record.process, None);
    let output = bench.store.output(run.id, LONG).await.unwrap().unwrap();
    let lines: Vec<_> = output.head.iter().map(|line| (line.is_error, &line.bytes[..])).collect();
    assert_eq!(lines, [(false, &b"saved"[..]), (true, b"oops")]);
    assert!(bench.loaded().await.open.is_empty());
}

#[tokio::test]
async fn a_run_without_a_process_is_kept_with_why_it_failed() {
    let mut bench = Bench::new();
    let run = run(2);
    bench.take(&Event::RunStarted(Started {
        run: Arc::clone(&run),
        pid: None,
        since: None,
        at: at(61),
    }));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.started, record.process), (Some(at(61)), None));
    assert_eq!(bench.loaded().await.open.len(), 1, "a kill is noticed");
    for (cause, words) in [
        (Cause::Returned, "failed with exit code 1, no queue takes the message"),
        (Cause::NoExchange, "failed with exit code 1, there is no such exchange"),
        (Cause::Forbidden, "failed with exit code 1, the broker does not allow the message"),
        (Cause::Nacked, "failed with exit code 1, the broker refused the message"),
        (Cause::Unconfirmed, "failed with exit code 1, not confirmed in time"),
        (Cause::Blocked, "failed with exit code 1, the broker takes nothing"),
        (Cause::BrokerAway, "failed with exit code 1, the broker is away"),
        (Cause::NotKept, "failed with exit code 1, the outbox did not take the message"),
    ] {
        let Event::RunEnded(end) = ended(&run, Outcome::Failed { exit: 1 }, None) else { continue };
        bench.take(&Event::RunEnded(Ended { cause: Some(cause), ..end }));
        let [record] = &bench.runs().await[..] else { panic!("one record") };
        assert_eq!(record.outcome, Some(RecordedOutcome::Failed));
        assert_eq!(record.reason.as_deref(), Some(words));
    }
}

#[tokio::test]
async fn what_never_was_has_no_start_and_no_output() {
    let mut bench = Bench::new();
    let reason = "no shell".to_owned();
    bench.take(&ended(&run(1), Outcome::CouldNotStart { reason }, None));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.started, record.outcome), (None, Some(RecordedOutcome::CouldNotStart)));
    assert!(bench.store.output(run(1).id, LONG).await.unwrap().is_none());
}

#[tokio::test]
async fn a_killed_run_keeps_its_signal_and_its_cause() {
    let mut bench = Bench::new();
    let Event::RunEnded(mut end) = ended(&run(1), Outcome::Killed { signal: 9 }, None) else {
        panic!("an end")
    };
    end.cause = Some(Cause::OutOfMemory);
    bench.take(&Event::RunEnded(end));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.outcome, record.signal), (Some(RecordedOutcome::Killed), Some(9)));
    assert_eq!(record.reason.as_deref(), Some("killed by SIGKILL, out of memory"));
}

#[tokio::test]
async fn a_range_is_one_record_and_moves_the_watermark_to_its_last_due() {
    let mut bench = Bench::new();
    bench.take(&skipped(Trigger::Schedule, 3, None));
    bench.take(&skipped(Trigger::Schedule, 3, None));
    let records = bench.runs().await;
    assert_eq!(records.len(), 2, "each range has an id of its own");
    let record = &records[0];
    assert_eq!((record.attempt, record.due, record.range), (0, due(60), Some((due(180), 3))));
    assert_eq!(record.outcome, Some(RecordedOutcome::Skipped));
    assert_eq!(record.reason.as_deref(), Some("paused"));
    let state = &bench.loaded().await.jobs[&key()];
    assert_eq!(state.mark, Some(Mark::of(due(180), 2)));
}

#[tokio::test]
async fn a_run_that_was_skipped_keeps_its_id_and_is_owed_no_more() {
    let mut bench = Bench::new();
    let owed = Owed { due: due(60), trigger: Trigger::Manual };
    bench.store.write(Write::Owe(key(), owed));
    let id = run(1).id;
    bench.take(&skipped(Trigger::Manual, 1, Some(id)));
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!((record.run, record.attempt, record.range), (id, 1, None));
    assert_eq!(record.trigger, Trigger::Manual);
    let state = bench.loaded().await.jobs.remove(&key()).unwrap_or_default();
    assert!(state.owed.is_empty());
    assert_eq!(state.mark, None, "it was no instant of the schedule");
}

#[tokio::test]
async fn missed_instants_are_kept_as_such() {
    let mut bench = Bench::new();
    let Event::RunSkipped { job, first, last, count, reason, generation, trigger, run } =
        skipped(Trigger::CatchUp, 1, None)
    else {
        panic!("a skip")
    };
    let missed = Event::RunMissed { job, first, last, count, reason, generation, trigger, run };
    bench.take(&missed);
    let [record] = &bench.runs().await[..] else { panic!("one record") };
    assert_eq!(record.outcome, Some(RecordedOutcome::Missed));
    assert_eq!(bench.loaded().await.jobs[&key()].mark, Some(Mark::of(due(60), 2)));
}

#[tokio::test]
async fn further_attempts_end_with_the_daemon_and_each_has_a_record() {
    let mut bench = Bench::new();
    bench.take(&started(&run(1)));
    bench.take(&ended(&run(1), Outcome::Failed { exit: 1 }, Some(LONG)));
    let state = bench.loaded().await.jobs.remove(&key()).unwrap_or_default();
    assert!(state.owed.is_empty(), "it has been started");
    bench.take(&started(&run(2)));
    bench.take(&ended(&run(2), Outcome::Succeeded { exit: 0 }, None));
    assert_eq!(bench.runs().await.len(), 2);
}

#[tokio::test]
async fn pauses_are_kept() {
    let mut bench = Bench::new();
    bench.take(&Event::JobPaused(job()));
    assert!(bench.loaded().await.jobs[&key()].paused);
    bench.take(&Event::JobResumed(job()));
    assert!(!bench.loaded().await.jobs[&key()].paused);
}

#[tokio::test]
async fn what_is_printed_after_the_end_is_kept_at_the_latest_when_the_daemon_stops() {
    let mut bench = Bench::new();
    let run = run(1);
    bench.take(&started(&run));
    bench.print(&run, Stream::Stdout, "before", false).await;
    bench.take(&ended(&run, Outcome::Succeeded { exit: 0 }, None));
    for text in ["one", "two", "three"] {
        bench.print(&run, Stream::Stdout, text, true).await;
    }
    bench.take(&Event::Stopping { running: 0 });
    assert!(bench.store.flush(LONG).await);
    let output = bench.store.output(run.id, LONG).await.unwrap().unwrap();
    let lines: Vec<_> = output.head.iter().map(|line| (line.detached, &line.bytes[..])).collect();
    let late = [&b"one"[..], b"two", b"three"].map(|text| (true, text));
    assert_eq!(lines, [&[(false, &b"before"[..])][..], &late].concat());
}
