//! The end: no more starts, the runs as `--on-stop` says, the last lines.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Daemon;
use super::notify::Notify;
use crate::config::OnStop;
use crate::event::Event;
use crate::executor::{Stop, Stopped};
use crate::exit::ExitCode;
use crate::unix::Signal;

impl Daemon {
    /// Stops scheduling, ends or leaves the runs, and says how it went.
    ///
    /// TERM, INT or QUIT again meanwhile: at once. Fails where something had to be killed.
    pub(super) async fn shut_down(mut self, scheduler: JoinHandle<()>) -> ExitCode {
        self.control.close();
        let running = self.executor.state().await.running.len();
        self.bus.publish(Event::Stopping { running });
        Notify::stopping();
        // The scheduler ends when nobody can give it a table any more, and looks when it is woken.
        let tables = std::mem::replace(
            &mut self.tables,
            Arc::new(tokio::sync::watch::channel(Arc::default()).0),
        );
        drop(tables);
        self.waker.wake();

        let stop = match self.config.on_stop {
            OnStop::End => Stop::End { grace: self.config.stop_grace },
            OnStop::Leave => {
                // What workers have goes on as well.
                if let Some(workers) = &self.workers {
                    workers.leave();
                }
                Stop::Leave
            }
        };
        let Stopped { killed, left } = self.wait_for_stop(stop).await;
        // It answers its waker at once; a panic of it was told already.
        let _ = scheduler.join();
        self.recovery.finish().await;
        if let Some(mailing) = self.mailing.take() {
            mailing.flush().await;
        }
        self.control.answered().await;
        self.bus.publish(Event::Stopped { killed, left });
        if killed == 0 { ExitCode::Success } else { ExitCode::Failure }
    }

    /// Stops the executor; a further signal to end kills what is left.
    async fn wait_for_stop(&mut self, stop: Stop) -> Stopped {
        let executor = self.executor.clone();
        let stopping = executor.stop(stop);
        tokio::pin!(stopping);
        loop {
            tokio::select! {
                biased;
                stopped = &mut stopping => return stopped,
                signal = self.signals.next() => match signal {
                    Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                        self.bus.publish(Event::Signal { name: signal.as_str(), action: "kill" });
                        // Whoever asked first is answered with this, too.
                        drop(executor.stop(Stop::End { grace: Duration::ZERO }));
                    }
                    Ok(signal) => {
                        self.bus.publish(Event::Signal { name: signal.as_str(), action: "none: stopping" });
                    }
                    Err(_) => return stopping.await,
                }
            }
        }
    }
}
