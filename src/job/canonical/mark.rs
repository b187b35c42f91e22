//! The marks of a crontab's lines one after the other: what neighbours have in common is made canonical once.
use std::collections::HashMap;
use std::ops::Range;

use super::field::{FIELDS, Rendering};
use super::{append_mark, append_user_and_command, behind_fields, may_be_field, user_and_command};
use crate::crontab::Seeded;

/// How many different schedules are remembered.
const REMEMBERED: usize = 4096;

/// Makes the marks of lines.
pub(in crate::job) struct Marks<'a> {
    /// Whose the lines are, where they have no user column.
    owner: Option<&'a [u8]>,
    /// By five fields as typed, where in `forms` their canonical forms stand, each with a comma behind it; none where the
    /// service finds no job.
    known: HashMap<&'a [u8], Option<Range<usize>>, Seeded>,
    forms: Vec<u8>,
    mark: Vec<u8>,
}

impl<'a> Marks<'a> {
    pub(in crate::job) fn new(owner: Option<&'a [u8]>) -> Self {
        Marks {
            owner,
            known: HashMap::with_hasher(Seeded::random()),
            forms: Vec::new(),
            mark: Vec::with_capacity(256),
        }
    }

    /// The mark of an entry's line; none where the service finds no job.
    pub(in crate::job) fn of_line(&mut self, line: &'a [u8]) -> Option<&[u8]> {
        self.mark.clear();
        let found = match Plain::of(line) {
            Some(plain) => self.append(&plain).is_some(),
            None => append_mark(&mut self.mark, line, self.owner),
        };
        found.then_some(&*self.mark)
    }

    fn append(&mut self, line: &Plain<'a>) -> Option<()> {
        let rest = behind_fields(line.rest, self.owner.is_some())?;
        let (user, command) = user_and_command(rest, self.owner)?;
        let form = match self.known.get(line.fields) {
            Some(form) => form.clone()?,
            None => self.form(line.fields)?,
        };
        self.mark.extend_from_slice(&self.forms[form]);
        append_user_and_command(&mut self.mark, user, command);
        Some(())
    }

    /// Makes five fields canonical.
    fn form(&mut self, fields: &'a [u8]) -> Option<Range<usize>> {
        if self.known.len() == REMEMBERED {
            self.known.clear();
            self.forms.clear();
        }
        let start = self.forms.len();
        let words = fields.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let whole = FIELDS.iter().zip(words).all(|(spec, word)| {
            let written = may_be_field(word)
                && spec.append_canonical(word, Rendering::Hashed, &mut self.forms).is_some();
            self.forms.push(b',');
            written
        });
        if !whole {
            self.forms.truncate(start);
        }
        let form = whole.then_some(start..self.forms.len());
        self.known.insert(fields, form.clone());
        form
    }
}

/// A line in which a blank is all white space there is, and that begins with five fields.
struct Plain<'a> {
    /// From the first field to the last.
    fields: &'a [u8],
    /// From the first byte behind them that is no blank.
    rest: &'a [u8],
}

impl<'a> Plain<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        if !has_blanks_only(line) {
            return None;
        }
        let from = line.iter().position(|&byte| byte != b' ')?;
        let to = line.iter().rposition(|&byte| byte != b' ')? + 1;
        let text = &line[from..to];
        if matches!(text[0], b'@' | b'#') {
            return None;
        }
        let (mut words, mut inside) = (0, false);
        let end = text.iter().position(|&byte| {
            let ends = inside && byte == b' ';
            inside = byte != b' ';
            words += u32::from(ends);
            words == 5
        })?;
        let behind = text[end..].iter().position(|&byte| byte != b' ')?;
        Some(Plain { fields: &text[..end], rest: &text[end + behind..] })
    }
}

/// Whether each byte is of ASCII, and a blank or beyond it.
fn has_blanks_only(line: &[u8]) -> bool {
    const LANES: u64 = 0x0101_0101_0101_0101;
    let (words, rest) = line.as_chunks::<8>();
    let odd = words.iter().fold(0, |odd, word| {
        let word = u64::from_le_bytes(*word);
        // The highest bit of each byte that is below a blank, or beyond ASCII.
        odd | word | word.wrapping_sub(LANES * u64::from(b' '))
    });
    odd & (LANES << 7) == 0 && rest.iter().all(|byte| (b' '..0x80).contains(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(line: &[u8], owner: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut mark = Vec::new();
        append_mark(&mut mark, line, owner).then_some(mark)
    }

    #[test]
    fn white_space_of_other_kinds_and_bytes_beyond_ascii_are_seen_wherever_they_stand() {
        for length in 0..20 {
            assert!(has_blanks_only(&vec![b' '; length]) && has_blanks_only(&vec![b'~'; length]));
            for at in 0..length {
                for byte in (0..b' ').chain(0x80..=0xff) {
                    let mut line = vec![b'a'; length];
                    line[at] = byte;
                    assert!(!has_blanks_only(&line), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn lines_with_the_same_fields_differ_in_what_follows_them() {
        let mut marks = Marks::new(None);
        let mut of = |line: &'static str| marks.of_line(line.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(of("0 7-7 * * 7 root a").as_deref(), Some(&b"0,7,*,*,0,root,a"[..]));
        assert_eq!(of("0 7-7 * * 7  root b #c").as_deref(), Some(&b"0,7,*,*,0,root,b"[..]));
        assert_eq!(of("60 7-7 * * 7 root a"), None);
        assert_eq!(of("60 7-7 * * 7 root b"), None);
        assert_eq!(of("0 7-7 * * 7 root"), None);
    }

    #[test]
    fn more_schedules_than_are_remembered_are_read_as_well() {
        let lines: Vec<String> = (0..3 * REMEMBERED)
            .map(|at| format!("{} {} {} * * root x", at % 60, at / 60 % 24, at / 1440 + 1))
            .collect();
        let mut marks = Marks::new(None);
        for line in lines.iter().chain(&lines) {
            assert_eq!(
                marks.of_line(line.as_bytes()).map(<[u8]>::to_vec),
                plain(line.as_bytes(), None)
            );
        }
        assert!(marks.known.len() <= REMEMBERED);
    }

    proptest! {
        #[test]
        fn a_mark_is_the_same_whatever_was_read_before(
            lines in proptest::collection::vec(
                prop_oneof![
                    "[-]?( {0,2}[0-9*/,~@#-]{1,4}){4,6} {1,2}(root|x#|#y|%|a[\\\\]%b|\t|\u{a0}|é| ){0,4}",
                    " {0,2}(@daily|@x|0 0 \\* \\* 7) (root )?[ a-c#%\t\x0b]{0,8}",
                    ".{0,20}",
                ],
                0..12,
            ),
            owned in any::<bool>(),
        ) {
            let owner = owned.then_some(&b"bob"[..]);
            let mut marks = Marks::new(owner);
            for line in lines.iter().chain(&lines) {
                let line = line.as_bytes();
                prop_assert_eq!(marks.of_line(line).map(<[u8]>::to_vec), plain(line, owner));
            }
        }
    }
}
