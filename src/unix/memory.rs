//! Giving memory back to the system.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

/// From this size on a block is mapped by itself.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// The largest block that the C library is willing to keep.
#[cfg(target_env = "gnu")]
const LARGEST: libc::c_int = 32 << 20;

/// Whether large blocks are kept, so that one that is dropped is the room of those that follow.
static IS_ROOM_MADE: AtomicBool = AtomicBool::new(false);

/// Has the C library keep blocks that are dropped, for those that follow, until [`return_large_blocks`]; does nothing where
/// it cannot.
///
/// A start makes and drops large blocks one after another, and the system takes longer to make each page of them than it
/// takes to fill it. Call it once, before anything large is made: left alone, the C library gives each thread a heap of its
/// own, of which it keeps the free parts.
pub fn keep_large_blocks() {
    IS_ROOM_MADE.store(cfg!(target_env = "gnu"), Ordering::Relaxed);
    #[cfg(target_env = "gnu")]
    set_sizes(LARGEST, libc::c_int::MAX);
}

/// Has the C library keep what is free at the end of its heap until [`return_large_blocks`]; does nothing where it cannot.
///
/// Where much is made and dropped at once that end moves to and fro, and each page of it would be made anew each time.
pub fn keep_heap() {
    IS_ROOM_MADE.store(false, Ordering::Relaxed);
    #[cfg(target_env = "gnu")]
    set_sizes(LARGE, libc::c_int::MAX);
}

/// Has large blocks go back to the system whenever they are dropped from now on; does nothing where the C library cannot.
///
/// Left alone, the C library takes the first large block that is dropped as a reason to keep all that follow. What was kept
/// before goes back with the next [`release`].
pub fn return_large_blocks() {
    IS_ROOM_MADE.store(false, Ordering::Relaxed);
    #[cfg(target_env = "gnu")]
    set_sizes(LARGE, LARGE);
}

/// From which size on blocks are mapped by themselves, and how much may be free at the end of the heap.
#[cfg(target_env = "gnu")]
fn set_sizes(mapped: libc::c_int, free: libc::c_int) {
    // SAFETY: mallopt changes how later blocks are made, and no block that there is.
    #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, mapped);
        libc::mallopt(libc::M_TRIM_THRESHOLD, free);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Addresses at the end of the heap that are about to be handed out.
#[derive(Debug)]
pub struct Room {
    from: usize,
    to: usize,
}

impl Room {
    /// The most that is made ready, in bytes: what is larger is mapped by itself.
    const MOST: usize = 24 << 20;
    /// How much is made at once, in bytes: whoever changes what is mapped waits for it.
    const STEP: usize = 256 << 10;

    /// Room for about `bytes`, at most 24 MiB, in which what is made next lies; none where the C library does not keep large
    /// blocks. Ask only for what is sure to be made.
    #[must_use]
    pub fn ahead(bytes: usize) -> Self {
        let mut block = Vec::<u8>::new();
        let is_made = IS_ROOM_MADE.load(Ordering::Relaxed);
        // Where there is less, what is made may do with less, too.
        if !is_made || block.try_reserve_exact(bytes.min(Room::MOST)).is_err() {
            return Room { from: 0, to: 0 };
        }
        let from = block.as_ptr().addr().next_multiple_of(PAGE);
        let to = (block.as_ptr().addr() + block.capacity()) & !(PAGE - 1);
        Room { from, to }
    }

    /// Has the system make the pages of it, which is cheaper for many at once, and can be done by another thread than the one
    /// that is about to need them; does nothing where the system cannot, and stops once large blocks are not kept any more.
    pub fn fill(self) {
        self.fill_while(|| IS_ROOM_MADE.load(Ordering::Relaxed));
    }

    fn fill_while(self, is_wanted: impl Fn() -> bool) {
        let mut at = self.from;
        while at < self.to && is_wanted() {
            let length = Room::STEP.min(self.to - at);
            if !populate(at, length) {
                return;
            }
            at += length;
        }
    }
}

/// Makes the pages of a range, which may be mapped or not; whether that was possible.
fn populate(from: usize, length: usize) -> bool {
    // SAFETY: pages that there are already keep what is in them, and nothing is done where nothing is mapped.
    #[expect(unsafe_code, reason = "addresses that nobody borrows")]
    unsafe {
        libc::madvise(from as *mut c_void, length, libc::MADV_POPULATE_WRITE) == 0
    }
}

/// Returns free heap pages to the system, after something large was dropped; does nothing where the C library cannot.
pub fn release() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes any padding and touches free memory only.
    #[expect(unsafe_code, reason = "malloc_trim has no safe wrapper")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Unmaps the pages of this program's file that hold code and constants; what is used again is mapped again when it is.
///
/// Most of a program is for its start, its commands and what never happens, but the kernel maps the neighbours of each page
/// that is touched, and so nearly all of it. The pages stay in the page cache: nothing is read from the disk for it.
pub fn unmap_program() {
    // SAFETY: the callback is called for each object before the call returns, with a valid pointer.
    #[expect(unsafe_code, reason = "the program's own segments, with no safe wrapper")]
    unsafe {
        libc::dl_iterate_phdr(Some(unmap_segments), std::ptr::null_mut());
    }
}

/// Unmaps the read-only segments of the first object, which is the program, and ends the walk.
#[expect(unsafe_code, reason = "called by the C library with the segments of an object")]
unsafe extern "C" fn unmap_segments(
    object: *mut libc::dl_phdr_info,
    _size: usize,
    _data: *mut c_void,
) -> c_int {
    // SAFETY: the C library passes a pointer that is valid for this call.
    let object = unsafe { &*object };
    if object.dlpi_phdr.is_null() {
        return 1;
    }
    // SAFETY: the table has so many entries, and stays where it is as long as the object is loaded.
    let segments =
        unsafe { std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for segment in segments {
        // What can be written holds relocations and data that no file has.
        if segment.p_type != libc::PT_LOAD || segment.p_flags & libc::PF_W != 0 {
            continue;
        }
        let (Ok(from), Ok(size)) =
            (usize::try_from(object.dlpi_addr + segment.p_vaddr), usize::try_from(segment.p_memsz))
        else {
            continue;
        };
        let first = from & !(PAGE - 1);
        // SAFETY: a private mapping of a file that nobody has written to: a page dropped is the same when it is next
        // touched, this very code included.
        unsafe {
            libc::madvise(first as *mut c_void, from + size - first, libc::MADV_DONTNEED);
        }
    }
    1
}

/// The smallest page of any machine that this runs on; larger ones refuse a start within a page, and keep theirs.
const PAGE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Resident pages of files, in KiB.
    fn file_pages() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// How many of the pages in a room there are.
    fn pages(room: &Room) -> usize {
        let mut pages = vec![0u8; (room.to - room.from) / PAGE];
        // SAFETY: the kernel writes one byte for each page of the range.
        #[expect(unsafe_code, reason = "mincore has no safe wrapper")]
        let done = unsafe {
            libc::mincore(room.from as *mut c_void, room.to - room.from, pages.as_mut_ptr())
        };
        assert_eq!(done, 0);
        pages.iter().filter(|&&page| page & 1 == 1).count()
    }

    fn room_of(block: &mut Vec<u8>) -> Room {
        let from = block.as_ptr().addr().next_multiple_of(PAGE);
        Room { from, to: (block.as_ptr().addr() + block.capacity()) & !(PAGE - 1) }
    }

    #[test]
    fn the_pages_of_a_room_are_there_once_it_is_filled() {
        let length = 64 * PAGE;
        // SAFETY: a mapping of its own, at an address that the kernel chooses.
        #[expect(unsafe_code, reason = "a block of the C library may have its pages already")]
        let from = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), length, protection, kind, -1, 0)
        };
        let room = || Room { from: from.addr(), to: from.addr() + length };
        assert_ne!(from, libc::MAP_FAILED);
        room().fill_while(|| false);
        assert_eq!(pages(&room()), 0);
        room().fill_while(|| true);
        assert_eq!(pages(&room()), 64);
        // SAFETY: nothing refers to the mapping.
        #[expect(unsafe_code, reason = "what was mapped is unmapped")]
        unsafe {
            libc::munmap(from, length);
        }
    }

    #[test]
    fn what_is_written_in_a_room_already_stays() {
        let mut block: Vec<u8> = (0..1u32 << 20).map(|at| at.to_le_bytes()[1]).collect();
        let before = block.clone();
        room_of(&mut block).fill_while(|| true);
        assert_eq!(block, before);
    }

    #[test]
    fn a_room_that_is_mapped_no_more_is_left_alone() {
        // Nothing is ever mapped there.
        Room { from: 0, to: 16 * PAGE }.fill_while(|| true);
        Room::ahead(0).fill();
    }

    #[test]
    fn an_unmapped_program_shrinks_and_goes_on() {
        let before = file_pages();
        unmap_program();
        let after = file_pages();
        assert!(after < before, "{before} KiB before, {after} KiB after");
        release();
    }
}
