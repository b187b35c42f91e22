//! The words of a command, where it uses no more of a shell than quoting.
//!
//! A message is published in-process only where a shell would have done nothing but take the words apart, and every POSIX
//! shell in the same way. Whatever could mean more to one of them makes the answer `None`: then the command runs as a program.

/// What most words fit in, and how many most commands have.
const WORD: usize = 32;
const WORDS: usize = 8;

/// Words that mean something to the grammar of a shell where they begin a command; of POSIX and of bash.
const RESERVED: [&[u8]; 22] = [
    b"!",
    b"{",
    b"}",
    b"[[",
    b"]]",
    b"case",
    b"coproc",
    b"do",
    b"done",
    b"elif",
    b"else",
    b"esac",
    b"fi",
    b"for",
    b"function",
    b"if",
    b"in",
    b"select",
    b"then",
    b"time",
    b"until",
    b"while",
];

/// The options of `cronkeep publish` that name another broker or another daemon, and those that ask for help.
const ELSEWHERE: [&[u8]; 4] = [b"--amqp", b"--control", b"--help", b"-h"];

/// Whether a command looks like a publish: the first word's file name is `cronkeep`, the second word `publish`.
///
/// Looks at bytes alone, allocates nothing. Where it holds, [`publish_words`] tells whether it is one.
#[must_use]
pub fn is_publish(command: &[u8]) -> bool {
    let command = without_blanks(command);
    let end = command.iter().position(|&byte| is_blank(byte)).unwrap_or(command.len());
    let (first, rest) = command.split_at(end);
    let has_name = first
        .strip_suffix(b"cronkeep")
        .is_some_and(|folder| folder.last().is_none_or(|&byte| byte == b'/'));
    has_name
        && without_blanks(rest)
            .strip_prefix(b"publish")
            .is_some_and(|behind| behind.first().is_none_or(|&byte| is_blank(byte)))
}

/// The arguments of a publish that can be carried out in-process: the words behind `publish`.
///
/// `None` for any other command: one that is no publish, one that needs a shell, one that names a broker or a daemon of its
/// own (`--amqp`, `--control`), one that asks for help.
#[must_use]
pub fn publish_words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    if !is_publish(command) {
        return None;
    }
    let mut words = words(command)?;
    // What looked like the words may have been the beginnings of others: publish\ x.
    if words.get(1).is_none_or(|word| word != b"publish") {
        return None;
    }
    words.drain(..2);
    let options = words.iter().take_while(|word| *word != b"--");
    let mut names = options.filter_map(|word| word.split(|&byte| byte == b'=').next());
    if names.any(|name| ELSEWHERE.contains(&name)) {
        return None;
    }
    Some(words)
}

/// Whether [`publish_words`] takes a command; found out without making them.
#[must_use]
pub fn is_publish_here(command: &[u8]) -> bool {
    is_publish(command) && has_publish_words(command).unwrap_or_default()
}

fn has_publish_words(command: &[u8]) -> Option<bool> {
    let mut reader = Reader::new(command);
    let mut word = Vec::with_capacity(command.len());
    let (mut is_publish, mut may_be_option) = (false, true);
    while !reader.is_through() {
        word.clear();
        reader.word(&mut word)?;
        match reader.count {
            1 => {}
            2 => is_publish = word == b"publish",
            _ => {
                may_be_option &= word != b"--";
                let name = word.split(|&byte| byte == b'=').next().unwrap_or_default();
                if may_be_option && ELSEWHERE.contains(&name) {
                    return None;
                }
            }
        }
    }
    Some(is_publish)
}

/// The words of a command that uses no more of a POSIX shell than blanks and quotes; none of them is a NUL byte.
///
/// `None` where it uses more, or what one of the usual shells takes for more: expansions, patterns, braces, redirections,
/// several commands, comments, assignments and reserved words at its beginning, quotes that do not end.
#[must_use]
pub fn words(command: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader::new(command);
    let mut words = Vec::with_capacity(WORDS);
    while !reader.is_through() {
        let mut word = Vec::with_capacity(WORD);
        reader.word(&mut word)?;
        words.push(word);
    }
    Some(words)
}

/// Reads word by word.
struct Reader<'a> {
    rest: &'a [u8],
    /// How many it has read.
    count: usize,
}

/// What of a word stands outside of quotes.
#[derive(Default)]
struct Bare {
    /// Whether anything is quoted.
    quoted: bool,
    /// Whether there was an opening brace.
    brace: bool,
    /// The last byte was a dot outside of quotes.
    dot: bool,
}

impl<'a> Reader<'a> {
    fn new(command: &'a [u8]) -> Self {
        Reader { rest: without_blanks(command), count: 0 }
    }

    /// Whether there are no more.
    fn is_through(&self) -> bool {
        self.rest.is_empty()
    }

    fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(byte)
    }

    /// Reads the next word, behind what `word` has. `None`: the command uses more of a shell.
    fn word(&mut self, word: &mut Vec<u8>) -> Option<()> {
        let mut bare = Bare::default();
        let mut begun = false;
        while let Some(byte) = self.next() {
            match byte {
                b' ' | b'\t' => break,
                b'\'' => {
                    bare.quoted = true;
                    self.single(word)?;
                }
                b'"' => {
                    bare.quoted = true;
                    self.double(word)?;
                }
                b'\\' => {
                    bare.quoted = true;
                    // At the end of a line it joins lines, at the end of all shells differ.
                    let byte = self.next().filter(|byte| !matches!(byte, b'\n' | b'\0'))?;
                    word.push(byte);
                }
                b'#' if !begun => return None,
                _ => {
                    if !bare.takes(byte, self.count == 0) {
                        return None;
                    }
                    word.push(byte);
                }
            }
            bare.dot = byte == b'.';
            begun = true;
        }
        if self.count == 0 && !bare.quoted && RESERVED.contains(&&word[..]) {
            return None;
        }
        self.count += 1;
        self.rest = without_blanks(self.rest);
        Some(())
    }

    /// Up to the closing quote every byte stands for itself.
    fn single(&mut self, word: &mut Vec<u8>) -> Option<()> {
        let end = self.rest.iter().position(|&byte| byte == b'\'')?;
        let (inner, rest) = self.rest.split_at(end);
        word.extend_from_slice(inner);
        self.rest = &rest[1..];
        (!inner.contains(&b'\0')).then_some(())
    }

    /// Up to the closing quote, where a backslash protects a few characters and an expansion is none of ours.
    fn double(&mut self, word: &mut Vec<u8>) -> Option<()> {
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'$' | b'`' | b'\0' => return None,
                b'\\' => match self.next()? {
                    byte @ (b'$' | b'`' | b'"' | b'\\') => word.push(byte),
                    b'\n' | b'\0' => return None,
                    byte => word.extend([b'\\', byte]),
                },
                byte => word.push(byte),
            }
        }
    }
}

impl Bare {
    /// Whether a byte outside of quotes stands for itself.
    fn takes(&mut self, byte: u8, is_first: bool) -> bool {
        match byte {
            // Expansions, several commands, redirections, patterns: wherever they stand without quotes.
            b'\0' | b'\n' | b'$' | b'`' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')' | b'*'
            | b'?' | b'[' | b'~' => false,
            // An assignment, not a command.
            b'=' => !is_first,
            // Bash makes several words of {a,b} and of {1..3}.
            b'{' => {
                self.brace = true;
                true
            }
            b',' => !self.brace,
            b'.' => !(self.brace && self.dot),
            _ => true,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(command: &str) -> Option<Vec<String>> {
        let words = words(command.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn blanks_part_words_and_quotes_join_them() {
        for (command, expected) in [
            ("", &[][..]),
            (" \t", &[]),
            ("  a\tb  ", &["a", "b"]),
            ("'a b'\"c d\"e\\ f", &["a bc de f"]),
            ("a '' \"\"", &["a", "", ""]),
            (r#""\$ \` \" \\ \a 'x'""#, &[r#"$ ` " \ \a 'x'"#]),
            (r"'\n' \n \\ \'", &[r"\n", "n", r"\", "'"]),
            ("'a\nb' \"c\nd\"", &["a\nb", "c\nd"]),
            ("a#b a= {} } x! é", &["a#b", "a=", "{}", "}", "x!", "é"]),
            (r#"{"a":1}"#, &["{a:1}"]),
            (r#"'{"a":1,"b":[2]}' '$x' '*'"#, &[r#"{"a":1,"b":[2]}"#, "$x", "*"]),
            ("\\if x", &["if", "x"]),
            ("a\r", &["a\r"]),
        ] {
            assert_eq!(texts(command).as_deref(), Some(owned(expected)).as_deref(), "{command}");
        }
    }

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn whatever_needs_more_of_a_shell_is_left_to_one() {
        for command in [
            "a $b",
            "a \"$b\"",
            "a `b`",
            "a \"`b`\"",
            "a;b",
            "a&",
            "a|b",
            "a<b",
            "a>b",
            "(a)",
            "a\nb",
            "a *",
            "a ?",
            "a [b]",
            "a ~",
            "a x=~/y",
            "a #b",
            "#",
            "A=1 a",
            "if a",
            "! a",
            "{ a",
            "time a",
            "a 'b",
            "a \"b",
            "a \\",
            "a \\\n b",
            "a \"\\\n\"",
            "a {b,c}",
            "a x{1..3}",
            "a \0",
            "a '\0'",
            "a \"\0\"",
            "a \\\0",
            "a \"b\\",
        ] {
            assert_eq!(texts(command), None, "{command:?}");
        }
    }

    #[test]
    fn a_publish_is_known_by_its_first_two_words() {
        for command in [
            "cronkeep publish",
            " /usr/bin/cronkeep\tpublish e k",
            "./cronkeep  publish --json a b",
        ] {
            assert!(is_publish(command.as_bytes()), "{command}");
        }
        for command in [
            "",
            "cronkeep",
            "cronkeeppublish",
            "cronkeep publisher",
            "cronkeep check",
            "xcronkeep publish",
            "publish cronkeep",
            "cronkeep.sh publish",
            "echo cronkeep publish",
            "cronkeep -x publish",
        ] {
            assert!(!is_publish(command.as_bytes()), "{command}");
        }
    }

    #[test]
    fn the_words_behind_publish_are_its_arguments() {
        let arguments = |command: &str| {
            let words = publish_words(command.as_bytes());
            assert_eq!(is_publish_here(command.as_bytes()), words.is_some(), "{command}");
            words
        };
        let some =
            |words: &[&str]| Some(words.iter().map(|word| word.as_bytes().to_vec()).collect());
        assert_eq!(arguments("/bin/cronkeep publish '' q 'a b'"), some(&["", "q", "a b"]));
        assert_eq!(arguments("cronkeep publish"), some(&[]));
        assert_eq!(arguments("cronkeep publish -- --amqp x"), some(&["--", "--amqp", "x"]));
        for command in [
            "cronkeep check",
            "cronkeep publish\\ x",
            "cronkeep publish e k $X",
            "cronkeep publish e k && true",
            "cronkeep publish --amqp amqp://x e k",
            "cronkeep publish --amqp=amqp://x e k",
            "cronkeep publish e k --control /x",
            "cronkeep publish --help",
            "cronkeep publish -h",
        ] {
            assert_eq!(arguments(command), None, "{command}");
        }
    }
}
