//! Commands that need no shell. Pure.
//!
//! A shell costs ten times what its command costs to start. It is left out only where nobody can tell: it is dash, which
//! executes a single command in its own place; the command is words that mean nothing to it; its environment holds nothing
//! that it would treat in a way of its own. What it does besides is done in its stead: `PWD` is set and `PATH` searched.
//! Whatever goes wrong with that, the same child executes the shell after all, which then finds its own words for it.

use std::ffi::OsStr;
use std::path::Path;

use crate::unix::Strings;

/// Where a shell may be for its link to be followed: not where somebody else than root can put it.
const FOLDERS: [&str; 4] = ["/bin", "/usr/bin", "/sbin", "/usr/local/bin"];

/// What dash carries out itself, or what has a meaning to its grammar; and what other shells do, to be on the safe side.
const WORDS: [&[u8]; 74] = [
    b".",
    b":",
    b"[",
    b"[[",
    b"alias",
    b"bg",
    b"bind",
    b"break",
    b"builtin",
    b"caller",
    b"case",
    b"cd",
    b"chdir",
    b"command",
    b"continue",
    b"coproc",
    b"declare",
    b"dirs",
    b"disown",
    b"do",
    b"done",
    b"echo",
    b"elif",
    b"else",
    b"enable",
    b"esac",
    b"eval",
    b"exec",
    b"exit",
    b"export",
    b"false",
    b"fc",
    b"fg",
    b"fi",
    b"for",
    b"function",
    b"getopts",
    b"hash",
    b"help",
    b"history",
    b"if",
    b"in",
    b"jobs",
    b"kill",
    b"let",
    b"local",
    b"logout",
    b"newgrp",
    b"popd",
    b"printf",
    b"pushd",
    b"pwd",
    b"read",
    b"readonly",
    b"return",
    b"select",
    b"set",
    b"setvar",
    b"shift",
    b"source",
    b"suspend",
    b"test",
    b"then",
    b"time",
    b"times",
    b"trap",
    b"true",
    b"type",
    b"typeset",
    b"ulimit",
    b"umask",
    b"unalias",
    b"unset",
    b"until",
];

/// More of them.
const MORE_WORDS: [&[u8]; 2] = [b"wait", b"while"];

/// Variables that dash treats in a way of its own when it finds them in its environment.
const VARIABLES: [&[u8]; 7] =
    [b"BASH_ENV", b"ENV", b"IFS", b"LINENO", b"OPTIND", b"PPID", b"SHELLOPTS"];

/// Whether `shell` is a plain one, by its name where all links end. Asks the file system.
pub(super) fn is_plain_shell(shell: &OsStr) -> bool {
    let shell = Path::new(shell);
    let known =
        shell.parent().is_some_and(|folder| FOLDERS.iter().any(|&f| folder == Path::new(f)));
    known && shell.canonicalize().is_ok_and(|file| file.file_name() == Some(OsStr::new("dash")))
}

/// Where commands are looked for, in an environment in which a plain shell adds nothing to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Search(Vec<Vec<u8>>);

/// A command that is executed as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plain {
    /// Where its program may be, the first that exists.
    pub files: Strings,
    /// Its words.
    pub arguments: Strings,
}

impl Search {
    /// The way commands are found with these variables; none where they mean something to the shell.
    pub(super) fn new<'a>(variables: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<Self> {
        let mut search = None;
        for (name, value) in variables {
            if !is_name(name) || VARIABLES.contains(&name) {
                return None;
            }
            if name == b"PATH" {
                let folders: Vec<_> =
                    value.split(|&byte| byte == b':').map(<[u8]>::to_vec).collect();
                // A relative folder is found from wherever the shell stands; what follows a percent sign is an option.
                if folders
                    .iter()
                    .any(|folder| folder.first() != Some(&b'/') || folder.contains(&b'%'))
                {
                    return None;
                }
                search = Some(Search(folders));
            }
        }
        search
    }

    /// The command as it is executed without a shell; none where it needs one.
    pub(super) fn plain(&self, command: &[u8]) -> Option<Plain> {
        // Most commands that need a shell have a character that says so.
        if !command.iter().all(|&byte| is_plain(byte)) {
            return None;
        }
        let mut words = command
            .split(|&byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty())
            .peekable();
        let name = *words.peek()?;
        let begins = name[0].is_ascii_alphanumeric() || matches!(name[0], b'/' | b'.' | b'_');
        if !begins || name.contains(&b'=') || WORDS.contains(&name) || MORE_WORDS.contains(&name) {
            return None;
        }
        let mut plain = Plain { files: Strings::default(), arguments: Strings::default() };
        if name.contains(&b'/') {
            plain.files.push(&[name]).ok()?;
        } else {
            for folder in &self.0 {
                plain.files.push(&[folder, b"/", name]).ok()?;
            }
        }
        for word in words {
            plain.arguments.push(&[word]).ok()?;
        }
        Some(plain)
    }
}

/// Whether a byte means nothing to a shell but itself, or parts words.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" \t_-./:,+@%=".contains(&byte)
}

/// Whether a shell keeps a variable of this name: others it drops.
fn is_name(name: &[u8]) -> bool {
    name.first().is_some_and(|byte| !byte.is_ascii_digit())
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(path: &[u8]) -> Option<Search> {
        Search::new([(&b"PATH"[..], path)].into_iter())
    }

    fn split(command: &str) -> Option<(Vec<String>, Vec<String>)> {
        let plain = search(b"/usr/bin:/bin").unwrap().plain(command.as_bytes())?;
        let texts = |strings: &Strings| {
            strings.iter().map(|text| text.to_str().unwrap().to_owned()).collect()
        };
        Some((texts(&plain.files), texts(&plain.arguments)))
    }

    #[test]
    fn plain_words_are_executed_as_they_stand() {
        let strings = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            split(" ls  -l\t/tmp/a.b,c a=b 50% "),
            Some((
                strings(&["/usr/bin/ls", "/bin/ls"]),
                strings(&["ls", "-l", "/tmp/a.b,c", "a=b", "50%"])
            ))
        );
        assert_eq!(split("bin/x"), Some((strings(&["bin/x"]), strings(&["bin/x"]))));
        assert_eq!(split("7z"), Some((strings(&["/usr/bin/7z", "/bin/7z"]), strings(&["7z"]))));
    }

    #[test]
    fn whatever_means_something_to_a_shell_goes_to_the_shell() {
        let commands = [
            "", "  ", "a;b", "a&", "a|b", "a>b", "a<b", "a $b", "a `b`", "a 'b'", "a \"b\"",
            "a\\ b", "a*", "a ?", "a [b]", "a ~", "a #b", "a {b,c}", "a (b)", "!a", "a ^b", "a\nb",
            "a\rb", "a\u{e9}", "A=b c", "a=b", "-x", "+x", "=a", ":", ".", ". a", "[ a ]",
            "echo a", "cd /", "exec a", "true", "while a", "if a", "wait", "time a", "test a",
            "kill 1", "%1", "@a", ",a",
        ];
        for command in commands {
            assert_eq!(split(command), None, "{command:?}");
        }
    }

    #[test]
    fn a_path_that_the_shell_reads_in_its_own_way_is_left_to_it() {
        assert!(search(b"/bin").is_some());
        for path in [&b""[..], b":/bin", b"/bin:", b"/a::/b", b"bin:/bin", b"/x%func", b"."] {
            assert_eq!(search(path), None, "{path:?}");
        }
        assert_eq!(Search::new([].into_iter()), None);
    }

    #[test]
    fn variables_that_a_shell_drops_or_changes_are_left_to_it() {
        for name in
            ["IFS", "ENV", "BASH_ENV", "OPTIND", "PPID", "a.b", "a-b", "1a", "", "BASH_FUNC_x%%"]
        {
            let variables = [(&b"PATH"[..], &b"/bin"[..]), (name.as_bytes(), b"x")];
            assert_eq!(Search::new(variables.into_iter()), None, "{name}");
        }
    }

    #[test]
    fn a_shell_is_known_by_where_its_link_leads() {
        let is_dash = |path: &str| is_plain_shell(OsStr::new(path));
        assert!(!is_dash("/no/such/dash") && !is_dash("/bin/cat") && !is_dash("dash"));
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("dash");
        std::fs::write(&own, "").unwrap();
        assert!(!is_plain_shell(own.as_os_str()), "anybody may call a file so");
        if Path::new("/bin/dash").exists() {
            assert!(is_dash("/bin/dash"));
        }
    }
}
