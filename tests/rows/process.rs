//! Rows 76 to 106: starts, runs, ends.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scene::{ALWAYS, Expect, FIRST, Life, NEVER, Place, Table, row};

/// The row whose life ends with TERM.
pub(crate) const STOPPED: &str = "row_103_term_ends_it_within_the_grace";

/// The number behind a name in a status file of /proc.
fn status(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or("(missing)").trim().to_owned()
}

fn same(what: &str, found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found:?} instead of {wanted:?}")) }
}

rows! {
    /// row 76: what was due before the start is not run today.
    row_76_nothing_before_the_start_runs: row(|_| {
        vec![Table::spool().entry("59 23 * * *", NEVER).entry("0 0 * * *", FIRST)]
    });

    /// row 77: a job starts within two seconds of its minute, and one more for a machine that others load.
    row_77_a_job_starts_at_the_beginning_of_its_minute: row(|_| {
        // At 00:00 another life has a thousand jobs.
        vec![Table::spool().entry("1 0 * * *", Expect::Runs(0, 1))]
    }).check(|site| {
        let file = fs::metadata(site.traces("row77a").join("0")).map_err(|error| error.to_string())?;
        let wrote = file.modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        let due = Duration::from_secs((site.day.midnight + 60).try_into().unwrap());
        let late = wrote.checked_sub(due).ok_or("it ran early")?;
        if late < Duration::from_secs(3) { Ok(()) } else { Err(format!("{late:?} late")) }
    });

    /// row 88: as PID 1, `@reboot` runs once each start, whatever mark an earlier one has left.
    row_88_reboot_runs_as_pid_1_whatever_mark_is_left: row(|_| {
        vec![Table::spool().entry("@reboot", FIRST)]
    }).in_life(Life::Nicknamed).prepare(|site| {
        for mark in ["/run/cron.reboot", "/run/crond.reboot"] {
            fs::write(site.path(mark), "").unwrap();
        }
    });

    /// row 89: without its home a job runs in the root folder.
    row_89_without_its_home_a_job_runs_in_the_root_folder: row(|_| {
        vec![Table::spool().text("HOME=/no/such\n").entry("* * * * *", ALWAYS)]
    });

    /// row 90: a session of its own, the user's identity and home, no descriptors, no signals held back.
    row_90_a_job_starts_clean: row(|_| {
        let look = "0 0 * * * { cut -d' ' -f6 /proc/self/stat; echo $$; umask; pwd; ls /proc/self/fd | wc -l; \
                    grep -E '^(SigBlk|SigIgn|Groups|Uid|Gid):' /proc/self/status; } > {f}\n";
        vec![Table::spool().raw(look, Expect::Runs(10, 0))]
    }).check(|site| {
        let trace = site.trace("row90a", 0);
        let lines: Vec<&str> = trace.lines().collect();
        let [session, pid, umask, home, descriptors, ..] = lines[..] else {
            return Err(format!("it left {trace:?}"));
        };
        let uid = fs::metadata(site.traces("row90a")).unwrap().uid().to_string();
        same("session", session, pid)?;
        same("umask", umask, "0022")?;
        same("folder", home, "/results/row90a")?;
        // Three, and the one that reads the folder.
        same("descriptors", descriptors, "4")?;
        same("uid", &status(&trace, "Uid:"), &[&*uid; 4].join("\t"))?;
        same("gid", &status(&trace, "Gid:"), &[&*uid; 4].join("\t"))?;
        same("groups", &status(&trace, "Groups:"), &uid)?;
        same("blocked signals", &status(&trace, "SigBlk:"), "0000000000000000")?;
        same("ignored signals", &status(&trace, "SigIgn:"), "0000000000000000")
    });

    /// row 100: a job that lasts is started again beside itself.
    row_100_a_job_that_lasts_is_started_again: row(|_| {
        vec![Table::spool().raw("* * * * * {}; sleep 300\n", ALWAYS)]
    });

    /// row 101: of a thousand jobs in one minute none is lost.
    row_101_a_thousand_jobs_of_one_minute_all_run: row(|_| {
        let others = "0 0 * * * echo >> /results/row101a/0\n".repeat(999);
        vec![Table::spool().raw("0 0 * * * {}\n", Expect::Sum(1000)).text(others)]
    }).in_life(Life::Busy);

    /// row 102: as PID 1 it leaves no zombie of a job's orphans.
    row_102_no_orphan_stays_a_zombie: row(|_| {
        vec![Table::spool().raw("* * * * * {}; for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 1 &); done\n", ALWAYS)]
    }).check(|site| {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let zombies: Vec<_> = site.processes().into_iter().filter(|it| it.state == 'Z').collect();
            if zombies.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{} zombies: {}", zombies.len(), zombies[0].stat));
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
    });

    /// row 103: TERM ends it within the grace, jobs included, with exit code 0.
    row_103_term_ends_it_within_the_grace: row(|_| {
        vec![Table::new(Place::Nowhere)]
    }).in_life(Life::Empty);

    /// row 104: HUP reads again and leaves running jobs alone.
    row_104_hangup_reads_again: row(|_| {
        let later = Table::new(Place::Nowhere).raw("{}", Expect::Runs(0, 1));
        vec![Table::spool().raw("0 0 * * * sleep 30; {}\n", Expect::Runs(0, 1)), Table::spool(), later]
    }).in_life(Life::Disturbed).edit(|site| {
        // In place: the spool's own time, which some go by, does not change.
        fs::write(site.spool("row104b"), "* * * * * echo >> /results/row104c/0\n").unwrap();
        let _ = kill(Pid::from_raw(site.pid.try_into().unwrap()), Signal::SIGHUP);
    });

    /// row 105: a second daemon on the same spool exits 1 and names the first.
    row_105_a_second_daemon_names_the_first: row(|_| vec![Table::new(Place::Nowhere)]).check(|site| {
        let mut second = site.start(site.crond.daemon());
        let deadline = Instant::now() + Duration::from_secs(5);
        while second.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = second.kill();
                let _ = second.wait();
                return Err("it goes on beside the first".to_owned());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        let output = second.wait_with_output().unwrap();
        same("exit code", &format!("{:?}", output.status.code()), "Some(1)")
    });

    /// row 106: neither a read-only root nor a missing /run keeps it from running jobs.
    row_106_a_read_only_root_without_run_is_enough: row(|_| {
        vec![Table::spool().entry("* * * * *", ALWAYS)]
    }).in_life(Life::ReadOnly);
}
