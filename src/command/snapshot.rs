//! `cronkeep snapshot`: what the store holds of the crontabs, how the files differ from it, and forgetting it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{DiffOp, group_diff_ops};

use super::{Console, MAX_CRONTAB, counted};
use crate::args::{SnapshotArg, SnapshotArgs};
use crate::clock::SystemClock;
use crate::config::{Located, default_state_dir};
use crate::crontab::Text;
use crate::exit::{ExitCode, UsageError};
use crate::sink::record::escape;
use crate::store::deposit::{self, Deposit};
use crate::store::open::{Access, Opening};
use crate::store::recovery::{Columns, Content, FileSnapshot};
use crate::store::seal::{self, Seal};
use crate::store::{self, Forgotten, Handle, Tell, Versioned};

/// How long the store may take to answer.
const WITHIN: Duration = Duration::from_secs(5);

/// How many lines beside a change are shown.
const CONTEXT: usize = 3;

/// What the store holds.
struct Held {
    found: Versioned,
    deposit: Deposit,
    /// Whether it is known to be signed with our key.
    is_verified: bool,
}

/// Does what was asked.
pub(super) fn run(args: &SnapshotArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let located = Located::of(&args.store, console.host)?;
    let name = located.address.to_string();
    let namespace = located.namespace.clone();
    let is_forget = args.action == SnapshotArg::Forget;
    if is_forget && !args.files.is_empty() {
        return Err(UsageError("snapshot forget takes no FILE: it is all or nothing".into()).into());
    }
    let key = args.store_key.as_ref().filter(|_| !is_forget);
    let seal = key.map(|path| {
        Seal::from_file(path, &namespace).with_context(|| format!("--store-key {}", path.display()))
    });
    let seal = seal.transpose()?;
    let state_dir = args.store.state_dir.clone();
    let state_dir = state_dir.unwrap_or_else(|| default_state_dir(console.host));
    let newest = deposit::newest(&state_dir, &namespace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let handle = open(located, is_forget)?;
    let found = runtime
        .block_on(handle.snapshot(WITHIN))
        .with_context(|| format!("failed to read the store {name}"))?;
    let Some(found) = found else {
        writeln!(console.err, "the store {name} has no snapshot for {namespace}")?;
        return Ok(ExitCode::Failure);
    };
    if is_forget {
        // Also what cannot be read can be forgotten.
        let left = runtime
            .block_on(handle.forget_snapshot(WITHIN))
            .with_context(|| format!("the store {name} does not forget"))?;
        let _ = fs::remove_file(newest);
        return forgot(&found, &left, args.json, console);
    }
    let deposit = Deposit::from_bytes(&found, seal.as_ref())?;
    if seal.is_some() {
        deposit::check_newest(newest, found.version)?;
    }
    let held = Held { found, deposit, is_verified: seal.is_some() };
    match args.action {
        SnapshotArg::Diff => held.diff(args, console),
        SnapshotArg::Show | SnapshotArg::Forget => held.show(args, console),
    }
}

fn open(located: Located, is_owner: bool) -> anyhow::Result<Handle> {
    let Located { address, namespace, .. } = located;
    let clock = Arc::new(SystemClock);
    let access = if is_owner { Access::Owned } else { Access::Read };
    let tell: Tell = Arc::new(|text: String| eprintln!("cronkeep: {}", escape(text.as_bytes())));
    let opening = Opening { address, namespace, access, clock: clock.clone(), tell: tell.clone() };
    Handle::start(move || store::open(opening), clock, tell).context("failed to open the store")
}

fn forgot(
    found: &Versioned,
    left: &Forgotten,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<ExitCode> {
    let files = Deposit::from_bytes(found, None).map(|deposit| deposit.snapshot.files);
    // Of a snapshot that is not read nobody knows what was in it.
    let files = files.ok().map(|files| files.into_keys().collect::<Vec<String>>());
    if json {
        let stay = left.theirs.is_some();
        let object = json!({ "version": found.version, "removed": files.unwrap_or_default(), "rows_stay": stay });
        writeln!(console.out, "{object}")?;
        return Ok(ExitCode::Success);
    }
    if let Some(key) = &left.theirs {
        writeln!(
            console.err,
            "the Redis key {key} has rows that the Python service wrote itself: it stays, and the next start adds their jobs"
        )?;
    }
    match &files {
        Some(files) => {
            let count = counted(files.len(), "crontab", "crontabs");
            writeln!(console.out, "forgot version {} of {count}", found.version)?;
        }
        None => {
            writeln!(console.out, "forgot version {}, which cannot be read here", found.version)?;
        }
    }
    for file in files.into_iter().flatten() {
        writeln!(console.out, "{}", escape(file.as_bytes()))?;
    }
    Ok(ExitCode::Success)
}

impl Held {
    /// The crontabs that are asked for.
    fn files<'a>(
        &'a self,
        args: &SnapshotArgs,
    ) -> anyhow::Result<Vec<(&'a String, &'a FileSnapshot)>> {
        let files = &self.deposit.snapshot.files;
        if args.files.is_empty() {
            return Ok(files.iter().collect());
        }
        let find = |path: &std::path::PathBuf| {
            let path = std::path::absolute(path)?;
            let found = files.get_key_value(&*path.to_string_lossy());
            found.with_context(|| format!("the snapshot does not know {}", path.display()))
        };
        args.files.iter().map(find).collect()
    }

    fn show(&self, args: &SnapshotArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
        let (version, at) = (self.found.version, self.deposit.at.map(|at| at.to_string()));
        let signed = seal::is_sealed(&self.found.bytes);
        let files = self.files(args)?;
        for (path, file) in &files {
            if args.json {
                let object = json!({
                    "file": path,
                    "version": version,
                    "at": at,
                    "host": self.deposit.host,
                    "signed": signed,
                    "verified": self.is_verified,
                    "format": file.columns,
                    "user": file.user,
                    "mode": file.access.map(|access| format!("{:04o}", access.mode)),
                    "uid": file.access.map(|access| access.uid),
                    "gid": file.access.map(|access| access.gid),
                    "text": file.text.as_ref().map(|text| Text::from(&text.0[..])),
                    "base": Text::from(&file.base.0[..]),
                    "instances": file.instances,
                    "undecided": file.undecided.iter().map(|line| Text::from(&line.0[..])).collect::<Vec<_>>(),
                });
                writeln!(console.out, "{object}")?;
                continue;
            }
            writeln!(console.out, "{}", heading(path, file))?;
            show_text(file.text.as_ref(), console.out)?;
            if file.text.as_ref() != Some(&file.base) {
                writeln!(console.out, "  the image brought along:")?;
                show_text(Some(&file.base), console.out)?;
            }
        }
        if !args.json {
            let at = at.map_or_else(String::new, |at| format!(", put at {at}"));
            let by = match &*self.deposit.host {
                "" => String::new(),
                host => format!(" by {}", escape(host.as_bytes())),
            };
            let signed = match (signed, self.is_verified) {
                (true, true) => ", signed",
                (true, false) => ", signed, which only --store-key can verify",
                (false, _) => "",
            };
            writeln!(console.out, "version {version}{at}{by}{signed}")?;
        }
        Ok(ExitCode::Success)
    }

    fn diff(&self, args: &SnapshotArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
        let mut differs = false;
        for (path, file) in self.files(args)? {
            let now = read(Path::new(path)).with_context(|| format!("failed to read {path}"))?;
            let then = file.text.as_ref().map(|text| &text.0[..]);
            let diff = if now.as_deref() == then {
                String::new()
            } else {
                differs = true;
                unified(path, then, now.as_deref())
            };
            if args.json {
                let differs = !diff.is_empty();
                writeln!(
                    console.out,
                    "{}",
                    json!({ "file": path, "differs": differs, "diff": diff })
                )?;
            } else {
                for line in diff.lines() {
                    writeln!(console.out, "{}", plain(line))?;
                }
            }
        }
        Ok(if differs { ExitCode::Failure } else { ExitCode::Success })
    }
}

/// The file now; none where there is none.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_CRONTAB).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The difference as diff -u shows it: what the snapshot says first, then the file. A side that is gone is `/dev/null`.
fn unified(path: &str, then: Option<&[u8]>, now: Option<&[u8]>) -> String {
    let text = |side: Option<&[u8]>| String::from_utf8_lossy(side.unwrap_or_default()).into_owned();
    let name = |side: Option<&[u8]>, name: String| side.map_or("/dev/null".to_owned(), |_| name);
    let (old, new) = (text(then), text(now));
    let old: Vec<_> = old.split_inclusive('\n').collect();
    let new: Vec<_> = new.split_inclusive('\n').collect();
    let names = (name(then, format!("snapshot:{path}")), name(now, path.to_owned()));
    // Without hunks one of them is empty, and the other is gone.
    let mut shown = format!("--- {}\n+++ {}\n", names.0, names.1);
    for hunk in group_diff_ops(edits(&old, &new), CONTEXT) {
        shown.push_str(&UnifiedHunkHeader::new(&hunk).to_string());
        shown.push('\n');
        for change in hunk.iter().flat_map(|edit| edit.iter_changes(&old[..], &new[..])) {
            shown.push_str(&change.tag().to_string());
            shown.push_str(change.value());
            if !change.value().ends_with('\n') {
                shown.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    shown
}

/// What makes the old lines the new ones.
fn edits(old: &[&str], new: &[&str]) -> Vec<DiffOp> {
    // The one algorithm by its name: the library's own choice among them would bring six, many times each.
    let mut edits = Compact::new(Replace::new(Capture::new()), old, new);
    let Ok(()) = myers::diff(&mut edits, old, 0..old.len(), new, 0..new.len());
    edits.into_inner().into_inner().into_ops()
}

fn heading(path: &str, file: &FileSnapshot) -> String {
    let format = match file.columns {
        Columns::System => "with a user column".to_owned(),
        Columns::User => format!("of {}", escape(file.user.as_bytes())),
    };
    let mode = file.access.map_or_else(String::new, |access| {
        format!(", mode {:04o}, owner {}:{}", access.mode, access.uid, access.gid)
    });
    let equal = match file.instances.len() {
        0 => "no container's file equals it".to_owned(),
        1 => "the file of 1 container equals it".to_owned(),
        count => format!("the files of {count} containers equal it"),
    };
    format!("{}: {format}{mode}; {equal}", escape(path.as_bytes()))
}

fn show_text(text: Option<&Content>, out: &mut dyn Write) -> std::io::Result<()> {
    let Some(text) = text else { return writeln!(out, "    (gone from its directory)") };
    if text.0.is_empty() {
        return writeln!(out, "    (empty)");
    }
    let lines = text.0.strip_suffix(b"\n").unwrap_or(&text.0).split(|&byte| byte == b'\n');
    for line in lines {
        writeln!(out, "    {}", plain(&String::from_utf8_lossy(line)))?;
    }
    Ok(())
}

/// A line of a crontab for a terminal: tabs stay, other control characters are shown.
fn plain(line: &str) -> String {
    line.split('\t').map(|part| escape(part.as_bytes())).collect::<Vec<_>>().join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_is_that_of_diff_u() {
        let diff = unified("/etc/crontab", Some(b"a\nb\nc\n"), Some(b"a\nx\nc"));
        assert_eq!(
            diff,
            "--- snapshot:/etc/crontab\n+++ /etc/crontab\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n+x\n+c\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn changes_far_from_each_other_are_shown_apart() {
        let numbered = |changed: &[usize]| {
            let line = |n| if changed.contains(&n) { format!("x{n}\n") } else { format!("{n}\n") };
            (1..=20).map(line).collect::<String>()
        };
        let (old, new) = (numbered(&[]), numbered(&[2, 18]));
        let diff = unified("/c", Some(old.as_bytes()), Some(new.as_bytes()));
        assert_eq!(
            diff,
            "--- snapshot:/c\n+++ /c\n@@ -1,5 +1,5 @@\n 1\n-2\n+x2\n 3\n 4\n 5\n@@ -15,6 +15,6 @@\n 15\n 16\n 17\n-18\n+x18\n 19\n 20\n"
        );
    }

    #[test]
    fn a_side_that_is_gone_is_named_so() {
        let diff = unified("/c", Some(b"a\n"), None);
        assert_eq!(diff, "--- snapshot:/c\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n");
        assert_eq!(unified("/c", None, Some(b"")), "--- /dev/null\n+++ /c\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(plain("a\tb\x1b[1m"), "a\tb^[[1m");
    }
}
