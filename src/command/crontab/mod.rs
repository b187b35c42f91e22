//! `crontab`: the users' tables, listed, installed, edited, removed.
//!
//! The one command that changes something. A table with an error is not installed; every error is told. Exit codes and
//! messages are cronie's.

pub mod allow;
pub mod edit;
pub mod spool;
pub mod tables;
pub mod verdict;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::path::Path;

use anyhow::Context as _;
use nix::unistd::{Uid, User, getuid};

use super::{Console, is_standard_input};
use crate::args::{CrontabArgs, crontab_usage};
use crate::config::default_zone;
use crate::exit::{ExitCode, UsageError};
use crate::schedule::Zone;
use crate::sink::record::is_colour_welcome;
use edit::Draft;
use spool::MOST_BYTES;
use tables::Tables;
use verdict::Verdict;

/// Does what crontab(1) was asked for.
pub(super) fn run(args: &CrontabArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    if args.version {
        writeln!(console.out, "cronkeep {}", env!("CARGO_PKG_VERSION"))?;
        return Ok(ExitCode::Success);
    }
    let zone = default_zone(None, console.host).map_err(UsageError::from)?.zone;
    let mut crontab = Crontab {
        coloured: is_colour_welcome(&io::stderr()),
        console,
        zone,
        user: match owner(args.user.as_deref())? {
            Ok(user) => user,
            Err(refusal) => return refused(&refusal),
        },
    };
    if args.test {
        return crontab.test(args.file.as_deref());
    }
    if let Some(refusal) = refusal_of_caller()? {
        return refused(&refusal);
    }
    if args.list {
        crontab.list()
    } else if args.edit {
        crontab.edit()
    } else if args.remove {
        crontab.remove(args.ask)
    } else {
        crontab.install(args.file.as_deref())
    }
}

/// Says why not, as cron says it: without the program's own prefix.
fn refused(words: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "{words}")?;
    Ok(ExitCode::Failure)
}

/// Whose table it is: the caller's, another's for root, or why not.
fn owner(named: Option<&str>) -> anyhow::Result<Result<User, String>> {
    let caller = User::from_uid(getuid()).ok().flatten();
    let Some(named) = named else {
        let uid = getuid();
        return Ok(Ok(caller.unwrap_or_else(|| nameless(uid))));
    };
    let is_own = caller.as_ref().is_some_and(|caller| caller.name == named);
    if !is_own && !getuid().is_root() {
        return Ok(Err("must be privileged to use -u".into()));
    }
    let found = User::from_name(named).context("failed to read the user database")?;
    Ok(found.ok_or_else(|| {
        format!("crontab: user `{}' unknown", crate::sink::record::escape(named.as_bytes()))
    }))
}

/// Root in an image without a user database, or a container's user that is just a number.
fn nameless(uid: Uid) -> User {
    let name = if uid.is_root() { "root".to_owned() } else { uid.to_string() };
    User {
        name,
        uid,
        gid: nix::unistd::getgid(),
        passwd: c"".into(),
        gecos: c"".into(),
        dir: "/".into(),
        shell: "/bin/sh".into(),
    }
}

/// Why the caller may have no table, if so.
fn refusal_of_caller() -> anyhow::Result<Option<String>> {
    let caller = User::from_uid(getuid()).ok().flatten();
    let name = caller.map_or_else(|| getuid().to_string(), |caller| caller.name);
    let lists = allow::LISTS.map(Path::new);
    let allowed = match allow::is_allowed(&name, getuid().as_raw(), lists) {
        // A list that is root's secret: the daemon reads it, and judges.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
        outcome => outcome?,
    };
    Ok((!allowed).then(|| denial(&name)))
}

struct Crontab<'a, 'b> {
    console: &'a mut Console<'b>,
    coloured: bool,
    zone: Zone,
    user: User,
}

impl Crontab<'_, '_> {
    fn tables(&self) -> anyhow::Result<Tables> {
        Tables::for_caller(self.console.host)
    }

    /// Prints the table as it stands.
    fn list(&mut self) -> anyhow::Result<ExitCode> {
        match self.tables()?.read(&self.user)? {
            Some(bytes) => {
                self.console.out.write_all(&bytes)?;
                Ok(ExitCode::Success)
            }
            None => self.none(),
        }
    }

    fn none(&mut self) -> anyhow::Result<ExitCode> {
        writeln!(self.console.err, "no crontab for {}", self.user.name)?;
        Ok(ExitCode::Failure)
    }

    fn remove(&mut self, ask: bool) -> anyhow::Result<ExitCode> {
        let tables = self.tables()?;
        if ask {
            if tables.read(&self.user)?.is_none() {
                return self.none();
            }
            let question = format!("crontab: really delete {}'s crontab? (y/n) ", self.user.name);
            if !self.agrees(&question, false)? {
                return Ok(ExitCode::Success);
            }
        }
        if tables.remove(&self.user)? { Ok(ExitCode::Success) } else { self.none() }
    }

    fn install(&mut self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        if file.is_none() && io::stdin().is_terminal() {
            writeln!(self.console.err, "crontab: a file is needed, or - for standard input")?;
            writeln!(self.console.err, "{}", crontab_usage())?;
            return Ok(ExitCode::Failure);
        }
        let verdict = self.examine(file)?;
        verdict.tell(false, self.coloured, self.console.err)?;
        if !verdict.passes() {
            writeln!(self.console.err, "Invalid crontab file, can't install.")?;
            return Ok(ExitCode::Failure);
        }
        self.tables()?.install(&self.user, verdict.bytes())?;
        Ok(ExitCode::Success)
    }

    fn test(&mut self, file: Option<&Path>) -> anyhow::Result<ExitCode> {
        let verdict = self.examine(file)?;
        verdict.tell(true, self.coloured, self.console.err)?;
        if verdict.passes() {
            writeln!(self.console.err, "No syntax issues were found in the crontab file.")?;
            return Ok(ExitCode::Success);
        }
        writeln!(self.console.err, "Invalid crontab file. Syntax issues were found.")?;
        Ok(ExitCode::Failure)
    }

    fn examine(&mut self, file: Option<&Path>) -> anyhow::Result<Verdict> {
        let path = file.unwrap_or(Path::new("-"));
        let name = path.display().to_string();
        let bytes = self.read(path).with_context(|| format!("failed to read {name}"))?;
        Ok(self.verdict(&name, bytes))
    }

    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = MOST_BYTES as u64 + 1;
        if is_standard_input(path) {
            self.console.input.take(most).read_to_end(&mut bytes)?;
        } else {
            File::open(path)?.take(most).read_to_end(&mut bytes)?;
        }
        if bytes.len() > MOST_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn verdict(&self, name: &str, bytes: Vec<u8>) -> Verdict {
        Verdict::of(name, bytes, &self.user.name, &self.zone, self.console.now)
    }

    /// Lets the user edit the table until it can be installed, or they give up; then their text is kept.
    fn edit(&mut self) -> anyhow::Result<ExitCode> {
        let tables = self.tables()?;
        let before = tables.read(&self.user)?;
        if before.is_none() {
            writeln!(self.console.err, "no crontab for {} - using an empty one", self.user.name)?;
        }
        let before = before.unwrap_or_default();
        let draft = Draft::new(&before).context("failed to make a file to edit")?;
        let outcome = self.edit_draft(&tables, &draft, &before);
        match &outcome {
            Ok(Edited::Installed) => writeln!(self.console.err, "crontab: installing new crontab")?,
            Ok(Edited::Unchanged) => {
                writeln!(self.console.err, "crontab: no changes made to crontab")?;
            }
            Ok(Edited::Abandoned) | Err(_) => {
                // A text nobody has touched is no loss, unless its editor was killed before it saved it.
                let is_edited = draft.read().is_ok_and(|now| now != before);
                if is_edited || draft.has_leavings() {
                    let path = if is_edited { draft.path() } else { draft.folder() };
                    writeln!(self.console.err, "crontab: edits left in {}", path.display())?;
                    return outcome.map(|_| ExitCode::Failure);
                }
            }
        }
        draft.discard();
        let code = match outcome? {
            Edited::Abandoned => ExitCode::Failure,
            Edited::Installed | Edited::Unchanged => ExitCode::Success,
        };
        Ok(code)
    }

    fn edit_draft(
        &mut self,
        tables: &Tables,
        draft: &Draft,
        before: &[u8],
    ) -> anyhow::Result<Edited> {
        let editor = edit::editor();
        let shown = editor.to_string_lossy().into_owned();
        loop {
            let status = draft.edit(&editor).with_context(|| format!("failed to start {shown}"))?;
            if !status.success() {
                writeln!(self.console.err, "crontab: \"{shown}\": {status}")?;
                return Ok(Edited::Abandoned);
            }
            let after = draft.read().with_context(|| draft.path().display().to_string())?;
            // The text decides, not the file's time: an editor may well be done within the second.
            if after == before {
                return Ok(Edited::Unchanged);
            }
            let verdict = self.verdict(&draft.path().display().to_string(), after);
            verdict.tell(false, self.coloured, self.console.err)?;
            if verdict.passes() {
                tables.install(&self.user, verdict.bytes())?;
                return Ok(Edited::Installed);
            }
            writeln!(self.console.err, "Invalid crontab file, can't install.")?;
            if !self.agrees("Do you want to retry the same edit? (Y/N) ", true)? {
                return Ok(Edited::Abandoned);
            }
        }
    }

    /// Asks a question on the terminal; the end of the input is a no.
    ///
    /// With `insist` it is asked again until the answer is a yes or a no; else anything but a yes is a no.
    fn agrees(&mut self, question: &str, insist: bool) -> io::Result<bool> {
        loop {
            write!(self.console.err, "{question}")?;
            self.console.err.flush()?;
            let mut answer = Vec::new();
            // Byte by byte: what follows the line is the next question's, or the editor's.
            let mut byte = [0];
            while self.console.input.read(&mut byte)? == 1 && byte[0] != b'\n' {
                answer.push(byte[0]);
            }
            match answer.trim_ascii_start().first() {
                Some(b'y' | b'Y') => return Ok(true),
                Some(b'n' | b'N') => return Ok(false),
                Some(_) if insist => writeln!(self.console.err, "Enter Y or N")?,
                None if insist && byte[0] == b'\n' => {
                    writeln!(self.console.err, "Enter Y or N")?;
                }
                Some(_) | None => return Ok(false),
            }
        }
    }
}

/// How an edit ended.
enum Edited {
    Installed,
    Unchanged,
    /// It was given up, or the editor failed.
    Abandoned,
}

/// What a user is told whom cron.allow or cron.deny keeps out.
#[must_use]
pub fn denial(user: &str) -> String {
    format!(
        "You ({user}) are not allowed to use this program (crontab)\nSee crontab(1) for more information"
    )
}
