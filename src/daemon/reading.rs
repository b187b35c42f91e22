//! Reading a crontab and finding its ids at once.

use std::thread;

use crate::crontab::{self, Crontab, Source};
use crate::job::Ids;

/// From this size on a text is worth a second thread.
const LARGE: usize = 64 << 10;

/// A crontab as read.
pub(super) struct Reading {
    pub(super) source: Source,
    pub(super) crontab: Crontab,
    /// The ids of its lines, where they were found already.
    pub(super) ids: Option<Ids>,
}

impl Reading {
    /// Reads a crontab. A large one takes two threads: what one makes of the lines and what the other makes of them are
    /// independent of each other, and each is a good part of the time that a load takes.
    pub(super) fn of(source: Source) -> Self {
        if source.bytes.len() < LARGE {
            let crontab = crontab::parse(&source);
            return Reading { source, crontab, ids: None };
        }
        let (crontab, ids) = thread::scope(|scope| {
            let builder = thread::Builder::new().name("cronkeep-ids".to_owned());
            let ids = builder.spawn_scoped(scope, || Ids::of(&source));
            let crontab = crontab::parse(&source);
            // Without them, for lack of a thread, the table finds them itself.
            (crontab, ids.ok().and_then(|ids| ids.join().ok()))
        });
        Reading { source, crontab, ids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::Dialect;

    fn read(lines: usize) -> Reading {
        let text = "0 0 * * * true\n".repeat(lines);
        let dialect = Dialect::user("root");
        Reading::of(Source { name: "x".into(), bytes: text.into(), dialect })
    }

    #[test]
    fn the_ids_of_a_large_crontab_are_found_while_it_is_read() {
        assert!(read(10).ids.is_none());
        let large = read(10_000);
        assert_eq!(large.crontab.entries().count(), 10_000);
        assert_eq!(large.ids, Some(Ids::of(&large.source)));
    }
}
