//! What crontab(1) says of a table: cron's own line for each error, and the place in the text.

use std::io::{self, Write};

use jiff::Timestamp;

use crate::command::check::{Examined, lookup::HostLookup};
use crate::crontab::{Code, Dialect, Fault, Source, render};
use crate::schedule::Zone;
use crate::sink::record::escape;

/// Warnings that whoever installs a table should see at once; `-T` and `cronkeep check` show all.
const TOLD: [Code; 6] = [Code::W001, Code::W003, Code::W005, Code::W006, Code::W015, Code::W019];

/// A table that was examined.
#[derive(Debug)]
pub struct Verdict {
    name: String,
    examined: Examined,
}

impl Verdict {
    /// Examines the table of `user`; `name` is what its text is called.
    #[must_use]
    pub fn of(name: &str, bytes: Vec<u8>, user: &str, zone: &Zone, now: Timestamp) -> Self {
        let source = Source { name: name.into(), bytes, dialect: Dialect::spool(user) };
        let examined = Examined::new(source, zone, now, &HostLookup::default());
        Verdict { name: name.to_owned(), examined }
    }

    /// Whether it may be installed: no error in any line.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.examined.passes(false)
    }

    /// The text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.examined.source.bytes
    }

    /// Tells every error as cron would, and where it is; and warnings, all of them or those that matter most.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn tell(&self, all: bool, coloured: bool, out: &mut dyn Write) -> io::Result<()> {
        let lines = render::Lines::of(self.bytes());
        for fault in self.examined.faults.iter().filter(|fault| all || is_told(fault)) {
            let name = escape(self.name.as_bytes());
            let kind = if fault.is_error() { "" } else { "warning: " };
            writeln!(out, "\"{name}\":{}: {kind}{}", fault.line, fault.code.title())?;
            let place = render::caret(&name, &lines, fault, coloured);
            writeln!(out, "{place}\n")?;
        }
        Ok(())
    }
}

fn is_told(fault: &Fault) -> bool {
    fault.is_error() || TOLD.contains(&fault.code)
}
