//! What a body is, by looking at it.

use serde::de::IgnoredAny;

/// JSON.
pub const JSON: &str = "application/json";
/// Text.
pub const TEXT: &str = "text/plain";
/// Anything else.
pub const BYTES: &str = "application/octet-stream";
/// The encoding of text, as Celery and other clients name it.
pub const UTF_8: &str = "utf-8";

/// The content type of a body, and its encoding where it is text.
///
/// One JSON value and nothing beside it is [`JSON`], a number or a bare `true` included; other UTF-8 is [`TEXT`], nothing at
/// all too; the rest is [`BYTES`].
#[must_use]
pub fn of(body: &[u8]) -> (&'static str, Option<&'static str>) {
    match std::str::from_utf8(body) {
        Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => (JSON, Some(UTF_8)),
        Ok(_) => (TEXT, Some(UTF_8)),
        Err(_) => (BYTES, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_known_by_looking_at_it() {
        for (body, kind) in [
            (&b"{\"a\": [1, null]}\n"[..], JSON),
            (b"[]", JSON),
            (b"5", JSON),
            (b"\"x\"", JSON),
            (b"{\"a\":}", TEXT),
            (b"{} {}", TEXT),
            (b"hello", TEXT),
            (b"", TEXT),
            ("grüß".as_bytes(), TEXT),
            (b"\"\xff\"", BYTES),
            (b"\x80", BYTES),
        ] {
            assert_eq!(of(body).0, kind, "{body:?}");
            assert_eq!(of(body).1.is_some(), kind != BYTES);
        }
    }

    #[test]
    fn depth_is_no_way_to_exhaust_the_stack() {
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert!([JSON, TEXT].contains(&of(deep.as_bytes()).0));
    }
}
