//! What a crontab is read as: whose it is, and which rules hold.
use std::sync::Arc;

/// The bytes of one crontab, with what must be known to read them.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name it is reported by: its path, or `-`.
    pub name: Arc<str>,
    /// The file as it stands.
    pub bytes: Vec<u8>,
    /// Which rules hold.
    pub dialect: Dialect,
}

/// Which of the two shapes a crontab has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With a user column: /etc/crontab and /etc/cron.d.
    System,
    /// Without: the table of one user.
    User,
}

/// How many time fields a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldCount {
    /// Judged line by line (crontab-language.md, "Seconds and years").
    #[default]
    Auto,
    /// Minute first, no seconds.
    Five,
    /// Seconds first.
    Six,
    /// Seconds first, year last.
    Seven,
}

/// Where a crontab lies, which decides how far its author is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Origin {
    /// Named on the command line, whoever owns it.
    Named,
    /// Below /etc: written by the administrator.
    #[default]
    System,
    /// In a spool directory: written by the user whose name it has.
    Spool,
}

/// Whose habits are followed where they contradict ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compat {
    /// Cronkeep's own rules.
    #[default]
    Cronkeep,
    /// Six fields have the year last, as supercronic reads them.
    Supercronic,
}

/// The rules by which a crontab is read.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// With or without user column.
    pub format: Format,
    /// Whose table it is, in user format.
    pub user: Arc<str>,
    /// Whether a leading `-` (do not log) is allowed: system tables and tables of root.
    pub privileged: bool,
    /// Where it lies; the limits of a spool table hold there: 10 000 entries, 1 000 settings. Commentary has none.
    pub origin: Origin,
    /// How many time fields.
    pub fields: FieldCount,
    /// Whose habits.
    pub compat: Compat,
    /// One bad line rejects the file.
    pub strict: bool,
}

impl Dialect {
    /// A system table.
    #[must_use]
    pub fn system() -> Self {
        Dialect {
            format: Format::System,
            user: "root".into(),
            privileged: true,
            origin: Origin::System,
            fields: FieldCount::Auto,
            compat: Compat::Cronkeep,
            strict: false,
        }
    }

    /// The table of `user`, without a spool's limits.
    #[must_use]
    pub fn user(user: &str) -> Self {
        Dialect {
            format: Format::User,
            user: user.into(),
            privileged: user == "root",
            origin: Origin::Named,
            ..Dialect::system()
        }
    }

    /// The table of `user` in a spool directory.
    #[must_use]
    pub fn spool(user: &str) -> Self {
        Dialect { origin: Origin::Spool, ..Dialect::user(user) }
    }

    /// Whether the limits of a spool table hold.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.origin == Origin::Spool
    }
}
