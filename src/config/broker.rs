//! The message broker, as the options say.

use std::path::{Path, PathBuf};

use crate::args::BrokerArgs;
use crate::broker::Address;
use crate::exit::UsageError;

/// Where messages go, and who may send them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerConfig {
    /// The broker's addresses, in the order in which they are tried; none: there is no broker.
    pub addresses: Vec<Address>,
    /// The exchange at which events are published.
    pub events: Option<String>,
    /// Users, beside root and the daemon's own, whose entries may publish through the daemon.
    pub publish_users: Vec<String>,
    /// A file with the key that signs what is sent to workers.
    pub worker_key: Option<PathBuf>,
}

impl BrokerConfig {
    /// Validates the options that are about the broker.
    ///
    /// # Errors
    /// A URL that cannot be read, a file that cannot be read, events without a broker.
    pub fn new(args: &BrokerArgs, warnings: &mut Vec<String>) -> Result<Self, UsageError> {
        let addresses = addresses(args.amqp.as_deref(), warnings)?;
        if args.events.is_some() && addresses.is_empty() {
            let text = "--events publishes what happens: --amqp says where";
            return Err(UsageError(text.to_owned()));
        }
        Ok(BrokerConfig {
            addresses,
            events: args.events.clone(),
            publish_users: args.publish_users.clone(),
            worker_key: args.worker_key.clone(),
        })
    }
}

/// The broker that an option, its variable or the file of `CRONKEEP_AMQP_FILE` name; empty where none does.
///
/// # Errors
/// A URL or the file cannot be read.
pub fn addresses(
    given: Option<&str>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Address>, UsageError> {
    let text = match given {
        Some(text) => {
            if has_secret(text)
                && std::env::args_os()
                    .any(|word| word.as_encoded_bytes().ends_with(text.as_bytes()))
            {
                warnings.push(
                    "the broker's password is on the command line, where every user of this host can read it: \
                     CRONKEEP_AMQP_FILE names a file instead"
                        .to_owned(),
                );
            }
            text.to_owned()
        }
        None => match std::env::var_os("CRONKEEP_AMQP_FILE").filter(|path| !path.is_empty()) {
            Some(path) => std::fs::read_to_string(&path).map_err(|error| {
                UsageError(format!("CRONKEEP_AMQP_FILE {}: {error}", Path::new(&path).display()))
            })?,
            None => return Ok(Vec::new()),
        },
    };
    Address::parse_all(&text).map_err(|error| UsageError(format!("--amqp: {error}")))
}

fn has_secret(text: &str) -> bool {
    text.split("://")
        .skip(1)
        .any(|rest| rest.split('/').next().is_some_and(|authority| authority.contains('@')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen_in_any_of_several_urls() {
        assert!(has_secret("amqp://a,amqps://u:p@b/v"));
        assert!(!has_secret("amqp://a/v@x,amqp://b"));
    }

    #[test]
    fn events_need_a_broker() {
        let args = BrokerArgs { events: Some("e".to_owned()), ..BrokerArgs::default() };
        let told = BrokerConfig::new(&args, &mut Vec::new()).unwrap_err();
        assert!(told.to_string().contains("--amqp"), "{told}");
    }
}
