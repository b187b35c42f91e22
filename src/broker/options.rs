//! How we connect.

use std::time::Duration;

/// How we connect, and how long we wait; each time is elapsed time.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the broker's lists show of us.
    pub name: String,
    /// Whether to connect at once; otherwise the first message or consumer is the occasion.
    pub eager: bool,
    /// How long connecting to one address may take, up to the open channel; an address may name its own.
    pub connect: Duration,
    /// How long the broker may take to confirm a message.
    pub confirm: Duration,
    /// How long a message may be under way once the broker has said that it takes nothing.
    pub blocked: Duration,
    /// How often each side is heard of at least; an address may name its own, the broker may want it more often.
    pub heartbeat: Duration,
    /// How many messages may be under way; more wait in memory.
    pub in_flight: usize,
    /// The size of frames, in bytes: what properties and headers of a message may have together, sent or received. Memory of
    /// 64 times as much may be touched.
    pub frame: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            name: "cronkeep".to_owned(),
            eager: true,
            connect: Duration::from_secs(10),
            confirm: Duration::from_secs(30),
            blocked: Duration::from_secs(5),
            heartbeat: Duration::from_secs(60),
            in_flight: 1_280,
            frame: 16 << 10,
        }
    }
}

impl Options {
    /// The options of a connection that the broker shows as `cronkeep@HOST`.
    #[must_use]
    pub fn of_host(host: &str) -> Self {
        Options { name: format!("cronkeep@{host}"), ..Options::default() }
    }
}
