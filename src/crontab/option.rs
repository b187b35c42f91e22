//! The options of an entry, as typed values.
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::Zone;

/// The options of an entry, each as far as the crontab gives it.
///
/// What nothing in the crontab says is left to flags, the environment and the defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// `name`: unique per user.
    pub name: Option<Arc<str>>,
    /// `enabled`.
    pub enabled: Option<bool>,
    /// `timeout`, per attempt.
    pub timeout: Option<Duration>,
    /// `kill-after`: from TERM to KILL.
    pub kill_after: Option<Duration>,
    /// `overlap`.
    pub overlap: Option<Overlap>,
    /// `max-instances`, at least 1.
    pub max_instances: Option<u32>,
    /// `grace`: how late a run may still start.
    pub grace: Option<Duration>,
    /// `catch-up`.
    pub catch_up: Option<CatchUp>,
    /// `catch-up-window`.
    pub catch_up_window: Option<Duration>,
    /// `catch-up-max`.
    pub catch_up_max: Option<u32>,
    /// `retries`.
    pub retries: Option<u32>,
    /// `retry-delay`.
    pub retry_delay: Option<Duration>,
    /// `retry-backoff`: factor, at least 1.
    pub retry_backoff: Option<f64>,
    /// `jitter`.
    pub jitter: Option<Duration>,
    /// `success-codes`.
    pub success_codes: Option<Arc<[u8]>>,
    /// `from`, inclusive.
    pub from: Option<Timestamp>,
    /// `until`, exclusive.
    pub until: Option<Timestamp>,
    /// `tz`.
    pub tz: Option<Zone>,
    /// `ping`: URL base.
    pub ping: Option<Arc<str>>,
    /// `on-failure`: URL.
    pub on_failure: Option<Arc<str>>,
    /// `executor`.
    pub executor: Option<Executor>,
    /// `expires`.
    pub expires: Option<Duration>,
    /// `result`.
    pub result: Option<Await>,
    /// `output`.
    pub output: Option<Output>,
}

impl Options {
    /// What `self` says, and what `below` says about the rest.
    #[must_use]
    pub fn or(self, below: &Options) -> Options {
        macro_rules! nearer {
            ($($field:ident)*) => { Options { $($field: self.$field.or_else(|| below.$field.clone()),)* } };
        }
        nearer! {
            name enabled timeout kill_after overlap max_instances grace catch_up catch_up_window
            catch_up_max retries retry_delay retry_backoff jitter success_codes from until tz ping
            on_failure executor expires result output
        }
    }
}

/// What a fire does while an earlier run of the same job is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overlap {
    /// Start another one.
    #[default]
    Allow,
    /// Do not start.
    Skip,
    /// Hold one until the earlier run has ended.
    Queue,
    /// End the earlier run, then start.
    Replace,
}

/// Which instants that passed while nothing was running are started later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CatchUp {
    /// None, as cron.
    #[default]
    None,
    /// The latest.
    Latest,
    /// All, one at a time.
    All,
}

/// What carries a run out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Executor {
    /// A shell here.
    #[default]
    Shell,
    /// A worker that reads this queue.
    Worker(Arc<str>),
}

/// Whether a run that was sent elsewhere waits for its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Await {
    /// No.
    #[default]
    None,
    /// Yes.
    Wait,
}

/// What happens to a run's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Output {
    /// Logged and kept.
    #[default]
    Log,
    /// Neither.
    None,
}
