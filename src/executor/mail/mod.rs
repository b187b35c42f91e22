//! Mail about what runs print, as cronie sends it (`do_command.c`; vectors in `run.jsonl`), in addition to the log.

pub mod address;
pub mod message;
mod send;

pub(super) use send::Mailer;

use std::env;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::unistd::{AccessFlags, access};

use super::shell::{DEFAULT_PATH, Host};
use crate::crontab::directive::Output;
use crate::event::Run;
use crate::job::Terms;
use crate::unix::identity::hostname;
use crate::unix::{Account, Strings};

/// What takes mails where nothing else is said.
pub const SENDMAIL: &str = "/usr/sbin/sendmail";

/// How long a mail may take to be taken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The charset of mails where the daemon's environment names none.
const CHARSET: &str = "UTF-8";

/// What takes mails.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Via {
    /// Nothing.
    #[default]
    Off,
    /// A sendmail with this path, with cronie's arguments; used from the moment it is there.
    Sendmail(CString),
    /// A command, cut at blanks, without a shell; it gets no more arguments.
    Command(Vec<CString>),
}

/// How mails are sent.
#[derive(Debug, Clone, Default)]
pub struct Post {
    /// What takes them.
    pub via: Via,
    /// The host's name up to its first dot.
    pub host: String,
    /// Of the output, unless a crontab says otherwise.
    pub charset: String,
    /// Whether the two streams stay apart even where a mail is due.
    ///
    /// cronie gives a command one pipe for both, so that a mail has them in the order in which they were printed.
    pub apart: bool,
    /// How long a mail may take to be taken; then what takes it is killed.
    pub patience: Duration,
}

impl Via {
    /// A command line, cut at blanks as cronie cuts it; none if it is empty or holds a NUL byte.
    #[must_use]
    pub fn command(line: &str) -> Option<Self> {
        let words = line.split([' ', '\t', '\n']).filter(|word| !word.is_empty());
        let words: Vec<_> = words.map(CString::new).collect::<Result<_, _>>().ok()?;
        (!words.is_empty()).then_some(Via::Command(words))
    }

    /// The program and its arguments, if the program is there at this moment.
    fn program(&self, from: &[u8]) -> Option<Vec<CString>> {
        match self {
            Via::Off => None,
            Via::Sendmail(path) => {
                is_there(path.to_bytes()).then_some(())?;
                let mut words = vec![path.clone()];
                let options = [c"-FCronDaemon", c"-i", c"-odi", c"-oem", c"-oi", c"-t", c"-f"];
                words.extend(options.map(Into::into));
                words.push(CString::new(from).ok()?);
                Some(words)
            }
            Via::Command(words) => {
                let mut words = words.clone();
                let program = words.first_mut()?;
                *program = found(program)?;
                Some(words)
            }
        }
    }

    /// Whether its program is there at this moment.
    fn is_there(&self) -> bool {
        match self {
            Via::Off => false,
            Via::Sendmail(path) => is_there(path.to_bytes()),
            Via::Command(words) => words.first().is_some_and(|program| found(program).is_some()),
        }
    }
}

fn is_there(path: &[u8]) -> bool {
    access(OsStr::from_bytes(path), AccessFlags::X_OK).is_ok()
}

/// A program's path, looked up in cron's default `PATH` where it has no slash.
fn found(program: &CString) -> Option<CString> {
    let name = program.to_bytes();
    if name.contains(&b'/') {
        return is_there(name).then(|| program.clone());
    }
    let folders = DEFAULT_PATH.split(':');
    let paths = folders.map(|folder| [folder.as_bytes(), b"/", name].concat());
    paths.into_iter().find(|path| is_there(path)).and_then(|path| CString::new(path).ok())
}

impl Post {
    /// Mails that `via` takes, from this host.
    #[must_use]
    pub fn new(via: Via, apart: bool) -> Self {
        let host = hostname();
        let host = host.split('.').next().unwrap_or_default().to_owned();
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
        Post {
            via,
            host,
            charset: charset_of(locale.as_deref().unwrap_or_default()),
            apart,
            patience: PATIENCE,
        }
    }

    /// Whether a mail will be due if `run` prints something.
    #[must_use]
    pub(super) fn awaits(&self, envelope: &Envelope, run: &Run) -> bool {
        envelope.to.is_some() && run.fire.job.policy().output == Output::Log && self.via.is_there()
    }
}

/// The charset that a locale's name tells: `de_DE.ISO-8859-1@euro`.
fn charset_of(locale: &str) -> String {
    let charset = locale.split_once('.').map_or("", |(_, rest)| rest);
    let charset = charset.split('@').next().unwrap_or_default();
    let is_name =
        |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
    match charset {
        "" => CHARSET.into(),
        _ if charset.eq_ignore_ascii_case("utf8") => CHARSET.into(),
        _ if is_name(charset) => charset.into(),
        _ => CHARSET.into(),
    }
}

/// What mails about runs of the same terms and user have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Whom the runs run as.
    pub user: String,
    /// Whom mails come from.
    pub from: Vec<u8>,
    /// Whom they go to; none: nobody.
    pub to: Option<Vec<u8>>,
    /// Addresses that the crontab names and that are not safe to use, in the order in which cronie finds them.
    pub refused: Vec<Vec<u8>>,
    /// `CONTENT_TYPE`
    pub content_type: Option<Vec<u8>>,
    /// `CONTENT_TRANSFER_ENCODING`
    pub encoding: Option<Vec<u8>>,
    /// The variables that the headers show: not those of the daemon's own environment, which may hold secrets.
    pub variables: Strings,
}

impl Envelope {
    /// The envelope of mails about runs of `terms` as `account`, whose environment is `variables`; none where mail is off.
    ///
    /// In an address, variables stand for what is passed on of the daemon's environment; settings are not looked at, as in
    /// cronie.
    #[must_use]
    pub fn new<'a>(
        host: &Host,
        terms: &Terms,
        account: &Account,
        variables: &(impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone),
    ) -> Option<Self> {
        if host.post.via == Via::Off {
            return None;
        }
        let value =
            |wanted: &[u8]| variables.clone().find(|(name, _)| *name == wanted).map(|pair| pair.1);
        let passed_on = |wanted: &[u8]| {
            let is_ours = host.inherited.iter().any(|(name, _)| name == wanted);
            value(wanted).filter(|_| is_ours && !is_set(terms, wanted))
        };
        let user = account.name.as_bytes();
        let mut refused = Vec::new();
        let mut safe = |address: &[u8], is_named: bool| {
            let safe = address::is_safe(address);
            if !safe && is_named {
                refused.push(address.to_vec());
            }
            safe
        };
        let from = value(b"MAILFROM").map(|from| address::expand(from, passed_on));
        let from = from.filter(|from| !from.is_empty() && safe(from, true));
        let to = match value(b"MAILTO") {
            Some(to) => {
                let to = address::expand(to, passed_on);
                (!to.is_empty() && safe(&to, true)).then_some(to)
            }
            None => safe(user, false).then(|| user.to_vec()),
        };
        let mut shown = Strings::default();
        for (name, value) in variables.clone() {
            if is_shown(host, terms, name) {
                // Without NUL bytes, or there would be no run.
                let _ = shown.push(&[name, b"=", value]);
            }
        }
        Some(Envelope {
            user: account.name.clone(),
            from: from.unwrap_or_else(|| user.to_vec()),
            to,
            refused,
            content_type: value(b"CONTENT_TYPE").map(<[u8]>::to_vec),
            encoding: value(b"CONTENT_TRANSFER_ENCODING").map(<[u8]>::to_vec),
            variables: shown,
        })
    }
}

/// Whether the crontab sets `name`.
fn is_set(terms: &Terms, name: &[u8]) -> bool {
    terms.settings.0.iter().any(|setting| setting.name.as_bytes() == name)
}

/// Whether the headers show a variable: one of cron's own, or passed on even in a clean environment.
fn is_shown(host: &Host, terms: &Terms, name: &[u8]) -> bool {
    let is_inherited = host.inherited.iter().any(|(inherited, _)| inherited == name);
    !is_inherited
        || is_set(terms, name)
        || matches!(name, b"LANG" | b"TZ" | b"PATH")
        || name.starts_with(b"LC_")
}

#[cfg(test)]
mod tests;
