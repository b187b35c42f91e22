//! Mail about what runs print, taken by real programs in the place of sendmail.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cronkeep::crontab::Flags;
use cronkeep::crontab::directive::Output;
use cronkeep::event::{Event, Stream};
use cronkeep::executor::mail::{Post, Via};
use cronkeep::executor::{Host, Stop};
use cronkeep::job::{Job, Policy};
use cronkeep::unix::Account;

use crate::harness::{Daemon, Told, alone, job, job_with, start_on, under, until};

/// A folder with a program that keeps the mails it is given, once `arrive` has put it there.
pub(crate) struct Mailbox(tempfile::TempDir);

impl Mailbox {
    pub(crate) fn new() -> Self {
        Mailbox(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts the program there; `then` is what it does at last.
    pub(crate) fn arrive(&self, then: &str) {
        let folder = self.0.path().display();
        let text = format!(
            "#!/bin/sh\necho \"$0 $*\" >{folder}/argv\nid -un >{folder}/user\ncat >{folder}/part\n\
             mv {folder}/part {folder}/mail\n{then}\n"
        );
        let new = self.path("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.path("sendmail")).unwrap();
    }

    pub(crate) fn post(&self) -> Post {
        let path = self.path("sendmail");
        Post::new(Via::Sendmail(CString::new(path.to_str().unwrap()).unwrap()), false)
    }

    /// The next mail.
    pub(crate) async fn mail(&self) -> String {
        let path = self.path("mail");
        until(|| path.exists()).await;
        let mail = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        String::from_utf8_lossy(&mail).into_owned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.path("argv").exists()
    }
}

fn start_with(post: Post) -> Daemon {
    start_on(Host { post: Arc::new(post), ..Host::new(Account::current(), []) })
}

/// Runs a job to its end and everything beside it, and lets the executor go.
async fn run_all(mut daemon: Daemon, job: Job) -> Told {
    let told = daemon.run(job).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let Daemon { handle, fires, task, .. } = daemon;
    drop((handle, fires));
    task.await.unwrap();
    told
}

fn body(mail: &str) -> &str {
    mail.split_once("\n\n").unwrap().1
}

#[test]
fn row_97_output_is_mailed_in_the_order_in_which_it_was_printed_and_logged_too() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let mut daemon = start_with(mailbox.post());
        let settings = [("HOME", "/"), ("MAILTO", "a@x,b@y")];
        let command = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf end";
        let told = daemon.run(job_with(&settings, command)).await;
        let lines = ["out 1", "err 1", "out 2", "err 2", "out 3", "err 3", "end"];
        assert!(told.lines.iter().map(|(_, line)| line).eq(lines), "{told:?}");
        let mail = mailbox.mail().await;
        assert_eq!(body(&mail), lines.join("\n"));
        assert!(mail.contains("\nTo: a@x,b@y\n"), "{mail}");
        let user = Account::current().name;
        let sendmail = mailbox.path("sendmail");
        let argv = format!("{} -FCronDaemon -i -odi -oem -oi -t -f {user}\n", sendmail.display());
        assert_eq!(fs::read_to_string(mailbox.path("argv")).unwrap(), argv);
        assert_eq!(fs::read_to_string(mailbox.path("user")).unwrap().trim(), user);
    });
}

#[test]
fn row_98_without_output_or_with_an_empty_mailto_there_is_no_mail() {
    alone(async {
        for (mailto, command) in [("ops", "exit 3"), ("", "echo x")] {
            let mailbox = Mailbox::new();
            mailbox.arrive("");
            run_all(
                start_with(mailbox.post()),
                job_with(&[("HOME", "/"), ("MAILTO", mailto)], command),
            )
            .await;
            assert!(mailbox.is_empty(), "{mailto} {command}");
        }
    });
}

#[test]
fn row_59_a_job_that_mails_only_failures_is_quiet_when_it_succeeds() {
    alone(async {
        for (command, mails) in
            [("echo x", false), ("echo x; exit 3", true), ("echo x; kill -9 $$", true)]
        {
            let mailbox = Mailbox::new();
            mailbox.arrive("");
            let flags = Flags { mail_when_err: true, ..Flags::default() };
            let told = run_all(start_with(mailbox.post()), Job { flags, ..job(command) }).await;
            assert_eq!(mailbox.is_empty(), !mails, "{command}");
            assert_eq!(told.stdout(), ["x"], "the log has it in any case");
        }
    });
}

#[test]
fn row_97_an_unsafe_recipient_is_told_and_the_output_stays_in_the_log() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let job = job_with(&[("HOME", "/"), ("MAILTO", "a b;c"), ("MAILFROM", "-x")], "echo kept");
        let told = run_all(start_with(mailbox.post()), job).await;
        let user = Account::current().name;
        assert_eq!(
            told.notices,
            [format!("({user}) UNSAFE (-x)"), format!("({user}) UNSAFE (a b;c)")]
        );
        assert_eq!(told.stdout(), ["kept"]);
        assert!(mailbox.is_empty());
    });
}

#[test]
fn row_99_a_sendmail_that_comes_later_is_used_from_then_on() {
    alone(async {
        let mailbox = Mailbox::new();
        let mut daemon = start_with(mailbox.post());
        let told = daemon.run(job("echo early; echo apart >&2")).await;
        assert!(told.lines.contains(&(Stream::Stderr, "apart".into())), "{told:?}");
        assert!(told.notices.is_empty());
        mailbox.arrive("");
        daemon.run(job("echo late")).await;
        assert_eq!(body(&mailbox.mail().await), "late\n");
    });
}

#[test]
fn row_96_a_mail_command_is_cut_at_blanks_and_off_means_none() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let line = format!("{} a  'b c' $HOME;", mailbox.path("sendmail").display());
        run_all(start_with(Post::new(Via::command(&line).unwrap(), false)), job("echo x")).await;
        assert_eq!(body(&mailbox.mail().await), "x\n");
        let argv = fs::read_to_string(mailbox.path("argv")).unwrap();
        assert!(argv.ends_with("sendmail a 'b c' $HOME;\n"), "{argv}");
        let unused = Mailbox::new();
        unused.arrive("");
        run_all(start_with(Post { via: Via::Off, ..unused.post() }), job("echo x")).await;
        assert!(unused.is_empty());
    });
}

#[test]
fn output_that_is_not_wanted_is_not_mailed_either() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let policy = Policy { output: Output::None, ..Policy::default() };
        run_all(start_with(mailbox.post()), under(policy, job("echo x"))).await;
        assert!(mailbox.is_empty());
    });
}

#[test]
fn of_much_output_the_mail_has_the_beginning_and_the_end() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        run_all(start_with(mailbox.post()), job("seq 2000000")).await;
        let mail = mailbox.mail().await;
        let body = body(&mail);
        assert!(body.starts_with("1\n2\n") && body.ends_with("\n1999999\n2000000\n"));
        assert!(body.len() < 200_000, "{}", body.len());
        let counted = body.lines().filter(|line| line.starts_with("… ")).collect::<Vec<_>>();
        let [counted] = counted[..] else { panic!("{counted:?}") };
        let left_out: usize = counted.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(left_out + body.lines().count() - 1, 2_000_000);
    });
}

#[test]
fn a_sendmail_that_fails_is_told_and_nothing_else_comes_of_it() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("exit 75");
        let mut daemon = start_with(mailbox.post());
        let told = daemon.run(job("echo 12345")).await;
        assert!(told.end.outcome.is_success() && told.notices.is_empty());
        let user = Account::current().name;
        let words = format!("({user}) MAIL (mailed 6 bytes of output but got status 0x4b00)");
        assert_eq!(notice(&mut daemon).await, words);
    });
}

#[test]
fn a_sendmail_that_hangs_is_killed_and_holds_nobody_up() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("sleep 1000");
        let patience = Duration::from_secs(1);
        let mut daemon = start_with(Post { patience, ..mailbox.post() });
        daemon.run(job("echo first")).await;
        mailbox.mail().await;
        let state = daemon.handle.state().await;
        assert!(state.running.is_empty(), "a mail is no run: {state:?}");
        let told = daemon.run(job("true")).await;
        assert!(told.end.outcome.is_success());
        let words = notice(&mut daemon).await;
        assert!(words.ends_with("took longer than 1 s, and was killed)"), "{words}");
        let Daemon { handle, fires, task, .. } = daemon;
        drop((handle, fires));
        // The executor ends when its last child has.
        task.await.unwrap();
    });
}

#[test]
fn the_daemons_own_environment_is_not_mailed() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let environment = [("DB_PASSWORD", "secret"), ("LANG", "C.UTF-8")];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let post = Arc::new(mailbox.post());
        let host = Host { post, ..Host::new(Account::current(), environment) };
        let command = "test ${#DB_PASSWORD} = 6 && echo x";
        let told = run_all(start_on(host), job(command)).await;
        assert!(told.end.outcome.is_success());
        let mail = mailbox.mail().await;
        assert!(!mail.contains("secret") && mail.contains("X-Cron-Env: <LANG=C.UTF-8>"), "{mail}");
        assert!(
            mail.contains("X-Cron-Env: <HOME=/>") && mail.contains("X-Cron-Env: <CRONKEEP_RUN_ID=")
        );
    });
}

#[test]
fn row_92_a_shell_that_cannot_be_executed_is_mailed_in_crons_words() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let job = job_with(&[("HOME", "/"), ("SHELL", "/no/such")], "x");
        let told = run_all(start_with(mailbox.post()), job).await;
        assert!(told.end.outcome.to_string().starts_with("could not start: /no/such: "));
        let expected = "execl: couldn't exec `/no/such'\nexecl: No such file or directory\n";
        assert_eq!(body(&mailbox.mail().await), expected);
    });
}

#[test]
fn what_a_run_prints_at_the_end_of_the_daemon_is_mailed_too() {
    alone(async {
        let mailbox = Mailbox::new();
        mailbox.arrive("");
        let mut daemon = start_with(mailbox.post());
        daemon.fire(job("trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done"));
        assert_eq!(daemon.line().await, "up");
        let grace = Duration::from_secs(10);
        assert_eq!(daemon.handle.stop(Stop::End { grace }).await.killed, 0);
        let mail = fs::read_to_string(mailbox.path("mail")).unwrap();
        assert!(body(&mail).starts_with("up\n") && body(&mail).ends_with("bye\n"), "{mail}");
    });
}

async fn notice(daemon: &mut Daemon) -> String {
    loop {
        if let Event::Notice { text, warning: true, .. } = &*daemon.next().await {
            return text.clone();
        }
    }
}

#[test]
fn a_hundred_mails_at_once_all_arrive() {
    alone(async {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("sendmail");
        let text = format!("#!/bin/sh\ncat >{}/$$.mail\n", folder.path().display());
        fs::write(&program, text).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut daemon =
            start_with(Post::new(Via::command(program.to_str().unwrap()).unwrap(), false));
        for number in 0..100 {
            daemon.fire(job(&format!("echo {number}")));
        }
        for _ in 0..100 {
            daemon.end().await;
        }
        until(|| mails(folder.path()) == 100).await;
    });
}

/// How many mails with a body are there.
fn mails(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mails = files.filter(|path| path.extension().is_some_and(|end| end == "mail"));
    mails.filter(|path| fs::read_to_string(path).unwrap().ends_with('\n')).count()
}

#[test]
fn a_mail_about_a_run_is_not_ended_with_the_run() {
    alone(async {
        let mailbox = Mailbox::new();
        let done = mailbox.path("done");
        mailbox.arrive(&format!("sleep 1; touch {}", done.display()));
        let mut daemon = start_with(mailbox.post());
        let policy = Policy {
            timeout: Some(Duration::from_millis(100)),
            kill_after: Duration::from_millis(300),
            ..Policy::default()
        };
        let command = "echo x; (trap '' TERM; while :; do sleep 0.02; done) & exec sleep 1000";
        let told = daemon.run(under(policy, job(command))).await;
        assert!(matches!(told.end.outcome, cronkeep::event::Outcome::TimedOut { .. }), "{told:?}");
        mailbox.mail().await;
        let warned = async {
            loop {
                if let Event::Notice { text, .. } = &*daemon.next().await {
                    return text.clone();
                }
            }
        };
        tokio::select! {
            text = warned => panic!("{text}"),
            () = until(|| done.exists()) => {}
        }
    });
}
