//! Rows 55 to 75: where crontabs lie, whose they are, what edits do.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::time::{Duration, SystemTime};

use nix::sys::stat::Mode;

use crate::folder;
use crate::life::Site;
use crate::scene::{ALWAYS, Expect, FIRST, Life, NEVER, Place, Table, row};

/// From the edit on.
const THEN: Expect = Expect::Runs(0, 1);

/// A system table of one entry that leaves its trace as the first of a table's.
fn system_entry(key: &str) -> String {
    let text = Site::fill(b"* * * * * root {}\n", key);
    String::from_utf8(text).unwrap()
}

/// A user's table of one such entry.
fn user_entry(key: &str, index: usize) -> String {
    format!("* * * * * echo >> /results/{key}/{index}\n")
}

/// A table that stands elsewhere under another name at first.
fn nowhere(expect: Expect) -> Table {
    Table::new(Place::Nowhere).raw("{}", expect)
}

rows! {
    /// row 55: a user whom nobody knows costs only their own lines.
    row_55_an_unknown_user_costs_only_that_line: row(|_| {
        vec![Table::cron_d().entry("* * * * * nosuch", NEVER).entry("* * * * * root", ALWAYS)]
    });

    /// row 56: a table without an account is adopted within a minute of its coming.
    row_56_an_orphan_is_adopted_when_its_account_comes: row(|_| {
        vec![Table::new(Place::Orphan).entry("* * * * *", THEN)]
    }).edit(|site| { site.add_account("row56a"); });

    /// row 61: modes that let others write are refused.
    row_61_a_table_that_others_can_write_is_refused: row(|_| {
        let with = |mode, expect| Table::cron_d().entry("* * * * * root", expect).mode(mode);
        vec![
            with(0o644, ALWAYS), with(0o600, ALWAYS), with(0o444, ALWAYS),
            with(0o664, NEVER), with(0o646, NEVER),
        ]
    });

    /// row 62: an executable system table is taken.
    row_62_an_executable_table_is_taken: row(|_| {
        vec![Table::cron_d().entry("* * * * * root", ALWAYS).mode(0o755)]
    });

    /// row 63: a system table of another owner is refused.
    row_63_a_system_table_of_another_owner_is_refused: row(|_| {
        vec![Table::cron_d().entry("* * * * * root", NEVER), Table::cron_d().entry("* * * * * root", ALWAYS)]
    }).prepare(|site| chown(site.cron_d("row63a"), Some(1234), None).unwrap());

    /// row 64: a second hard link is no matter for a system table, for a user's it is.
    row_64_a_hard_link_is_refused_in_the_spool_only: row(|_| {
        vec![Table::cron_d().entry("* * * * * root", ALWAYS), Table::spool().entry("* * * * *", NEVER)]
    }).prepare(|site| {
        fs::create_dir_all(site.path("/var/spool/links")).unwrap();
        fs::hard_link(site.cron_d("row64a"), site.path("/etc/row64-link")).unwrap();
        fs::hard_link(site.spool("row64b"), site.path("/var/spool/links/b")).unwrap();
    });

    /// row 65: a link to a system table is followed, and an edit of its target is seen.
    row_65_an_edit_of_a_links_target_is_seen: row(|_| {
        vec![nowhere(ALWAYS), nowhere(THEN)]
    }).prepare(|site| {
        fs::create_dir_all(site.path("/srv")).unwrap();
        fs::write(site.path("/srv/row65"), system_entry("row65a")).unwrap();
        symlink("/srv/row65", site.cron_d("row65")).unwrap();
    }).edit(|site| {
        fs::write(site.path("/srv/row65"), system_entry("row65a") + &system_entry("row65b")).unwrap();
    });

    /// row 66: a link or a FIFO in the spool is refused, and holds nobody up.
    row_66_a_link_or_a_fifo_in_the_spool_is_refused: row(|_| {
        vec![Table::spool().entry("* * * * *", NEVER), Table::spool(), Table::spool().entry("* * * * *", ALWAYS)]
    }).in_life(Life::Trapped).prepare(|site| {
        fs::rename(site.spool("row66a"), site.path("/var/spool/row66")).unwrap();
        symlink("/var/spool/row66", site.spool("row66a")).unwrap();
        fs::remove_file(site.spool("row66b")).unwrap();
        nix::unistd::mkfifo(&site.spool("row66b"), Mode::from_bits_truncate(0o600)).unwrap();
    });

    /// row 67: a user's table may be read by others, not written.
    row_67_a_users_table_that_a_group_can_write_is_refused: row(|_| {
        let with = |mode, expect| Table::spool().entry("* * * * *", expect).mode(mode);
        vec![with(0o644, ALWAYS), with(0o620, NEVER)]
    }).prepare(|site| {
        for key in ["row67a", "row67b"] {
            let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(site.traces(key)).unwrap());
            chown(site.spool(key), Some(owner), None).unwrap();
        }
    });

    /// row 68: backups and what package managers leave are skipped.
    row_68_backups_and_leftovers_are_skipped: row(|_| {
        ["job.bak", "job~", ".x", "#x#", "x.dpkg-dist", "x.rpmsave", "x.disabled"]
            .map(|name| Table::cron_d().name(name).entry("* * * * * root", NEVER))
            .into()
    });

    /// row 70: a table that comes, changes or goes does so by the next minute.
    row_70_an_edit_is_in_force_by_the_next_minute: row(|_| {
        vec![Table::spool().entry("* * * * *", FIRST), Table::spool().entry("0 * * * *", Expect::Runs(1, 1)), Table::spool()]
    }).edit(|site| {
        fs::remove_file(site.spool("row70a")).unwrap();
        Site::replace(&site.spool("row70b"), &user_entry("row70b", 0), 0o600);
        Site::replace(&site.spool("row70c"), &user_entry("row70c", 0), 0o600);
    }).check(|site| match site.trace("row70c", 0).len() {
        1 => Ok(()),
        runs => Err(format!("the table that came ran {runs} times")),
    });

    /// row 71: of two edits in one second the second counts.
    row_71_of_two_edits_in_one_second_the_second_counts: row(|_| {
        vec![Table::spool().raw("0 0 31 2 * {}\n", NEVER), nowhere(THEN)]
    }).edit(|site| {
        Site::replace(&site.spool("row71a"), &user_entry("row71a", 0), 0o600);
        Site::replace(&site.spool("row71a"), &user_entry("row71b", 0), 0o600);
    });

    /// row 72: renaming over, writing in place, swapping a folder's link, an older time: each is an edit.
    row_72_every_way_to_edit_is_noticed: row(|_| {
        vec![
            nowhere(THEN), nowhere(THEN), nowhere(THEN), nowhere(THEN),
        ]
    }).prepare(|site| {
        for key in ["row72a", "row72b", "row72d"] {
            fs::write(site.cron_d(key), "# nothing yet\n").unwrap();
        }
        for (version, text) in [("v1", "# nothing yet\n".to_owned()), ("v2", system_entry("row72c"))] {
            let folder = site.path(&format!("/etc/tables/{version}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("row72c"), text).unwrap();
        }
        symlink("v1", site.path("/etc/tables/data")).unwrap();
        symlink("../tables/data/row72c", site.cron_d("row72c")).unwrap();
    }).edit(|site| {
        Site::replace(&site.cron_d("row72a"), &system_entry("row72a"), 0o644);
        fs::write(site.cron_d("row72b"), system_entry("row72b")).unwrap();
        symlink("v2", site.path("/etc/tables/next")).unwrap();
        fs::rename(site.path("/etc/tables/next"), site.path("/etc/tables/data")).unwrap();
        let older = site.path("/etc/older");
        fs::write(&older, system_entry("row72d")).unwrap();
        let past = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(&older).unwrap().set_modified(past).unwrap();
        fs::rename(older, site.cron_d("row72d")).unwrap();
    });

    /// row 73: what was missing at the start is picked up when it comes.
    row_73_what_was_missing_is_picked_up: row(|_| {
        vec![nowhere(THEN), nowhere(THEN), nowhere(THEN)]
    }).in_life(Life::Empty).edit(|site| {
        fs::create_dir_all(site.path("/etc/cron.d")).unwrap();
        fs::create_dir_all(site.path("/var/spool/cron/crontabs")).unwrap();
        Site::replace(&site.path("/etc/crontab"), &system_entry("row73a"), 0o644);
        Site::replace(&site.cron_d("row73b"), &system_entry("row73b"), 0o644);
        Site::replace(&site.spool("root"), &user_entry("row73c", 0), 0o600);
    });

    /// row 74: when /etc/cron.d goes, so do its jobs, and the daemon lives.
    row_74_when_a_folder_goes_so_do_its_jobs: row(|_| {
        vec![Table::cron_d().entry("* * * * * root", FIRST), Table::spool().entry("* * * * *", ALWAYS)]
    }).in_life(Life::Disturbed).edit(|site| folder::remove(&site.path("/etc/cron.d")));

    /// row 75: a running job outlives the removal of its table.
    row_75_a_running_job_outlives_its_table: row(|_| {
        vec![Table::spool().raw("* * * * * sleep 30; {}\n", Expect::Runs(0, 1))]
    }).edit(|site| fs::remove_file(site.spool("row75a")).unwrap());

    /// row 117: neither a link to another's file nor a swap for one makes the daemon read it.
    row_117_nobody_makes_the_daemon_read_anothers_file: row(|_| {
        vec![nowhere(NEVER), Table::spool().entry("* * * * *", FIRST)]
    }).prepare(|site| {
        let uid = site.add_account("row117a");
        fs::create_dir_all(site.path("/root")).unwrap();
        fs::write(site.path("/root/row117"), user_entry("row117a", 0)).unwrap();
        fs::set_permissions(site.path("/root/row117"), Permissions::from_mode(0o600)).unwrap();
        symlink("/root/row117", site.spool("row117a")).unwrap();
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &site.spool("row117a"),
            Some(uid.into()),
            None,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        ).unwrap();
    }).edit(|site| {
        fs::write(site.path("/root/row117b"), user_entry("row117b", 0)).unwrap();
        let link = site.spool(".row117b");
        symlink("/root/row117b", &link).unwrap();
        fs::rename(link, site.spool("row117b")).unwrap();
    });
}
