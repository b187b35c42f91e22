//! What is told of a run's output.

use std::fs;

use cronkeep::crontab::directive::Output;
use cronkeep::event::{Event, Stream};
use cronkeep::job::Policy;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::harness::{alone, descriptors, job, job_with, start, under, until};

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

#[test]
fn a_flood_waits_for_the_sinks_and_nothing_of_it_is_lost() {
    alone(async {
        let mut daemon = start();
        daemon.fire(job("yes | head -n 300000"));
        let mut lines = 0;
        loop {
            // A line holds room for 64 bytes at least, of a mebibyte.
            assert!(daemon.events.len() <= 16_384 + 2, "{} wait", daemon.events.len());
            match &*daemon.next().await {
                Event::RunOutput(_) => lines += 1,
                Event::RunEnded(_) => break,
                _ => {}
            }
        }
        assert_eq!(lines, 300_000);
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
