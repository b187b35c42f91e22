//! What a row sets up, and what is expected of it.

use std::fmt;

use crate::day::Day;
use crate::life::Site;

/// Which daemon's life a row is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Tables of users, /etc/crontab and /etc/cron.d are all there at the start.
    Whole,
    /// Nothing is there at the start; TERM ends it.
    Empty,
    /// /etc/cron.d goes after the first minute, and HUP comes.
    Disturbed,
    /// The spool holds what nobody should open.
    Trapped,
    /// Tables have nicknames, of which some daemons die.
    Nicknamed,
    /// A thousand jobs begin with the first minute.
    Busy,
    /// The root file system is read-only, and there is no /run.
    ReadOnly,
}

impl Life {
    /// Every life, all of which go on at the same time.
    pub(crate) const ALL: [Life; 7] = [
        Life::Whole,
        Life::Empty,
        Life::Disturbed,
        Life::Trapped,
        Life::Nicknamed,
        Life::Busy,
        Life::ReadOnly,
    ];
}

/// Looks at a life; the error says what is wrong.
pub(crate) type Check = fn(&Site) -> Result<(), String>;

/// One row.
pub(crate) struct Row {
    pub(crate) life: Life,
    /// The tables that are there before the daemon starts.
    pub(crate) tables: fn(&Day) -> Vec<Table>,
    /// What is done to the files of the life before the daemon starts.
    pub(crate) prepare: Option<fn(&Site)>,
    /// What is done twenty seconds after the first minute.
    pub(crate) edit: Option<fn(&Site)>,
    /// What is asked after the second minute, beside what the tables expect.
    pub(crate) check: Option<Check>,
}

/// A row of tables alone.
pub(crate) const fn row(tables: fn(&Day) -> Vec<Table>) -> Row {
    Row { life: Life::Whole, tables, prepare: None, edit: None, check: None }
}

impl Row {
    pub(crate) const fn in_life(mut self, life: Life) -> Self {
        self.life = life;
        self
    }

    pub(crate) const fn prepare(mut self, prepare: fn(&Site)) -> Self {
        self.prepare = Some(prepare);
        self
    }

    pub(crate) const fn edit(mut self, edit: fn(&Site)) -> Self {
        self.edit = Some(edit);
        self
    }

    pub(crate) const fn check(mut self, check: Check) -> Self {
        self.check = Some(check);
        self
    }
}

/// What a line's job leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expect {
    /// So many lines written from the first minute on, and so many from the second.
    Runs(usize, usize),
    /// So many lines in all.
    Sum(usize),
    /// Each of two runs writes these bytes.
    Writes(Vec<u8>),
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expect::Runs(first, second) => write!(f, "runs {:?}", (first, second)),
            Expect::Sum(sum) => write!(f, "{sum} lines"),
            Expect::Writes(text) => write!(f, "twice {:.200?}", String::from_utf8_lossy(text)),
        }
    }
}

/// At 00:00 and at 00:01.
pub(crate) const ALWAYS: Expect = Expect::Runs(1, 1);
/// At 00:00 only.
pub(crate) const FIRST: Expect = Expect::Runs(1, 0);
/// At neither.
pub(crate) const NEVER: Expect = Expect::Runs(0, 0);

/// Expected always if true, else never.
pub(crate) fn if_so(runs: bool) -> Expect {
    if runs { ALWAYS } else { NEVER }
}

pub(crate) fn writes(text: impl AsRef<[u8]>) -> Expect {
    Expect::Writes(text.as_ref().to_vec())
}

/// Where a table lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The spool, as a user of its own.
    Spool,
    /// The spool, for a user whom nobody knows yet.
    Orphan,
    /// A file of its own in /etc/cron.d; jobs are root's.
    CronD,
    /// Nowhere: a later step writes it.
    Nowhere,
}

/// A crontab with what its jobs are expected to do.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) place: Place,
    /// `{}` becomes the command that leaves a trace, `{f}` the file of the trace.
    pub(crate) text: Vec<u8>,
    /// What the traces of the lines are, in the order of the lines that have one.
    pub(crate) expects: Vec<Expect>,
    pub(crate) mode: u32,
    /// The name in /etc/cron.d, where it matters.
    pub(crate) name: Option<&'static str>,
}

impl Table {
    pub(crate) fn new(place: Place) -> Self {
        let mode = if place == Place::CronD { 0o644 } else { 0o600 };
        Table { place, text: Vec::new(), expects: Vec::new(), mode, name: None }
    }

    /// A user's table.
    pub(crate) fn spool() -> Self {
        Table::new(Place::Spool)
    }

    /// A system table.
    pub(crate) fn cron_d() -> Self {
        Table::new(Place::CronD)
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// An entry with this schedule (and user) that leaves a line each time that it runs.
    pub(crate) fn entry(self, schedule: impl AsRef<str>, expect: Expect) -> Self {
        let text = format!("{} {{}}\n", schedule.as_ref());
        self.raw(text, expect)
    }

    /// A line, its end included, with `{}` or `{f}` in it.
    pub(crate) fn raw(mut self, text: impl AsRef<[u8]>, expect: Expect) -> Self {
        self.text.extend_from_slice(text.as_ref());
        self.expects.push(expect);
        self
    }

    /// Lines that leave no trace.
    pub(crate) fn text(mut self, text: impl AsRef<[u8]>) -> Self {
        self.text.extend_from_slice(text.as_ref());
        self
    }
}

/// Tables of one line each, so that none can take another with it.
pub(crate) fn apart(schedules: &[&str], expect: &Expect) -> Vec<Table> {
    schedules.iter().map(|schedule| Table::spool().entry(schedule, expect.clone())).collect()
}
