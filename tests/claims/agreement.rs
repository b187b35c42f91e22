//! The scripts of Redis decide as the rules do: random questions to both, the same answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cronkeep::event::Trigger;
use cronkeep::store::claim::{Board, Heard, Moment};
use cronkeep::store::redis::Redis as Scripts;
use cronkeep::store::{Beat, Claim, Lease, Mark, Owed, Peers, RunRecord, Start, Store, Write};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::redis::Redis;
use super::scene::{EPOCH, EXPIRY, beat, claim, key, mark, run_id, start};

/// Something that is asked of both.
#[derive(Debug, Clone)]
enum Question {
    Pass(i64),
    Join {
        replica: usize,
        alone: bool,
    },
    Beat {
        replica: usize,
        leaving: bool,
    },
    Claim {
        replica: usize,
        claims: Vec<Claim>,
    },
    Start {
        replica: usize,
        starts: Vec<Start>,
    },
    Assert(Vec<(u32, i64)>),
    Settle(u32, i64),
    Owe(u32, i64),
    Forgive(u32, i64),
    Pause(u32, bool),
    Going {
        replica: usize,
        job: u32,
        run: u32,
    },
    End {
        job: u32,
        run: u32,
    },
    StepBack(usize),
    /// The server has restarted, as far as anybody can tell.
    Restart,
}

fn any_claim() -> impl Strategy<Value = Claim> {
    (0_u32..2, 0_i64..4, prop::option::of(1_u32..4), any::<bool>(), 0_u64..3).prop_map(
        |(job, at, instances, is_short, generation)| {
            let mark = Mark { generation: generation / 2, ..mark(at * 2_000) };
            let grace = Duration::from_secs(if is_short { 1 } else { 15 });
            Claim { instances, grace, ..claim(key(job), mark) }
        },
    )
}

fn any_start() -> impl Strategy<Value = Start> {
    let trigger = prop::sample::select(
        &[Trigger::Schedule, Trigger::CatchUp, Trigger::Manual, Trigger::Reboot][..],
    );
    (0_u32..3, 0_i64..8, 0_u32..6, 1_u32..3, trigger).prop_map(
        |(job, at, run, attempt, trigger)| {
            // A run is of one job.
            let run = run * 3 + job;
            Start { attempt, trigger, ..start(key(job), mark(at * 2_000), run) }
        },
    )
}

fn any_question() -> impl Strategy<Value = Question> {
    let replica = || 0_usize..3;
    let job = || 0_u32..3;
    let at = || (0_i64..8).prop_map(|at| at * 2_000);
    prop_oneof![
        4 => (0_i64..EXPIRY).prop_map(Question::Pass),
        3 => (replica(), any::<bool>()).prop_map(|(replica, alone)| Question::Join { replica, alone }),
        4 => (replica(), prop::bool::weighted(0.1))
            .prop_map(|(replica, leaving)| Question::Beat { replica, leaving }),
        9 => (replica(), prop::collection::vec(any_claim(), 1..5))
            .prop_map(|(replica, claims)| Question::Claim { replica, claims }),
        6 => (replica(), prop::collection::vec(any_start(), 1..4))
            .prop_map(|(replica, starts)| Question::Start { replica, starts }),
        1 => prop::collection::vec((job(), at()), 1..3).prop_map(Question::Assert),
        2 => (job(), at()).prop_map(|(job, at)| Question::Settle(job, at)),
        2 => (job(), at()).prop_map(|(job, at)| Question::Owe(job, at)),
        1 => (job(), at()).prop_map(|(job, at)| Question::Forgive(job, at)),
        1 => (job(), any::<bool>()).prop_map(|(job, is_paused)| Question::Pause(job, is_paused)),
        2 => (replica(), job(), 0_u32..9)
            .prop_map(|(replica, job, run)| Question::Going { replica, job, run: run * 3 + job }),
        2 => (job(), 0_u32..9).prop_map(|(job, run)| Question::End { job, run: run * 3 + job }),
        1 => replica().prop_map(Question::StepBack),
        1 => Just(Question::Restart),
    ]
}

/// The rules and the scripts, and what the replicas know.
struct Both {
    board: Board,
    scripts: Scripts,
    server: Redis,
    namespace: String,
    time: Arc<AtomicI64>,
    leases: [Lease; 3],
    life: u32,
    /// The first words of all answers.
    seen: BTreeSet<String>,
}

fn word(answer: &impl std::fmt::Debug) -> String {
    let text = format!("{answer:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}

impl Both {
    fn moment(&self) -> Moment {
        let incarnation = self.life.to_string();
        Moment { now: self.time.load(Ordering::SeqCst), incarnation }
    }

    async fn write(&self, write: Write) {
        self.scripts.write(vec![write]).await.unwrap();
    }

    /// Asks both, and compares.
    async fn ask(&mut self, question: &Question) {
        let moment = self.moment();
        match question {
            Question::Pass(span) => {
                self.time.fetch_add(*span, Ordering::SeqCst);
            }
            Question::Join { replica, alone } => {
                let beat = Beat { alone: *alone, ..beat(&self.leases[*replica].replica, 0) };
                self.beat(*replica, beat).await;
            }
            Question::Beat { replica, leaving } => {
                let Lease { replica: name, fencing } = &self.leases[*replica];
                let beat = Beat { leaving: *leaving, ..beat(name, *fencing) };
                self.beat(*replica, beat).await;
            }
            Question::Claim { replica, claims } => {
                let lease = &self.leases[*replica];
                let ours = self.board.claim(&moment, lease, claims);
                let theirs = self.scripts.claim(lease.clone(), claims.clone()).await.unwrap();
                self.seen.extend(theirs.iter().map(word));
                assert_eq!(theirs, ours);
            }
            Question::Start { replica, starts } => {
                let lease = &self.leases[*replica];
                let ours = self.board.start(&moment, lease, starts);
                let theirs = self.scripts.start(lease.clone(), starts.clone()).await.unwrap();
                self.seen.extend(theirs.iter().map(|answer| format!("start {answer:?}")));
                assert_eq!(theirs, ours);
            }
            Question::Assert(marks) => {
                let marks: Vec<_> = marks.iter().map(|(job, at)| (key(*job), mark(*at))).collect();
                let ours = self.board.assert_marks(&moment, &marks);
                let theirs = self.scripts.assert_marks(marks).await.unwrap();
                self.seen.insert(format!("forgot {theirs}"));
                assert_eq!(theirs, ours);
            }
            Question::Settle(job, at) => {
                self.board.settle(key(*job), mark(*at));
                self.write(Write::Mark(key(*job), mark(*at))).await;
            }
            Question::Owe(job, at) => {
                let due = mark(*at).due();
                self.board.owe(key(*job), due);
                self.write(Write::Owe(key(*job), Owed { due, trigger: Trigger::CatchUp })).await;
            }
            Question::Forgive(job, at) => {
                self.board.forgive(key(*job), mark(*at).due());
                self.write(Write::Settle(key(*job), mark(*at).due())).await;
            }
            Question::Pause(job, true) => {
                self.board.pause(key(*job), true);
                self.write(Write::Pause(key(*job))).await;
            }
            Question::Pause(job, false) => {
                self.board.pause(key(*job), false);
                self.write(Write::Resume(key(*job))).await;
            }
            Question::Going { replica, job, run } => {
                let name = self.leases[*replica].replica.clone();
                self.board.going(key(*job), run_id(*run), 1, &name);
                self.write(Write::Run(Arc::new(record(*job, *run, &name)))).await;
            }
            Question::End { job, run } => {
                for attempt in 1..3 {
                    self.board.end(key(*job), run_id(*run), attempt);
                    let ended = Some(mark(0).at);
                    let record = RunRecord { attempt, ended, ..record(*job, *run, "any") };
                    self.write(Write::Run(Arc::new(record))).await;
                }
            }
            Question::StepBack(replica) => {
                let lease = &self.leases[*replica];
                let ours = self.board.step_back(&moment, lease, 0);
                let theirs = self.scripts.step_back(lease.clone(), 0).await.unwrap();
                self.seen.insert(word(&theirs));
                assert_eq!(theirs, ours);
            }
            Question::Restart => {
                self.life += 1;
                // The script sees another life than the one it has noted.
                let key = format!("{{cronkeep:{}}}:state", self.namespace);
                self.server.command(["HSET", &key, "incarnation", "an earlier one"]);
            }
        }
    }

    async fn beat(&mut self, replica: usize, beat: Beat) {
        let moment = self.moment();
        let ours = self.board.beat(&moment, &beat);
        let theirs = self.scripts.beat(beat).await.unwrap();
        self.leases[replica] = theirs.lease.clone();
        let found = [("orphans", theirs.orphans.len()), ("lost", theirs.lost.len())];
        let found = found.into_iter().filter(|(_, count)| *count > 0);
        self.seen.extend(found.map(|(name, _)| name.to_owned()));
        assert_eq!(heard(theirs), sorted(ours));
    }
}

fn record(job: u32, run: u32, replica: &str) -> RunRecord {
    let start = start(key(job), mark(0), run);
    RunRecord {
        run: start.run,
        attempt: 1,
        key: start.key,
        name: start.name,
        due: start.mark.due(),
        range: None,
        trigger: start.trigger,
        queued: Some(start.queued),
        started: None,
        ended: None,
        outcome: None,
        exit: None,
        signal: None,
        reason: None,
        user_cpu: Duration::ZERO,
        system_cpu: Duration::ZERO,
        max_rss_kib: None,
        replica: replica.to_owned(),
        worker: None,
        output_bytes: 0,
        process: None,
    }
}

/// What both were told of, in one form.
fn heard(peers: Peers) -> Heard {
    let lost = peers.lost.iter().map(|record| (record.run, record.attempt)).collect();
    let others = peers.others.into_iter().map(|other| other.lease.replica).collect();
    let Peers { lease, alone, orphans, generation, .. } = peers;
    sorted(Heard { lease, others, alone, orphans, lost, generation })
}

fn sorted(mut heard: Heard) -> Heard {
    heard.others.sort();
    heard.orphans.sort();
    heard.lost.sort();
    heard
}

#[test]
fn scripts_and_rules_give_the_same_answers() {
    let Some(server) = Redis::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut server = Some(server);
    // Always the same questions, or as many others as one asks for.
    let number =
        |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (seed, cases) = (number("AGREEMENT_SEED", 1), number("PROPTEST_CASES", 120));
    let mut met = BTreeSet::new();
    for case in 0..cases {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(seed + case).to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let questions = prop::collection::vec(any_question(), 10..150);
        let questions = questions.new_tree(&mut runner).unwrap().current();
        let namespace = format!("case-{case}");
        let time = Arc::new(AtomicI64::new(EPOCH));
        let here = server.take().unwrap();
        let scripts = Scripts::new(&here.unix_url(), &namespace).with_time(Arc::clone(&time));
        let leases = ["a", "b", "c"].map(|name| Lease { replica: name.into(), fencing: 0 });
        let board = Board::default();
        let mut both = Both {
            board,
            scripts,
            server: here,
            namespace,
            time,
            leases,
            life: 0,
            seen: BTreeSet::new(),
        };
        let told = format!("{questions:#?}");
        let asked = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                for question in &questions {
                    both.ask(question).await;
                }
            });
        });
        if let Err(panic) = std::panic::catch_unwind(asked) {
            println!("{told}\nAGREEMENT_SEED={} PROPTEST_CASES=1 asks this alone", seed + case);
            std::panic::resume_unwind(panic);
        }
        met.append(&mut both.seen);
        server = Some(both.server);
    }
    let all: BTreeSet<String> = [
        "Belongs",
        "Fenced",
        "Full",
        "Granted",
        "Kept",
        "Late",
        "Opened",
        "Paused",
        "Taken",
        "Wait",
        "forgot false",
        "forgot true",
        "lost",
        "orphans",
        "start Fenced",
        "start Granted",
        "start Taken",
    ]
    .map(str::to_owned)
    .into();
    if cases >= 120 {
        assert_eq!(met, all, "some answers were never given");
    }
}
