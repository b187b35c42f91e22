use jiff::Timestamp;
use jiff::civil::DateTime;

use super::*;
use crate::crontab::{Flags, Origin, Settings};
use crate::event::{Bus, Fire, Outcome, Trigger, Usage};
use crate::job::{Action, Job, JobId, Policy, Terms, Timing};
use crate::schedule::{Due, Schedule, Zone};

fn run(number: u8) -> Arc<Run> {
    let job = Job {
        key: JobKey { id: JobId([number; 8]), occurrence: 1 },
        line: 1,
        timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "@reboot".into() }),
        action: Action::Shell { command: "x".into(), stdin: None },
        terms: Arc::new(Terms {
            file: "/etc/crontab".into(),
            origin: Origin::System,
            user: "root".into(),
            zone: Zone::utc(),
            settings: Arc::new(Settings::default()),
            policy: Arc::new(Policy::default()),
        }),
        naming: None,
        since: Timestamp::UNIX_EPOCH,
        flags: Flags::default(),
    };
    let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
    let fire = Fire { job: Arc::new(job), due, trigger: Trigger::Schedule, generation: 0 };
    let id = RunId::new(Timestamp::from_second(i64::from(number)).unwrap(), u128::from(number));
    Arc::new(Run { id, fire, attempt: 1 })
}

async fn print(recent: &Recent, run: &Arc<Run>, line: impl Into<Vec<u8>>) {
    print_or_count(recent, run, line, (0, 0)).await;
}

async fn print_or_count(
    recent: &Recent,
    run: &Arc<Run>,
    line: impl Into<Vec<u8>>,
    left_out: (u64, u64),
) {
    let bytes = line.into();
    let permit = Bus::builder().build().room_for(bytes.len()).await;
    let (run, stream) = (Arc::clone(run), Stream::Stdout);
    recent.take(&Event::RunOutput(Line { run, stream, bytes, detached: false, left_out, permit }));
}

fn end(recent: &Recent, run: &Arc<Run>) {
    recent.take(&Event::RunEnded(Ended {
        run: Arc::clone(run),
        outcome: Outcome::Failed { exit: 3 },
        cause: None,
        retry: None,
        at: Timestamp::UNIX_EPOCH,
        duration: std::time::Duration::ZERO,
        worker: None,
        usage: Usage::default(),
    }));
}

fn texts(lines: &[Printed]) -> Vec<String> {
    lines.iter().map(|line| String::from_utf8_lossy(&line.bytes).into_owned()).collect()
}

#[tokio::test]
async fn what_a_run_printed_is_found_by_run_and_by_job() {
    let recent = Recent::default();
    let (one, two) = (run(1), run(2));
    print(&recent, &one, "a").await;
    print(&recent, &two, "b").await;
    print(&recent, &one, "c").await;
    end(&recent, &one);
    for of in [Of::Run(one.id), Of::Job(one.fire.job.key)] {
        let [found] = &recent.look(of)[..] else { panic!("one run") };
        assert_eq!((texts(&found.head), found.left_out), (vec!["a".into(), "c".into()], 0));
        assert_eq!(found.ended.as_ref().unwrap().outcome.exit(), Some(3));
    }
    assert_eq!(recent.look(Of::All).len(), 2);
    assert!(recent.look(Of::Run(run(3).id)).is_empty());
}

#[tokio::test]
async fn a_silent_run_is_not_kept() {
    let recent = Recent::default();
    end(&recent, &run(1));
    assert!(recent.look(Of::All).is_empty());
    assert_eq!(recent.shelf().books.capacity(), 0);
}

#[tokio::test]
async fn of_much_output_the_beginning_and_the_end_are_kept() {
    let recent = Recent::default();
    let run = run(1);
    for number in 0..100_000 {
        print(&recent, &run, format!("line {number}")).await;
    }
    let [found] = &recent.look(Of::All)[..] else { panic!("one run") };
    assert_eq!(&*found.head[0].bytes, b"line 0");
    assert_eq!(&*found.tail.last().unwrap().bytes, b"line 99999");
    let kept = found.head.len() + found.tail.len();
    assert_eq!(usize::try_from(found.left_out).unwrap() + kept, 100_000);
    assert!(recent.shelf().bytes <= HEAD + TAIL + RUN_COST);
}

#[tokio::test]
async fn what_a_line_told_to_be_missing_is_counted_where_that_line_is_not_kept() {
    let recent = Recent::default();
    let run = run(1);
    for number in 0..100_000 {
        let left_out = if number == 60_000 { (7_000_000, 9_000_000) } else { (0, 0) };
        print_or_count(&recent, &run, format!("line {number}"), left_out).await;
    }
    let [found] = &recent.look(Of::All)[..] else { panic!("one run") };
    let kept = found.head.len() + found.tail.len();
    assert_eq!(usize::try_from(found.left_out).unwrap() + kept, 99_999 + 7_000_000);
    // Line feeds are not counted.
    let printed: usize = (0..100_000).map(|number| format!("line {number}").len()).sum();
    let told = "line 60000".len();
    assert_eq!(usize::try_from(found.bytes).unwrap(), printed - told + 2_000_000);
}

#[tokio::test]
async fn all_runs_together_stay_below_the_bound_and_those_that_ended_go_first() {
    let recent = Recent::default();
    let living = run(0);
    print(&recent, &living, "alive").await;
    for number in 1..=255 {
        let run = run(number);
        print(&recent, &run, vec![b'x'; 40 << 10]).await;
        end(&recent, &run);
        assert!(recent.shelf().bytes <= ALL);
    }
    let found = recent.look(Of::All);
    assert_eq!(found[0].run.id, living.id);
    assert_eq!(found.last().unwrap().run.id, run(255).id);
    let counted: usize = recent.shelf().books.iter().map(Book::cost).sum();
    assert_eq!(counted, recent.shelf().bytes);
}

#[tokio::test]
async fn who_follows_gets_what_was_and_what_comes_without_a_gap() {
    let recent = Recent::default();
    let (one, two) = (run(1), run(2));
    print(&recent, &one, "before").await;
    let (found, mut follower) = recent.follow(Of::Run(one.id));
    assert_eq!(texts(&found[0].head), ["before"]);
    print(&recent, &two, "of another").await;
    print(&recent, &one, "after").await;
    end(&recent, &one);
    let Some(News::Printed(_, line)) = follower.next().await else { panic!("a line") };
    assert_eq!(&*line.bytes, b"after");
    assert!(matches!(follower.next().await, Some(News::Ended(_))));
    drop(follower);
    print(&recent, &one, "to nobody").await;
    assert!(recent.shelf().following.is_empty());
}

#[tokio::test]
async fn who_follows_and_does_not_read_costs_no_more_than_the_bound() {
    let recent = Recent::default();
    let run = run(1);
    let (_, mut follower) = recent.follow(Of::All);
    for _ in 0..1000 {
        print(&recent, &run, vec![b'x'; 1 << 10]).await;
    }
    assert!(follower.queue.bytes.load(Ordering::Relaxed) <= WAITING);
    let mut lines = 0;
    let left_out = loop {
        match follower.next().await {
            Some(News::Printed(..)) => lines += 1,
            Some(News::LeftOut(count)) => break count,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lines + left_out, 1000);
    print(&recent, &run, "again").await;
    assert!(matches!(follower.next().await, Some(News::Printed(..))));
}
