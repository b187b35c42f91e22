use super::*;

#[test]
fn a_command_is_cut_at_blanks_and_no_shell_sees_it() {
    let words = |line| match Via::command(line) {
        Some(Via::Command(words)) => words.iter().map(|w| w.to_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    };
    assert_eq!(words("/bin/mail  -x 'a b'\t;"), ["/bin/mail", "-x", "'a", "b'", ";"]);
    assert!(words("  ").is_empty() && words("a\0b").is_empty());
}

#[test]
fn a_program_is_looked_up_when_it_is_needed() {
    let via = |line| Via::command(line).unwrap();
    assert!(via("sh -c x").is_there() && via("/bin/sh").is_there());
    assert!(!via("no-such-program").is_there() && !via("/etc/passwd").is_there());
    let found = via("sh -x").program(b"").unwrap();
    assert!(found[0].to_str().unwrap().ends_with("/sh") && found[1].as_c_str() == c"-x");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sendmail");
    let late = Via::Sendmail(CString::new(path.to_str().unwrap()).unwrap());
    assert!(late.program(b"alice").is_none());
    std::os::unix::fs::symlink("/bin/true", &path).unwrap();
    let words = late.program(b"alice").unwrap();
    let words: Vec<_> = words[1..].iter().map(|word| word.to_str().unwrap()).collect();
    assert_eq!(words, ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "alice"]);
}

#[test]
fn the_charset_is_the_locales_or_utf_8() {
    let cases = [
        ("", "UTF-8"),
        ("C", "UTF-8"),
        ("C.UTF-8", "UTF-8"),
        ("en_US.utf8", "UTF-8"),
        ("de_DE.ISO-8859-15@euro", "ISO-8859-15"),
        ("x.a\nBcc: eve", "UTF-8"),
    ];
    for (locale, charset) in cases {
        assert_eq!(charset_of(locale), charset, "{locale}");
    }
}
