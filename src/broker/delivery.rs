//! What became of a message that was sent once.

use std::fmt;

/// How a reason begins where the broker is there, and refuses us.
pub const REFUSED: &str = "the broker refused";

/// What became of a message that was sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The broker has it, and at least one queue took it.
    Confirmed,
    /// The broker gave it back: no queue takes it.
    Returned {
        /// `312`
        code: u16,
        /// `NO_ROUTE`
        text: String,
    },
    /// There is no such exchange.
    NoExchange {
        /// What the broker says.
        text: String,
    },
    /// The broker does not let us publish it: access refused, a property that it does not take.
    Forbidden {
        /// What the broker says.
        text: String,
    },
    /// The broker refused it: a queue is full and rejects.
    Nacked,
    /// Nothing was heard of it in time; it may have arrived.
    TimedOut,
    /// The broker takes nothing for the time being: its memory or its disk is full.
    Blocked {
        /// What it says.
        reason: String,
    },
    /// There is no connection, or it was lost before the broker had answered; the message may have arrived.
    Away {
        /// Why, in words, without secrets.
        reason: String,
    },
    /// Whoever sends it was stopped before the broker had answered; it is kept, and the next life sends it.
    Stopped,
    /// It was given up, since it has expired: it is not sent again.
    Expired {
        /// What its last try came to, or that there was none.
        reason: String,
    },
    /// It was given up, since what was kept of it is no good: it is not sent again.
    Dropped {
        /// What is wrong with it.
        reason: String,
    },
    /// It was given up, since somebody asked for that: it is not sent again.
    Discarded {
        /// Who.
        by: String,
    },
}

impl Delivery {
    /// The stable name, as in events.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Delivery::Confirmed => "confirmed",
            Delivery::Returned { .. } => "returned",
            Delivery::NoExchange { .. } => "no exchange",
            Delivery::Forbidden { .. } => "forbidden",
            Delivery::Nacked => "nacked",
            Delivery::TimedOut => "timed out",
            Delivery::Blocked { .. } => "blocked",
            Delivery::Away { .. } => "broker away",
            Delivery::Stopped => "stopped",
            Delivery::Expired { .. } => "expired",
            Delivery::Dropped { .. } | Delivery::Discarded { .. } => "dropped",
        }
    }

    /// Whether it is neither with the broker nor kept.
    #[must_use]
    pub fn is_given_up(&self) -> bool {
        matches!(
            self,
            Delivery::Expired { .. } | Delivery::Dropped { .. } | Delivery::Discarded { .. }
        )
    }

    /// Whether the broker has answered that it will not take it as things stand: somebody has to change something.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Delivery::Returned { .. } | Delivery::NoExchange { .. } | Delivery::Forbidden { .. }
        )
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Delivery::Confirmed => f.write_str("confirmed"),
            Delivery::Returned { code, text } => {
                write!(f, "returned: no queue takes it ({code} {text})")
            }
            Delivery::NoExchange { text } => write!(f, "there is no such exchange: {text}"),
            Delivery::Forbidden { text } => write!(f, "the broker does not allow it: {text}"),
            Delivery::Nacked => f.write_str("the broker refused it (nack)"),
            Delivery::TimedOut => f.write_str("not confirmed in time"),
            Delivery::Blocked { reason } => write!(f, "the broker takes nothing: {reason}"),
            // It is there, and lets us not in.
            Delivery::Away { reason } if reason.starts_with(REFUSED) => f.write_str(reason),
            Delivery::Away { reason } => write!(f, "the broker is away: {reason}"),
            Delivery::Stopped => {
                f.write_str("the daemon was stopped before the broker had confirmed it")
            }
            Delivery::Expired { reason } => {
                write!(f, "the message expired, and was dropped: {reason}")
            }
            Delivery::Dropped { reason } => write!(f, "the message was dropped: {reason}"),
            Delivery::Discarded { by } => write!(f, "the message was dropped by {by}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_refuses_us_is_not_said_to_be_away() {
        let words = |reason: &str| Delivery::Away { reason: reason.to_owned() }.to_string();
        assert_eq!(words("connection refused"), "the broker is away: connection refused");
        let refused = "the broker refused the user or its password (ACCESS_REFUSED)";
        assert_eq!(words(refused), refused);
    }
}
