//! A sender that is a test: signs orders, puts them into the queue, reads the reports; and workers that it starts.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cronkeep::event::RunId;
use cronkeep::message::answer::{Answer, Word};
use cronkeep::message::order::{Subject, VERSION};
use cronkeep::message::report::{Ended, News, Printed};
use cronkeep::message::signature::Key;
use cronkeep::message::{Message, Order, Report, Value};
use cronkeep::unix::Account;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::harness::{PATIENCE, Running};
use crate::rabbit::vhost::Drained;
use crate::rabbit::{Rabbit, Vhost};

/// The queue of orders.
pub const QUEUE: &str = "batch";

/// The queue of reports.
pub const BACK: &str = "back";

/// Where what is refused goes.
pub const DEAD: &str = "dead";

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A sender with queues of his own.
pub struct Sender<'a> {
    pub vhost: Vhost<'a>,
    pub folder: Arc<TempDir>,
    key: Key,
    reports: RefCell<Vec<Report>>,
    orders: RefCell<u32>,
}

/// A worker to be started.
pub struct Starting<'a> {
    sender: &'a Sender<'a>,
    state: &'a str,
    arguments: Vec<OsString>,
    environment: Vec<(&'a str, &'a str)>,
}

impl<'a> Sender<'a> {
    pub fn new(rabbit: &'a Rabbit) -> Self {
        let vhost = rabbit.vhost();
        let dead = format!(
            "{{<<\"x-dead-letter-exchange\">>, longstr, <<>>}}, {{<<\"x-dead-letter-routing-key\">>, longstr, <<\"{DEAD}\">>}}"
        );
        vhost.declare_queue(QUEUE, &dead);
        vhost.declare_queue(BACK, "");
        vhost.declare_queue(DEAD, "");
        let folder = Arc::new(TempDir::new().unwrap());
        let key = folder.path().join("key");
        fs::write(&key, KEY).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        Sender {
            vhost,
            folder,
            key: Key::new(KEY).unwrap(),
            reports: RefCell::default(),
            orders: RefCell::default(),
        }
    }

    /// A worker on a state directory of this name.
    pub fn worker(&'a self, state: &'a str) -> Starting<'a> {
        Starting { sender: self, state, arguments: Vec::new(), environment: Vec::new() }
    }

    /// An order for our own user; `{dir}` in the command is the folder.
    pub fn order(&self, command: &str) -> Order {
        *self.orders.borrow_mut() += 1;
        let number = *self.orders.borrow();
        let now = Timestamp::now();
        let run = RunId::new(now, number.into());
        let command = command.replace("{dir}", self.folder.path().to_str().unwrap());
        Order {
            version: VERSION,
            id: format!("{run}-1"),
            queue: QUEUE.to_owned(),
            reply_to: BACK.to_owned(),
            subject: Subject {
                run: run.to_string(),
                attempt: 1,
                key: format!("crondServiceTask-{number:016x}"),
                name: format!("job-{number}"),
                trigger: "schedule".to_owned(),
                at: now,
                offset: 3600,
                civil: jiff::civil::date(2026, 1, 1).at(3, 0, 0, 0),
                generation: 0,
            },
            user: Account::current().name.as_str().into(),
            command: command.as_str().into(),
            stdin: "".into(),
            environment: Vec::new(),
            timeout_ms: None,
            kill_after_ms: 1_000,
            success_codes: vec![0],
            output: true,
            beat_ms: 60_000,
            expires: now + SignedDuration::from_hours(1),
            restarts: 0,
        }
    }

    /// Puts an order into the queue; its id.
    pub fn send(&self, order: &Order) -> String {
        self.put(&order.message(Some(&self.key)).unwrap());
        order.id.clone()
    }

    /// Puts a message into the queue as it is.
    pub fn put(&self, message: &Message) {
        self.put_into(QUEUE, message);
    }

    fn put_into(&self, queue: &str, message: &Message) {
        let headers: Vec<String> = message
            .headers
            .iter()
            .map(|(name, value)| {
                let Value::Text(value) = value else { panic!("{name} is no text") };
                format!("{{<<\"{name}\">>, longstr, <<\"{value}\">>}}")
            })
            .collect();
        let properties = format!(
            "#{{message_id => <<\"{}\">>, delivery_mode => 2, headers => [{}]}}",
            message.id,
            headers.join(", ")
        );
        self.vhost.put(queue, &message.body, &properties);
    }

    /// Takes the orders out of the queue that nobody has taken, as they are.
    pub fn take(&self) -> Vec<Message> {
        self.vhost.drain(QUEUE).into_iter().map(message_of).collect()
    }

    /// Reports of this order as a worker does that nobody has started.
    pub fn report(&self, order: &Message, worker: &str, sequence: u64, news: News) {
        let order = Order::read(order, Some(&self.key), QUEUE).unwrap();
        let report = Report {
            version: VERSION,
            order: order.id,
            worker: worker.to_owned(),
            sequence,
            subject: order.subject,
            answer_to: None,
            news,
        };
        let message = report.message(Some(&self.key), &order.reply_to).unwrap();
        self.put_into(&order.reply_to, &message);
    }

    /// Answers whoever has asked whether to start an order.
    pub fn answer(&self, order: &str, word: Word) {
        self.expect(order, |reports| {
            reports.iter().any(|news| matches!(news, News::Asked { .. })).then_some(())
        });
        let reports = self.reports.borrow();
        let asks =
            |report: &&Report| report.order == order && matches!(report.news, News::Asked { .. });
        let asked = reports.iter().find(asks).unwrap();
        let queue = asked.answer_to.as_deref().unwrap();
        let message = Answer::to(asked, word).message(Some(&self.key), queue).unwrap();
        self.put_into(queue, &message);
    }

    /// What was reported of an order so far.
    pub fn reports(&self, order: &str) -> Vec<News> {
        for drained in self.vhost.drain(BACK) {
            let message = message_of(drained);
            self.reports.borrow_mut().push(Report::read(&message, Some(&self.key)).unwrap());
        }
        let reports = self.reports.borrow();
        let mut of: Vec<&Report> = reports.iter().filter(|report| report.order == order).collect();
        of.sort_by_key(|report| (report.worker.clone(), report.sequence));
        of.iter().map(|report| report.news.clone()).collect()
    }

    /// Waits until something is reported of an order that fits.
    pub fn expect<T>(&self, order: &str, find: impl Fn(&[News]) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reports = self.reports(order);
            if let Some(found) = find(&reports) {
                return found;
            }
            assert!(Instant::now() < deadline, "of {order} was reported: {reports:#?}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until the end of an order is reported.
    pub fn end(&self, order: &str) -> Ended {
        self.expect(order, |reports| {
            reports.iter().find_map(|news| match news {
                News::Ended(ended) => Some(ended.clone()),
                _ => None,
            })
        })
    }

    /// Waits until the queues hold so many messages that nobody has taken.
    pub fn expect_depth(&self, queue: &str, depth: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.vhost.depth(queue) != depth {
            let is = self.vhost.depth(queue);
            assert!(Instant::now() < deadline, "{queue} holds {is}, not {depth}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until workers hold so many orders that they have not answered.
    pub fn expect_unanswered(&self, count: usize) {
        self.expect_count("messages_unacknowledged", count);
    }

    /// Waits until so many workers read the queue.
    pub fn expect_readers(&self, count: usize) {
        self.expect_count("consumers", count);
    }

    fn expect_count(&self, what: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.vhost.count(QUEUE, what) != count {
            let is = self.vhost.count(QUEUE, what);
            assert!(Instant::now() < deadline, "{what} of the queue: {is}, not {count}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until a file in the folder has this text.
    pub fn expect_file(&self, name: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.read(name) != text {
            assert!(Instant::now() < deadline, "{name} holds {:?}", self.read(name));
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl<'a> Starting<'a> {
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn env(mut self, name: &'a str, value: &'a str) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Waits for what the sender answers, however slow the machine is: there is one that answers.
    pub fn patient(self) -> Self {
        self.env("CRONKEEP_TEST_FAULT", "worker-answer-ms-60000")
    }

    /// Starts it with our key.
    pub fn start(self) -> Running {
        let key = self.sender.path().join("key");
        self.arg("--key").arg(key.to_str().unwrap()).start_bare()
    }

    /// Starts it with nothing but what was given, and the queue.
    pub fn start_bare(self) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cronkeep"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CRONKEEP_") {
                command.env_remove(name);
            }
        }
        let (stream, told) = std::io::pipe().unwrap();
        let child = command
            .args(["worker", "--queue", QUEUE, "--log-format", "json", "--log-level", "debug"])
            .args(self.arguments)
            .env("CRONKEEP_AMQP", self.sender.vhost.url())
            .env("CRONKEEP_STATE_DIR", self.sender.path().join(self.state))
            .envs(self.environment)
            .current_dir(self.sender.path())
            .stdin(Stdio::null())
            .stdout(told.try_clone().unwrap())
            .stderr(told)
            .spawn()
            .unwrap();
        let mut running = Running::of(child, Arc::clone(&self.sender.folder), stream);
        running.expect("worker.started");
        running
    }
}

/// A message as it came, with its signature.
fn message_of(drained: Drained) -> Message {
    let signature = drained.properties.split("<<\"cronkeep-signature\">>,longstr,<<\"");
    let signature = signature.last().unwrap().split('"').next().unwrap();
    Message {
        id: drained.id,
        exchange: drained.exchange,
        routing_key: drained.routing_key,
        mandatory: true,
        persistent: true,
        properties: cronkeep::message::Properties::default(),
        headers: vec![("cronkeep-signature".to_owned(), signature.into())],
        body: drained.body,
    }
}

/// What an order printed, as `out: line` or `err: line`, and how much is missing.
pub fn printed(reports: &[News]) -> (Vec<String>, u64) {
    let mut all = (Vec::new(), 0);
    for news in reports {
        let News::Output { left_out, lines } = news else { continue };
        all.1 += left_out.0;
        for Printed(is_error, line) in lines {
            let stream = if *is_error { "err" } else { "out" };
            all.0.push(format!("{stream}: {}", String::from_utf8_lossy(&line.0)));
        }
    }
    all
}
