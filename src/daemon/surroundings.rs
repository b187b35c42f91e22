//! What an image lacks that jobs or their owners may expect.

use std::path::Path;

/// What is missing below `root`, in one warning; none where all is there.
///
/// Nothing of it is needed to run; what it means is said with it.
pub(super) fn missing(root: &Path) -> Option<String> {
    let lacks = |path: &str| !root.join(path).exists();
    let mut missing = Vec::new();
    if lacks("bin/sh") {
        missing.push("no /bin/sh: only plain commands and those with a SHELL of their own start");
    }
    if lacks("etc/passwd") {
        missing.push("no /etc/passwd: users are known by number only");
    }
    if lacks("tmp") {
        missing.push("no /tmp");
    }
    if lacks("dev/null") {
        missing.push("no /dev/null");
    }
    (!missing.is_empty()).then(|| format!("this system has {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn everything_that_is_missing_is_one_warning() {
        let root = tempfile::tempdir().unwrap();
        let warning = missing(root.path()).unwrap();
        assert!(warning.contains("/bin/sh") && warning.contains("/etc/passwd"), "{warning}");
        for folder in ["bin", "etc", "tmp", "dev"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        for file in ["bin/sh", "etc/passwd", "dev/null"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        assert_eq!(missing(root.path()), None);
    }
}
