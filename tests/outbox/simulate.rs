//! Random letters, random answers, a broker that comes and goes, daemons that are killed: what was accepted is confirmed, or
//! told as dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cronkeep::broker::Delivery;
use cronkeep::outbox::{Bounds, Letter, Outbox, Parts};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::broker::{Broker, Plan, away, blocked, down, returned, up};
use super::harness::{Bench, after, block_on, eventually, letter};

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A letter of this job, or of none, that expires after so many milliseconds, if it does.
    Accept(Option<u8>, Option<u64>),
    /// So many milliseconds pass.
    Pass(u64),
    Down,
    Blocked,
    Up,
    /// The daemon is killed, and another one begins.
    Crash,
    /// An older letter is handed over again.
    Again(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let job = prop::option::weighted(0.8, 0_u8..4);
    let expiry = prop::option::weighted(0.1, 0_u64..30);
    prop_oneof![
        12 => (job, expiry).prop_map(|(job, expiry)| Step::Accept(job, expiry)),
        4 => (1_u64..8).prop_map(Step::Pass),
        1 => Just(Step::Down),
        1 => Just(Step::Blocked),
        3 => Just(Step::Up),
        1 => Just(Step::Crash),
        1 => (0_usize..50).prop_map(Step::Again),
    ]
}

/// What the broker answers, one after the other, and then only confirms.
fn any_answer() -> impl Strategy<Value = Plan> {
    let delivery = prop_oneof![
        6 => Just(Delivery::Confirmed),
        1 => Just(returned()),
        1 => Just(Delivery::NoExchange { text: "no exchange 'x'".to_owned() }),
        2 => Just(Delivery::Nacked),
        1 => Just(Delivery::TimedOut),
        2 => Just(away()),
    ];
    (delivery, 0_u64..6).prop_map(|(delivery, span)| match span {
        0..3 => Plan::Now(delivery),
        span => Plan::Later(Duration::from_millis(span), delivery),
    })
}

/// What became of the letters that were accepted.
#[derive(Default)]
struct Fates {
    confirmed: BTreeSet<String>,
    dropped: BTreeMap<String, String>,
}

fn simulate(steps: Vec<Step>, answers: Vec<Plan>) -> Result<(), TestCaseError> {
    let result = Arc::new(Mutex::new(Ok(())));
    block_on(async {
        *result.lock().unwrap() = walk(steps, answers).await;
    });
    std::mem::replace(&mut *result.lock().unwrap(), Ok(()))
}

async fn walk(steps: Vec<Step>, answers: Vec<Plan>) -> Result<(), TestCaseError> {
    let mut answers = answers.into_iter();
    let broker =
        Broker::answering(move |_| answers.next().unwrap_or(Plan::Now(Delivery::Confirmed)));
    let mut bench = Bench::new(broker);
    // Little at once, and little in memory, so that every path is taken.
    let bounds = Bounds { flying: 3, flying_bytes: 100, memory: 2_000, ..Bounds::default() };
    let start = |bench: &Bench| Outbox::start(Parts { bounds, ..bench.parts() });
    let (mut outbox, mut task) = start(&bench);
    let mut accepted: Vec<(String, Option<u8>)> = Vec::new();
    let mut expires = BTreeSet::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Accept(job, expiry) => {
                let id = format!("{number:04}");
                let mut letter = letter(&id, job);
                if let Some(expiry) = expiry {
                    letter = Letter { expires: after(Duration::from_millis(expiry)), ..letter };
                    expires.insert(id.clone());
                }
                outbox.accept(letter).await.unwrap();
                accepted.push((id, job));
            }
            Step::Pass(span) => tokio::time::sleep(Duration::from_millis(span)).await,
            Step::Down => bench.broker.stand(down()),
            Step::Blocked => bench.broker.stand(blocked()),
            Step::Up => bench.broker.stand(up()),
            Step::Crash => {
                task.abort();
                let _ = task.await;
                (outbox, task) = start(&bench);
            }
            Step::Again(place) => {
                if let Some((id, job)) = accepted.get(place)
                    && !expires.contains(id)
                {
                    outbox.accept(letter(id, *job)).await.unwrap();
                }
            }
        }
    }
    bench.broker.stand(up());
    let backlog = outbox.backlog();
    eventually(async || bench.kept().await.is_empty() && backlog.borrow().count == 0).await;
    check(&mut bench, &accepted, &expires)
}

fn check(
    bench: &mut Bench,
    accepted: &[(String, Option<u8>)],
    expires: &BTreeSet<String>,
) -> Result<(), TestCaseError> {
    let mut fates = Fates::default();
    for event in bench.events() {
        let mut words = event.splitn(3, ' ');
        let (word, id, rest) = (words.next().unwrap(), words.next().unwrap(), words.next());
        match word {
            "confirmed" => drop(fates.confirmed.insert(id.to_owned())),
            "dropped" => drop(fates.dropped.insert(id.to_owned(), rest.unwrap().to_owned())),
            "failed" => {}
            _ => prop_assert!(false, "{event}"),
        }
    }
    let sent = bench.broker.sent();
    for (id, job) in accepted {
        let is_known = fates.confirmed.contains(id) || fates.dropped.contains_key(id);
        prop_assert!(is_known, "{id} was lost silently");
        for sent in sent.iter().filter(|sent| sent.id == *id) {
            prop_assert_eq!(&**sent, &letter(id, *job).message, "what is sent again is the same");
        }
    }
    for (id, reason) in &fates.dropped {
        prop_assert!(expires.contains(id) && reason.starts_with("expired: "), "{id}: {reason}");
    }
    // Each job's letters were sent for the first time in the order in which they were accepted.
    for job in 0..4_u8 {
        let mut firsts: Vec<&str> = Vec::new();
        for sent in &sent {
            let is_of_job = accepted.iter().any(|(id, of)| *id == sent.id && *of == Some(job));
            if is_of_job && !firsts.contains(&sent.id.as_str()) {
                firsts.push(&sent.id);
            }
        }
        prop_assert!(firsts.is_sorted(), "job {job}: {firsts:?}");
    }
    let (flying, bytes) = bench.broker.most();
    prop_assert!(flying <= 3 && bytes <= 1_500, "{flying} {bytes}");
    Ok(())
}

#[test]
fn every_accepted_letter_is_confirmed_or_dropped_with_a_reason() {
    let config =
        ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() };
    let steps = prop::collection::vec(any_step(), 1..80);
    let answers = prop::collection::vec(any_answer(), 0..120);
    TestRunner::new(config)
        .run(&(steps, answers), |(steps, answers)| simulate(steps, answers))
        .unwrap();
}
