//! Giving memory back to the system.

/// From this size on a block is mapped by itself.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 128 << 10;

/// Has large blocks go back to the system whenever they are dropped; does nothing where the C library cannot.
///
/// Left alone, the C library takes the first large block that is dropped as a reason to keep all that follow, and gives
/// each thread a heap of its own, of which it keeps the free parts. Call it once, before anything large is made.
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt changes how later blocks are made, and no block that there is.
    #[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
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
