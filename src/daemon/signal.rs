//! What each signal asks for.

use jiff::Unit;

use super::Daemon;
use crate::command::status;
use crate::event::Event;
use crate::schedule::Cursor;
use crate::unix::Signal;

/// Jobs that a dump names.
const DUMPED: usize = 1_000;

impl Daemon {
    /// Does what a signal asks for; true if that is to end.
    pub(super) async fn obey(&mut self, signal: Signal) -> bool {
        let action = match signal {
            Signal::SIGHUP | Signal::SIGUSR2 => "reload",
            Signal::SIGUSR1 => "dump",
            _ => "stop",
        };
        self.bus.publish(Event::Signal { name: signal.as_str(), action });
        match signal {
            Signal::SIGHUP | Signal::SIGUSR2 => {
                self.notify.reloading(self.watcher.reload());
            }
            Signal::SIGUSR1 => self.dump().await,
            _ => return true,
        }
        false
    }

    /// Tells what is in force, what runs, and what is due next.
    async fn dump(&self) {
        let now = self.clock.now();
        let zone = self.config.zone.rules();
        let table = self.tables.borrow().clone();
        let state = self.executor.state().await;
        let mut lines = vec![format!("{} jobs, {} runs alive", table.len(), state.running.len())];
        let mut about = "";
        for (head, text) in status::lines(&self.desk.status().await, now) {
            about = if head.is_empty() { about } else { head };
            lines.push(format!("{about}: {text}"));
        }
        for started in &state.running {
            let run = &started.run;
            let since = started.at.to_zoned(zone.clone());
            let pid = started.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
            lines.push(format!(
                "running: {} run {}{pid} since {}",
                run.fire.job.label(),
                run.id,
                since.strftime("%F %T %z")
            ));
        }
        let mut next: Vec<_> = table
            .jobs()
            .iter()
            .filter_map(|job| Some((job.next_after(Cursor::Instant(now))?, job)))
            .collect();
        next.sort_by_key(|(due, _)| *due);
        for (due, job) in next.iter().take(DUMPED) {
            let at = due.at.to_zoned(job.zone().rules().clone());
            let at = at.round(Unit::Second).unwrap_or(at);
            lines.push(format!(
                "next: {} at {} ({}) {}:{}",
                job.label(),
                at.strftime("%F %H:%M:%S %z"),
                job.schedule_text(),
                job.file(),
                job.line
            ));
        }
        if next.len() > DUMPED {
            lines.push(format!("next: {} more", next.len() - DUMPED));
        }
        self.bus.publish(Event::Dump(lines));
    }
}
