//! Any bytes are a command: words or not, a publish or not, and what is one is a message or a mistake in words.
#![no_main]

use cronkeep::message::celery::Reply;
use cronkeep::message::words::words;
use cronkeep::message::{Arguments, Message, Occasion, compose, is_publish, publish_words};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|command: &[u8]| {
    if let Some(words) = words(command) {
        let quoted: Vec<Vec<u8>> = words
            .iter()
            .map(|word| {
                let parts: Vec<&[u8]> = word.split(|&byte| byte == b'\'').collect();
                [&b"'"[..], &parts.join(&b"'\\''"[..])[..], b"'"].concat()
            })
            .collect();
        assert_eq!(cronkeep::message::words::words(&quoted.join(&b' ')), Some(words));
    }
    let _ = Reply::read(command);
    let publish = [&b"cronkeep publish "[..], command].concat();
    for command in [command, &publish] {
        let Some(words) = publish_words(command) else { continue };
        assert!(is_publish(command));
        match Arguments::of_words(&words) {
            Ok(arguments) => sent(&arguments),
            Err(told) => {
                assert!(!told.message().is_empty() && !told.message().contains('\n'));
            }
        }
    }
});

/// Makes the message, and reads it back as the outbox does.
fn sent(arguments: &Arguments) {
    let occasion = Occasion::new("k:1", "host", Timestamp::UNIX_EPOCH);
    let body = arguments.body(b"input\n");
    let Ok(message) = compose(arguments, &occasion, body) else { return };
    assert!(message.headers.iter().all(|(name, _)| name.len() <= 255));
    let head = serde_json::to_vec(&message).expect("a message has a form in JSON");
    let read: Message = serde_json::from_slice(&head).expect("what was written");
    assert_eq!(Message { body: message.body.clone(), ..read }, message);
}
