//! What a job's options ask for, with real processes.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use cronkeep::clock::{Clock as _, SystemClock};
use cronkeep::crontab::directive::{CatchUp, Overlap};
use cronkeep::event::{Bus, Cause, Event, Fire, Outcome, RunId, Trigger};
use cronkeep::executor::{Executor, Host, Place, Skip, Stop};
use cronkeep::job::{Job, JobId, JobKey, JobTable, Policy};
use cronkeep::schedule::Due;
use cronkeep::unix::{Account, Pid, process};
use jiff::Timestamp;
use jiff::civil::DateTime;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

use crate::harness::{Daemon, alone, job, start, under, until};

/// Longer than any of these tests may take.
pub(crate) const LONG: Duration = Duration::from_secs(100);

pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// Ignores TERM, and leaves a process that has forked twice, begun a session and ignores it too; both say where they are.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'echo $$; while :; do sleep 0.02; done' & echo $$; while :; do sleep 0.02; done";

/// An executor under a limit, that knows these jobs.
pub(crate) fn start_under(
    limit: Option<u32>,
    table: JobTable,
) -> (Daemon, watch::Sender<Arc<JobTable>>) {
    let mut bus = Bus::builder();
    let events = bus.subscribe();
    let (fires, taken) = mpsc::unbounded_channel();
    let host = Host::new(Account::current(), []);
    let (executor, handle) =
        Executor::new(host, Arc::new(SystemClock), bus.build(), taken).unwrap();
    let (tables, table) = watch::channel(Arc::new(table));
    let (ahead, announced) = mpsc::unbounded_channel();
    let executor = executor.with_limit(limit).with_tables(table).with_announcements(announced);
    let task = tokio::spawn(executor.run());
    (Daemon { ahead, handle, fires, events, task }, tables)
}

pub(crate) fn overlap(overlap: Overlap) -> Policy {
    Policy { overlap, ..Policy::default() }
}

pub(crate) fn fire(job: &Arc<Job>, trigger: Trigger) -> Fire {
    let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
    Fire { job: Arc::clone(job), due, trigger, generation: 0 }
}

/// Another job than the others.
pub(crate) fn other(number: u8, job: Job) -> Job {
    Job { key: JobKey { id: JobId([number; 8]), occurrence: 1 }, ..job }
}

/// The reason of the next instant that is skipped or missed, whatever is told before it.
pub(crate) async fn reason(daemon: &mut Daemon) -> String {
    loop {
        match &*daemon.next().await {
            Event::RunSkipped { reason, count: 1, .. } => return format!("skipped: {reason}"),
            Event::RunMissed { reason, count: 1, .. } => return format!("missed: {reason}"),
            _ => {}
        }
    }
}

pub(crate) async fn started(daemon: &mut Daemon) -> Pid {
    loop {
        if let Event::RunStarted(started) = &*daemon.next().await {
            return Pid::from_raw(started.pid.unwrap());
        }
    }
}

async fn pid(daemon: &mut Daemon) -> Pid {
    Pid::from_raw(daemon.line().await.parse().unwrap())
}

/// Whether the process lives: a zombie does not.
fn lives(pid: Pid) -> bool {
    process::all().iter().any(|member| member.pid == pid)
}

#[test]
fn row_60_a_single_job_is_skipped_while_it_runs_and_that_is_told() {
    alone(async {
        let mut daemon = start();
        daemon.fire(under(overlap(Overlap::Skip), job("echo up; exec sleep 1000")));
        daemon.line().await;
        daemon.fire(under(overlap(Overlap::Skip), job("true")));
        assert_eq!(reason(&mut daemon).await, "skipped: an earlier run is alive");
        let run = daemon.handle.state().await.running[0].run.id;
        assert!(daemon.handle.end(run).await);
        assert_eq!(daemon.end().await.cause, Some(Cause::Stopped));
        daemon.fire(under(overlap(Overlap::Skip), job("echo again")));
        assert_eq!(daemon.line().await, "again");
    });
}

#[test]
fn row_100_runs_of_a_job_that_may_overlap_do() {
    alone(async {
        let mut daemon = start();
        for _ in 0..3 {
            daemon.fire(job("echo up; exec sleep 1000"));
        }
        for _ in 0..3 {
            daemon.line().await;
        }
        assert_eq!(daemon.handle.state().await.running.len(), 3);
        daemon.handle.stop(Stop::End { grace: LONG }).await;
    });
}

#[test]
fn one_run_is_queued_and_starts_when_the_earlier_one_has_ended() {
    alone(async {
        let folder = TempDir::new().unwrap();
        let go = folder.path().join("go");
        let command = format!("echo up; while [ ! -e {} ]; do sleep 0.01; done", go.display());
        let mut daemon = start();
        for _ in 0..3 {
            daemon.fire(under(overlap(Overlap::Queue), job(&command)));
        }
        assert_eq!(reason(&mut daemon).await, "skipped: a run is queued already");
        let state = daemon.handle.state().await;
        assert_eq!((state.waiting.len(), state.waiting[0].place), (1, Place::Held));
        fs::write(&go, "").unwrap();
        let (first, second) = (daemon.end().await, daemon.end().await);
        assert!(first.outcome.is_success() && second.outcome.is_success());
        assert!(first.run.id < second.run.id);
        assert!(daemon.handle.state().await.waiting.is_empty());
    });
}

#[test]
fn a_run_that_is_queued_for_longer_than_its_grace_is_missed() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { grace: SHORT, ..overlap(Overlap::Queue) };
        daemon.fire(under(policy.clone(), job("exec sleep 1000")));
        daemon.fire(under(policy, job("exec sleep 1000")));
        assert_eq!(reason(&mut daemon).await, "missed: held too long");
        assert_eq!(daemon.handle.state().await.counts.missed, 1);
        daemon.handle.stop(Stop::End { grace: LONG }).await;
    });
}

#[test]
fn a_run_takes_the_place_of_the_one_before_once_all_its_processes_are_gone() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { kill_after: SHORT, retries: 3, ..overlap(Overlap::Replace) };
        daemon.fire(under(policy.clone(), job(STUBBORN)));
        let earlier = [pid(&mut daemon).await, pid(&mut daemon).await];
        daemon.fire(under(policy, job("echo up; exec sleep 1000")));
        let end = daemon.end().await;
        assert_eq!(
            (end.outcome, end.cause),
            (Outcome::Killed { signal: 9 }, Some(Cause::Replaced))
        );
        assert_eq!(end.retry, None, "it is not tried again");
        let next = started(&mut daemon).await;
        assert!(!earlier.iter().any(|&pid| lives(pid)), "{earlier:?} beside {next}");
        daemon.handle.stop(Stop::End { grace: LONG }).await;
    });
}

#[test]
fn a_job_has_at_most_so_many_instances() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { max_instances: 2, ..Policy::default() };
        for _ in 0..3 {
            daemon.fire(under(policy.clone(), job("exec sleep 1000")));
        }
        assert_eq!(reason(&mut daemon).await, "skipped: max instances");
        daemon.handle.stop(Stop::End { grace: LONG }).await;
    });
}

#[test]
fn row_101_with_a_limit_a_thousand_runs_of_one_instant_all_start_and_never_more_than_it_at_once() {
    alone(async {
        let (mut daemon, _tables) = start_under(Some(4), JobTable::default());
        for _ in 0..1000 {
            daemon.fire(job("true"));
        }
        let (mut alive, mut most, mut ended) = (0_i32, 0, 0);
        while ended < 1000 {
            match &*daemon.next().await {
                Event::RunStarted(_) => {
                    alive += 1;
                    most = most.max(alive);
                }
                Event::RunEnded(end) => {
                    assert!(end.outcome.is_success(), "{end:?}");
                    alive -= 1;
                    ended += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!((1..=4).contains(&most), "{most} at once");
    });
}

#[test]
fn what_waits_for_others_for_longer_than_its_grace_is_missed() {
    alone(async {
        let (mut daemon, _tables) = start_under(Some(1), JobTable::default());
        daemon.fire(job("exec sleep 1000"));
        started(&mut daemon).await;
        let policy = Policy { grace: SHORT, ..Policy::default() };
        daemon.fire(under(policy, other(2, job("true"))));
        assert_eq!(reason(&mut daemon).await, "missed: held too long");
        daemon.handle.stop(Stop::End { grace: LONG }).await;
    });
}

#[test]
fn a_paused_job_is_skipped_until_it_is_resumed_and_runs_when_asked_for_by_name() {
    alone(async {
        let mut daemon = start();
        let paused = Arc::new(job("echo ran"));
        assert!(daemon.handle.pause(Arc::clone(&paused)).await);
        assert!(!daemon.handle.pause(Arc::clone(&paused)).await);
        daemon.fires.send(fire(&paused, Trigger::Schedule)).unwrap();
        assert_eq!(reason(&mut daemon).await, "skipped: paused");
        assert_eq!(daemon.handle.state().await.paused, [paused.key]);
        let run = daemon.handle.fire(fire(&paused, Trigger::Manual)).await.unwrap();
        let end = daemon.handle.wait(run).await.unwrap();
        assert_eq!((end.run.id, end.outcome), (run, Outcome::Succeeded { exit: 0 }));
        assert_eq!(daemon.handle.last_ends().await[&paused.key].run.id, run);
        assert_eq!(daemon.handle.wait(run).await.map(|end| end.run.id), Some(run), "afterwards");
        assert!(daemon.handle.resume(Arc::clone(&paused)).await);
        assert!(!daemon.handle.resume(Arc::clone(&paused)).await);
        daemon.fires.send(fire(&paused, Trigger::Schedule)).unwrap();
        daemon.line().await;
        daemon.line().await;
    });
}

#[test]
fn who_asks_for_a_run_is_told_why_there_is_none() {
    alone(async {
        let mut daemon = start();
        let single = Arc::new(under(overlap(Overlap::Skip), job("exec sleep 1000")));
        let first = daemon.handle.fire(fire(&single, Trigger::Manual)).await.unwrap();
        let again = daemon.handle.try_fire(fire(&single, Trigger::Manual)).await;
        assert_eq!(again, Some(Err(Skip::Overlap)));
        let unknown = RunId::new(Timestamp::UNIX_EPOCH, 1);
        assert!(daemon.handle.wait(unknown).await.is_none());
        assert!(!daemon.handle.end(unknown).await);
        started(&mut daemon).await;
        assert!(daemon.handle.end(first).await);
        assert_eq!(daemon.handle.wait(first).await.unwrap().cause, Some(Cause::Stopped));
    });
}

#[test]
fn a_run_that_takes_too_long_is_ended_with_everything_it_has_started() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { timeout: Some(SHORT), kill_after: SHORT, ..Policy::default() };
        daemon.fire(under(policy, job(STUBBORN)));
        let tree = [pid(&mut daemon).await, pid(&mut daemon).await];
        let end = daemon.end().await;
        assert_eq!(end.outcome, Outcome::TimedOut { exit: None, signal: Some(9) });
        assert_eq!((end.cause, end.retry), (None, None));
        assert!(end.duration >= SHORT * 2, "{end:?}");
        until(|| !tree.iter().any(|&pid| lives(pid))).await;
    });
}

#[test]
fn what_heeds_the_term_of_its_time_out_is_not_killed() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { timeout: Some(SHORT), kill_after: LONG, ..Policy::default() };
        let heeds = "exec 2>/dev/null; trap 'echo told; exit 0' TERM; while :; do sleep 0.01; done";
        daemon.fire(under(policy.clone(), job(heeds)));
        assert_eq!(daemon.line().await, "told");
        let end = daemon.end().await;
        assert_eq!(end.outcome, Outcome::TimedOut { exit: Some(0), signal: None });
        daemon.fire(under(policy, job("true")));
        assert!(daemon.end().await.outcome.is_success());
    });
}

#[test]
fn descendants_that_outlive_their_run_are_left_alone() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { timeout: Some(SHORT), ..Policy::default() };
        daemon.fire(under(policy, job("setsid sleep 1000 >/dev/null 2>&1 & echo $!")));
        let left = pid(&mut daemon).await;
        assert!(daemon.end().await.outcome.is_success());
        tokio::time::sleep(SHORT * 2).await;
        assert!(lives(left), "the time-out is over with the run");
        process::signal(left, cronkeep::unix::Signal::SIGKILL);
    });
}

/// Waits until a start is put off.
pub(crate) async fn until_put_off(daemon: &Daemon) {
    while daemon.handle.state().await.put_off == 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn jitter_puts_a_scheduled_start_off_and_none_that_somebody_waits_for() {
    alone(async {
        let mut daemon = start();
        let jittery = Policy { jitter: LONG, ..Policy::default() };
        let jittery = Arc::new(under(jittery, other(9, job("true"))));
        daemon.fires.send(fire(&jittery, Trigger::Schedule)).unwrap();
        let run = daemon.handle.fire(fire(&jittery, Trigger::Manual)).await.unwrap();
        assert_eq!(daemon.end().await.run.id, run);
        until_put_off(&daemon).await;
        let short = Policy { jitter: Duration::from_millis(300), ..Policy::default() };
        let begun = SystemClock.monotonic();
        let put_off = Arc::new(under(short, other(9, job("true"))));
        daemon.fires.send(fire(&put_off, Trigger::Schedule)).unwrap();
        let end = daemon.end().await;
        let delay = cronkeep::job::jitter::of(&put_off);
        assert!(
            SystemClock.monotonic().saturating_sub(begun) >= delay && delay > Duration::ZERO,
            "{delay:?}"
        );
        assert_eq!(end.run.fire.trigger, Trigger::Schedule);
    });
}

#[test]
fn all_instants_that_passed_are_started_one_after_the_other() {
    alone(async {
        let folder = TempDir::new().unwrap();
        let lock = folder.path().join("lock").display().to_string();
        let command = format!("mkdir {lock} || exit 9; sleep 0.02; rmdir {lock}");
        let mut daemon = start();
        let policy = Policy { catch_up: CatchUp::All, ..Policy::default() };
        let job = Arc::new(under(policy, job(&command)));
        for _ in 0..10 {
            daemon.fires.send(fire(&job, Trigger::CatchUp)).unwrap();
        }
        for _ in 0..10 {
            let end = daemon.end().await;
            assert!(end.outcome.is_success(), "{end:?}");
        }
    });
}

/// The jobs of a user's crontab, which names this user.
pub(crate) fn table(text: &str) -> JobTable {
    use cronkeep::crontab::{Dialect, Options, Source, parse};
    use cronkeep::schedule::Zone;
    let dialect = Dialect::user(&Account::current().name);
    let source = Source { name: "crontab".into(), bytes: text.into(), dialect };
    let crontab = parse(&source);
    let pairs = [(&source, &crontab)];
    let (table, _, faults) = JobTable::build(
        &pairs,
        &Zone::utc(),
        &Options::default(),
        &JobTable::default(),
        Timestamp::UNIX_EPOCH,
    );
    assert!(faults.is_empty(), "{faults:?}");
    table
}

#[test]
fn a_job_follows_the_end_that_it_waits_for_after_the_last_attempt() {
    alone(async {
        let table = table(
            "# cronkeep: name=first retries=1 retry-delay=1ms\n\
             0 0 1 1 * exit ${CRONKEEP_ATTEMPT}\n\
             # cronkeep: name=well\n\
             0 0 1 1 * true\n\
             @after first echo not this\n\
             @after first:failure echo failure $CRONKEEP_SCHEDULED_AT\n\
             # cronkeep: name=any\n\
             @after first:any echo any\n\
             @after well echo well\n\
             # cronkeep: until=2000-01-01T00:00:00Z\n\
             @after well echo over\n\
             @after any echo last\n",
        );
        let job = |name: &str| table.named(name).next().unwrap().clone();
        let (first, well) = (job("first"), job("well"));
        let (mut daemon, _tables) = start_under(None, table);
        let due = Due { at: "2026-05-01T10:00:00Z".parse().unwrap(), civil: DateTime::ZERO };
        for job in [first, well] {
            daemon
                .fires
                .send(Fire { job, due, trigger: Trigger::Schedule, generation: 0 })
                .unwrap();
        }
        let (mut lines, mut ends) = (Vec::new(), 0);
        while ends < 7 {
            match &*daemon.next().await {
                Event::RunOutput(line) => {
                    lines.push(String::from_utf8_lossy(&line.bytes).into_owned());
                }
                Event::RunEnded(end) => {
                    ends += 1;
                    let follows =
                        end.run.fire.job.schedule_text().to_string().starts_with("@after");
                    let expected = if follows { Trigger::After } else { Trigger::Schedule };
                    assert_eq!((end.run.fire.trigger, end.run.fire.due), (expected, due));
                }
                Event::RunStarted(_) => {}
                other => panic!("{other:?}"),
            }
        }
        lines.sort();
        assert_eq!(lines, ["any", "failure 2026-05-01T10:00:00+00:00", "last", "well"]);
        assert!(daemon.handle.state().await.running.is_empty());
    });
}

#[test]
fn a_full_disk_is_named_as_the_cause() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("/bin/echo some >/dev/full")).await;
        assert_eq!(told.end.cause, Some(Cause::NoSpace), "{:?}", told.lines);
        assert_eq!(
            daemon.handle.last_ends().await[&told.end.run.fire.job.key].cause,
            Some(Cause::NoSpace)
        );
        let told = daemon.run(job("echo No space left on device >&2")).await;
        assert_eq!((told.end.cause, told.end.outcome), (None, Outcome::Succeeded { exit: 0 }));
    });
}

#[test]
fn whoever_kills_a_run_is_not_taken_for_the_kernel() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("kill -KILL $$")).await;
        assert_eq!((told.end.outcome, told.end.cause), (Outcome::Killed { signal: 9 }, None));
    });
}
