//! What is generated from the table of options is what is packaged.

use snapbox::Data;

use crate::{cronkeep, stdout};

fn packaged(path: &str) -> Data {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    Data::read_from(&folder.join(path), None).raw()
}

#[test]
fn the_packaged_manual_page_is_the_programs() {
    cronkeep(&["man"]).assert().success().stdout_eq(packaged("man/cronkeep.8"));
}

#[test]
fn the_packaged_completions_are_the_programs() {
    for (shell, file) in
        [("bash", "cronkeep.bash"), ("zsh", "_cronkeep"), ("fish", "cronkeep.fish")]
    {
        let packaged = packaged(&format!("completions/{file}"));
        cronkeep(&["completions", shell]).assert().success().stdout_eq(packaged);
    }
}

#[test]
fn the_manual_page_has_every_option_of_every_help() {
    let page = stdout(&cronkeep(&["man"]).assert().success()).replace('\\', "");
    for command in [&["--help"][..], &["check", "--help"], &["next", "--help"], &["explain", "-h"]]
    {
        let help = stdout(&cronkeep(command).assert().success());
        let mut options = 0;
        for word in help.split_whitespace().filter(|word| word.starts_with("--")) {
            let option = word.trim_matches(|letter: char| !letter.is_ascii_alphabetic());
            if !option.is_empty() {
                options += 1;
                assert!(page.contains(&format!("--{option}")), "--{option} of {command:?}");
            }
        }
        assert!(options > 3, "{command:?}");
    }
}
