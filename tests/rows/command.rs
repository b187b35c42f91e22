//! Rows 41 to 54: settings, the environment, percent signs.

use crate::scene::{ALWAYS, FIRST, NEVER, Table, row, writes};

/// A setting in a table of its own, and what its job sees of FOO between brackets.
fn foo(setting: &str, value: &str) -> Table {
    let seen = writes(format!("[{value}]\n"));
    Table::spool()
        .text(format!("{setting}\n"))
        .raw("* * * * * echo \"[${FOO-unset}]\" >> {f}\n", seen)
}

rows! {
    /// row 41: blanks around a value go, unless they are quoted.
    row_41_blanks_around_a_value_go: row(|_| {
        vec![foo("FOO=bar", "bar"), foo("FOO = bar", "bar"), foo("FOO= bar  ", "bar"), foo("FOO=\"a b \"", "a b ")]
    });

    /// row 42: a value may be empty.
    row_42_a_value_may_be_empty: row(|_| {
        vec![foo("FOO=", ""), foo("FOO=\"\"", ""), foo("MAILTO=\nFOO=set", "set")]
    });

    /// row 43: quotes inside are literal; what follows the closing quote is an error.
    row_43_quotes_hold_a_whole_value: row(|_| {
        vec![
            foo("FOO=a\"b\"c", "a\"b\"c"),
            foo("FOO='a\"b'", "a\"b"),
            foo("FOO=old\nFOO=\"x\" y", "old"),
            foo("FOO=old\nFOO=\"x", "old"),
        ]
    });

    /// row 44: nothing in a value is expanded or cut.
    row_44_values_are_literal: row(|_| {
        vec![foo("FOO=$HOME/x", "$HOME/x"), foo("FOO=~", "~"), foo("FOO=a # b", "a # b")]
    });

    /// row 45: a setting reaches the entries below it.
    row_45_a_setting_reaches_the_entries_below_it: row(|_| {
        let entry = "* * * * * echo \"[${FOO-unset}]\" >> {f}\n";
        vec![Table::spool().raw(entry, writes("[unset]\n")).text("FOO=bar\n").raw(entry, writes("[bar]\n"))]
    });

    /// row 46: the account's name cannot be set.
    row_46_the_account_name_is_forced: row(|_| {
        vec![
            Table::spool()
                .text("LOGNAME=x\nUSER=x\n")
                .raw("* * * * * echo \"$LOGNAME $USER\" >> {f}\n", writes("row46a row46a\n")),
        ]
    });

    /// row 48: `CRON_TZ` moves the schedules below it, not those above.
    row_48_cron_tz_moves_the_schedules_below_it: row(|day| {
        let (minute, hour) = day.utc();
        vec![
            Table::spool()
                .entry("0 0 * * *", FIRST)
                .text("CRON_TZ=UTC\n")
                .entry(format!("{minute} {hour} * * *"), FIRST)
                .entry(format!("{} {} * * *", minute, (hour + 12) % 24), NEVER),
        ]
    });

    /// row 49: TZ is for the job alone.
    row_49_tz_is_for_the_job_alone: row(|_| {
        vec![
            Table::spool()
                .text("TZ=Asia/Tokyo\n")
                .entry("0 0 * * *", FIRST)
                .raw("* * * * * echo $TZ >> {f}\n", writes("Asia/Tokyo\n")),
        ]
    });

    /// row 51: a user's table gets nothing of the daemon's environment.
    row_51_a_user_gets_nothing_of_the_daemons_environment: row(|_| {
        vec![Table::spool().raw("* * * * * echo \"[${BAR-unset}] $SHELL $HOME\" >> {f}\n", writes("[unset] /bin/sh /results/row51a\n"))]
    });

    /// row 52: the first bare percent sign ends the command, the rest is its input.
    row_52_a_percent_sign_begins_the_input: row(|_| {
        vec![
            Table::spool()
                .raw("* * * * * echo 1\\%2 >> {f}\n", writes("1%2\n"))
                .raw("* * * * * cat >> {f}%a%b\\%c\n", writes("a\nb%c\n"))
                .raw("* * * * * { cat; echo end; } >> {f}%\n", writes("end\n")),
        ]
    });

    /// row 53: backslashes reach the shell as they are.
    row_53_backslashes_reach_the_shell: row(|_| {
        vec![Table::spool().raw("* * * * * printf 'a\\\\b\\n' >> {f}\n", writes("a\\b\n"))]
    });

    /// row 54: without a percent sign the input is at its end.
    row_54_without_a_percent_sign_the_input_is_empty: row(|_| {
        vec![Table::spool().raw("* * * * * cat >> {f}; echo end >> /results/row54a/0\n", writes("end\n"))]
    });

    /// row 92: a shell that is not there costs its jobs alone.
    row_92_a_missing_shell_costs_its_jobs_alone: row(|_| {
        vec![
            Table::spool()
                .text("SHELL=/no/such\n")
                .entry("* * * * *", NEVER)
                .text("SHELL=/bin/sh\n")
                .entry("* * * * *", ALWAYS),
        ]
    });
}
