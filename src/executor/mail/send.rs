//! Handing mails to sendmail, as the job's user, beside the runs.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::super::output::Kept;
use super::super::shell::{self, Base};
use super::super::start::{Errand, Report};
use super::message::message;
use super::{Post, Via};
use crate::event::{Bus, Event, Outcome, Run};
use crate::unix::{Status, Strings};

/// How many mails are handed over at once.
const ABREAST: usize = 16;

/// Bytes of mails that may wait.
const WAITING: usize = 8 << 20;

/// What handing over mails needs.
#[derive(Debug)]
pub(in crate::executor) struct Mailer {
    post: Arc<Post>,
    errands: mpsc::UnboundedSender<Report>,
    bus: Bus,
    abreast: Semaphore,
    room: Arc<Semaphore>,
}

impl Mailer {
    /// Hands mails to what `post` says.
    pub(in crate::executor) fn new(
        post: Arc<Post>,
        errands: mpsc::UnboundedSender<Report>,
        bus: Bus,
    ) -> Self {
        let (abreast, room) = (Semaphore::new(ABREAST), Arc::new(Semaphore::new(WAITING)));
        Mailer { post, errands, bus, abreast, room }
    }

    /// Whether a mail is still to be taken.
    pub(in crate::executor) fn is_busy(&self) -> bool {
        self.room.available_permits() < WAITING
    }

    /// Whether mails are sent at all.
    pub(in crate::executor) fn is_on(&self) -> bool {
        self.post.via != Via::Off
    }

    /// Sends what `run` has printed, if that is due, beside the runs; tells of addresses that cannot be used.
    pub(in crate::executor) fn mail(
        self: &Arc<Self>,
        run: &Arc<Run>,
        base: &Base,
        kept: &Kept,
        outcome: &Outcome,
    ) {
        let Some(envelope) = base.envelope.as_ref().filter(|_| !kept.is_empty()) else { return };
        for address in &envelope.refused {
            let address = String::from_utf8_lossy(address);
            self.warn(run, format!("({}) UNSAFE ({address})", envelope.user));
        }
        let job = &run.fire.job;
        if job.flags.mail_when_err && outcome.is_success() || !self.post.awaits(envelope, run) {
            return;
        }
        let Some(arguments) = self.post.via.program(&envelope.from) else { return };
        let mut body = Vec::new();
        kept.write_to(&mut body);
        let about = shell::about(run).unwrap_or_else(|_| Strings::default());
        let command = job.action.command().as_bytes();
        let Post { host, charset, .. } = &*self.post;
        let Some(stdin) = message(envelope, host, charset, command, &about, &body) else { return };
        let size = u32::try_from(stdin.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
            let text = format!("({}) MAIL (left out, since too many wait)", envelope.user);
            return self.warn(run, text);
        };
        let (mailer, run, user) = (Arc::clone(self), Arc::clone(run), envelope.user.clone());
        let bytes = kept.total().bytes;
        tokio::spawn(async move {
            // It is never closed.
            let _turn = mailer.abreast.acquire().await;
            let trouble = mailer.hand_over(Arc::clone(&run), arguments, stdin).await.err();
            drop(room);
            if let Some(trouble) = trouble {
                let s = if bytes == 1 { "" } else { "s" };
                let text =
                    format!("({user}) MAIL (mailed {bytes} byte{s} of output but {trouble})");
                mailer.warn(&run, text);
            }
        });
    }

    /// Has a mail taken; what went wrong, in cronie's words where it has some.
    async fn hand_over(
        &self,
        run: Arc<Run>,
        arguments: Vec<std::ffi::CString>,
        stdin: Vec<u8>,
    ) -> Result<(), String> {
        let program = arguments.first().map(|name| name.to_string_lossy().into_owned());
        let program = program.unwrap_or_default();
        let (done, status) = oneshot::channel();
        let errand = Errand { run, arguments, stdin, done };
        if self.errands.send(Report::Asked(errand)).is_err() {
            return Err("the daemon ends".into());
        }
        match timeout(self.post.patience, status).await {
            Ok(Ok(Ok(Status::Exited(0)))) => Ok(()),
            Ok(Ok(Ok(Status::Exited(code)))) => {
                Err(format!("got status 0x{:04x}", u32::from(code) << 8))
            }
            Ok(Ok(Ok(Status::Signalled(signal)))) => Err(format!("got status 0x{signal:04x}")),
            Ok(Ok(Err(reason))) => Err(format!("could not start {program}: {reason}")),
            Ok(Err(_)) => Err("the daemon ends".into()),
            Err(_) => {
                // Its receiver is gone by now, by which it is known.
                let _ = self.errands.send(Report::Abandoned);
                Err(format!(
                    "{program} took longer than {} s, and was killed",
                    self.post.patience.as_secs()
                ))
            }
        }
    }

    fn warn(&self, run: &Run, text: String) {
        let file = Some(Arc::clone(run.fire.job.file()));
        self.bus.publish(Event::Notice { file, text, warning: true });
    }
}
