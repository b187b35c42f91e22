//! Rows 110 to 114: crontab(1), beside the daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use crate::life::Site;
use crate::scene::{Place, Table, row};

/// A table that never runs.
const OLD: &str = "0 0 31 2 * old\n";

/// Calls crontab(1) for a user.
fn crontab(site: &Site, user: &str, arguments: &[&str], input: &str) -> Output {
    let command = [site.crond.crontab(), &["-u", user], arguments].concat();
    site.run(&command, input)
}

/// Expects an exit code and words on standard error.
fn ended(output: &Output, code: i32, words: &str) -> Result<(), String> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(code) && stderr.contains(words) {
        Ok(())
    } else {
        Err(format!("exit code {:?} instead of {code}: {stderr}", output.status.code()))
    }
}

/// Expects the table that a user has, without the lines that Debian's crontab puts in front.
fn has(site: &Site, user: &str, wanted: &str) -> Result<(), String> {
    let text = fs::read_to_string(site.spool(user)).map_err(|error| error.to_string())?;
    let own = text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect::<String>();
    if own == wanted { Ok(()) } else { Err(format!("the table is {own:?} instead of {wanted:?}")) }
}

fn one_table(text: &str) -> Vec<Table> {
    vec![Table::spool().text(text)]
}

rows! {
    /// row 110: without a table `-l` and `-r` say so; `-r -i` asks.
    row_110_without_a_table_it_says_so: row(|_| {
        vec![Table::spool().text(OLD), Table::new(Place::Nowhere)]
    }).prepare(|site| { site.add_account("row110b"); }).check(|site| {
        ended(&crontab(site, "row110b", &["-l"], ""), 1, "no crontab for row110b")?;
        ended(&crontab(site, "row110b", &["-r"], ""), 1, "no crontab for row110b")?;
        ended(&crontab(site, "row110a", &["-r", "-i"], "n\n"), 0, "")?;
        has(site, "row110a", OLD)
    });

    /// row 111: a table with an error is not installed, and the message has its line.
    row_111_a_table_with_an_error_is_not_installed: row(|_| one_table(OLD)).check(|site| {
        fs::write(site.path("/tmp/row111"), "0 0 31 2 * new\n0 24 * * * bad\n").unwrap();
        ended(&crontab(site, "row111a", &["/tmp/row111"], ""), 1, "\"/tmp/row111\":2: bad hour")?;
        has(site, "row111a", OLD)
    });

    /// row 112: an empty standard input installs an empty table.
    row_112_an_empty_input_installs_an_empty_table: row(|_| one_table(OLD)).check(|site| {
        ended(&crontab(site, "row112a", &["-"], ""), 0, "")?;
        has(site, "row112a", "")
    });

    /// row 113: `-T` judges a table, from a pipe, too.
    row_113_a_table_can_be_tested: row(|_| Vec::new()).check(|site| {
        let test = |input| site.run(&[site.crond.crontab(), &["-T", "-"]].concat(), input);
        ended(&test("0 0 * * * true\n"), 0, "")?;
        ended(&test("0 24 * * * true\n"), 1, "bad hour")
    });

    /// row 114: what an editor saves within the same second is installed.
    row_114_an_edit_within_one_second_is_installed: row(|_| one_table(OLD)).check(|site| {
        // The time that the file had before; a time of 0 is a mark that some look for.
        let editor = "#!/bin/sh\nold=$(stat -c %Y \"$1\")\nsed -i s/old/new/ \"$1\"\n\
                      [ \"$old\" = 0 ] || touch -d \"@$old\" \"$1\"\n";
        fs::write(site.path("/tmp/editor"), editor).unwrap();
        fs::set_permissions(site.path("/tmp/editor"), fs::Permissions::from_mode(0o755)).unwrap();
        ended(&crontab(site, "row114a", &["-e"], ""), 0, "")?;
        has(site, "row114a", "0 0 31 2 * new\n")
    });
}
