//! The file in which starts are noted before they are made, beside the database.
//!
//! A start must be known to a later life of the daemon before there is a process, and the way of a fire is no place to wait for
//! a transaction. One write(2) into the page cache is enough: it outlives the daemon however that ends, as the database's own
//! log does. The database has the start a moment later; only what it does not have is ever read here, when it is opened next.
//!
//! The file has a head and [`SLOTS`] slots of equal size; its format is in `docs/store.md`.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use md5::{Digest as _, Md5};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

use super::super::{Mark, Start, StoreError};
use super::error::SqlResult as _;
use super::prepared::Prepared;
use super::run::Tally;
use super::value::{civil, instant, micros, micros_of_civil};
use super::{Open, Sqlite, place, start};
use crate::event::{RunId, Trigger};
use crate::job::{JobId, JobKey};

/// What the file begins with; the digit is its version.
const MAGIC: &[u8; 16] = b"cronkeep-starts1";
/// Where in its head stands up to which start the database has them.
const KEPT_AT: u64 = 16;
/// Bytes of a slot, and of the head.
const SLOT: usize = 256;
/// Bytes of what tells a slot that was written in full.
const SUM: usize = 8;
/// So many starts may be noted that the database does not have yet.
pub(super) const SLOTS: usize = 16 << 10;

/// Notes starts, for whoever asks, while another thread says which the database has.
#[derive(Debug)]
pub struct Logbook {
    file: File,
    page: Mutex<Page>,
    /// Up to which start the database has them.
    kept: AtomicU64,
    /// How many notes were begun, and how many have ended: their file system may not answer.
    begun: AtomicU64,
    ended: AtomicU64,
}

/// What is noted.
#[derive(Debug, Default)]
struct Page {
    /// The number of the last start that was noted.
    last: u64,
    /// Those that the database does not have.
    open: BTreeSet<u64>,
}

/// A start that was noted, and which replica would make it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Noted {
    number: u64,
    pub(super) start: Start,
    pub(super) replica: String,
}

impl Logbook {
    /// Opens the file, which is made if it is missing; and what is noted there that the database may not have, in order.
    ///
    /// # Errors
    /// It cannot be made, is somebody else's, or is no such file.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Noted>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.uid() != geteuid().as_raw() {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "it is not a file of ours"));
        }
        let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
        let mut bytes = vec![0; size.clamp(SLOT, SLOT * (SLOTS + 1))];
        let read = read_all(&file, &mut bytes)?;
        let (head, slots) = bytes.split_at(SLOT);
        if head.starts_with(MAGIC) {
            let kept = number_at(head, MAGIC.len());
            let is_news = |slot: &&[u8]| number_at(slot, SUM) > kept;
            let slots = slots.chunks_exact(SLOT).filter(is_news);
            let mut noted: Vec<Noted> = slots.filter_map(decode).collect();
            noted.sort_unstable_by_key(|noted| noted.number);
            let last = noted.last().map_or(kept, |noted| noted.number);
            let open = noted.iter().map(|noted| noted.number).collect();
            return Ok((Logbook::new(file, Page { last, open }, kept), noted));
        }
        if read > 0 && head.iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("it is no such file"));
        }
        file.write_all_at(MAGIC, 0)?;
        Ok((Logbook::new(file, Page::default(), 0), Vec::new()))
    }

    fn new(file: File, page: Page, kept: u64) -> Self {
        let [kept, begun, ended] = [kept, 0, 0].map(AtomicU64::new);
        Logbook { file, page: Mutex::new(page), kept, begun, ended }
    }

    /// Notes a start that `replica` is about to make; its number, which is greater than all before. None: it is not noted,
    /// because there is no room, the file was removed, or it could not be written. It may wait for its file system.
    #[must_use]
    pub fn note(&self, start: &Start, replica: &str) -> Option<u64> {
        self.note_all(std::slice::from_ref(start), replica)
    }

    /// As [`note`](Logbook::note), of several starts, all or none; the number of the first, which those of the others follow.
    #[must_use]
    pub fn note_all(&self, starts: &[Start], replica: &str) -> Option<u64> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let number = self.put(starts, replica);
        self.ended.fetch_add(1, Ordering::AcqRel);
        number
    }

    /// How many notes were begun so far, and how many of them have not ended.
    #[must_use]
    pub fn under_way(&self) -> (u64, u64) {
        // In this order: what ends in between is counted as under way.
        let ended = self.ended.load(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Acquire);
        (begun, begun.saturating_sub(ended))
    }

    fn put(&self, starts: &[Start], replica: &str) -> Option<u64> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        let end = page.last.checked_add(starts.len() as u64)?;
        // Slots are used again once the database has what is noted there. What has no name is read by nobody.
        let taken = end.saturating_sub(self.kept.load(Ordering::Acquire));
        if taken > SLOTS as u64 || self.file.metadata().ok()?.nlink() == 0 {
            return None;
        }
        let first = page.last + 1;
        let mut slots = Vec::with_capacity(starts.len() * SLOT);
        for (number, start) in (first..).zip(starts) {
            slots.extend_from_slice(&encode(number, start, replica)?);
        }
        // As many as there are up to the end of the file, then those at its beginning.
        let before_end = (SLOTS - slot_of(first)).min(starts.len());
        let (before, after) = slots.split_at(before_end * SLOT);
        self.file.write_all_at(before, place_of(slot_of(first))).ok()?;
        if !after.is_empty() {
            self.file.write_all_at(after, place_of(0)).ok()?;
        }
        page.open.extend(first..=end);
        page.last = end;
        Some(first)
    }

    /// The database has these starts. Where that cannot be written down they are looked at once more.
    pub fn keep(&self, numbers: impl IntoIterator<Item = u64>) {
        let kept = {
            let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
            for number in numbers {
                page.open.remove(&number);
            }
            // Up to the first that it does not have.
            page.open.first().map_or(page.last, |first| first - 1)
        };
        if kept > self.kept.load(Ordering::Acquire) {
            let _ = self.file.write_all_at(&kept.to_le_bytes(), KEPT_AT);
            self.kept.store(kept, Ordering::Release);
        }
    }

    /// The database has all that was noted when this was opened.
    pub(super) fn keep_all(&self) {
        let open =
            std::mem::take(&mut self.page.lock().unwrap_or_else(PoisonError::into_inner).open);
        self.keep(open);
    }
}

impl Sqlite {
    /// Opens the file in which starts are noted, and takes over those that an earlier life of the daemon was killed before it
    /// had recorded.
    pub(super) fn open_logbook(
        &self,
        open: &mut Open,
        path: &Path,
    ) -> Result<Option<Arc<Logbook>>, StoreError> {
        let path = place::with_end(path, "-starts");
        let (logbook, noted) = match Logbook::open(&path) {
            Ok(opened) => opened,
            Err(error) => {
                (self.tell)(format!(
                    "{}: {error}: each start waits until the database has it",
                    path.display()
                ));
                return Ok(None);
            }
        };
        if !noted.is_empty() {
            let at = self.clock.now();
            let transaction = open.connection.transaction().told()?;
            let before = Tally::read(&transaction)?;
            let mut tally = before;
            let mut prepared = Prepared::new(&transaction);
            for noted in &noted {
                start::put(&mut prepared, &noted.start, &noted.replica, at, &mut tally)?;
            }
            drop(prepared);
            tally.write(&transaction, before)?;
            transaction.commit().told()?;
            logbook.keep_all();
        }
        Ok(Some(Arc::new(logbook)))
    }
}

/// The slot of the start with this number, which counts from 1.
fn slot_of(number: u64) -> usize {
    usize::try_from((number - 1) % SLOTS as u64).unwrap_or(0)
}

fn place_of(slot: usize) -> u64 {
    ((slot + 1) * SLOT) as u64
}

/// Reads from the beginning until the buffer is full, or the file ends; how much there was.
fn read_all(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn sum(bytes: &[u8]) -> [u8; SUM] {
    let digest = Md5::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

/// A slot; none if it does not fit.
fn encode(number: u64, start: &Start, replica: &str) -> Option<[u8; SLOT]> {
    let trigger = Trigger::ALL.iter().position(|trigger| *trigger == start.trigger)?;
    let mut slot = [0; SLOT];
    let mut rest = &mut slot[SUM..];
    let mut put = |bytes: &[u8]| {
        let (place, after) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len())?;
        place.copy_from_slice(bytes);
        rest = after;
        Some(())
    };
    put(&number.to_le_bytes())?;
    put(&start.run.bits().to_le_bytes())?;
    put(&start.attempt.to_le_bytes())?;
    put(&start.key.id.0)?;
    put(&start.key.occurrence.to_le_bytes())?;
    put(&start.mark.generation.to_le_bytes())?;
    put(&micros(start.mark.at).to_le_bytes())?;
    put(&micros_of_civil(start.mark.civil).to_le_bytes())?;
    put(&micros(start.queued).to_le_bytes())?;
    put(&[u8::try_from(trigger).ok()?])?;
    for text in [&*start.name, replica] {
        put(&[u8::try_from(text.len()).ok()?])?;
        put(text.as_bytes())?;
    }
    let sum = sum(&slot[SUM..]);
    slot[..SUM].copy_from_slice(&sum);
    Some(slot)
}

/// What a slot says; none if it says nothing, or was not written in full.
fn decode(slot: &[u8]) -> Option<Noted> {
    let (sum_of, mut rest) = slot.split_at_checked(SUM)?;
    if sum(rest) != sum_of {
        return None;
    }
    let number = u64::from_le_bytes(take(&mut rest)?);
    let run = RunId::of_bits(u128::from_le_bytes(take(&mut rest)?));
    let attempt = u32::from_le_bytes(take(&mut rest)?);
    let id = JobId(take(&mut rest)?);
    let occurrence = u32::from_le_bytes(take(&mut rest)?);
    let generation = u64::from_le_bytes(take(&mut rest)?);
    let at = instant(i64::from_le_bytes(take(&mut rest)?))?;
    let civil = civil(i64::from_le_bytes(take(&mut rest)?))?;
    let queued = instant(i64::from_le_bytes(take(&mut rest)?))?;
    let [trigger] = take(&mut rest)?;
    let trigger = *Trigger::ALL.get(usize::from(trigger))?;
    let name = text(&mut rest)?;
    let replica = text(&mut rest)?;
    let key = JobKey { id, occurrence };
    let mark = Mark { generation, at, civil };
    Some(Noted { number, start: Start { run, attempt, key, name, mark, trigger, queued }, replica })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let [length] = take(rest)?;
    let (taken, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    String::from_utf8(taken.to_vec()).ok()
}

fn number_at(head: &[u8], place: usize) -> u64 {
    head[place..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use jiff::Timestamp;
    use jiff::civil::DateTime;
    use tempfile::TempDir;

    use super::*;

    fn start(number: u64) -> Start {
        let at = Timestamp::from_second(1_800_000_000 + i64::try_from(number).unwrap()).unwrap();
        Start {
            run: RunId::new(at, number.into()),
            attempt: 1,
            key: JobKey { id: JobId(number.to_be_bytes()), occurrence: 2 },
            name: format!("nächtlich-{number}"),
            mark: Mark { generation: 3, at, civil: DateTime::constant(2027, 1, 15, 8, 0, 0, 0) },
            trigger: Trigger::CatchUp,
            queued: at,
        }
    }

    fn folder() -> TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn what_was_noted_and_not_kept_is_found_in_its_order() {
        let folder = folder();
        let path = folder.path().join("starts");
        let (logbook, noted) = Logbook::open(&path).unwrap();
        assert_eq!(noted, []);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        for number in 1..=5 {
            assert_eq!(logbook.note(&start(number), "host"), Some(number));
        }
        logbook.keep([2]);
        assert_eq!(logbook.kept.load(Ordering::Acquire), 0, "the first is not kept");
        logbook.keep([1]);
        drop(logbook);
        let (_, noted) = Logbook::open(&path).unwrap();
        let numbers: Vec<_> = noted.iter().map(|noted| noted.number).collect();
        assert_eq!(numbers, [3, 4, 5]);
        for noted in noted {
            assert_eq!((noted.start, &*noted.replica), (start(noted.number), "host"));
        }
    }

    #[test]
    fn slots_are_used_again_once_what_they_hold_is_kept_and_not_before() {
        let folder = folder();
        let path = folder.path().join("starts");
        let (logbook, _) = Logbook::open(&path).unwrap();
        let most = SLOTS as u64;
        for number in 1..=most {
            assert_eq!(logbook.note(&start(number), ""), Some(number));
        }
        assert_eq!(logbook.note(&start(0), ""), None);
        logbook.keep(1..=2);
        assert_eq!(logbook.note(&start(most + 1), ""), Some(most + 1));
        assert_eq!(logbook.note(&start(most + 2), ""), Some(most + 2));
        assert_eq!(logbook.note(&start(0), ""), None);
        let longest = (most + 1) * SLOT as u64;
        assert!(fs::metadata(&path).unwrap().len() <= longest);
        // What an earlier life has left goes on to count until it is kept.
        drop(logbook);
        let (logbook, noted) = Logbook::open(&path).unwrap();
        let numbers: Vec<_> = noted.iter().map(|noted| noted.number).collect();
        assert_eq!(numbers, (3..=most + 2).collect::<Vec<_>>());
        assert!(noted.iter().all(|noted| noted.start == start(noted.number)));
        assert_eq!(logbook.note(&start(0), ""), None);
        logbook.keep_all();
        assert_eq!(logbook.note(&start(0), ""), Some(most + 3));
    }

    #[test]
    fn several_are_noted_together_or_not_at_all_also_where_the_file_ends_between_them() {
        let folder = folder();
        let path = folder.path().join("starts");
        let (logbook, _) = Logbook::open(&path).unwrap();
        let most = SLOTS as u64;
        let starts =
            |numbers: std::ops::RangeInclusive<u64>| numbers.map(start).collect::<Vec<_>>();
        assert_eq!(logbook.note_all(&starts(1..=most - 2), "host"), Some(1));
        assert_eq!(logbook.note_all(&starts(1..=3), "host"), None, "there is room for two");
        logbook.keep(1..=most - 3);
        assert_eq!(logbook.note_all(&starts(most - 1..=most + 3), "host"), Some(most - 1));
        let long = Start { name: "x".repeat(250), ..start(1) };
        assert_eq!(logbook.note_all(&[start(1), long], "host"), None);
        drop(logbook);
        let (_, noted) = Logbook::open(&path).unwrap();
        let found: Vec<_> = noted.into_iter().map(|noted| noted.start).collect();
        assert_eq!(found, starts(most - 2..=most + 3));
    }

    #[test]
    fn nothing_is_noted_in_a_file_that_was_removed() {
        let folder = folder();
        let path = folder.path().join("starts");
        let (logbook, _) = Logbook::open(&path).unwrap();
        assert_eq!(logbook.note(&start(1), ""), Some(1));
        fs::remove_file(&path).unwrap();
        assert_eq!(logbook.note(&start(2), ""), None);
        assert_eq!(logbook.under_way(), (2, 0));
    }

    #[test]
    fn a_slot_that_was_not_written_in_full_says_nothing() {
        let whole = encode(7, &start(7), "host").unwrap();
        assert_eq!(decode(&whole).unwrap().number, 7);
        for length in 0..SLOT {
            let mut torn = whole;
            torn[length] ^= 1;
            assert_eq!(decode(&torn), None, "byte {length}");
        }
        assert_eq!(decode(&[0; SLOT]), None);
        assert_eq!(decode(b""), None);
    }

    #[test]
    fn what_does_not_fit_is_not_noted() {
        let folder = folder();
        let (logbook, _) = Logbook::open(&folder.path().join("starts")).unwrap();
        let long = Start { name: "x".repeat(250), ..start(1) };
        assert_eq!(logbook.note(&long, "host"), None);
        assert_eq!(logbook.note(&start(1), &"h".repeat(300)), None);
        assert_eq!(logbook.note(&start(1), "host"), Some(1));
    }

    #[test]
    fn a_file_of_another_kind_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("starts");
        fs::write(&path, "precious").unwrap();
        assert!(Logbook::open(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Logbook::open(&link).is_err());
    }
}
