//! Settings: what they change for the lines below.
use std::ops::Range;
use std::sync::Arc;

use super::{MOST_SETTINGS, Reader};
use crate::crontab::directive;
use crate::crontab::field::quote;
use crate::crontab::setting;
use crate::crontab::{Code, FieldCount, LineKind, Mistake, Setting, Text};
use crate::schedule::Zone;

impl Reader<'_> {
    /// Takes a setting in.
    pub(super) fn setting(
        &mut self,
        number: u32,
        line: &[u8],
        name: Range<usize>,
        value: Range<usize>,
    ) -> LineKind {
        self.settings += 1;
        if self.settings == MOST_SETTINGS + 1 && self.dialect.is_limited() {
            let message = format!("the file has more than {MOST_SETTINGS} settings");
            self.fault(number, line, Mistake::new(Code::E018, name.start..value.end, message));
        }
        if name.len() + 1 + value.len() > setting::LONGEST {
            let message = format!("the setting is longer than {} bytes", setting::LONGEST);
            self.fault(
                number,
                line,
                Mistake::new(Code::E040, name, message)
                    .with_help("no process can be given so long a variable"),
            );
            return LineKind::Error;
        }
        let setting = Setting {
            name: Text::from(&line[name.clone()]),
            value: Text::from(&line[value.clone()]),
        };
        if self.settings > MOST_SETTINGS && self.dialect.is_limited() {
            // The table does not count; what entries inherit must not grow with the square of its size.
            return LineKind::Setting(setting);
        }
        if !self.dialect.is_limited() && !self.environment.has_room_for(&setting.name) {
            let mistake = Mistake::new(Code::E018, name, "there are too many settings above")
                .with_help(
                    "divide the file, or set variables in the commands: this one is not set",
                );
            self.fault(number, line, mistake);
            return LineKind::Error;
        }
        let outcome = match &line[name.clone()] {
            b"CRON_TZ" => {
                let outcome = self.set_zone(&setting, Code::E021, value);
                match &outcome {
                    Ok(()) => self.environment.set(setting.clone()),
                    Err(_) => self.environment.unset("CRON_TZ"),
                }
                outcome
            }
            b"RANDOM_DELAY" => {
                self.environment.set(setting.clone());
                if let Err(mistake) = self.set_random_delay(&setting, value) {
                    self.fault(number, line, mistake);
                }
                Ok(())
            }
            [b'C', b'R', b'O', b'N', b'K', b'E', b'E', b'P', b'_', option @ ..] => {
                self.set_option(option, &setting, name, value)
            }
            _ => {
                self.environment.set(setting.clone());
                Ok(())
            }
        };
        match outcome {
            Ok(()) => LineKind::Setting(setting),
            Err(mistake) => {
                self.fault(number, line, mistake);
                LineKind::Error
            }
        }
    }

    /// Moves the schedule of the entries below. An unknown zone is no zone: never the one above.
    fn set_zone(
        &mut self,
        setting: &Setting,
        code: Code,
        span: Range<usize>,
    ) -> Result<(), Mistake> {
        self.zone = None;
        if !setting.value.is_empty() {
            let zone = read_zone(&setting.value);
            self.zone = Some(zone.map_err(|refusal| refusal.at(code, span, &mut self.searches))?);
        }
        Ok(())
    }

    fn set_random_delay(&mut self, setting: &Setting, span: Range<usize>) -> Result<(), Mistake> {
        const MOST: u16 = 24 * 60;
        self.random_delay = 0;
        if setting.value.is_empty() {
            return Ok(());
        }
        let text = quote(setting.value.as_bytes());
        let (number, whole) = setting::leading_number(setting.value.as_bytes());
        let help = "write a number of minutes from 0 to 1440";
        let Some(minutes) = u16::try_from(number).ok().filter(|minutes| *minutes <= MOST) else {
            let message = format!("{text} is not a delay: there is none");
            return Err(Mistake::new(Code::W019, span, message).with_help(help));
        };
        self.random_delay = minutes;
        if whole {
            return Ok(());
        }
        let message = format!("{text} is read as {minutes} minutes");
        Err(Mistake::new(Code::W019, span, message).with_help(help))
    }

    /// `CRONKEEP_X=`: an option for the entries below. One that is refused is as if it were not set.
    fn set_option(
        &mut self,
        option: &[u8],
        setting: &Setting,
        name: Range<usize>,
        span: Range<usize>,
    ) -> Result<(), Mistake> {
        let value = setting.value.as_str();
        match option {
            b"AMQP" | b"AMQP_FILE" => self.environment.set_for_publisher(setting.clone()),
            b"TZ" => return self.set_zone(setting, Code::E021, span),
            b"FIELDS" => {
                self.fields = match value {
                    Some("5") => Some(FieldCount::Five),
                    Some("6") => Some(FieldCount::Six),
                    Some("7") => Some(FieldCount::Seven),
                    _ => None,
                };
                if self.fields.is_none() && !setting.value.is_empty() {
                    let message =
                        format!("{} is not a number of fields", quote(setting.value.as_bytes()));
                    return Err(
                        Mistake::new(Code::E034, span, message).with_help("write 5, 6 or 7")
                    );
                }
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                let Some(key) = directive::of_setting(&option) else {
                    let known = directive::KEYS.iter().any(|key| {
                        key.name.eq_ignore_ascii_case(&option.replace('_', "-")) && !key.setting
                    });
                    let message =
                        format!("{} is not a setting of cronkeep", quote(setting.name.as_bytes()));
                    let mistake = Mistake::new(Code::E033, name, message);
                    return Err(if known {
                        let option = option.to_lowercase();
                        mistake.with_help(format!(
                            "{option} belongs to one entry: write # cronkeep: {option}=VALUE above it"
                        ))
                    } else if self.searches.take()
                        && let Some(similar) = directive::similar_setting(&option)
                    {
                        mistake.with_help(format!("did you mean {similar}?"))
                    } else {
                        mistake.with_help("the names are CRONKEEP_ and an option's name, as in CRONKEEP_TIMEOUT=10m")
                    });
                };
                let options = Arc::make_mut(&mut self.options);
                // Without a value, reading only empties the place.
                let emptied = key.read(options, None);
                let read = match value {
                    Some("") => emptied,
                    Some(value) => key.read(options, Some(value)),
                    None => Err(directive::Refusal::new(
                        format!("the value of {} is not UTF-8", quote(setting.name.as_bytes())),
                        "write it in UTF-8",
                    )),
                };
                self.merged.clear();
                read.map_err(|refusal| refusal.at(Code::E034, span, &mut self.searches))?;
            }
        }
        Ok(())
    }
}

fn read_zone(value: &Text) -> Result<Zone, directive::Refusal> {
    match value.as_str() {
        Some(name) => directive::zone(name),
        None => Err(directive::Refusal::new(
            format!("{} is not a time zone", quote(value.as_bytes())),
            "write an IANA name such as Europe/Berlin",
        )),
    }
}
