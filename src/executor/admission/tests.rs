use jiff::Timestamp;
use jiff::civil::DateTime;
use proptest::prelude::*;

use super::*;
use crate::crontab::{Flags, Origin, Settings};
use crate::event::Fire;
use crate::job::{Action, Job, JobId, Terms, Timing};
use crate::schedule::{Due, Schedule, Zone};

fn run(number: u128, job: u8, policy: &Policy, trigger: Trigger) -> Arc<Run> {
    let job = Arc::new(Job {
        key: JobKey { id: JobId([job; 8]), occurrence: 1 },
        line: 1,
        timing: Arc::new(Timing { schedule: Schedule::Reboot, text: "@reboot".into() }),
        action: Action::Shell { command: "true".into(), stdin: None },
        terms: Arc::new(Terms {
            file: "crontab".into(),
            origin: Origin::Named,
            user: "root".into(),
            zone: Zone::utc(),
            settings: Arc::new(Settings::default()),
            policy: Arc::new(policy.clone()),
        }),
        naming: None,
        since: Timestamp::UNIX_EPOCH,
        flags: Flags::default(),
    });
    let due = Due { at: Timestamp::UNIX_EPOCH, civil: DateTime::ZERO };
    let id = RunId::new(Timestamp::UNIX_EPOCH, number);
    Arc::new(Run { id, fire: Fire { job, due, trigger, generation: 0 }, attempt: 1 })
}

fn overlap(overlap: Overlap) -> Policy {
    Policy { overlap, ..Policy::default() }
}

/// Sends runs `from..to` of job 1; what became of each, in a word.
fn arrive(
    admission: &mut Admission,
    policy: &Policy,
    numbers: std::ops::Range<u128>,
) -> Vec<String> {
    let mut words = Vec::new();
    for number in numbers {
        let arrival = admission.arrive(run(number, 1, policy, Trigger::Schedule));
        words.push(match arrival {
            Arrival::InLine => match started(admission).as_slice() {
                [] => "waits".into(),
                [one] => format!("starts {one}"),
                more => format!("starts {more:?}"),
            },
            Arrival::Held => "held".into(),
            Arrival::Replaces { alive, dropped } => {
                let dropped = dropped.map(|run| number_of(run.id));
                format!(
                    "replaces {:?} {dropped:?}",
                    alive.into_iter().map(number_of).collect::<Vec<_>>()
                )
            }
            Arrival::Backlog => "backlog".into(),
            Arrival::Skipped(skip) => skip.to_string(),
        });
    }
    words
}

fn number_of(run: RunId) -> u128 {
    (0..1000).find(|&number| RunId::new(Timestamp::UNIX_EPOCH, number) == run).unwrap()
}

fn started(admission: &mut Admission) -> Vec<u128> {
    let mut started = Vec::new();
    while let Some(release) = admission.release() {
        if let Release::Start(run) = release {
            started.push(number_of(run.id));
        }
    }
    started
}

fn leave(admission: &mut Admission, number: u128) -> Vec<u128> {
    let key = JobKey { id: JobId([1; 8]), occurrence: 1 };
    admission.leave(key, RunId::new(Timestamp::UNIX_EPOCH, number), false);
    started(admission)
}

#[test]
fn row_100_a_job_that_may_overlap_starts_each_time_and_one_that_skips_only_once() {
    let mut admission = Admission::new(None);
    assert_eq!(
        arrive(&mut admission, &overlap(Overlap::Allow), 0..3),
        ["starts 0", "starts 1", "starts 2"]
    );
    let mut admission = Admission::new(None);
    let words = arrive(&mut admission, &overlap(Overlap::Skip), 0..2);
    assert_eq!(words, ["starts 0", "an earlier run is alive"]);
    assert!(leave(&mut admission, 0).is_empty());
    assert_eq!(arrive(&mut admission, &overlap(Overlap::Skip), 2..3), ["starts 2"]);
}

#[test]
fn a_queue_holds_one() {
    let mut admission = Admission::new(None);
    let words = arrive(&mut admission, &overlap(Overlap::Queue), 0..3);
    assert_eq!(words, ["starts 0", "held", "a run is queued already"]);
    assert_eq!(leave(&mut admission, 0), [1]);
    assert_eq!(arrive(&mut admission, &overlap(Overlap::Queue), 3..4), ["held"]);
    let key = JobKey { id: JobId([1; 8]), occurrence: 1 };
    assert!(admission.give_up(key, RunId::new(Timestamp::UNIX_EPOCH, 3)).is_some());
    assert!(leave(&mut admission, 1).is_empty());
    assert!(admission.is_idle());
}

#[test]
fn the_latest_replaces_all_and_starts_when_they_have_gone() {
    let mut admission = Admission::new(None);
    let words = arrive(&mut admission, &overlap(Overlap::Replace), 0..3);
    assert_eq!(words, ["starts 0", "replaces [0] None", "replaces [0] Some(1)"]);
    assert_eq!(leave(&mut admission, 0), [2]);
}

#[test]
fn a_job_has_no_more_runs_than_its_instances() {
    let policy = Policy { max_instances: 2, ..Policy::default() };
    let mut admission = Admission::new(None);
    let words = arrive(&mut admission, &policy, 0..3);
    assert_eq!(words, ["starts 0", "starts 1", "max instances"]);
    assert!(leave(&mut admission, 1).is_empty());
    assert_eq!(arrive(&mut admission, &policy, 3..4), ["starts 3"]);
}

#[test]
fn row_101_beyond_the_limit_of_all_runs_wait_in_order() {
    let mut admission = Admission::new(Some(2));
    let words = arrive(&mut admission, &Policy::default(), 0..5);
    assert_eq!(words, ["starts 0", "starts 1", "waits", "waits", "waits"]);
    assert_eq!(leave(&mut admission, 1), [2]);
    assert_eq!(leave(&mut admission, 0), [3]);
    assert_eq!(leave(&mut admission, 2), [4]);
}

#[test]
fn a_rest_between_attempts_gives_its_place_to_another_run_and_still_counts_for_its_job() {
    let mut admission = Admission::new(Some(1));
    let policy = overlap(Overlap::Skip);
    assert_eq!(arrive(&mut admission, &policy, 0..1), ["starts 0"]);
    admission.rest();
    assert_eq!(arrive(&mut admission, &policy, 1..2), ["an earlier run is alive"]);
    let other = run(2, 2, &policy, Trigger::Schedule);
    assert!(matches!(admission.arrive(other), Arrival::InLine));
    assert_eq!(started(&mut admission), [2]);
    let id = RunId::new(Timestamp::UNIX_EPOCH, 0);
    admission.wake(id);
    assert!(admission.release().is_none());
    let key = JobKey { id: JobId([2; 8]), occurrence: 1 };
    admission.leave(key, RunId::new(Timestamp::UNIX_EPOCH, 2), false);
    assert!(matches!(admission.release(), Some(Release::Attempt(run)) if run == id));
}

#[test]
fn what_is_paused_or_not_enabled_starts_only_by_name() {
    let mut admission = Admission::new(None);
    let job = run(0, 1, &Policy::default(), Trigger::Schedule).fire.job.key;
    assert!(admission.pause(job) && !admission.pause(job));
    assert_eq!(arrive(&mut admission, &Policy::default(), 0..1), ["paused"]);
    let manual = run(1, 1, &Policy::default(), Trigger::Manual);
    assert!(matches!(admission.arrive(manual), Arrival::InLine));
    assert_eq!(started(&mut admission), [1]);
    assert!(admission.resume(job) && !admission.resume(job));
    assert_eq!(arrive(&mut admission, &Policy::default(), 2..3), ["starts 2"]);
    let disabled = Policy { enabled: false, ..Policy::default() };
    assert_eq!(arrive(&mut admission, &disabled, 3..4), ["not enabled"]);
}

#[test]
fn all_instants_are_caught_up_one_at_a_time_whatever_the_overlap() {
    for overlap in [Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::Replace] {
        let policy = Policy { catch_up: CatchUp::All, overlap, ..Policy::default() };
        let mut admission = Admission::new(None);
        let mut begun = Vec::new();
        for number in 0..4 {
            admission.arrive(run(number, 1, &policy, Trigger::CatchUp));
            begun.extend(started(&mut admission));
        }
        assert_eq!(begun, [0]);
        for number in 0..3 {
            assert_eq!(leave(&mut admission, number), [number + 1]);
        }
        assert!(leave(&mut admission, 3).is_empty());
        assert!(admission.is_idle());
    }
}

#[test]
fn a_backlog_that_is_paused_goes_by() {
    let policy = Policy { catch_up: CatchUp::All, ..Policy::default() };
    let mut admission = Admission::new(None);
    for number in 0..4 {
        admission.arrive(run(number, 1, &policy, Trigger::CatchUp));
        started(&mut admission);
    }
    admission.pause(run(0, 1, &policy, Trigger::CatchUp).fire.job.key);
    assert!(leave(&mut admission, 0).is_empty());
    assert!(admission.is_idle());
}

#[test]
fn what_waits_is_told_and_taken_out_in_the_order_of_arrival() {
    let mut admission = Admission::new(Some(1));
    arrive(&mut admission, &Policy::default(), 0..1);
    for number in 1..4 {
        admission.arrive(run(number, 2, &Policy::default(), Trigger::Schedule));
    }
    let waiting = admission.waiting();
    assert!(waiting.iter().all(|(_, place)| *place == Place::Line));
    let drained: Vec<_> = admission.drain().iter().map(|run| number_of(run.id)).collect();
    assert_eq!(drained, [1, 2, 3]);
    assert!(admission.waiting().is_empty());
}

/// What happens to a model and to the real thing alike.
#[derive(Debug, Clone)]
enum Step {
    Arrive(u8),
    /// The run at this place among those that have a process ends.
    Leave(usize),
    Pause(u8),
    Resume(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..3).prop_map(Step::Arrive),
        3 => any::<usize>().prop_map(Step::Leave),
        1 => (0_u8..3).prop_map(Step::Pause),
        1 => (0_u8..3).prop_map(Step::Resume),
    ]
}

fn any_overlap() -> impl Strategy<Value = Overlap> {
    prop_oneof![
        Just(Overlap::Allow),
        Just(Overlap::Skip),
        Just(Overlap::Queue),
        Just(Overlap::Replace)
    ]
}

/// The rules, written down once more over plain lists: every run is somewhere, and all lists are searched each time.
#[derive(Default)]
struct Model {
    policies: Vec<Policy>,
    limit: Option<usize>,
    paused: Vec<u8>,
    /// Run and job, in the order of their starts.
    alive: Vec<(u128, u8)>,
    held: Vec<(u128, u8)>,
    line: Vec<(u128, u8)>,
    skipped: Vec<u128>,
}

impl Model {
    fn arrive(&mut self, number: u128, job: u8) {
        if self.limit.is_some_and(|limit| self.alive.len() >= limit) && !self.line.is_empty() {
            if self.paused.contains(&job) {
                self.skipped.push(number);
            } else {
                self.line.push((number, job));
            }
            return;
        }
        self.judge(number, job);
    }

    fn judge(&mut self, number: u128, job: u8) {
        let policy = &self.policies[usize::from(job)];
        let alive = self.alive.iter().filter(|(_, of)| *of == job).count();
        let held = self.held.iter().position(|(_, of)| *of == job);
        let overlaps = alive > 0 && policy.overlap == Overlap::Skip;
        if self.paused.contains(&job) || overlaps {
            self.skipped.push(number);
        } else if alive > 0 && policy.overlap == Overlap::Queue {
            match held {
                Some(_) => self.skipped.push(number),
                None => self.held.push((number, job)),
            }
        } else if alive > 0 && policy.overlap == Overlap::Replace {
            if let Some(held) = held {
                self.skipped.push(self.held.remove(held).0);
            }
            self.held.push((number, job));
        } else if alive >= policy.max_instances as usize {
            self.skipped.push(number);
        } else if self.limit.is_some_and(|limit| self.alive.len() >= limit) {
            self.line.push((number, job));
        } else {
            self.alive.push((number, job));
        }
    }

    fn leave(&mut self, place: usize) {
        let (_, job) = self.alive.remove(place);
        if !self.alive.iter().any(|(_, of)| *of == job)
            && let Some(held) = self.held.iter().position(|(_, of)| *of == job)
        {
            self.line.push(self.held.remove(held));
        }
        self.advance();
    }

    fn advance(&mut self) {
        while !self.line.is_empty() && self.limit.is_none_or(|limit| self.alive.len() < limit) {
            let (number, job) = self.line.remove(0);
            self.judge(number, job);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn admission_does_as_the_model_does(
        overlaps in [any_overlap(), any_overlap(), any_overlap()],
        instances in [1_u32..4, 1_u32..4, 1_u32..4],
        limit in prop::option::of(1_usize..4),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let policies: Vec<Policy> = std::iter::zip(overlaps, instances)
            .map(|(overlap, max_instances)| Policy { overlap, max_instances, ..Policy::default() })
            .collect();
        let mut model = Model { policies: policies.clone(), limit, ..Model::default() };
        let mut admission = Admission::new(limit);
        let (mut alive, mut skipped) = (Vec::new(), Vec::new());
        for (number, step) in (0_u128..).zip(steps) {
            let key = |job: u8| JobKey { id: JobId([job; 8]), occurrence: 1 };
            let mut heed = |run: &Run, arrival: Arrival| match arrival {
                Arrival::Skipped(_) => skipped.push(number_of(run.id)),
                Arrival::Replaces { dropped: Some(dropped), .. } => skipped.push(number_of(dropped.id)),
                _ => {}
            };
            match step {
                Step::Arrive(job) => {
                    model.arrive(number, job);
                    let run = run(number, job, &policies[usize::from(job)], Trigger::Schedule);
                    let arrival = admission.arrive(Arc::clone(&run));
                    heed(&run, arrival);
                }
                Step::Leave(place) if !model.alive.is_empty() => {
                    let place = place % model.alive.len();
                    model.leave(place);
                    let (number, job) = alive.remove(place);
                    admission.leave(key(job), RunId::new(Timestamp::UNIX_EPOCH, number), false);
                }
                Step::Leave(_) => {}
                Step::Pause(job) => {
                    if admission.pause(key(job)) {
                        model.paused.push(job);
                    }
                }
                Step::Resume(job) => {
                    if admission.resume(key(job)) {
                        model.paused.retain(|paused| *paused != job);
                    }
                }
            }
            while let Some(release) = admission.release() {
                match release {
                    Release::Start(run) => {
                        alive.push((number_of(run.id), run.fire.job.key.id.0[0]));
                    }
                    Release::Other(run, arrival) => heed(&run, arrival),
                    Release::Attempt(_) => prop_assert!(false, "nothing rests"),
                }
            }
            prop_assert_eq!(&alive, &model.alive);
            prop_assert_eq!(&skipped, &model.skipped);
            prop_assert!(limit.is_none_or(|limit| alive.len() <= limit));
            let waiting: Vec<_> = admission.waiting().iter().map(|(run, _)| number_of(run.id)).collect();
            let mut expected: Vec<_> = model.held.iter().chain(&model.line).map(|(number, _)| *number).collect();
            expected.sort_unstable();
            prop_assert_eq!(waiting, expected);
        }
    }
}
