//! Giving memory back to the system.

use std::ffi::{c_int, c_void};

/// From this size on a block is mapped by itself.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// The largest block that the C library is willing to keep.
#[cfg(target_env = "gnu")]
const LARGEST: libc::c_int = 32 << 20;

/// Has the C library keep blocks that are dropped, for those that follow, until [`return_large_blocks`]; does nothing where
/// it cannot.
///
/// A start makes and drops large blocks one after another, and the system takes longer to make each page of them than it
/// takes to fill it. Call it once, before anything large is made: left alone, the C library gives each thread a heap of its
/// own, of which it keeps the free parts.
pub fn keep_large_blocks() {
    #[cfg(target_env = "gnu")]
    set_sizes(LARGEST, libc::c_int::MAX);
}

/// Has the C library keep what is free at the end of its heap until [`return_large_blocks`]; does nothing where it cannot.
///
/// Where much is made and dropped at once that end moves to and fro, and each page of it would be made anew each time.
pub fn keep_heap() {
    #[cfg(target_env = "gnu")]
    set_sizes(LARGE, libc::c_int::MAX);
}

/// Has large blocks go back to the system whenever they are dropped from now on; does nothing where the C library cannot.
///
/// Left alone, the C library takes the first large block that is dropped as a reason to keep all that follow. What was kept
/// before goes back with the next [`release`].
pub fn return_large_blocks() {
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

/// The most memory of ours that was resident at once since this program was executed, KiB; none where `/proc` does not tell.
#[must_use]
pub(super) fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
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

    #[test]
    fn an_unmapped_program_shrinks_and_goes_on() {
        let before = file_pages();
        unmap_program();
        let after = file_pages();
        assert!(after < before, "{before} KiB before, {after} KiB after");
        release();
    }
}
