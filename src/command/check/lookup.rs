//! What the grammar of a crontab does not tell: whether its users and its commands exist on this host, and whether our own
//! commands are asked for something.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, User, access};

use super::publish;
use crate::crontab::option::Executor;
use crate::crontab::{
    Code, Crontab, Entry, Fault, Format, Line, LineKind, Mistake, Source, percent,
};
use crate::message::publish_words;
use crate::sink::record::escape;

/// Where commands are sought when neither the crontab nor the environment says (cronie's default).
const DEFAULT_PATH: &[u8] = b"/usr/bin:/bin:/usr/sbin:/sbin";

/// Words that a POSIX shell, or bash, carries out itself.
const BUILTINS: &[&str] = &[
    "alias", "bg", "break", "builtin", "case", "cd", "command", "continue", "declare", "do",
    "done", "elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi",
    "for", "function", "getopts", "hash", "if", "jobs", "let", "local", "popd", "pushd", "read",
    "readonly", "return", "select", "set", "shift", "shopt", "source", "then", "time", "times",
    "trap", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while",
];

/// What can be looked up on a host.
pub trait Lookup {
    /// Whether a user of that name exists; `None` where it cannot be told.
    fn user_exists(&self, name: &[u8]) -> Option<bool>;
    /// Whether the file exists and may be executed.
    fn is_executable(&self, path: &Path) -> bool;
    /// The search path of commands, where the crontab sets none.
    fn search_path(&self) -> Vec<u8>;
}

/// This host; remembers its answers.
#[derive(Debug, Default)]
pub struct HostLookup {
    users: RefCell<HashMap<Vec<u8>, Option<bool>>>,
    files: RefCell<HashMap<Vec<u8>, bool>>,
}

impl Lookup for HostLookup {
    fn user_exists(&self, name: &[u8]) -> Option<bool> {
        if let Some(known) = self.users.borrow().get(name) {
            return *known;
        }
        // A number needs no account: it is a uid where nobody has it as a name (row 57).
        let found = std::str::from_utf8(name).map_or(Some(false), |name| {
            User::from_name(name).ok().map(|user| user.is_some() || is_uid(name))
        });
        self.users.borrow_mut().insert(name.to_vec(), found);
        found
    }

    fn is_executable(&self, path: &Path) -> bool {
        let name = path.as_os_str().as_bytes();
        if let Some(known) = self.files.borrow().get(name) {
            return *known;
        }
        let found = path.is_file() && access(path, AccessFlags::X_OK).is_ok();
        self.files.borrow_mut().insert(name.to_vec(), found);
        found
    }

    fn search_path(&self) -> Vec<u8> {
        let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
        path.map_or_else(|| DEFAULT_PATH.to_vec(), |path| path.as_bytes().to_vec())
    }
}

fn is_uid(name: &str) -> bool {
    name.parse().is_ok_and(|number: u32| number.to_string() == name)
}

/// The warnings about users and commands that this host does not have, and about what is asked of our own.
#[must_use]
pub fn faults(source: &Source, crontab: &Crontab, lookup: &dyn Lookup) -> Vec<Fault> {
    let mut faults = Vec::new();
    for line in &crontab.lines {
        let LineKind::Entry(entry) = &line.kind else { continue };
        let text = &source.bytes[line.span.clone()];
        // Its user and its command are those of the worker's host.
        let is_here = !matches!(entry.options.executor, Some(Executor::Worker(_)));
        if is_here
            && source.dialect.format == Format::System
            && lookup.user_exists(entry.user.as_bytes()) == Some(false)
        {
            faults.push(unknown_user(entry, line, text).on_line(entry.line, text));
        }
        if is_here && let Some(mistake) = missing_command(entry, line, lookup) {
            faults.push(mistake.on_line(entry.line, text));
        }
        if let Some(mistake) = publish::mistake(entry, line, text) {
            faults.push(mistake.on_line(entry.line, text));
        }
    }
    faults
}

/// The user column stands between the schedule and the command, perhaps behind options.
fn unknown_user(entry: &Entry, line: &Line, text: &[u8]) -> Mistake {
    let name = entry.user.as_bytes();
    let from = entry.schedule_span.end.saturating_sub(line.span.start).min(text.len());
    let to = entry.command_span.start.saturating_sub(line.span.start).clamp(from, text.len());
    let place = text[from..to].windows(name.len().max(1)).position(|window| window == name);
    let start = place.map_or(from, |place| from + place);
    let shown = escape(name);
    Mistake::new(Code::W007, start..start + name.len(), format!("unknown user {shown:?}"))
        .with_help("the entry runs as soon as the user exists")
}

fn missing_command(entry: &Entry, line: &Line, lookup: &dyn Lookup) -> Option<Mistake> {
    let shell = entry.settings.get("SHELL").map_or(&b"/bin/sh"[..], |shell| shell.as_bytes());
    let is_posix = [&b"sh"[..], b"bash", b"dash", b"ash", b"ksh", b"zsh"]
        .contains(&shell.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
    let split = percent::split(entry.command.as_bytes());
    // Where there is a broker the daemon carries it out itself.
    if publish_words(&split.command).is_some() {
        return None;
    }
    let word = plain_word(&split.command)?;
    if !is_posix || word.len() > 4096 {
        return None;
    }
    let path = entry.settings.get("PATH").map(|path| path.as_bytes().to_vec());
    let found = if word.contains(&b'/') {
        // A relative path starts at the job's home, which may be elsewhere than here.
        !word.starts_with(b"/") || lookup.is_executable(Path::new(OsStr::from_bytes(word)))
    } else {
        let path = path.unwrap_or_else(|| lookup.search_path());
        // A path with a variable or a relative part in it is not the shell's to resolve here.
        path.split(|byte| *byte == b':').any(|folder| {
            !folder.starts_with(b"/")
                || lookup.is_executable(
                    &Path::new(OsStr::from_bytes(folder)).join(OsStr::from_bytes(word)),
                )
        })
    };
    if found {
        return None;
    }
    let start = entry.command_span.start.saturating_sub(line.span.start);
    let shown = escape(word);
    let mistake =
        Mistake::new(Code::W008, start..start + word.len(), format!("command {shown:?} not found"));
    Some(if word.contains(&b'/') {
        mistake.with_help("it does not exist here, or may not be executed")
    } else {
        mistake.with_help("write its full path, or set PATH above the entry")
    })
}

/// The first word of a command, where it names a program: no shell construct, no built-in.
fn plain_word(command: &[u8]) -> Option<&[u8]> {
    let end = command
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b';' | b'&' | b'|' | b'<' | b'>'))
        .unwrap_or(command.len());
    let word = &command[..end];
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_./+-@:".contains(byte);
    let text = std::str::from_utf8(word).ok()?;
    let names_program = !word.is_empty() && word.iter().all(is_plain);
    (names_program && !BUILTINS.contains(&text) && !matches!(text, "." | ":")).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crontab::{Dialect, parse};

    /// A host with root, /bin/sh and /bin/true.
    struct Small;

    impl Lookup for Small {
        fn user_exists(&self, name: &[u8]) -> Option<bool> {
            (name != b"unsure").then_some(name == b"root")
        }

        fn is_executable(&self, path: &Path) -> bool {
            ["/bin/true", "/bin/sh"].iter().any(|known| path == Path::new(known))
        }

        fn search_path(&self) -> Vec<u8> {
            b"/usr/bin:/bin".to_vec()
        }
    }

    fn found(text: &str) -> Vec<(Code, u32, u32, u32)> {
        let source = Source { name: "x".into(), bytes: text.into(), dialect: Dialect::system() };
        faults(&source, &parse(&source), &Small)
            .into_iter()
            .map(|fault| (fault.code, fault.line, fault.column, fault.end_column))
            .collect()
    }

    #[test]
    fn an_unknown_user_is_pointed_at() {
        assert_eq!(found("0 0 * * * bob true\n"), [(Code::W007, 1, 11, 14)]);
        assert_eq!(found("0 0 * * * root true\n"), []);
    }

    #[test]
    fn row_57_a_number_is_a_user_whether_it_has_an_account_or_not() {
        let host = HostLookup::default();
        assert_eq!(host.user_exists(b"3999999999"), Some(true));
        for name in [&b"03999999999"[..], b"+1", b"4294967296", b"no-such-user", b"\xff"] {
            assert_eq!(host.user_exists(name), Some(false), "{name:?}");
        }
    }

    #[test]
    fn what_a_worker_runs_is_not_sought_here() {
        let of = |options: &str| found(&format!("# cronkeep: {options}\n0 0 * * * bob frob\n"));
        assert_eq!(of("executor=worker:batch"), []);
        assert_eq!(of("executor=shell"), [(Code::W007, 2, 11, 14), (Code::W008, 2, 15, 19)]);
    }

    #[test]
    fn a_user_database_that_cannot_be_asked_is_no_fault() {
        assert_eq!(found("0 0 * * * unsure true\n"), []);
    }

    #[test]
    fn a_command_is_sought_on_the_path_in_force() {
        assert_eq!(found("0 0 * * * root frob -x\n"), [(Code::W008, 1, 16, 20)]);
        assert_eq!(found("PATH=/nowhere\n0 0 * * * root true\n"), [(Code::W008, 2, 16, 20)]);
        assert_eq!(found("0 0 * * * root /bin/true\n"), []);
        assert_eq!(found("0 0 * * * root cronkeep publish e k x\n"), []);
        assert_eq!(found("0 0 * * * root cronkeep publish e $K x\n"), [(Code::W008, 1, 16, 24)]);
        assert_eq!(found("0 0 * * * root /opt/x\n"), [(Code::W008, 1, 16, 22)]);
    }

    #[test]
    fn what_the_shell_resolves_is_left_to_the_shell() {
        for command in
            ["cd / && frob", "$FROB", "X=1 frob", "(frob)", "bin/frob", ". /etc/frob", "`frob`"]
        {
            assert_eq!(found(&format!("0 0 * * * root {command}\n")), [], "{command}");
        }
        assert_eq!(found("SHELL=/usr/bin/python3\n0 0 * * * root frob\n"), []);
        assert_eq!(found("PATH=$HOME/bin\n0 0 * * * root frob\n"), []);
    }

    #[test]
    fn a_word_ends_where_the_shell_ends_it() {
        assert_eq!(plain_word(b"true;false"), Some(&b"true"[..]));
        assert_eq!(plain_word(b"true>x"), Some(&b"true"[..]));
        assert_eq!(plain_word(b"tru\xff"), None);
        assert_eq!(plain_word(b""), None);
    }
}
