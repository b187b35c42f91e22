//! Whom a mail goes to and comes from: cronie's rules. Pure.

/// The longest address, in bytes, with the NUL that ends it in cronie (`MAX_EMAILSTR`).
const LONGEST: usize = 255;

/// Whether an address may stand on sendmail's command line and in a header (cronie's `safe_p`): letters, digits, and
/// after the first letter `@!:%-.,_+`.
#[must_use]
pub fn is_safe(address: &[u8]) -> bool {
    address.iter().enumerate().all(|(place, &byte)| {
        byte.is_ascii_alphanumeric() || place > 0 && b"@!:%-.,_+".contains(&byte)
    })
}

/// Puts values in the place of `$NAME` and `${NAME}` (cronie's `expand_envvar`); names that `value` does not know vanish.
///
/// What does not read as a name ends the expanding, and the rest stays as it is; so does an address that would become too
/// long.
#[must_use]
pub fn expand<'a>(address: &[u8], value: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(address.len());
    let mut rest = address;
    while let Some((start, end)) = find_variable(rest) {
        expanded.extend_from_slice(&rest[..start]);
        let name = &rest[start + 1..end];
        let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        expanded.extend_from_slice(value(name).unwrap_or_default());
        rest = &rest[end..];
    }
    expanded.extend_from_slice(rest);
    if expanded.len() < LONGEST { expanded } else { address.to_vec() }
}

/// Where the first variable stands, its `$` and braces included.
fn find_variable(text: &[u8]) -> Option<(usize, usize)> {
    let start = memchr::memchr(b'$', text)?;
    let (mut size, mut braced) = (1, false);
    for &byte in &text[start + 1..] {
        match byte {
            b'0'..=b'9' if size <= 2 => return None,
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => size += 1,
            b'{' if size == 1 => {
                size += 1;
                braced = true;
            }
            b'{' => return None,
            b'}' if size == 1 || braced && size == 2 => return None,
            b'}' => {
                size += usize::from(braced);
                braced = false;
                break;
            }
            _ => break,
        }
    }
    (!braced).then_some((start, start + size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_some_marks_are_safe_but_not_the_marks_first() {
        for address in ["ops", "a@example.com,b@example.com", "a+b@x", "a!b", "a%b", "0", "a_b", ""]
        {
            assert!(is_safe(address.as_bytes()), "{address}");
        }
        for address in
            ["a;b", "_x", "-x", "@example.com", "a b", "a\tb", "é", "a\nb", "a\"b", "$x", "+a"]
        {
            assert!(!is_safe(address.as_bytes()), "{address}");
        }
    }

    #[test]
    fn variables_are_expanded_as_cronie_does() {
        let value = |name: &[u8]| match name {
            b"WHO" => Some(&b"ops"[..]),
            b"A_1" => Some(&b"one"[..]),
            b"LONG" => Some(&[b'x'; 300][..]),
            _ => None,
        };
        let cases = [
            ("plain@x", "plain@x"),
            ("$WHO", "ops"),
            ("${WHO}@example.com", "ops@example.com"),
            ("a,$WHO,${A_1}!", "a,ops,one!"),
            ("$WHO$WHO", "opsops"),
            ("$NOBODY", ""),
            ("${NOBODY}@example.com", "@example.com"),
            // Not a name.
            ("$1", "$1"),
            ("${1}", "${1}"),
            ("${}", "${}"),
            ("$}", "$}"),
            ("${WHO", "${WHO"),
            ("$WHO{x}", "$WHO{x}"),
            // A dollar alone is an empty name, and nothing is called that.
            ("a$", "a"),
            ("a$-b", "a-b"),
            ("$WHO}x", "ops}x"),
            ("x$LONG", "x$LONG"),
        ];
        for (address, expected) in cases {
            let expanded = expand(address.as_bytes(), value);
            assert_eq!(String::from_utf8(expanded).unwrap(), expected, "{address}");
        }
    }
}
