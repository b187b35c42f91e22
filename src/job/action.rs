//! What a run does.
use memchr::memchr;

use crate::crontab::{Text, percent};

/// What a run does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `SHELL -c command`, with this standard input.
    Shell {
        /// After `%` processing.
        command: Text,
        /// What follows the first bare `%`; none where the line has no `%`.
        stdin: Option<Box<Text>>,
    },
}

impl Action {
    /// What an entry's raw command asks for.
    ///
    /// Copies the command: jobs outlive the crontab that they were read from, and one shared command among what is freed
    /// with it would keep the memory around it.
    #[must_use]
    pub fn of_command(raw: &Text) -> Self {
        if memchr(b'%', raw.as_bytes()).is_none() {
            return Action::Shell { command: raw.as_bytes().into(), stdin: None };
        }
        let split = percent::split(raw.as_bytes());
        let stdin = (!split.stdin.is_empty()).then(|| Box::new(split.stdin.into()));
        Action::Shell { command: split.command.into(), stdin }
    }

    /// The command that a shell gets.
    #[must_use]
    pub fn command(&self) -> &Text {
        match self {
            Action::Shell { command, .. } => command,
        }
    }

    /// What the command reads, if the line says.
    #[must_use]
    pub fn stdin(&self) -> Option<&Text> {
        match self {
            Action::Shell { stdin, .. } => stdin.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_does_not_keep_the_bytes_of_its_crontab() {
        let raw = Text::from("echo a  ");
        let action = Action::of_command(&raw);
        assert_eq!(action.command(), &raw);
        assert!(!std::ptr::eq(action.command().as_bytes(), raw.as_bytes()));
        assert_eq!(action.stdin(), None);
    }

    #[test]
    fn what_follows_a_percent_is_standard_input() {
        let action = Action::of_command(&Text::from(r"mail \% x%a%b"));
        assert_eq!(action.command(), &Text::from("mail % x"));
        assert_eq!(action.stdin(), Some(&Text::from("a\nb\n")));
    }
}
