//! Variables of the environment that look like ours and that nothing reads.

use std::ffi::OsString;

use crate::args;
use crate::executor::shell;
use crate::schedule::spelling::closest;

/// What our variables begin with.
const PREFIX: &str = "CRONKEEP_";

/// Beginnings of names that are another's: those of tests.
const OTHERS: [&str; 1] = ["TEST_"];

/// So many are named in the warning.
const NAMED: usize = 5;

/// The names among `variables` that are ours by their beginning; an empty value counts as none.
pub(super) fn own(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<String> {
    let with_value = variables.into_iter().filter(|(_, value)| !value.is_empty());
    let names = with_value.filter_map(|(name, _)| name.into_string().ok());
    names.filter(|name| name.starts_with(PREFIX)).collect()
}

/// A warning of those of `names` that no option is set by and that no run is told; none where there are none.
pub(super) fn warning(names: &[String]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    // Takes a while: every option of every command is made for it.
    let known = args::variables();
    let is_known = |name: &str| {
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        known.iter().any(|known| known == name)
            || shell::ABOUT.contains(&name)
            || OTHERS.iter().any(|other| rest.starts_with(other))
            || is_of_a_service(rest)
    };
    let mut unknown: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
    unknown.sort_unstable();
    let told = unknown.iter().take(NAMED).map(|name| {
        // The beginning, which all share, would make any two alike.
        let rest = name.strip_prefix(PREFIX).unwrap_or(name);
        match closest(rest, known.iter().filter_map(|name| name.strip_prefix(PREFIX))) {
            Some(meant) => format!("{name} (did you mean {PREFIX}{meant}?)"),
            None => (*name).to_owned(),
        }
    });
    let told = told.collect::<Vec<_>>().join(", ");
    match unknown.len() {
        0 => None,
        1 => Some(format!("no option is set by the variable {told}")),
        count if count <= NAMED => Some(format!("no option is set by the variables {told}")),
        count => {
            Some(format!("no option is set by the variables {told} and {} more", count - NAMED))
        }
    }
}

/// Whether Kubernetes sets a variable of this ending in every container, where a service has our name.
fn is_of_a_service(rest: &str) -> bool {
    let is = |ending: &str| {
        let before = rest.strip_suffix(ending);
        before.is_some_and(|before| before.is_empty() || before.ends_with('_'))
    };
    let has_number = |(_, behind): (&str, &str)| behind.starts_with(|c: char| c.is_ascii_digit());
    is("SERVICE_HOST")
        || is("PORT")
        || rest.contains("SERVICE_PORT_")
        || rest.split_once("PORT_").is_some_and(has_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Option<String> {
        warning(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_variable_that_nothing_reads_is_named_with_the_one_that_was_meant() {
        assert_eq!(
            of(&["CRONKEEP_TIMOUT", "CRONKEEP_TZ", "CRONKEEP_COLOURS"]).unwrap(),
            "no option is set by the variables CRONKEEP_COLOURS, \
             CRONKEEP_TIMOUT (did you mean CRONKEEP_TIMEOUT?)"
        );
        assert_eq!(of(&["CRONKEEP_"]).unwrap(), "no option is set by the variable CRONKEEP_");
        let many: Vec<String> = (0..30).map(|number| format!("CRONKEEP_OWN_{number:02}")).collect();
        let told = warning(&many).unwrap();
        assert!(told.ends_with("CRONKEEP_OWN_04 and 25 more"), "{told}");
    }

    #[test]
    fn what_an_option_a_run_or_a_neighbour_has_is_no_mistake() {
        let known = [
            "CRONKEEP_LOG_FORMAT",
            "CRONKEEP_CONTROL",
            "CRONKEEP_FORMAT",
            "CRONKEEP_JOB_ID",
            "CRONKEEP_RUN_ID",
            "CRONKEEP_ATTEMPT",
            "CRONKEEP_AMQP",
            "CRONKEEP_AMQP_FILE",
            "CRONKEEP_STORE",
            "CRONKEEP_STORE_FILE",
            "CRONKEEP_TEST_FAULT",
            "CRONKEEP_SERVICE_HOST",
            "CRONKEEP_SERVICE_PORT_HTTP",
            "CRONKEEP_PORT",
            "CRONKEEP_PORT_80_TCP_ADDR",
            "CRONKEEP_REDIS_SERVICE_PORT",
            "CRONKEEP_REDIS_PORT_6379_TCP",
        ];
        assert_eq!(of(&known), None);
    }

    #[test]
    fn only_variables_of_our_own_with_a_value_count() {
        let variables = [("CRONKEEP_X", "1"), ("CRONKEEP_Y", ""), ("PATH", "/bin")];
        assert_eq!(own(variables.map(|(name, value)| (name.into(), value.into()))), ["CRONKEEP_X"]);
    }
}
