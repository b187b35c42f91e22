//! Faults as SARIF 2.1.0, which code review tools read (OASIS sarif-v2.1.0).
use serde_json::{Value, json};

use crate::crontab::{Code, Fault, Severity};

/// One run over `files` (name and faults): every rule, and a result for each fault.
///
/// Columns count Unicode characters from 1, the end exclusive. `unread` are the files that could not be read, each with
/// the reason: if there are any, the run says that it did not succeed.
#[must_use]
pub fn sarif<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [Fault])>,
    unread: &[(String, String)],
) -> Value {
    let rules: Vec<Value> = Code::ALL.iter().map(|&code| rule(code)).collect();
    let results: Vec<Value> = files
        .into_iter()
        .flat_map(|(name, faults)| faults.iter().map(move |fault| result(name, fault)))
        .collect();
    let mut log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": env!("CARGO_PKG_NAME"),
                    "version": env!("CARGO_PKG_VERSION"),
                    "informationUri": env!("CARGO_PKG_REPOSITORY"),
                    "rules": rules,
                }
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    if !unread.is_empty() {
        log["runs"][0]["invocations"] = json!([{
            "executionSuccessful": false,
            "toolExecutionNotifications": unread.iter().map(notification).collect::<Vec<_>>(),
        }]);
    }
    log
}

fn notification((name, reason): &(String, String)) -> Value {
    json!({
        "level": "error",
        "message": { "text": reason },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(name) } },
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.to_string(),
        "shortDescription": { "text": code.title() },
        "defaultConfiguration": { "level": level(code.severity()) },
    })
}

fn result(name: &str, fault: &Fault) -> Value {
    let text = match &fault.help {
        Some(help) => format!("{} (help: {help})", fault.message),
        None => fault.message.clone(),
    };
    json!({
        "ruleId": fault.code.to_string(),
        "ruleIndex": Code::ALL.iter().position(|&code| code == fault.code),
        "level": level(fault.severity()),
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": uri(name) },
                "region": {
                    "startLine": fault.line.max(1),
                    "startColumn": fault.column.max(1),
                    "endColumn": fault.end_column.max(fault.column).max(1),
                },
            },
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A path as a URI reference: absolute ones with the scheme `file`, standard input as `stdin`.
fn uri(name: &str) -> String {
    if name == "-" {
        return "stdin".to_owned();
    }
    let mut uri = String::from(if name.starts_with('/') { "file://" } else { "" });
    for &byte in name.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => {
                uri.extend(['%', hex_digit(byte >> 4), hex_digit(byte & 15)]);
            }
        }
    }
    uri
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(nibble.into(), 16).unwrap_or('0').to_ascii_uppercase()
}
