//! What is told of a run's output.

use std::fs;
use std::time::Duration;

use cronkeep::crontab::directive::Output;
use cronkeep::event::{Event, Stream};
use cronkeep::job::Policy;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tokio::time::Instant;

use crate::harness::{Daemon, alone, descriptors, job, job_with, start, under, until};

#[test]
fn both_streams_are_told_by_line_and_in_order() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("for i in 1 2 3; do echo out $i; echo err $i >&2; done")).await;
        for (stream, word) in [(Stream::Stdout, "out"), (Stream::Stderr, "err")] {
            let lines = told.lines.iter().filter(|(of, _)| *of == stream).map(|(_, line)| line);
            let expected: Vec<_> = (1..4).map(|number| format!("{word} {number}")).collect();
            assert!(lines.eq(&expected), "{told:?}");
        }
    });
}

#[test]
fn a_last_line_without_a_line_feed_is_told() {
    alone(async {
        let mut daemon = start();
        assert_eq!(daemon.run(job("printf 'a\\nb'")).await.stdout(), ["a", "b"]);
    });
}

#[test]
fn the_last_words_are_told_before_the_end() {
    alone(async {
        let mut daemon = start();
        for _ in 0..50 {
            let told = daemon.run(job("echo words; kill -KILL $$")).await;
            assert_eq!(told.stdout(), ["words"]);
        }
    });
}

#[test]
fn a_run_ends_with_its_main_process_and_later_output_is_detached() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        mkfifo(&gate, Mode::S_IRWXU).unwrap();
        let mut daemon = start();
        let settings = [("HOME", "/"), ("GATE", gate.to_str().unwrap())];
        let command = "printf now; (read x <\"$GATE\"; echo late; echo later >&2) & exit 4";
        let told = daemon.run(job_with(&settings, command)).await;
        assert_eq!((told.stdout(), told.end.outcome.exit()), (vec!["now"], Some(4)));
        let open = descriptors();
        fs::write(&gate, "go\n").unwrap();
        let mut late = Vec::new();
        while late.len() < 2 {
            let event = daemon.next().await;
            let Event::RunOutput(line) = &*event else { panic!("{event:?}") };
            assert!(line.detached);
            assert_eq!(line.run.id, told.end.run.id);
            late.push(String::from_utf8(line.bytes.clone()).unwrap());
        }
        late.sort();
        assert_eq!(late, ["late", "later"]);
        until(|| descriptors() == open - 2).await;
    });
}

#[test]
fn a_background_process_that_never_stops_printing_does_not_delay_the_end() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("yes & echo $!"));
        let mut background = String::new();
        loop {
            match &*daemon.next().await {
                Event::RunOutput(line) if line.bytes != b"y" => {
                    background = String::from_utf8(line.bytes.clone()).unwrap();
                }
                Event::RunEnded(end) => {
                    assert!(end.outcome.is_success());
                    break;
                }
                _ => {}
            }
        }
        let pid = nix::unistd::Pid::from_raw(background.parse().unwrap());
        assert!(cronkeep::unix::process::signal(pid, cronkeep::unix::Signal::SIGKILL));
    });
}

/// All lines of the next run that ends, and how much waited at most.
async fn drain(daemon: &mut Daemon) -> (Vec<String>, usize) {
    let (mut lines, mut waiting) = (Vec::new(), 0);
    loop {
        waiting = waiting.max(daemon.events.len());
        match &*daemon.next().await {
            Event::RunOutput(line) => lines.push(String::from_utf8_lossy(&line.bytes).into_owned()),
            Event::RunEnded(end) => {
                assert!(end.outcome.is_success(), "{end:?}");
                return (lines, waiting);
            }
            _ => {}
        }
    }
}

/// The number of lines that a line says are left out, if it is such a line.
fn left_out(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("… ")?.strip_suffix(" left out …")?;
    rest.split_once(" line")?.0.parse().ok()
}

#[test]
fn a_burst_is_told_whole_however_slowly_it_is_fetched() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("seq 90000"));
        let (lines, waiting) = drain(&mut daemon).await;
        // What waits is bounded, whatever the number of lines.
        assert!(waiting < 4096, "{waiting} wait");
        assert!(lines.iter().eq(&(1..=90_000).map(|line| line.to_string()).collect::<Vec<_>>()));
    });
}

#[test]
fn of_a_flood_the_beginning_and_the_end_are_told_and_the_middle_is_counted() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("seq 3000000"));
        let (lines, _) = drain(&mut daemon).await;
        assert_eq!((&*lines[0], &**lines.last().unwrap()), ("1", "3000000"));
        let missing: u64 = lines.iter().filter_map(|line| left_out(line)).sum();
        let told = lines.iter().filter(|line| left_out(line).is_none()).count() as u64;
        assert!(missing > 1_000_000 && told > 90_000, "{missing} left out, {told} told");
        // A cut through the middle of a line hides it, and counts it.
        assert!((3_000_000..=3_000_010).contains(&(missing + told)), "{missing} + {told}");
        let end: Vec<u64> = lines.iter().rev().map_while(|line| line.parse().ok()).collect();
        assert!(end.len() > 1000 && end.iter().copied().eq((0..3_000_001).rev().take(end.len())));
    });
}

#[test]
fn a_flood_on_both_streams_keeps_them_apart() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("seq 1 1000000 & seq 1000001 2000000 >&2; wait")).await;
        let ours = told
            .lines
            .iter()
            .filter_map(|(stream, line)| Some((*stream, line.parse::<u64>().ok()?)));
        for (stream, number) in ours {
            assert_eq!(stream == Stream::Stderr, number > 1_000_000, "{number}");
        }
        assert!(told.lines.iter().any(|(_, line)| line == "1000000" || line == "2000000"));
    });
}

/// What this process has in memory, in KiB.
pub(crate) fn memory() -> u64 {
    let smaps = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = smaps.lines().find(|line| line.starts_with("Pss_Anon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_gibibyte_of_output_changes_our_memory_by_less_than_two_mebibytes_and_delays_nobody() {
    alone(async {
        let mut daemon = start();
        // Once, so that everything that is allocated once is there.
        daemon.run(job("seq 10")).await;
        let before = memory();
        let mut most = before;
        daemon.fire(job("head -c 1073741824 /dev/zero | tr '\\0' '\\n'; yes 0123456789abcdef | head -c 50000000"));
        let (mut others, mut slowest, mut count) = (0, Duration::ZERO, 0_u64);
        let mut asked = Instant::now();
        daemon.fire(job("true"));
        loop {
            match &*daemon.next().await {
                Event::RunEnded(end) if end.run.fire.job.action.command().as_bytes() == b"true" => {
                    others += 1;
                    slowest = slowest.max(asked.elapsed());
                    asked = Instant::now();
                    daemon.fire(job("true"));
                }
                Event::RunEnded(end) => {
                    assert!(end.outcome.is_success(), "{end:?}");
                    break;
                }
                Event::RunOutput(_) => {
                    count += 1;
                    if count.is_multiple_of(1000) {
                        most = most.max(memory());
                    }
                }
                _ => most = most.max(memory()),
            }
        }
        let after = memory();
        assert!(others > 10, "{others} other runs");
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        assert!(
            most - before < 2048 && after.saturating_sub(before) < 2048,
            "{before} {most} {after} KiB"
        );
    });
}

#[test]
fn a_long_line_is_cut_and_counted() {
    alone(async {
        let mut daemon = start();
        let told = daemon.run(job("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo next")).await;
        let lines = told.stdout();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("xxx") && lines[0].ends_with("x [line goes on]"));
        assert_eq!(lines[1], "[934464 more bytes of this line left out]");
        assert_eq!(lines[2], "next");
    });
}

#[test]
fn output_that_is_not_wanted_is_thrown_away() {
    alone(async {
        let mut daemon = start();
        let policy = Policy { output: Output::None, ..Policy::default() };
        let told = daemon.run(under(policy, job("echo lost; echo lost >&2"))).await;
        assert!(told.lines.is_empty() && told.end.outcome.is_success(), "{told:?}");
    });
}
