//! The system's log: datagrams to `/dev/log`, as RFC 3164 has them on one host.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Zoned;

use super::record::{Level, Record};

/// Where the system's log is listening.
pub const DEV_LOG: &str = "/dev/log";

/// The facility `cron`.
const FACILITY: u8 = 9;

/// How long a log that does not read may hold up ours; after that the line is dropped.
const PATIENCE: Duration = Duration::from_millis(200);

/// Bytes of a job's line in one message; longer lines are cut into several, as cronie cuts them.
const MOST_OUTPUT: usize = 1023;

/// Bytes that every log takes, for a message that this one calls too long.
const SAFE: usize = 1024;

/// A connection to the system's log, made again whenever the log was restarted.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    /// `crond[123]`.
    ident: String,
    socket: Mutex<Option<UnixDatagram>>,
}

impl Syslog {
    /// The log that listens at `path`, now or later; we speak as `name`, with our process's id.
    #[must_use]
    pub fn new(path: &Path, name: &str) -> Self {
        let ident = format!("{name}[{}]", std::process::id());
        Syslog { path: path.to_owned(), ident, socket: Mutex::new(connected(path).ok()) }
    }

    /// Whether somebody listens.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.socket.lock().is_ok_and(|socket| socket.is_some())
    }

    /// Sends a message; whether the log has taken it.
    ///
    /// `at` is the wall time that it carries, in its own zone. A log that is gone, or does not read for 200 ms, loses it.
    pub fn send(&self, level: Level, at: &Zoned, text: &str) -> bool {
        let priority = FACILITY << 3 | severity(level);
        let time = at.strftime("%b %e %H:%M:%S");
        let message = format!("<{priority}>{time} {}: {text}", self.ident);
        let Ok(mut socket) = self.socket.lock() else { return false };
        for _ in 0..2 {
            if socket.is_none() {
                *socket = connected(&self.path).ok();
            }
            let Some(open) = &*socket else { return false };
            match open.send(message.as_bytes()) {
                Ok(_) => return true,
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    return open.send(cut(&message, SAFE).as_bytes()).is_ok();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The log was restarted: its socket is another one now.
                Err(_) => *socket = None,
            }
        }
        false
    }

    /// Sends a line that a job has printed: `(user) CMDOUT (line)`; both escaped already.
    pub fn send_output(&self, at: &Zoned, user: &str, line: &str) {
        let mut rest = line;
        loop {
            let part = cut(rest, MOST_OUTPUT);
            self.send(Level::Info, at, &format!("({user}) CMDOUT ({part})"));
            rest = &rest[part.len()..];
            if rest.is_empty() {
                return;
            }
        }
    }
}

/// A record as the system's log has it: it adds time and level by itself.
///
/// The start and the end of a run are cron's words; programs that read them expect the bracket to be the last.
#[must_use]
pub fn text_of(record: &Record<'_>) -> String {
    let mut text = record.message.to_owned();
    if record.event == "run.started" {
        return text;
    }
    if text.is_empty() {
        record.event.clone_into(&mut text);
    }
    let plain = Record { time: "", event: "", message: "", ..*record };
    let mut fields = String::new();
    plain.write(super::record::Format::Logfmt, false, &mut fields);
    let fields = fields.trim_end();
    let pairs = fields.strip_prefix("time= level=").unwrap_or(fields);
    if let Some((_, pairs)) = pairs.split_once(' ') {
        text.push(' ');
        text.push_str(pairs);
    }
    text
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// The beginning of a text, of at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::sink::record::Value;

    fn at() -> Zoned {
        Timestamp::from_second(1_000_000).unwrap().to_zoned(TimeZone::UTC)
    }

    fn listening() -> (tempfile::TempDir, PathBuf, UnixDatagram) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let listener = UnixDatagram::bind(&path).unwrap();
        (folder, path, listener)
    }

    fn received(listener: &UnixDatagram) -> String {
        let mut bytes = [0; 8192];
        let count = listener.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_message_has_facility_cron_the_time_and_who_speaks() {
        let (_folder, path, listener) = listening();
        let syslog = Syslog::new(&path, "crond");
        assert!(syslog.send(Level::Warn, &at(), "words"));
        let pid = std::process::id();
        assert_eq!(received(&listener), format!("<76>Jan 12 13:46:40 crond[{pid}]: words"));
    }

    #[test]
    fn a_log_that_was_restarted_is_found_again() {
        let (_folder, path, listener) = listening();
        let syslog = Syslog::new(&path, "crond");
        drop(listener);
        assert!(!syslog.send(Level::Info, &at(), "lost"));
        std::fs::remove_file(&path).unwrap();
        let listener = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(Level::Info, &at(), "found"));
        assert!(received(&listener).ends_with(": found"));
    }

    #[test]
    fn a_log_that_starts_later_is_found_then() {
        let (_folder, path, listener) = listening();
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        let syslog = Syslog::new(&path, "crond");
        assert!(!syslog.is_listening() && !syslog.send(Level::Info, &at(), "lost"));
        let listener = UnixDatagram::bind(&path).unwrap();
        assert!(syslog.send(Level::Info, &at(), "found") && syslog.is_listening());
        assert!(received(&listener).ends_with(": found"));
    }

    #[test]
    fn a_log_that_does_not_read_holds_nobody_up_for_long() {
        let (_folder, path, _listener) = listening();
        let syslog = Syslog::new(&path, "crond");
        let taken = (0..10_000).take_while(|_| syslog.send(Level::Info, &at(), "x")).count();
        assert!(taken < 10_000);
    }

    /// Row 96.
    #[test]
    fn a_long_line_of_output_is_cut_as_cronie_cuts_it() {
        let (_folder, path, listener) = listening();
        let syslog = Syslog::new(&path, "crond");
        syslog.send_output(&at(), "root", &"ä".repeat(600));
        let words = |text: &str| text.split_once("]: ").unwrap().1.to_owned();
        let first = words(&received(&listener));
        let second = words(&received(&listener));
        assert_eq!(first, format!("(root) CMDOUT ({})", "ä".repeat(511)));
        assert_eq!(second, format!("(root) CMDOUT ({})", "ä".repeat(89)));
        syslog.send_output(&at(), "root", "");
        assert_eq!(words(&received(&listener)), "(root) CMDOUT ()");
    }

    #[test]
    fn the_start_of_a_run_is_crons_words_and_nothing_else() {
        let fields = [("job", Value::Text("a b".into())), ("exit", Value::Integer(3))];
        let record = |event| Record {
            time: "2026",
            level: Level::Info,
            event,
            message: "(root) CMD (true)",
            fields: &fields,
        };
        assert_eq!(text_of(&record("run.started")), "(root) CMD (true)");
        assert_eq!(text_of(&record("run.ended")), "(root) CMD (true) job=\"a b\" exit=3");
    }
}
