//! How the server is asked: a script, or several at once, or a reading; an older schema is made today's first.

use std::sync::atomic::Ordering;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncCommands as _, FromRedisValue, Pipeline, RedisError, RedisResult, Script, ScriptInvocation,
};
use tokio::time::Instant;

use super::link::{Link, Open};
use super::{Redis, SOON, error, rights, script};
use crate::store::{SCHEMA, StoreError};

/// How often several scripts are asked: the server may lack the script, and have an older schema.
const TRIES: u32 = 3;

/// Why a reader changes nothing.
const READ_ALONE: &str = "it was opened to be read alone";

impl Redis {
    /// Calls a script over a link; an older schema is made today's first.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        link: &Link,
        script: &Script,
        words: impl Fn(&mut ScriptInvocation<'_>),
    ) -> Result<T, StoreError> {
        if self.reads {
            return Err(StoreError::Refused(READ_ALONE.to_owned()));
        }
        let open = link.open().await?;
        let now = self.time.as_ref().map(|time| time.load(Ordering::SeqCst));
        let mut call = script::call(script, &self.key("version"), &open.incarnation, now);
        words(&mut call);
        let mut connection = open.connection.clone();
        let mut answer: RedisResult<T> = call.invoke_async(&mut connection).await;
        if let Err(error) = &answer
            && error.code() == Some("CRONKEEPOLDER")
        {
            self.migrate(link, &open, error.detail().unwrap_or_default()).await?;
            answer = call.invoke_async(&mut connection).await;
        }
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(link, &open, &error).await),
        }
    }

    /// What is wrong, with the commands that the user lacks where the server does not name them.
    async fn failed(&self, link: &Link, open: &Open, error: &RedisError) -> StoreError {
        let told = link.failed(open, error).await;
        if !error::hides_command(error) {
            return told;
        }
        let missing = rights::missing(open.connection.clone(), &self.key("version")).await;
        error::may_not_run(&missing).unwrap_or(told)
    }

    /// Calls a script for each of these chunks, with the words that `first` gives and those of each item: all in one round
    /// trip, one script after the other. Whoever was not answered may ask again.
    pub(super) async fn call_each<'a, A: 'a, T: FromRedisValue>(
        &self,
        script: &Script,
        chunks: impl Iterator<Item = &'a [A]>,
        first: impl Fn(&mut Pipeline),
        each: impl Fn(&mut Pipeline, &A),
    ) -> Result<Vec<T>, StoreError> {
        if self.reads {
            return Err(StoreError::Refused(READ_ALONE.to_owned()));
        }
        let open = self.soon.open().await?;
        let now = self.time.as_ref().map(|time| time.load(Ordering::SeqCst));
        let mut calls = redis::pipe();
        for items in chunks {
            calls.cmd("EVALSHA").arg(script.get_hash()).arg(1).arg(self.key("version"));
            calls.arg(&open.incarnation).arg(now.map(|now| now.to_string()).unwrap_or_default());
            first(&mut calls);
            for item in items {
                each(&mut calls, item);
            }
        }
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = open.connection.clone();
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let error = match calls.query_async(&mut connection).await {
                Ok(answers) => return Ok(answers),
                Err(error) => error,
            };
            match error::first(&error) {
                // Of what some of them have done already the others' answers come again.
                (code, _) if code == "NOSCRIPT" && tries > 0 => {
                    let loaded = script.load_async(&mut connection).await;
                    if let Err(error) = loaded {
                        return Err(self.soon.failed(&open, &error).await);
                    }
                }
                (code, version) if code == "CRONKEEPOLDER" && tries > 0 => {
                    self.migrate(&self.soon, &open, &version).await?;
                }
                _ => return Err(self.failed(&self.soon, &open, &error).await),
            }
        }
    }

    /// Makes today's schema of an older one, version by version.
    async fn migrate(&self, link: &Link, open: &Open, version: &str) -> Result<(), StoreError> {
        let corrupt = || StoreError::Corrupt(format!("its version is {version:?}"));
        let from: usize = version.trim().parse().map_err(|_| corrupt())?;
        let mut connection = open.connection.clone();
        for step in script::MIGRATIONS.iter().skip(from) {
            let answer: RedisResult<i64> =
                step.key(self.key("version")).invoke_async(&mut connection).await;
            if let Err(error) = answer {
                return Err(self.failed(link, open, &error).await);
            }
        }
        Ok(())
    }

    /// Reads over the link that nobody waits for; nothing is read of a newer schema.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        let (was_open, begun) = (self.rest.is_open().await, Instant::now());
        match self.read_once(commands).await {
            // The server may have gone and come since the connection was made.
            Err(StoreError::Down(_)) if was_open && begun.elapsed() < SOON => {
                self.read_once(commands).await
            }
            answer => answer,
        }
    }

    pub(super) async fn read_once<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        let open = self.rest.open().await?;
        let mut connection = open.connection.clone();
        self.check(&open, &mut connection).await?;
        match commands.query_async(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failed(&self.rest, &open, &error).await),
        }
    }

    async fn check(
        &self,
        open: &Open,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), StoreError> {
        let version: RedisResult<Option<String>> = connection.get(self.key("version")).await;
        match version {
            Ok(None) => Ok(()),
            Ok(Some(version)) => match version.parse() {
                Ok(SCHEMA) => Ok(()),
                Ok(found @ ..SCHEMA) if self.reads => Err(StoreError::Refused(format!(
                    "an earlier version of cronkeep has written it (schema {found}, this one writes {SCHEMA}): a daemon of \
                     this version makes it anew, a command that reads does not"
                ))),
                Ok(found @ ..SCHEMA) => self.migrate(&self.rest, open, &found.to_string()).await,
                Ok(found) => Err(StoreError::Newer { found, known: SCHEMA }),
                Err(_) => Err(StoreError::Corrupt("its version is no number".to_owned())),
            },
            Err(error) => Err(self.rest.failed(open, &error).await),
        }
    }
}
