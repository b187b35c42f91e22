//! The scripts: each is one transaction, begun by a look at the version.

use std::sync::LazyLock;

use redis::{Script, ScriptInvocation};

/// A script that begins as all do.
macro_rules! script {
    ($($file:literal),*) => {
        LazyLock::new(|| {
            Script::new(concat!(
                include_str!("script/common.lua"),
                "local trouble = wrong()\nif trouble then\n  return trouble\nend\n",
                $(include_str!(concat!("script/", $file)),)*
            ))
        })
    };
}

pub(super) static CLAIM: LazyLock<Script> = script!("claim.lua");
pub(super) static START: LazyLock<Script> = script!("record.lua", "start.lua");
pub(super) static WRITE: LazyLock<Script> = script!("record.lua", "write.lua");
pub(super) static BEAT: LazyLock<Script> = script!("beat.lua");
pub(super) static ASSERT: LazyLock<Script> = script!("assert.lua");
pub(super) static AGAIN: LazyLock<Script> = script!("again.lua");
pub(super) static BACK: LazyLock<Script> = script!("back.lua");
pub(super) static PUT: LazyLock<Script> = script!("put.lua");
pub(super) static FORGET: LazyLock<Script> = script!("forget.lua");

pub(super) static POST: LazyLock<Script> = script!("outbox.lua", "post.lua");
pub(super) static ADOPT: LazyLock<Script> = script!("outbox.lua", "adopt.lua");
pub(super) static WAITING: LazyLock<Script> = script!("outbox.lua", "waiting.lua");
pub(super) static FETCH: LazyLock<Script> = script!("outbox.lua", "fetch.lua");
pub(super) static UNPOST: LazyLock<Script> = script!("outbox.lua", "unpost.lua");

/// Reads, and needs no version: it was looked at.
pub(super) const LOAD: &str = include_str!("script/load.lua");

/// Reads as well.
pub(super) const ROWS: &str = include_str!("script/rows.lua");

/// What makes each version of the one before it.
pub(super) static MIGRATIONS: [LazyLock<Script>; 2] = [
    LazyLock::new(|| Script::new(include_str!("script/migrate.lua"))),
    LazyLock::new(|| Script::new(include_str!("script/migrate-2.lua"))),
];

/// A call of a script, with the words that all take.
pub(super) fn call<'a>(
    script: &'a Script,
    version_key: &str,
    incarnation: &str,
    now: Option<i64>,
) -> ScriptInvocation<'a> {
    let mut call = script.key(version_key);
    call.arg(incarnation).arg(now.map(|now| now.to_string()).unwrap_or_default());
    call
}
