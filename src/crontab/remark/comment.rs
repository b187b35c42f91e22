//! A comment that was to be a directive.
use crate::crontab::field::quote;
use crate::crontab::{Code, Mistake, directive, grammar};
use crate::schedule::spelling::closest;

const WORD: &str = "cronkeep";

/// Warns about a comment that is a directive but for its first word or the colon: `# Cronkeep name=a`.
///
/// `text` is what stands behind the `#`; the span counts its bytes. A second `#` takes a directive out, as
/// it does an entry.
pub(in crate::crontab) fn near_directive(text: &[u8]) -> Option<Mistake> {
    // Most comments are told apart by their first letter, without a comparison.
    let start = text.iter().position(|&byte| !grammar::is_blank(byte))?;
    if !matches!(text[start], b'c' | b'C') {
        return None;
    }
    let letters = text[start..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let word = str::from_utf8(&text[start..start + letters]).ok()?;
    let same = word.eq_ignore_ascii_case(WORD);
    if !same && closest(word, [WORD]).is_none() {
        return None;
    }
    let after = grammar::remainder(text, start + letters).start;
    let colon = text.get(after) == Some(&b':');
    let end = if colon { after + 1 } else { start + letters };
    if !colon && after == end {
        return None;
    }
    let item = grammar::item(text, end)?;
    let key = &text[item.key];
    let known = directive::KEYS.iter().any(|known| known.name.as_bytes() == key);
    // Prose may have an equals sign too; an option's name settles it.
    let option = known || same && colon && key.iter().all(|&byte| is_of_name(byte));
    (item.value.is_some() && !key.is_empty() && option).then(|| {
        let message = format!(
            "{} is a comment, and looks like a directive",
            quote(text[start..].trim_ascii_end())
        );
        Mistake::new(Code::W020, start..end, message).with_help(
            "a directive begins with # cronkeep: in lower case, and the colon directly behind it",
        )
    })
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_told_from_prose() {
        for text in [
            " cronkeep name=a",
            "cronkeep name=a",
            " Cronkeep: name=a",
            " CRONKEEP : timeout=5m",
            " cronkep: timeout=5m",
            " cronkeep :nmae=a",
        ] {
            let found = near_directive(text.as_bytes());
            assert_eq!(found.map(|found| found.code), Some(Code::W020), "{text}");
        }
        for text in [
            " cronkeep is nice",
            " Cronkeep: our jobs",
            " Cronkeep:",
            " cronkeep a=b",
            " cronie: name=a",
            " # cronkeep: name=a",
            " cronkeep, name=a",
            " cronkeep: =",
            "",
        ] {
            assert_eq!(near_directive(text.as_bytes()), None, "{text}");
        }
    }
}
