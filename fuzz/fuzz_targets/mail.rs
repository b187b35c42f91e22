//! Any settings of a crontab, and any output, make a mail with cron's headers, each one line, to safe addresses only.
#![no_main]

use std::sync::Arc;

use cronkeep::crontab::{Dialect, Options, Source, parse};
use cronkeep::executor::Host;
use cronkeep::executor::mail::{Envelope, Post, SENDMAIL, Via, address, message};
use cronkeep::job::JobTable;
use cronkeep::schedule::Zone;
use cronkeep::unix::{Account, Strings};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

const HEADERS: [&[u8]; 8] = [
    b"From: ",
    b"To: ",
    b"Subject: Cron <",
    b"MIME-Version: 1.0",
    b"Content-Type: ",
    b"Content-Transfer-Encoding: ",
    b"Auto-Submitted: auto-generated",
    b"Precedence: bulk",
];

fuzz_target!(|input: (&[u8], &[u8])| {
    let (output, text) = input;
    let source =
        Source { name: "fuzz".into(), bytes: text.to_vec(), dialect: Dialect::user("alice") };
    let crontab = parse(&source);
    let zone = Zone::named("UTC").expect("a zone");
    let (table, _, _) = JobTable::build(
        &[(&source, &crontab)],
        &zone,
        &Options::default(),
        &JobTable::default(),
        Timestamp::UNIX_EPOCH,
    );
    let post = Post {
        via: Via::Sendmail(std::ffi::CString::new(SENDMAIL).expect("a path")),
        ..Post::default()
    };
    let environment =
        [("LANG", "C"), ("REGION", "$REGION a@b")].map(|(name, value)| (name.into(), value.into()));
    let host = Host { post: Arc::new(post), ..Host::new(Account::current(), environment) };
    for job in table.jobs().iter().take(8) {
        let terms = &job.terms;
        let set = terms
            .settings
            .0
            .iter()
            .map(|setting| (setting.name.as_bytes(), setting.value.as_bytes()));
        let inherited = host.inherited.iter().map(|(name, value)| (&name[..], &value[..]));
        let variables = set.chain(inherited).filter(|(_, value)| !value.contains(&0));
        let Some(envelope) = Envelope::new(&host, terms, &host.account, &variables) else {
            panic!("mail is on");
        };
        if let Some(to) = &envelope.to {
            assert!(address::is_safe(to) && !to.is_empty());
        }
        assert!(address::is_safe(&envelope.from) || envelope.from == host.account.name.as_bytes());
        let command = job.action.command().as_bytes();
        let mail =
            message::message(&envelope, "host", "UTF-8", command, &Strings::default(), output);
        assert_eq!(mail.is_some(), envelope.to.is_some());
        let Some(mail) = mail else { continue };
        let mut lines = mail.split(|&byte| byte == b'\n');
        for header in HEADERS {
            let line = lines.next().expect("a header");
            assert!(line.starts_with(header), "{}", String::from_utf8_lossy(line));
        }
        for _ in 0..envelope.variables.iter().count() {
            let line = lines.next().expect("a variable");
            assert!(line.starts_with(b"X-Cron-Env: <") && line.ends_with(b">"));
        }
        assert_eq!(lines.next(), Some(&b""[..]), "then the output begins");
        let length = lines.map(|line| line.len() + 1).sum::<usize>() - 1;
        let dropped = output.iter().skip(1).filter(|&&byte| byte == b'\r').count();
        assert_eq!(length, output.len() - dropped);
    }
});
