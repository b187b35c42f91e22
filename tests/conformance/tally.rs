//! Counts the verdicts, and holds them against the table of docs/compatibility.md.

use std::collections::BTreeMap;
use std::path::Path;

use crate::excuse::{Case, RULES};
use crate::vectors;

/// Collects the verdicts on the cases of one file.
pub struct Tally {
    file: &'static str,
    cases: usize,
    excused: BTreeMap<&'static str, (usize, usize)>,
    failures: Vec<String>,
}

impl Tally {
    pub fn new(file: &'static str) -> Self {
        Tally { file, cases: 0, excused: BTreeMap::new(), failures: Vec::new() }
    }

    /// Counts one case: `verdict` is an explanation where our answer is not the vector's.
    pub fn count(&mut self, case: &Case, verdict: Result<(), String>) {
        self.cases += 1;
        match RULES.iter().find(|rule| (rule.applies)(case)) {
            Some(rule) => {
                let counts = self.excused.entry(rule.name).or_default();
                counts.0 += 1;
                if verdict.is_ok() {
                    counts.1 += 1;
                    println!(
                        "would have passed: {} {:?} under {:?}",
                        case.vector["id"],
                        case.line.map(|l| l.0),
                        rule.name
                    );
                }
            }
            None => {
                if let Err(why) = verdict {
                    self.failures.push(why);
                }
            }
        }
    }

    /// Prints the counts and fails on any case that is neither met nor rightly excused.
    pub fn finish(self) {
        println!("{}: {} cases", self.file, self.cases);
        for (rule, (excused, would_pass)) in &self.excused {
            println!("  {rule}: {excused} excused, {would_pass} of them would have passed");
        }
        for failure in self.failures.iter().take(40) {
            println!("  FAILED {failure}");
        }
        assert!(
            self.failures.is_empty(),
            "{} of {} cases of {} failed",
            self.failures.len(),
            self.cases,
            self.file
        );
        assert!(
            self.excused.values().all(|counts| counts.1 == 0),
            "a rule excuses cases that pass"
        );
        if vectors::are_bundled() {
            let stated = stated_counts(self.file);
            let counted: BTreeMap<String, usize> =
                self.excused.iter().map(|(rule, counts)| ((*rule).to_owned(), counts.0)).collect();
            assert_eq!(
                counted, stated,
                "docs/compatibility.md states other counts for {}",
                self.file
            );
        }
    }
}

/// The rows `| rule | file | excused | reason |` of docs/compatibility.md about `file`.
fn stated_counts(file: &str) -> BTreeMap<String, usize> {
    table()
        .into_iter()
        .filter(|row| row[1] == format!("`{file}`"))
        .map(|row| (row[0].clone(), row[2].parse().expect("a count")))
        // A rule of which the bundled half of the vectors has no case.
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// The table of excuses in docs/compatibility.md, between its two markers.
fn table() -> Vec<[String; 4]> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let text = std::fs::read_to_string(path).expect("docs/compatibility.md is there");
    let (_, rest) = text.split_once("<!-- excuses -->").expect("the table's first marker");
    let (table, _) = rest.split_once("<!-- /excuses -->").expect("the table's last marker");
    table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells: Vec<String> =
                line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
            cells.try_into().expect("four cells")
        })
        .collect()
}

#[test]
fn the_documented_rules_are_the_rules() {
    for row in table() {
        let rule = RULES
            .iter()
            .find(|rule| rule.name == row[0])
            .unwrap_or_else(|| panic!("{} is not a rule", row[0]));
        assert_eq!(rule.reason, row[3], "the reason of {}", row[0]);
    }
    for rule in RULES {
        assert!(table().iter().any(|row| row[0] == rule.name), "{} is not documented", rule.name);
    }
}
