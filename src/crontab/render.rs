//! Faults for people and programs: caret, one line, JSON, SARIF.
