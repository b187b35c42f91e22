//! A bad input and a good one for each code.
use super::*;

/// For each code that a text alone can cause: the flavour, a text that causes it, and its good twin.
#[test]
fn every_code_has_an_input() {
    let long = "x".repeat(131_072);
    let many = "0 0 * * * x\n".repeat(10_001);
    let settings = "A=1\n".repeat(1_001);
    let long_command = format!("* * * * * {long}\n");
    let fitting_command = format!("* * * * * {}\n", &long[1..]);
    let long_setting = format!("A={long}\n");
    let fitting_setting = format!("A={}\n", &long[3..]);
    let cases: &[(Code, char, &str, &str)] = &[
        (Code::E001, 'u', "60 * * * * x\n", "59 * * * * x\n"),
        (Code::E002, 'u', "* 24 * * * x\n", "* 23 * * * x\n"),
        (Code::E003, 'u', "* * 0 * * x\n", "* * 1 * * x\n"),
        (Code::E004, 'u', "* * * 13 * x\n", "* * * 12 * x\n"),
        (Code::E005, 'u', "* * * * 8 x\n", "* * * * 7 x\n"),
        (
            Code::E006,
            'u',
            "CRONKEEP_FIELDS=6\n60 * * * * * x\n",
            "CRONKEEP_FIELDS=6\n59 * * * * * x\n",
        ),
        (
            Code::E007,
            'u',
            "CRONKEEP_FIELDS=7\n0 0 0 1 1 * 20 x\n",
            "CRONKEEP_FIELDS=7\n0 0 0 1 1 * 2030 x\n",
        ),
        (Code::E010, 'u', "@dayly x\n", "@daily x\n"),
        (Code::E011, 'u', "* * * * *\n", "* * * * * x\n"),
        (Code::E012, 'u', "* * * * * -x y\n", "* * * * * -n y\n"),
        (Code::E014, 'u', "A=\"b\" c\n", "A=\"b\"\n"),
        (Code::E015, 'u', "* * * * * a\0b\n", "# a\0b\n"),
        (Code::E016, 'u', &long_command, &fitting_command),
        (Code::E017, 'l', &many, &many[12..]),
        (Code::E018, 'l', &settings, &settings[4..]),
        (Code::E020, 'u', "-* * * * * x\n", "* * * * * -q x\n"),
        (Code::E021, 'u', "CRON_TZ=Mars/Olympus\n", "CRON_TZ=Asia/Tokyo\n"),
        (Code::E022, 'u', "0 0 5 * * 1 x\n0 5 1 1 1 sun x\n", "0 5 1 1 1 sun x\n"),
        (
            Code::E030,
            'u',
            "# cronkeep: timout=5m\n* * * * * x\n",
            "# cronkeep: timeout=5m\n* * * * * x\n",
        ),
        (
            Code::E031,
            'u',
            "# cronkeep: timeout=5\n* * * * * x\n",
            "# cronkeep: timeout=5s\n* * * * * x\n",
        ),
        (
            Code::E032,
            'u',
            "# cronkeep: retries=1\n\n* * * * * x\n",
            "# cronkeep: retries=1\n# y\n* * * * * x\n",
        ),
        (Code::E033, 'u', "CRONKEEP_TIMOUT=5m\n", "CRONKEEP_TIMEOUT=5m\n"),
        (Code::E034, 'u', "CRONKEEP_TIMEOUT=5\n", "CRONKEEP_TIMEOUT=\n"),
        (
            Code::E035,
            'u',
            "# cronkeep: name=a\n0 0 * * * x\n# cronkeep: name=a\n0 1 * * * y\n",
            "# cronkeep: name=a\n0 0 * * * x\n# cronkeep: name=b\n0 1 * * * y\n",
        ),
        (Code::E040, 'u', &long_setting, &fitting_setting),
        (Code::W001, 'u', "0 0 31 2 * x\n", "0 0 29 2 * x\n"),
        (Code::W002, 'u', "0 0 5 * * 1 x\n", "CRONKEEP_FIELDS=6\n0 0 5 * * 1 x\n"),
        (Code::W003, 'u', "0 5 1 1 1 sun x\n", "CRONKEEP_FIELDS=5\n0 5 1 1 1 sun x\n"),
        (Code::W004, 's', "* * * * * /bin/x y\n", "* * * * * root /bin/x y\n"),
        (Code::W005, 'u', "* * * * * root x\n", "* * * * * x\n"),
        (Code::W006, 'u', "* * * * * date +%F\n", "* * * * * date +\\%F\n"),
        (Code::W009, 'u', "0 0 13 * 5 x\n", "0 0 13 * * x\n"),
        (Code::W010, 'u', "*/7 * * * * x\n", "*/6 * * * * x\n"),
        (Code::W011, 'u', "*/60 * * * * x\n", "*/30 * * * * x\n"),
        (Code::W013, 'u', "* * * * * x\r\n", "* * * * * x\n"),
        (Code::W014, 'u', "\u{feff}* * * * * x\n", "* * * * * \u{feff}x\n"),
        (Code::W015, 'u', "* * * * * x", "* * * * * x\n# y"),
        (Code::W016, 'u', "0 0 * * * x\n0 0 * *\t* x\n", "0 0 * * * x\nA=1\n0 0 * * * x\n"),
        (Code::W019, 'u', "RANDOM_DELAY=1441\n", "RANDOM_DELAY=1440\n"),
        (Code::W020, 'u', "# cronkeep name=a\n* * * * * x\n", "# cronkeep: name=a\n* * * * * x\n"),
    ];
    let parse = |flavour, text: &str| match flavour {
        's' => system(text),
        'l' => spool(text),
        _ => user(text),
    };
    for (code, flavour, bad, good) in cases {
        let has = |text| parse(*flavour, text).faults.iter().any(|fault| fault.code == *code);
        assert!(has(bad), "{code} is not found in its input");
        assert!(!has(good), "{code} is found in the good twin");
    }
    let latin = user(b"* * * * * x \xe9\n");
    assert_eq!(codes(&latin), ["W012"]);
    // Users, commands and their arguments, zones, ids, other files and requests are not looked at here.
    let elsewhere = [
        Code::W007,
        Code::W008,
        Code::W012,
        Code::W017,
        Code::W018,
        Code::W021,
        Code::E036,
        Code::E037,
        Code::E050,
    ];
    for code in Code::ALL {
        let covered = cases.iter().any(|case| case.0 == *code) || elsewhere.contains(code);
        assert!(covered, "{code} has no input");
    }
}
