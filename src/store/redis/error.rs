//! What a server says, in our terms.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{SCHEMA, StoreError};

const WRONG_PASSWORD: &str = "it does not know this user and password, or asks for none (in the URL @ and / are written as %40 and %2F)";

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
            return refused("it asks for a password: give one in the URL, redis://:PASSWORD@HOST");
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
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            StoreError::Refused(format!("its user may not do what is needed: {detail}"))
        }
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
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            StoreError::Corrupt(format!("its answer makes no sense: {error}"))
        }
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
    // It ends in the number of the error, which says nothing more.
    match text.split_once(" (os error") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

fn refused(text: &str) -> StoreError {
    StoreError::Refused(text.to_owned())
}

fn down(text: &str) -> StoreError {
    StoreError::Down(text.to_owned())
}
