//! The real binary, real files, real processes, real signals.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(unreachable_pub, reason = "a test is read, not used")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test stands outside: it reads clocks and waits for the daemon as any parent does"
)]

mod cgroup;
mod client;
mod clock;
mod control;
mod dropin;
mod fault;
#[path = "../support/folder.rs"]
mod folder;
mod full;
mod handed;
mod harness;
mod history;
mod hook;
mod host;
mod local;
mod machine;
mod memory;
mod outbox;
mod pid1;
mod policy;
#[path = "../support/program.rs"]
mod program;
mod publish;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../support/rabbit.rs"]
mod rabbit;
mod reboot;
mod recover;
mod recover_file;
mod recover_keep;
mod recover_kill;
mod recover_memory;
mod recover_redis;
#[expect(dead_code, reason = "not all of it is of use here")]
#[path = "../support/redis.rs"]
mod redis;
mod reload;
mod resume;
mod run;
mod second;
mod shadow;
mod shutdown;
mod socket;
mod source;
mod store;
mod stuck;
mod survivor;
mod watch;
mod world;
