//! Rows 27 to 40 and 58: lines and files.

use crate::scene::{ALWAYS, FIRST, NEVER, Table, row, writes};

rows! {
    /// row 27: without a command, or without a blank before it, a line is an error.
    row_27_a_command_that_is_not_apart_never_runs: row(|_| {
        vec![
            // Debian's cron takes the first word for a part of the field.
            Table::spool().raw("* * * * *true; {}\n", NEVER),
            Table::spool().text("* * * * *\n").raw("# {}\n", NEVER),
        ]
    });

    /// row 28: fields are apart by any number of spaces and tabs, in front, too.
    row_28_spaces_and_tabs_part_fields: row(|_| {
        vec![Table::spool().entry(" \t0\t*  *   *\t *\t\t", FIRST)]
    });

    /// row 29: a comment begins a line; behind a command it is the shell's.
    row_29_a_comment_begins_a_line: row(|_| {
        vec![
            Table::spool()
                .raw("# * * * * * {}\n", NEVER)
                .raw("   # * * * * * {}\n", NEVER)
                .raw("* * * * * echo a#b >> {f}\n", writes("a#b\n"))
                .raw("* * * * * echo a >> {f} # b\n", writes("a\n")),
        ]
    });

    /// row 30: a backslash at a line's end is the shell's; the next line stands alone.
    row_30_a_backslash_joins_no_lines: row(|_| {
        vec![Table::spool().raw("* * * * * {} \\\n", ALWAYS).entry("0 * * * *", FIRST)]
    });

    /// row 31: the last line runs without its line end.
    row_31_the_last_line_runs_without_its_end: row(|_| {
        vec![Table::spool().entry("* * * * *", ALWAYS).raw("0 * * * * {}", FIRST)]
    });

    /// row 32: carriage returns at lines' ends are no part of them.
    row_32_carriage_returns_are_left_out: row(|_| {
        vec![
            Table::spool()
                .text("FOO=bar\r\n\r\n")
                .raw("* * * * * echo \"$FOO\" >> {f}\r\n", writes("bar\n"))
                .raw("0 * * * * {}\r\n", FIRST),
        ]
    });

    /// row 33: a byte order mark is left out.
    row_33_a_byte_order_mark_is_left_out: row(|_| {
        vec![
            Table::spool().raw("\u{feff}* * * * * {}\n", ALWAYS),
            Table::spool().text("\u{feff}FOO=bar\n").raw("* * * * * echo \"$FOO\" >> {f}\n", writes("bar\n")),
        ]
    });

    /// row 34: bytes that are no UTF-8 reach the command as they are.
    row_34_any_bytes_reach_the_command: row(|_| {
        vec![Table::spool().raw(b"* * * * * echo \xff\xfe >> {f}\n", writes(b"\xff\xfe\n"))]
    });

    /// row 35: a line with a NUL byte is an error.
    row_35_a_line_with_a_nul_byte_never_runs: row(|_| {
        vec![Table::spool().raw("* * * * * {} \0\n", NEVER).entry("* * * * *", ALWAYS)]
    });

    /// row 36: a long command runs in full, one that is too long never in part.
    row_36_a_long_command_is_never_cut: row(|_| {
        let long = "x".repeat(5_000);
        vec![
            Table::spool().raw(format!("* * * * * echo {long} >> {{f}}\n"), writes(format!("{long}\n"))),
            Table::spool().raw(format!("* * * * * {{}}; : {}\n", "x".repeat(131_072)), NEVER),
        ]
    });

    /// row 37: a user's table of more than 10 000 entries is refused as a whole.
    row_37_a_table_of_too_many_entries_is_refused: row(|_| {
        let many = "0 0 31 2 * true\n".repeat(10_000);
        vec![Table::spool().entry("* * * * *", NEVER).text(many)]
    });

    /// row 39: a bad line costs no other line of its file.
    row_39_a_bad_line_leaves_the_others_alone: row(|_| {
        vec![
            Table::spool().entry("* * * * *", ALWAYS).entry("99 * * * *", NEVER).entry("* * * * *", ALWAYS),
        ]
    });

    /// row 58: a dash before the minute is for privileged tables only.
    row_58_a_dash_before_the_minute_is_for_privileged_tables: row(|_| {
        vec![
            Table::cron_d().entry("-* * * * * root", ALWAYS),
            Table::spool().entry("-* * * * *", NEVER),
        ]
    });
}
