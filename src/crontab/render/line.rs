//! One line for each fault, as compilers print them for editors.
use super::legible_text;
use crate::crontab::{Fault, Severity};

/// `file:line:column: error[E002]: message (help: …)`, without line break.
#[must_use]
pub fn line(name: &str, fault: &Fault) -> String {
    let severity = match fault.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = format!(
        "{}:{}:{}: {severity}[{}]: {}",
        legible_text(name),
        fault.line,
        fault.column,
        fault.code,
        legible_text(&fault.message)
    );
    if let Some(help) = &fault.help {
        text.push_str(" (help: ");
        text.push_str(&legible_text(help));
        text.push(')');
    }
    text
}
