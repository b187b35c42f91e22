//! Reading a crontab and finding its ids at once; and ahead of the time when it is known to be wanted.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use super::standing::Key;
use crate::config::{Config, PlaceSpec};
use crate::crontab::{self, Crontab, Dialect, Options, Source};
use crate::job::{Ids, Roster};
use crate::schedule::Zone;
use crate::watch::{self, Shape, Surveyed, content_hash};

/// From this size on a text is worth a second thread.
const LARGE: usize = 64 << 10;

/// A crontab as read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) source: Source,
    pub(super) crontab: Crontab,
    /// The ids of its lines, where they were found already.
    pub(super) ids: Option<Ids>,
    /// Its jobs if it is the only crontab, where they were made already.
    pub(super) roster: Option<Roster>,
}

/// What holds for entries that say nothing of it.
#[derive(Debug, Clone)]
pub(super) struct Defaults {
    zone: Zone,
    options: Options,
}

impl Defaults {
    /// As the daemon was told.
    pub(super) fn of(config: &Config) -> Self {
        Defaults { zone: config.zone.clone(), options: config.defaults.clone() }
    }

    /// The jobs of crontabs, with the ids of their lines where those were found already.
    pub(super) fn roster(&self, crontabs: &[(&Source, &Crontab, Option<&Ids>)]) -> Roster {
        Roster::of(crontabs, &self.zone, &self.options)
    }
}

impl Reading {
    /// Reads a crontab. A large one takes two threads: what one makes of the lines and what the other makes of them are
    /// independent of each other, and each is a good part of the time that a load takes.
    pub(super) fn of(source: Source) -> Self {
        if source.bytes.len() < LARGE {
            let crontab = crontab::parse(&source);
            return Reading { source, crontab, ids: None, roster: None };
        }
        let (crontab, ids) = thread::scope(|scope| {
            let builder = thread::Builder::new().name("cronkeep-ids".to_owned());
            let ids = builder.spawn_scoped(scope, || Ids::of(&source));
            let crontab = crontab::parse(&source);
            // Without them, for lack of a thread, the table finds them itself.
            (crontab, ids.ok().and_then(|ids| ids.join().ok()))
        });
        Reading { source, crontab, ids, roster: None }
    }

    /// What jobs are made of.
    pub(super) fn parts(&self) -> (&Source, &Crontab, Option<&Ids>) {
        (&self.source, &self.crontab, self.ids.as_ref())
    }
}

/// A large crontab that is read while the rest of the daemon starts.
///
/// Whether it is taken, and whether recovery leaves it as it is, is known later: whoever wants it says what it has to be.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Which it is, and the hash of its text, once it has that.
    found: Receiver<(Key, u64)>,
    known: Option<(Key, u64)>,
    reading: Receiver<Reading>,
}

/// A crontab that may be read ahead.
struct Candidate {
    key: Key,
    name: Arc<str>,
    dialect: Dialect,
}

impl Ahead {
    /// Begins with the first of the places that is a large file, if there is one; none where no place is a file.
    ///
    /// Returns at once, also where a file system does not answer.
    pub(super) fn begin(places: &[PlaceSpec], defaults: Defaults) -> Option<Self> {
        let files = places.iter().enumerate().filter(|(_, spec)| spec.place.shape != Shape::Folder);
        let files: Vec<(Candidate, Surveyed)> = files
            .filter_map(|(index, spec)| {
                let file = Surveyed { path: spec.place.path.clone(), trust: spec.place.trust };
                let key = (index, Arc::from(file.path.as_path()));
                Some((Candidate::of(places, key)?, file))
            })
            .collect();
        if files.is_empty() {
            return None;
        }
        let is_large = |file: &Surveyed| {
            let found = fs::metadata(&file.path);
            found.is_ok_and(|found| found.is_file() && found.len() >= LARGE as u64)
        };
        Ahead::of(places, defaults, move || {
            let (candidate, file) = files.into_iter().find(|(_, file)| is_large(file))?;
            Some((candidate, watch::read_once(&file).ok()?))
        })
    }

    /// Begins with a crontab that was just written and is about to be found; none if it is small.
    pub(super) fn of_written(
        places: &[PlaceSpec],
        defaults: Defaults,
        (key, text): (Key, Vec<u8>),
    ) -> Option<Self> {
        if text.len() < LARGE {
            return None;
        }
        let candidate = Candidate::of(places, key)?;
        Ahead::of(places, defaults, move || Some((candidate, text)))
    }

    fn of(
        places: &[PlaceSpec],
        defaults: Defaults,
        find: impl FnOnce() -> Option<(Candidate, Vec<u8>)> + Send + 'static,
    ) -> Option<Self> {
        // Of several crontabs the jobs are made together.
        let is_file = |spec: &PlaceSpec| spec.place.shape != Shape::Folder;
        let alone = matches!(places, [only] if is_file(only)).then_some(defaults);
        let (told, found) = sync_channel(1);
        let (done, reading) = sync_channel(1);
        let work = move || {
            let Some((Candidate { key, name, dialect }, bytes)) = find() else { return };
            // Where nobody asks any more, nobody is told.
            if told.send((key, content_hash(&bytes))).is_err() {
                return;
            }
            let mut reading = Reading::of(Source { name, bytes, dialect });
            if let Some(defaults) = alone {
                reading.roster = Some(defaults.roster(&[reading.parts()]));
            }
            let _ = done.send(reading);
        };
        let thread = thread::Builder::new().name("cronkeep-ahead".to_owned());
        thread.spawn(work).ok().map(|_| Ahead { found, known: None, reading })
    }

    /// Whether it is this crontab, as far as is known by now: it is not waited for.
    pub(super) fn is_of(&mut self, key: &Key) -> bool {
        if self.known.is_none() {
            self.known = self.found.try_recv().ok();
        }
        self.known.as_ref().is_some_and(|(known, _)| known == key)
    }

    /// The crontab as read, if this is its text.
    pub(super) fn take(self, text: &[u8]) -> Option<Reading> {
        let is_it = self.known.is_some_and(|(_, hash)| hash == content_hash(text));
        let reading = if is_it { self.reading.recv().ok() } else { None };
        reading.filter(|reading| reading.source.bytes == text)
    }
}

impl Candidate {
    fn of(places: &[PlaceSpec], key: Key) -> Option<Self> {
        let dialect = places.get(key.0)?.dialect(&key.1);
        let name = key.1.display().to_string().into();
        Some(Candidate { key, name, dialect })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use jiff::Timestamp;

    use super::*;
    use crate::args::Cli;
    use crate::config::Host;
    use crate::job::JobTable;

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

    /// A file of so many lines, read ahead.
    fn ahead(lines: usize) -> (tempfile::TempDir, Option<Ahead>, Key, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crontab");
        let text = "0 0 * * * true\n".repeat(lines);
        fs::write(&path, &text).unwrap();
        let key = (0, Arc::from(path.as_path()));
        let words = ["cronkeep".as_ref(), "--tz=UTC".as_ref(), path.as_os_str()];
        let cli = Cli::try_parse_from(words).unwrap();
        let config = Config::new(&cli.daemon, &Host::of_process()).unwrap();
        let ahead = Ahead::begin(&config.sources, Defaults::of(&config));
        (folder, ahead, key, text.into())
    }

    /// Waits until it has the text: it is not waited for otherwise.
    fn has_text(ahead: Ahead) -> Ahead {
        Ahead { known: ahead.found.recv().ok(), ..ahead }
    }

    #[test]
    fn a_large_file_is_read_ahead_and_taken_for_the_same_text_only() {
        let (_folder, ahead, key, text) = ahead(10_000);
        let mut ahead = has_text(ahead.unwrap());
        assert!(ahead.is_of(&key) && !ahead.is_of(&(1, key.1)));
        let reading = ahead.take(&text).unwrap();
        assert_eq!(reading.crontab.entries().count(), 10_000);
        let (_folder, ahead, _, mut text) = self::ahead(10_000);
        text.push(b'#');
        assert!(has_text(ahead.unwrap()).take(&text).is_none());
    }

    #[test]
    fn jobs_that_are_made_ahead_are_those_that_are_made_at_the_load() {
        let (_folder, ahead, _, text) = ahead(10_000);
        let reading = has_text(ahead.unwrap()).take(&text).unwrap();
        let (zone, options) = (Zone::utc(), Options::default());
        let (none, now) = (JobTable::default(), Timestamp::UNIX_EPOCH);
        let made = [(&reading.source, &reading.crontab)];
        let (expected, ..) = JobTable::build(&made, &zone, &options, &none, now);
        let (table, diff, faults) = reading.roster.unwrap().settle(&none, now, &|_| None);
        assert!(table.jobs() == expected.jobs(), "they differ");
        assert_eq!((diff.added.len(), faults.len()), (10_000, 0));
    }

    #[test]
    fn a_small_file_is_not_read_ahead() {
        let (_folder, ahead, key, _) = ahead(10);
        assert!(!has_text(ahead.unwrap()).is_of(&key));
    }

    #[test]
    fn what_was_just_written_is_read_ahead_too() {
        let (folder, _, key, text) = ahead(10_000);
        let path = folder.path().join("crontab");
        let cli = Cli::try_parse_from(["cronkeep".as_ref(), path.as_os_str()]).unwrap();
        let config = Config::new(&cli.daemon, &Host::of_process()).unwrap();
        let defaults = Defaults::of(&config);
        let begin = |text: &[u8]| {
            Ahead::of_written(&config.sources, defaults.clone(), (key.clone(), text.into()))
        };
        let ahead = has_text(begin(&text).unwrap());
        assert!(ahead.take(&text).is_some());
        assert!(begin(b"0 0 * * * true\n").is_none());
    }
}
