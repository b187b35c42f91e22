//! The smallest base image that jobs can live in: busybox, the account files, the libraries of the program.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::program;

/// What jobs of these tests call, and what a person would who looks into the container.
const APPLETS: [&str; 10] =
    ["sh", "cat", "echo", "id", "ls", "ps", "setsid", "sleep", "touch", "true"];

/// The program that goes into the image.
pub(crate) fn cronkeep() -> PathBuf {
    std::env::var_os("CRONKEEP_TEST_IMAGE_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_cronkeep")), PathBuf::from)
}

/// Writes the image's files into a folder.
pub(crate) fn write(folder: &Path) {
    for name in ["bin", "etc", "tmp"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::set_permissions(folder.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy(program("busybox").unwrap(), folder.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", folder.join("bin").join(applet)).unwrap();
    }
    let accounts = "root:x:0:0::/:/bin/sh\nworker:x:1000:1000::/tmp:/bin/sh\n";
    fs::write(folder.join("etc/passwd"), accounts).unwrap();
    fs::write(folder.join("etc/group"), "root:x:0:\nworker:x:1000:\n").unwrap();
    for library in libraries(&cronkeep()) {
        let copy = folder.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(&library, copy).unwrap();
    }
}

/// The shared libraries of a program; none if it is static, as the one of a release is.
pub(crate) fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
