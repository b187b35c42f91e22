//! The ids of a crontab's lines, found without reading them as entries.

use memchr::memchr_iter;

use super::JobId;
use super::canonical::{Marks, owner};
use crate::crontab::{Source, spans};

/// The ids that the lines of a crontab have, should they be entries.
///
/// Half of the work of [`JobTable::build`](super::JobTable::build) is this; since it needs the text alone, it can be done
/// while another thread reads the crontab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids(Vec<Option<JobId>>);

impl Ids {
    /// Those of every physical line of `source`, in the order of [`Crontab::lines`](crate::crontab::Crontab::lines).
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let mut marks = Marks::new(owner(&source.dialect));
        // One more where the last line has no end.
        let mut ids = Vec::with_capacity(memchr_iter(b'\n', &source.bytes).count() + 1);
        ids.extend(
            spans(&source.bytes).map(|span| marks.of_line(&source.bytes[span]).map(JobId::of_mark)),
        );
        Ids(ids)
    }

    /// That of the line at this place; none where it is not made of the line alone.
    pub(super) fn at(&self, place: usize) -> Option<JobId> {
        self.0.get(place).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, Options, parse};
    use crate::job::{JobTable, Roster};
    use crate::schedule::Zone;

    #[test]
    fn a_table_is_the_same_with_ids_that_were_found_beside() {
        let text = "\u{feff}# c\nA=1\n\n0 0 * * * root x # y\n@every 5m root z\r\n@reboot root a%b\n\
            0 0 * * * root x # y\n1-70 * * * * root no\n*/5 0~9 * * * root q\n7-7 1 * * * root\tt\n";
        for dialect in [Dialect::system(), Dialect::user("bob")] {
            let source = Source { name: "x".into(), bytes: text.into(), dialect };
            let crontab = parse(&source);
            let (zone, options, none) = (Zone::utc(), Options::default(), JobTable::default());
            let now = jiff::Timestamp::UNIX_EPOCH;
            let ids = Ids::of(&source);
            assert_eq!(ids.0.len(), crontab.lines.len());
            let (one, ..) = JobTable::build(&[(&source, &crontab)], &zone, &options, &none, now);
            let read = [(&source, &crontab, Some(&ids))];
            let (other, ..) = Roster::of(&read, &zone, &options).settle(&none, now, &|_| None);
            assert!(one.len() > 4);
            assert_eq!(one.jobs(), other.jobs());
        }
    }
}
