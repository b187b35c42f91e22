//! Why a value is refused, and what may have been meant.
use std::ops::Range;

use crate::crontab::{Code, Mistake};
use crate::schedule::Zone;

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) help: String,
    /// The name of a zone for which a similar one has not been searched yet.
    zone: Option<String>,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal { message: message.into(), help: help.into(), zone: None }
    }

    /// Has a similar zone searched for.
    pub(super) fn about_zone(mut self, name: String) -> Self {
        self.zone = Some(name);
        self
    }

    /// The mistake at `span` of a line; searches for what was meant, if `searches` are left.
    pub(crate) fn at(mut self, code: Code, span: Range<usize>, searches: &mut Searches) -> Mistake {
        if let Some(zone) = self.zone.filter(|_| searches.take())
            && let Some(similar) = Zone::similar(&zone)
        {
            let general = std::mem::replace(&mut self.help, format!("did you mean {similar}?"));
            let vital = general.find("; until then").map_or("", |at| &general[at..]);
            self.help.push_str(vital);
        }
        Mistake::new(code, span, self.message).with_help(self.help)
    }
}

/// How often it is still searched what a word of a file was meant to be.
#[derive(Debug)]
pub(crate) struct Searches(u8);

impl Default for Searches {
    fn default() -> Self {
        Searches(20)
    }
}

impl Searches {
    /// Whether one is left; it is used up then.
    pub(crate) fn take(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }
}
