//! Signatures: proof that a message was made by somebody who has the key.
//!
//! HMAC-SHA-256 (RFC 2104, FIPS 180-4) over what kind of message it is and its content, each with its length before it. All
//! that matters is in the content, so that nothing of it can be changed; the code travels in the header [`HEADER`], in
//! hexadecimal.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Message, Value};

/// The header that holds a message's signature.
pub const HEADER: &str = "cronkeep-signature";

/// The shortest key, in bytes.
pub const SHORTEST: usize = 16;

/// Hexadecimal digits of a code.
const DIGITS: usize = 64;

/// What is signed: a signature of one kind is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a worker is to carry out.
    Order,
    /// What came of it.
    Report,
    /// What its sender says to that.
    Answer,
}

/// A key that senders and workers share.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

/// The key is too short to keep anybody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has {0} bytes: at least {SHORTEST} are needed")]
pub struct ShortKey(pub usize);

/// Why a message is not taken for what it says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// It has none.
    #[error("it is not signed")]
    Missing,
    /// It was made with another key, for another kind of message, or for another content.
    #[error("its signature is not that of our key")]
    Wrong,
    /// It is signed, and there is no key here: whoever has sent it would not believe what is told him unsigned.
    #[error("it is signed, and there is no key here")]
    Unwanted,
}

impl Kind {
    /// What is signed with the content; the version is that of the form.
    fn name(self) -> &'static [u8] {
        match self {
            Kind::Order => b"cronkeep.order.1",
            Kind::Report => b"cronkeep.report.1",
            Kind::Answer => b"cronkeep.answer.1",
        }
    }
}

impl Key {
    /// The key with these bytes.
    ///
    /// # Errors
    /// There are fewer than [`SHORTEST`].
    pub fn new(bytes: &[u8]) -> Result<Self, ShortKey> {
        if bytes.len() < SHORTEST {
            return Err(ShortKey(bytes.len()));
        }
        Ok(Key(bytes.to_vec()))
    }

    /// The signature of this content, in hexadecimal.
    #[must_use]
    pub fn sign(&self, kind: Kind, content: &[u8]) -> String {
        use fmt::Write as _;
        let code = self.code(kind, content).finalize().into_bytes();
        let mut digits = String::with_capacity(DIGITS);
        for byte in code {
            // Writing to a string does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }

    /// Judges a message by the signature in its header, in a time that tells nothing of the right one.
    ///
    /// # Errors
    /// There is no signature, or not this one.
    pub fn verify(&self, kind: Kind, message: &Message) -> Result<(), BadSignature> {
        let mut found = message.headers.iter().filter(|(name, _)| name == HEADER);
        let Some((_, Value::Text(digits))) = found.next() else {
            return Err(BadSignature::Missing);
        };
        let code = from_hex(digits.as_bytes()).ok_or(BadSignature::Wrong)?;
        let expected = self.code(kind, &message.body);
        expected.verify_slice(&code).map_err(|_| BadSignature::Wrong)
    }

    fn code(&self, kind: Kind, content: &[u8]) -> Hmac<Sha256> {
        let mut code =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        for part in [kind.name(), content] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        code
    }
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if digits.len() != DIGITS {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Properties;

    fn key() -> Key {
        Key::new(b"0123456789abcdef").unwrap()
    }

    fn message(signature: Option<&str>) -> Message {
        Message {
            id: "1".to_owned(),
            exchange: String::new(),
            routing_key: "q".to_owned(),
            mandatory: true,
            persistent: true,
            properties: Properties::default(),
            headers: signature.map(|text| (HEADER.to_owned(), text.into())).into_iter().collect(),
            body: b"{}".to_vec(),
        }
    }

    /// Made with Python's hmac and struct.
    #[test]
    fn the_code_is_that_of_another_program() {
        assert_eq!(
            key().sign(Kind::Order, b"x"),
            "e158e642fe7ea76f46f12ccdc83a17e7345530150055e984c1cc27fe2df5c430"
        );
    }

    #[test]
    fn a_signature_holds_for_one_kind_key_and_content() {
        let signature = key().sign(Kind::Order, b"{}");
        assert_eq!(key().verify(Kind::Order, &message(Some(&signature))), Ok(()));
        let wrong = Err(BadSignature::Wrong);
        assert_eq!(key().verify(Kind::Report, &message(Some(&signature))), wrong);
        let other = Key::new(b"0123456789abcdeg").unwrap();
        assert_eq!(other.verify(Kind::Order, &message(Some(&signature))), wrong);
        let changed = Message { body: b"[]".to_vec(), ..message(Some(&signature)) };
        assert_eq!(key().verify(Kind::Order, &changed), wrong);
        for text in ["", "00", &signature.to_uppercase(), &format!("{signature}00")] {
            assert_eq!(key().verify(Kind::Order, &message(Some(text))), wrong, "{text}");
        }
    }

    #[test]
    fn a_message_without_a_signature_is_told_from_one_with_a_wrong_one() {
        assert_eq!(key().verify(Kind::Order, &message(None)), Err(BadSignature::Missing));
        let mut number = message(None);
        number.headers.push((HEADER.to_owned(), 7.into()));
        assert_eq!(key().verify(Kind::Order, &number), Err(BadSignature::Missing));
    }

    #[test]
    fn a_key_is_long_enough_and_never_shown() {
        assert_eq!(Key::new(b"0123456789abcde"), Err(ShortKey(15)));
        assert_eq!(format!("{:?}", key()), "Key");
    }
}
