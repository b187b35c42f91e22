//! `crontab -e`: the editor, and where the text is while it is at work.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGQUIT};

/// What is edited where nothing names an editor.
const EDITORS: [&str; 2] = ["/usr/bin/editor", "/usr/bin/sensible-editor"];

/// A text in a file that only its editor can reach.
///
/// It stays when this is dropped: only [`Draft::discard`] removes it, so an edit is never lost.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    file: PathBuf,
}

impl Draft {
    /// Writes `bytes` to a new file in `TMPDIR` or `/tmp`.
    ///
    /// # Errors
    /// No file can be made there.
    pub fn new(bytes: &[u8]) -> io::Result<Self> {
        let folder = nix::unistd::mkdtemp(&std::env::temp_dir().join("crontab.XXXXXX"))?;
        // Editors know a crontab by its file's name.
        let file = folder.join("crontab");
        let mut options = fs::File::options();
        let mut open = options.write(true).create_new(true).mode(0o600).open(&file)?;
        io::Write::write_all(&mut open, bytes)?;
        Ok(Draft { folder, file })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// The text as the editor left it, whenever and however it was saved.
    ///
    /// # Errors
    /// The file is gone.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.file)
    }

    /// Where the file is, and whatever else its editor has put there.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether something lies beside the file, such as what an editor that was killed can recover a text from.
    #[must_use]
    pub fn has_leavings(&self) -> bool {
        let name = self.file.file_name();
        fs::read_dir(&self.folder)
            .is_ok_and(|items| items.flatten().any(|item| Some(&*item.file_name()) != name))
    }

    /// Lets the user edit it. An interrupt reaches the editor alone meanwhile.
    ///
    /// # Errors
    /// The editor cannot be started.
    #[expect(
        clippy::disallowed_methods,
        reason = "the editor has the terminal: there is nothing to do but wait for it"
    )]
    pub fn edit(&self, editor: &OsString) -> io::Result<ExitStatus> {
        // A handler, not a disposition of being ignored: the editor inherits the latter.
        let noticed = Arc::new(AtomicBool::new(false));
        let mut handlers = Vec::new();
        for signal in [SIGINT, SIGQUIT] {
            handlers.push(signal_hook::flag::register(signal, Arc::clone(&noticed))?);
        }
        // As git does: the variable may hold options, the file's name any byte.
        let mut script = editor.clone();
        script.push(" \"$@\"");
        let status =
            Command::new("/bin/sh").arg("-c").arg(script).arg("crontab").arg(&self.file).status();
        for handler in handlers {
            signal_hook::low_level::unregister(handler);
        }
        status
    }

    /// Removes the file, and whatever the editor left beside it.
    pub fn discard(self) {
        // What cannot be removed is a private file in a temporary directory.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The editor: `VISUAL`, `EDITOR`, the system's own, `vi`.
#[must_use]
pub fn editor() -> OsString {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let system = || EDITORS.iter().find(|path| Path::new(path).exists()).map(OsString::from);
    named("VISUAL").or_else(|| named("EDITOR")).or_else(system).unwrap_or_else(|| "vi".into())
}
