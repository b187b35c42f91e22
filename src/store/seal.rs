//! Seals: proof that what a store returns was put there by somebody who has the key.
//!
//! HMAC-SHA-256 (RFC 2104, FIPS 180-4) over what kind of thing it is, whose, under which version, and the content, each
//! with its length before it. What is sealed begins with [`HEAD`], the code in hexadecimal, and a line feed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::job::JobKey;

/// How something sealed begins.
pub const HEAD: &[u8] = b"cronkeep-seal-1:";

/// Hexadecimal digits of a code.
const DIGITS: usize = 64;
/// The shortest key, in bytes.
const SHORTEST: usize = 16;
/// The longest key, in bytes.
const LONGEST: u64 = 4096;

/// What is sealed: a seal of one kind is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A set of crontabs.
    Snapshot,
    /// A message that waits for its broker.
    Outbox,
    /// The pause of a job.
    Pause,
}

/// Seals for one namespace, and judges seals.
#[derive(Clone)]
pub struct Seal {
    key: Vec<u8>,
    namespace: String,
}

/// Why something is not taken for what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSeal {
    /// It has no seal.
    #[error("it is not signed")]
    Missing,
    /// Its seal was made with another key, for another namespace, kind or version, or for another content.
    #[error("its signature is not that of our key for this namespace and version")]
    Wrong,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum BadKey {
    /// Its file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is too short to keep anybody out.
    #[error(
        "the key has {0} bytes: at least {SHORTEST} are needed, such as `openssl rand -hex 32` prints"
    )]
    Short(usize),
    /// It is no key.
    #[error("the key has more than {LONGEST} bytes")]
    Long,
    /// Others than its owner may read or change it.
    #[error("others than its owner may read or change it (mode {0:04o}; chmod 600)")]
    Open(u32),
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Snapshot => "snapshot",
            Kind::Outbox => "outbox",
            Kind::Pause => "pause",
        }
    }
}

impl Seal {
    /// Reads the key from a file; see [`read_key`].
    ///
    /// # Errors
    /// As those of [`read_key`].
    pub fn from_file(path: &Path, namespace: &str) -> Result<Self, BadKey> {
        Seal::new(&read_key(path)?, namespace)
    }

    /// Seals with this key.
    ///
    /// # Errors
    /// The key is too short.
    pub fn new(key: &[u8], namespace: &str) -> Result<Self, BadKey> {
        if key.len() < SHORTEST {
            return Err(BadKey::Short(key.len()));
        }
        Ok(Seal { key: key.to_vec(), namespace: namespace.to_owned() })
    }

    /// The content with its seal before it.
    #[must_use]
    pub fn seal(&self, kind: Kind, version: u64, content: &[u8]) -> Vec<u8> {
        let code = self.code(kind, version, content).finalize().into_bytes();
        let mut sealed = Vec::with_capacity(HEAD.len() + DIGITS + 1 + content.len());
        sealed.extend_from_slice(HEAD);
        for byte in code {
            sealed.extend(
                [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]),
            );
        }
        sealed.push(b'\n');
        sealed.extend_from_slice(content);
        sealed
    }

    /// The content of what was sealed for this kind and version.
    ///
    /// # Errors
    /// There is no seal, or not this one.
    pub fn open<'a>(
        &self,
        kind: Kind,
        version: u64,
        sealed: &'a [u8],
    ) -> Result<&'a [u8], BadSeal> {
        let (digits, content) = parts(sealed).ok_or(BadSeal::Missing)?;
        let code = from_hex(digits).ok_or(BadSeal::Wrong)?;
        // In constant time.
        self.code(kind, version, content).verify_slice(&code).map_err(|_| BadSeal::Wrong)?;
        Ok(content)
    }

    /// The code of a job's pause. It is the same for each pause of that job.
    #[must_use]
    pub fn pause(&self, job: JobKey) -> [u8; 32] {
        let content = format!("{}#{}", job.id.digits(), job.occurrence);
        self.code(Kind::Pause, 0, content.as_bytes()).finalize().into_bytes().into()
    }

    fn code(&self, kind: Kind, version: u64, content: &[u8]) -> Hmac<Sha256> {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        for part in
            [kind.name().as_bytes(), self.namespace.as_bytes(), &version.to_be_bytes(), content]
        {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        code
    }
}

impl fmt::Debug for Seal {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

/// The key in a file; blanks and line ends after it are none of it.
///
/// # Errors
/// It cannot be read, others may read or change it, or it is too short or too long.
pub fn read_key(path: &Path) -> Result<Vec<u8>, BadKey> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode() & 0o7777;
    // A mounted secret may be readable for a group; everybody is one too many.
    if mode & 0o027 != 0 {
        return Err(BadKey::Open(mode));
    }
    let mut key = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut key)?;
    if key.len() as u64 > LONGEST {
        return Err(BadKey::Long);
    }
    key.truncate(key.trim_ascii_end().len());
    if key.len() < SHORTEST {
        return Err(BadKey::Short(key.len()));
    }
    Ok(key)
}

/// The content of something that may be sealed, whoever sealed it: for those who have no key to judge it by.
#[must_use]
pub fn content(bytes: &[u8]) -> &[u8] {
    parts(bytes).map_or(bytes, |(_, content)| content)
}

/// Whether something is sealed, by whomever.
#[must_use]
pub fn is_sealed(bytes: &[u8]) -> bool {
    parts(bytes).is_some()
}

/// The digits of the code, and the content.
fn parts(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = sealed.strip_prefix(HEAD)?;
    let (digits, rest) = rest.split_at_checked(DIGITS)?;
    Some((digits, rest.strip_prefix(b"\n")?))
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const KEY: &[u8] = b"0123456789abcdef";

    fn seal() -> Seal {
        Seal::new(KEY, "web").unwrap()
    }

    #[test]
    fn what_was_sealed_is_opened_again() {
        for content in [&b""[..], b"x", b"\n\n", b"cronkeep-seal-1:", &[0xff; 1000]] {
            let sealed = seal().seal(Kind::Snapshot, 7, content);
            assert_eq!(seal().open(Kind::Snapshot, 7, &sealed), Ok(content));
            assert_eq!(super::content(&sealed), content);
        }
    }

    #[test]
    fn a_seal_holds_for_one_kind_namespace_version_key_and_content() {
        let sealed = seal().seal(Kind::Snapshot, 7, b"* * * * * true\n");
        let wrong = Err(BadSeal::Wrong);
        assert_eq!(seal().open(Kind::Pause, 7, &sealed), wrong);
        assert_eq!(seal().open(Kind::Snapshot, 6, &sealed), wrong);
        assert_eq!(Seal::new(KEY, "we").unwrap().open(Kind::Snapshot, 7, &sealed), wrong);
        let other = Seal::new(b"0123456789abcdeg", "web").unwrap();
        assert_eq!(other.open(Kind::Snapshot, 7, &sealed), wrong);
        for place in HEAD.len()..sealed.len() {
            let mut sealed = sealed.clone();
            sealed[place] ^= 1;
            assert!(seal().open(Kind::Snapshot, 7, &sealed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn what_has_no_seal_is_refused_and_can_be_had_without_a_key() {
        for bytes in [&b""[..], b"{}", HEAD, b"cronkeep-seal-1:abc\n{}"] {
            assert_eq!(seal().open(Kind::Snapshot, 1, bytes), Err(BadSeal::Missing));
            assert_eq!(content(bytes), bytes);
        }
    }

    /// Made with Python's hmac and struct.
    #[test]
    fn the_code_is_that_of_another_program() {
        let sealed = seal().seal(Kind::Snapshot, 1, b"x");
        let code = String::from_utf8(sealed[HEAD.len()..HEAD.len() + DIGITS].to_vec()).unwrap();
        assert_eq!(code, "1971ae5d51fac8619c397cac3846ab857939dc5ee63dc1563810de1f59bcb449");
    }

    #[test]
    fn a_key_is_long_enough_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [KEY, b" \n"].concat()).unwrap();
        for (mode, taken) in
            [(0o600, true), (0o400, true), (0o440, true), (0o644, false), (0o620, false)]
        {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Seal::from_file(&path, "web").is_ok(), taken, "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let sealed = Seal::from_file(&path, "web").unwrap().seal(Kind::Outbox, 1, b"");
        assert_eq!(seal().open(Kind::Outbox, 1, &sealed), Ok(&b""[..]));
        fs::write(&path, "short\n").unwrap();
        assert!(matches!(Seal::from_file(&path, "web"), Err(BadKey::Short(5))));
        fs::write(&path, [b'x'; 5000]).unwrap();
        assert!(matches!(Seal::from_file(&path, "web"), Err(BadKey::Long)));
        assert!(matches!(Seal::from_file(&folder.path().join("none"), "web"), Err(BadKey::Io(_))));
    }

    #[test]
    fn the_key_is_not_shown() {
        assert!(!format!("{:?}", seal()).contains("48, 49"));
    }
}
