//! How a run ended.

use std::fmt;

/// How a run ended, in the words that log, history and metrics share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its exit code counts as success.
    Succeeded {
        /// 0 as a rule.
        exit: u8,
    },
    /// It exited with another code.
    Failed {
        /// 1 to 255.
        exit: u8,
    },
    /// A signal ended it.
    Killed {
        /// The signal's number.
        signal: i32,
    },
    /// It took longer than its `timeout`, and was ended for it.
    TimedOut {
        /// The exit code, if it exited on the TERM.
        exit: Option<u8>,
        /// The signal's number, if one ended it.
        signal: Option<i32>,
    },
    /// No process came to be.
    CouldNotStart {
        /// Why, in words.
        reason: String,
    },
    /// It was carried out elsewhere, and nobody saw its end.
    Lost {
        /// Why, in words.
        reason: String,
    },
}

/// What a code or signal most likely means, in words for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Exit code 126: the shell found the command, but could not execute it.
    NotExecutable,
    /// Exit code 127: the shell did not find the command.
    NotFound,
    /// The kernel ended it, since memory ran out.
    OutOfMemory,
    /// It said that no space is left on a device.
    NoSpace,
    /// Somebody asked for its end.
    Stopped,
    /// A later run took its place (`overlap=replace`).
    Replaced,
    /// The daemon ended.
    Shutdown,
    /// No queue takes its message.
    Returned,
    /// The exchange of its message does not exist.
    NoExchange,
    /// The broker does not allow its message.
    Forbidden,
    /// The broker refused its message.
    Nacked,
    /// Its message, or the answer to it, was not confirmed in time.
    Unconfirmed,
    /// The broker takes nothing for the time being.
    Blocked,
    /// The broker is away.
    BrokerAway,
    /// The outbox did not take its message.
    NotKept,
    /// Its message expired before the broker had it.
    Expired,
    /// Its message was given up, since what was kept of it is no good.
    Dropped,
    /// Somebody has dropped its message.
    Discarded,
    /// There was nothing to be its message's body.
    NoBody,
    /// The worker that carried it out has failed, not the command.
    Worker,
    /// The worker that carried it out ended, and ended it for that.
    WorkerStopped,
    /// The task that its message started has failed.
    Task,
    /// The task that its message started was revoked, or came too late.
    Revoked,
    /// The task that its message started gave no result in time.
    NoResult,
    /// The result of its task, if there is one, cannot be heard of any more.
    ResultLost,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 25] = [
        Cause::NotExecutable,
        Cause::NotFound,
        Cause::OutOfMemory,
        Cause::NoSpace,
        Cause::Stopped,
        Cause::Replaced,
        Cause::Shutdown,
        Cause::Returned,
        Cause::NoExchange,
        Cause::Forbidden,
        Cause::Nacked,
        Cause::Unconfirmed,
        Cause::Blocked,
        Cause::BrokerAway,
        Cause::Worker,
        Cause::WorkerStopped,
        Cause::NotKept,
        Cause::Expired,
        Cause::Dropped,
        Cause::Discarded,
        Cause::NoBody,
        Cause::Task,
        Cause::Revoked,
        Cause::NoResult,
        Cause::ResultLost,
    ];

    /// The cause that is told in these words.
    #[must_use]
    pub fn of_words(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.to_string() == words)
    }
}

impl Outcome {
    /// The outcome's stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Succeeded { .. } => "succeeded",
            Outcome::Failed { .. } => "failed",
            Outcome::Killed { .. } => "killed",
            Outcome::TimedOut { .. } => "timed out",
            Outcome::CouldNotStart { .. } => "could not start",
            Outcome::Lost { .. } => "lost",
        }
    }

    /// Whether it counts as success.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Outcome::Succeeded { .. })
    }

    /// The exit code, if the process exited.
    #[must_use]
    pub fn exit(&self) -> Option<u8> {
        match self {
            Outcome::Succeeded { exit } | Outcome::Failed { exit } => Some(*exit),
            Outcome::TimedOut { exit, .. } => *exit,
            _ => None,
        }
    }

    /// The signal that ended the process, if one did.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        match self {
            Outcome::Killed { signal } => Some(*signal),
            Outcome::TimedOut { signal, .. } => *signal,
            _ => None,
        }
    }

    /// Why it has no end of its own, in words: where it could not start, or was lost.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::CouldNotStart { reason } | Outcome::Lost { reason } => Some(reason),
            _ => None,
        }
    }

    /// What the code most likely means, where it means something to a shell.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Outcome::Failed { exit: 126 } => Some(Cause::NotExecutable),
            Outcome::Failed { exit: 127 } => Some(Cause::NotFound),
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::NotExecutable => "command not executable",
            Cause::NotFound => "command not found",
            Cause::OutOfMemory => "out of memory",
            Cause::NoSpace => "no space left on device",
            Cause::Stopped => "stopped on request",
            Cause::Replaced => "replaced by a later run",
            Cause::Shutdown => "the daemon was stopped",
            Cause::Returned => "no queue takes the message",
            Cause::NoExchange => "there is no such exchange",
            Cause::Forbidden => "the broker does not allow the message",
            Cause::Nacked => "the broker refused the message",
            Cause::Unconfirmed => "not confirmed in time",
            Cause::Blocked => "the broker takes nothing",
            Cause::BrokerAway => "the broker is away",
            Cause::NotKept => "the outbox did not take the message",
            Cause::Expired => "the message expired, and was dropped",
            Cause::Dropped => "the message was dropped",
            Cause::Discarded => "somebody dropped the message",
            Cause::NoBody => "there is no body to send",
            Cause::Worker => "the worker failed",
            Cause::WorkerStopped => "the worker was stopped",
            Cause::Task => "the task failed",
            Cause::Revoked => "the task was revoked",
            Cause::NoResult => "no result came in time",
            Cause::ResultLost => "the result was lost",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Succeeded { exit: 0 } => f.write_str("succeeded"),
            Outcome::Succeeded { exit } => write!(f, "succeeded with exit code {exit}"),
            Outcome::Failed { exit } => {
                write!(f, "failed with exit code {exit}")?;
                self.cause().map_or(Ok(()), |cause| write!(f, ", {cause}"))
            }
            Outcome::Killed { signal } => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
            Outcome::TimedOut { .. } => f.write_str("timed out"),
            Outcome::CouldNotStart { reason } => write!(f, "could not start: {reason}"),
            Outcome::Lost { reason } => write!(f, "lost: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_says_in_words_how_the_run_ended() {
        let cases = [
            (Outcome::Succeeded { exit: 0 }, "succeeded"),
            (Outcome::Succeeded { exit: 3 }, "succeeded with exit code 3"),
            (Outcome::Failed { exit: 1 }, "failed with exit code 1"),
            (Outcome::Failed { exit: 127 }, "failed with exit code 127, command not found"),
            (Outcome::Failed { exit: 126 }, "failed with exit code 126, command not executable"),
            (Outcome::Killed { signal: 9 }, "killed by SIGKILL"),
            (Outcome::Killed { signal: 40 }, "killed by signal 40"),
            (Outcome::CouldNotStart { reason: "no shell".into() }, "could not start: no shell"),
            (Outcome::Lost { reason: "nobody knows".into() }, "lost: nobody knows"),
        ];
        for (outcome, words) in cases {
            assert_eq!(outcome.to_string(), words);
        }
    }

    #[test]
    fn a_cause_is_found_by_its_words() {
        for cause in Cause::ALL {
            assert_eq!(Cause::of_words(&cause.to_string()), Some(cause));
        }
        assert_eq!(Cause::of_words("no reason"), None);
    }

    #[test]
    fn only_a_process_that_exited_has_an_exit_code() {
        assert_eq!(Outcome::Failed { exit: 4 }.exit(), Some(4));
        assert_eq!(Outcome::Killed { signal: 9 }.exit(), None);
        assert_eq!(Outcome::Killed { signal: 9 }.signal(), Some(9));
    }
}
