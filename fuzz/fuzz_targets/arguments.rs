//! Any words are a command line of crond, crontab and cronkeep: something to do, or a mistake with the program's code.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use cronkeep::args::Called;
use cronkeep::exit::ExitCode;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 5] = ["crond", "/usr/sbin/cron", "crontab", "cronkeep", "supercronic"];

fuzz_target!(|input: (u8, &[u8])| {
    let (name, words) = input;
    let name = NAMES[usize::from(name) % NAMES.len()];
    let words = words.split(|&byte| byte == b'\n').map(|word| OsString::from_vec(word.to_vec()));
    let arguments: Vec<OsString> = std::iter::once(name.into()).chain(words).collect();
    let is_cronkeep = arguments.get(1).is_some_and(|word| word == "crontab");
    match Called::read(arguments, |_| true, |path| path.as_os_str().len() % 2 == 0) {
        Ok(Called::Crond(..)) => assert!(name.ends_with("crond") || name.ends_with("cron")),
        Ok(Called::Crontab(_)) => {
            assert!(name == "crontab" || is_cronkeep || name == "supercronic")
        }
        Ok(Called::Cronkeep(_)) => assert!(name == "cronkeep" || name == "supercronic"),
        Err(refused) => {
            let code = refused.code();
            let is_crons = name.contains("cron") && !matches!(name, "cronkeep" | "supercronic");
            let wrong = if is_crons { ExitCode::Usage } else { ExitCode::Job(0) };
            assert!(code != wrong, "{name}: {refused:?}");
        }
    }
});
