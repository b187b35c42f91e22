//! Every option of a job, resolved: directive, setting, flag, default.
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::crontab::Options;
use crate::crontab::directive::{Await, CatchUp, Executor, Output, Overlap};
use crate::schedule::Schedule;

/// The options of a job, each with its value in force (crontab-language: directives).
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether it is scheduled at all.
    pub enabled: bool,
    /// How long an attempt may take before its processes get TERM; none for ever.
    pub timeout: Option<Duration>,
    /// From TERM to KILL.
    pub kill_after: Duration,
    /// What a fire does while an earlier run is alive.
    pub overlap: Overlap,
    /// How many runs may be alive at once; at least 1.
    pub max_instances: u32,
    /// How late a run may start after a restart, a take-over, a hold or a queue.
    pub grace: Duration,
    /// Which of the instants that passed while nothing was running start later.
    pub catch_up: CatchUp,
    /// How far back catching up looks.
    pub catch_up_window: Duration,
    /// How many instants catching up starts at most.
    pub catch_up_max: u32,
    /// How many attempts may follow the first.
    pub retries: u32,
    /// From the end of the first attempt to the second.
    pub retry_delay: Duration,
    /// By what each further delay is multiplied; finite, at least 1.
    pub retry_backoff: f64,
    /// By how much a start is put off at most; the amount is stable per job.
    pub jitter: Duration,
    /// Exit codes that count as success.
    pub success_codes: Arc<[u8]>,
    /// Nothing due before it starts.
    pub from: Option<Timestamp>,
    /// Nothing due at or after it starts.
    pub until: Option<Timestamp>,
    /// URL base that is told of starts and ends.
    pub ping: Option<Arc<str>>,
    /// URL that gets a report of each failed run.
    pub on_failure: Option<Arc<str>>,
    /// What carries a run out.
    pub executor: Executor,
    /// How long a message may wait to be delivered.
    pub expires: Duration,
    /// Whether a run that was sent elsewhere waits for its result.
    pub result: Await,
    /// What happens to output.
    pub output: Output,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            enabled: true,
            timeout: None,
            kill_after: Duration::from_secs(10),
            overlap: Overlap::Allow,
            max_instances: 3000,
            grace: Duration::from_secs(60),
            catch_up: CatchUp::None,
            catch_up_window: Duration::from_secs(24 * 60 * 60),
            catch_up_max: 100,
            retries: 0,
            retry_delay: Duration::from_secs(5),
            retry_backoff: 2.0,
            jitter: Duration::ZERO,
            success_codes: [0].into(),
            from: None,
            until: None,
            ping: None,
            on_failure: None,
            executor: Executor::Shell,
            expires: Duration::from_secs(24 * 60 * 60),
            result: Await::None,
            output: Output::Log,
        }
    }
}

impl Policy {
    /// The policy of an entry: its own `options`, else the daemon's `defaults` (flags and environment), else the
    /// built-in ones.
    ///
    /// `@at` catches up with its latest instant unless something says otherwise, since there is no other.
    /// `random_delay` is `RANDOM_DELAY` in minutes: it stands for a jitter where no jitter is given. An `-s`
    /// before the command stands for `overlap=skip` likewise. A run at a worker is waited for unless something says
    /// otherwise.
    #[must_use]
    pub fn resolve(
        options: &Options,
        defaults: &Options,
        schedule: &Schedule,
        random_delay: u16,
        single_job: bool,
    ) -> Self {
        macro_rules! pick {
            ($option:ident) => {
                options.$option.as_ref().or(defaults.$option.as_ref()).cloned()
            };
        }
        let built_in = Policy::default();
        let catch_up =
            if matches!(schedule, Schedule::At(_)) { CatchUp::Latest } else { built_in.catch_up };
        let overlap = match options.overlap {
            Some(overlap) => overlap,
            None if single_job => Overlap::Skip,
            None => defaults.overlap.unwrap_or(built_in.overlap),
        };
        let jitter = match options.jitter {
            Some(jitter) => jitter,
            None if random_delay > 0 => Duration::from_secs(60 * u64::from(random_delay)),
            None => defaults.jitter.unwrap_or(built_in.jitter),
        };
        let executor = pick!(executor).unwrap_or(built_in.executor);
        Policy {
            enabled: pick!(enabled).unwrap_or(built_in.enabled),
            timeout: pick!(timeout),
            kill_after: pick!(kill_after).unwrap_or(built_in.kill_after),
            overlap,
            max_instances: pick!(max_instances).unwrap_or(built_in.max_instances),
            grace: pick!(grace).unwrap_or(built_in.grace),
            catch_up: pick!(catch_up).unwrap_or(catch_up),
            catch_up_window: pick!(catch_up_window).unwrap_or(built_in.catch_up_window),
            catch_up_max: pick!(catch_up_max).unwrap_or(built_in.catch_up_max),
            retries: pick!(retries).unwrap_or(built_in.retries),
            retry_delay: pick!(retry_delay).unwrap_or(built_in.retry_delay),
            retry_backoff: pick!(retry_backoff).unwrap_or(built_in.retry_backoff),
            jitter,
            success_codes: pick!(success_codes).unwrap_or(built_in.success_codes),
            from: options.from,
            until: options.until,
            ping: pick!(ping),
            on_failure: pick!(on_failure),
            expires: pick!(expires).unwrap_or(built_in.expires),
            result: pick!(result).unwrap_or(match &executor {
                Executor::Worker(_) => Await::Wait,
                Executor::Shell => built_in.result,
            }),
            executor,
            output: pick!(output).unwrap_or(built_in.output),
        }
    }
}

// The only float is finite: equality is total.
impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // What entries differ in; equality looks at the rest.
        self.enabled.hash(state);
        self.timeout.hash(state);
        self.overlap.hash(state);
        self.max_instances.hash(state);
        self.grace.hash(state);
        self.catch_up.hash(state);
        self.retries.hash(state);
        self.retry_delay.hash(state);
        self.jitter.hash(state);
        self.from.hash(state);
        self.until.hash(state);
        self.ping.hash(state);
        self.on_failure.hash(state);
        self.executor.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::At;

    fn resolve(options: &Options, defaults: &Options) -> Policy {
        Policy::resolve(options, defaults, &Schedule::Reboot, 0, false)
    }

    #[test]
    fn nothing_said_gives_the_documented_defaults() {
        let policy = resolve(&Options::default(), &Options::default());
        assert_eq!(policy, Policy::default());
        assert_eq!(policy.grace, Duration::from_secs(60));
        assert_eq!(policy.max_instances, 3000);
        assert_eq!(&*policy.success_codes, [0]);
    }

    #[test]
    fn an_entrys_option_comes_before_the_daemons() {
        let daemon =
            Options { grace: Some(Duration::from_secs(5)), retries: Some(2), ..Options::default() };
        let entry = Options { retries: Some(7), ..Options::default() };
        let policy = resolve(&entry, &daemon);
        assert_eq!((policy.grace, policy.retries), (Duration::from_secs(5), 7));
    }

    #[test]
    fn a_single_date_is_caught_up_unless_told_otherwise() {
        let at = Schedule::At(At::Instant(Timestamp::UNIX_EPOCH));
        let of = |options: &Options| Policy::resolve(options, &Options::default(), &at, 0, false);
        assert_eq!(of(&Options::default()).catch_up, CatchUp::Latest);
        let none = Options { catch_up: Some(CatchUp::None), ..Options::default() };
        assert_eq!(of(&none).catch_up, CatchUp::None);
    }

    #[test]
    fn a_run_at_a_worker_is_waited_for_unless_told_otherwise() {
        let worker = Options { executor: Some(Executor::Worker("q".into())), ..Options::default() };
        assert_eq!(resolve(&worker, &Options::default()).result, Await::Wait);
        let none = Options { result: Some(Await::None), ..worker };
        assert_eq!(resolve(&none, &Options::default()).result, Await::None);
    }

    #[test]
    fn a_random_delay_is_a_jitter_of_so_many_minutes() {
        let none = Options::default();
        let policy = Policy::resolve(&none, &none, &Schedule::Reboot, 6, false);
        assert_eq!(policy.jitter, Duration::from_secs(360));
        let own = Options { jitter: Some(Duration::from_secs(1)), ..Options::default() };
        let policy = Policy::resolve(&own, &none, &Schedule::Reboot, 6, false);
        assert_eq!(policy.jitter, Duration::from_secs(1));
    }

    #[test]
    fn a_single_job_flag_skips_overlapping_runs() {
        let none = Options::default();
        let of =
            |options: &Options| Policy::resolve(options, &none, &Schedule::Reboot, 0, true).overlap;
        assert_eq!(of(&none), Overlap::Skip);
        let queue = Options { overlap: Some(Overlap::Queue), ..Options::default() };
        assert_eq!(of(&queue), Overlap::Queue);
    }
}
