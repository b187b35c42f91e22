//! A mail as it is handed to sendmail: cronie's headers in cronie's order, then the output. Pure.

use super::Envelope;
use crate::unix::Strings;

/// Writes a mail about a run's output; none without a recipient.
///
/// `about` are the variables of the run itself, which follow those of its terms.
#[must_use]
pub fn message(
    envelope: &Envelope,
    host: &str,
    charset: &str,
    command: &[u8],
    about: &Strings,
    body: &[u8],
) -> Option<Vec<u8>> {
    let to = envelope.to.as_deref()?;
    let mut mail = Vec::with_capacity(body.len() + command.len() + 2000);
    let mut line = |parts: &[&[u8]]| {
        for part in parts {
            // A header is one line, whatever stands in it.
            mail.extend(part.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
        }
        mail.push(b'\n');
    };
    line(&[b"From: \"(Cron Daemon)\" <", &envelope.from, b">"]);
    line(&[b"To: ", to]);
    let user = envelope.user.as_bytes();
    line(&[b"Subject: Cron <", user, b"@", host.as_bytes(), b"> ", command]);
    line(&[b"MIME-Version: 1.0"]);
    match &envelope.content_type {
        Some(kind) => line(&[b"Content-Type: ", kind]),
        None => line(&[b"Content-Type: text/plain; charset=", charset.as_bytes()]),
    }
    let encoding = envelope.encoding.as_deref().unwrap_or(b"8bit");
    line(&[b"Content-Transfer-Encoding: ", encoding]);
    line(&[b"Auto-Submitted: auto-generated"]);
    line(&[b"Precedence: bulk"]);
    for variable in envelope.variables.iter().chain(about.iter()) {
        line(&[b"X-Cron-Env: <", variable.to_bytes(), b">"]);
    }
    mail.push(b'\n');
    // cronie leaves carriage returns out, but for one at the very beginning.
    let (first, rest) = body.split_at(body.len().min(1));
    mail.extend_from_slice(first);
    mail.extend(rest.iter().copied().filter(|&byte| byte != b'\r'));
    Some(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(list: &[&str]) -> Strings {
        let mut strings = Strings::default();
        for text in list {
            strings.push(&[text.as_bytes()]).unwrap();
        }
        strings
    }

    fn envelope() -> Envelope {
        Envelope {
            user: "alice".into(),
            from: b"cron@example.com".to_vec(),
            to: Some(b"ops".to_vec()),
            refused: Vec::new(),
            content_type: None,
            encoding: None,
            variables: strings(&["HOME=/tmp", "MAILTO=ops"]),
        }
    }

    fn text(envelope: &Envelope, command: &str, body: &str) -> String {
        let about = strings(&["CRONKEEP_ATTEMPT=1"]);
        let mail =
            message(envelope, "box", "UTF-8", command.as_bytes(), &about, body.as_bytes()).unwrap();
        String::from_utf8(mail).unwrap()
    }

    #[test]
    fn the_headers_are_cronies_in_cronies_order() {
        assert_eq!(
            text(&envelope(), "echo hi", "hi\n"),
            "From: \"(Cron Daemon)\" <cron@example.com>\n\
             To: ops\n\
             Subject: Cron <alice@box> echo hi\n\
             MIME-Version: 1.0\n\
             Content-Type: text/plain; charset=UTF-8\n\
             Content-Transfer-Encoding: 8bit\n\
             Auto-Submitted: auto-generated\n\
             Precedence: bulk\n\
             X-Cron-Env: <HOME=/tmp>\n\
             X-Cron-Env: <MAILTO=ops>\n\
             X-Cron-Env: <CRONKEEP_ATTEMPT=1>\n\
             \n\
             hi\n"
        );
    }

    #[test]
    fn content_headers_come_from_the_crontab_and_stay_one_line() {
        let envelope = Envelope {
            content_type: Some(b"text/html\nBcc: eve".to_vec()),
            encoding: Some(b"base64".to_vec()),
            ..envelope()
        };
        let text = text(&envelope, "a\nb", "");
        assert!(
            text.contains(
                "\nContent-Type: text/html Bcc: eve\nContent-Transfer-Encoding: base64\n"
            )
        );
        assert!(text.contains("\nSubject: Cron <alice@box> a b\n"));
    }

    #[test]
    fn the_body_is_the_output_without_carriage_returns() {
        assert!(text(&envelope(), "x", "\rone\r\ntwo").ends_with("\n\n\rone\ntwo"));
    }

    #[test]
    fn without_a_recipient_there_is_no_mail() {
        let envelope = Envelope { to: None, ..envelope() };
        assert_eq!(message(&envelope, "box", "UTF-8", b"x", &Strings::default(), b"y"), None);
    }
}
