//! Every option of a job, resolved: directive, setting, flag, default.
use crate::crontab::directive::Output;
use jiff::Timestamp;

/// The options of a job that this version carries out.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Whether it is scheduled at all.
    pub enabled: bool,
    /// Nothing due before it starts.
    pub from: Option<Timestamp>,
    /// Nothing due at or after it starts.
    pub until: Option<Timestamp>,
    /// What happens to output.
    pub output: Output,
}
