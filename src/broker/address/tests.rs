use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn told(text: &str) -> String {
    match Address::parse(text) {
        Ok(address) => panic!("{text} is taken for {address}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_host_alone_is_enough() {
    let address = parse("amqp://rabbit");
    assert_eq!((address.host.as_str(), address.port, address.tls), ("rabbit", 5672, false));
    assert_eq!((address.user.as_str(), address.password.as_str()), ("guest", "guest"));
    assert_eq!(address.vhost, "/");
    assert_eq!(parse("amqps://rabbit").port, 5671);
}

#[test]
fn each_part_is_decoded() {
    let address = parse("amqp://us%2Fer:p%40ss%3aword@host.example:5673/a%2fb%20c");
    assert_eq!((address.user.as_str(), address.password.as_str()), ("us/er", "p@ss:word"));
    assert_eq!((address.host.as_str(), address.port), ("host.example", 5673));
    assert_eq!(address.vhost, "a/b c");
}

#[test]
fn a_user_without_a_password_has_an_empty_one() {
    assert_eq!(parse("amqp://me@host").password, "");
}

#[test]
fn the_default_virtual_host_has_four_spellings() {
    for text in ["amqp://h", "amqp://h/", "amqp://h//", "amqp://h/%2f"] {
        assert_eq!(parse(text).vhost, "/", "{text}");
    }
}

#[test]
fn an_ipv6_host_stands_in_brackets() {
    let address = parse("amqp://[::1]:5673/v");
    assert_eq!((address.host.as_str(), address.port), ("::1", 5673));
    assert_eq!(address.to_string(), "amqp://[::1]:5673/v");
    assert_eq!(parse("amqp://[fe80::1]").port, 5672);
}

#[test]
fn parameters_are_read() {
    let address = parse(
        "amqps://h/?heartbeat=7&connection_timeout=1500&cacertfile=/ca%20s.pem&certfile=/c&keyfile=/k\
         &server_name_indication=other&verify=verify_peer&auth_mechanism=external",
    );
    let read = &address.parameters;
    assert_eq!(read.heartbeat, Some(Duration::from_secs(7)));
    assert_eq!(read.connection_timeout, Some(Duration::from_millis(1500)));
    assert_eq!(read.cacertfile.as_deref(), Some(Path::new("/ca s.pem")));
    assert_eq!(read.identity(), Some((Path::new("/c"), Path::new("/k"))));
    assert_eq!(read.server_name.as_deref(), Some("other"));
    assert!(read.external);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, words) in [
        ("", "begins with amqp://"),
        ("http://h", "begins with amqp://"),
        ("AMQP://h", "begins with amqp://"),
        ("pyamqp://h", "pyamqp:// is written amqp://"),
        ("amqp://", "no host"),
        ("amqp://u:p@", "no host"),
        ("amqp://@h", "no user's name"),
        ("amqp://h:0", "port"),
        ("amqp://h:65536", "port"),
        ("amqp://h:+1", "port"),
        ("amqp://h:1:2", "port"),
        ("amqp://[::1", "no ]"),
        ("amqp://[::1]x", "port"),
        ("amqp://[nothing]", "IPv6"),
        ("amqp://h a", "no host's name has"),
        ("amqp://h/a/b", "%2F"),
        ("amqp://h/%zz", "percent-encoded"),
        ("amqp://h/%f", "percent-encoded"),
        ("amqp://h/%ff", "percent-encoded"),
        ("amqp://h#x", "%23"),
        (
            "amqp://h?frame_max=1",
            "no parameter frame_max: it may have heartbeat, connection_timeout",
        ),
        ("amqp://h?heartbeat", "heartbeat"),
        ("amqp://h?heartbeat=0", "heartbeat"),
        ("amqp://h?heartbeat=x", "heartbeat"),
        ("amqp://h?connection_timeout=x", "connection_timeout"),
        ("amqp://h?cacertfile=/x", "for amqps://"),
        ("amqps://h?certfile=/x", "go together"),
        ("amqps://h?verify=verify_none", "cacertfile"),
        ("amqp://h?auth_mechanism=amqplain", "plain or external"),
    ] {
        let told = told(text);
        assert!(told.contains(words), "{text}: {told}");
    }
    assert!(told(&format!("amqp://h/{}", "v".repeat(256))).contains("255"));
}

#[test]
fn several_urls_stand_in_the_order_in_which_they_are_tried() {
    let addresses = Address::parse_all(" amqp://a,amqps://b\n\tamqp://c:1 ").unwrap();
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["amqp://a", "amqps://b", "amqp://c:1"]);
    assert!(Address::parse_all(" , ").is_err());
    assert!(Address::parse_all("amqp://a,b").is_err());
}

#[test]
fn what_is_shown_can_be_read_again() {
    for text in ["amqp://h", "amqps://h:1/a%2Fb", "amqp://[::1]"] {
        assert_eq!(parse(text).to_string(), text);
    }
}

/// A password as a URL has it.
fn encoded(password: &str) -> String {
    struct Encoded<'a>(&'a str);
    impl fmt::Display for Encoded<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            encode(self.0, f)
        }
    }
    Encoded(password).to_string()
}

proptest! {
    #[test]
    fn a_password_is_read_and_never_shown(password in "[!-~äß€]{8,24}", rest in "(/[a-z]{0,3})?(\\?heartbeat=[0-9])?") {
        let text = format!("amqp://user:{}@host{rest}", encoded(&password));
        match Address::parse(&text) {
            Ok(address) => {
                prop_assert_eq!(&address.password, &password);
                let shown = format!("{address} {address:?} {:?}", Some(vec![&address]));
                prop_assert!(!shown.contains(&password) && !shown.contains(&encoded(&password)), "{}", shown);
            }
            Err(error) => {
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains(&password) && !shown.contains(&encoded(&password)), "{}", shown);
            }
        }
    }

    #[test]
    fn a_password_that_was_not_encoded_is_not_shown_either(password in "[ -~]{8,24}") {
        // Where it is taken for something else than a password, that is not shown whole: no word of eight characters is.
        match Address::parse(&format!("amqp://user:{password}@host/v")) {
            Ok(address) => {
                let shown = format!("{address} {address:?}");
                prop_assert!(!shown.contains(&password), "{}", shown);
            }
            Err(error) => prop_assert!(!error.to_string().contains(&password), "{}", error),
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(amqps?://)?.{0,60}") {
        let _ = Address::parse_all(&text);
    }
}
