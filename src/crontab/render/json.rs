//! The fault object of `check --json`: a stable form.
use serde::Serialize;

use crate::crontab::{Fault, Severity};

/// A fault as `check --json`, `next --json` and the HTTP API show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultObject<'a> {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// Such as `E002`.
    pub code: String,
    /// From 1.
    pub line: u32,
    /// First character of the mistake, from 1.
    pub column: u32,
    /// Character after the last one.
    pub end_column: u32,
    /// What is wrong.
    pub message: &'a str,
    /// What to write instead, or `null`.
    pub help: Option<&'a str>,
}

impl<'a> From<&'a Fault> for FaultObject<'a> {
    fn from(fault: &'a Fault) -> Self {
        FaultObject {
            severity: match fault.severity() {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            code: fault.code.to_string(),
            line: fault.line,
            column: fault.column,
            end_column: fault.end_column,
            message: &fault.message,
            help: fault.help.as_deref(),
        }
    }
}
