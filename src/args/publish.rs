//! The command that sends a message.

use clap::Args;

use super::ControlArgs;
use crate::message::Arguments;

pub(super) const EXAMPLES: &str = "\
Examples:
  cronkeep publish orders daily.close '{\"day\": 5}'
  date | cronkeep publish '' clock      to the queue clock
  cronkeep publish --celery app.clean '' celery '[7]'
  cronkeep publish --celery app.sum --wait '' celery '{\"a\": 1, \"b\": 2}'
  In a crontab the daemon itself sends it, and what stands behind a % is BODY:
  0 2 * * *  cronkeep publish --json events backup.due
  0 3 * * *  cronkeep publish mail digest%Good morning

A message that no queue takes, or that is not confirmed, is a failure.
Without a daemon the broker is that of --amqp, of CRONKEEP_AMQP, or of the
file that CRONKEEP_AMQP_FILE names. So it is with --wait: in a script that a
daemon runs one of them has to be set, since jobs never see the daemon's. In a
crontab, without a BODY, the daemon takes it from the hash
crond_service_schedule in its Redis.

Exit code: 0 confirmed, and with --wait the task has succeeded; 1 not, or not
known; 2 usage.";

/// What `--amqp` is.
const AMQP: &str = "This broker, and no daemon: amqp://HOST or amqps://HOST; several, with commas between them, are tried in turn";

/// What `publish` is asked.
#[derive(Debug, Clone, Args)]
pub struct PublishArgs {
    /// The message.
    #[command(flatten)]
    pub message: Arguments,
    /// This broker, and no daemon.
    #[arg(long, value_name = "URL", help = AMQP)]
    pub amqp: Option<String>,
    /// How the daemon is reached.
    #[command(flatten)]
    pub control: ControlArgs,
}
