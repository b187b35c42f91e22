//! `cronkeep publish`: a message, through the daemon or straight to the broker.

mod direct;
mod surroundings;

use std::io::{self, IsTerminal as _, Read as _};

use self::surroundings::{Surroundings, Which};
use super::Console;
use super::control::client;
use super::crontab::tables;
use crate::args::PublishArgs;
use crate::config::addresses;
use crate::control::client::{Client, Error};
use crate::control::publish::{
    Attempt, NO_BROKER, PATIENCE, Publication, Published, TAKEN, UNSURE,
};
use crate::control::request::OF_WORKER;
use crate::control::socket::for_everybody;
use crate::exit::{ExitCode, UsageError};
use crate::message::{Arguments, Message, compose};
use crate::sink::record::escape;

/// The largest body that is read: brokers take no more.
const LARGEST: u64 = 128 << 20;

/// So many messages that are alike may one try of a run publish.
const MOST_ALIKE: u32 = 10_000;

/// Publishes a message, and says nothing where the broker has it.
pub(super) fn run(args: &PublishArgs, console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    let arguments = &args.message;
    if let Some(mistake) = arguments.mistake() {
        return Err(UsageError(mistake).into());
    }
    let surroundings = Surroundings::of_process();
    let mut warnings = Vec::new();
    let addresses = addresses(surroundings.amqp(args), &mut warnings)?;
    for warning in warnings {
        writeln!(console.err, "cronkeep: warning: {}", escape(warning.as_bytes()))?;
    }
    let input = input(arguments, console)?;
    let body = arguments.body(&input);
    let user = console.host.user.clone();
    let message = |which| {
        let occasion = surroundings.occasion(&user, arguments, body.as_deref(), which);
        Ok((compose(arguments, &occasion, body.clone())?, occasion.job_id))
    };
    // A result is awaited where the message was sent from: whoever waits needs a broker of its own.
    if arguments.wait || surroundings.is_for_another_broker(args) {
        let (message, _) = message(Which::Nth(1))?;
        anyhow::ensure!(
            !addresses.is_empty(),
            "who waits for a result asks the broker itself: --amqp, CRONKEEP_AMQP or CRONKEEP_AMQP_FILE names one"
        );
        return direct::publish(addresses, message, arguments.wait, console);
    }
    let attempt = surroundings.attempt();
    let mut answer = hand_over(&client(&args.control, console), attempt.as_ref(), message)?;
    if let Err(Error::Nobody { .. } | Error::Denied { .. }) = &answer {
        // Some may publish by the socket that everybody may ask, beside the other.
        let path = match &args.control.control {
            Some(path) => for_everybody(path),
            None => tables::socket(console.host),
        };
        match hand_over(&Client::new(&path), attempt.as_ref(), message)? {
            // It knows of no such thing: what was said first is what matters.
            Err(error) if is_nobody(&error) => {}
            other => answer = other,
        }
    }
    match answer {
        Ok(published) if published.is_confirmed() => Ok(ExitCode::Success),
        Ok(published) => anyhow::bail!(published.words),
        Err(error) if is_nobody(&error) && !addresses.is_empty() => {
            direct::publish(addresses, message(Which::Nth(1))?.0, false, console)
        }
        Err(error) if is_nobody(&error) => Err(anyhow::Error::from(error).context(
            "no broker is named (--amqp, CRONKEEP_AMQP, CRONKEEP_AMQP_FILE), and no daemon sends it",
        )),
        Err(error @ (Error::Silent { .. } | Error::Broken { .. })) => {
            Err(anyhow::Error::from(error).context("it is not known whether the message was accepted"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Standard input to its end, where the body is there. A terminal is read only where that is asked for.
fn input(arguments: &Arguments, console: &mut Console<'_>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let is_asked_for = arguments.body.is_some();
    if !arguments.reads_input() || (!is_asked_for && io::stdin().is_terminal()) {
        return Ok(bytes);
    }
    (&mut *console.input).take(LARGEST + 1).read_to_end(&mut bytes)?;
    anyhow::ensure!(bytes.len() as u64 <= LARGEST, "the body has more than 128 MiB");
    Ok(bytes)
}

/// Hands a message to the daemon: of several that are alike and of one try of a run, the next.
fn hand_over(
    client: &Client,
    attempt: Option<&Attempt>,
    message: impl Fn(Which) -> anyhow::Result<(Message, Option<String>)>,
) -> anyhow::Result<Result<Published, Error>> {
    let hand_over = |which, attempt: Option<&Attempt>| {
        let (message, job_id) = message(which)?;
        let attempt = attempt.cloned();
        anyhow::Ok(ask(client, &Publication { job_id, attempt, ..Publication::new(message) }))
    };
    for number in 1..=MOST_ALIKE {
        match hand_over(Which::Nth(number), attempt)? {
            Err(Error::Refused { refusal }) if refusal.error == TAKEN => {}
            // Better sent twice than taken for one that was sent.
            Err(Error::Refused { refusal }) if refusal.error == UNSURE => break,
            answer => return Ok(answer),
        }
    }
    hand_over(Which::Own, None)
}

fn ask(client: &Client, publication: &Publication) -> Result<Published, Error> {
    let body = serde_json::to_vec(publication).map_err(io::Error::from)?;
    let client = client.clone().patience(PATIENCE);
    let answer = client.send("POST", "/api/v1/publish", body)?;
    Ok(serde_json::from_slice(&answer).map_err(io::Error::from)?)
}

/// Whether nobody is there who would send the message.
fn is_nobody(error: &Error) -> bool {
    match error {
        Error::Nobody { .. } | Error::Denied { .. } => true,
        Error::Refused { refusal } => {
            [NO_BROKER, OF_WORKER, "unknown"].contains(&refusal.error.as_str())
        }
        _ => false,
    }
}
