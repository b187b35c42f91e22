//! crontab(1), with the real binary: each test has a spool, an `/etc` and users of its own, in a mount namespace.
#![expect(clippy::unwrap_used, reason = "a test fails where it must not go on")]
#![expect(clippy::disallowed_methods, reason = "a test waits for its programs, as any parent does")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use snapbox::cmd::cargo_bin;
use tempfile::TempDir;

/// A number that no account of a machine has.
const ALICE: u32 = 61_234;

/// Mounts the folder's spool and lists over the machine's, then becomes what was asked for.
const ENTER: &str = r#"
set -e
folder=$1; shift
mount --make-rprivate /
[ -d /var/spool/cron ] || mkdir -p /var/spool/cron
mount --bind "$folder/spool" /var/spool/cron
mount -t overlay overlay -o "lowerdir=$folder/lists:/etc" /etc
mount --bind "$folder/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
exec "$@"
"#;

/// A machine with root and alice.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "crontab's tests need root: they mount");
        let folder = tempfile::tempdir().unwrap();
        for name in ["spool/crontabs", "lists", "bin"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let users = format!(
            "root:x:0:0:root:/root:/bin/sh\nalice:x:{ALICE}:{ALICE}::/tmp:/bin/sh\nbob:x:61235:61235::/tmp:/bin/sh\n"
        );
        fs::write(folder.path().join("passwd"), users).unwrap();
        // A copy in a folder that everybody may enter, under the name that makes it crontab.
        let copy = folder.path().join("bin/crontab");
        crate::program::copy(cargo_bin!("cronkeep"), copy);
        Machine { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn table(&self, user: &str) -> PathBuf {
        self.path("spool/crontabs").join(user)
    }

    /// The command as root.
    fn crontab(&self, arguments: &[&str]) -> Command {
        let crontab = self.path("bin/crontab");
        self.command(crontab.to_str().unwrap(), arguments)
    }

    /// The command as alice.
    fn as_alice(&self, arguments: &[&str]) -> Command {
        let crontab = self.path("bin/crontab");
        let id = ALICE.to_string();
        let mut all =
            vec!["--reuid", &id, "--regid", &id, "--clear-groups", crontab.to_str().unwrap()];
        all.extend(arguments);
        self.command("setpriv", &all)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER, "sh"])
            .arg(self.folder.path())
            .arg(program)
            .args(arguments)
            .env("TZ", "UTC")
            .env_remove("VISUAL")
            .env_remove("EDITOR")
            .env("TMPDIR", self.folder.path())
            .stdin(Stdio::null());
        command
    }

    /// An editor that runs a script with the file as `$1`.
    fn editor(&self, script: &str) -> PathBuf {
        let path = self.path("bin/editor");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        // A process that another test starts at this moment may hold it open for writing; a shell reads it all the same.
        PathBuf::from(format!("/bin/sh {}", path.display()))
    }

    /// What is left in the spool and is no table of `users`.
    fn strays(&self, users: &[&str]) -> Vec<String> {
        let items = fs::read_dir(self.path("spool/crontabs")).unwrap();
        let names = items.map(|item| item.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !users.contains(&name.as_str())).collect()
    }
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who refuses before reading closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn row_110_without_a_table_listing_and_removing_are_code_1_with_crons_words() {
    let machine = Machine::new();
    for arguments in [&["-l"][..], &["-r"], &["-r", "-i"]] {
        let output = machine.crontab(arguments).output().unwrap();
        assert_eq!((code(&output), &*said(&output)), (1, "no crontab for root\n"), "{arguments:?}");
    }
    let output = machine.crontab(&["-u", "alice", "-l"]).output().unwrap();
    assert_eq!((code(&output), &*said(&output)), (1, "no crontab for alice\n"));
}

#[test]
fn row_110_a_question_that_is_not_answered_with_yes_keeps_the_table() {
    let machine = Machine::new();
    assert_eq!(code(&with_input(machine.crontab(&["-"]), b"@daily a\n")), 0);
    for answer in [&b"n\n"[..], b"", b"\n", b"what\n"] {
        let output = with_input(machine.crontab(&["-r", "-i"]), answer);
        assert_eq!(code(&output), 0);
        assert!(said(&output).contains("really delete root's crontab? (y/n)"), "{output:?}");
        assert!(machine.table("root").exists(), "{answer:?}");
    }
    assert_eq!(code(&with_input(machine.crontab(&["-ri"]), b"Yes\n")), 0);
    assert!(!machine.table("root").exists());
}

#[test]
fn what_is_installed_is_listed_byte_by_byte_and_is_its_owners_alone() {
    let machine = Machine::new();
    let text = b"# \xff\r\nA=b\n\n@daily a%b\n";
    assert_eq!(code(&with_input(machine.crontab(&["-u", "alice", "-"]), text)), 0);
    let output = machine.crontab(&["-l", "-u", "alice"]).output().unwrap();
    assert_eq!((code(&output), output.stdout), (0, text.to_vec()));
    let found = fs::metadata(machine.table("alice")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, ALICE));
    assert_eq!(machine.strays(&["alice"]), [""; 0]);
}

#[test]
fn cronies_spool_is_used_where_debians_does_not_exist() {
    let machine = Machine::new();
    fs::remove_dir(machine.path("spool/crontabs")).unwrap();
    assert_eq!(code(&with_input(machine.crontab(&["-"]), b"@daily a\n")), 0);
    assert!(machine.path("spool/root").exists());
    assert_eq!(code(&machine.crontab(&["-r"]).output().unwrap()), 0);
    assert!(!machine.path("spool/root").exists());
}

#[test]
fn row_111_every_error_is_told_in_crons_words_and_the_old_table_stays() {
    let machine = Machine::new();
    assert_eq!(code(&with_input(machine.crontab(&["-"]), b"@daily old\n")), 0);
    let file = machine.path("new");
    fs::write(&file, "@daily fine\n0 25 * * * x\n61 * * * * y\n@Daily z\n").unwrap();
    let name = file.to_str().unwrap();
    let output = machine.crontab(&[name]).output().unwrap();
    assert_eq!(code(&output), 1);
    let words = said(&output);
    for expected in [
        format!("\"{name}\":2: bad hour\n"),
        format!("\"{name}\":3: bad minute\n"),
        format!("\"{name}\":4: bad time specifier\n"),
        "25 is not an hour".to_owned(),
        "^^".to_owned(),
        "can't install".to_owned(),
    ] {
        assert!(words.contains(&expected), "{expected}: {words}");
    }
    assert_eq!(fs::read(machine.table("root")).unwrap(), b"@daily old\n");
    assert_eq!(machine.strays(&["root"]), [""; 0]);
    fs::write(&file, "0 23 * * * x\n").unwrap();
    assert_eq!(code(&machine.crontab(&[name]).output().unwrap()), 0);
    assert_eq!(fs::read(machine.table("root")).unwrap(), b"0 23 * * * x\n");
}

#[test]
fn row_112_an_empty_input_is_an_empty_table_and_a_terminal_is_none() {
    let machine = Machine::new();
    for arguments in [&["-"][..], &[]] {
        let output = with_input(machine.crontab(arguments), b"");
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(fs::read(machine.table("root")).unwrap(), b"");
        fs::remove_file(machine.table("root")).unwrap();
    }
    // script(1) gives it a terminal.
    let crontab = machine.path("bin/crontab");
    let output = machine
        .command("script", &["-qec", crontab.to_str().unwrap(), "/dev/null"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("Usage: crontab"), "{output:?}");
    assert!(!machine.table("root").exists());
}

#[test]
fn row_112_wrong_usage_is_code_1() {
    let machine = Machine::new();
    for arguments in [
        &["-l", "-r"][..],
        &["-Z"],
        &["-l", "file"],
        &["-T"],
        &["-u"],
        &["a", "b"],
        &["-u", "nobody-of-that-name", "-l"],
    ] {
        let output = machine.crontab(arguments).output().unwrap();
        assert_eq!(code(&output), 1, "{arguments:?}");
        assert!(!said(&output).is_empty(), "{arguments:?}");
    }
    assert_eq!(code(&machine.crontab(&["-V"]).output().unwrap()), 0);
}

#[test]
fn row_113_a_test_installs_nothing_and_tells_of_what_never_fires_and_of_a_user_column() {
    let machine = Machine::new();
    let test = |text: &[u8]| with_input(machine.crontab(&["-T", "-"]), text);
    let output = test(b"@daily true\n");
    assert_eq!(code(&output), 0, "{output:?}");
    let output = test(b"0 0 31 2 * true\n* * * * * root true\n");
    assert_eq!(code(&output), 0, "{output:?}");
    let words = said(&output);
    assert!(words.contains("\"-\":1: warning: never fires"), "{words}");
    assert!(words.contains("\"-\":2: warning: user column"), "{words}");
    let output = test(b"@daily true\n* * * *\n");
    assert_eq!(code(&output), 1);
    assert!(said(&output).contains("\"-\":2: "), "{output:?}");
    let file = machine.path("jobs");
    fs::write(&file, "* * * * * true\n").unwrap();
    assert_eq!(code(&machine.crontab(&["-T", file.to_str().unwrap()]).output().unwrap()), 0);
    assert_eq!(machine.strays(&[]), [""; 0]);
}

#[test]
fn row_114_an_editor_that_saves_within_the_second_is_noticed() {
    let machine = Machine::new();
    assert_eq!(code(&with_input(machine.crontab(&["-"]), b"@daily a\n")), 0);
    let in_place = "printf '@daily b\\n' > \"$1\"; touch -d @0 \"$1\"";
    let renamed = "printf '@daily c\\n' > \"$1.new\"; mv \"$1.new\" \"$1\"";
    for (script, expected) in [(in_place, "@daily b\n"), (renamed, "@daily c\n")] {
        let editor = machine.editor(script);
        let output = machine.crontab(&["-e"]).env("EDITOR", editor).output().unwrap();
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(fs::read_to_string(machine.table("root")).unwrap(), expected);
    }
    assert!(drafts(&machine).is_empty());
}

/// The files that `crontab -e` has left.
fn drafts(machine: &Machine) -> Vec<PathBuf> {
    let items = fs::read_dir(machine.folder.path()).unwrap().map(|item| item.unwrap().path());
    let is_draft =
        |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("crontab.");
    items.filter(is_draft).map(|folder| folder.join("crontab")).collect()
}

#[test]
fn what_a_killed_editor_can_recover_a_text_from_is_kept() {
    let machine = Machine::new();
    let editor = machine.editor("printf recoverable > \"${1%/*}/.crontab.swp\"; kill -9 $$");
    let output = machine.crontab(&["-e"]).env("EDITOR", editor).output().unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    let folder = drafts(&machine)[0].parent().unwrap().to_owned();
    assert_eq!(fs::read_to_string(folder.join(".crontab.swp")).unwrap(), "recoverable");
    let words = format!("edits left in {}\n", folder.display());
    assert!(said(&output).contains(&words), "{output:?}");
}

#[test]
fn the_editor_is_visual_before_editor_and_may_have_options() {
    let machine = Machine::new();
    let editor = machine.editor("test \"$1\" = --wait && printf '@daily %s\\n' \"$2\" > \"$2\"");
    let visual = format!("{} --wait", editor.display());
    let output =
        machine.crontab(&["-e"]).env("VISUAL", visual).env("EDITOR", "false").output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let text = fs::read_to_string(machine.table("root")).unwrap();
    // Editors know the language by the name.
    assert!(text.ends_with("/crontab\n"), "{text}");
}

#[test]
fn a_text_that_was_not_changed_is_not_installed() {
    let machine = Machine::new();
    let output = machine.crontab(&["-e"]).env("EDITOR", "touch").output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(said(&output).contains("no changes made"), "{output:?}");
    assert!(!machine.table("root").exists() && drafts(&machine).is_empty());
}

#[test]
fn a_bad_edit_can_be_mended_or_is_kept() {
    let machine = Machine::new();
    // The first time it spoils the text, the second time it mends it.
    let script = "if grep -q bad \"$1\"; then printf '@daily good\\n'; else printf 'bad\\n'; fi > \"$1.x\"; mv \"$1.x\" \"$1\"";
    let edit = |answer: &[u8]| {
        let mut command = machine.crontab(&["-e"]);
        command.env("EDITOR", machine.editor(script));
        with_input(command, answer)
    };
    for answer in [&b"n\n"[..], b""] {
        let output = edit(answer);
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(said(&output).contains("Do you want to retry the same edit?"), "{output:?}");
        let kept = drafts(&machine);
        assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "bad\n");
        assert!(said(&output).contains(kept[0].to_str().unwrap()), "{output:?}");
        fs::remove_dir_all(kept[0].parent().unwrap()).unwrap();
        assert!(!machine.table("root").exists());
    }
    assert_eq!(code(&edit(b"hm\ny\n")), 0);
    assert_eq!(fs::read_to_string(machine.table("root")).unwrap(), "@daily good\n");
}

#[test]
fn an_editor_that_fails_keeps_what_was_written_and_installs_nothing() {
    let machine = Machine::new();
    let editor = machine.editor("echo '@daily half' > \"$1\"; exit 3");
    let output = machine.crontab(&["-e"]).env("EDITOR", editor).output().unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    assert_eq!(fs::read_to_string(&drafts(&machine)[0]).unwrap(), "@daily half\n");
    assert!(!machine.table("root").exists());
}

/// A table of so many entries, each with this word.
fn table(word: &str, entries: usize) -> String {
    let lines: Vec<String> =
        (0..entries).map(|n| format!("{} * * * * {word} {n}\n", n % 60)).collect();
    lines.concat()
}

#[test]
fn row_115_killed_at_any_point_it_leaves_the_old_table_or_the_new() {
    let machine = Machine::new();
    let old = table("old", 400);
    let new = old.replace("old", "new");
    assert_eq!(code(&with_input(machine.crontab(&["-"]), old.as_bytes())), 0);
    let file = machine.path("next");
    let mut kills = 0;
    // Stopped before its nth system call that touches the spool, and killed there.
    for call in ["openat", "write", "fsync", "renameat", "fchmod", "exit_group"] {
        for nth in 1..=3 {
            fs::write(&file, &new).unwrap();
            let crontab = machine.path("bin/crontab");
            let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
            let trace = format!("trace={call}");
            let output = machine
                .command(
                    "strace",
                    &[
                        "-qq",
                        "-o",
                        "/dev/null",
                        "-P",
                        "/var/spool/cron/crontabs",
                        "-e",
                        &trace,
                        "-e",
                        &inject,
                        crontab.to_str().unwrap(),
                        file.to_str().unwrap(),
                    ],
                )
                .output()
                .unwrap();
            let killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
            assert!(killed || output.status.success(), "{call} {nth}: {output:?}");
            kills += usize::from(killed);
            let table = fs::read_to_string(machine.table("root")).unwrap();
            assert!(table == old || table == new, "{call} {nth}: {} bytes", table.len());
            for stray in machine.strays(&["root"]) {
                assert!(stray.starts_with('.'), "{stray} could be a user's table");
            }
            fs::write(machine.table("root"), &old).unwrap();
        }
    }
    assert!(kills >= 4, "only {kills} of the calls were met");
}

#[test]
fn row_115_killed_whenever_it_leaves_the_old_table_or_the_new() {
    let machine = Machine::new();
    let texts = ["one", "two"].map(|word| table(word, 3000));
    let files: Vec<PathBuf> = ["one", "two"].iter().map(|name| machine.path(name)).collect();
    for (file, text) in files.iter().zip(&texts) {
        fs::write(file, text).unwrap();
    }
    assert_eq!(code(&machine.crontab(&[files[0].to_str().unwrap()]).output().unwrap()), 0);
    // Forty installs in one namespace, each killed after another while.
    let script = r#"
      for round in $(seq 1 40); do
        "$0" "$1" & sleep 0.0$(( (round * 7) % 90 + 10 )); kill -9 $! 2>/dev/null; wait
        cmp -s "$1" /var/spool/cron/crontabs/root || cmp -s "$2" /var/spool/cron/crontabs/root || exit 9
        set -- "$2" "$1"
      done"#;
    let crontab = machine.path("bin/crontab");
    let arguments = [
        "-c",
        script,
        crontab.to_str().unwrap(),
        files[0].to_str().unwrap(),
        files[1].to_str().unwrap(),
    ];
    let output = machine.command("sh", &arguments).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(machine.strays(&["root"]).iter().all(|stray| stray.starts_with('.')));
}

#[test]
fn row_116_cron_allow_and_cron_deny_keep_users_out_and_never_root() {
    let machine = Machine::new();
    for (list, text, refused) in [
        ("cron.allow", "bob\n", true),
        ("cron.allow", "", true),
        ("cron.allow", "alice", false),
        ("cron.deny", "bob\nalice", true),
        ("cron.deny", "", false),
    ] {
        fs::write(machine.path("lists").join(list), text).unwrap();
        let output = machine.as_alice(&["-l"]).output().unwrap();
        assert_eq!(code(&output), 1, "{output:?}");
        let words = said(&output);
        assert_eq!(
            words.contains("You (alice) are not allowed to use this program"),
            refused,
            "{list} {text:?}: {words}"
        );
        let output = machine.crontab(&["-l"]).output().unwrap();
        assert_eq!(said(&output), "no crontab for root\n", "{list} {text:?}");
        fs::remove_file(machine.path("lists").join(list)).unwrap();
    }
}

#[test]
fn who_is_not_root_has_only_their_own_table() {
    let machine = Machine::new();
    let output = machine.as_alice(&["-u", "root", "-l"]).output().unwrap();
    assert_eq!((code(&output), &*said(&output)), (1, "must be privileged to use -u\n"));
    // A spool that everybody may write to, as under a rootless runtime: no daemon is needed.
    let spool = machine.path("spool/crontabs");
    fs::set_permissions(&spool, fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(code(&with_input(machine.as_alice(&["-u", "alice", "-"]), b"@daily a\n")), 0);
    assert_eq!(fs::metadata(machine.table("alice")).unwrap().uid(), ALICE);
}

#[test]
fn without_a_way_to_the_spool_it_says_what_would_be_needed() {
    let machine = Machine::new();
    fs::set_permissions(machine.path("spool/crontabs"), fs::Permissions::from_mode(0o700)).unwrap();
    let output = with_input(machine.as_alice(&["-"]), b"@daily a\n");
    assert_eq!(code(&output), 1);
    let words = said(&output);
    assert!(
        words.contains("permission denied") && words.contains("/run/cronkeep/crontab.sock"),
        "{words}"
    );
    let mut elsewhere = machine.as_alice(&["-"]);
    elsewhere.env("CRONKEEP_CONTROL", "/nonexistent/shop.sock");
    let words = said(&with_input(elsewhere, b"@daily a\n"));
    assert!(words.contains("/nonexistent/shop.crontab.sock"), "{words}");
}

#[test]
fn under_the_name_of_the_program_it_is_the_same() {
    let output = super::cronkeep(&["crontab", "-T", "-"]).stdin("61 * * * * x\n").assert().code(1);
    assert!(super::stderr(&output).contains("\"-\":1: bad minute"));
    super::cronkeep(&["crontab", "-T", "-"]).stdin("@daily true\n").assert().success();
    super::cronkeep(&["crontab", "-Z"]).assert().code(1);
}
