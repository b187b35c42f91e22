//! Lists of strings as exec(3) takes them.

use std::ffi::{CStr, c_char};

/// A list of NUL-terminated strings in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    bytes: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
}

/// A byte that no string of a process may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NulByte;

impl Strings {
    /// Adds the string that these parts make.
    ///
    /// # Errors
    /// One of them holds a NUL byte; nothing was added.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), NulByte> {
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        if self.bytes[start..].contains(&0) {
            self.bytes.truncate(start);
            return Err(NulByte);
        }
        self.bytes.push(0);
        self.starts.push(start);
        Ok(())
    }

    /// The strings in order.
    ///
    /// # Panics
    /// Never: each string was ended when it was added.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &CStr> {
        self.starts.iter().map(|&start| {
            CStr::from_bytes_until_nul(&self.bytes[start..])
                .expect("each was ended when it was added")
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Adds a pointer to each to a list.
    pub(super) fn point(&self, pointers: &mut Vec<*const c_char>) {
        pointers.extend(self.starts.iter().map(|&start| self.bytes[start..].as_ptr().cast()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_kept_in_order_and_whole() {
        let mut strings = Strings::default();
        strings.push(&[b"A", b"=", b"b c"]).unwrap();
        strings.push(&[]).unwrap();
        strings.push(&[b"\xff"]).unwrap();
        assert_eq!(strings.iter().collect::<Vec<_>>(), [c"A=b c", c"", c"\xff"]);
    }

    #[test]
    fn a_nul_byte_is_refused_and_leaves_nothing_behind() {
        let mut strings = Strings::default();
        assert_eq!(strings.push(&[b"a", b"b\0c"]), Err(NulByte));
        assert!(strings.is_empty());
        strings.push(&[b"d"]).unwrap();
        assert_eq!(strings.iter().collect::<Vec<_>>(), [c"d"]);
    }
}
