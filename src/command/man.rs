//! `cronkeep man`: the manual page, from the table of options.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::iter;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::Console;
use crate::args::Cli;
use crate::exit::ExitCode;

/// What the page says after the options: section by section, as roff.
const TAIL: &str = r#".SH "EXIT STATUS"
.TP
\fB0\fR
Done; the answer is yes.
.TP
\fB1\fR
The answer is no, or it failed; an unreadable file included.
.TP
\fB2\fR
The command line, or its form in the environment, is wrong.
.SH SIGNALS
.TP
\fBTERM\fR, \fBINT\fR
Stop scheduling; end or leave the running jobs (\fB\-\-on\-stop\fR); exit. A second one, or \fBQUIT\fR: at once.
.TP
\fBHUP\fR, \fBUSR2\fR
Read the crontabs again.
.TP
\fBUSR1\fR
Write the state to the log.
.SH FILES
.TP
\fI/etc/crontab\fR
The crontab that is run where none is named.
.TP
\fI/etc/localtime\fR
The time zone, where neither \fB\-\-tz\fR nor \fBTZ\fR names one.
"#;

/// What the page says of variables that are no option.
const VARIABLES: &str = r".TP
\fBTZ\fR
The time zone, where \fB\-\-tz\fR names none.
.TP
\fBNO_COLOR\fR
If not empty, no colours are used.
.PP
An option wins over its variable; an empty variable counts as absent. The daemon warns of a variable that begins
with \fBCRONKEEP_\fR and sets none.
";

/// What the page ends with.
const SEE_ALSO: &str = ".SH \"SEE ALSO\"\n\\fBcrontab\\fR(5)\n";

/// Writes the page.
pub(super) fn run(console: &mut Console<'_>) -> anyhow::Result<ExitCode> {
    console.out.write_all(&page()?)?;
    Ok(ExitCode::Success)
}

/// The manual page `cronkeep(8)`, as roff.
///
/// # Errors
/// None in practice: it is written to memory.
pub fn page() -> io::Result<Vec<u8>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut page = Vec::new();
    let man = Man::new(root.clone()).title("CRONKEEP").section("8").manual("System Administration");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.write_all(b".SH SYNOPSIS\n")?;
    synopsis(&mut page, "cronkeep [OPTIONS] [CRONTAB]...")?;
    for command in root.get_subcommands() {
        page.write_all(b".br\n")?;
        synopsis(&mut page, &usage(command))?;
    }
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    page.write_all(b".SH COMMANDS\n")?;
    for command in root.get_subcommands() {
        section_of(command, &mut page)?;
    }
    page.write_all(TAIL.as_bytes())?;
    page.write_all(b".SH ENVIRONMENT\n")?;
    let mut told = BTreeSet::new();
    for command in iter::once(&root).chain(root.get_subcommands()) {
        for option in command.get_arguments() {
            let (Some(variable), Some(long)) = (option.get_env(), option.get_long()) else {
                continue;
            };
            if told.insert(variable) {
                let variable = text(&variable.to_string_lossy());
                let long = text(&format!("--{long}"));
                writeln!(page, ".TP\n\\fB{variable}\\fR\nAs \\fB{long}\\fR.")?;
            }
        }
    }
    page.write_all(VARIABLES.as_bytes())?;
    page.write_all(b".SH EXAMPLES\n")?;
    examples(&root, &mut page)?;
    page.write_all(SEE_ALSO.as_bytes())?;
    Ok(page)
}

/// One command: its usage, what it does, its options, its examples.
fn section_of(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    writeln!(page, ".SS \"{}\"", quoted(&usage(command)))?;
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    for paragraph in about.split("\n\n") {
        writeln!(page, "{}\n.PP", text(paragraph))?;
    }
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    // The heading is the enclosing section's; the options follow the words without one.
    let options = String::from_utf8_lossy(&options);
    page.write_all(options.replace(".SH OPTIONS\n", "").as_bytes())?;
    examples(command, page)
}

/// `cronkeep check [OPTIONS] [FILE]...`, without markup.
fn usage(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.lines().next().unwrap_or_default();
    usage.trim_start_matches("Usage: ").to_owned()
}

fn synopsis(page: &mut Vec<u8>, usage: &str) -> io::Result<()> {
    let named = usage.splitn(3, ' ').collect::<Vec<_>>();
    match named[..] {
        [program, word, rest] if !word.starts_with(['[', '<', '-']) => {
            writeln!(page, "\\fB{}\\fR {}", text(&format!("{program} {word}")), text(rest))
        }
        [program, word] if !word.starts_with(['[', '<', '-']) => {
            writeln!(page, "\\fB{}\\fR", text(&format!("{program} {word}")))
        }
        _ => writeln!(page, "{}", text(usage)),
    }
}

/// The text after a command's help, its lines kept.
fn examples(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for block in help.split("\n\n") {
        let (lines, is_literal) = match block.split_once(":\n") {
            Some((heading, lines)) if heading.starts_with("Example") => (lines, true),
            _ => (block, false),
        };
        if is_literal {
            page.write_all(b".PP\n.nf\n")?;
            for line in lines.lines() {
                writeln!(page, "{}", text(line))?;
            }
            page.write_all(b".fi\n")?;
        } else {
            writeln!(page, ".PP\n{}", text(block))?;
        }
    }
    Ok(())
}

/// Text as roff: no letter of it is a command.
fn text(plain: &str) -> String {
    let escaped = plain.replace('\\', "\\e").replace('-', "\\-");
    escaped
        .lines()
        .map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.into() })
        .collect::<Vec<String>>()
        .join("\n")
}

/// Text inside a quoted argument of a roff command.
fn quoted(plain: &str) -> String {
    text(plain).replace('"', "\\(dq")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_every_command_is_on_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let root = Cli::command();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            for option in command.get_arguments() {
                let name = option.get_long().map(|long| text(&format!("--{long}")));
                assert!(name.is_none_or(|name| page.contains(&name)), "{}", option.get_id());
                let variable = option.get_env().map(|name| name.to_string_lossy().into_owned());
                assert!(variable.is_none_or(|name| page.contains(&name)), "{}", option.get_id());
            }
        }
    }

    #[test]
    fn a_line_of_text_is_never_a_request() {
        assert_eq!(text(".TH x\n'y\n-z \\"), "\\&.TH x\n\\&'y\n\\-z \\e");
    }

    #[test]
    fn the_page_has_its_sections() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "COMMANDS",
            "\"EXIT STATUS\"",
            "SIGNALS",
            "FILES",
            "ENVIRONMENT",
            "EXAMPLES",
        ] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}");
        }
    }
}
