//! A socket's place in the file system: made safely, taken from the dead, given back.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

use crate::unix::lock::{Lock, LockError};

/// How long a daemon may take to accept a connection before it counts as alive, though busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// The socket for everybody that belongs to a control socket, in the same folder: `crontab.sock` beside `control.sock`, else
/// one whose name begins as the control socket's, so that daemons whose control sockets lie in one folder have one each.
#[must_use]
pub fn for_everybody(control: &Path) -> PathBuf {
    let name = control.file_name().unwrap_or_default().as_bytes();
    let (start, end) = match name.strip_suffix(b".sock") {
        Some(b"control") => return control.with_file_name("crontab.sock"),
        Some(start) => (start, ".crontab.sock"),
        None => (name, ".crontab"),
    };
    control.with_file_name(OsStr::from_bytes(&[start, end.as_bytes()].concat()))
}

/// A socket that listens; its name is gone when this is dropped, unless another socket has taken it.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    inode: (u64, u64),
}

/// Why there is no socket; in words for a warning.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A daemon that lives listens there.
    #[error("{}: another daemon listens there", path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// Others could put their own socket in its place.
    #[error("{}: others may write to this folder (owner {owner}, mode {mode:04o})", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The folder's owner, by number.
        owner: u32,
        /// The folder's permissions.
        mode: u32,
    },
    /// A file that is no socket has its name.
    #[error("{}: there is a file of that name that is no socket", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The socket, or its folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Socket {
    /// Listens at `path`, with these permissions.
    ///
    /// Makes the folder if it is missing: for everybody to enter where we are root, else for us alone. The socket of a
    /// daemon that has died is replaced, that of one that lives is not. To be called within a tokio runtime that drives
    /// time and I/O, with a umask that keeps others from writing.
    ///
    /// # Errors
    /// Another daemon listens there, the folder is not safe, or the system refuses.
    pub async fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        let failed = |at: &Path| {
            let path = at.to_owned();
            move |source| BindError::Io { path, source }
        };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder).map_err(failed(folder))?;
        let found = fs::metadata(folder).map_err(failed(folder))?;
        if !is_safe(&found) {
            let (folder, owner) = (folder.to_owned(), found.uid());
            return Err(BindError::Folder { folder, owner, mode: found.mode() & 0o7777 });
        }
        // Two daemons that start at once must not both find the same dead socket.
        let _turn = Turn::take(path)?;
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(path)(error)),
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::Taken { path: path.to_owned() });
            }
            Ok(_) if is_live(path).await => return Err(BindError::Live { path: path.to_owned() }),
            Ok(_) => fs::remove_file(path).map_err(failed(path))?,
        }
        let listener = UnixListener::bind(path).map_err(failed(path))?;
        let own = fs::set_permissions(path, Permissions::from_mode(mode))
            .and_then(|()| fs::symlink_metadata(path))
            .map_err(failed(path))?;
        Ok(Socket { listener, path: path.to_owned(), inode: (own.dev(), own.ino()) })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == self.inode);
        if ours {
            // A folder that has become read-only keeps it: the next daemon finds it dead.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A turn at the name of a socket; whoever has it removes and makes what has that name.
///
/// A lock on a file of its own: on the folder, everybody who may enter it could hold one.
struct Turn {
    name: PathBuf,
    _lock: Lock,
}

impl Turn {
    fn take(socket: &Path) -> Result<Self, BindError> {
        let mut name = socket.as_os_str().to_owned();
        name.push(".lock");
        let name = PathBuf::from(name);
        match Lock::of_name(&name, 0o600) {
            Ok(lock) => Ok(Turn { name, _lock: lock }),
            Err(LockError::Held(_)) => Err(BindError::Live { path: socket.to_owned() }),
            Err(LockError::Io(source)) => Err(BindError::Io { path: name, source }),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // One that stays is in nobody's way.
        let _ = fs::remove_file(&self.name);
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mode = if nix::unistd::geteuid().is_root() { 0o755 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(folder)
}

/// Whether only root and we can rename and remove what is in a folder, or everybody just their own.
fn is_safe(folder: &Metadata) -> bool {
    let owner = folder.uid();
    let ours = owner == 0 || owner == nix::unistd::geteuid().as_raw();
    let mode = folder.mode();
    ours && (mode & 0o022 == 0 || mode & 0o1000 != 0)
}

/// Whether somebody listens; a listener whose queue is full does.
async fn is_live(path: &Path) -> bool {
    match tokio::time::timeout(PATIENCE, UnixStream::connect(path)).await {
        Ok(Err(error)) => {
            !matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
        }
        Ok(Ok(_)) | Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn each_control_socket_has_another_one_for_everybody_beside_it() {
        let names = ["control.sock", "a.sock", "a", "a.crontab", "crontab.sock", ".sock"];
        let paths = names.map(|name| for_everybody(&Path::new("/run/x").join(name)));
        assert_eq!(paths[0], Path::new("/run/x/crontab.sock"));
        assert_eq!(paths[1], Path::new("/run/x/a.crontab.sock"));
        assert_eq!(paths[2], Path::new("/run/x/a.crontab"));
        let distinct: std::collections::HashSet<_> = paths.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{paths:?}");
        assert_eq!(for_everybody(Path::new("a.sock")), Path::new("a.crontab.sock"));
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_alone_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/control.sock");
        let socket = Socket::bind(&path, 0o600).await.unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()) & 0o022, 0);
        drop(socket);
        assert!(!path.exists());
        assert!(path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_daemon_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        Socket::bind(&path, 0o600).await.unwrap();
    }

    #[tokio::test]
    async fn the_socket_of_a_live_daemon_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let first = Socket::bind(&path, 0o600).await.unwrap();
        let error = Socket::bind(&path, 0o600).await.unwrap_err();
        assert!(matches!(error, BindError::Live { .. }), "{error}");
        assert!(path.exists());
        drop(first);
        Socket::bind(&path, 0o600).await.unwrap();
    }

    #[tokio::test]
    async fn a_name_that_another_socket_took_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let socket = Socket::bind(&path, 0o600).await.unwrap();
        fs::rename(&path, folder.path().join("away")).unwrap();
        let other = StdListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(other);
    }

    #[tokio::test]
    async fn who_may_merely_read_the_folder_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let _anybody = Lock::of(fs::File::open(folder.path()).unwrap()).unwrap();
        let socket = Socket::bind(&path, 0o600).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the socket alone");
        drop(socket);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        let error = Socket::bind(&path, 0o600).await.unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_folder_that_others_write_to_is_refused_unless_it_is_sticky() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let error = Socket::bind(&path, 0o600).await.unwrap_err();
        assert!(error.to_string().contains("mode 0777"), "{error}");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        Socket::bind(&path, 0o600).await.unwrap();
    }
}
