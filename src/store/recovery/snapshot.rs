//! What the store keeps of crontabs, and what lies beside each of them.
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::error::Category;

use crate::crontab::{Format, Text};

/// The version of the form in which snapshots are kept.
pub const SCHEMA: u32 = 1;

/// The most instances that are remembered for one file; the oldest is forgotten first.
///
/// One that is forgotten is recovered as one that fell behind: by a merge, which changes nothing where nothing differs.
pub const MOST_INSTANCES: usize = 1_000;

/// The crontabs as they were last accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version of this form.
    pub schema: u32,
    /// By path.
    pub files: BTreeMap<String, FileSnapshot>,
    /// When a daemon named its crontabs again after nobody had for long, in seconds since 1970; none if that never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attended: Option<i64>,
}

/// One crontab as it was last accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSnapshot {
    /// Its text; none: it was accepted that the file is gone from its directory.
    pub text: Option<Content>,
    /// The text that the image brought along; empty where it brought none.
    pub base: Content,
    /// Whose file equals `text`, each once, the latest last.
    pub instances: Vec<Instance>,
    /// Lines that were added as comments for somebody to decide about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<Content>,
    /// Owner and mode, for a file that has to be made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// Whether its lines have a user column.
    pub columns: Columns,
    /// Whose table it is where they have none.
    pub user: String,
    /// When a daemon last said that it has it, in seconds since 1970; none: not since that is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<i64>,
}

/// Whether the lines of a crontab have a user column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Columns {
    /// They have.
    System,
    /// They have none.
    User,
}

/// Owner and mode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The permission bits, with set-user and the like.
    pub mode: u32,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// The random name that a file in one container has for as long as the container lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instance(pub String);

/// How the file in one container is related to the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinship {
    /// Which container.
    pub instance: Instance,
    /// What the file said when this container first started; empty where there was none.
    pub first: Content,
    /// What the file said when the snapshot last had all of it; none as long as there was nothing. Empty where both were
    /// gone.
    pub common: Option<Content>,
}

/// What lies beside a crontab and says which container it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// What it says.
    #[serde(flatten)]
    pub kinship: Kinship,
    /// The inode of the marker itself.
    pub inode: u64,
    /// When the marker was made, in nanoseconds since 1970, where the file system knows.
    pub born: Option<i64>,
    /// What the snapshot said when it was about to be written into the file, under its draft's name: all of it is in the file
    /// once no draft is there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Content>,
}

/// Bytes that are text as a rule: a JSON string where they are UTF-8, else `{"b64": …}`.
///
/// Cloning it shares them: the text of a large crontab is in snapshot, base and marker, and need not be there three times.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Content(pub Arc<Vec<u8>>);

/// What is wrong with bytes that are no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// They are no JSON, here: a line and a column, both from 1.
    Syntax(usize, usize),
    /// They end before the snapshot does.
    End,
    /// They are JSON, which is something else from here on.
    Shape(usize, usize),
}

/// Why the bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    /// They are not what a snapshot looks like.
    #[error("the snapshot cannot be read: {0}")]
    Unreadable(Flaw),
    /// A later version of the program wrote it.
    #[error("the snapshot has version {found}, newer than {SCHEMA}, the newest that is known here")]
    Newer {
        /// Its version.
        found: u32,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flaw::Syntax(line, column) => {
                write!(f, "it is no JSON (line {line}, column {column})")
            }
            Flaw::End => write!(f, "it ends too soon"),
            Flaw::Shape(line, column) => {
                write!(f, "it is JSON, but no snapshot (line {line}, column {column})")
            }
        }
    }
}

impl From<serde_json::Error> for BadSnapshot {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        BadSnapshot::Unreadable(match error.classify() {
            Category::Eof => Flaw::End,
            Category::Data => Flaw::Shape(line, column),
            Category::Syntax | Category::Io => Flaw::Syntax(line, column),
        })
    }
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot { schema: SCHEMA, files: BTreeMap::new(), attended: None }
    }
}

impl Snapshot {
    /// Reads what [`Snapshot::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are something else, or from a later version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        let Head { schema } = serde_json::from_slice(bytes)?;
        if schema > SCHEMA {
            return Err(BadSnapshot::Newer { found: schema });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The paths of those that lie directly in a folder; what is not found there any more has to be decided about too.
    pub fn members<'a>(&'a self, folder: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let folder = format!("{}/", folder.trim_end_matches('/'));
        self.files
            .keys()
            .filter(move |path| path.strip_prefix(&folder).is_some_and(|name| !name.contains('/')))
            .map(String::as_str)
    }

    /// The form in which it is kept: JSON; equal snapshots have equal bytes.
    ///
    /// # Panics
    /// Never: nothing in it refuses to be written.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("keys are strings, and nothing in it refuses to be written")
    }
}

impl FileSnapshot {
    /// Whether the file of this instance equals the text.
    #[must_use]
    pub fn is_held_by(&self, instance: &Instance) -> bool {
        self.instances.contains(instance)
    }

    /// The lines of a file, by number from 1, that still wait for somebody to decide: until then they stand there as they
    /// were added.
    pub fn undecided_in<'a>(&'a self, file: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        // A large file is not gone through for nothing.
        let file = if self.undecided.is_empty() { &[] } else { file };
        (1..)
            .zip(file.split(|&byte| byte == b'\n'))
            .filter(|(_, line)| {
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                self.undecided.iter().any(|waits| **waits == *line)
            })
            .map(|(number, _)| number)
    }

    /// Notes that the file of this instance equals the text.
    pub(super) fn note(&mut self, instance: &Instance) {
        if self.is_held_by(instance) {
            return;
        }
        if self.instances.len() >= MOST_INSTANCES {
            self.instances.drain(..=self.instances.len() - MOST_INSTANCES);
        }
        self.instances.push(instance.clone());
    }
}

impl Marker {
    /// Whether it was made where it lies: a copy has another inode, or was made at another time.
    #[must_use]
    pub fn is_of(&self, inode: u64, born: Option<i64>) -> bool {
        self.inode == inode && self.born == born
    }
}

impl From<Format> for Columns {
    fn from(format: Format) -> Self {
        match format {
            Format::System => Columns::System,
            Format::User => Columns::User,
        }
    }
}

impl From<Columns> for Format {
    fn from(columns: Columns) -> Self {
        match columns {
            Columns::System => Format::System,
            Columns::User => Format::User,
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content(Arc::new(bytes))
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Text::from(&**self).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// Takes either form, a string without a copy more than need be: it may hold a whole crontab.
struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or an object with b64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(text.into())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Content, E> {
        Ok(text.into_bytes().into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content, A::Error> {
        #[derive(Deserialize)]
        struct Coded {
            b64: String,
        }
        let Coded { b64 } = Coded::deserialize(MapAccessDeserializer::new(map))?;
        decode(&b64)
            .map(Content::from)
            .ok_or_else(|| de::Error::custom("the value of b64 is not base64"))
    }
}

/// Reads standard base64 with padding (RFC 4648 section 4).
fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, rest) = text.as_bytes().as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    for (at, group) in (1..).zip(groups) {
        let pads = group.iter().rev().take_while(|&&sign| sign == b'=').count();
        if pads > 2 || pads > 0 && at < groups.len() {
            return None;
        }
        let mut word = 0u32;
        for &sign in &group[..4 - pads] {
            let value = match sign {
                b'A'..=b'Z' => sign - b'A',
                b'a'..=b'z' => sign - b'a' + 26,
                b'0'..=b'9' => sign - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(value);
        }
        word <<= 6 * pads;
        bytes.extend_from_slice(&word.to_be_bytes()[1..4 - pads]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> FileSnapshot {
        FileSnapshot {
            text: Some("0 2 * * * root x\n".into()),
            base: Content::from(&b"# caf\xe9\n"[..]),
            instances: vec![Instance("a1".to_owned())],
            undecided: Vec::new(),
            access: Some(Access { mode: 0o644, uid: 0, gid: 0 }),
            columns: Columns::System,
            user: "root".to_owned(),
            named: None,
        }
    }

    #[test]
    fn a_snapshot_is_kept_as_json_and_reads_back() {
        let mut snapshot = Snapshot::default();
        snapshot.files.insert("/etc/crontab".to_owned(), file());
        let gone = FileSnapshot { text: None, access: None, ..file() };
        snapshot.files.insert("/etc/cron.d/gone".to_owned(), gone);
        let bytes = snapshot.to_bytes();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"schema":1,"files":{"/etc/cron.d/gone":{"text":null,"base":{"b64":"IyBjYWbpCg=="},"instances":["a1"],"columns":"system","user":"root"},"/etc/crontab":{"text":"0 2 * * * root x\n","base":{"b64":"IyBjYWbpCg=="},"instances":["a1"],"access":{"mode":420,"uid":0,"gid":0},"columns":"system","user":"root"}}}"#
        );
        assert_eq!(Snapshot::from_bytes(&bytes).unwrap(), snapshot);
    }

    #[test]
    fn the_members_of_a_folder_are_those_directly_in_it() {
        let mut snapshot = Snapshot::default();
        for path in ["/etc/cron.d/a", "/etc/cron.d/b/c", "/etc/cron.daily", "/etc/crontab"] {
            snapshot.files.insert(path.to_owned(), file());
        }
        for folder in ["/etc/cron.d", "/etc/cron.d/"] {
            assert_eq!(snapshot.members(folder).collect::<Vec<_>>(), ["/etc/cron.d/a"]);
        }
    }

    #[test]
    fn a_newer_snapshot_is_refused_whatever_is_in_it() {
        let error = Snapshot::from_bytes(br#"{"schema":2,"files":7}"#).unwrap_err();
        let message = "the snapshot has version 2, newer than 1, the newest that is known here";
        assert_eq!(error.to_string(), message);
        for (bytes, reason) in [
            (&b""[..], "it ends too soon"),
            (br#"{"schema":1,"files":{"/etc"#, "it ends too soon"),
            (b"[]", "it is JSON, but no snapshot (line 1, column "),
            (b"{}", "it is JSON, but no snapshot (line 1, column "),
            (b"\xff", "it is no JSON (line 1, column "),
            (b"no", "it is no JSON (line 1, column "),
            (br#"{"schema":"1"}"#, "it is JSON, but no snapshot (line 1, column "),
            (br#"{"schema":1,"files":[]}"#, "it is JSON, but no snapshot (line 1, column "),
        ] {
            let error = Snapshot::from_bytes(bytes).unwrap_err();
            let wanted = format!("the snapshot cannot be read: {reason}");
            assert!(error.to_string().starts_with(&wanted), "{error}");
            // Whoever tells the sources as well says it once.
            assert!(std::error::Error::source(&error).is_none());
        }
    }

    #[test]
    fn bytes_of_every_length_survive() {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37) | 0x80).collect();
            let content = Content::from(bytes);
            let json = serde_json::to_string(&content).unwrap();
            assert_eq!(serde_json::from_str::<Content>(&json).unwrap(), content, "{json}");
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["A", "A===", "AA==AAAA", "AA=A", "AAA\u{e9}", "AA A"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("Zm9vYg=="), Some(b"foob".to_vec()));
    }

    #[test]
    fn the_oldest_instance_is_forgotten_first() {
        let mut file = FileSnapshot { instances: Vec::new(), ..file() };
        let name = |number: usize| Instance(number.to_string());
        for number in 0..MOST_INSTANCES + 5 {
            file.note(&name(number));
        }
        file.note(&name(7));
        assert_eq!(file.instances.len(), MOST_INSTANCES);
        assert!(!file.is_held_by(&name(4)));
        assert!(file.is_held_by(&name(5)) && file.is_held_by(&name(MOST_INSTANCES + 4)));
    }

    #[test]
    fn a_line_waits_until_somebody_edits_it() {
        let file = FileSnapshot { undecided: vec!["# 0 1 * * * root x".into()], ..file() };
        let lines = |text: &'static str| file.undecided_in(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(lines("A=1\r\n# 0 1 * * * root x\r\n"), [2]);
        assert_eq!(lines("# 0 1 * * * root x"), [1]);
        assert!(lines("#0 1 * * * root x\n0 1 * * * root x\n").is_empty());
    }

    #[test]
    fn a_marker_that_was_copied_is_none() {
        let kinship =
            Kinship { instance: Instance("a".to_owned()), first: "x".into(), common: None };
        let marker = Marker { kinship, inode: 7, born: Some(1), next: None };
        let json = r#"{"instance":"a","first":"x","common":null,"inode":7,"born":1}"#;
        assert_eq!(serde_json::to_string(&marker).unwrap(), json);
        assert_eq!(serde_json::from_str::<Marker>(json).unwrap(), marker);
        let about = Marker { next: Some("y".into()), ..marker.clone() };
        let json = serde_json::to_string(&about).unwrap();
        assert_eq!(serde_json::from_str::<Marker>(&json).unwrap(), about);
        assert!(marker.is_of(7, Some(1)));
        assert!(!marker.is_of(8, Some(1)) && !marker.is_of(7, Some(2)) && !marker.is_of(7, None));
    }
}
