//! What a `publish` is asked: the same for the program and for an entry that is carried out in-process.

mod property;

pub use property::{LONGEST, Property};

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser};

use super::celery;

/// The usage of `publish`: a variable that names a daemon does not make that an argument that must be there.
pub const USAGE: &str = "cronkeep publish [OPTIONS] <EXCHANGE> <ROUTING_KEY> [BODY]";

/// What a `publish` is asked.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Arguments {
    /// Send a CloudEvent, in binary mode: BODY is its data, or what the fire is about
    #[arg(long, conflicts_with = "celery")]
    pub json: bool,
    /// Send a task for a Celery worker: BODY is a JSON array, its arguments, or an object, its keyword arguments
    #[arg(long, value_name = "TASK", value_parser = task)]
    pub celery: Option<String>,
    /// Wait for the task's result, and print it
    #[arg(long, requires = "celery")]
    pub wait: bool,
    /// Set a property of the message, such as priority=5, expires=1h or header.NAME=VALUE; may be given several times
    ///
    /// The properties: content-type, content-encoding, priority (0 to 255), expires (a duration), type, app-id, reply-to,
    /// and header.NAME for a header of any name.
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = Property::parse)]
    pub properties: Vec<Property>,
    /// Where it is published; '' is the default exchange, whose routing keys are the names of queues
    #[arg(value_name = "EXCHANGE", value_parser = exchange)]
    pub exchange: String,
    /// Its routing key
    #[arg(value_name = "ROUTING_KEY", value_parser = routing_key)]
    pub routing_key: String,
    /// Its body, as it is; - and, where it is left out, standard input, without one newline at the end
    #[arg(value_name = "BODY", allow_negative_numbers = true)]
    pub body: Option<OsString>,
}

/// What is wrong with the words of a publish: what the program would print of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageText {
    text: String,
    message: String,
    help: Option<String>,
    word: Option<String>,
}

/// The program as its words see it; what names another daemon or broker is there for the words about its usage.
#[derive(Debug, Parser)]
#[command(
    name = "cronkeep publish",
    disable_version_flag = true,
    max_term_width = 100,
    override_usage = USAGE
)]
struct Program {
    #[command(flatten)]
    arguments: Arguments,
    #[arg(long)]
    amqp: Option<OsString>,
    #[arg(long)]
    control: Option<OsString>,
}

impl Arguments {
    /// Reads the words behind `publish`, as the program would.
    ///
    /// # Errors
    /// What the program would say of them.
    pub fn of_words(words: &[Vec<u8>]) -> Result<Self, UsageText> {
        // Most have no option, and each fire reads them: to make the table of options for that takes longer than to publish.
        if let Some(plain) = Self::of_plain(words) {
            return Ok(plain);
        }
        let name = OsString::from("cronkeep publish");
        let words = words.iter().map(|word| OsString::from_vec(word.clone()));
        let program = Program::try_parse_from(std::iter::once(name).chain(words))?;
        let arguments = program.arguments;
        match arguments.mistake() {
            None => Ok(arguments),
            Some(mistake) => Err(UsageText::of_mistake(&mistake)),
        }
    }

    /// Reads two or three words of which none could be an option, where nothing is wrong with them.
    fn of_plain(words: &[Vec<u8>]) -> Option<Self> {
        let (exchange_word, key_word, body) = match words {
            [exchange, key] => (exchange, key, None),
            [exchange, key, body] => (exchange, key, Some(body)),
            _ => return None,
        };
        if words.iter().any(|word| word.first() == Some(&b'-')) {
            return None;
        }
        let text = |word| std::str::from_utf8(word).ok();
        Some(Arguments {
            json: false,
            celery: None,
            wait: false,
            properties: Vec::new(),
            exchange: exchange(text(exchange_word)?).ok()?,
            routing_key: routing_key(text(key_word)?).ok()?,
            body: body.map(|body| OsString::from_vec(body.clone())),
        })
    }

    /// What is wrong with them beyond what each of them alone shows; the program and [`of_words`](Self::of_words) ask for
    /// it.
    #[must_use]
    pub fn mistake(&self) -> Option<String> {
        let headers = || {
            self.properties.iter().filter_map(|property| match property {
                Property::Header(name, _) => Some(name),
                _ => None,
            })
        };
        if let Some((_, name)) = headers()
            .enumerate()
            .find(|&(place, name)| headers().take(place).any(|before| before == name))
        {
            return Some(format!("the header {name} is given twice"));
        }
        self.celery.as_ref()?;
        for property in &self.properties {
            match property {
                Property::ContentType(_) | Property::ContentEncoding(_) | Property::ReplyTo(_) => {
                    let name = property.name();
                    return Some(format!(
                        "a task has a {name} of its own: leave out --property {name}"
                    ));
                }
                Property::Header(name, _) if celery::HEADERS.contains(&name.as_str()) => {
                    return Some(format!(
                        "a task has a header {name} of its own: leave out --property header.{name}"
                    ));
                }
                _ => {}
            }
        }
        let body = self.body.as_deref().filter(|body| *body != "-")?;
        celery::TaskArguments::read(body.as_bytes()).err().map(|error| error.to_string())
    }

    /// The body, where these arguments and what is on standard input (nothing there: empty) give one.
    ///
    /// An argument is taken as it is; standard input without one newline at its end, which cron adds. `None`: there is no
    /// body at all. An empty one must be asked for, as `''`, or as `-` where nothing is on standard input.
    #[must_use]
    pub fn body(&self, input: &[u8]) -> Option<Vec<u8>> {
        let from_input = || input.strip_suffix(b"\n").unwrap_or(input).to_vec();
        match self.body.as_deref() {
            Some(body) if body != "-" => Some(body.as_bytes().to_vec()),
            None if input.is_empty() => None,
            Some(_) | None => Some(from_input()),
        }
    }

    /// Whether the body is on standard input, if there is anything.
    #[must_use]
    pub fn reads_input(&self) -> bool {
        self.body.as_deref().is_none_or(|body| body == OsStr::new("-"))
    }

    /// Whether there is a message even without a body: an event tells of the fire itself, a task may have no arguments.
    #[must_use]
    pub fn may_lack_body(&self) -> bool {
        self.json || self.celery.is_some()
    }
}

fn exchange(text: &str) -> Result<String, String> {
    property::short("the name of an exchange", text)
}

fn routing_key(text: &str) -> Result<String, String> {
    property::short("a routing key", text)
}

fn task(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a task has a name".to_owned()) } else { Ok(text.to_owned()) }
}

impl UsageText {
    fn of_mistake(mistake: &str) -> Self {
        UsageText {
            text: format!("cronkeep: error: {mistake}\n"),
            message: mistake.to_owned(),
            help: None,
            word: None,
        }
    }

    /// What is wrong, on one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The word, or the beginning of one, that is wrong, if it is one.
    #[must_use]
    pub fn word(&self) -> Option<&str> {
        self.word.as_deref()
    }
}

impl fmt::Display for UsageText {
    /// As the program prints it, on several lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<clap::Error> for UsageText {
    fn from(error: clap::Error) -> Self {
        let text = error.to_string();
        let told = text.strip_prefix("error: ").unwrap_or(&text);
        let end = told.find("\n\n").unwrap_or(told.len());
        let words = told[..end].split_whitespace().collect::<Vec<_>>();
        let tips = told.lines().filter_map(|line| line.trim_start().strip_prefix("tip: "));
        let help = tips.collect::<Vec<_>>().join("; ");
        let wrong = match error.kind() {
            ErrorKind::UnknownArgument => ContextKind::InvalidArg,
            ErrorKind::ValueValidation => ContextKind::InvalidValue,
            _ => ContextKind::Custom,
        };
        let word = match error.get(wrong) {
            Some(ContextValue::String(word)) => Some(word.clone()),
            _ => None,
        };
        UsageText {
            message: words.join(" "),
            help: Some(help).filter(|help| !help.is_empty()),
            word,
            text,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    use super::*;

    fn read(words: &[&str]) -> Result<Arguments, UsageText> {
        Arguments::of_words(&words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn the_table_of_options_is_consistent() {
        Program::command().debug_assert();
    }

    /// Bytes that make words of all kinds: options, their beginnings, what is no UTF-8.
    fn any_word() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(prop::sample::select(&b"-=a5 \xc3\xbc\xff{"[..]), 0..5),
            prop::collection::vec(any::<u8>().prop_filter("a NUL", |byte| *byte > 0), 0..300),
        ]
    }

    proptest! {
        #[test]
        fn what_is_read_without_the_table_of_options_is_read_so_with_it(
            words in prop::collection::vec(any_word(), 0..5)
        ) {
            if let Some(plain) = Arguments::of_plain(&words) {
                let words = words.into_iter().map(OsString::from_vec);
                let program = Program::try_parse_from(std::iter::once("p".into()).chain(words));
                prop_assert_eq!(plain.mistake(), None);
                prop_assert_eq!(program.unwrap().arguments, plain);
            }
        }
    }

    #[test]
    fn words_without_an_option_need_no_table_of_options() {
        let plain = |words: &[&str]| {
            Arguments::of_plain(
                &words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>(),
            )
        };
        assert!(plain(&["", "q"]).is_some_and(|plain| plain.body.is_none()));
        assert_eq!(plain(&["e", "k", ""]).unwrap().body, Some(OsString::new()));
        for words in [&["e"][..], &["e", "k", "-"], &["e", "k", "-1"], &["e", "--json", "k"]] {
            assert_eq!(plain(words), None, "{words:?}");
        }
    }

    #[test]
    fn words_are_read_as_the_program_reads_them() {
        let read = read(&["--property", "priority=5", "", "q", "{\"a\": 1}", "--json"]).unwrap();
        assert_eq!((read.exchange.as_str(), read.routing_key.as_str()), ("", "q"));
        assert_eq!(read.body, Some(OsString::from("{\"a\": 1}")));
        assert!(read.json && !read.wait && read.celery.is_none());
        assert_eq!(read.properties, [Property::Priority(5)]);
    }

    #[test]
    fn a_body_may_be_any_bytes_and_a_key_may_not() {
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
        let read = Arguments::of_words(&words(&[b"e", b"k", b"\xff\x00"])).unwrap();
        assert_eq!(read.body(b""), Some(b"\xff\x00".to_vec()));
        let told = Arguments::of_words(&words(&[b"e", b"\xff"])).unwrap_err();
        assert!(told.to_string().contains("UTF-8"), "{told}");
        assert!(Arguments::of_words(&words(&[b"e", b"k", b"-5"])).is_ok());
        assert!(Arguments::of_words(&words(&[b"e", b"k", b"--", b"--x"])).is_ok());
    }

    #[test]
    fn a_mistake_is_told_in_the_programs_words() {
        let long = "x".repeat(256);
        for (words, message, help, word) in [
            (&["e"][..], "<ROUTING_KEY>", None, None),
            (&["e", "k", "--jsno"], "unexpected argument '--jsno'", Some("--json"), Some("--jsno")),
            (&["e", "k", "b", "c"], "unexpected argument 'c'", None, Some("c")),
            (&["e", "k", "--json", "--celery", "t"], "cannot be used with", None, None),
            (&["e", "k", "--wait"], "--celery", None, None),
            (&["e", "k", "--celery", ""], "a task has a name", None, None),
            (&["e", "k", "--property", "prio=1"], "did you mean priority?", None, Some("prio=1")),
            (&["e", &long], "256 bytes", None, None),
            (&["e", "k", "--celery", "t", "x"], "JSON", None, None),
            (
                &["e", "k", "--celery", "t", "--property", "content-type=x"],
                "content-type",
                None,
                None,
            ),
            (&["e", "k", "--celery", "t", "--property", "header.id=x"], "header.id", None, None),
            (
                &["e", "k", "--property", "header.a=1", "--property", "headers.a=2"],
                "twice",
                None,
                None,
            ),
        ] {
            let told = read(words).unwrap_err();
            assert!(told.message().contains(message), "{words:?}: {:?}", told.message());
            assert!(!told.message().contains('\n'), "{told:?}");
            assert_eq!(help.is_some(), told.help().is_some(), "{told:?}");
            assert!(told.help().unwrap_or_default().contains(help.unwrap_or_default()));
            assert!(word.is_none_or(|word| told.word() == Some(word)), "{told:?}");
            let text = told.to_string();
            assert!(
                text.contains("error: ") && text.ends_with('\n') && !text.contains('\x1b'),
                "{text}"
            );
        }
    }

    #[test]
    fn a_body_is_the_argument_or_else_standard_input_less_one_newline() {
        let body = |words: &[&str], input: &[u8]| read(words).unwrap().body(input);
        assert_eq!(body(&["e", "k", "x\n"], b"y"), Some(b"x\n".to_vec()));
        assert_eq!(body(&["e", "k", ""], b"y"), Some(Vec::new()));
        assert_eq!(body(&["e", "k", "-"], b"y\n\n"), Some(b"y\n".to_vec()));
        assert_eq!(body(&["e", "k", "-"], b""), Some(Vec::new()));
        assert_eq!(body(&["e", "k"], b"y\n"), Some(b"y".to_vec()));
        assert_eq!(body(&["e", "k"], b"\n"), Some(Vec::new()));
        assert_eq!(body(&["e", "k"], b""), None);
        assert!(
            read(&["e", "k"]).unwrap().reads_input()
                && read(&["e", "k", "-"]).unwrap().reads_input()
        );
        assert!(!read(&["e", "k", ""]).unwrap().reads_input());
    }
}
