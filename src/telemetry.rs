//! The program's own traces: a `tracing` subscriber that writes the log's records.
//!
//! Every event of the program becomes one [`Record`], in the same form as the records of the log sink. The field
//! `event` is the record's stable name, `message` its words; the other fields follow in order.

use std::fmt::{self, Write as _};
use std::io;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry;

use crate::clock::{Clock as _, SystemClock};
use crate::config::LogConfig;
use crate::schedule::Zone;
use crate::sink::record::{Format, Level, Record, Value, escape, is_colour_welcome, is_printable};
use crate::sink::stderr;
use crate::sink::syslog::{self, Syslog};

/// Another subscriber is in force already.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the log: another subscriber is in force")]
pub struct AlreadyStarted;

/// Starts writing traces to standard error, or to the system's log, times in `zone`.
///
/// Colours appear on a terminal without `NO_COLOR`. Other crates' traces below `warn` are dropped.
///
/// # Errors
/// It was called before in this process.
pub fn init(
    config: LogConfig,
    zone: &Zone,
    syslog: Option<Arc<Syslog>>,
) -> Result<(), AlreadyStarted> {
    let is_terminal = syslog.is_none() && is_colour_welcome(&io::stderr());
    let layer = RecordLayer {
        format: config.format,
        coloured: config.format == Format::Text && is_terminal,
        zone: zone.rules().clone(),
        write: Box::new(stderr::write),
        syslog,
        now: || SystemClock.now(),
        stamp: Mutex::default(),
    };
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(config.level)));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyStarted)?;
    std::panic::set_hook(Box::new(tell_panic));
    Ok(())
}

/// Writes a panic as one record, where the default hook writes lines that no reader of the log takes for one.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let payload = panic.payload();
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        event = "daemon.panic",
        thread = thread.name().unwrap_or_default(),
        place,
        "{}",
        words.unwrap_or("no message")
    );
    // Whoever panics may gather what it tells, and never tell more.
    stderr::flush();
}

/// Our own events from `level` on, other crates' only where somebody should look.
fn filter(level: Level) -> Targets {
    let own = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_target(env!("CARGO_PKG_NAME"), own)
        // The broker's client shows whole messages, and what it says is told in our own words anyway.
        .with_target("lapin", LevelFilter::OFF)
        .with_default(own.min(LevelFilter::WARN))
}

/// Writes the bytes of one line.
type Writer = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Writes each event as one line.
struct RecordLayer {
    format: Format,
    coloured: bool,
    zone: TimeZone,
    write: Writer,
    /// Where records go instead.
    syslog: Option<Arc<Syslog>>,
    now: fn() -> Timestamp,
    stamp: Mutex<Stamp>,
}

/// What most lines fit in.
const LINE: usize = 448;
/// As many fields as an event has at most, as a rule.
const FIELDS: usize = 16;

/// The time of records, of which all but the milliseconds is the same for a second.
#[derive(Default)]
struct Stamp {
    /// Seconds since 1970.
    second: Option<i64>,
    /// What stands before and behind the milliseconds.
    before: String,
    behind: String,
}

impl Stamp {
    /// As [`in_full`] writes it.
    fn at(&mut self, now: Timestamp, zone: &TimeZone) -> String {
        // Before 1970 the parts of a timestamp are negative.
        let (second, millisecond) = (now.as_second(), now.subsec_millisecond());
        if second < 0 || millisecond < 0 {
            return in_full(now, zone);
        }
        if self.second != Some(second) {
            let at = now.to_zoned(zone.clone());
            self.before = at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.behind = at.strftime("%:z").to_string();
            self.second = Some(second);
        }
        format!("{}.{millisecond:03}{}", self.before, self.behind)
    }
}

/// An instant as RFC 3339 with milliseconds and the zone's offset.
fn in_full(now: Timestamp, zone: &TimeZone) -> String {
    now.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

impl<S> Layer<S> for RecordLayer
where
    S: Subscriber + for<'a> registry::LookupSpan<'a>,
{
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields { pairs: Vec::with_capacity(FIELDS), ..Fields::default() };
        event.record(&mut fields);
        let now = (self.now)();
        // Never waited for: a panic in there is told from there.
        let time = match self.stamp.try_lock() {
            Ok(mut stamp) => stamp.at(now, &self.zone),
            Err(_) => in_full(now, &self.zone),
        };
        let record = Record {
            time: &time,
            level: level(event.metadata()),
            event: &fields.event,
            message: &fields.message,
            fields: &fields.pairs,
        };
        if let Some(syslog) = &self.syslog
            && self.format == Format::Text
        {
            let at = now.to_zoned(self.zone.clone());
            syslog.send(record.level, &at, &syslog::text_of(&record));
            return;
        }
        let mut line = String::with_capacity(LINE);
        record.write(self.format, self.coloured, &mut line);
        match &self.syslog {
            Some(syslog) => {
                let at = now.to_zoned(self.zone.clone());
                syslog.send(record.level, &at, line.trim_end());
            }
            None => (self.write)(line.as_bytes()),
        }
    }
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::TRACE => Level::Trace,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::INFO => Level::Info,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::ERROR => Level::Error,
    }
}

/// What an event carries, made printable.
#[derive(Default)]
struct Fields {
    event: String,
    message: String,
    pairs: Vec<(&'static str, Value)>,
}

impl Fields {
    fn text(&mut self, field: &Field, text: &str) {
        self.put(field, escape(text.as_bytes()));
    }

    /// Takes a text that was made for it.
    fn own(&mut self, field: &Field, text: String) {
        let text = if is_printable(text.as_bytes()) { text } else { escape(text.as_bytes()) };
        self.put(field, text);
    }

    /// Takes a text that is free of control characters.
    fn put(&mut self, field: &Field, text: String) {
        match field.name() {
            "event" => self.event = text,
            "message" => self.message = text,
            name => self.pairs.push((name, Value::Text(text))),
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.pairs.push((field.name(), Value::Integer(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.text(field, &value.to_string()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.pairs.push((field.name(), Value::Bool(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(inner) = cause {
            // Writing to a string does not fail.
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        self.text(field, &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.own(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place to write to that the test can read.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    /// What `events` leave in the log.
    fn logged(format: Format, level: Level, events: impl FnOnce()) -> String {
        let page = Page::default();
        let layer = RecordLayer {
            format,
            coloured: false,
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            syslog: None,
            write: Box::new({
                let page = page.clone();
                move |line| page.0.lock().unwrap().extend_from_slice(line)
            }),
            now: || Timestamp::UNIX_EPOCH,
            stamp: Mutex::default(),
        };
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(level)));
        tracing::subscriber::with_default(subscriber, events);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_shows_the_time_in_the_zone_and_the_words_before_the_fields() {
        let log = logged(Format::Text, Level::Info, || {
            tracing::info!(event = "crontab.loaded", jobs = 3, file = "a b", "loaded");
        });
        assert_eq!(
            log,
            "1970-01-01T01:00:00.000+01:00 info crontab.loaded loaded jobs=3 file=\"a b\"\n"
        );
    }

    #[test]
    fn json_is_flat() {
        let log = logged(Format::Json, Level::Info, || {
            tracing::warn!(event = "x.y", ok = true, count = 2u64, "words");
        });
        let value: serde_json::Value = serde_json::from_str(&log).unwrap();
        assert_eq!(value["level"], "warn");
        assert_eq!(value["event"], "x.y");
        assert_eq!(value["message"], "words");
        assert_eq!(value["ok"], true);
        assert_eq!(value["count"], 2);
    }

    #[test]
    fn text_of_a_user_cannot_fake_a_line_or_move_the_cursor() {
        for format in [Format::Text, Format::Json, Format::Logfmt] {
            let log = logged(format, Level::Info, || {
                tracing::info!(event = "e\x1b[2J", job = "a\nb", "x\r\ny");
            });
            assert_eq!(log.matches('\n').count(), 1, "{log:?}");
            assert!(!log.contains('\x1b') && !log.contains('\r'), "{log:?}");
        }
    }

    #[test]
    fn what_is_below_the_level_is_dropped() {
        let log = logged(Format::Logfmt, Level::Warn, || {
            tracing::info!("low");
            tracing::error!("high");
        });
        assert!(!log.contains("low") && log.contains("level=error"), "{log}");
    }

    #[test]
    fn other_crates_speak_only_when_somebody_should_look() {
        let log = logged(Format::Text, Level::Trace, || {
            tracing::info!(target: "notify", "chatter");
            tracing::warn!(target: "notify", "trouble");
            tracing::trace!("our own");
        });
        assert!(!log.contains("chatter") && log.contains("trouble") && log.contains("our own"));
    }

    #[test]
    fn the_brokers_client_never_speaks() {
        let log = logged(Format::Text, Level::Trace, || {
            tracing::error!(target: "lapin::channel", "the body of a message");
            tracing::trace!("our own");
        });
        assert!(!log.contains("body") && log.contains("our own"), "{log}");
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("inner"));
        let log = logged(Format::Text, Level::Info, || {
            tracing::error!(reason = &error as &dyn std::error::Error, "failed");
        });
        assert!(log.contains("reason=\"outer: inner\""), "{log}");
    }

    #[test]
    fn a_time_that_is_put_together_is_that_of_the_instant() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut stamp = Stamp::default();
        // Within a second, over its end, over a change to summer time and back, before 1970.
        for millisecond in [
            0,
            7,
            999,
            1_000,
            1_774_745_999_999,
            1_774_746_000_000,
            1_774_745_999_120,
            1_792_889_999_999,
            1_792_890_000_001,
            -1,
            -1_000,
            -2_500,
        ] {
            let at = Timestamp::from_millisecond(millisecond).unwrap();
            assert_eq!(stamp.at(at, &zone), in_full(at, &zone));
        }
    }
}
