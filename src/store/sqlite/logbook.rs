//! The file in which starts are noted before they are made, beside the database.
//!
//! A start must be known to a later life of the daemon before there is a process, and the way of a fire is no place to wait for
//! a transaction. One write(2) into the page cache is enough: it outlives the daemon however that ends, as the database's own
//! log does. The database has the start a moment later; only what it does not have is ever read here, when it is opened next.
//!
//! The file has a head and [`SLOTS`] slots of equal size; its format is in `docs/store.md`.

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
pub(super) const SLOTS: usize = 1_024;

/// Notes starts. One thread does, while another says which the database has.
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

/// Where it is written next.
#[derive(Debug)]
struct Page {
    /// The number of the last start that was noted.
    last: u64,
    slot: usize,
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
        let mut bytes = vec![0; SLOT * (SLOTS + 1)];
        let read = read_all(&file, &mut bytes)?;
        let (head, slots) = bytes.split_at(SLOT);
        if head.starts_with(MAGIC) {
            let kept = number_at(head, MAGIC.len());
            let mut noted: Vec<Noted> = slots.chunks_exact(SLOT).filter_map(decode).collect();
            noted.retain(|noted| noted.number > kept);
            noted.sort_unstable_by_key(|noted| noted.number);
            let last = noted.last().map_or(kept, |noted| noted.number);
            // What is noted there is still to be kept: the next one takes none of its slots, until all are.
            let slot = if noted.is_empty() { 0 } else { SLOTS };
            let page = Mutex::new(Page { last, slot });
            return Ok((Logbook::new(file, page, kept), noted));
        }
        if read > 0 && head.iter().any(|byte| *byte != 0) {
            return Err(io::Error::other("it is no such file"));
        }
        file.write_all_at(MAGIC, 0)?;
        let page = Mutex::new(Page { last: 0, slot: 0 });
        Ok((Logbook::new(file, page, 0), Vec::new()))
    }

    fn new(file: File, page: Mutex<Page>, kept: u64) -> Self {
        let [kept, begun, ended] = [kept, 0, 0].map(AtomicU64::new);
        Logbook { file, page, kept, begun, ended }
    }

    /// Notes a start that `replica` is about to make; its number, which is greater than all before. None: it is not noted,
    /// because there is no room, the file was removed, or it could not be written. It may wait for its file system.
    #[must_use]
    pub fn note(&self, start: &Start, replica: &str) -> Option<u64> {
        self.begun.fetch_add(1, Ordering::AcqRel);
        let number = self.put(start, replica);
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

    fn put(&self, start: &Start, replica: &str) -> Option<u64> {
        let mut page = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        if self.kept.load(Ordering::Acquire) == page.last {
            page.slot = 0;
        }
        // What has no name is read by nobody.
        if page.slot >= SLOTS || self.file.metadata().ok()?.nlink() == 0 {
            return None;
        }
        let number = page.last + 1;
        let slot = encode(number, start, replica)?;
        self.file.write_all_at(&slot, place_of(page.slot)).ok()?;
        *page = Page { last: number, slot: page.slot + 1 };
        Some(number)
    }

    /// The database has every start up to this number. Where that cannot be written down they are looked at once more.
    pub fn keep(&self, number: u64) {
        let _ = self.file.write_all_at(&number.to_le_bytes(), KEPT_AT);
        self.kept.store(number, Ordering::Release);
    }

    /// The database has all that was noted when this was opened.
    pub(super) fn keep_all(&self) {
        let last = self.page.lock().unwrap_or_else(PoisonError::into_inner).last;
        self.keep(last);
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
            for noted in &noted {
                start::put(&transaction, &noted.start, &noted.replica, at, &mut tally)?;
            }
            tally.write(&transaction, before)?;
            transaction.commit().told()?;
            logbook.keep_all();
        }
        Ok(Some(Arc::new(logbook)))
    }
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
        logbook.keep(2);
        drop(logbook);
        let (_, noted) = Logbook::open(&path).unwrap();
        let numbers: Vec<_> = noted.iter().map(|noted| noted.number).collect();
        assert_eq!(numbers, [3, 4, 5]);
        for noted in noted {
            assert_eq!((noted.start, &*noted.replica), (start(noted.number), "host"));
        }
    }

    #[test]
    fn slots_are_used_again_once_all_is_kept_and_not_before() {
        let folder = folder();
        let path = folder.path().join("starts");
        let (logbook, _) = Logbook::open(&path).unwrap();
        let most = SLOTS as u64;
        for number in 1..=most {
            assert_eq!(logbook.note(&start(number), ""), Some(number));
        }
        assert_eq!(logbook.note(&start(0), ""), None);
        logbook.keep(most - 1);
        assert_eq!(logbook.note(&start(0), ""), None);
        logbook.keep(most);
        assert_eq!(logbook.note(&start(0), ""), Some(most + 1));
        let longest = (most + 1) * SLOT as u64;
        assert!(fs::metadata(&path).unwrap().len() <= longest);
        // What an earlier life has left goes on to count until it is kept.
        drop(logbook);
        let (logbook, noted) = Logbook::open(&path).unwrap();
        assert_eq!((noted.len(), noted[0].number), (1, most + 1));
        assert_eq!(logbook.note(&start(0), ""), None);
        logbook.keep_all();
        assert_eq!(logbook.note(&start(0), ""), Some(most + 2));
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
