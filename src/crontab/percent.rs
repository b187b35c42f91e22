//! `%` in a command: the end of the command, then lines of standard input (cronie's `do_command.c`).

use memchr::memchr;

/// A command split at its first bare `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What the shell gets; `\%` has become `%`.
    pub command: Vec<u8>,
    /// What the job reads; empty where there is no `%`.
    pub stdin: Vec<u8>,
}

/// Splits a raw command as cronie's `child_process` does.
///
/// The first bare `%` ends the command, every further one is a line's end in the standard input. `\%` is a
/// percent sign in both, any other `\` stands for itself, quotes protect nothing. In the command a `\` takes
/// its neighbour with it (`\\%` is a bare `%`), in the standard input it does not. A standard input whose last
/// character is neither a line's end nor a `\` after one gets a line's end.
#[must_use]
pub fn split(raw: &[u8]) -> Split {
    if memchr(b'%', raw).is_none() {
        return Split { command: raw.to_vec(), stdin: Vec::new() };
    }
    let end = first_bare(raw);
    let text = &raw[..end.unwrap_or(raw.len())];
    let mut command = Vec::with_capacity(text.len());
    let mut escaped = false;
    for &byte in text {
        if escaped && byte == b'%' {
            command.pop();
        }
        command.push(byte);
        escaped = !escaped && byte == b'\\';
    }
    Split { command, stdin: end.map_or_else(Vec::new, |end| input(&raw[end + 1..])) }
}

/// Where the first `%` stands that ends the command.
#[must_use]
pub fn first_bare(raw: &[u8]) -> Option<usize> {
    memchr(b'%', raw)?;
    let mut escaped = false;
    raw.iter().position(|&byte| {
        let bare = !escaped && byte == b'%';
        escaped = !escaped && byte == b'\\';
        bare
    })
}

/// The standard input that the text behind the first bare `%` stands for.
fn input(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    let mut escaped = false;
    let mut open = false;
    for &byte in text {
        if escaped && byte != b'%' {
            out.push(b'\\');
        }
        let byte = if byte == b'%' && !escaped { b'\n' } else { byte };
        escaped = byte == b'\\';
        if !escaped {
            out.push(byte);
            open = byte != b'\n';
        }
    }
    if escaped {
        out.push(b'\\');
    }
    if open {
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_split_as_cronie_splits_them() {
        let cases: &[(&str, &str, &str)] = &[
            ("date +\\%H", "date +%H", ""),
            ("cat%a%b\\%c", "cat", "a\nb%c\n"),
            ("cat%", "cat", ""),
            ("cat%a%b%", "cat", "a\nb\n"),
            ("cat%%", "cat", "\n"),
            ("printf 'a\\\\b'", "printf 'a\\\\b'", ""),
            ("echo 'x%y'", "echo 'x", "y'\n"),
            ("%x", "", "x\n"),
            ("a\\\\%b", "a\\\\", "b\n"),
            ("a\\\\\\%b", "a\\\\%b", ""),
            ("a%b\\\\%c", "a", "b\\%c\n"),
            ("a%\\", "a", "\\"),
            ("a%b\\", "a", "b\\\n"),
            ("a%\\n", "a", "\\n\n"),
            ("a\\", "a\\", ""),
            ("", "", ""),
        ];
        for (raw, command, stdin) in cases {
            let split = split(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&split.command), *command, "{raw:?}");
            assert_eq!(String::from_utf8_lossy(&split.stdin), *stdin, "{raw:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_pass_unchanged() {
        assert_eq!(split(b"\xff%\xfe").command, b"\xff");
        assert_eq!(split(b"\xff%\xfe").stdin, b"\xfe\n");
    }
}
