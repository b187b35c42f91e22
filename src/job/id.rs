//! The stable job id: the Python service's md5 rule.
use std::fmt;
use std::str::FromStr;

use md5::{Digest as _, Md5};

/// What every id begins with; the Python service chose it.
const PREFIX: &str = "crondServiceTask-";
/// How many digits follow it.
const DIGITS: usize = 16;

/// `crondServiceTask-` and sixteen hex digits: characters 8 to 24 of an md5.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub [u8; 8]);

/// A job's identity inside: its id, then `id#2` for the next entry with that id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey {
    /// The public id.
    pub id: JobId,
    /// From 1.
    pub occurrence: u32,
}

/// The text is no job id or key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a job id: sixteen hex digits, with or without {PREFIX:?} before them")]
pub struct BadId {
    /// The text as given.
    pub text: String,
}

impl JobId {
    /// The id of a mark: `minute,hour,dom,month,dow,user,command` in canonical form.
    #[must_use]
    pub fn of_mark(mark: &[u8]) -> Self {
        let digest: [u8; 16] = Md5::digest(mark).into();
        let [_, _, _, _, middle @ .., _, _, _, _] = digest;
        JobId(middle)
    }

    /// The sixteen hex digits that tell this id from others.
    #[must_use]
    pub fn digits(self) -> String {
        String::from_utf8(self.hex().to_vec()).unwrap_or_default()
    }

    fn hex(self) -> [u8; DIGITS] {
        // Each run tells its job's id several times.
        let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte)];
        }
        digits
    }

    /// What the values of `~` are drawn from: the same id draws the same values, always and everywhere.
    #[must_use]
    pub fn seed(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

/// What the values of `~` are drawn from where an expression stands alone, without a job.
#[must_use]
pub fn expression_seed(text: &[u8]) -> u64 {
    JobId::of_mark(text).seed()
}

impl JobKey {
    /// What tells it from others, without the prefix that all ids have: `00112233445566ff`, `00112233445566ff#2`.
    #[must_use]
    pub fn digits(self) -> String {
        match self.occurrence {
            1 => self.id.digits(),
            occurrence => format!("{}#{occurrence}", self.id.digits()),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; PREFIX.len() + DIGITS];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        digits.copy_from_slice(&self.hex());
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.id, f)?;
        match self.occurrence {
            1 => Ok(()),
            occurrence => write!(f, "#{occurrence}"),
        }
    }
}

impl FromStr for JobId {
    type Err = BadId;

    /// Reads an id with or without its prefix.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text.strip_prefix(PREFIX).unwrap_or(text);
        let is_hex = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bad = || BadId { text: text.to_owned() };
        if !is_hex {
            return Err(bad());
        }
        let number = u64::from_str_radix(digits, 16).map_err(|_| bad())?;
        Ok(JobId(number.to_be_bytes()))
    }
}

impl FromStr for JobKey {
    type Err = BadId;

    /// Reads an id, or an id, `#` and a number from 2.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let Some((id, number)) = text.split_once('#') else {
            return Ok(JobKey { id: text.parse()?, occurrence: 1 });
        };
        let occurrence = number.parse().ok().filter(|&occurrence: &u32| occurrence >= 2);
        let occurrence = occurrence.ok_or_else(|| BadId { text: text.to_owned() })?;
        Ok(JobKey { id: id.parse()?, occurrence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_middle_of_the_md5() {
        let id = JobId::of_mark(b"17,*,*,*,*,root,cd / && run-parts --report /etc/cron.hourly");
        assert_eq!(id.to_string(), "crondServiceTask-f509aaa41ac7a97b");
        assert_eq!(id.digits(), "f509aaa41ac7a97b");
        assert_eq!(id.seed(), 0xf509_aaa4_1ac7_a97b);
    }

    #[test]
    fn a_key_shows_its_number_from_the_second_on() {
        let id = JobId::of_mark(b"");
        assert_eq!(JobKey { id, occurrence: 1 }.to_string(), id.to_string());
        assert_eq!(JobKey { id, occurrence: 2 }.to_string(), format!("{id}#2"));
    }

    #[test]
    fn ids_and_keys_read_back() {
        let id = JobId::of_mark(b"x");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.digits().parse(), Ok(id));
        for occurrence in [1, 2, 17] {
            let key = JobKey { id, occurrence };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "crondServiceTask-", "f509aaa41ac7a97", "+509aaa41ac7a97b", "f509aaa41ac7a97b#1"]
        {
            assert!(text.parse::<JobKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_expression_draws_from_its_own_md5() {
        assert_eq!(expression_seed(b""), 0x8f00_b204_e980_0998);
    }
}
