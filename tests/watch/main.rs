//! Every way an edit reaches a file, against the watch: one report each, and none where nothing change.
#![expect(clippy::unwrap_used, reason = "a test")]

mod absence;
mod edit;
mod folder;
mod harness;
mod isolation;
mod noise;
mod nothing;
mod request;
