//! Before and after, as one would write it down.
use super::*;

fn outcome(file: &str, stored: &str, ancestor: &str) -> (String, Vec<String>) {
    let dialect = Dialect::system();
    let once = merge_jobs(file.as_bytes(), stored.as_bytes(), ancestor.as_bytes(), &dialect);
    let twice = merge_jobs(&once.text, stored.as_bytes(), ancestor.as_bytes(), &dialect);
    let text = |merged: &Merged| String::from_utf8(merged.text.clone()).unwrap();
    assert_eq!(text(&twice), text(&once), "merged again");
    (text(&once), once.warnings.list.iter().map(ToString::to_string).collect())
}

/// The result of a merge that nothing is to be said about.
fn merged(file: &str, stored: &str, ancestor: &str) -> String {
    let (text, warnings) = outcome(file, stored, ancestor);
    assert_eq!(warnings, [""; 0]);
    text
}

#[test]
fn a_job_added_in_the_old_container_goes_to_the_end_of_the_new_image() {
    let image = "\
PATH=/usr/bin
# Rotate
0 0 * * * root rotate
";
    let edited = "\
PATH=/usr/bin
# Rotate
0 0 * * * root rotate

# Dump the database
# cronkeep: name=dump timeout=10m
0 2 * * * root dump --all
";
    let new_image = "\
PATH=/usr/bin
# Rotate
0 0 * * * root rotate
30 4 * * * root vacuum
";
    assert_eq!(
        merged(new_image, edited, image),
        "\
PATH=/usr/bin
# Rotate
0 0 * * * root rotate
30 4 * * * root vacuum
# Dump the database
# cronkeep: name=dump timeout=10m
0 2 * * * root dump --all
"
    );
}

#[test]
fn a_job_removed_in_the_old_container_is_commented_out_and_leaves_its_neighbour_alone() {
    let image = "\
# Rotate
# cronkeep: timeout=5m
0 0 * * * root rotate
0 1 * * * root clean
";
    let edited = "0 1 * * * root clean\n";
    let new_image = "\
# Rotate
# cronkeep: timeout=5m
0 0 * * * root rotate
0 1 * * * root clean
0 3 * * * root new
";
    assert_eq!(
        merged(new_image, edited, image),
        "\
# Rotate
## cronkeep: timeout=5m
# 0 0 * * * root rotate

0 1 * * * root clean
0 3 * * * root new
"
    );
}

#[test]
fn a_job_removed_in_the_new_image_does_not_come_back() {
    let image = "0 0 * * * root rotate\n0 1 * * * root clean\n";
    let edited = "0 0 * * * root rotate\n0 1 * * * root clean\n0 2 * * * root dump\n";
    let new_image = "0 1 * * * root clean\n";
    assert_eq!(merged(new_image, edited, image), "0 1 * * * root clean\n0 2 * * * root dump\n");
}

#[test]
fn a_job_takes_each_part_from_whoever_changed_it() {
    let image = "\
# Dump
# cronkeep: timeout=10m
0 2 * * * root dump%all
";
    let edited = "\
# Dump
# cronkeep: timeout=30m
0 2 * * * root dump%some
";
    let new_image = "\
0 1 * * * root clean

# Dump, keep 7
# cronkeep: timeout=10m
0 2 * * * root dump%all
";
    assert_eq!(
        merged(new_image, edited, image),
        "\
0 1 * * * root clean

# Dump, keep 7
# cronkeep: timeout=30m
0 2 * * * root dump%some
"
    );
}

#[test]
fn a_part_that_both_changed_stays_and_the_warning_shows_both() {
    let (text, warnings) = outcome(
        "# cronkeep: timeout=5m\n0 2 * * * root x%c\n",
        "# cronkeep: timeout=7m\n0 2 * * * root x%s\n",
        "0 2 * * * root x%a\n",
    );
    assert_eq!(text, "# cronkeep: timeout=5m\n0 2 * * * root x%c\n");
    let id = "crondServiceTask-5f9a78a8ad91742e";
    assert_eq!(
        warnings,
        [
            format!(
                "here and in the snapshot the line of {id} changed: `0 2 * * * root x%c` holds, not `0 2 * * * root x%s`"
            ),
            format!(
                "here and in the snapshot the options of {id} changed: `# cronkeep: timeout=5m` holds, not `# cronkeep: timeout=7m`"
            )
        ]
    );
}

#[test]
fn a_comment_comes_and_goes_with_its_job() {
    let job = "0 2 * * * root x\n";
    let other = "0 3 * * * root y\n";
    let with = format!("# Says what\n{job}");
    assert_eq!(merged(&format!("{job}{other}"), &with, job), format!("# Says what\n{job}{other}"));
    assert_eq!(merged(&format!("{with}{other}"), job, &with), format!("{job}{other}"));
    // What stood above it would be read as the description now; a blank line keeps it from that.
    let above = format!("# A heading\n# cronkeep: retries=1\n# Says what\n{job}{other}");
    let ancestor = format!("# cronkeep: retries=1\n{with}");
    let stored = format!("# cronkeep: retries=1\n{job}");
    assert_eq!(
        merged(&above, &stored, &ancestor),
        format!("# A heading\n\n# cronkeep: retries=1\n{job}{other}")
    );
}

#[test]
fn a_changed_setting_changes_the_line_that_gives_it() {
    let image = "PATH=/a\nMAILTO=ops\n0 1 * * * root x\n0 2 * * * root y\n";
    let edited = "PATH=/b\n0 1 * * * root x\n0 2 * * * root y\n";
    let new_image =
        "# Managed\nPATH=/a\nMAILTO=ops\n0 1 * * * root x\n0 2 * * * root y\n0 3 * * * root z\n";
    assert_eq!(
        merged(new_image, edited, image),
        "\
# Managed
PATH=/b
# MAILTO=ops

0 1 * * * root x
0 2 * * * root y
MAILTO=ops
PATH=/a
0 3 * * * root z
",
        "a job that only the new image has keeps what its own text says"
    );
}

#[test]
fn a_line_that_both_sides_edited_alike_is_merged_as_one_beside_the_old_line_too() {
    let image = "A=one\n\n0 1 * * * root run 6%in\n";
    let edited = "A=\n\n0 1 * * * root run 6\n";
    let new_image = "A=one\n0 1 * * * root run 6\n\n0 1 * * * root run 6%in\n";
    let once = merged(new_image, edited, image);
    assert!(once.starts_with("A=\"\"\n0 1 * * * root run 6\n"), "{once}");
    assert!(!once.contains("\n0 1 * * * root run 6%in"), "{once}");
    assert_eq!(merged(&once, edited, image), once);
}

#[test]
fn a_new_setting_goes_directly_above_the_jobs_that_have_it() {
    let image = "0 1 * * * root x\n# Why\n0 2 * * * root y\n0 3 * * * root z\n";
    let edited = "0 1 * * * root x\nA=1\n# Why\n0 2 * * * root y\n0 3 * * * root z\n";
    let new_image = "B=2\n0 1 * * * root x\n# Why\n0 2 * * * root y\n0 3 * * * root z\n";
    assert_eq!(
        merged(new_image, edited, image),
        "B=2\n0 1 * * * root x\nA=1\n# Why\n0 2 * * * root y\n0 3 * * * root z\n"
    );
}

#[test]
fn a_job_goes_to_the_end_where_its_settings_would_reach_others() {
    let image = "# Why\n# cronkeep: retries=1\n0 1 * * * root x\n";
    let edited = "PATH=/b\n# Why\n# cronkeep: retries=2\n0 1 * * * root x\n";
    let new_image = "# All\n# Why\n# cronkeep: retries=1\n0 1 * * * root x\n0 2 * * * root own\n";
    assert_eq!(
        merged(new_image, edited, image),
        "\
# All

0 2 * * * root own
PATH=/b
# Why
# cronkeep: retries=2
0 1 * * * root x
"
    );
}

#[test]
fn added_jobs_see_the_settings_that_they_had() {
    let stored = "\
A=1
CRON_TZ=Asia/Tokyo
0 1 * * * root x
A=2
CRON_TZ=
CRONKEEP_TIMEOUT=5m
0 2 * * * root y
0 3 * * * root z
";
    assert_eq!(
        merged("A=2\n0 0 * * * root own\n", stored, ""),
        "\
A=2
0 0 * * * root own
CRON_TZ=Asia/Tokyo
A=1
0 1 * * * root x
CRON_TZ=\"\"
A=2
CRONKEEP_TIMEOUT=5m
0 2 * * * root y
0 3 * * * root z
"
    );
}

#[test]
fn a_variable_that_a_job_did_not_have_is_given_as_well_as_can_be() {
    let file = "SHELL=/bin/bash\nMAILTO=ops\nPATH=/a\nA=1\n0 0 * * * root own\n";
    let (text, warnings) = outcome(file, "0 1 * * * root x\n0 2 * * * app y\n", "");
    assert_eq!(
        text,
        format!(
            "{file}A=\"\"\nMAILTO=root\nSHELL=/bin/sh\n0 1 * * * root x\nMAILTO=app\n0 2 * * * app y\n"
        )
    );
    let [variable, path] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(variable.contains("had no variable A: it is given an empty one"), "{variable}");
    assert!(path.contains("had no setting PATH: that of the file holds"), "{path}");
}

#[test]
fn a_job_that_cannot_be_without_a_path_any_more_gets_the_one_of_the_snapshot() {
    for job in ["61 * * * * root broken 1", "2 1 * * * root x"] {
        let other = "61 * * * * root broken 0\n";
        let image = format!("{other}PATH=\n\n\n{job}\n0 1 * * * root run 0\n");
        let edited = format!("{other}PATH=one\nA=\n\n\n{job}\n0 1 * * * root run 0\n");
        let new_image = format!("{job}\n{other}PATH=\n\n\n0 1 * * * root run 0");
        let (text, warnings) = outcome(&new_image, &edited, &image);
        assert_eq!(
            text,
            format!("{other}PATH=\n\n\nA=\"\"\nPATH=one\n{job}\n0 1 * * * root run 0\n")
        );
        let [both, instead] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(both.contains("the setting PATH of"), "{both}");
        assert!(instead.contains("had no setting PATH here: `one` of the snapshot"), "{instead}");
    }
}

#[test]
fn a_path_that_only_the_file_took_away_does_not_come_back_from_the_snapshot() {
    let image = "PATH=/old\n0 1 * * * root x\n0 2 * * * root y\n";
    let edited = "PATH=/old\nA=1\n0 1 * * * root x\nA=\n0 2 * * * root y\n";
    let new_image = "0 1 * * * root x\n0 3 * * * root own\nPATH=/new\n0 2 * * * root y\n";
    let (text, _) = outcome(new_image, edited, image);
    assert!(!text.contains("PATH=/old"), "{text}");
}

#[test]
fn a_comment_at_the_end_does_not_become_the_description_of_what_is_added() {
    for (file, result) in [
        ("# The end", "# The end\n\n0 1 * * * root x\n"),
        ("0 0 * * * root y", "0 0 * * * root y\n0 1 * * * root x\n"),
        ("\n", "\n0 1 * * * root x\n"),
        ("", "0 1 * * * root x\n"),
        ("\u{feff}", "\u{feff}0 1 * * * root x\n"),
        ("# a\r\n\r\n0 0 * * * root y\r\n", "# a\r\n\r\n0 0 * * * root y\r\n0 1 * * * root x\r\n"),
    ] {
        assert_eq!(merged(file, "0 1 * * * root x\n", ""), result, "{file:?}");
    }
}

#[test]
fn line_ends_and_bytes_that_are_no_text_stay_as_they_are() {
    let dialect = Dialect::system();
    let file = b"\xef\xbb\xbf# caf\xe9\r\n0 0 * * * root y \r\r\n\r\n# end";
    let stored = b"0 1 * * * root caf\xe9\n0 0 * * * root y \n";
    let merged = merge(file, stored, b"0 0 * * * root y \n", &dialect);
    let mut wanted = file.to_vec();
    wanted.extend_from_slice(b"\r\n\r\n0 1 * * * root caf\xe9\r\n");
    assert_eq!(merged.text, wanted);
    assert_eq!((merged.added, merged.removed, merged.changed), (1, 0, 0));
}

#[test]
fn a_line_that_cannot_be_read_is_kept_like_a_job() {
    assert_eq!(
        merged("0 1 * * * root own\n", "61 * * * * root x\n", ""),
        "0 1 * * * root own\n61 * * * * root x\n"
    );
    assert_eq!(
        merged("61 * * * * root x\n0 1 * * * root own\n", "", "61 * * * * root x\n"),
        "# 61 * * * * root x\n\n0 1 * * * root own\n"
    );
}

#[test]
fn a_job_that_a_directive_blocks_is_the_same_job_blocked() {
    assert_eq!(
        merged(
            "0 1 * * * root x\n0 2 * * * root own\n",
            "# cronkeep: enabled=perhaps\n0 1 * * * root x\n",
            "0 1 * * * root x\n"
        ),
        "# cronkeep: enabled=perhaps\n0 1 * * * root x\n0 2 * * * root own\n"
    );
}

#[test]
fn what_would_spoil_the_file_is_added_as_a_comment() {
    // With seconds anywhere in the file, the first line could mean two things.
    let file = "0 1 * * * mon root x\n";
    let (text, warnings) = outcome(file, "*/5 0 1 * * * root y\n", "");
    assert_eq!(text, format!("{file}# */5 0 1 * * * root y\n"));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("added as a comment"), "{}", warnings[0]);
}

#[test]
fn a_spool_table_is_not_filled_beyond_what_is_accepted() {
    let dialect = Dialect::spool("app");
    let table = |from: usize, to: usize| {
        (from..to).map(|at| format!("0 1 * * * x{at}\n")).collect::<Vec<_>>().concat().into_bytes()
    };
    let merged = merge(&table(0, 6_000), &table(6_000, 11_000), b"", &dialect);
    assert!(Table::of(&merged.text, &dialect).crontab.accepted);
    assert_eq!(Table::of(&merged.text, &dialect).jobs.len(), 6_000);
    assert_eq!(merged.warnings.list, [Warning::Unreadable { jobs: 5_000 }]);
    let full = merge(&table(0, 6_000), &table(6_000, 10_000), b"", &dialect);
    assert_eq!(Table::of(&full.text, &dialect).jobs.len(), 10_000);
}

#[test]
fn a_side_that_changed_nothing_gives_way_to_the_other() {
    let (old, new) = ("# old\n0 1 * * * root x\n", "0 2 * * * root y\n# new\n");
    let dialect = Dialect::system();
    for (file, stored, ancestor, result) in
        [(old, new, old, new), (old, old, new, old), (new, old, old, new)]
    {
        let merged = merge(file.as_bytes(), stored.as_bytes(), ancestor.as_bytes(), &dialect);
        assert_eq!(String::from_utf8(merged.text).unwrap(), result);
        assert!(merged.warnings.is_empty());
    }
}

#[test]
fn ten_thousand_jobs_are_merged_in_one_go() {
    let dialect = Dialect::system();
    let table = |from: usize, to: usize| {
        (from..to)
            .map(|at| format!("A={}\n# Job {at}\n0 1 * * * root x{at}\n", at % 7))
            .collect::<Vec<_>>()
            .concat()
            .into_bytes()
    };
    let merged = merge(&table(0, 8_000), &table(2_000, 10_000), &table(0, 9_000), &dialect);
    assert_eq!((merged.added, merged.removed, merged.changed), (1_000, 2_000, 0));
}

#[test]
fn comments_that_belong_to_no_job_are_kept() {
    let image = "\
# Image 7

PATH=/usr/bin
0 0 * * * root rotate
";
    let edited = "\
# Image 7
# Edited by hand: ask Ada

PATH=/usr/bin
0 0 * * * root rotate

# Below: what the night does.
# cronkeep: name=nothing

# Dump the database,
# all of it
0 2 * * * root dump --all

#30 2 * * * root dump --some
# the end
";
    let new_image = "\
# Image 8

PATH=/usr/bin
0 0 * * * root rotate
30 4 * * * root vacuum
";
    assert_eq!(
        merged(new_image, edited, image),
        "\
# Edited by hand: ask Ada

# Image 8

PATH=/usr/bin
0 0 * * * root rotate
30 4 * * * root vacuum
# Dump the database,
# all of it
0 2 * * * root dump --all

# Below: what the night does.
# cronkeep: name=nothing

#30 2 * * * root dump --some
# the end
"
    );
}

#[test]
fn a_job_that_was_commented_out_by_hand_is_there_once() {
    let image = "0 0 * * * root rotate\n0 1 * * * root clean\n";
    let edited = "#0 0 * * * root rotate\n\n0 1 * * * root clean\n";
    let new_image = "0 0 * * * root rotate\n0 1 * * * root clean\n0 3 * * * root new\n";
    assert_eq!(
        merged(new_image, edited, image),
        "# 0 0 * * * root rotate\n\n0 1 * * * root clean\n0 3 * * * root new\n"
    );
}

#[test]
fn a_comment_that_the_new_image_removed_does_not_come_back() {
    let image = "# old\n\n0 0 * * * root rotate\n";
    let edited = "# old\n# mine\n\n0 0 * * * root rotate\n";
    let new_image = "0 0 * * * root rotate\n0 3 * * * root new\n";
    assert_eq!(
        merged(new_image, edited, image),
        "# mine\n\n0 0 * * * root rotate\n0 3 * * * root new\n"
    );
}

#[test]
fn what_is_added_below_a_remark_is_not_what_it_is_about() {
    let image = "0 0 * * * root rotate\n";
    let edited = "0 0 * * * root rotate\n0 2 * * * root dump\n";
    let new_image = "0 0 * * * root rotate\n\n# cronkeep: name=nothing\n# the end";
    assert_eq!(
        merged(new_image, edited, image),
        "0 0 * * * root rotate\n\n# cronkeep: name=nothing\n# the end\n\n0 2 * * * root dump\n"
    );
}

#[test]
fn where_the_snapshot_changed_what_meant_none_its_value_holds_at_the_end() {
    let (x, y) = ("0 1 * * * root x\n", "0 2 * * * root y\n");
    let (image, edited) = (format!("A=\n{x}"), format!("A=1\nB=1\n{x}"));
    let (text, warnings) = outcome(&format!("{x}A=2\n{y}"), &edited, &image);
    assert_eq!(text, format!("A=2\n{y}A=1\nB=1\n{x}"));
    assert!(warnings.iter().any(|text| text.contains("`1` of the snapshot holds")), "{warnings:?}");
}
