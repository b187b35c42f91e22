//! What a server says, in our terms.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{SCHEMA, StoreError};

const WRONG_PASSWORD: &str = "it does not know this user and password, or asks for none (in the URL @ and / are written as %40 and %2F)";

const NO_PASSWORD: &str = "it asks for a password: give one in the URL, redis://:PASSWORD@HOST or unix:///SOCKET?pass=PASSWORD";

/// What the library says where the database of the URL is not to be had, whatever the server has said.
const NO_DATABASE: &str = "Redis server refused to switch database";

/// What a server before version 7.2 says of a script that runs a command which the user may not.
const HIDDEN: &str = "can't run this command";

/// What the library says of bytes that no Redis would send.
const NO_PROTOCOL: &str = "Parse error";

const NEEDS: &str = "a user of its own needs what docs/store-redis.md lists";

/// What the first command was answered that was refused, of one or several: the code and the rest.
pub(super) fn first(error: &RedisError) -> (String, String) {
    let first =
        error.clone().into_server_errors().and_then(|errors| Some(errors.first()?.1.clone()));
    let (code, detail) = match &first {
        Some(first) => (Some(first.code()), first.details()),
        None => (error.code(), error.detail()),
    };
    (code.unwrap_or_default().to_owned(), detail.unwrap_or_default().trim().to_owned())
}

/// What is wrong, for an error of the library.
pub(super) fn told(error: &RedisError) -> StoreError {
    let (code, detail) = first(error);
    let (code, detail) = (code.as_str(), detail.as_str());
    match code {
        "CRONKEEPNEWER" => {
            let found = detail.parse().unwrap_or(u32::MAX);
            return StoreError::Newer { found, known: SCHEMA };
        }
        "CRONKEEPGARBAGE" => return StoreError::Corrupt(detail.to_owned()),
        "WRONGTYPE" => {
            return StoreError::Corrupt(
                "one of its keys is of another type than cronkeep writes: remove it, or use another namespace".to_owned(),
            );
        }
        "NOAUTH" => {
            return refused(NO_PASSWORD);
        }
        "WRONGPASS" => return refused(WRONG_PASSWORD),
        "OOM" => {
            return refused(
                "it has no memory left: raise its maxmemory, or remove what is not needed",
            );
        }
        "READONLY" => {
            return refused(
                "it is a replica that only reads: name the master, or sentinels (redis+sentinel://)",
            );
        }
        "MISCONF" => {
            return refused(
                "it takes no writes, for it cannot save them to its disk: its log says why",
            );
        }
        "NOREPLICAS" => {
            return refused("it takes no writes, for too few of its replicas are there");
        }
        _ => {}
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => refused(WRONG_PASSWORD),
        ErrorKind::Server(ServerErrorKind::NoPerm) => refused_to_user(detail),
        ErrorKind::Server(
            ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::CrossSlot
            | ServerErrorKind::ClusterDown,
        ) => refused(
            "it is part of a cluster, which is not supported: name one server, or sentinels",
        ),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => down("it is reading its data from disk"),
        ErrorKind::Server(ServerErrorKind::MasterDown) => down("its master is away"),
        ErrorKind::MasterNameNotFoundBySentinel => {
            down("no sentinel knows, or can be asked for, the master that the URL names")
        }
        _ if error.is_timeout() => down("it does not answer"),
        ErrorKind::Io => StoreError::Down(io(error)),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType
            if error.to_string().contains(NO_PROTOCOL) =>
        {
            refused("no Redis answers there: what comes back is of another protocol")
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            StoreError::Corrupt(format!("its answer makes no sense: {error}"))
        }
        ErrorKind::Server(ServerErrorKind::ResponseError)
            if error.to_string().starts_with(NO_DATABASE) =>
        {
            no_database(detail)
        }
        // Of scripts, with another code, by version.
        _ if is_of_rights(detail) => refused_to_user(detail),
        _ if code == "BUSY" => down("it is busy with another program's script"),
        ErrorKind::Server(ServerErrorKind::ResponseError) if detail.contains("wrong type") => {
            StoreError::Corrupt(detail.to_owned())
        }
        _ => StoreError::Refused(error.to_string()),
    }
}

/// Whether a new connection may do better.
pub(super) fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
        )
}

/// An error of the system in words.
fn io(error: &RedisError) -> String {
    let text = error.to_string();
    if let Some((_, others)) = text.split_once(OTHER_NAMES) {
        let names: Vec<&str> = others.split('"').skip(1).step_by(2).collect();
        let names = if names.is_empty() { "other names".to_owned() } else { names.join(", ") };
        return format!(
            "its certificate is for {names}, and not for the name in the URL: name the server as its certificate does"
        );
    }
    for (part, words) in CERTIFICATES {
        if text.contains(part) {
            return words.to_owned();
        }
    }
    // It ends in the number of the error, which says nothing more.
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

/// What the library says before the names for which a certificate is.
const OTHER_NAMES: &str = "certificate is only valid for ";

/// What is wrong with a server's certificate, by a part of what the library says of it.
const CERTIFICATES: [(&str, &str); 5] = [
    (
        "CaUsedAsEndEntity",
        "its certificate is one of an authority (CA:TRUE), which no server may show: give the server one that the authority \
         has signed, and name the authority by ?ca=FILE",
    ),
    (
        "UnknownIssuer",
        "its certificate is signed by nobody who is trusted (UnknownIssuer): ?ca=FILE in the URL names the authority",
    ),
    (
        "NotValidForName",
        "its certificate is not for the name in the URL: name the server as its certificate does",
    ),
    ("certificate: Expired", "its certificate has expired"),
    (
        "certificate: NotValidYet",
        "its certificate is not valid yet: one of the two clocks may be wrong",
    ),
];

/// What a server says that refuses the database of the URL.
fn no_database(detail: &str) -> StoreError {
    if detail.contains("Authentication required") {
        return refused(NO_PASSWORD);
    }
    if detail.contains("out of range") || detail.contains("invalid DB index") {
        return refused("it has no database of the number that the URL names: /0 is always there");
    }
    if is_of_rights(detail) {
        return refused_to_user(detail);
    }
    StoreError::Refused(format!("it refuses the database that the URL names: {detail}"))
}

/// Whether what a server says is that its user may not do something.
fn is_of_rights(detail: &str) -> bool {
    detail.contains("user executing the script can't")
        || detail.contains("ACL failure in script")
        || detail.contains("has no permissions to")
}

/// Whether an error says that a script does what the user may not, and not what.
pub(super) fn hides_command(error: &RedisError) -> bool {
    first(error).1.contains(HIDDEN)
}

/// That the user of the URL may not run these commands; nothing without any.
pub(super) fn may_not_run(commands: &[&str]) -> Option<StoreError> {
    let (last, others) = commands.split_last()?;
    let names = match others {
        [] => last.to_lowercase(),
        _ => format!("{} and {}", others.join(", "), last).to_lowercase(),
    };
    let rights: Vec<String> =
        commands.iter().map(|name| format!("+{}", name.to_lowercase())).collect();
    Some(StoreError::Refused(format!(
        "its user may not run {names}: give it {}; {NEEDS}",
        rights.join(" ")
    )))
}

/// That the user of the URL may not do what is needed: which command, where the server says it.
fn refused_to_user(detail: &str) -> StoreError {
    // Of a script it says which one and where, in numbers that say nothing to anybody.
    let detail = detail.rsplit_once(" script: ").map_or(detail, |(before, last)| {
        if last.contains("@user_script") { before } else { detail }
    });
    let command = detail.split_once("run the '").and_then(|(_, rest)| rest.split('\'').next());
    if let Some(told) = command.and_then(|command| may_not_run(&[command])) {
        return told;
    }
    match detail {
        _ if detail.contains(HIDDEN) => StoreError::Refused(format!(
            "its user may not run one of the commands of cronkeep's scripts, which are of +@read +@write +@scripting +time: {NEEDS}"
        )),
        _ if detail.contains("can't access")
            || detail.contains("access one of the keys")
            || detail.contains("access a key") =>
        {
            StoreError::Refused(format!(
                "its user may not use one of the keys that are needed, such as ~{{cronkeep:NAMESPACE}}:* and those of the Python \
                 service: {NEEDS}"
            ))
        }
        _ => StoreError::Refused(format!("its user may not do what is needed: {detail}")),
    }
}

fn refused(text: &str) -> StoreError {
    StoreError::Refused(text.to_owned())
}

fn down(text: &str) -> StoreError {
    StoreError::Down(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_the_user_may_not_run_is_named_with_the_right_that_it_lacks() {
        let of_script = " script: 1f898163dbe7c1e3726586f7fe4355059fcdf6d7, on @user_script:9.";
        for (detail, part) in [
            // Version 7.2 and later, in a script and alone; 7.0; 6.
            (
                &*format!(
                    "ACL failure in script: User app has no permissions to run the 'zadd' command{of_script}"
                ),
                "may not run zadd: give it +zadd; ",
            ),
            (
                "User app has no permissions to run the 'client|setname' command",
                "may not run client|setname: give it +client|setname; ",
            ),
            ("this user has no permissions to run the 'hset' command or its subcommand", "+hset; "),
            (
                &*format!(
                    "The user executing the script can't run this command or subcommand{of_script}"
                ),
                "one of the commands of cronkeep's scripts",
            ),
            (
                &*format!(
                    "ACL failure in script: User app has no permissions to access the 'x' key{of_script}"
                ),
                "access the 'x' key",
            ),
        ] {
            let StoreError::Refused(text) = refused_to_user(detail) else { panic!("{detail}") };
            assert!(text.starts_with("its user may not ") && text.contains(part), "{text}");
            assert!(!text.contains("@user_script"), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_with_a_remedy() {
        for (raw, part) in [
            ("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", "CA:TRUE"),
            ("invalid peer certificate: UnknownIssuer", "?ca=FILE"),
            ("invalid peer certificate: Expired", "has expired"),
            ("invalid peer certificate: NotValidForName", "not for the name in the URL"),
            (
                "invalid peer certificate: certificate not valid for name \"127.0.0.1\"; certificate is only valid for \
                 DnsName(\"localhost\") or DnsName(\"redis.lan\")",
                "is for localhost, redis.lan, and not for the name in the URL",
            ),
        ] {
            let error = std::io::Error::new(std::io::ErrorKind::InvalidData, raw);
            let StoreError::Down(text) = told(&RedisError::from(error)) else { panic!("{raw}") };
            // `certificate` tells it from a server that speaks no TLS.
            assert!(text.starts_with("its certificate ") && text.contains(part), "{text}");
        }
    }
}
